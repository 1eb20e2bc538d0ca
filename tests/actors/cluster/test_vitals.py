"""What a node tells of its measurements."""

import pytest

from trouper.actors.cluster.vitals import ROUND_TRIPS_MAX, Vitals, nearest


@pytest.mark.parametrize(
    ("before", "now", "news"),
    [
        (Vitals(), Vitals(), False),
        (Vitals(), Vitals(load=0.0), True),
        (Vitals(load=0.5), Vitals(load=0.55), False),
        (Vitals(load=0.5), Vitals(load=0.7), True),
        (Vitals(round_trips_s={"b": 0.010}), Vitals(round_trips_s={"b": 0.011}), False),
        (Vitals(round_trips_s={"b": 0.010}), Vitals(round_trips_s={"b": 0.020}), True),
        (Vitals(round_trips_s={"b": 0.010}), Vitals(round_trips_s={"c": 0.010}), True),
    ],
)
def test_only_what_has_changed_much_is_news(before: Vitals, now: Vitals, news: bool) -> None:
    """So that a quiet cluster says nothing."""
    assert now.is_news(before) is news


def test_the_nearest_peers_are_told_of() -> None:
    """As many as there is room for."""
    told = nearest({f"n{number:03}": 1.0 / (number + 1) for number in range(200)})
    assert len(told) == ROUND_TRIPS_MAX
    assert next(iter(told)) == "n199"
