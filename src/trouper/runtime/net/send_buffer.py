"""What waits to go to one node: all that one loop turn says goes out together, encoded once, and full frames at once.

An item that cannot be sent is handed back alone, and the others of its frame go on.  While the link has no room,
signals (the end of an actor, a watch, a cancelled ask) go ahead of what waits, in the link's control lane.  Messages
with large buffers wait in ``transfers`` until those have gone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from typing import Protocol

from ..kernel.ask import Ask
from ..kernel.errors import WireError
from ..session.bulk_chunks import BulkSettings, Chunk
from ..session.codec import ITEMS_MAX, REPLY_ERROR, BodyTooLarge, Item, OutOfBandPayload, SessionCodec
from .bulk.transfers import SegmentSource, Transfers
from .control import DropBuffers

HIGH_WATER = 1_000
"""Items that wait for the link before ``await tell`` waits too."""
LIMIT = 100_000
"""Items that wait for the link before more become dead letters."""
TURN_BODIES = 8
"""Bodies of ``ITEMS_MAX`` that are made in one turn of the loop, which takes some milliseconds."""
SIGNALS_MAX = 64
"""Signals in one frame of the control lane."""
BULK_HIGH_BYTES = 67_108_864
"""Bytes of large buffers that wait to go before ``await tell`` waits too."""
BULK_TURN_BYTES = 16_777_216
"""Bytes of large buffers that are moved before the loop does something else."""

Rejected = Callable[[Item, WireError | None], None]


class SendPort(Protocol):
    """The link to the node."""

    @property
    def is_open(self) -> bool:
        """Whether there is a session to make bodies for; what is said meanwhile waits as it is."""
        ...

    @property
    def is_quiet(self) -> bool:
        """Whether the node is in reach, and has acknowledged all that it was sent."""
        ...

    def send(self, body: bytes, /, *, urgent: bool = False) -> bool:
        """Give it a body; False when it has no room."""
        ...

    def send_chunk(self, chunk: Chunk, /) -> bool:
        """Give it a part of a large buffer; False when it has no room."""
        ...

    @property
    def body_bytes_max(self) -> int:
        """Bytes of the largest body that the node takes."""
        ...


class SendBuffer:
    """See the top of the file.

    asks: those that wait for a reply, by correlation; one that is no longer among them is not sent.
    rejected: called with an item that is not sent, and the error; None when its asker has given up.
    """

    def __init__(
        self,
        sender: SendPort,
        tables: SessionCodec,
        asks: Mapping[int, Ask[object]],
        rejected: Rejected,
        loop: asyncio.AbstractEventLoop,
        bulk: BulkSettings,
        segments: SegmentSource | None = None,
    ) -> None:
        self._sender, self._tables, self._asks, self._rejected, self._loop = sender, tables, asks, rejected, loop
        self._context = Context()  # what is sent has nothing to do with what its first sender was at
        self._bulk, self._transfers = bulk, Transfers(sender, bulk, segments, self._is_given_up)
        self._bulk_bytes = 0
        self._items: list[Item] = []
        self._ahead = 0
        self._signals: list[Item] = []
        self._bodies: deque[bytes] = deque()
        self._armed = self._busy = self.closed = False
        self._calm_items = ITEMS_MAX
        """While fewer items than this wait, nothing need be decided when one is put."""
        self.above_high_water = False
        """Whether senders had to wait when an item was put last: only then need anybody ask whether it is ``full``."""
        self._room: asyncio.Event | None = None

    @property
    def is_backpressured(self) -> bool:
        """Whether so much waits for the link that senders should wait too."""
        if self._bulk_bytes and (self._bulk_bytes >= BULK_HIGH_BYTES or self._transfers.waiting_items >= HIGH_WATER):
            return True
        return bool(self._bodies) or self._ahead + len(self._items) >= HIGH_WATER

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not (self._items or self._signals or self._bodies or self._transfers)

    @property
    def full(self) -> bool:
        """Whether messages must be refused."""
        return len(self._items) >= LIMIT or (self._bulk_bytes > 0 and self._transfers.waiting_items >= LIMIT)

    def reserve(self, buffer_bytes: int) -> bool:
        """Take note that a parcel with so many bytes of large buffers will be put next; False for too many."""
        if self._bulk_bytes + buffer_bytes > self._bulk.queue_bytes_max:
            return False
        self._bulk_bytes += buffer_bytes
        self._calm_items = 0
        return True

    def put(self, item: Item) -> bool:
        """Send an item with all else that this turn says; returns whether ``is_backpressured``."""
        items = self._items
        items.append(item)
        if not self._armed:
            self._arm()
        said = len(items)
        if said < self._calm_items:
            return False
        self.above_high_water = (
            self._ahead + said >= HIGH_WATER or bool(self._bodies) or (self._bulk_bytes > 0 and self.is_backpressured)
        )
        if said == ITEMS_MAX and self._ahead < HIGH_WATER and not self._busy:
            self._flush_full_frame()
        return self.above_high_water

    def _flush_full_frame(self) -> None:
        """Send a full frame before the turn is over, so that the other node can begin.

        It counts for ``is_backpressured`` until the loop has had its turn: who says much must not keep the loop from it.
        """
        ahead = self._ahead
        self._context.run(self.flush)
        self._ahead = ahead + max(0, ITEMS_MAX - len(self._items))
        self._calm_down()
        self._armed = True  # as it was before: the loop will call

    def _arm(self) -> None:
        self._armed = True
        self._loop.call_soon(self.flush, context=self._context)

    def flush_now(self) -> None:
        """Send the one item that waits at once, and not at the end of the turn, when the link is quiet.

        It is an ask: somebody waits for the answer, and while the peer has acknowledged all that it was sent, nothing
        is gained by waiting for more.  What else this turn says goes out together.  This is Nagle's rule (RFC 896).
        """
        is_alone = len(self._items) == 1 and not (self._bodies or self._bulk_bytes or self._ahead or self._busy)
        if is_alone and self._sender.is_quiet:
            self._context.run(self.flush)
            self._armed = True  # as it was before: the loop will call

    def cork(self) -> None:
        """Have what is put wait for ``flush``, which the caller promises for this very turn."""
        self._armed = True

    def put_signal(self, item: Item) -> None:
        """Send a signal: in order with all else, unless the link has no room."""
        if self._bodies:
            self._signals.append(item)
            if not self._armed:
                self._arm()
        else:
            self.put(item)

    def flush(self) -> None:
        """Put what was said into frames, and give them to the link as far as it has room."""
        self._armed, self._ahead = False, 0
        if not self._sender.is_open:
            return
        self._busy = True
        try:
            self._flush()
        finally:
            self._busy = False
        self._calm_down()
        if self._room is not None and not self.is_backpressured:
            self._release()

    def _calm_down(self) -> None:
        """Find out up to how many items nothing need be decided, now that the link has taken some."""
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
            elif self._transfers:
                if moved_bytes >= BULK_TURN_BYTES:
                    self._arm()
                    break
                moved = self._move()
                if not moved:
                    break
                moved_bytes += moved
            else:
                break

    def _flush_signals(self) -> None:
        while self._signals and not self.closed:
            signals, self._signals = self._signals[:SIGNALS_MAX], self._signals[SIGNALS_MAX:]
            if not self._sender.send(self._tables.encode(signals, (), self._sender.body_bytes_max), urgent=True):
                self._signals = signals + self._signals
                break

    async def wait_for_capacity(self) -> None:
        """Wait until not too much waits for the link."""
        while self.is_backpressured and not self.closed:
            if self._room is None:
                self._room = asyncio.Event()
            await self._room.wait()

    def close(self) -> tuple[list[bytes], list[Item]]:
        """Send nothing any more; returns what was not sent: bodies, and after them items."""
        self.closed = True
        items = [*self._transfers.close(), *self._items, *self._signals]
        bodies, items = list(self._bodies), [*map(_unpacked, items)]
        self._bodies.clear()
        self._bulk_bytes = 0
        self._items, self._signals = [], []
        if self._room is not None:
            self._release()
        return bodies, items

    def _release(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    def _next_items(self) -> Sequence[Item]:
        items = self._items
        if len(items) <= ITEMS_MAX:
            self._items, head = [], items
        else:
            head = items[:ITEMS_MAX]
            del items[:ITEMS_MAX]
        if self._bulk_bytes:
            return self._sorted(head)
        return head

    def _sorted(self, items: Sequence[Item]) -> list[Item]:
        """Leave out the items whose buffers have to go first, and those that must not overtake them."""
        through: list[Item] = []
        for item in items:
            if self._transfers.follow(item):
                continue
            if not isinstance(item[3], OutOfBandPayload):
                through.append(item)
            elif self._can_travel(item):
                self._transfers.add(item, item[3])
            else:
                self._bulk_bytes -= item[3].buffer_bytes
        return through

    def _move(self) -> int:
        """Move a part of the large buffers; returns how many bytes, 0 for no room."""
        moved, messages, ready = self._transfers.step()
        if ready:
            before = [(0, 0, self._tables.number_of(type(lend)), lend) for lend in messages]
            self._encode([*before, ready[0]])
            followers = self._sorted(ready[1:])
            for at in range(0, len(followers), ITEMS_MAX):
                self._encode(followers[at : at + ITEMS_MAX])
            self._bulk_bytes -= _buffer_bytes(ready[0])
        return moved

    def _is_given_up(self, item: Item) -> bool:
        return item[1] > 0 and item[2] > REPLY_ERROR and item[1] not in self._asks

    def _reject(self, item: Item, error: WireError | None) -> None:
        """Hand back an item; the node need not keep the buffers that went ahead of it."""
        if isinstance(item[3], OutOfBandPayload):
            numbers = [out_of_band.number for out_of_band in item[3].buffers if out_of_band.number]
            if numbers:
                self.put((0, 0, self._tables.number_of(DropBuffers), DropBuffers(numbers)))
        self._rejected(_unpacked(item), error)

    def _encode(self, items: Sequence[Item]) -> None:
        """Make bodies of these items; one that cannot travel is taken out."""
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
        """Leave out the asks that nobody waits for any more; the others get the seconds that they have left."""
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
    """The item as it was put: a parcel's value for the parcel."""
    to, correlation, number, payload = item
    return (to, correlation, number, payload.value) if isinstance(payload, OutOfBandPayload) else item


def _buffer_bytes(item: Item) -> int:
    return item[3].buffer_bytes if isinstance(item[3], OutOfBandPayload) else 0
