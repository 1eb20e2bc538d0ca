import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from types import SimpleNamespace
from typing import cast

import msgspec

from tests.runtime.net.stage import Add, Anything
from tests.runtime.stage import play
from trouper import ActorRef, WireError
from trouper.runtime.kernel.ask import Ask
from trouper.runtime.net.control import CONTROLS, CancelAsk
from trouper.runtime.net.send_buffer import BULK_HIGH_BYTES, HIGH_WATER, TURN_BODIES, SendBuffer
from trouper.runtime.session.budget import Budget, PeerLimits
from trouper.runtime.session.buffers import extract
from trouper.runtime.session.bulk_chunks import BulkSettings, Chunk
from trouper.runtime.session.codec import ITEMS_MAX, Item, OutOfBandPayload, RefDefinition, SessionCodec
from trouper.testing import settle


class Link:
    """A way that has room for so many bodies."""

    body_bytes_max = 100_000
    is_open = True
    is_quiet = True

    def __init__(self) -> None:
        self.room = 1_000
        self.sent: list[tuple[bool, int]] = []
        self.payloads: list[object] = []
        self.chunks: list[Chunk] = []
        self.last: object = None

    def send(self, body: bytes, /, *, urgent: bool = False) -> bool:
        """Take a body, and keep how many items it had."""
        if not urgent and not self.room:
            return False
        self.room -= not urgent
        items: list[tuple[int, int, int, dict[str, object]]] = msgspec.msgpack.decode(body)[2]
        self.sent.append((urgent, len(items)))
        self.last = items[-1][3]
        self.payloads += [item[3].get("n", item[3].get("correlation")) for item in items]
        return True

    def send_chunk(self, chunk: Chunk, /) -> bool:
        """Take a part of a buffer, and keep it."""
        if not self.room:
            return False
        self.room -= 1
        self.chunks.append(chunk)
        return True


class Box:
    """A send buffer with a fake session, and what it did not send."""

    def __init__(self) -> None:
        self.link = Link()
        self.tables = SessionCodec(self._describe, self._ref_of, tuple(CONTROLS))
        self.bulk = BulkSettings(bulk_bytes_min=100)
        self.rejected: list[tuple[object, str | None]] = []
        self.asks: dict[int, Ask[object]] = {}
        account = Budget(PeerLimits()).account("k", "ada", shared=True)
        loop = asyncio.get_running_loop()
        self.buffer = SendBuffer(self.link, self.tables, self.asks, self._reject, loop, self.bulk, account)

    def item(self, n: int, correlation: int = 0) -> Item:
        """A message with this number."""
        return 5, correlation, self.tables.number_of(Add), Add(n)

    def large_item(self, data: bytes, to: int = 5, correlation: int = 0) -> Item:
        """A message with this large buffer, for which there is room."""
        payload = OutOfBandPayload(Anything(data), *extract(Anything(data), self.bulk.bulk_bytes_min))
        assert self.buffer.reserve(payload.buffer_bytes)
        return to, correlation, self.tables.number_of(Anything), payload

    def signal(self, n: int) -> Item:
        """A signal with this number."""
        return 0, 0, self.tables.number_of(CancelAsk), CancelAsk(n)

    def _reject(self, item: Item, error: WireError | None) -> None:
        self.rejected.append((item[3], None if error is None else str(error)))

    def _describe(self, ref: ActorRef) -> tuple[str, int, str, int]:
        raise AssertionError(f"{ref} is not sent here")

    def _ref_of(self, definition: RefDefinition) -> ActorRef:
        raise AssertionError(f"{definition} is not sent here")


def boxed(scene: Callable[[Box], Coroutine[object, object, None]]) -> Callable[[], None]:
    """Make a test of ``async def test_...(box)``."""

    @wraps(scene)
    def test() -> None:
        async def main() -> None:
            await scene(Box())

        play(main)

    del test.__dict__["__wrapped__"]
    return test


@boxed
async def test_the_first_ask_of_a_turn_does_not_wait_for_its_end(box: Box) -> None:
    """On a quiet session; items after it go out together, and so does an ask that is not the first item."""
    box.buffer.put(box.item(0))
    box.buffer.flush_now()
    assert box.link.sent == [(False, 1)]
    box.link.is_quiet = False
    for n in range(1, 4):
        box.buffer.put(box.item(n))
        box.buffer.flush_now()
    assert box.link.sent == [(False, 1)]
    await settle()
    assert box.link.sent == [(False, 1), (False, 3)]
    box.link.is_quiet = True
    box.buffer.put(box.item(4))
    box.buffer.put(box.item(5))
    box.buffer.flush_now()
    assert len(box.link.sent) == 2
    await settle()
    assert box.link.payloads == list(range(6))


@boxed
async def test_what_one_turn_says_goes_out_together(box: Box) -> None:
    """A frame goes when it is full, or when the turn is over."""
    for n in range(ITEMS_MAX - 1):
        box.buffer.put(box.item(n))
    assert box.link.sent == []
    for n in range(ITEMS_MAX - 1, ITEMS_MAX + 3):
        box.buffer.put(box.item(n))
    assert box.link.sent == [(False, ITEMS_MAX)]
    await settle()
    assert box.link.sent == [(False, ITEMS_MAX), (False, 3)]
    assert box.link.payloads == list(range(ITEMS_MAX + 3))


@boxed
async def test_signals_go_ahead_only_while_the_link_has_no_room(box: Box) -> None:
    """Otherwise they stay in order with all else."""
    box.buffer.put(box.item(1))
    box.buffer.put_signal(box.signal(2))
    await settle()
    assert box.link.payloads == [1, 2]
    box.link.room = 0
    box.buffer.put(box.item(3))
    await settle()
    box.buffer.put_signal(box.signal(4))
    await settle()
    assert (box.link.payloads, box.buffer.is_backpressured) == ([1, 2, 4], True)
    box.link.room = 9
    box.buffer.flush()
    assert (box.link.payloads, box.buffer.is_backpressured) == ([1, 2, 4, 3], False)


@boxed
async def test_a_sender_that_waits_for_room_goes_on_when_there_is_some(box: Box) -> None:
    """A session without capacity makes senders wait that await; so do many items of one loop iteration."""
    box.link.room = 0
    for n in range(HIGH_WATER):
        box.buffer.put(box.item(n))
    assert box.buffer.is_backpressured
    waiting = asyncio.ensure_future(box.buffer.wait_for_capacity())
    await settle()
    assert not waiting.done()
    box.link.room = 9
    box.buffer.flush()
    await waiting
    assert box.link.payloads == list(range(HIGH_WATER))


@boxed
async def test_an_ask_that_was_given_up_is_not_sent(box: Box) -> None:
    """It was given up before its turn came."""
    box.buffer.put(box.item(1))
    box.buffer.put(box.item(2, correlation=7))
    await settle()
    assert (box.link.payloads, box.rejected) == ([1], [(Add(2), None)])


@boxed
async def test_what_cannot_be_sent_is_handed_back_alone(box: Box) -> None:
    """An item that is too large, one that cannot travel, and one that is nested too deep beside good ones."""
    deep: object = 1
    for _ in range(10_000):
        deep = [deep]
    bad = [Anything("x" * 200_000), Anything(object()), Anything(deep)]
    for n, message in enumerate(bad):
        box.buffer.put(box.item(n))
        box.buffer.put((5, 0, box.tables.number_of(Anything), message))
    await settle()
    assert box.link.payloads == [0, 1, 2]
    assert [message for message, _ in box.rejected] == [bad[1], bad[2], bad[0]]


@boxed
async def test_a_closed_send_buffer_gives_back_what_it_has_and_sends_nothing(box: Box) -> None:
    """Bodies that the session did not take, and the items after them; no sender waits any more."""
    box.link.room = 0
    box.buffer.put(box.item(1))
    await settle()
    box.buffer.put(box.item(2))
    waiting = asyncio.ensure_future(box.buffer.wait_for_capacity())
    await settle()
    bodies, items = box.buffer.close()
    assert ([len(bodies)], [item[3] for item in items]) == ([1], [Add(2)])
    await waiting
    box.link.room = 9
    box.buffer.flush()
    assert box.link.payloads == []


@boxed
async def test_a_message_goes_after_its_buffers_and_before_later_messages(box: Box) -> None:
    """To others it goes ahead; a frame that has room for it takes both."""
    box.link.room = 0
    box.buffer.put(box.large_item(b"x" * 150_000))
    box.buffer.put(box.item(1))
    box.buffer.put((6, 0, box.tables.number_of(Add), Add(2)))
    await settle()
    assert (box.link.chunks, box.link.payloads) == ([], [])
    box.link.room = 1
    box.buffer.flush()
    assert box.link.payloads == [2]
    box.link.room = 10
    box.buffer.flush()
    assert [len(part) for _, part in box.link.chunks] == [99_976, 50_024]
    assert box.link.payloads == [2, None, 1]
    assert not box.buffer.is_backpressured


@boxed
async def test_the_peer_drops_the_buffers_of_an_ask_that_was_given_up(box: Box) -> None:
    """The rest of its buffers is not sent, and the peer is told which were."""
    box.asks[9] = cast("Ask[object]", SimpleNamespace(deadline=5.0))
    box.buffer.put(box.large_item(b"x" * 150_000, correlation=9))
    box.link.room = 1
    await settle()
    assert len(box.link.chunks) == 1
    del box.asks[9]
    box.link.room = 10
    box.buffer.flush()
    await settle()
    assert (len(box.link.chunks), box.link.last) == (1, {"$type": "trouper.DropBuffers", "numbers": [1]})
    assert box.rejected == [(Anything(b"x" * 150_000), None)]


@boxed
async def test_what_is_left_at_the_end_is_handed_back_as_it_was_put(box: Box) -> None:
    """Messages, not their out-of-band payloads."""
    box.link.room = 1
    box.buffer.put(box.large_item(b"x" * 150_000))
    box.buffer.put(box.item(1))
    await settle()
    bodies, items = box.buffer.close()
    assert bodies == []
    assert [item[3] for item in items] == [Anything(b"x" * 150_000), Add(1)]


@boxed
async def test_large_buffers_press_and_fill_the_link(box: Box) -> None:
    """From one limit on senders should wait; from another on more is refused."""
    box.link.room = 0
    box.buffer.put(box.large_item(bytes(BULK_HIGH_BYTES)))
    assert box.buffer.is_backpressured
    assert not box.buffer.reserve(box.bulk.queue_bytes_max)
    assert not box.buffer.full


@boxed
async def test_a_large_message_that_cannot_be_sent_is_handed_back_before_any_of_its_buffers_goes(box: Box) -> None:
    """Others go on."""
    value = Anything([b"x" * 200, object()])
    payload = OutOfBandPayload(value, *extract(value, 100))
    assert box.buffer.reserve(payload.buffer_bytes)
    box.buffer.put((5, 0, box.tables.number_of(Anything), payload))
    box.buffer.put(box.item(1))
    await settle()
    assert (box.link.chunks, box.link.payloads, len(box.rejected)) == ([], [1], 1)
    why = "Anything cannot travel: object is no type that the wire knows, in Anything.value[1]"
    assert box.rejected == [(value, why)]


@boxed
async def test_what_is_much_goes_out_in_several_turns_of_the_loop(box: Box) -> None:
    """So that the loop gets to its other work in between; the order stays.  Little goes before the turn is over."""
    box.link.room = 100
    ahead = -(-HIGH_WATER // ITEMS_MAX)
    for n in range(ITEMS_MAX * (ahead + 2 * TURN_BODIES + 1)):
        assert box.buffer.put(box.item(n)) == (n + 1 >= HIGH_WATER)
    turns = [len(box.link.sent)]
    while turns[-1] < ahead + 2 * TURN_BODIES + 1:
        await asyncio.sleep(0)
        turns.append(len(box.link.sent))
    assert turns == [ahead, ahead + TURN_BODIES, ahead + 2 * TURN_BODIES, ahead + 2 * TURN_BODIES + 1]
    assert box.link.payloads == list(range(len(box.link.payloads)))
