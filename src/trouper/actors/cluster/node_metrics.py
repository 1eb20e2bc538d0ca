"""``MetricsTable``: what the members tell of their load and round trips, for placement, and whom to ask for it (PURE).

Nobody tells unasked: fifty idle nodes that told each other every few seconds were busy with little else.  Who places an
actor asks the members whose answers are old, some of them at a time, and goes by what they said last.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import inf
from typing import Annotated

import msgspec

ROUND_TRIPS_MAX = 64
"""Peers of whom a node tells the round-trip time."""
METRICS_AGE_S_MAX = 5.0
"""Seconds for which an answer is good enough, and a question is not asked again."""
POLLED_MAX = 32
"""Members that are asked at a time: those whose answers are the oldest."""


class NodeMetrics(msgspec.Struct, frozen=True):
    """What a node measures of itself.

    load: runnable work for each of its cores, over the last minute; None when it cannot tell.  round_trips_s: to the
    members with the shortest.
    """

    load: float | None = None
    round_trips_s: Annotated[dict[str, float], msgspec.Meta(max_length=ROUND_TRIPS_MAX)] = {}


def nearest(round_trips_s: Mapping[str, float]) -> dict[str, float]:
    """The shortest round trips, as many as are told."""
    return dict(sorted(round_trips_s.items(), key=lambda item: (item[1], item[0]))[:ROUND_TRIPS_MAX])


class MetricsTable:
    """See the top of the file.  told: what each member said last, by name."""

    def __init__(self) -> None:
        self.told: dict[str, NodeMetrics] = {}
        self._asked_at: dict[str, float] = {}

    def ask(self, members: Collection[str], now: float) -> list[str]:
        """Return whom to ask now, and forget who is no member; ``now`` in seconds."""
        for table in (self.told, self._asked_at):
            for gone in table.keys() - members:
                del table[gone]
        asked = self._asked_at
        old = sorted(
            (asked.get(name, -inf), name) for name in members if now >= asked.get(name, -inf) + METRICS_AGE_S_MAX
        )
        names = [name for _, name in old[:POLLED_MAX]]
        asked.update(dict.fromkeys(names, now))
        return names

    def hear(self, member: str, metrics: NodeMetrics) -> None:
        """Take an answer; one from somebody who was not asked is not wanted."""
        if member in self._asked_at:
            self.told[member] = metrics
