from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.round_trip_times import SAMPLE_S_MAX, RoundTripTimes
from trouper.runtime.kernel.errors import InvalidOption

SAMPLE = st.floats(0, SAMPLE_S_MAX)


def _smoothed_s(*samples: float) -> float:
    table = RoundTripTimes()
    for sample in samples:
        assert table.add("a", sample)
    return table.smoothed_s()["a"]


def test_the_mean_is_that_of_rfc_6298() -> None:
    """The first sample as it is, an eighth of each later one."""
    assert _smoothed_s(0.1) == 0.1
    assert _smoothed_s(0.1, 0.2) == pytest.approx(0.875 * 0.1 + 0.125 * 0.2)


@given(st.lists(SAMPLE, min_size=1))
def test_the_mean_stays_among_the_samples(samples: list[float]) -> None:
    """No sample throws it out of the range of what was measured."""
    assert min(samples) - 1e-9 <= _smoothed_s(*samples) <= max(samples) + 1e-9


@given(SAMPLE, SAMPLE)
def test_the_mean_comes_to_a_steady_time(first: float, steady: float) -> None:
    """After a change of the way, a hundred samples are enough."""
    assert _smoothed_s(first, *[steady] * 100) == pytest.approx(steady, rel=0.01, abs=0.01)


def test_samples_that_cannot_be_are_refused() -> None:
    """A stopped process, a clock that was set, and a fault of arithmetic change nothing."""
    table = RoundTripTimes()
    assert table.add("a", 0.1)
    assert [table.add("a", wrong) for wrong in (-0.1, nan, inf, SAMPLE_S_MAX + 1)] == [False] * 4
    assert table.smoothed_s() == {"a": 0.1}


@given(st.lists(st.tuples(st.sampled_from("abcdef"), SAMPLE)), st.integers(1, 4))
def test_the_table_is_bounded(samples: list[tuple[str, float]], peers_max: int) -> None:
    """A measured peer is there afterwards, only the oldest is removed for it, and one that comes back is new."""
    table, order = RoundTripTimes(peers_max), dict[str, list[float]]()
    for peer, sample_s in samples:
        assert table.add(peer, sample_s)
        order[peer] = [*order.pop(peer, []), sample_s]
        if len(order) > peers_max:
            del order[next(iter(order))]
        assert table.smoothed_s() == {name: pytest.approx(_smoothed_s(*known)) for name, known in order.items()}


def test_a_table_without_room_is_refused() -> None:
    """The limit has to leave room for one."""
    with pytest.raises(InvalidOption, match=r"^peers_max=0 must be 1 or more$"):
        RoundTripTimes(0)
