"""Traces: the next messages of an actor, timed, with what became of them."""

from __future__ import annotations

import asyncio

import pytest

from tests.runtime.stage import Double, Fail, Hold, Note, Player, cell_of, staged
from trouper import Actor, InvalidOption, Message, Node, Reject, handler
from trouper.runtime.kernel.cell import Cell
from trouper.runtime.kernel.hooks import add_observer, remove_observer
from trouper.runtime.observe.tracing import UNREAD_MAX, Traced
from trouper.testing import Probe, settle


class Refuse(Message[int]):
    """The handler says no."""


class Nap(Message[int]):
    """The handler sleeps."""

    seconds: float


class Sleeper(Actor):
    @handler
    def refuse(self, _: Refuse) -> int:
        raise Reject("not today")

    @handler(reentrant=True)
    async def nap(self, msg: Nap) -> int:
        await asyncio.sleep(msg.seconds)
        return 0


def brief(traced: Traced) -> tuple[str, str, str | None, float]:
    """What a test compares."""
    return traced.message, traced.outcome, traced.error, traced.duration_s


@staged
async def test_a_trace_tells_outcome_and_duration_and_ends_after_its_count(node: Node) -> None:
    """Handled, rejected, failed and cancelled; in order; and no more than was asked for."""
    sleeper, player = await node.spawn(Sleeper), await node.spawn(Player)
    trace = node.introspection.trace(sleeper, 3)
    await sleeper.ask(Nap(2.5))
    with pytest.raises(Reject):
        await sleeper.ask(Refuse())
    cut = asyncio.ensure_future(sleeper.ask(Nap(100)))
    await asyncio.sleep(1)
    cut.cancel()
    await settle()
    sleeper.tell(Refuse())
    assert [brief(traced) async for traced in trace] == [
        ("Nap(seconds=2.5)", "handled", None, 2.5),
        ("Refuse()", "rejected", "Reject: not today", 0.0),
        ("Nap(seconds=100)", "cancelled", "CancelledError: ", 1.0),
    ]
    failures = node.introspection.trace(player, 1)
    player.tell(Fail("oh"))
    assert [brief(traced) async for traced in failures] == [("Fail(why='oh')", "failed", "ValueError: oh", 0.0)]


@staged
async def test_a_trace_begins_with_the_next_message_of_a_busy_actor(node: Node) -> None:
    """What is at work was begun unobserved; what waits is traced, and ``queued`` says how many wait behind it."""
    gate = asyncio.Event()
    player = await node.spawn(Player, None, gate)
    player.tell(Hold(1))
    await settle()
    trace = node.introspection.trace(player, 2)
    player.tell(Note(1))
    player.tell(Note(2))
    gate.set()
    assert [(traced.message, traced.queued) async for traced in trace] == [("Note(n=1)", 1), ("Note(n=2)", 0)]


@staged
async def test_reentrant_handlers_are_timed_one_by_one(node: Node) -> None:
    """Handlers that run beside one another have a watch each."""
    sleeper = await node.spawn(Sleeper)
    trace = node.introspection.trace(sleeper, 2)
    first, second = sleeper.ask(Nap(3)), sleeper.ask(Nap(1))
    await asyncio.gather(first, second)
    assert [(traced.message, traced.duration_s) async for traced in trace] == [
        ("Nap(seconds=1)", 1.0),
        ("Nap(seconds=3)", 3.0),
    ]


@staged
async def test_a_slow_reader_is_told_what_it_missed(node: Node) -> None:
    """Of more than fit the oldest give way, and the next one read says how many."""
    player = await node.spawn(Player)
    trace = node.introspection.trace(player, UNREAD_MAX + 5)
    for n in range(UNREAD_MAX + 5):
        player.tell(Note(n))
    await settle()
    seen = [(traced.message, traced.missed) async for traced in trace]
    assert (len(seen), seen[0], seen[1]) == (UNREAD_MAX, ("Note(n=5)", 5), ("Note(n=6)", 0))


@staged
async def test_a_trace_is_sent_to_an_actor(node: Node) -> None:
    """Each message is told as it is handled."""
    probe, player = Probe(node), await node.spawn(Player)
    node.introspection.trace(player, 1, to=probe.ref)
    assert await player.ask(Double(3)) == 6
    traced = await probe.expect(Traced)
    assert (traced.actor, traced.message_type, traced.message) == (str(player.address), "Double", "Double(n=3)")
    with pytest.raises(InvalidOption, match="cannot be sent its own trace"):
        node.introspection.trace(player, 1, to=player)


@staged
async def test_a_trace_ends_with_its_actor_and_when_it_is_closed(node: Node) -> None:
    """The reader is not left waiting."""
    player, other = await node.spawn(Player), await node.spawn(Player)
    trace = node.introspection.trace(player, 10)
    player.tell(Note(1))
    await settle()
    await player.stop()
    assert [traced.message async for traced in trace] == ["Note(n=1)"]
    assert [traced async for traced in node.introspection.trace(player, 10)] == []
    async with node.introspection.trace(other, 10) as left_early:
        other.tell(Note(2))
        async for traced in left_early:
            assert traced.message == "Note(n=2)"
            break
    assert cell_of(other).hooks is None
    assert [traced async for traced in left_early] == []


@staged
async def test_a_message_of_any_size_is_traced_in_bounds(node: Node) -> None:
    """A megabyte in a message is a few hundred characters in its trace."""
    player = await node.spawn(Player)
    trace = node.introspection.trace(player, 1)
    player.tell(Fail("x" * 1_000_000))
    (traced,) = [traced async for traced in trace]
    assert len(traced.message) < 600
    assert traced.error is not None
    assert len(traced.error) < 600


class Counting:
    """An observer that counts."""

    def __init__(self) -> None:
        self.begun = self.seen = 0

    def on_begin(self, cell: Cell, item: object) -> None:
        self.begun += 1

    def on_end(self, cell: Cell, item: object, error: BaseException | None) -> None:
        self.seen += 1


@staged
async def test_several_observe_one_actor(node: Node) -> None:
    """Each comes and goes by itself, and the last one to go restores the fast path."""
    player = await node.spawn(Player)
    observers = [Counting() for _ in range(3)]
    for observer in observers:
        add_observer(cell_of(player), observer)
        await player.ask(Double(1))
    for observer in observers:
        remove_observer(cell_of(player), observer)
        await player.ask(Double(1))
    remove_observer(cell_of(player), observers[0])
    assert [(each.begun, each.seen) for each in observers] == [(3, 3), (3, 3), (3, 3)]
    assert cell_of(player).hooks is None


@pytest.mark.parametrize("count", [0, -1, 100_001])
def test_a_trace_has_bounds(count: int) -> None:
    """A trace of no messages and one of too many are refused."""

    @staged
    async def scene(node: Node) -> None:
        player = await node.spawn(Player, name="p")
        with pytest.raises(InvalidOption, match=rf"for {count} messages: it must be 1 to 100000$"):
            node.introspection.trace(player, count)

    scene()
