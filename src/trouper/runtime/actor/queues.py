"""Mailbox queues, for ``Mailbox(queue=...)``, with another order than that of arrival."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from heapq import heappop, heappush

from ..kernel.ask import content, is_from_self


class PriorityQueue:
    """A queue by priority: lower numbers first, equal ones in order of arrival, returned items before all others.

    priority: a function from the message to an int.  A message for which it raises, or gives what cannot be compared
        with the others' priorities, is a dead letter.  Use ``Mailbox(queue=lambda: PriorityQueue(priority))``.
    """

    __slots__ = ("_arrivals", "_heap", "_priority", "_returned")

    def __init__(self, priority: Callable[[object], int]) -> None:
        self._priority = priority
        self._heap: list[tuple[int, int, object]] = []
        self._returned: deque[object] = deque()
        self._arrivals = 0

    def append(self, item: object) -> None:
        """Queue an item by the priority of its message."""
        priority = self._priority(content(item))
        self._arrivals += 1
        entry, at = (priority, self._arrivals, item), len(self._heap)
        _ = priority < priority  # raises for None, which would keep others from being compared
        while at and entry < self._heap[(at - 1) >> 1]:  # raises here, where the heap is as it was
            at = (at - 1) >> 1
        heappush(self._heap, entry)

    def appendleft(self, item: object) -> None:
        """Return an item to the front."""
        self._returned.appendleft(item)

    def popleft(self) -> object:
        """Remove and return the next item."""
        return self._returned.popleft() if self._returned else heappop(self._heap)[2]

    def clear(self) -> None:
        """Remove all items."""
        self._heap.clear()
        self._returned.clear()

    def __len__(self) -> int:
        return len(self._heap) + len(self._returned)

    def __iter__(self) -> Iterator[object]:
        return iter([*self._returned, *(entry[2] for entry in sorted(self._heap, key=lambda entry: entry[:2]))])


class CoalescingQueue:
    """A queue in order of arrival; at the limit a new message replaces the newest queued one with the same key.

    key: a function from the message to any hashable value.  A message for which it raises is a dead letter.
    Use ``Mailbox(when_full="coalesce", queue=lambda: CoalescingQueue(key))``.
    """

    __slots__ = ("_key", "_newest", "_places")

    def __init__(self, key: Callable[[object], Hashable]) -> None:
        self._key = key
        self._places: deque[list[object]] = deque()
        self._newest: dict[Hashable, list[object]] = {}

    def append(self, item: object) -> None:
        """Queue an item; it is the newest of its key, unless the actor sent it to itself: then it is never replaced."""
        place: list[object] = [item, None]
        if not is_from_self(item):
            key = place[1] = self._key(content(item))
            self._newest[key] = place
        self._places.append(place)

    def appendleft(self, item: object) -> None:
        """Return an item to the front; it is never replaced."""
        self._places.appendleft([item, None])

    def replace(self, item: object) -> object | None:
        """Replace the newest queued item with the same key and return the replaced one; None when there is none."""
        place = self._newest.get(self._key(content(item)))
        if place is None:
            return None
        replaced, place[0] = place[0], item
        return replaced

    def popleft(self) -> object:
        """Remove and return the next item."""
        place = self._places.popleft()
        if self._newest.get(place[1]) is place:
            del self._newest[place[1]]
        return place[0]

    def clear(self) -> None:
        """Remove all items."""
        self._places.clear()
        self._newest.clear()

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[object]:
        return iter([place[0] for place in self._places])
