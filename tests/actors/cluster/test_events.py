"""A subscriber to a base class gets the events of all its subclasses."""

from trouper.actors.cluster.events import ClusterEvent, ClusterNotice, MemberEvent, MemberJoined, MemberLeft
from trouper.runtime.kernel.message import tag_of


def test_members_and_notices_are_told_apart_by_their_bases() -> None:
    """Events of members are cluster events, notices are no events of members."""
    assert issubclass(MemberJoined, MemberEvent)
    assert issubclass(MemberEvent, ClusterEvent)
    assert issubclass(ClusterNotice, ClusterEvent)
    assert not issubclass(ClusterNotice, MemberEvent)
    assert tag_of(MemberJoined) != tag_of(MemberLeft)
