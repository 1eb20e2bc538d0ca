"""Records of members and their merge, by properties."""

from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.membership import Member, Status, merge
from trouper.actors.cluster.membership.records import supersedes

MEMBERS = st.builds(
    Member,
    name=st.sampled_from("abc"),
    endpoint=st.sampled_from(["x", "y"]),
    life=st.integers(0, 2),
    refutation=st.integers(0, 2),
    status=st.sampled_from(Status),
    metadata=st.sampled_from([b"", b"m"]),
    versions=st.sampled_from([(1, 1), (1, 2)]),
)
VIEWS = st.lists(MEMBERS, max_size=6).map(lambda members: {member.name: member for member in members})


@given(VIEWS, VIEWS)
def test_merge_is_commutative(one: dict[str, Member], other: dict[str, Member]) -> None:
    """It does not matter who tells whom."""
    assert merge(one, other) == merge(other, one)


@given(VIEWS, VIEWS, VIEWS)
def test_merge_is_associative(one: dict[str, Member], other: dict[str, Member], third: dict[str, Member]) -> None:
    """It does not matter in what order views meet."""
    assert merge(merge(one, other), third) == merge(one, merge(other, third))


@given(VIEWS, VIEWS)
def test_merge_is_idempotent(one: dict[str, Member], other: dict[str, Member]) -> None:
    """To hear the same again changes nothing, and neither argument is changed."""
    before = (dict(one), dict(other))
    merged = merge(one, other)
    assert merge(merged, other) == merge(merged, one) == merge(merged, merged) == merged
    assert (one, other) == before


@given(MEMBERS, MEMBERS)
def test_of_two_records_one_holds(one: Member, other: Member) -> None:
    """Records of one name are totally ordered."""
    assert one.name != other.name or supersedes(one, other) + supersedes(other, one) == (one != other)


def test_what_beats_what() -> None:
    """A later life beats an end, an end beats every refutation, a refutation beats a death, a death beats life."""
    rising = [
        Member("a", "x", 1),
        Member("a", "x", 1, 0, Status.SUSPECT),
        Member("a", "x", 1, 0, Status.UNREACHABLE),
        Member("a", "x", 1, 1),
        Member("a", "x", 1, 0, Status.LEFT),
        Member("a", "x", 1, 0, Status.DOWN),
        Member("a", "x", 2),
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
