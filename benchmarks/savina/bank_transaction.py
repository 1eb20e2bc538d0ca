"""Bank transaction: ``size`` transfers among 100 accounts; the debited account waits for the credited one.

It measures asks between actors while others queue up.  An account handles nothing else during its ask, so its balance
cannot change in between; money always goes to a higher account, so no ring of waiting accounts can close.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from trouper import Actor, ActorRef, Message, Node, handler

SIZE = 5_000
ACCOUNTS = 100
OPENING_BALANCE = 1_000_000
IN_FLIGHT = 500


class Transfer(Message[int]):
    """Give ``amount`` to another account; the reply is what is left."""

    amount: int
    to: ActorRef


class Credit(Message[int]):
    """Take ``amount``; the reply is the new balance."""

    amount: int


class Balance(Message[int]):
    """The reply is the balance."""


class Account(Actor):
    """Some money."""

    def __init__(self, balance: int) -> None:
        self.balance = balance

    @handler
    async def transfer(self, msg: Transfer) -> int:
        """Credit the other account, then debit this one: nobody sees it in between."""
        await msg.to.ask(Credit(msg.amount))
        self.balance -= msg.amount
        return self.balance

    @handler
    def credit(self, msg: Credit) -> int:
        """Take the money."""
        self.balance += msg.amount
        return self.balance

    @handler
    def tell_balance(self, msg: Balance) -> int:
        """Return the balance."""
        return self.balance


def transfers(count: int) -> Iterator[tuple[int, int, int]]:
    """Draw (from, to, amount), the same each time, always to a higher account."""
    random = Random(1)
    for _ in range(count):
        source = random.randrange(ACCOUNTS * 8 // 10)
        yield source, random.randrange(source + 1, ACCOUNTS), random.randrange(1, 100)


async def run(node: Node, size: int) -> list[int]:
    """Do ``size`` transfers, some hundred at a time, and return all balances."""
    accounts = [await node.spawn(Account, OPENING_BALANCE) for _ in range(ACCOUNTS)]
    drawn = list(transfers(size))
    for first in range(0, size, IN_FLIGHT):
        batch = drawn[first : first + IN_FLIGHT]
        answers = [accounts[source].ask(Transfer(amount, accounts[to])) for source, to, amount in batch]
        for answer in answers:
            await answer
    return [await account.ask(Balance()) for account in accounts]


def check(size: int, result: list[int]) -> None:
    """The balances are those of the same transfers done one by one."""
    expected = [OPENING_BALANCE] * ACCOUNTS
    for source, to, amount in transfers(size):
        expected[source] -= amount
        expected[to] += amount
    assert result == expected
