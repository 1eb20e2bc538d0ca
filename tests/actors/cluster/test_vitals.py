"""Who is asked for load and round trips, and what is kept of the answers."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.vitals import ASKED_MAX, FRESH_S, ROUND_TRIPS_MAX, Survey, Vitals, nearest

NAMES = [f"n{number:03}" for number in range(100)]


def test_the_nearest_peers_are_told_of() -> None:
    """As many as there is room for."""
    told = nearest({f"n{number:03}": 1.0 / (number + 1) for number in range(200)})
    assert len(told) == ROUND_TRIPS_MAX
    assert next(iter(told)) == "n199"


def test_those_whose_answers_are_oldest_are_asked_first_and_not_too_many() -> None:
    """So a placement in a cluster of any size costs no more than so many questions, and everybody gets his turn."""
    survey = Survey()
    rounds = [survey.ask(NAMES, now) for now in (0.0, 1.0, 2.0, 3.0, 4.0)]
    assert [len(names) for names in rounds] == [ASKED_MAX, ASKED_MAX, ASKED_MAX, 100 - 3 * ASKED_MAX, 0]
    assert sorted(name for names in rounds for name in names) == NAMES
    assert survey.ask(NAMES, FRESH_S) == rounds[0]


@given(st.lists(st.tuples(st.sets(st.sampled_from(NAMES[:6])), st.floats(0, 20)), max_size=30))
def test_nobody_is_asked_twice_within_a_while_and_only_members_are_known(steps: list[tuple[set[str], float]]) -> None:
    """Whoever comes and goes."""
    survey, asked_at, now = Survey(), dict[str, float](), 0.0
    for members, later in steps:
        now += later
        asked_at = {name: at for name, at in asked_at.items() if name in members}
        for name in survey.ask(members, now):
            assert name in members
            assert now >= asked_at.get(name, -inf) + FRESH_S
            asked_at[name] = now
            survey.hear(name, Vitals(now))
        assert survey.told.keys() <= members
        assert members == asked_at.keys(), "as few as they are, all have been asked"


def test_an_answer_that_nobody_has_asked_for_is_not_kept() -> None:
    """A member cannot make itself known as idle before anybody wants to know."""
    survey = Survey()
    survey.hear("n001", Vitals(0.0))
    assert survey.told == {}
    survey.ask(["n001"], 0.0)
    survey.hear("n001", Vitals(0.5))
    survey.hear("n001", Vitals(0.7))
    assert survey.told == {"n001": Vitals(0.7)}
