"""Which members are asked for load and round-trip times, and which reports are kept."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.node_metrics import (
    METRICS_AGE_S_MAX,
    POLLED_MAX,
    ROUND_TRIPS_MAX,
    MetricsTable,
    NodeMetrics,
    nearest,
)

NAMES = [f"n{number:03}" for number in range(100)]


def test_the_nearest_peers_are_reported() -> None:
    """Up to the limit of one report."""
    nearby = nearest({f"n{number:03}": 1.0 / (number + 1) for number in range(200)})
    assert len(nearby) == ROUND_TRIPS_MAX
    assert next(iter(nearby)) == "n199"


def test_those_whose_answers_are_oldest_are_asked_first_and_not_too_many() -> None:
    """A placement costs a bounded number of requests in a cluster of any size, and all members are asked in time."""
    table = MetricsTable()
    table.set_members(NAMES)
    rounds = [table.due(now) for now in (0.0, 1.0, 2.0, 3.0, 4.0)]
    assert [len(names) for names in rounds] == [POLLED_MAX, POLLED_MAX, POLLED_MAX, 100 - 3 * POLLED_MAX, 0]
    assert sorted(name for names in rounds for name in names) == NAMES
    assert table.due(METRICS_AGE_S_MAX) == rounds[0]


@given(st.lists(st.tuples(st.sets(st.sampled_from(NAMES[:6])), st.floats(0, 20)), max_size=30))
def test_no_member_is_asked_twice_in_a_short_time_and_only_members_are_kept(
    steps: list[tuple[set[str], float]],
) -> None:
    """Whichever members come and go."""
    table, asked_at, now = MetricsTable(), dict[str, float](), 0.0
    for members, later in steps:
        now += later
        asked_at = {name: at for name, at in asked_at.items() if name in members}
        table.set_members(members)
        for name in table.due(now):
            assert name in members
            assert now >= asked_at.get(name, -inf) + METRICS_AGE_S_MAX
            asked_at[name] = now
            table.report(name, NodeMetrics(now))
        assert table.reported.keys() <= members
        assert members == asked_at.keys(), "as few as they are, all have been asked"


def test_a_report_that_was_not_requested_is_not_kept() -> None:
    """A member cannot report itself as idle unasked."""
    table = MetricsTable()
    table.report("n001", NodeMetrics(0.0))
    assert table.reported == {}
    table.set_members(["n001"])
    table.report("n001", NodeMetrics(0.0))
    assert table.reported == {}
    table.due(0.0)
    table.report("n001", NodeMetrics(0.5))
    table.report("n001", NodeMetrics(0.7))
    assert table.reported == {"n001": NodeMetrics(0.7)}
