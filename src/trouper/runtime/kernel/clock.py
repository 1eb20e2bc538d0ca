"""Time as the kernel sees it: the loop's for what users notice, a plain counter for how long a turn has taken.

The kernel never reads a clock by itself (law 13).  The loop's time may be virtual.  ``Counter`` is apart from it
because some loops read their time once per turn, which cannot tell how long that turn has lasted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

Counter = Callable[[], float]


class Expiring(Protocol):
    """Something that ends at a deadline, in seconds of the loop's time."""

    deadline: float

    def expire(self) -> None: ...


class Deadlines:
    """Runs ``expire`` at each deadline.  Those with one time-out end in the order in which they came, so each time-out
    is a line with one timer at its head: entering and leaving a line costs a dict operation and no timer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lines: dict[float, dict[Expiring, None]] = {}

    def enter(self, timeout_s: float, item: Expiring) -> None:
        """Stand in the line of this time-out; ``item.deadline`` must be now + ``timeout_s``."""
        line = self._lines.get(timeout_s)
        if line is None:
            line = self._lines[timeout_s] = {}
            self._loop.call_at(item.deadline, self._expire, timeout_s, item.deadline)
        line[item] = None

    def leave(self, timeout_s: float, item: Expiring) -> None:
        """Leave the line; to have left it already is fine."""
        self._lines.get(timeout_s, {}).pop(item, None)

    def _expire(self, timeout_s: float, due: float) -> None:
        line = self._lines[timeout_s]
        while line:
            item = next(iter(line))
            # uvloop may ring half a millisecond early, and would ring at once for what is left of it.
            if item.deadline > due and item.deadline > self._loop.time():
                self._loop.call_at(item.deadline, self._expire, timeout_s, item.deadline)
                return
            del line[item]
            item.expire()
        del self._lines[timeout_s]
