import asyncio
import gc
import re
import threading
from typing import Any

import pytest

from tests.runtime.stage import Fail, Note, Notes, Player, cell_of, play, staged
from trouper import (
    ActorCrashed,
    ActorEnded,
    ActorRestarted,
    ActorStarted,
    DeadLetter,
    Events,
    EventStream,
    InvalidOption,
    Message,
    Node,
)
from trouper.testing import Probe, settle


class Order(Message):
    number: int


class BigOrder(Order):
    pass


class Refund(Message):
    pass


def _hears_nothing(node: Node) -> bool:
    """Whether the runtime builds no event at all."""
    return _hooks(node) == (0, 0)


def _hooks(node: Node) -> tuple[int, int]:
    """How often the event stream listens to crashes and to lives; others may listen too."""
    crashes, lives = node.reports.on_crash, node.system.on_lifecycle
    return (
        sum(getattr(hook, "__self__", None) is node.events for hook in crashes),
        sum(getattr(hook, "__self__", None) is node.events for hook in lives),
    )


@staged
async def test_a_subscriber_gets_its_type_and_what_is_derived_from_it(node: Node) -> None:
    """Subclasses match, other types do not, and two matching subscriptions give one event."""
    probe, narrow = Probe(node), Probe(node)
    node.events.subscribe(Order, probe.ref)
    node.events.subscribe(BigOrder, probe.ref)
    node.events.subscribe(BigOrder, narrow.ref)
    for event in (Order(1), BigOrder(2), Refund()):
        node.events.publish(event)
    await probe.expect(Order(1))
    await probe.expect(BigOrder(2))
    await probe.expect_no()
    await narrow.expect(BigOrder(2))
    await narrow.expect_no()


@staged
async def test_a_type_is_unsubscribed_alone_or_with_all_others(node: Node) -> None:
    """`unsubscribe` takes back one type, or all; False says that there was nothing."""
    probe = Probe(node)
    node.events.subscribe(Order, probe.ref)
    node.events.subscribe(Refund, probe.ref)
    assert node.events.unsubscribe(probe.ref, Order)
    assert not node.events.unsubscribe(probe.ref, Order)
    node.events.publish(Order(1))
    node.events.publish(Refund())
    await probe.expect(Refund())
    assert node.events.unsubscribe(probe.ref)
    assert not node.events.unsubscribe(probe.ref)
    assert not cell_of(probe.ref).watchers
    node.events.publish(Refund())
    await probe.expect_no()


@staged
async def test_a_subscriber_that_has_ended_is_forgotten(node: Node) -> None:
    """Nothing is sent to it, also when it subscribes after its end."""
    probe = Probe(node)
    node.events.subscribe(Order, probe.ref)
    await probe.ref.stop()
    node.events.publish(Order(1))
    node.events.subscribe(Order, probe.ref)
    node.events.publish(Order(2))
    assert node.accounting().dead == 0


# --- streams ---------------------------------------------------------------------------------------------------------


@staged
async def test_a_script_reads_a_stream(node: Node) -> None:
    """Events come in order, from the moment at which the stream was made; closing lets what waits be read."""
    stream: EventStream[Order] = node.events.stream(Order)
    player = await node.spawn(Player)
    for event in (Order(1), Refund(), BigOrder(2)):
        node.events.publish(event)
    stream.close()
    node.events.publish(Order(3))
    assert [event async for event in stream] == [Order(1), BigOrder(2)]
    assert stream.missed == 0
    assert await player.ask(Notes()) == []


@staged
async def test_a_reader_waits_for_the_next_event(node: Node) -> None:
    """A stream without news is no end."""
    with node.events.stream(Order) as stream:
        reading = asyncio.ensure_future(anext(stream))
        await settle()
        assert not reading.done()
        node.events.publish(Order(1))
        assert await reading == Order(1)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


@staged
async def test_a_slow_reader_misses_the_oldest_and_is_told_how_many(node: Node) -> None:
    """Never more than the limit waits."""
    stream = node.events.stream(Order, limit=2)
    for number in range(5):
        node.events.publish(Order(number))
    stream.close()
    assert [event.number async for event in stream] == [3, 4]
    assert stream.missed == 3


@staged
async def test_a_stream_has_room_for_something(node: Node) -> None:
    """A limit of nothing is refused."""
    with pytest.raises(InvalidOption, match=f"^{re.escape('limit=0 must be 1 or more events')}$"):
        node.events.stream(Order, limit=0)


@staged
async def test_a_stream_that_is_dropped_is_unsubscribed(node: Node) -> None:
    """A `break` out of the loop leaves nothing behind."""
    player = await node.spawn(Player)
    heard: list[Message[object]] = []

    async def read_one() -> None:
        async for event in node.events.stream(ActorCrashed):
            heard.append(event)
            break

    reading = asyncio.ensure_future(read_one())
    await settle()
    assert not _hears_nothing(node)
    player.tell(Fail())
    await reading
    gc.collect()
    await settle()
    assert [type(event) for event in heard] == [ActorCrashed]
    assert _hears_nothing(node)


@staged
async def test_a_stream_that_another_thread_drops_is_unsubscribed_in_the_loop(node: Node) -> None:
    """The collector runs in any thread, and in the middle of any function: subscriptions change in the loop alone."""
    threads: list[int] = []
    close = Events._close  # noqa: SLF001  the one place that changes the subscriptions of a stream

    def noted(self: Events, buffer: Any) -> None:  # Any: a private class
        threads.append(threading.get_ident())
        close(self, buffer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Events, "_close", noted)
        streams = [node.events.stream(Order)]
        dropper = threading.Thread(target=streams.clear)
        dropper.start()
        dropper.join()
        streams.append(node.events.stream(Order))
        streams.clear()
        assert threads == [], "nothing is changed in the middle of a function"
        await settle()
    assert threads == [threading.get_ident()] * 2
    assert _hears_nothing(node)
    node.events.publish(Order(1))


def test_streams_end_with_the_node() -> None:
    """A reader gets to the end; a stream made after it ends at once."""

    async def main() -> None:
        async with Node() as node:
            first = node.events.stream(Order)
            node.events.publish(Order(1))
            reading = asyncio.ensure_future(_read(first))
            await settle()
        assert await reading == [Order(1)]
        assert await _read(node.events.stream(Order)) == []

    play(main)


async def _read(stream: EventStream[Order]) -> list[Order]:
    return [event async for event in stream]


# --- what the runtime publishes --------------------------------------------------------------------------------------


@staged
async def test_the_runtime_publishes_the_life_of_actors(node: Node) -> None:
    """Start, crash, restart and end, in order, each with its ref."""
    probe = Probe(node)
    for event in (ActorStarted, ActorCrashed, ActorRestarted, ActorEnded):
        node.events.subscribe(event, probe.ref)
    player = await node.spawn(Player)
    await probe.expect(ActorStarted(player))
    player.tell(Fail("why"))
    crashed = await probe.expect(ActorCrashed)
    assert (crashed.ref, crashed.error) == (player, "ValueError: why")
    assert crashed.report.startswith(f"{player.address} failed handling Fail(why='why')\n")
    await probe.expect(ActorRestarted(player))
    await player.kill()
    await probe.expect(ActorEnded(player, "killed"))


@staged
async def test_dead_letters_are_events(node: Node) -> None:
    """A subscriber to `DeadLetter`, or to all messages, gets each dead letter."""
    probe, everything = Probe(node), Probe(node)
    player = await node.spawn(Player)
    node.events.subscribe(DeadLetter, probe.ref)
    node.events.subscribe(Message, everything.ref)
    everything.ignore(ActorEnded)
    await player.stop()
    player.tell(Note(1))
    await probe.expect(DeadLetter(Note(1), player, "stopped"))
    await everything.expect(DeadLetter(Note(1), player, "stopped"))


@staged
async def test_nothing_is_built_when_nobody_has_subscribed(node: Node) -> None:
    """The hooks of the runtime are used only while there are subscribers for their events."""
    probe = Probe(node)
    node.events.subscribe(Order, probe.ref)
    assert _hears_nothing(node)
    node.events.subscribe(ActorRestarted, probe.ref)
    node.events.subscribe(ActorCrashed, probe.ref)
    assert _hooks(node) == (1, 1)
    node.events.unsubscribe(probe.ref, ActorCrashed)
    assert _hooks(node) == (0, 1)
    await probe.ref.stop()
    assert _hears_nothing(node)
