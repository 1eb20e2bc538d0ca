"""The table of waiting times, and what lies between its rows."""

from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.splitbrain.stability import stable_after_s, unstable_after_s

TABLE = {5: 7, 10: 10, 20: 13, 50: 17, 100: 20, 1000: 30}


def test_the_documented_sizes_have_the_documented_times() -> None:
    """The table of Pekko's documentation holds exactly."""
    assert {size: stable_after_s(size) for size in TABLE} == TABLE


@given(st.integers(0, 100_000))
def test_a_larger_cluster_waits_as_long_or_longer(size: int) -> None:
    """The time never falls with the size, and never below seven seconds."""
    assert 7.0 <= stable_after_s(size) <= stable_after_s(size + 1)


def test_changes_may_go_on_for_three_quarters_of_the_time() -> None:
    """Four seconds at least, as in Pekko's reference configuration."""
    assert unstable_after_s(20.0) == 15.0
    assert unstable_after_s(1.0) == 4.0
