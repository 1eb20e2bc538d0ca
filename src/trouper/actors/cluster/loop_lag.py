"""The strain gauge: how late the event loop comes, and how long garbage collections take.

It is told to the membership once a second while there is strain, and once more when it is over.  On virtual time, where
nothing is ever late, it finds nothing.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable

LOOK_S = 1.0
"""Seconds between two looks at the loop."""
LAG_LEAST_S = 0.05
"""A look that comes no later than this is on time."""


class LoopLagMonitor:
    """See the top of the file.  told: called with the lag and the longest collection since the last look, seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, told: Callable[[float, float], None]) -> None:
        self._loop, self._told = loop, told
        self._gc_began = self._gc_longest_s = 0.0
        self._was_strained = False
        self._due_at = loop.time() + LOOK_S
        self._timer = loop.call_at(self._due_at, self._look)
        gc.callbacks.append(self._collected)

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()
        if self._collected in gc.callbacks:
            gc.callbacks.remove(self._collected)

    def _look(self) -> None:
        now = self._loop.time()
        lag_s = now - self._due_at
        pause_s, self._gc_longest_s = self._gc_longest_s, 0.0
        is_strained = lag_s > LAG_LEAST_S or pause_s > LAG_LEAST_S
        if is_strained or self._was_strained:
            self._told(max(0.0, lag_s), pause_s)
        self._was_strained = is_strained
        self._due_at = now + LOOK_S
        self._timer = self._loop.call_at(self._due_at, self._look)

    def _collected(self, phase: str, _: dict[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._gc_began = now
        else:
            self._gc_longest_s = max(self._gc_longest_s, now - self._gc_began)
