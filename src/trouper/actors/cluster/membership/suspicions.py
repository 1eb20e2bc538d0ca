"""``Suspicions``: how long each suspected member has to refute (PURE).

Lifeguard's LHA-Suspicion (arXiv 1707.00788, IV.B; memberlist's ``suspicion.go``): the first accusation starts a long
time, and each further accuser, counted once, shortens it, down to the least.

Difference from memberlist: the time counts from the ping that had no answer, not from the verdict an interval later,
since in that interval the member was pinged directly, indirectly and by stream, and answered none of them.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf

from .formulas import confirmations_wanted, suspicion_level, suspicion_min_s, suspicion_s
from .settings import SwimSettings

SILENCE_PART = 4
"""The silence before an accusation counts for at most the least time divided by this."""


class Suspicion:
    """One suspected member.

    accusers: the names of all accusers.  started_at: when its silence began, by the probe that failed; earlier than the
    accusation.  lasts_s: seconds from ``started_at`` to its end, with the accusers so far.  least_s: the same when it
    is fully confirmed.
    """

    __slots__ = ("_most_s", "_wanted", "accusers", "lasts_s", "least_s", "started_at")

    def __init__(self, settings: SwimSettings, members: int, by: str, now: float) -> None:
        self.least_s = suspicion_min_s(settings.suspicion_mult, members, settings.probe_interval_s)
        self._wanted = confirmations_wanted(settings.suspicion_mult, members) if settings.lifeguard else 0
        self._most_s = self.least_s * settings.suspicion_max_mult
        self.accusers = {by}
        silent_s = min(settings.probe_interval_s, self.least_s / SILENCE_PART) if settings.lifeguard else 0.0
        self.started_at = now - silent_s
        self.lasts_s = suspicion_s(0, self._wanted, self.least_s, self._most_s)

    @property
    def confirmations(self) -> int:
        """The number of accusers besides the first."""
        return len(self.accusers) - 1

    def confirm(self, by: str) -> bool:
        """Add an accuser; return whether it counts: it is new, and confirmations are still wanted."""
        if by in self.accusers or self.confirmations >= self._wanted:
            return False
        self.accusers.add(by)
        self.lasts_s = suspicion_s(self.confirmations, self._wanted, self.least_s, self._most_s)
        return True


class Suspicions:
    """All suspicions of one node.

    wake_at: when ``expired`` is to be called; a call that is too early does nothing.  unconfirmed: names of members
    whose least time passed with too few accusers; the caller removes them.
    """

    __slots__ = ("_alarms", "_open", "_settings", "unconfirmed", "wake_at")

    def __init__(self, settings: SwimSettings) -> None:
        self._settings = settings
        self._open: dict[str, Suspicion] = {}
        self._alarms: list[tuple[float, str]] = []
        self.unconfirmed: list[str] = []
        self.wake_at = inf

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, name: str, members: int, by: str, now: float) -> None:
        """Start the suspicion of a member."""
        self._open[name] = suspicion = Suspicion(self._settings, members, by, now)
        self._set_alarms(name, suspicion)

    def confirm(self, name: str, by: str) -> bool:
        """Add an accuser to a suspicion; return whether that is to be gossiped."""
        suspicion = self._open.get(name)
        if suspicion is None or not suspicion.confirm(by):
            return False
        self._set_alarm(name, suspicion)
        return True

    def end(self, name: str) -> None:
        """End the suspicion of a member, if there is one."""
        self._open.pop(name, None)
        if not self._open:
            self._alarms.clear()
            self.wake_at = inf

    def expired(self, now: float) -> list[str]:
        """Remove the suspicions whose time is over, and return their names in the order of their times."""
        over: list[str] = []
        while self._alarms and self._alarms[0][0] <= now:
            at, name = heappop(self._alarms)
            suspicion = self._open.get(name)
            if suspicion is None:
                continue
            if suspicion.started_at + suspicion.lasts_s <= at:
                del self._open[name]
                over.append(name)
            elif at == suspicion.started_at + suspicion.least_s:
                self.unconfirmed.append(name)
        self.wake_at = self._alarms[0][0] if self._alarms else inf
        return over

    def restart(self, now: float) -> None:
        """Restart the time of each suspicion from now; the accusers stay."""
        self._alarms.clear()
        self.wake_at = inf
        for name, suspicion in self._open.items():
            suspicion.started_at = now
            self._set_alarms(name, suspicion)

    def level(self, name: str, now: float) -> float:
        """Return how far the suspicion of a member has come, from 0 to 1; 0 without one."""
        suspicion = self._open.get(name)
        return 0.0 if suspicion is None else suspicion_level(now - suspicion.started_at, suspicion.lasts_s)

    def _set_alarms(self, name: str, suspicion: Suspicion) -> None:
        if suspicion.least_s < suspicion.lasts_s:
            heappush(self._alarms, (suspicion.started_at + suspicion.least_s, name))
        self._set_alarm(name, suspicion)

    def _set_alarm(self, name: str, suspicion: Suspicion) -> None:
        heappush(self._alarms, (suspicion.started_at + suspicion.lasts_s, name))
        self.wake_at = self._alarms[0][0]
