"""``GapTracker``: which numbers of a stream have not come though later ones have, and when to ask for them (PURE).

A gap is asked for as soon as it shows, and again when the answer should have come by the ``RoundTripEstimate``.  Only the
answer to a first request shows how long one takes (Karn and Partridge, 1987).  What comes twice shows that a request
was repeated too soon: this doubles the pause until such an answer comes.  Gaps that show within ``resend_least_s / 10``
of a request wait for each other.
"""

from __future__ import annotations

from bisect import bisect_right
from math import inf
from operator import attrgetter

import msgspec

from .round_trip import RoundTripEstimate
from .settings import SessionSettings

_BACKOFF_MAX = 64
_first_of = attrgetter("first")


class Gap(msgspec.Struct, gc=False):
    """Numbers that are missing, both ends included; asked for so many ``times``, at last at ``asked_at``."""

    first: int
    last: int
    times: int
    asked_at: float


class GapTracker:
    """See the top of the file.

    gaps: in order.  due_at: when to ask next, in seconds; inf for never.  asked: how many requests were made.
    """

    __slots__ = (
        "_asked_at", "_backoff", "_is_slower", "_known", "_settings", "asked", "due_at", "gaps", "round_trip",
    )  # fmt: skip

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self.round_trip = RoundTripEstimate(settings)
        self.gaps: list[Gap] = []
        self.due_at = inf
        self.asked = 0
        self._known = 0
        self._asked_at = -inf
        self._backoff = 1
        self._is_slower = True

    def learn(self, received: int, newest: int, now: float) -> None:
        """Everything up to ``received`` has come; numbers up to ``newest`` are said to have been sent."""
        known = max(self._known, received)
        if newest > known:
            self.gaps.append(Gap(known + 1, newest, 0, -inf))
            self._known = newest
            self.due_at = min(self.due_at, max(now, self._asked_at + self._settings.resend_least_s / 10))

    def arrived(self, received: int, sequence: int, now: float) -> None:
        """A number above ``received`` has come."""
        if sequence > max(self._known, received):
            self.learn(received, sequence - 1, now)
            self._known = sequence
            return
        gaps = self.gaps
        at = bisect_right(gaps, sequence, key=_first_of) - 1
        gap = gaps[at]
        if gap.times == 1:
            gap.times = 2  # what follows in this gap was answered with it, and would say the same
            self._backoff = 1
            self.round_trip.sample(now - gap.asked_at)
        if gap.last > sequence > gap.first:
            gaps.insert(at + 1, Gap(sequence + 1, gap.last, gap.times, gap.asked_at))
            gap.last = sequence - 1
        elif gap.last > sequence:
            gap.first = sequence + 1
        elif gap.first < sequence:
            gap.last = sequence - 1
        else:
            del gaps[at]
            if not gaps:
                self.due_at = inf

    def came_twice(self) -> None:
        """A number has come that was there: ask more slowly, once for each request."""
        if not self._is_slower:
            self._is_slower = True
            self._backoff = min(2 * self._backoff, _BACKOFF_MAX)

    def ask(self, received: int, now: float, ranges_max: int) -> list[int]:
        """Return what to ask for now, as ``framing.read_numbers`` reads it; empty when nothing is due."""
        pause_s = min(self._backoff * self.round_trip.timeout_s, self._settings.ping_after_s)
        numbers, after, is_repeated = [self.asked + 1], received, False
        self.due_at = inf
        for gap in self.gaps:
            if gap.times and now < gap.asked_at + pause_s:
                self.due_at = min(self.due_at, gap.asked_at + pause_s)
            elif len(numbers) >= 2 * ranges_max:
                self.due_at = min(self.due_at, now + self._settings.resend_least_s / 10)
                break
            else:
                numbers += (gap.first - after - 1, gap.last - gap.first + 1)
                after = gap.last
                is_repeated = is_repeated or gap.times > 0
                gap.times += 1
                gap.asked_at = now
        if len(numbers) == 1:
            return []
        self.asked += 1
        self._asked_at = now
        self._is_slower = self._is_slower and not is_repeated
        self.due_at = min(self.due_at, now + pause_s)
        return numbers

    def defer(self, now: float) -> None:
        """The peer sends again by itself all that it has not been told to have arrived."""
        for gap in self.gaps:
            gap.times, gap.asked_at = gap.times + 1, now
        self.due_at = now + self.round_trip.timeout_s if self.gaps else inf
