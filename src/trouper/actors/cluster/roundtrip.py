"""Round-trip times between this node and its peers, smoothed (PURE).

The estimator is that of Jacobson and Karels as RFC 6298, section 2, writes it, in seconds: with the first sample R,
``srtt = R`` and ``rttvar = R/2``; then ``rttvar = 3/4 rttvar + 1/4 |srtt - R|`` and ``srtt = 7/8 srtt + 1/8 R``; a
reply is overdue after ``srtt + 4 rttvar``.  A sample of a message that was sent again tells nothing (Karn's rule,
section 3): the caller leaves it out.  The table holds a number of peers; who was measured longest ago makes room.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Final

import msgspec

from ...runtime.kernel.errors import InvalidOption

ALPHA: Final = 1 / 8
BETA: Final = 1 / 4
K: Final = 4
SAMPLE_S_MAX: Final = 300.0
"""A longer sample is no measurement of a network: a process was stopped, or a clock set."""
PEERS_MAX: Final = 4_096


class RoundTrip(msgspec.Struct, frozen=True):
    """What is known of one peer.

    smoothed_s: the round-trip time.  deviation_s: its mean deviation.  least_s: the least that was measured, which is
    the way without queues.  samples: how many.
    """

    smoothed_s: float
    deviation_s: float
    least_s: float
    samples: int

    def overdue_s(self, least_s: float = 0.0, most_s: float = SAMPLE_S_MAX) -> float:
        """How long a reply may take before it is overdue; within the bounds, which the RFC sets at 1 s and 60 s."""
        return max(least_s, min(self.smoothed_s + K * self.deviation_s, most_s))


def after(known: RoundTrip | None, sample_s: float) -> RoundTrip:
    """What is known after one more sample, in seconds from 0; ``known`` is None at the first."""
    if known is None:
        return RoundTrip(sample_s, sample_s / 2, sample_s, 1)
    return RoundTrip(
        smoothed_s=(1 - ALPHA) * known.smoothed_s + ALPHA * sample_s,
        deviation_s=(1 - BETA) * known.deviation_s + BETA * abs(known.smoothed_s - sample_s),
        least_s=min(known.least_s, sample_s),
        samples=known.samples + 1,
    )


class RoundTrips:
    """The round-trip times of the peers of one node, by name.

    peers_max: peers that it holds, 1 or more.
    """

    def __init__(self, peers_max: int = PEERS_MAX) -> None:
        if peers_max < 1:
            raise InvalidOption(f"peers_max={peers_max} must be 1 or more")
        self._peers_max = peers_max
        self._peers: dict[str, RoundTrip] = {}
        """In the order of the last measurement, oldest first."""

    def add(self, peer: str, sample_s: float) -> bool:
        """Take a sample; returns False for one that cannot be: negative, not finite, above ``SAMPLE_S_MAX``."""
        if not isfinite(sample_s) or not 0 <= sample_s <= SAMPLE_S_MAX:
            return False
        known = self._peers.pop(peer, None)
        if len(self._peers) >= self._peers_max:
            del self._peers[next(iter(self._peers))]
        self._peers[peer] = after(known, sample_s)
        return True

    def get(self, peer: str) -> RoundTrip | None:
        """What is known of a peer; None when nothing is."""
        return self._peers.get(peer)

    def forget(self, peer: str) -> None:
        """Drop a peer that left, or came back as another life: its way may be another."""
        self._peers.pop(peer, None)

    def smoothed_s(self) -> Mapping[str, float]:
        """The round-trip time of every peer, for placement; a copy."""
        return {peer: known.smoothed_s for peer, known in self._peers.items()}

    def __len__(self) -> int:
        return len(self._peers)
