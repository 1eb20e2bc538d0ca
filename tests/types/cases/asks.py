"""What an ask returns is inferred from the message, and so is everything made of it."""

import asyncio
from typing import reveal_type

from trouper import Actor, ActorRef, Message, handler


class Deposit(Message[int]):
    amount: int


class BigDeposit(Deposit):
    pass


class Note(Message):
    text: str


class Find(Message[str | None]):
    key: str


class Names(Message[list[str]]):
    pass


async def ask(ref: ActorRef) -> None:
    """The reply has the type that the message promises."""
    reveal_type(await ref.ask(Deposit(5)))  # T: int
    reveal_type(await ref.ask(BigDeposit(5)))  # T: int
    reveal_type(await ref.ask(Find("ada")))  # T: str | None
    reveal_type(await ref.ask(Names()))  # T: list[str]
    reveal_type(await ref.ask(Deposit(5), timeout_s=1.0))  # T: int
    reveal_type(ref.ask(Deposit(5)))  # T: Future[int]
    reveal_type(await asyncio.gather(ref.ask(Deposit(5)), ref.ask(Find("x"))))  # T: tuple[int, str | None]
    nothing: None = await ref.ask(Note("hi"))  # E(mypy): Function does not return a value
    wrong: str = await ref.ask(Deposit(5))  # E(mypy): expected "Message[str]"  # E(pyright): "int" is not assignable to "str"
    await ref.ask("deposit")  # E(mypy): incompatible type "str"; expected "Message[  # E(pyright): "Literal['deposit']" is not assignable to "Message[
    await ref.ask(Deposit(5), timeout_s="1")  # E(mypy): incompatible type "str"; expected "float | None"  # E(pyright): "Literal['1']" is not assignable to "float"
    print(nothing, wrong)


async def tell(ref: ActorRef) -> None:
    """Telling takes any message, and is awaited for room only."""
    ref.tell(Deposit(5))
    ref.tell(Note("hi"))
    await ref.tell(Deposit(5))
    ref.tell("deposit")  # E(mypy): incompatible type "str"; expected "Message[object]"  # E(pyright): "Literal['deposit']" is not assignable to "Message[object]"


async def end(ref: ActorRef) -> None:
    """Ends are awaited; the last word is the reason."""
    await ref.stop()
    await ref.drain()
    await ref.kill()
    reveal_type(await ref.wait_stopped())  # T: str
    reveal_type(ref.name)  # T: str
    ref.watch(ref)
    ref.watch(ref.address)  # E(mypy): incompatible type "Address"; expected "ActorRef"  # E(pyright): "Address" is not assignable to "ActorRef"


class Account(Actor):
    """A handler keeps the type of the method that it is on."""

    balance = 0

    @handler
    def deposit(self, msg: Deposit) -> int:
        """Plain."""
        self.balance += msg.amount
        return self.balance

    @handler
    async def find(self, msg: Find) -> str | None:
        """Async."""
        return msg.key or None

    @handler(reentrant=True)
    async def names(self, msg: Names) -> list[str]:
        """Reentrant."""
        return [str(msg)]


async def call(account: Account) -> None:
    """Handlers can be called, as a unit test does."""
    reveal_type(account.deposit(Deposit(1)))  # T: int
    reveal_type(await account.find(Find("x")))  # T: str | None
    reveal_type(await account.names(Names()))  # T: list[str]
    account.deposit(Find("x"))  # E(mypy): incompatible type "Find"; expected "Deposit"  # E(pyright): "Find" is not assignable to "Deposit"
