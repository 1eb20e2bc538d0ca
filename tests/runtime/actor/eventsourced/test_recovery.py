"""What keeps an event-sourced actor from starting, or its class from being made, and what is said about it."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import pytest

from trouper import Actor, CallerError, InvalidHandler, InvalidOption, Message, Node, StartFailed, handler
from trouper.runtime.actor.eventsourced.actor import EventSourcedActor, applies, upcasts
from trouper.runtime.actor.eventsourced.codec import EventUnreadable
from trouper.runtime.journal import FileJournal, Journal, JournalCorrupt, MemoryJournal, RecordsGone, SimulatedDisk
from trouper.testing import virtual_time


class Counted(Message, tag="test.counted"):
    by: int = 1


class Other(Message):
    """An event that is not applied here."""


class Add(Message[int]):
    """Count."""

    event: str = "counted"


class Counter(EventSourcedActor[dict[str, int]]):
    @handler
    async def add(self, msg: Add) -> int:
        await self.persist(Counted() if msg.event == "counted" else Other())
        return self.state["n"]

    @applies
    def counted(self, event: Counted) -> None:
        self.state["n"] = self.state.get("n", 0) + event.by


async def _start(journal: Journal, kind: type[Actor] = Counter) -> BaseException:
    """Try to start the actor; returns what it could not start for."""
    async with Node(journal=journal) as node:
        with pytest.raises(StartFailed, match=r"/user/it#\d+ did not start") as caught:
            await node.spawn(kind, name="it")
        assert node.find("user/it") is None
    assert caught.value.__cause__ is not None
    return caught.value.__cause__


@virtual_time
async def test_a_record_that_cannot_be_read_fails_the_start_with_its_place() -> None:
    """The error names the actor, the record, the stream and the tag, and is the cause of ``StartFailed``."""
    journal = MemoryJournal()
    await journal.append("user/it", [msgspec.msgpack.encode(Counted()), msgspec.msgpack.encode({"$type": "test.gone"})])
    error = await _start(journal)
    assert isinstance(error, EventUnreadable)
    said = r"^trouper://local/user/it#\d+: record 2 of 'user/it' has the tag 'test\.gone', which Counter does not apply"
    assert re.match(said, str(error))


@virtual_time
async def test_a_damaged_journal_fails_the_start() -> None:
    """Nothing is handled on a state that is not whole."""
    disk = SimulatedDisk()
    async with Node(journal=FileJournal("j", disk=disk)) as node:
        await (await node.spawn(Counter, name="it")).ask(Add())
        await (await node.spawn(Counter, name="two")).ask(Add())
    (folder,) = [name for name in disk.names(FileJournal("j")._folder) if name.endswith("it")]  # noqa: SLF001  to find it
    disk.damage(FileJournal("j")._folder / folder / f"{1:020d}.log", 30, 0x40)  # noqa: SLF001  to damage it
    assert isinstance(await _start(FileJournal("j", disk=disk)), JournalCorrupt)


@virtual_time
async def test_events_that_were_forgotten_without_a_snapshot_fail_the_start() -> None:
    """A part of the events is no state."""
    journal = MemoryJournal()
    await journal.append("user/it", [msgspec.msgpack.encode(Counted())] * 3)
    await journal.truncate("user/it", 2)
    assert isinstance(await _start(journal), RecordsGone)


@virtual_time
async def test_a_field_with_a_default_may_be_added() -> None:
    """Events of the version before it was there are applied with the default."""
    journal = MemoryJournal()
    await journal.append("user/it", [msgspec.msgpack.encode({"$type": "test.counted"})] * 3)
    async with Node(journal=journal) as node:
        assert await (await node.spawn(Counter, name="it")).ask(Add()) == 4


@virtual_time
async def test_a_state_that_cannot_be_encoded_is_warned_of_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    """It is said when the actor starts, not when the first snapshot is due, and fails nothing."""

    class Socket:
        """Nothing that msgspec knows."""

    class Holder(EventSourcedActor[Socket]):
        snapshot_every = 1

        @handler
        async def add(self, msg: Add) -> int:
            await self.persist(Counted())
            return self.last_sequence

        @applies
        def counted(self, event: Counted) -> None: ...

    async with Node(journal=MemoryJournal()) as node:
        holder = await node.spawn(Holder, name="it")
        assert re.search(r"it#\d+: the state at 0 cannot be kept in a snapshot \(TypeError: Encoding", caplog.text)
        assert [await holder.ask(Add()) for _ in "12"] == [1, 2]


@virtual_time
async def test_an_actor_without_a_lasting_name_needs_a_persistence_id() -> None:
    """A name that was made up would be another one the next time."""
    async with Node() as node:
        with pytest.raises(
            StartFailed, match=r"has a generated name: spawn it with name=\.\.\., or override persistence_id"
        ):
            await node.spawn(Counter)


@virtual_time
async def test_a_start_that_forgets_the_recovery_is_told_so() -> None:
    """Without the recovery nothing is persisted."""

    class Forgetful(Counter):
        async def on_start(self) -> None:
            """Do not recover."""

    async with Node() as node:
        actor = await node.spawn(Forgetful, name="it")
        with pytest.raises(
            CallerError, match=r"it#\d+ has not recovered: on_start must `await super\(\)\.on_start\(\)`"
        ):
            await actor.ask(Add())


@virtual_time
async def test_an_event_that_is_not_applied_is_refused_before_it_is_kept() -> None:
    """What could not be read again is not written."""
    journal = MemoryJournal()
    async with Node(journal=journal) as node:
        actor = await node.spawn(Counter, name="it")
        with pytest.raises(CallerError, match=r"^Counter does not apply Other; it applies: test\.counted$"):
            await actor.ask(Add("other"))
    assert await journal.last_sequence("user/it") == 0


@virtual_time
async def test_state_may_be_of_any_kind_and_made_by_hand_or_not_be_there() -> None:
    """A dataclass with a first value, and an actor without declared state whose methods change attributes."""

    @dataclass
    class Tally:
        n: int

    class Tallying(EventSourcedActor[Tally]):
        snapshot_every = 2

        def initial_state(self) -> Tally:
            return Tally(100)

        @handler
        async def add(self, msg: Add) -> int:
            await self.persist(Counted())
            return self.state.n

        @applies
        def counted(self, event: Counted) -> Tally:
            return Tally(self.state.n + event.by)

    class Plain(EventSourcedActor):
        def __init__(self) -> None:
            self.n = 0

        @handler
        async def add(self, msg: Add) -> int:
            await self.persist(Counted())
            return self.n

        @applies
        def counted(self, event: Counted) -> None:
            self.n += event.by

    journal = MemoryJournal()
    for life in range(3):
        async with Node(journal=journal) as node:
            tallying, plain = await node.spawn(Tallying, name="t"), await node.spawn(Plain, name="p")
            assert [await tallying.ask(Add()) for _ in "123"][-1] == 103 + 3 * life
            assert await plain.ask(Add()) == life + 1


def twice() -> type:
    """Two methods for one event."""

    class Twice(EventSourcedActor):
        @applies
        def one(self, event: Counted) -> None: ...
        @applies
        def two(self, event: Counted) -> None: ...

    return Twice


def slow() -> type:
    """A method that would wait."""

    class Slow(EventSourcedActor):
        @applies
        async def counted(self, event: Counted) -> None: ...

    return Slow


def bare() -> type:
    """No annotation."""

    class Bare(EventSourcedActor):
        @applies
        def counted(self, event) -> None: ...  # type: ignore[no-untyped-def]  # pyright: ignore[reportMissingParameterType, reportUnknownParameterType]  # noqa: ANN001  wrong on purpose

    return Bare


def silent() -> type:
    """An override that is not marked."""

    class Silent(Counter):
        def counted(self, event: Counted) -> None: ...

    return Silent


def eager() -> type:
    """A reentrant handler."""

    class Eager(EventSourcedActor):
        @handler(reentrant=True)
        async def look(self, msg: Add) -> int:
            return len(msg.event)

    return Eager


def stateless() -> type:
    """Snapshots of no state."""

    class Stateless(EventSourcedActor):
        snapshot_every = 5

    return Stateless


def unversioned() -> type:
    """A version of 0."""

    class Unversioned(Counter):
        state_version = 0

    return Unversioned


def upcast_twice() -> type:
    """Two upcasters for one tag."""

    class UpcastTwice(Counter):
        @upcasts("test.old")
        def one(self, fields: dict[str, object]) -> Counted:
            return Counted(len(fields))

        @upcasts("test.old")
        def two(self, fields: dict[str, object]) -> Counted:
            return Counted(len(fields))

    return UpcastTwice


def slow_upcaster() -> type:
    """An upcaster that would wait."""

    class SlowUpcaster(Counter):
        @upcasts("test.old")
        async def old(self, fields: dict[str, object]) -> Counted:
            return Counted(len(fields))

    return SlowUpcaster


def never() -> type:
    """A snapshot every 0 events."""

    class Never(Counter):
        snapshot_every = 0

    return Never


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (twice, InvalidHandler, r"Twice applies Counted twice: in .*\.one and in .*\.two; remove one"),
        (slow, InvalidHandler, r"\.counted must be a plain `def` that takes one event after self"),
        (bare, InvalidHandler, r"\.counted: annotate 'event' with the Message class of the event"),
        (silent, InvalidHandler, r"Silent\.counted overrides an @applies method: mark it @applies too"),
        (eager, InvalidHandler, r"\.look is reentrant: an event-sourced actor handles one message at a time"),
        (stateless, InvalidHandler, r"Stateless wants snapshots of no state: write EventSourcedActor\[YourState\]"),
        (unversioned, InvalidOption, r"Unversioned\.state_version=0 must be 1 or more"),
        (upcast_twice, InvalidHandler, r"UpcastTwice upcasts 'test\.old' twice: in one and in two; remove one"),
        (slow_upcaster, InvalidHandler, r"SlowUpcaster\.old must be a plain `def` that takes the fields of one event"),
        (never, InvalidOption, r"Never\.snapshot_every=0 must be 1 or more, or None"),
    ],
)
def test_a_class_that_cannot_work_is_refused_when_it_is_made(
    make: Callable[[], type], error: type[Exception], sentence: str
) -> None:
    """Each mistake has a sentence of its own."""
    with pytest.raises(error, match=sentence):
        make()
