"""Vitals: what a node measures about itself from time to time, so that others can place actors by it (PURE)."""

from __future__ import annotations

import msgspec

ROUND_TRIPS_MAX = 64
"""Peers of whom a node tells the round-trip time."""
LOAD_STEP = 0.1
"""A load that has changed by less is not told."""


class Vitals(msgspec.Struct, frozen=True):
    """What one node measures.

    load: runnable work for each core that the node may use, from 0; None when it is not known.
    round_trips_s: to other members, in seconds, by name; the nearest ``ROUND_TRIPS_MAX`` of them.
    """

    load: float | None = None
    round_trips_s: dict[str, float] = {}

    def is_news(self, before: Vitals) -> bool:
        """Whether it differs so much from what was told before that it should be told."""
        if (self.load is None) != (before.load is None) or self.round_trips_s.keys() != before.round_trips_s.keys():
            return True
        if self.load is not None and before.load is not None and abs(self.load - before.load) >= LOAD_STEP:
            return True
        return any(abs(now - before.round_trips_s[name]) > now / 4 for name, now in self.round_trips_s.items())


def nearest(round_trips_s: dict[str, float]) -> dict[str, float]:
    """The shortest round trips, as many as are told."""
    return dict(sorted(round_trips_s.items(), key=lambda item: (item[1], item[0]))[:ROUND_TRIPS_MAX])
