"""The members as a worker knows them, from the records that its parent sends."""

from trouper.actors.cluster.followed_membership import ENDED_MAX, FollowedMembership
from trouper.actors.cluster.membership import effects
from trouper.actors.cluster.membership.records import Member, Status
from trouper.actors.cluster.membership.settings import SwimSettings

ADA = Member("ada", "sim://ada", 7)


def _view() -> FollowedMembership:
    return FollowedMembership(Member("ada.worker-1", "sim://worker", 3), SwimSettings())


def test_each_change_of_a_record_is_one_event() -> None:
    """A record that is known changes nothing; each status has the event that a member publishes for it."""
    view = _view()
    assert view.update([ADA]) == [effects.Joined(ADA)]
    assert view.update([ADA]) == []
    other = ADA.next_incarnation(0, b"more")
    assert view.update([other]) == [effects.Updated(other, ADA)]
    suspect = other.become(Status.SUSPECT)
    assert view.update([suspect]) == [effects.Suspected(suspect, "")]
    assert (view.suspicion("ada"), view.suspicion("ben")) == (1.0, 1.0)
    lost = other.become(Status.UNREACHABLE)
    assert view.update([lost]) == [effects.Unreachable(lost)]
    back = other.next_incarnation(1)
    assert view.update([back]) == [effects.ReachableAgain(back, lost)]
    assert view.suspicion("ada") == 0.0
    assert (view.members(), view.record("ada"), view.records()) == ([back], back, {"ada": back})


def test_a_member_that_is_over_is_remembered_and_is_no_member() -> None:
    """One that left and one that is down; one that was never known is no event."""
    view = _view()
    ben = Member("ben", "sim://ben", 8)
    view.update([ADA, ben])
    left, down = ADA.become(Status.LEFT), ben.become(Status.DOWN, "it is gone")
    assert view.update([left, down]) == [effects.Departed(left), effects.Downed(down, "it is gone")]
    assert (view.members(), view.ended()) == ([], [left, down])
    assert view.update([left, Member("eve", "sim://eve", 9, status=Status.DOWN)]) == []


def test_a_new_generation_ends_the_one_before() -> None:
    """Generations are told apart, and never compared by size."""
    view = _view()
    view.update([ADA])
    again = Member("ada", "sim://ada", 2)
    gone, joined = view.update([again])
    assert isinstance(gone, effects.Downed)
    assert gone.member.id == ADA.id
    assert joined == effects.Joined(again)


def test_members_that_are_over_are_remembered_up_to_a_limit() -> None:
    """The first to end are forgotten."""
    view = _view()
    for number in range(ENDED_MAX + 5):
        view.update([Member(f"m{number}", "sim://m", number)])
        view.update([Member(f"m{number}", "sim://m", number, status=Status.LEFT)])
    assert len(view.ended()) == ENDED_MAX
    assert view.ended()[0].name == "m5"
