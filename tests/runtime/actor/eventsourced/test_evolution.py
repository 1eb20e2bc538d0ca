"""Programs change: a snapshot or an event of an earlier version is read as what it means now, or refused by name."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from trouper import (
    ActorError,
    EventSourcedActor,
    Journal,
    MemoryJournal,
    Message,
    Node,
    SnapshotUnreadable,
    StartFailed,
    applies,
    handler,
    upcasts,
)
from trouper.runtime.actor.eventsourced.codec import EventUnreadable
from trouper.runtime.actor.eventsourced.fingerprint import rules_of, shape_of
from trouper.testing import virtual_time


class Grown(Message, tag="evolution.grown"):
    by: int


class Grow(Message[int]):
    by: int


class Look(Message[dict[str, object]]):
    """The reply is the state's fields."""


class Total(msgspec.Struct):
    total: int = 0


class Renamed(msgspec.Struct):
    amount: int = 0


class Wider(msgspec.Struct):
    total: int = 0
    events: int = 0


class OtherType(msgspec.Struct):
    total: str = ""


Change = Callable[[Any, int], None]  # Any: each version of the program has another state


def grow_total(state: Total, by: int) -> None:
    """The first version."""
    state.total += by


def grow_renamed(state: Renamed, by: int) -> None:
    """The field has another name."""
    state.amount += by


def grow_wider(state: Wider, by: int) -> None:
    """A second field counts."""
    state.total += by
    state.events += 1


def grow_text(state: OtherType, by: int) -> None:
    """The field has another type."""
    state.total += str(by)


def grow_double(state: Total, by: int) -> None:
    """The same fields with other rules."""
    state.total += 2 * by


def program(
    state: type[msgspec.Struct], change: Change, *, version: int = 1, keep: bool = True, every: int = 10
) -> type[EventSourcedActor[Any]]:
    """Return the actor class of one version of the program."""

    class Grower(EventSourcedActor[state]):  # type: ignore[valid-type]  # made at run time
        snapshot_every = every
        keep_events = keep
        state_version = version

        @handler
        async def grow(self, msg: Grow) -> int:
            await self.persist(Grown(msg.by))
            return self.last_sequence

        @handler
        def look(self, msg: Look) -> dict[str, object]:
            return msgspec.structs.asdict(self.state)

        @applies
        def grown(self, event: Grown) -> None:
            change(self.state, event.by)

    return Grower


async def life(journal: Journal, kind: type[EventSourcedActor[Any]], events: int = 0) -> dict[str, object]:
    """Run one version of the program, and return the state's fields at its end."""
    async with Node(journal=journal) as node:
        ref = await node.spawn(kind, name="it")
        for _ in range(events):
            await ref.ask(Grow(100))
        await asyncio.sleep(1)
        return await ref.ask(Look())


@pytest.mark.parametrize(
    ("after", "expected", "reason"),
    [
        (program(Renamed, grow_renamed), {"amount": 2_500}, "its state has other fields or types of fields"),
        (program(Wider, grow_wider), {"total": 2_500, "events": 25}, "its state has other fields or types of fields"),
        (program(OtherType, grow_text), {"total": "100" * 25}, "its state has other fields or types of fields"),
        (program(Total, grow_double), {"total": 5_000}, "the code that applies events has changed"),
        (program(Total, grow_total, version=2), {"total": 2_500}, "it was made by state_version=1, now it is 2"),
    ],
    ids=["renamed", "wider", "other_type", "other_rules", "other_version"],
)
@virtual_time
async def test_a_snapshot_of_another_program_is_not_taken_for_the_state(
    after: type[EventSourcedActor[Any]], expected: dict[str, object], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The present code applies the events, a warning says why, and the next start has a snapshot that is used."""
    journal = MemoryJournal()
    assert await life(journal, program(Total, grow_total), 25) == {"total": 2_500}
    assert await life(journal, after) == expected
    assert f"the snapshot of 'user/it' at 20 is not used: {reason}; all events are applied instead" in caplog.text
    caplog.clear()
    assert await life(journal, after) == expected
    assert caplog.text == ""


@virtual_time
async def test_a_snapshot_of_the_same_program_is_used_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    """Another class of the same code, as after a restart of the process, has the same fingerprints."""
    journal = MemoryJournal()
    await life(journal, program(Total, grow_total), 25)
    await journal.append("user/it", [b"never read"] * 0)
    assert await life(journal, program(Total, grow_total)) == {"total": 2_500}
    assert caplog.text == ""


@virtual_time
async def test_without_its_events_a_snapshot_of_another_shape_fails_the_start_with_the_cure() -> None:
    """A state that would be wrong is not made of it; the error names both and what to write."""
    journal = MemoryJournal()
    await life(journal, program(Total, grow_total, keep=False), 45)
    with pytest.raises(StartFailed) as caught:
        await life(journal, program(Wider, grow_wider, keep=False))
    error = caught.value.__cause__
    assert isinstance(error, SnapshotUnreadable)
    assert re.search(
        r"it#\d+: the snapshot of 'user/it' at 40 cannot be used \(its state has other fields or types of fields\), "
        r"and the events before it are gone \(keep_events=False\): write .*Grower\.migrate_state$",
        str(error),
    )


@virtual_time
async def test_without_its_events_a_snapshot_of_other_rules_is_used_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The fields fit, and nothing else is left; the warning says what to do when the numbers mean something else."""
    journal = MemoryJournal()
    await life(journal, program(Total, grow_total, keep=False), 45)
    assert await life(journal, program(Total, grow_double, keep=False)) == {"total": 4_000 + 5 * 200}
    assert (
        "is used although other code made it, since the events before it are gone; raise state_version" in caplog.text
    )


def migrating(migrate: Callable[[int, object], Wider], *, keep: bool = False) -> type[EventSourcedActor[Any]]:
    """Return the version of the program with a second field, and a migration."""

    class Migrating(program(Wider, grow_wider, version=2, keep=keep)):  # type: ignore[misc]  # made at run time
        def migrate_state(self, version: int, saved: object) -> Wider:
            return migrate(version, saved)

    return Migrating


@virtual_time
async def test_a_migration_makes_the_present_state_of_an_earlier_one(caplog: pytest.LogCaptureFixture) -> None:
    """It gets the version and the plain fields; the events after the snapshot are applied to what it returns."""

    def migrate(version: int, saved: object) -> Wider:
        assert (version, saved) == (1, {"total": 4_000})
        return Wider(total=4_000, events=40)

    journal = MemoryJournal()
    await life(journal, program(Total, grow_total, keep=False), 45)
    assert await life(journal, migrating(migrate), 1) == {"total": 4_600, "events": 46}
    assert caplog.text == ""


@virtual_time
async def test_a_migration_that_raises_leaves_the_events(caplog: pytest.LogCaptureFixture) -> None:
    """Its error is in the warning; without events it is in the error of the start."""

    def migrate(version: int, saved: object) -> Wider:
        raise KeyError(f"{version} {saved}")

    kept, gone = MemoryJournal(), MemoryJournal()
    await life(kept, program(Total, grow_total), 25)
    assert await life(kept, migrating(migrate, keep=True)) == {"total": 2_500, "events": 25}
    assert "now it is 2, and migrate_state raised KeyError" in caplog.text
    await life(gone, program(Total, grow_total, keep=False), 45)
    with pytest.raises(StartFailed) as caught:
        await life(gone, migrating(migrate))
    assert isinstance(caught.value.__cause__, ActorError)
    assert "and migrate_state raised KeyError" in str(caught.value.__cause__)


@virtual_time
async def test_a_state_that_can_no_longer_be_encoded_fails_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A number above 64 bits: each snapshot that is due is warned of; the actor goes on, and starts from events."""
    journal = MemoryJournal()

    def square(state: Total, by: int) -> None:
        state.total += by * 2**64

    kind = program(Total, square, every=2)
    assert await life(journal, kind, 5) == {"total": 500 * 2**64}
    assert len(re.findall(r"the state at \d cannot be kept in a snapshot \(OverflowError", caplog.text)) == 2
    assert await journal.load_snapshot("user/it") is None
    assert await life(journal, kind) == {"total": 500 * 2**64}


class Moved(Message, tag="evolution.moved"):
    x: int
    y: int


class Where(Message[list[int]]):
    """The reply is the position."""


class Walker(EventSourcedActor[list[int]]):
    """Once it stepped ``steps`` in a ``direction``; diagonal steps were two, and a pause was an event."""

    def initial_state(self) -> list[int]:
        return [0, 0]

    @handler
    def where(self, msg: Where) -> list[int]:
        return self.state

    @applies
    def moved(self, event: Moved) -> None:
        self.state = [self.state[0] + event.x, self.state[1] + event.y]

    @upcasts("evolution.stepped")
    def stepped(self, fields: dict[str, object]) -> Moved | list[Moved]:
        steps = fields["steps"]
        assert isinstance(steps, int)
        if fields["direction"] == "diagonal":
            return [Moved(steps, 0), Moved(0, steps)]
        return Moved(steps, 0) if fields["direction"] == "right" else Moved(0, steps)

    @upcasts("evolution.paused")
    def paused(self, fields: dict[str, object]) -> tuple[Moved, ...]:
        assert fields == {}
        return ()


@virtual_time
async def test_an_upcaster_makes_present_events_of_old_ones() -> None:
    """One, several or none of each; the numbers of the records stay, and present events are not touched."""
    journal = MemoryJournal()
    old: list[dict[str, object]] = [
        {"$type": "evolution.stepped", "direction": "right", "steps": 3},
        {"$type": "evolution.stepped", "direction": "diagonal", "steps": 2},
        {"$type": "evolution.paused"},
        {"$type": "evolution.moved", "x": 10, "y": 20},
    ]
    await journal.append("user/it", [msgspec.msgpack.encode(each) for each in old])
    async with Node(journal=journal) as node:
        assert await (await node.spawn(Walker, name="it")).ask(Where()) == [15, 22]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"$type": "evolution.stepped", "steps": 3}, "its upcaster raised KeyError: 'direction'"),
        ({"$type": "evolution.walked"}, "its upcaster returned a Grown, which .*Odd does not apply; it"),
        ({"$type": "evolution.ran"}, "its upcaster raised TypeError: 'int' object is not iterable"),
        ({"$type": "evolution.swum"}, r"or write @upcasts\('evolution.swum'\)"),
    ],
)
@virtual_time
async def test_an_upcaster_that_fails_is_named_with_its_record(fields: dict[str, object], sentence: str) -> None:
    """It raises, returns an event that is not applied, or no event at all; without one, the error names the cure."""

    class Odd(Walker):
        @upcasts("evolution.walked")
        def walked(self, fields: dict[str, object]) -> Grown:
            return Grown(len(fields))

        @upcasts("evolution.ran")
        def ran(self, fields: dict[str, object]) -> Moved:
            return len(fields)  # type: ignore[return-value]  # pyright: ignore[reportReturnType]  # wrong on purpose

    journal = MemoryJournal()
    await journal.append("user/it", [msgspec.msgpack.encode(fields)])
    async with Node(journal=journal) as node:
        with pytest.raises(StartFailed) as caught:
            await node.spawn(Odd, name="it")
    assert isinstance(caught.value.__cause__, EventUnreadable)
    assert re.search(r"record 1 of 'user/it'.*" + sentence, str(caught.value.__cause__))


def test_the_shape_of_a_state_is_its_fields_and_their_types() -> None:
    """Names of classes, docstrings and defaults do not count; names and types of fields do, at any depth."""

    def nested(inner: type, *, described: bool = False) -> object:
        fields = [("one", inner), ("many", list[inner])]  # type: ignore[valid-type]  # made at run time
        outer = msgspec.defstruct("Another" if described else "Outer", fields)
        outer.__doc__ = "A docstring." if described else None
        return shape_of(outer)

    class Titled(msgspec.Struct):
        title: int = 0

    class Untitled(msgspec.Struct):
        pass

    assert nested(Total) == nested(Total, described=True)
    assert len({nested(each) for each in (Total, Renamed, Wider, OtherType)}) == 4
    assert shape_of(Titled) != shape_of(Untitled)
    assert shape_of(dict[str, int]) != shape_of(dict[str, str])
    assert shape_of(dataclass(type("Odd", (), {"__annotations__": {"x": object}})))

    class Linked(msgspec.Struct):
        next: "Linked | None" = None

    assert shape_of(Linked)


RATE = 3


def _rated(by: int) -> int:
    return by * RATE


def test_the_rules_are_the_code_and_the_functions_and_constants_that_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A docstring and the place in a file do not count; a constant, a default, a helper's code and a method do."""

    def first(by: int) -> int:
        """Grow."""
        return _rated(by)

    def same(by: int) -> int:
        """Grow, in other words."""
        return _rated(by)

    def other_constant(by: int) -> int:
        return _rated(by) + 1

    def other_default(by: int = 2) -> int:
        return _rated(by)

    class State:
        def grow(self) -> int:
            return 1

    class OtherState:
        def grow(self) -> int:
            return 2

    def method(state: State) -> int:
        return state.grow()

    functions: list[Any] = [first, other_constant, other_default]  # Any: their types do not matter
    digests = [rules_of([each], []) for each in functions]
    assert len(set(digests)) == 3
    assert rules_of([same], []) == digests[0]  # type: ignore[list-item]  # a function is one
    assert rules_of([method], [State]) != rules_of([method], [OtherState])  # type: ignore[list-item]  # a function is one
    monkeypatch.setitem(globals(), "RATE", 4)
    assert rules_of([first], []) != digests[0]  # type: ignore[list-item]  # a function is one
