"""What waits to go to one node: all that one loop turn says goes out together, encoded once.

An item that cannot be sent is handed back alone, and the others of its frame go on.  While the link has no room,
signals (the end of an actor, a watch, a cancelled ask) go ahead of what waits, in the link's control lane.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from typing import Protocol

from ..kernel.ask import Ask
from ..kernel.errors import WireError
from ..wire.codec import ITEMS_MAX, REPLY_ERROR, BodyTooLarge, Item, Tables

HIGH_WATER = 1_000
"""Items that wait for the link before ``await tell`` waits too."""
LIMIT = 100_000
"""Items that wait for the link before more become dead letters."""
SIGNALS_MAX = 64
"""Signals in one frame of the control lane."""

Rejected = Callable[[Item, WireError | None], None]


class Way(Protocol):
    """The link to the node."""

    def send(self, body: bytes, /, *, urgent: bool = False) -> bool:
        """Give it a body; False when it has no room."""
        ...

    @property
    def body_bytes_max(self) -> int:
        """Bytes of the largest body that the node takes."""
        ...


class Outbox:
    """See the top of the file.

    asks: those that wait for a reply, by correlation; one that is no longer among them is not sent.
    rejected: called with an item that is not sent, and the error; None when its asker has given up.
    """

    def __init__(
        self,
        way: Way,
        tables: Tables,
        asks: Mapping[int, Ask[object]],
        rejected: Rejected,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._way, self._tables, self._asks, self._rejected, self._loop = way, tables, asks, rejected, loop
        self._context = Context()  # what is sent has nothing to do with what its first sender was at
        self._items: list[Item] = []
        self._signals: list[Item] = []
        self._bodies: deque[bytes] = deque()
        self._armed = self.closed = False
        self._room: asyncio.Event | None = None

    @property
    def pressed(self) -> bool:
        """Whether so much waits for the link that senders should wait too."""
        return bool(self._bodies) or len(self._items) >= HIGH_WATER

    @property
    def full(self) -> bool:
        """Whether messages must be refused."""
        return len(self._items) >= LIMIT

    def put(self, item: Item) -> None:
        """Send an item with all else that this turn says."""
        self._items.append(item)
        if not self._armed:
            self._armed = True
            self._loop.call_soon(self.flush, context=self._context)

    def put_signal(self, item: Item) -> None:
        """Send a signal: in order with all else, unless the link has no room."""
        if self._bodies:
            self._signals.append(item)
            if not self._armed:
                self._armed = True
                self._loop.call_soon(self.flush, context=self._context)
        else:
            self.put(item)

    def flush(self) -> None:
        """Put what was said into frames, and give them to the link as far as it has room."""
        self._armed = False
        while self._signals and not self.closed:
            signals, self._signals = self._signals[:SIGNALS_MAX], self._signals[SIGNALS_MAX:]
            if not self._way.send(self._tables.encode(signals, (), self._way.body_bytes_max), urgent=True):
                self._signals = signals + self._signals
                break
        while not self.closed:
            if self._bodies:
                if not self._way.send(self._bodies[0]):
                    break
                self._bodies.popleft()
            elif self._items:
                self._encode(self._next_items())
            else:
                break
        if self._room is not None and not self.pressed:
            self._release()

    async def wait_for_room(self) -> None:
        """Wait until not too much waits for the link."""
        while self.pressed and not self.closed:
            if self._room is None:
                self._room = asyncio.Event()
            await self._room.wait()

    def close(self) -> tuple[list[bytes], list[Item]]:
        """Send nothing any more; returns what was not sent: bodies, and after them items."""
        self.closed = True
        bodies, items = list(self._bodies), self._items
        self._bodies.clear()
        self._items, self._signals = [], []
        if self._room is not None:
            self._release()
        return bodies, items

    def _release(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    def _next_items(self) -> list[Item]:
        items = self._items
        if len(items) <= ITEMS_MAX:
            self._items = []
            return items
        head = items[:ITEMS_MAX]
        del items[:ITEMS_MAX]
        return head

    def _encode(self, items: Sequence[Item]) -> None:
        """Make bodies of these items; one that cannot travel is taken out."""
        wanted, deadlines = self._wanted(items)
        if not wanted:
            return
        try:
            self._bodies.append(self._tables.encode(wanted, deadlines, self._way.body_bytes_max))
        except WireError as error:
            if not isinstance(error, BodyTooLarge):
                fit = [item for item in wanted if self._can_travel(item)]
                if len(fit) < len(wanted):
                    self._encode(fit)
                    return
            if len(wanted) == 1:
                self._rejected(wanted[0], error)
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
            self._rejected(item, None)
        left_out = {item[1] for item in given_up}
        return [item for item in items if item[2] <= REPLY_ERROR or item[1] not in left_out], deadlines

    def _can_travel(self, item: Item) -> bool:
        try:
            self._tables.check(item[3])
        except WireError as error:
            self._rejected(item, error)
            return False
        return True
