"""``Deadline``: a silence longer than so many seconds is a failure (PURE).

As Apache Pekko's ``DeadlineFailureDetector`` (module ``remote``, Apache-2.0), whose cases in
``DeadlineFailureDetectorSpec`` the tests hold.  For devices and links whose heartbeats are as regular as a clock.
"""

from __future__ import annotations

from math import inf

from ....runtime.kernel.errors import InvalidOption


class Deadline:
    """A ``FailureDetector`` whose suspicion is the silence as a share of what is allowed, a failure from 1.0 on.

    interval_s: how often a heartbeat is expected.  pause_s: how much later than that it may come.
    """

    __slots__ = ("_allowed_s", "_heard_at")

    def __init__(self, interval_s: float = 1.0, pause_s: float = 3.0) -> None:
        if not (0 < interval_s < inf and 0 <= pause_s < inf):
            raise InvalidOption(f"Deadline(interval_s={interval_s}, pause_s={pause_s}): seconds, above 0 and 0 or more")
        self._allowed_s = interval_s + pause_s
        self._heard_at: float | None = None

    def heartbeat(self, now: float) -> None:
        """Note a heartbeat."""
        self._heard_at = now

    def suspicion(self, now: float) -> float:
        """Return the silence as a share of the one that is allowed; 0.0 before the first heartbeat."""
        return 0.0 if self._heard_at is None else max(0.0, now - self._heard_at) / self._allowed_s

    def is_available(self, now: float) -> bool:
        """Whether the silence is shorter than the one that is allowed."""
        return self.suspicion(now) < 1.0
