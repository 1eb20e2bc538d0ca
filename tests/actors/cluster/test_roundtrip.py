from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.roundtrip import SAMPLE_S_MAX, RoundTrip, RoundTrips, after
from trouper.runtime.kernel.errors import InvalidOption

SAMPLE = st.floats(0, SAMPLE_S_MAX)


def test_the_first_sample_is_rfc_6298_2_2() -> None:
    """SRTT is R, RTTVAR is R/2, and the time-out SRTT + 4 RTTVAR."""
    first = after(None, 0.1)
    assert first == RoundTrip(0.1, 0.05, 0.1, 1)
    assert first.overdue_s() == pytest.approx(0.3)


def test_a_later_sample_is_rfc_6298_2_3() -> None:
    """RTTVAR is taken from the old SRTT, before that changes."""
    second = after(after(None, 0.1), 0.2)
    assert second.deviation_s == pytest.approx(0.75 * 0.05 + 0.25 * 0.1)
    assert second.smoothed_s == pytest.approx(0.875 * 0.1 + 0.125 * 0.2)
    assert (second.least_s, second.samples) == (0.1, 2)


def test_a_reply_is_overdue_within_bounds() -> None:
    """RFC 6298, 2.4 and 2.5: rounded up to a least, and cut at a most."""
    known = after(None, 0.1)
    assert known.overdue_s(1.0) == 1.0
    assert known.overdue_s(0.0, 0.2) == 0.2


@given(st.lists(SAMPLE, min_size=1))
def test_the_estimate_stays_among_the_samples(samples: list[float]) -> None:
    """No sample throws it out of the range of what was measured."""
    known = None
    for sample in samples:
        known = after(known, sample)
    assert known is not None
    assert min(samples) - 1e-9 <= known.smoothed_s <= max(samples) + 1e-9
    assert 0 <= known.deviation_s <= max(samples) + 1e-9
    assert known.least_s == min(samples)
    assert known.samples == len(samples)


@given(SAMPLE, SAMPLE)
def test_the_estimate_comes_to_a_steady_time(first: float, steady: float) -> None:
    """After a change of the way, fifty samples are enough."""
    known = after(None, first)
    for _ in range(100):
        known = after(known, steady)
    assert known.smoothed_s == pytest.approx(steady, rel=0.01, abs=0.01)


def test_samples_that_cannot_be_are_refused() -> None:
    """A stopped process, a clock that was set, and a fault of arithmetic change nothing."""
    table = RoundTrips()
    assert table.add("a", 0.1)
    assert [table.add("a", wrong) for wrong in (-0.1, nan, inf, SAMPLE_S_MAX + 1)] == [False] * 4
    assert table.get("a") == after(None, 0.1)
    assert table.get("b") is None


def test_the_table_keeps_those_who_were_measured_last() -> None:
    """A new peer takes the place of the one that was silent for longest, and its estimate is not mixed up."""
    table = RoundTrips(peers_max=2)
    for peer, sample_s in (("a", 0.1), ("b", 0.2), ("a", 0.1), ("c", 0.3)):
        assert table.add(peer, sample_s)
    assert len(table) == 2
    assert table.get("b") is None
    assert dict(table.smoothed_s()) == {"a": pytest.approx(0.1), "c": 0.3}
    table.forget("c")
    table.forget("nobody")
    assert len(table) == 1
    assert table.add("c", 0.5)
    assert table.get("c") == after(None, 0.5)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), SAMPLE)), st.integers(1, 4))
def test_the_table_is_bounded(samples: list[tuple[str, float]], peers_max: int) -> None:
    """Whoever is measured is there afterwards, and nobody else is pushed out but the oldest."""
    table, order = RoundTrips(peers_max), list[str]()
    for peer, sample_s in samples:
        assert table.add(peer, sample_s)
        order = [*(other for other in order if other != peer), peer][-peers_max:]
        assert set(table.smoothed_s()) == set(order)


def test_a_table_without_room_is_refused() -> None:
    """The limit has to leave room for one."""
    with pytest.raises(InvalidOption, match=r"^peers_max=0 must be 1 or more$"):
        RoundTrips(0)
