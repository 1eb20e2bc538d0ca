"""What a failure detector is: somebody who hears heartbeats and says how suspicious the silence is (PURE)."""

from __future__ import annotations

from typing import Protocol


class FailureDetector(Protocol):
    """Watches one node, link or device.

    Times are seconds of a clock that does not jump, the same for all calls, and must not go back.  A detector never
    says why, and never says that something is dead for good: what is silent may be slow, paused or cut off.
    """

    def heartbeat(self, now: float) -> None:
        """Note a sign of life that came in at ``now``."""
        ...

    def suspicion(self, now: float) -> float:
        """Return how suspicious it is, 0.0 for not at all; what more means is the detector's own scale.

        Before the first heartbeat it is 0.0: what was never heard of is not watched yet.
        """
        ...

    def is_available(self, now: float) -> bool:
        """Whether the suspicion is below what the detector calls a failure."""
        ...
