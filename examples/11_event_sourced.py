"""A durable account: its events are stored in files, and each start applies them again."""

import tempfile

import msgspec

import trouper
from trouper import EventSourcedActor, FileJournal, Message, Node, Reject, applies, handler


class Deposit(Message[int]):
    """A request: it may be refused."""

    cents: int


class Withdraw(Message[int]):
    """A request."""

    cents: int


class Deposited(Message):
    """An event: it has happened, and is kept."""

    cents: int


class Withdrawn(Message):
    """An event."""

    cents: int


class Balance(msgspec.Struct):
    """The state: what the events add up to."""

    cents: int = 0
    changes: int = 0


class Account(EventSourcedActor[Balance]):
    """A handler decides, `persist` keeps what was decided, an `@applies` method changes the state."""

    snapshot_every = 100

    @handler
    async def deposit(self, msg: Deposit) -> int:
        """Keep one event; when `persist` returns it is on the disk, and applied."""
        await self.persist(Deposited(msg.cents))
        return self.state.cents

    @handler
    async def withdraw(self, msg: Withdraw) -> int:
        """Refuse, or keep an event."""
        if msg.cents > self.state.cents:
            raise Reject(f"only {self.state.cents} cents are left")
        await self.persist(Withdrawn(msg.cents))
        return self.state.cents

    @applies
    def on_deposited(self, event: Deposited) -> None:
        """Run live and at each recovery, so it does nothing but change the state."""
        self.state.cents += event.cents
        self.state.changes += 1

    @applies
    def on_withdrawn(self, event: Withdrawn) -> None:
        """The same."""
        self.state.cents -= event.cents
        self.state.changes += 1


async def first(folder: str) -> None:
    """Change the account a few times."""
    async with Node(journal=FileJournal(folder)) as node:
        account = await node.spawn(Account, name="ada")
        print("deposited:", await account.ask(Deposit(100)))
        print("withdrawn:", await account.ask(Withdraw(30)))
        try:
            await account.ask(Withdraw(500))
        except Reject as no:
            print("refused:", no)


async def second(folder: str) -> None:
    """Another node, perhaps another day: an actor of the same name has the same events."""
    async with Node(journal=FileJournal(folder)) as node:
        account = await node.spawn(Account, name="ada")
        print("still there:", await account.ask(Deposit(0)))


with tempfile.TemporaryDirectory() as place:
    trouper.run(lambda: first(place))
    trouper.run(lambda: second(place))

# Output:
# | deposited: 100
# | withdrawn: 70
# | refused: only 70 cents are left
# | still there: 70
