"""``PhiAccrual``: a failure detector whose suspicion grows with the silence, measured by usual intervals (PURE).

After Hayashibara and others, "The phi accrual failure detector" (SRDS 2004), with the logistic approximation of the
normal distribution and the settings of Apache Pekko's ``PhiAccrualFailureDetector`` (module ``remote``, Apache-2.0),
whose values in ``AccrualFailureDetectorSpec`` the tests have.  phi is -log10 of the probability that a heartbeat comes
later than now: at phi 1 one of ten alarms is wrong, at phi 8 one of a hundred million, if intervals stay as they were.
"""

from __future__ import annotations

from collections import deque
from math import exp, inf, log1p, sqrt
from math import log as ln

import msgspec

from .... import InvalidOption

_LN10 = ln(10.0)


class PhiSettings(msgspec.Struct, frozen=True):
    """Settings of ``PhiAccrual``.

    threshold: the phi from which on a silence is a failure.  samples_max: how many intervals are remembered.
    deviation_s_min: the least standard deviation, in seconds, so that a very regular node is not given up at once.
    pause_s: a pause that is allowed in addition to the usual interval, for garbage collections and the like, seconds.
    first_interval_s: the interval that is expected before any was seen, with a quarter of it as its deviation.
    Raises ``InvalidOption`` for a value out of range.
    """

    threshold: float = 8.0
    samples_max: int = 1_000
    deviation_s_min: float = 0.1
    pause_s: float = 3.0
    first_interval_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for name in ("threshold", "samples_max", "deviation_s_min", "first_interval_s"):
            if not 0 < getattr(self, name) < inf:
                raise InvalidOption(f"PhiSettings({name}={getattr(self, name)}): it must be above 0")
        if not 0 <= self.pause_s < inf:
            raise InvalidOption(f"PhiSettings(pause_s={self.pause_s}): give seconds, 0 or more")


class PhiAccrual:
    """Watches one peer.  Times are seconds of a clock that does not go back, the same for all calls."""

    __slots__ = ("_heard_at", "_intervals", "settings")

    def __init__(self, settings: PhiSettings | None = None) -> None:
        self.settings = PhiSettings() if settings is None else settings
        self._heard_at: float | None = None
        self._intervals = Intervals(self.settings.samples_max)

    def heartbeat(self, now: float) -> None:
        """Note a heartbeat; the interval that ends a failure is not counted as a usual one."""
        if self._heard_at is None:
            expected_s = self.settings.first_interval_s
            self._intervals.add(0.75 * expected_s)
            self._intervals.add(1.25 * expected_s)
        elif self.is_available(now):
            self._intervals.add(max(0.0, now - self._heard_at))
        self._heard_at = now

    def suspicion(self, now: float) -> float:
        """Return phi; 0.0 before the first heartbeat."""
        if self._heard_at is None:
            return 0.0
        deviation_s = max(self._intervals.deviation_s, self.settings.deviation_s_min)
        return phi(now - self._heard_at, self._intervals.mean_s + self.settings.pause_s, deviation_s)

    def is_available(self, now: float) -> bool:
        """Whether phi is below the threshold."""
        return self.suspicion(now) < self.settings.threshold


class Intervals:
    """The newest intervals, with their mean and deviation, which each change updates."""

    __slots__ = ("_kept", "_mean_s", "_squares")

    def __init__(self, samples_max: int) -> None:
        self._kept: deque[float] = deque(maxlen=samples_max)
        self._mean_s = self._squares = 0.0

    def add(self, interval_s: float) -> None:
        """Add an interval, and remove the oldest of ``samples_max`` (Welford's method, forwards and backwards)."""
        kept = self._kept
        if len(kept) == kept.maxlen:
            before, oldest_s = self._mean_s, kept[0]
            self._mean_s += (interval_s - oldest_s) / len(kept)
            self._squares += (interval_s - oldest_s) * (interval_s - self._mean_s + oldest_s - before)
        else:
            before = self._mean_s
            self._mean_s += (interval_s - before) / (len(kept) + 1)
            self._squares += (interval_s - before) * (interval_s - self._mean_s)
        kept.append(interval_s)

    @property
    def mean_s(self) -> float:
        """The mean; 0.0 for none."""
        return self._mean_s

    @property
    def variance(self) -> float:
        """The mean square of the distance from the mean, in square seconds; 0.0 for none."""
        return max(0.0, self._squares / len(self._kept)) if self._kept else 0.0

    @property
    def deviation_s(self) -> float:
        """The standard deviation."""
        return sqrt(self.variance)


def phi(silence_s: float, mean_s: float, deviation_s: float) -> float:
    """Return -log10 of the probability of an interval longer than ``silence_s``, if intervals are normally distributed.

    The logistic approximation 1 / (1 + exp(-y(1.5976 + 0.070566 y^2))) of the distribution is within 0.00014 of it.
    It is computed in logarithms, so that it stays exact for long silences: each has a finite phi.
    """
    y = (silence_s - mean_s) / deviation_s
    x = y * (1.5976 + 0.070566 * y * y)
    # -log10(1 / (1 + exp(x))) is the logarithm of 1 + exp(x), which is x itself once that is large.
    return (x + log1p(exp(-x)) if x > 0 else log1p(exp(x))) / _LN10
