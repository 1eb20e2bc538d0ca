"""``Alarm``: one timer that is set anew as often as a pure machine changes its mind on when it wants to be woken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

CLOCK_S = 0.001
"""By what the coarsest clock of a loop goes on."""


class Alarm:
    """Calls ``ring`` in the loop at the time it was last set to, never before it.  It is not repeated.

    at: that time, in seconds; inf for never.
    """

    __slots__ = ("_loop", "_ring", "_timer", "at")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], object]) -> None:
        self._loop, self._ring = loop, ring
        self._timer: asyncio.TimerHandle | None = None
        self.at = inf

    def set(self, at: float) -> None:
        """Ring at this time of the loop, in seconds, and at no other; inf for never."""
        if at == self.at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self.at = at
        self._timer = self._loop.call_at(at, self._rings) if at < inf else None

    def _rings(self) -> None:
        if self._loop.time() < self.at:
            # uvloop counts in milliseconds, and rounds to the nearest: asked for what is left, it would ring at once,
            # again and again, until the millisecond is over.
            self._timer = self._loop.call_later(CLOCK_S, self._rings)
            return
        self._timer, self.at = None, inf
        self._ring()
