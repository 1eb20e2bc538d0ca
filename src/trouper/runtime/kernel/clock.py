"""Time as the kernel sees it: deadlines, and timers for pure machines.

The kernel never reads a clock by itself (law 13): the loop's time may be virtual.  ``Counter`` is apart from it
because some loops read their time once per iteration, which cannot tell how long that iteration has lasted.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Protocol

Counter = Callable[[], float]
"""Returns seconds of a clock that measures how long something took; its zero means nothing."""
CLOCK_S = 0.001
"""Resolution in seconds of the coarsest clock of a loop (uvloop's)."""
LINES_MAX = 256
"""Time-outs that have a line of their own; with more of them at a time, the others share buckets."""
_GRID_SHIFT = 7
_GRID_LEAST_S = 2.0**-_GRID_SHIFT


class Expiring(Protocol):
    """Something that ends at a deadline, in seconds of the loop's time."""

    deadline: float

    def expire(self) -> None: ...


Line = dict[Expiring, None]


class Deadlines:
    """Calls ``expire`` of each item at its deadline, with few timers of the loop.

    Items with one time-out expire in the order in which they were added, so each time-out has a *line* with one timer
    for its first item.  Deadlines that are inherited have no time-out in common: they are rounded up to a grid, and
    those of one point share a *bucket* with one timer.  The grid is at most 1/64 of the time left, or 1/128 s.  So
    there are at most ``LINES_MAX`` lines, 64 buckets for each doubling of the time left, and 128 for the last second.

    Adding costs one look-up; ``line.pop(item, None)`` on what ``add`` returned removes an item before its deadline.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lines: dict[float, Line] = {}
        self._buckets: dict[float, Line] = {}

    def add(self, timeout_s: float, item: Expiring) -> Line:
        """Expire ``item`` at its deadline, which must be now + ``timeout_s``; returns the line that it stands in."""
        line = self._lines.get(timeout_s)
        if line is None:
            if len(self._lines) >= LINES_MAX and timeout_s < math.inf:
                return self.add_inherited(timeout_s, item)
            line = self._lines[timeout_s] = {}
            self._loop.call_at(item.deadline, self._expire_line, timeout_s, item.deadline)
        line[item] = None
        return line

    def add_inherited(self, left_s: float, item: Expiring) -> Line:
        """Expire ``item`` at its deadline, ``left_s`` seconds from now, or up to ``left_s`` / 64 or 1/128 s later."""
        grid_s = max(math.ldexp(1.0, math.frexp(left_s)[1] - _GRID_SHIFT), _GRID_LEAST_S)
        at = math.ceil(item.deadline / grid_s) * grid_s
        bucket = self._buckets.get(at)
        if bucket is None:
            bucket = self._buckets[at] = {}
            self._loop.call_at(at, self._expire_bucket, at)
        bucket[item] = None
        return bucket

    def _expire_line(self, timeout_s: float, due: float) -> None:
        line = self._lines[timeout_s]
        while line:
            item = next(iter(line))
            # uvloop may call half a millisecond early, and would call again at once for what is left of it.
            if item.deadline > due and item.deadline > self._loop.time():
                self._loop.call_at(item.deadline, self._expire_line, timeout_s, item.deadline)
                return
            del line[item]
            item.expire()
        del self._lines[timeout_s]

    def _expire_bucket(self, at: float) -> None:
        if self._loop.time() < at:
            self._loop.call_later(CLOCK_S, self._expire_bucket, at)
            return
        bucket = self._buckets.pop(at)
        while bucket:
            item = next(iter(bucket))
            del bucket[item]
            item.expire()


class Alarm:
    """One timer, set anew whenever a pure machine changes the time at which it wants to be called.

    ``callback`` is called in the loop at the time that was set last, never before it, and once.
    at: that time, in seconds of the loop; inf for never.
    """

    __slots__ = ("__weakref__", "_callback", "_loop", "_timer", "at")

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        self._loop, self._callback = loop, callback
        self._timer: asyncio.TimerHandle | None = None
        self.at = math.inf

    def set(self, at: float) -> None:
        """Call at this time of the loop, in seconds, and at no other; inf for never."""
        if at == self.at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self.at = at
        self._timer = self._loop.call_at(at, self._due) if at < math.inf else None

    def _due(self) -> None:
        if self._loop.time() < self.at:
            # uvloop counts in milliseconds, and rounds to the nearest: asked for what is left, it would call at once,
            # again and again, until the millisecond is over.
            self._timer = self._loop.call_later(CLOCK_S, self._due)
            return
        self._timer, self.at = None, math.inf
        self._callback()
