"""Records of members and their merge, by properties."""

from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.membership import Member, Status, merge
from trouper.actors.cluster.membership.records import MemberId, supersedes

MEMBERS = st.builds(
    Member,
    name=st.sampled_from("abc"),
    endpoint=st.sampled_from(["x", "y"]),
    generation=st.integers(0, 2),
    incarnation=st.integers(0, 2),
    status=st.sampled_from(Status),
    metadata=st.sampled_from([b"", b"m"]),
    versions=st.sampled_from([(1, 1), (1, 2)]),
)
VIEWS = st.lists(MEMBERS, max_size=6).map(lambda members: {member.id: member for member in members})
View = dict[MemberId, Member]


@given(VIEWS, VIEWS)
def test_merge_is_commutative(one: View, other: View) -> None:
    """The direction of an exchange does not matter."""
    assert merge(one, other) == merge(other, one)


@given(VIEWS, VIEWS, VIEWS)
def test_merge_is_associative(one: View, other: View, third: View) -> None:
    """It does not matter in what order views meet."""
    assert merge(merge(one, other), third) == merge(one, merge(other, third))


@given(VIEWS, VIEWS)
def test_merge_is_idempotent(one: View, other: View) -> None:
    """Receiving the same again changes nothing, and neither argument is changed."""
    before = (dict(one), dict(other))
    merged = merge(one, other)
    assert merge(merged, other) == merge(merged, one) == merge(merged, merged) == merged
    assert (one, other) == before


@given(MEMBERS, MEMBERS)
def test_one_of_two_records_of_a_generation_supersedes_the_other(one: Member, other: Member) -> None:
    """Records of one generation are totally ordered."""
    assert one.id != other.id or supersedes(one, other) + supersedes(other, one) == (one != other)


def test_an_end_supersedes_every_incarnation_and_an_incarnation_every_suspicion() -> None:
    """Within one generation: over, then the incarnation, then the status."""
    rising = [
        Member("a", "x", 1),
        Member("a", "x", 1, 0, Status.SUSPECT),
        Member("a", "x", 1, 0, Status.UNREACHABLE),
        Member("a", "x", 1, 1),
        Member("a", "x", 1, 0, Status.LEFT),
        Member("a", "x", 1, 0, Status.DOWN),
        Member("a", "x", 1, 0, Status.DOWN, reason="restarted"),
    ]
    for place, lower in enumerate(rising):
        for higher in rising[place + 1 :]:
            assert supersedes(higher, lower)
            assert not supersedes(lower, higher)


def test_a_member_becomes_another_and_stays_the_same() -> None:
    """Only the status changes."""
    member = Member("a", "x", 1, 2, Status.ALIVE, b"m", (1, 3))
    assert member.become(Status.LEFT) == Member("a", "x", 1, 2, Status.LEFT, b"m", (1, 3))
    assert member.is_present
    assert member.become(Status.LEFT).is_over
    assert not member.become(Status.UNREACHABLE).is_over
