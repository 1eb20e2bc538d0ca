"""A bank account as an actor: state, handlers, `tell`, `ask`, and a refusal (`Reject`)."""

import trouper
from trouper import Actor, Message, Node, Reject, handler


class Deposit(Message[int]):  # the reply to a Deposit is an int
    """Add `amount` cents; the reply is the new balance in cents."""

    amount: int


class Withdraw(Message[int]):
    """Take `amount` cents; the reply is the new balance in cents."""

    amount: int


class Account(Actor):
    """One account; it handles one message at a time, so nothing needs a lock."""

    def __init__(self, owner: str) -> None:
        self.owner, self.balance = owner, 0

    @handler
    def deposit(self, msg: Deposit) -> int:
        """Add to the balance."""
        self.balance += msg.amount
        return self.balance

    @handler
    def withdraw(self, msg: Withdraw) -> int:
        """Take from the balance, unless there is too little."""
        if msg.amount > self.balance:
            raise Reject(f"{self.owner} has only {self.balance} cents")
        self.balance -= msg.amount
        return self.balance


async def main() -> None:
    """Run everything in one node, which ends in order when the block is left."""
    async with Node() as node:
        account = await node.spawn(Account, "ada", name="ada")
        account.tell(Deposit(100))  # fire and forget
        print("after the second deposit:", await account.ask(Deposit(50)))  # type checkers infer int
        try:
            await account.ask(Withdraw(500))
        except Reject as no:
            print("refused:", no)
        print("after a withdrawal:", await account.ask(Withdraw(30)))
        print(account)


trouper.run(main)  # on uvloop where it is installed

# Output:
# | after the second deposit: 150
# | refused: ada has only 150 cents
# | after a withdrawal: 120
# | <trouper://local/user/ada#4>
