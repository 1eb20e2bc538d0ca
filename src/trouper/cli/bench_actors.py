"""The cast of the benchmark works: their messages and their actors."""

from __future__ import annotations

import asyncio

from .. import Actor, ActorRef, Message, OneForOne, handler


class Note(Message):
    """A number and a short text; no reply."""

    amount: int
    text: str


class Deposit(Message[int]):
    """Add ``amount``; the reply is the new balance."""

    amount: int


class Balance(Message[int]):
    """The reply is the balance."""


class Crash(Message):
    """Makes the receiver fail."""


class StopEcho(Message):
    """Ends an echo."""


class Next(Message):
    """Tells a member of the ring which one comes next."""

    ref: ActorRef


class Token(Message):
    """Passed round the ring until none is left."""

    left: int


class AskRepeatedly(Message[int]):
    """Ask the bank so many times; the reply is the last balance."""

    asks: int


class Bank(Actor):
    """A counter that is told, asked and made to crash."""

    def __init__(self) -> None:
        self.balance = 0

    @handler
    def note(self, msg: Note) -> None:
        """Add to the balance."""
        self.balance += msg.amount

    @handler
    def deposit(self, msg: Deposit) -> int:
        """Add to the balance and return it."""
        self.balance += msg.amount
        return self.balance

    @handler
    def tell_balance(self, msg: Balance) -> int:
        """Return the balance."""
        return self.balance

    @handler
    def crash(self, msg: Crash) -> None:
        """Fail."""
        raise RuntimeError("asked to crash")


class RingMember(Actor):
    """A member of the ring."""

    def __init__(self, finished: asyncio.Future[None]) -> None:
        self.finished = finished
        self.next = self.ref

    @handler
    def join(self, msg: Next) -> None:
        """Store the next member."""
        self.next = msg.ref

    @handler
    def token(self, msg: Token) -> None:
        """Pass the token on, or end."""
        if msg.left:
            self.next.tell(Token(msg.left - 1))
        else:
            self.finished.set_result(None)


class Asker(Actor):
    """Asks a bank, one ask after the other."""

    def __init__(self, bank: ActorRef) -> None:
        self.bank = bank

    @handler
    async def ask_repeatedly(self, msg: AskRepeatedly) -> int:
        """Ask so many times, and return the last balance."""
        balance = 0
        for _ in range(msg.asks):
            balance = await self.bank.ask(Deposit(1))
        return balance


class Echo(Actor):
    """Sends itself each note that it handles, until it is stopped."""

    def __init__(self) -> None:
        self.stopped = False

    @handler
    def note(self, msg: Note) -> None:
        """Send the note on to itself."""
        if not self.stopped:
            self.ref.tell(msg)

    @handler
    def stop_echo(self, msg: StopEcho) -> None:
        """Send no more notes."""
        self.stopped = True


class CrashingParent(Actor):
    """The parent of the bank that crashes; it allows as many restarts as the workload causes."""

    supervision = OneForOne(intensity=1_000_000, period_s=1.0)

    def __init__(self, made: asyncio.Future[ActorRef]) -> None:
        self.made = made

    async def on_start(self) -> None:
        """Make the child and hand out its ref."""
        self.made.set_result(await self.spawn(Bank, name="bank", restart="permanent"))
