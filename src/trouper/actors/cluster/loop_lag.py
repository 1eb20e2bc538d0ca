"""``LoopLagMonitor``: measures how late timers of the event loop run, and how long garbage collections take.

It reports once a second while either is above ``LAG_LEAST_S``, and once more when both are below it again.  On virtual
time, where no timer is ever late, it reports nothing.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable

PERIOD_S = 1.0
"""Seconds between two measurements."""
LAG_LEAST_S = 0.05
"""A timer that is late by no more than this is on time."""


class LoopLagMonitor:
    """The monitor of one event loop.

    loop: that is measured.  report: called with the lag of the timer and the longest collection since the last
    measurement, both in seconds.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, report: Callable[[float, float], None]) -> None:
        self._loop, self._report = loop, report
        self._gc_started_at = self._gc_longest_s = 0.0
        self._was_late = False
        self._due_at = loop.time() + PERIOD_S
        self._timer = loop.call_at(self._due_at, self._measure)
        gc.callbacks.append(self._collected)

    def close(self) -> None:
        """Stop measuring."""
        self._timer.cancel()
        if self._collected in gc.callbacks:
            gc.callbacks.remove(self._collected)

    def _measure(self) -> None:
        now = self._loop.time()
        lag_s = now - self._due_at
        pause_s, self._gc_longest_s = self._gc_longest_s, 0.0
        is_late = lag_s > LAG_LEAST_S or pause_s > LAG_LEAST_S
        if is_late or self._was_late:
            self._report(max(0.0, lag_s), pause_s)
        self._was_late = is_late
        self._due_at = now + PERIOD_S
        self._timer = self._loop.call_at(self._due_at, self._measure)

    def _collected(self, phase: str, _: dict[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._gc_started_at = now
        else:
            self._gc_longest_s = max(self._gc_longest_s, now - self._gc_started_at)
