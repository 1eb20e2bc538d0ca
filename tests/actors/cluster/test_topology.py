from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.metadata import Location
from trouper.actors.cluster.topology import LEVELS, Distance, Level, distance, least_occupied, nearest, path
from trouper.runtime.kernel.errors import InvalidOption

HERE = Location(region="eu", zone="a", rack="r1", host="n1")
NAME = st.sampled_from(["", "x", "y"])
LOCATION = st.builds(Location, region=NAME, zone=NAME, rack=NAME, host=NAME)
LEVEL: st.SearchStrategy[Level] = st.sampled_from(LEVELS)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (HERE, Distance.SAME_HOST),
        (Location(region="eu", zone="a", rack="r1", host="n2"), Distance.SAME_RACK),
        (Location(region="eu", zone="a", rack="r2", host="n1"), Distance.SAME_ZONE),
        (Location(region="eu", zone="b", rack="r1", host="n1"), Distance.SAME_REGION),
        (Location(region="us", zone="a", rack="r1", host="n1"), Distance.OTHER),
        (Location(), Distance.OTHER),
    ],
)
def test_distance_is_the_smallest_place_that_holds_both(other: Location, expected: Distance) -> None:
    """Equal names below a difference are ignored: racks of two zones may have one name."""
    assert distance(HERE, other) == distance(other, HERE) == expected


def test_levels_that_neither_node_names_are_ignored() -> None:
    """A cluster without regions and racks still has hosts and zones."""
    assert distance(Location(host="n1"), Location(host="n1")) == Distance.SAME_HOST
    assert distance(Location(zone="a", host="n1"), Location(zone="a", host="n2")) == Distance.SAME_ZONE
    assert distance(Location(zone="a"), Location(zone="a")) == Distance.SAME_ZONE
    assert distance(Location(), Location()) == Distance.OTHER
    assert distance(Location(host="n1"), Location(zone="a", host="n1")) == Distance.OTHER


@given(LOCATION, LOCATION, LOCATION)
def test_distance_is_symmetric_and_an_ultrametric(a: Location, b: Location, c: Location) -> None:
    """In a tree, no way is longer than the longer of two ways over a third place."""
    assert distance(a, b) == distance(b, a)
    assert distance(a, c) <= max(distance(a, b), distance(b, c))
    assert distance(a, a) <= distance(a, b)


@given(LOCATION, st.lists(LOCATION, max_size=6))
def test_the_nearest_are_all_of_the_least_distance(origin: Location, others: list[Location]) -> None:
    """Against the plain definition."""
    near = nearest(origin, others, lambda location: location)
    least = min((distance(origin, other) for other in others), default=None)
    assert near == [other for other in others if distance(origin, other) == least]


@given(st.lists(LOCATION, max_size=12), LEVEL)
def test_spreading_one_by_one_fills_places_evenly(locations: list[Location], level: Level) -> None:
    """Always taking a place with the fewest actors keeps all places within one of each other."""
    placed = dict.fromkeys(range(len(locations)), 0)
    for _ in range(3 * len(locations)):
        candidates = least_occupied(list(placed), locations.__getitem__, placed.__getitem__, level)
        placed[candidates[0]] += 1
    totals = Counter({path(location, level): 0 for location in locations})
    for index, count in placed.items():
        totals[path(locations[index], level)] += count
    assert totals.total() == 3 * len(locations)
    assert max(totals.values(), default=0) - min(totals.values(), default=0) <= 1


def test_a_place_is_named_from_the_top() -> None:
    """Rack r1 of zone a and rack r1 of zone b are two racks."""
    assert path(HERE, "rack") == ("eu", "a", "r1") != path(Location(region="eu", zone="b", rack="r1"), "rack")
    assert [path(HERE, level)[-1] for level in LEVELS] == ["eu", "a", "r1", "n1"]
    with pytest.raises(
        InvalidOption, match=r"^'cell' is not a level of the topology: use one of region, zone, rack, host$"
    ):
        path(HERE, "cell")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  wrong on purpose


def test_nothing_is_nearest_and_least_occupied_of_nothing() -> None:
    """Without items there is no answer and no error."""
    assert least_occupied([], lambda _: HERE, lambda _: 1, "zone") == []
    assert not nearest(HERE, [], lambda _: HERE)
