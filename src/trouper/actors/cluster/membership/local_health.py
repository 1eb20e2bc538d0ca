"""``LocalHealth``: how far a node trusts itself (PURE).

Lifeguard's local health multiplier (arXiv 1707.00788, IV.A): a score from 0 to ``awareness_max`` - 1, by which probe
interval and timeout grow.  It moves with the outcome of probes, as in memberlist, and (own) with what the process
knows of itself before any probe has failed: lag of its event loop, pauses, messages waiting.  The second part wears off
by one in each probe interval.
"""

from __future__ import annotations

from .effects import ProcessHealth
from .settings import SwimSettings


class LocalHealth:
    """The score of one node; 0 for ever when Lifeguard is off."""

    __slots__ = ("_settings", "_worn_at", "probes", "score", "strain")

    def __init__(self, settings: SwimSettings) -> None:
        self._settings = settings
        self.probes = self.strain = self.score = 0
        self._worn_at = 0.0

    def probed(self, delta: int) -> None:
        """A probe came to its end: -1 for an answer, + the nacks that are missing, +1 where none could come."""
        if self._settings.lifeguard:
            self.probes = min(self._settings.awareness_max - 1, max(0, self.probes + delta))
            self._sum()

    def strained(self, evidence: ProcessHealth, now: float) -> None:
        """Take what the process says of itself; less than what is known already changes nothing."""
        if not self._settings.lifeguard:
            return
        lag_s = max(evidence.loop_lag_s, evidence.gc_pause_s)
        points = int(lag_s / self._settings.health_lag_s) + evidence.mailbox_depth // self._settings.health_mailbox
        if points >= self.strain and points:
            self.strain = min(self._settings.awareness_max - 1, points)
            self._worn_at = now
            self._sum()

    def decay(self, now: float) -> None:
        """Let time heal the strain: one point for each probe interval."""
        if self.strain:
            steps = int((now - self._worn_at) / self._settings.probe_interval_s)
            if steps:
                self.strain = max(0, self.strain - steps)
                self._worn_at = now
                self._sum()

    def scale(self, time_s: float) -> float:
        """A probe's time, longer for a node that is not well."""
        return time_s * (self.score + 1)

    def _sum(self) -> None:
        self.score = min(self._settings.awareness_max - 1, self.probes + self.strain)
