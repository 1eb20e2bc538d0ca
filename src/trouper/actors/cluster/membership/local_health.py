"""``LocalHealth``: how far a node trusts its own probes (PURE).

Lifeguard's local health multiplier (arXiv 1707.00788, IV.A): a score from 0 to ``awareness_max`` - 1, by which the
probe interval and the probe time-out grow.  It moves with the outcome of probes, as in memberlist.  In addition (own)
it rises with what the process measures of itself before any probe has failed: lag of its event loop, pauses of the
garbage collector, messages waiting.  This second part decays by one in each probe interval.
"""

from __future__ import annotations

from .effects import ProcessHealth
from .settings import SwimSettings


class LocalHealth:
    """The score of one node; always 0 when Lifeguard is off.

    probes: the part that failed probes have raised.  process: the part that the process's own measurements have raised.
    score: their sum, at most ``awareness_max`` - 1.
    """

    __slots__ = ("_decayed_at", "_settings", "probes", "process", "score")

    def __init__(self, settings: SwimSettings) -> None:
        self._settings = settings
        self.probes = self.process = self.score = 0
        self._decayed_at = 0.0

    def probed(self, delta: int) -> None:
        """A probe has ended.  delta: -1 for an answer, the number of missing nacks, or +1 where none was expected."""
        if self._settings.lifeguard:
            self.probes = min(self._settings.awareness_max - 1, max(0, self.probes + delta))
            self._update()

    def report(self, measured: ProcessHealth, now: float) -> None:
        """Raise the score by what the process has measured; less than what it stands at changes nothing."""
        if not self._settings.lifeguard:
            return
        lag_s = max(measured.loop_lag_s, measured.gc_pause_s)
        points = int(lag_s / self._settings.health_lag_s) + measured.mailbox_depth // self._settings.health_mailbox
        if points >= self.process and points:
            self.process = min(self._settings.awareness_max - 1, points)
            self._decayed_at = now
            self._update()

    def decay(self, now: float) -> None:
        """Lower the process's part by one point for each probe interval since the last decay."""
        if self.process:
            steps = int((now - self._decayed_at) / self._settings.probe_interval_s)
            if steps:
                self.process = max(0, self.process - steps)
                self._decayed_at = now
                self._update()

    def scale(self, time_s: float) -> float:
        """Return a probe's time, longer for a node that is not healthy."""
        return time_s * (self.score + 1)

    def _update(self) -> None:
        self.score = min(self._settings.awareness_max - 1, self.probes + self.process)
