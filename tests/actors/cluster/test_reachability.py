"""Which members cannot reach which others."""

import pytest

from trouper.actors.cluster.reachability import Reachability, indirectly_connected

MATRIX = Reachability({"a": frozenset("cd"), "b": frozenset("c")})


def test_without_observations_every_member_is_reachable() -> None:
    """The matrix of a healthy cluster is empty."""
    assert Reachability().unreachable == frozenset()
    assert Reachability().observations == frozenset()


def test_observations_are_read_by_subject_and_as_pairs() -> None:
    """Each observer names the members that it cannot reach."""
    assert MATRIX.unreachable == {"c", "d"}
    assert MATRIX.observations == {("a", "c"), ("a", "d"), ("b", "c")}
    assert MATRIX.observers("c") == {"a", "b"}
    assert MATRIX.observers("a") == frozenset()


def test_a_member_that_is_over_is_neither_observer_nor_subject() -> None:
    """An observer without subjects is left out."""
    assert MATRIX.restrict({"a", "b", "d"}) == Reachability({"a": frozenset("d")})
    assert MATRIX.restrict({"c", "d"}) == Reachability()


@pytest.mark.parametrize(
    ("pairs", "found"),
    [("", ""), ("A>B", ""), ("A>B B>A", "AB"), ("A>B A>C B>A", "AB"), ("A>B B>C", "B"), ("A>B B>C C>A", "ABC")],
)
def test_an_unreachable_member_that_observes_others_is_indirectly_connected(pairs: str, found: str) -> None:
    """What it has published was forwarded by a member that reaches it."""
    assert indirectly_connected((pair[0], pair[2]) for pair in pairs.split()) == frozenset(found)
