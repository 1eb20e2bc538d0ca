"""``MetricsTable``: the load and the round-trip times that members have reported, and which members to ask (PURE).

A node asks for metrics only when it places an actor: nodes that reported every few seconds unasked would be busy with
little else in a cluster of fifty.  It asks the members whose reports are old, a bounded number at a time, and goes by
what each reported last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import Annotated

import msgspec

ROUND_TRIPS_MAX = 64
"""The most peers in one node's report of round-trip times."""
METRICS_AGE_S_MAX = 5.0
"""Seconds after asking a member until it is asked again."""
POLLED_MAX = 32
"""The most members that are asked at a time: those that were asked longest ago."""

_Name = Annotated[str, msgspec.Meta(max_length=256)]


class NodeMetrics(msgspec.Struct, frozen=True):
    """What a node measures of itself.

    load: runnable work for each of its cores, averaged over the last minute; None where the system does not tell.
    round_trips_s: the shortest round-trip times to other members, in seconds, by name; ``ROUND_TRIPS_MAX`` at most.
    """

    load: float | None = None
    round_trips_s: Annotated[dict[_Name, float], msgspec.Meta(max_length=ROUND_TRIPS_MAX)] = {}


def nearest(round_trips_s: Mapping[str, float]) -> dict[str, float]:
    """Return the ``ROUND_TRIPS_MAX`` shortest round-trip times, the shortest first."""
    return dict(sorted(round_trips_s.items(), key=lambda item: (item[1], item[0]))[:ROUND_TRIPS_MAX])


class MetricsTable:
    """The reports of the other members.  reported: the last report of each member, by name."""

    def __init__(self) -> None:
        self.reported: dict[str, NodeMetrics] = {}
        self._asked_at: dict[str, float] = {}
        """When each member was asked, in this order; -inf for a member that was never asked."""

    def set_members(self, members: Iterable[str]) -> None:
        """Replace the set of members that can be asked; reports of other nodes are dropped."""
        wanted = set(members)
        self.reported = {name: metrics for name, metrics in self.reported.items() if name in wanted}
        known = {name: at for name, at in self._asked_at.items() if name in wanted}
        self._asked_at = {**dict.fromkeys(sorted(wanted - known.keys()), -inf), **known}

    def due(self, now: float) -> list[str]:
        """Return the members to ask now, and count them as asked.  now: in seconds."""
        names: list[str] = []
        for name, asked_at in self._asked_at.items():
            if len(names) == POLLED_MAX or now < asked_at + METRICS_AGE_S_MAX:
                break
            names.append(name)
        for name in names:
            del self._asked_at[name]
            self._asked_at[name] = now
        return names

    def report(self, member: str, metrics: NodeMetrics) -> None:
        """Keep the report of a member; one that was not asked for is ignored."""
        if self._asked_at.get(member, -inf) > -inf:
            self.reported[member] = metrics
