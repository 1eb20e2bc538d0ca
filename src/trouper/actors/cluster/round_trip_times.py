"""``RoundTripTimes``: smoothed round-trip times between this node and its peers, for placement (PURE).

The mean is the SRTT of RFC 6298, section 2: the first sample, and then ``7/8 srtt + 1/8 sample``.  A sample of a
message that was sent again is ambiguous (Karn's rule, section 3); the caller leaves it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Final

from ... import InvalidOption

SAMPLE_S_MAX: Final = 300.0
"""A longer sample does not measure a network: a process was paused, or a clock was set."""
PEERS_MAX: Final = 4_096


class RoundTripTimes:
    """The round-trip times of the peers of one node, by name.

    peers_max: the most peers, 1 or more; the one that was measured longest ago is dropped for another.
    Raises ``InvalidOption`` for ``peers_max`` below 1.
    """

    def __init__(self, peers_max: int = PEERS_MAX) -> None:
        if peers_max < 1:
            raise InvalidOption(f"peers_max={peers_max} must be 1 or more")
        self._peers_max = peers_max
        self._smoothed_s: dict[str, float] = {}
        """In the order of the last measurement, oldest first."""

    def add(self, peer: str, sample_s: float) -> bool:
        """Add a sample; return False for one that is negative, not finite, or above ``SAMPLE_S_MAX``."""
        if not isfinite(sample_s) or not 0 <= sample_s <= SAMPLE_S_MAX:
            return False
        known_s = self._smoothed_s.pop(peer, sample_s)
        if len(self._smoothed_s) >= self._peers_max:
            del self._smoothed_s[next(iter(self._smoothed_s))]
        self._smoothed_s[peer] = known_s + (sample_s - known_s) / 8
        return True

    def smoothed_s(self) -> Mapping[str, float]:
        """Return a copy of the smoothed round-trip times, by the names of the peers."""
        return dict(self._smoothed_s)
