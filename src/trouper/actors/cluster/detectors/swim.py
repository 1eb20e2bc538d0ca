"""``Suspicion``: what the membership thinks of a member, as a failure detector (PURE).

SWIM's probes hear the answers themselves, so this detector is told nothing and only shows what they found, on one scale
with the others: who asks for the suspicion of a node need not know which detector watches it.
"""

from __future__ import annotations

from collections.abc import Callable


class Suspicion:
    """A ``FailureDetector`` over what somebody else knows.

    level: gives the suspicion at a time, 0.0 for a member that answers, up to 1.0 for one that is declared dead; in
    between for one that is suspected, by how much of the time for its refutation is over.
    """

    __slots__ = ("_level",)

    def __init__(self, level: Callable[[float], float]) -> None:
        self._level = level

    def heartbeat(self, now: float) -> None:
        """Do nothing: a member that lives refutes the suspicion at its source."""

    def suspicion(self, now: float) -> float:
        """Return the level, between 0.0 and 1.0."""
        return min(1.0, max(0.0, self._level(now)))

    def is_available(self, now: float) -> bool:
        """Whether it is not declared dead; one that is only suspected still is available."""
        return self.suspicion(now) < 1.0
