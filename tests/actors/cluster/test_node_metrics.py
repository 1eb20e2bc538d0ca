"""Who is asked for load and round trips, and what is kept of the answers."""

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


def test_the_nearest_peers_are_told_of() -> None:
    """As many as there is room for."""
    told = nearest({f"n{number:03}": 1.0 / (number + 1) for number in range(200)})
    assert len(told) == ROUND_TRIPS_MAX
    assert next(iter(told)) == "n199"


def test_those_whose_answers_are_oldest_are_asked_first_and_not_too_many() -> None:
    """So a placement in a cluster of any size costs no more than so many questions, and everybody gets his turn."""
    table = MetricsTable()
    rounds = [table.ask(NAMES, now) for now in (0.0, 1.0, 2.0, 3.0, 4.0)]
    assert [len(names) for names in rounds] == [POLLED_MAX, POLLED_MAX, POLLED_MAX, 100 - 3 * POLLED_MAX, 0]
    assert sorted(name for names in rounds for name in names) == NAMES
    assert table.ask(NAMES, METRICS_AGE_S_MAX) == rounds[0]


@given(st.lists(st.tuples(st.sets(st.sampled_from(NAMES[:6])), st.floats(0, 20)), max_size=30))
def test_nobody_is_asked_twice_within_a_while_and_only_members_are_known(steps: list[tuple[set[str], float]]) -> None:
    """Whoever comes and goes."""
    table, asked_at, now = MetricsTable(), dict[str, float](), 0.0
    for members, later in steps:
        now += later
        asked_at = {name: at for name, at in asked_at.items() if name in members}
        for name in table.ask(members, now):
            assert name in members
            assert now >= asked_at.get(name, -inf) + METRICS_AGE_S_MAX
            asked_at[name] = now
            table.hear(name, NodeMetrics(now))
        assert table.told.keys() <= members
        assert members == asked_at.keys(), "as few as they are, all have been asked"


def test_an_answer_that_nobody_has_asked_for_is_not_kept() -> None:
    """A member cannot make itself known as idle before anybody wants to know."""
    table = MetricsTable()
    table.hear("n001", NodeMetrics(0.0))
    assert table.told == {}
    table.ask(["n001"], 0.0)
    table.hear("n001", NodeMetrics(0.5))
    table.hear("n001", NodeMetrics(0.7))
    assert table.told == {"n001": NodeMetrics(0.7)}
