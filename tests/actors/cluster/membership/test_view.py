"""The view of one node: what it takes, what it refuses, what it forgets, and that the order of news does not matter."""

import random
from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.membership import Accusation, Ended, Member, Publish, Status, SwimSettings, merge
from trouper.actors.cluster.membership.probe_schedule import ProbeSchedule
from trouper.actors.cluster.membership.records import MemberId, holder_rank
from trouper.actors.cluster.membership.view import MembershipView


def _record(name: str, generation: int, incarnation: int, status: Status) -> Member:
    return Member(name, f"endpoint-{generation}", generation, incarnation, status)


RECORDS = st.builds(
    _record,
    name=st.sampled_from("bc"),
    generation=st.integers(1, 2),
    incarnation=st.integers(0, 2),
    status=st.sampled_from([Status.ALIVE, Status.LEFT, Status.DOWN]),
)


def _view(settings: SwimSettings | None = None) -> MembershipView:
    return MembershipView(Member("a", "x", 1), settings or SwimSettings(), random.Random(1).random)


def _by_name(records: Iterable[Member]) -> dict[str, list[Member]]:
    found: dict[str, list[Member]] = {}
    for record in records:
        found.setdefault(record.name, []).append(record)
    return found


def _told(view: MembershipView) -> list[str]:
    told = [type(effect.event).__name__ for effect in view.effects if isinstance(effect, Publish)]
    view.effects.clear()
    return told


@given(st.lists(RECORDS, max_size=8), st.randoms())
def test_the_view_is_the_merge_of_what_was_heard(records: Sequence[Member], chance: random.Random) -> None:
    """In any order, as often as one likes: what ``merge`` gives."""
    expected: dict[MemberId, Member] = {}
    for record in records:
        expected = merge(expected, {record.id: record})
    heard = [*records, *records]
    chance.shuffle(heard)
    view = _view()
    for record in heard:
        view.receive(record, "m", 0.0)
    assert {record.id: record for record in view.all_records() if record.name != "a"} == expected
    holders = {name: min(group, key=holder_rank) for name, group in _by_name(expected.values()).items()}
    assert {name: member for name, member in view.members.items() if name != "a"} == holders
    assert view.present == 1 + sum(member.is_present for member in holders.values())


def test_a_member_that_is_given_up_and_refutes_is_told_of() -> None:
    """Joined, suspected, unreachable, reachable again; each once."""
    view = _view()
    view.receive(Member("b", "y", 1), "b", 0.0)
    for now in (1.0, 2.0):
        view.accuse(Accusation("b", 1, 0, "a"), now)
    view.expire(9.0)
    view.expire(99.0)
    view.receive(Member("b", "y", 1, 1), "b", 100.0)
    assert _told(view) == ["Joined", "Suspected", "Unreachable", "ReachableAgain"]


def test_a_suspect_that_nobody_else_accuses_is_asked_again() -> None:
    """After the least time it is probed out of turn, once, and not given up; its answer holds what it refuted with."""
    urged = list[str]()

    class Recorded(ProbeSchedule):
        def probe_soon(self, name: str) -> None:
            urged.append(name)

    view = _view()
    view.schedule = Recorded(random.Random(1).random)
    for name in "bcdef":
        view.receive(Member(name, "y", 1), name, 0.0)
    view.accuse(Accusation("b", 1, 0, "m"), 1.0)
    view.expire(3.9)
    assert urged == []
    view.expire(4.0)
    assert urged == ["b"]
    assert view.members["b"].status is Status.SUSPECT
    view.expire(5.0)
    assert urged == ["b"]


def test_an_accusation_that_comes_before_its_record_waits_for_it() -> None:
    """News overtake each other; nothing is lost by that."""
    view = _view()
    view.receive(Member("b", "y", 1), "b", 0.0)
    view.accuse(Accusation("b", 1, 3, "m", dead=True), 1.0)
    assert view.members["b"].status is Status.ALIVE
    view.receive(Member("b", "y", 1, 3, metadata=b"new"), "m", 2.0)
    assert view.members["b"] == Member("b", "y", 1, 3, Status.UNREACHABLE, b"new")


def test_death_from_an_exchange_is_told_to_the_accused() -> None:
    """Somebody who is alive here is not suspected by hearsay; there is somebody to ask."""
    view = _view()
    view.receive(Member("b", "y", 1), "b", 0.0)
    view.receive(Member("b", "y", 1, 0, Status.UNREACHABLE), "m", 1.0)
    assert view.members["b"].status is Status.ALIVE
    assert [(member.name, source) for member, source in view.doubted] == [("b", "m")]


def test_the_gone_are_forgotten_and_old_records_do_not_revive_them() -> None:
    """After ``tombstone_s``: down for good; a record of that generation is dropped, another generation joins."""
    view = _view(SwimSettings(tombstone_s=100))
    view.receive(Member("b", "y", 1, 0, Status.UNREACHABLE), "m", 0.0)
    view.receive(Member("c", "z", 1, 0, Status.LEFT), "m", 0.0)
    _told(view)
    view.forget(99.0)
    assert set(view.members) == {"a", "b", "c"}
    view.forget(100.0)
    assert set(view.members) == {"a"}
    assert _told(view) == ["Downed"]
    view.receive(Member("b", "y", 1, 0, Status.UNREACHABLE), "m", 101.0)
    assert set(view.members) == {"a"}
    view.receive(Member("b", "y", 2), "m", 101.0)
    assert _told(view) == ["Joined"]


def test_what_is_remembered_has_a_limit() -> None:
    """The oldest of the gone make room; one member too many is refused with an event."""
    view = _view(SwimSettings(tombstones_max=2, members_max=4))
    for number in range(3):
        view.receive(Member(f"b{number}", "y", 1, 0, Status.LEFT), "m", float(number))
    view.receive(Member("c", "z", 1), "m", 3.0)
    assert "c" not in view.members
    assert _told(view) == ["Implausible"]
    view.forget(4.0)
    assert set(view.members) == {"a", "b1", "b2"}


def test_an_accused_node_refutes_above_the_accusation() -> None:
    """Its next incarnation is larger than its own and than the accused one."""
    view = _view()
    view.accuse(Accusation("a", 1, 0, "m"), 0.0)
    assert view.me.incarnation == 1
    view.accuse(Accusation("a", 1, 0, "m", dead=True), 0.0)
    assert view.me.incarnation == 1
    view.accuse(Accusation("a", 1, 41, "m", dead=True), 0.0)
    assert view.me.incarnation == 42


def test_a_node_ends_where_the_others_hold_that_it_left_or_is_down() -> None:
    """Both are final for its generation; the reason is published."""
    for status, text in ((Status.LEFT, "has left"), (Status.DOWN, "cut off too long")):
        view = _view()
        view.receive(Member("a", "x", 1, 0, status, reason="cut off too long" * (status is Status.DOWN)), "m", 0.0)
        [ended] = [effect.event for effect in view.effects if isinstance(effect, Publish)]
        assert isinstance(ended, Ended)
        assert (ended.reason, text in ended.detail) == ("downed", True)


def test_a_node_that_has_left_does_not_answer_itself() -> None:
    """A stale record of it, from a member that does not know it yet, causes no packet to its own endpoint."""
    view = _view()
    view.become(view.me.become(Status.LEFT))
    view.receive(Member("a", "x", 1), "m", 0.0)
    assert view.notices == []
