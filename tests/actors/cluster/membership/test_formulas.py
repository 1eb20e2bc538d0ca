"""The formulas, with the numbers of memberlist's own tests."""

import pytest

from trouper.actors.cluster.membership import formulas


@pytest.mark.parametrize(
    ("members", "expected_s"), [(5, 1.0), (10, 1.0), (50, 1.698), (100, 2.0), (500, 2.698), (1_000, 3.0)]
)
def test_the_least_suspicion_grows_with_the_logarithm(members: int, expected_s: float) -> None:
    """Util_test.go, TestSuspicionTimeout: multiple 3, interval 1 s, here for one third."""
    assert formulas.suspicion_min_s(3, members, 1.0) / 3 == pytest.approx(expected_s)


@pytest.mark.parametrize(
    ("confirmations", "wanted", "elapsed_s", "remaining_s"),
    [(0, 3, 0, 30), (1, 3, 2, 14), (2, 3, 3, 4.81), (3, 3, 4, -2), (4, 3, 5, -3), (5, 3, 10, -8)],
)
def test_confirmations_shorten_a_suspicion(
    confirmations: int, wanted: int, elapsed_s: float, remaining_s: float
) -> None:
    """Suspicion_test.go, TestSuspicion_remainingSuspicionTime: least 2 s, most 30 s."""
    lasts_s = formulas.suspicion_s(confirmations, wanted, 2.0, 30.0)
    assert lasts_s - elapsed_s == pytest.approx(remaining_s)


def test_without_anybody_to_confirm_a_suspicion_takes_the_least_time() -> None:
    """With k = 0 there is nothing to wait for."""
    assert formulas.suspicion_s(0, 0, 2.0, 30.0) == 2.0


@pytest.mark.parametrize(("multiple", "members", "expected"), [(4, 10, 2), (4, 4, 2), (4, 3, 0), (2, 10, 0), (1, 9, 0)])
def test_confirmations_are_wanted_when_there_are_others_to_give_them(
    multiple: int, members: int, expected: int
) -> None:
    """State.go: k = SuspicionMult - 2, and 0 where N - 2 < k."""
    assert formulas.confirmations_wanted(multiple, members) == expected


@pytest.mark.parametrize(("multiple", "members", "expected"), [(3, 0, 0), (3, 1, 3), (3, 99, 6), (4, 1_000, 16)])
def test_news_are_sent_a_logarithm_of_times(multiple: int, members: int, expected: int) -> None:
    """Util_test.go, TestRetransmitLimit."""
    assert formulas.retransmit_limit(multiple, members) == expected


@pytest.mark.parametrize(("members", "expected"), [(0, 1), (32, 1), (33, 2), (64, 2), (65, 3), (128, 3), (1_000, 6)])
def test_views_are_exchanged_less_often_in_a_large_cluster(members: int, expected: int) -> None:
    """Util_test.go, TestPushPullScale."""
    assert formulas.sync_scale(members) == expected


def test_a_suspicion_goes_from_nothing_to_one() -> None:
    """Before its beginning 0, halfway a half, over time 1."""
    assert [formulas.suspicion_level(elapsed_s, 4.0) for elapsed_s in (-1, 0, 2, 4, 9)] == [0, 0, 0.5, 1, 1]
    assert formulas.suspicion_level(0, 0) == 1
