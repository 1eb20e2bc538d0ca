"""The topology of a cluster: hosts in racks in zones in regions, and how far apart two nodes are (PURE).

A level that neither node names is ignored; a level that only one of them names, or that they name differently,
separates them. A name is unique within the level above: rack ``r1`` of two zones is two racks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import Literal, TypeAlias, TypeVar

from ... import InvalidOption
from .metadata import Location

Level: TypeAlias = Literal["region", "zone", "rack", "host"]
LEVELS: tuple[Level, ...] = ("region", "zone", "rack", "host")
"""The levels, from the largest to the smallest."""
T = TypeVar("T")


class Distance(IntEnum):
    """How far apart two nodes are: the smallest level that both are in.  A smaller value is nearer."""

    SAME_HOST = 0
    SAME_RACK = 1
    SAME_ZONE = 2
    SAME_REGION = 3
    OTHER = 4


def path(location: Location, level: Level) -> tuple[str, ...]:
    """Return the names from the region down to a level, which together identify one place.

    Raises ``InvalidOption`` for a level that does not exist.
    """
    if level not in LEVELS:
        raise InvalidOption(f"{level!r} is not a level of the topology: use one of {', '.join(LEVELS)}")
    names = (location.region, location.zone, location.rack, location.host)
    return names[: LEVELS.index(level) + 1]


def distance(one: Location, other: Location) -> Distance:
    """Return how far apart two locations are; two empty ones are ``OTHER``, since nothing is known of them."""
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
    """Return the items that are nearest to the origin, all at the same distance, in their order."""
    placed = [(distance(origin, location(item)), item) for item in items]
    least = min((far for far, _ in placed), default=Distance.OTHER)
    return [item for far, item in placed if far == least]


def least_occupied(
    items: Sequence[T], location: Callable[[T], Location], weight: Callable[[T], int], level: Level
) -> list[T]:
    """Return the items in those places of a level that have the smallest total weight, in their order.

    weight: what an item adds to its place, such as the number of actors on it.
    """
    depth = len(path(Location(), level))
    locations = map(location, items)
    places = [(each.region, each.zone, each.rack, each.host)[:depth] for each in locations]
    totals: dict[tuple[str, ...], int] = {}
    for item, place in zip(items, places, strict=True):
        totals[place] = totals.get(place, 0) + weight(item)
    least = min(totals.values(), default=0)
    return [item for item, place in zip(items, places, strict=True) if totals[place] == least]
