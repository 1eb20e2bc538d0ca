"""``ContainedErrors``: what peers sent and what came of it may fail, and no actor of the cluster fails with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

PAUSE_S: Final = 10.0
"""One error is logged in this time; the line says how many were omitted."""


class ContainedErrors:
    """Counts errors, and logs them at a limited rate.

    report: logs a sentence with the traceback of an error.  now: the time of the loop, in seconds.
    """

    def __init__(self, report: Callable[[str, BaseException], None], now: Callable[[], float]) -> None:
        self._report, self._now = report, now
        self.count = 0
        self._omitted = 0
        self._silent_until = 0.0

    def note(self, what: str, error: Exception) -> None:
        """Count an error.  what: names in the log what has failed, such as "a packet of node b"."""
        self.count += 1
        now = self._now()
        if now < self._silent_until:
            self._omitted += 1
            return
        self._silent_until = now + PAUSE_S
        more = f" ({self._omitted} more errors were not logged)" if self._omitted else ""
        self._omitted = 0
        self._report(f"{what} failed, and is left out{more}", error)
