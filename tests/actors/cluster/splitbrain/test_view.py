"""Who counts in a view; the cases are those of "Strategy must" in Pekko's SplitBrainResolverSpec."""

import pytest

from trouper.actors.cluster.splitbrain.view import MemberPhase, PartitionMember, PartitionView, leader_of

STATUSES: dict[str, MemberPhase] = {
    "A": "weakly_up", "B": "up", "C": "joining", "D": "up", "E": "leaving", "F": "down", "G": "exiting",
}  # fmt: skip
MEMBERS = tuple(PartitionMember(name, status) for name, status in STATUSES.items())
COUNTED = {(False, False): "BDE", (True, False): "ABCDE", (False, True): "BD", (True, True): "ABCD"}


def _cut(here: str, there: str) -> PartitionView:
    return PartitionView(MEMBERS, frozenset((here[0], name) for name in there))


@pytest.mark.parametrize(("here", "there"), [("ABC", "DEFG"), ("DEFG", "ABC")])
@pytest.mark.parametrize(("with_joining", "without_leaving"), COUNTED)
def test_who_counts(here: str, there: str, with_joining: bool, without_leaving: bool) -> None:
    """Joining members count when asked for, leaving ones unless asked not to, those on their way out never."""
    counted = _cut(here, there).counted(None, with_joining, without_leaving)
    assert "".join(member.name for member in counted) == COUNTED[with_joining, without_leaving]


def test_who_is_out_of_reach() -> None:
    """The other side is, whatever the status."""
    assert _cut("ABC", "DEFG").unreachable == set("DEFG")
    assert _cut("DEFG", "ABC").unreachable == set("ABC")


def test_a_role_narrows_who_counts() -> None:
    """Only those who have it count."""
    view = PartitionView((PartitionMember("a", roles=frozenset({"x"})), PartitionMember("b")))
    assert [member.name for member in view.counted("x")] == ["a"]


def test_observations_of_strangers_are_left_out() -> None:
    """Neither an observer nor a subject that is no member matters."""
    view = PartitionView((PartitionMember("a"), PartitionMember("b")), frozenset({("a", "z"), ("z", "b")}))
    assert view.unreachable == frozenset()


@pytest.mark.parametrize(
    ("view", "node", "leader"),
    [
        (_cut("ABC", "DEFG"), "B", "B"),
        (_cut("DEFG", "ABC"), "E", "D"),
        (PartitionView((PartitionMember("A", "joining"), PartitionMember("C", "weakly_up"))), "A", "C"),
        (PartitionView((PartitionMember("A"), PartitionMember("B")), frozenset({("B", "A")})), "A", "A"),
        (PartitionView((PartitionMember("A", "down"),)), "A", None),
    ],
)
def test_the_leader_is_the_lowest_in_reach_that_is_up(view: PartitionView, node: str, leader: str | None) -> None:
    """Members that are up come before those that are not yet; everybody is in reach of itself; the down lead nobody."""
    assert leader_of(view, node) == leader
