"""The topology of a cluster: hosts in racks in zones in regions, and how far apart two nodes are (PURE).

A level that neither node names tells nothing, and is passed over; one that only one of them names, or that they name
differently, sets them apart.  Names count within what they stand in: rack ``r1`` of two zones is two racks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import Literal, TypeAlias, TypeVar

from ...runtime.kernel.errors import InvalidOption
from .metadata import Location

Level: TypeAlias = Literal["region", "zone", "rack", "host"]
LEVELS: tuple[Level, ...] = ("region", "zone", "rack", "host")
"""From the largest to the smallest."""
T = TypeVar("T")


class Distance(IntEnum):
    """How far apart two nodes are: the smallest level that holds both.  Less is nearer."""

    SAME_HOST = 0
    SAME_RACK = 1
    SAME_ZONE = 2
    SAME_REGION = 3
    OTHER = 4


def path(location: Location, level: Level) -> tuple[str, ...]:
    """The names from the region down to a level, which together name one place there is; raises ``InvalidOption``."""
    if level not in LEVELS:
        raise InvalidOption(f"{level!r} is no level of the topology: take one of {', '.join(LEVELS)}")
    names = (location.region, location.zone, location.rack, location.host)
    return names[: LEVELS.index(level) + 1]


def distance(one: Location, other: Location) -> Distance:
    """How far apart two locations are.  Two that say nothing at all are ``OTHER``: nothing is known of them."""
    names = tuple(zip(path(one, "host"), path(other, "host"), strict=True))
    nearest = Distance.OTHER
    for (mine, yours), shared in zip(
        names, (Distance.SAME_REGION, Distance.SAME_ZONE, Distance.SAME_RACK, Distance.SAME_HOST), strict=True
    ):
        if mine != yours:
            break
        if mine:
            nearest = shared
    return nearest


def nearest(origin: Location, items: Iterable[T], location: Callable[[T], Location]) -> list[T]:
    """The items that are nearest to the origin, all equally far, in their order; none of none."""
    placed = [(distance(origin, location(item)), item) for item in items]
    least = min((far for far, _ in placed), default=Distance.OTHER)
    return [item for far, item in placed if far == least]


def counts(
    items: Iterable[T], location: Callable[[T], Location], weight: Callable[[T], int], level: Level
) -> Counter[tuple[str, ...]]:
    """What stands in each place of a level, by its ``path``: the sum of the weights of its items."""
    totals = Counter[tuple[str, ...]]()
    for item in items:
        totals[path(location(item), level)] += weight(item)
    return totals


def least_crowded(
    items: Sequence[T], location: Callable[[T], Location], weight: Callable[[T], int], level: Level
) -> list[T]:
    """The items that stand in the places of a level with the least weight in all, in their order; none of none.

    weight: what an item adds to its place, such as the number of actors that it already has.
    """
    totals = counts(items, location, weight, level)
    least = min(totals.values(), default=0)
    return [item for item in items if totals[path(location(item), level)] == least]
