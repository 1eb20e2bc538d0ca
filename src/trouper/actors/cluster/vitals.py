"""Vitals: what a node measures about itself from time to time, so that others can place actors by it (PURE)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

NOW = "now"
"""The one key of a node's row of vitals."""
ROUND_TRIPS_MAX = 64
"""Peers of whom a node tells the round-trip time."""
LOAD_STEP = 0.1
"""A load that has changed by less is not told."""
ROUND_TRIP_STEP_S = 0.001
"""Nor is a round trip, or one that has changed by less than a quarter."""


class Vitals(msgspec.Struct, frozen=True):
    """What one node measures.

    load: runnable work for each core that the node may use, from 0; None when it is not known.
    round_trips_s: to other members, in seconds, by name; the nearest ``ROUND_TRIPS_MAX`` of them.
    """

    load: float | None = None
    round_trips_s: Annotated[dict[str, float], msgspec.Meta(max_length=ROUND_TRIPS_MAX)] = {}

    def is_news(self, before: Vitals) -> bool:
        """Whether it differs so much from what was told before that it should be told."""
        if (self.load is None) != (before.load is None) or self.round_trips_s.keys() != before.round_trips_s.keys():
            return True
        if self.load is not None and before.load is not None and abs(self.load - before.load) >= LOAD_STEP:
            return True
        changes_s = ((abs(now - before.round_trips_s[name]), now) for name, now in self.round_trips_s.items())
        return any(change_s > max(now / 4, ROUND_TRIP_STEP_S) for change_s, now in changes_s)


def nearest(round_trips_s: Mapping[str, float]) -> dict[str, float]:
    """The shortest round trips, as many as are told."""
    return dict(sorted(round_trips_s.items(), key=lambda item: (item[1], item[0]))[:ROUND_TRIPS_MAX])
