"""The send buffer of one peer: batches what is queued in one loop iteration into frames of encoded items.

An item that cannot be sent is handed back alone, and the others of its frame go on.  While the session has no capacity,
signals (the end of an actor, a watch, a cancelled ask) overtake what waits, in the session's control stream.  Messages
with large buffers wait in ``transfers`` until the buffers have gone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from typing import Protocol

from ..kernel.ask import Ask
from ..kernel.errors import WireError
from ..session.budget import Account
from ..session.bulk_chunks import BulkSettings, Chunk
from ..session.codec import ITEMS_MAX, REPLY_ERROR, BodyTooLarge, Item, OutOfBandPayload, SessionCodec
from .bulk.transfers import SegmentSource, Transfers
from .control import DropBuffers

HIGH_WATER = 1_000
"""Items that wait for the session before ``await tell`` waits too."""
LIMIT = 100_000
"""Items that wait for the session before more become dead letters."""
TURN_BODIES = 8
"""Bodies of ``ITEMS_MAX`` items that are encoded in one iteration of the loop, which takes some milliseconds."""
SIGNALS_MAX = 64
"""Signals in one frame of the control stream."""
BACKGROUND_MAX = 10_000
"""Items that wait in the background before more are refused."""
BULK_HIGH_BYTES = 67_108_864
"""Bytes of large buffers that wait before ``await tell`` waits too."""
BULK_TURN_BYTES = 16_777_216
"""Bytes of large buffers that are moved in one iteration of the loop."""

Rejected = Callable[[Item, WireError | None], None]


class SendPort(Protocol):
    """The session with the peer, as the buffer needs it."""

    @property
    def is_open(self) -> bool:
        """Whether there is a session to encode bodies for; until then items wait as they are."""
        ...

    @property
    def is_quiet(self) -> bool:
        """Whether the peer is in reach, and has acknowledged all that it was sent."""
        ...

    def send(self, body: bytes, /, *, urgent: bool = False) -> bool:
        """Send a body; False when the session has no capacity now."""
        ...

    def send_chunk(self, chunk: Chunk, /) -> bool:
        """Send a part of a large buffer; False when the session has no capacity now."""
        ...

    @property
    def body_bytes_max(self) -> int:
        """Bytes of the largest body that the peer takes."""
        ...


class SendBuffer:
    """What waits to be sent to one peer.

    asks: those that wait for a reply, by correlation; an ask that is no longer among them is not sent.
    rejected: called with an item that is not sent, and the error; None when its asker has given up.
    account: of the peer's identity.  segments: shared memory with the peer; None for none.
    """

    def __init__(
        self,
        sender: SendPort,
        tables: SessionCodec,
        asks: Mapping[int, Ask[object]],
        rejected: Rejected,
        loop: asyncio.AbstractEventLoop,
        bulk: BulkSettings,
        account: Account,
        segments: SegmentSource | None = None,
    ) -> None:
        self._account, self._counted_items = account, 0
        self._sender, self._tables, self._asks, self._rejected, self._loop = sender, tables, asks, rejected, loop
        self._context = Context()  # flushes must not run in the context of a sender
        self._bulk, self._transfers = bulk, Transfers(sender, bulk, segments, self._is_given_up)
        self._bulk_bytes = 0
        self._items: list[Item] = []
        self._ahead = 0
        self._signals: list[Item] = []
        self._background: deque[Item] = deque()
        self._bodies: deque[bytes] = deque()
        self._armed = self._busy = self.closed = False
        self._calm_items = ITEMS_MAX
        """With fewer items than this, ``put`` need not check anything."""
        self.above_high_water = False
        """Whether the last ``put`` was above the high-water mark; ``full`` need be checked only then."""
        self._capacity: asyncio.Event | None = None

    @property
    def is_backpressured(self) -> bool:
        """Whether so much waits that senders should wait too."""
        if self._bulk_bytes and (self._bulk_bytes >= BULK_HIGH_BYTES or self._transfers.waiting_items >= HIGH_WATER):
            return True
        return bool(self._bodies) or self._ahead + len(self._items) >= HIGH_WATER

    @property
    def is_empty(self) -> bool:
        """Whether no data waits."""
        return not (self._items or self._signals or self._background or self._bodies or self._transfers)

    @property
    def full(self) -> bool:
        """Whether messages must be refused."""
        if len(self._items) >= LIMIT or not self._account.has_room("queued_items"):
            return True
        return self._bulk_bytes > 0 and self._transfers.waiting_items >= LIMIT

    def reserve(self, buffer_bytes: int) -> bool:
        """Count the large buffers of the item that is put next; False when too many bytes wait already."""
        if self._bulk_bytes + buffer_bytes > self._bulk.queue_bytes_max:
            return False
        if not self._account.has_room("queued_bytes", buffer_bytes):
            return False
        self._count_bytes(buffer_bytes)
        self._calm_items = 0
        return True

    def charge(self, account: Account) -> None:
        """Let what waits, and what will, be counted by this account from now on: the peer is known."""
        self._account.move("queued_bytes", self._bulk_bytes, account)
        self._account.move("queued_items", self._counted_items, account)
        self._account = account

    def _count_bytes(self, buffer_bytes: int) -> None:
        self._bulk_bytes += buffer_bytes
        self._account.add("queued_bytes", buffer_bytes)

    def _count_items(self) -> None:
        """Have the account know how many items wait, which it need not know of items that go at once."""
        waiting = len(self._items) + len(self._signals) + len(self._background)
        if waiting != self._counted_items:
            self._account.add("queued_items", waiting - self._counted_items)
            self._counted_items = waiting

    def put(self, item: Item) -> bool:
        """Queue an item for the next frame; returns whether so much waits that senders should wait too."""
        items = self._items
        items.append(item)
        if not self._armed:
            self._arm()
        count = len(items)
        if count < self._calm_items:
            return False
        self.above_high_water = (
            self._ahead + count >= HIGH_WATER or bool(self._bodies) or (self._bulk_bytes > 0 and self.is_backpressured)
        )
        if count == ITEMS_MAX and self._ahead < HIGH_WATER and not self._busy:
            self._flush_full_frame()
        return self.above_high_water

    def _flush_full_frame(self) -> None:
        """Send a full frame before the loop iteration is over, so that the peer can begin.

        Its items count as waiting until the loop has run: a sender of many messages must not keep the loop from other
        work.
        """
        ahead = self._ahead
        self._context.run(self.flush)
        self._ahead = ahead + max(0, ITEMS_MAX - len(self._items))
        self._update_calm_items()
        self._armed = True  # as it was before: the loop will call

    def _arm(self) -> None:
        self._armed = True
        self._loop.call_soon(self.flush, context=self._context)

    def flush_now(self) -> None:
        """Send the item at once, and not at the end of the loop iteration, if it waits alone and the session is quiet.

        While the peer has acknowledged all that it was sent, waiting for more data gains nothing and delays the reply.
        This is Nagle's rule (RFC 896).
        """
        is_alone = len(self._items) == 1 and not (self._bodies or self._bulk_bytes or self._ahead or self._busy)
        if is_alone and self._sender.is_quiet:
            self._context.run(self.flush)
            self._armed = True  # as it was before: the loop will call

    def cork(self) -> None:
        """Hold back what is put until the caller calls ``flush``, which it must do in this loop iteration."""
        self._armed = True

    def put_signal(self, item: Item) -> None:
        """Queue a signal: in order with all other items, unless the session has no capacity."""
        if self._bodies:
            self._signals.append(item)
            if not self._armed:
                self._arm()
        else:
            self.put(item)

    def put_urgent(self, item: Item) -> None:
        """Queue an item for the control stream: ahead of all that waits, whatever capacity the session has."""
        self._signals.append(item)
        if not self._armed:
            self._arm()

    def put_background(self, item: Item) -> bool:
        """Queue an item behind everything else, to be sent when nothing else waits; False when too many such wait."""
        if len(self._background) >= BACKGROUND_MAX:
            return False
        self._background.append(item)
        if not self._armed:
            self._arm()
        return True

    def flush(self) -> None:
        """Encode what is queued into frames, and send as many as the session has capacity for."""
        self._armed, self._ahead = False, 0
        if not self._sender.is_open:
            self._count_items()
            return
        self._busy = True
        try:
            self._flush()
        finally:
            self._busy = False
            self._count_items()
        self._update_calm_items()
        if self._capacity is not None and not self.is_backpressured:
            self._release()

    def _update_calm_items(self) -> None:
        """Compute up to how many items ``put`` need not check anything."""
        self._calm_items = 0 if self._bodies or self._bulk_bytes else min(ITEMS_MAX, HIGH_WATER - self._ahead)
        self.above_high_water = len(self._items) >= self._calm_items and self.is_backpressured

    def _flush(self) -> None:
        if self._signals:
            self._flush_signals()
        moved_bytes, bodies_left = 0, TURN_BODIES
        while not self.closed:
            if self._bodies:
                if not self._sender.send(self._bodies[0]):
                    break
                self._bodies.popleft()
            elif self._items:
                if not bodies_left:
                    self._arm()  # the loop has other work too
                    break
                bodies_left -= 1
                self._encode(self._next_items())
            elif self._bulk_bytes and self._transfers:
                if moved_bytes >= BULK_TURN_BYTES:
                    self._arm()
                    break
                moved = self._move()
                if not moved:
                    break
                moved_bytes += moved
            elif self._background:
                if not bodies_left:
                    self._arm()
                    break
                bodies_left -= 1
                self._encode([self._background.popleft() for _ in range(min(len(self._background), SIGNALS_MAX))])
            else:
                break

    def _flush_signals(self) -> None:
        while self._signals and not self.closed:
            signals, self._signals = self._signals[:SIGNALS_MAX], self._signals[SIGNALS_MAX:]
            if not self._sender.send(self._tables.encode(signals, (), self._sender.body_bytes_max), urgent=True):
                self._signals = signals + self._signals
                break

    async def wait_for_capacity(self) -> None:
        """Wait until less than the high-water mark waits."""
        while self.is_backpressured and not self.closed:
            if self._capacity is None:
                self._capacity = asyncio.Event()
            await self._capacity.wait()

    def close(self) -> tuple[list[bytes], list[Item]]:
        """Send nothing more; returns what was not sent: bodies, and the items that come after them."""
        self.closed = True
        items = [*self._transfers.close(), *self._items, *self._signals, *self._background]
        bodies, items = list(self._bodies), [*map(_unpacked, items)]
        self._bodies.clear()
        self._count_bytes(-self._bulk_bytes)
        self._items, self._signals = [], []
        self._background.clear()
        self._count_items()
        if self._capacity is not None:
            self._release()
        return bodies, items

    def _release(self) -> None:
        if self._capacity is not None:
            self._capacity.set()
            self._capacity = None

    def _next_items(self) -> Sequence[Item]:
        items = self._items
        if len(items) <= ITEMS_MAX:
            self._items, head = [], items
        else:
            head = items[:ITEMS_MAX]
            del items[:ITEMS_MAX]
        if self._bulk_bytes:
            return self._split_off(head)
        return head

    def _split_off(self, items: Sequence[Item]) -> list[Item]:
        """Take out the items whose buffers have to go first, and those that must not overtake them."""
        through: list[Item] = []
        for item in items:
            if self._transfers.follow(item):
                continue
            if not isinstance(item[3], OutOfBandPayload):
                through.append(item)
            elif self._can_travel(item):
                self._transfers.add(item, item[3])
            else:
                self._count_bytes(-item[3].buffer_bytes)
        return through

    def _move(self) -> int:
        """Move a part of the large buffers; returns how many bytes, 0 for no capacity."""
        moved, messages, ready = self._transfers.step()
        if ready:
            before = [(0, 0, self._tables.number_of(type(lend)), lend) for lend in messages]
            self._encode([*before, ready[0]])
            followers = self._split_off(ready[1:])
            for at in range(0, len(followers), ITEMS_MAX):
                self._encode(followers[at : at + ITEMS_MAX])
            self._count_bytes(-_buffer_bytes(ready[0]))
        return moved

    def _is_given_up(self, item: Item) -> bool:
        return item[1] > 0 and item[2] > REPLY_ERROR and item[1] not in self._asks

    def _reject(self, item: Item, error: WireError | None) -> None:
        """Hand back an item; the peer is told to drop the buffers that went ahead of it."""
        if isinstance(item[3], OutOfBandPayload):
            numbers = [out_of_band.number for out_of_band in item[3].buffers if out_of_band.number]
            if numbers:
                self.put((0, 0, self._tables.number_of(DropBuffers), DropBuffers(numbers)))
        self._rejected(_unpacked(item), error)

    def _encode(self, items: Sequence[Item]) -> None:
        """Encode items into bodies; an item that cannot be encoded is rejected, a body that is too large is halved."""
        wanted, deadlines = self._wanted(items)
        if not wanted:
            return
        try:
            self._bodies.append(self._tables.encode(wanted, deadlines, self._sender.body_bytes_max))
        except WireError as error:
            if not isinstance(error, BodyTooLarge):
                fit = [item for item in wanted if self._can_travel(item)]
                if len(fit) < len(wanted):
                    self._encode(fit)
                    return
            if len(wanted) == 1:
                self._reject(wanted[0], error)
                return
            half = len(wanted) // 2
            self._encode(wanted[:half])
            self._encode(wanted[half:])

    def _wanted(self, items: Sequence[Item]) -> tuple[Sequence[Item], list[float]]:
        """Leave out the asks whose askers have given up; the others get the seconds that they have left."""
        deadlines: list[float] = []
        given_up: list[Item] = []
        now = self._loop.time()
        for item in items:
            if item[1] and item[2] > REPLY_ERROR:
                ask = self._asks.get(item[1])
                if ask is None:
                    given_up.append(item)
                else:
                    deadlines.append(max(0.0, ask.deadline - now))
        if not given_up:
            return items, deadlines
        for item in given_up:
            self._reject(item, None)
        left_out = {item[1] for item in given_up}
        return [item for item in items if item[2] <= REPLY_ERROR or item[1] not in left_out], deadlines

    def _can_travel(self, item: Item) -> bool:
        try:
            self._tables.check(item[3])
        except WireError as error:
            self._reject(item, error)
            return False
        return True


def _unpacked(item: Item) -> Item:
    """The item as it was put: with the value in place of its out-of-band payload."""
    to, correlation, number, payload = item
    return (to, correlation, number, payload.value) if isinstance(payload, OutOfBandPayload) else item


def _buffer_bytes(item: Item) -> int:
    return item[3].buffer_bytes if isinstance(item[3], OutOfBandPayload) else 0
