"""The matrix of who can reach whom: its laws, and the cases of Pekko's ReachabilitySpec (Apache-2.0)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.reachability import Reach, Reachability, ReachabilityTooLarge, indirectly_connected

NODES = "ABCDE"
REACHES: tuple[Reach, ...] = ("reachable", "unreachable", "terminated")
Step = tuple[str, str, Reach, int]
STEPS = st.tuples(st.sampled_from(NODES), st.sampled_from(NODES), st.sampled_from(REACHES), st.integers(0, 2))


@st.composite
def copies(draw: st.DrawFn) -> list[Reachability]:
    """Three copies of one matrix, each at another moment of its life, restricted to members of that moment."""
    whole = Reachability(observers_max=99)
    moments = [whole]
    for step in draw(st.lists(STEPS, max_size=20)):
        whole = whole.observe(*step)
        moments.append(whole)
    members = st.one_of(st.just(NODES), st.sampled_from(["ABC", "CDE", "A", ""]))
    return [draw(st.sampled_from(moments)).restrict(draw(members)) for _ in range(3)]


@given(copies())
def test_merge_is_commutative_associative_and_idempotent(found: list[Reachability]) -> None:
    """Copies merge in any order, any number of times, also after members were left out of some."""
    a, b, c = found
    assert a.merge(b) == b.merge(a)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(a) == a
    assert a.merge(b).merge(b) == a.merge(b)


@given(st.lists(STEPS, max_size=20), st.data())
def test_replicas_that_hear_everything_agree_with_the_observers(steps: list[Step], data: st.DataObject) -> None:
    """Each observer writes its own copy; merged in any order, with repetitions, all copies are equal and right."""
    own = {name: Reachability(observers_max=99) for name in NODES}
    for observer, subject, reach, _ in steps:
        own[observer] = own[observer].observe(observer, subject, reach)
        other = data.draw(st.sampled_from(NODES))
        own[other] = own[other].merge(own[observer])
    everything = [own[name] for name in data.draw(st.permutations(NODES))]
    merged = Reachability(observers_max=99)
    for each in [*everything, *everything]:
        merged = merged.merge(each)
    for observer in NODES:
        for subject in NODES:
            assert merged.reach(observer, subject) == own[observer].reach(observer, subject)


def test_everybody_is_in_reach_while_nobody_says_otherwise() -> None:
    """A matrix without entries says that all is well, and an observation that all is well adds none."""
    calm = Reachability()
    assert calm.status("A") == "reachable"
    assert calm.observe("A", "B", "reachable") is calm
    assert calm.unreachable == frozenset()


def test_the_worst_that_anybody_says_is_the_status() -> None:
    """One observer is enough; a member is back in reach when all of them say so."""
    found = Reachability().observe("B", "A", "unreachable").observe("C", "A", "unreachable")
    found = found.observe("D", "A", "unreachable").observe("D", "A", "reachable")
    assert found.status("A") == "unreachable"
    assert found.observers("A") == {"B", "C"}
    assert found.observe("B", "A", "terminated").status("A") == "terminated"
    back = found.observe("B", "A", "reachable").observe("C", "A", "reachable")
    assert back.status("A") == "reachable"
    assert back.observations == frozenset()


def test_terminated_is_final_for_this_life_of_the_observer() -> None:
    """Whoever has seen the end of a member does not see it back, until the observer itself begins anew."""
    found = Reachability().observe("B", "A", "terminated")
    assert found.observe("B", "A", "reachable") is found
    assert found.observe("B", "A", "reachable", generation=1).status("A") == "reachable"


def test_what_changes_nothing_is_the_same_matrix() -> None:
    """A second failed probe of the same member is no change and makes no news."""
    found = Reachability().observe("B", "A", "unreachable")
    assert found.observe("B", "A", "unreachable") is found
    assert found.observe("B", "C", "reachable") is found


def test_a_new_life_of_an_observer_begins_with_an_empty_row() -> None:
    """What its former life said is forgotten, and what is still on the way from there is ignored."""
    old = Reachability().observe("B", "A", "unreachable").observe("B", "C", "unreachable")
    new = old.observe("B", "D", "unreachable", generation=1)
    assert new.observations == {("B", "D")}
    assert new.observe("B", "A", "unreachable", generation=0) is new
    assert old.merge(new) == new.merge(old) == new


def test_members_that_left_are_neither_observers_nor_subjects() -> None:
    """They are gone from rows and columns, also when an old copy brings them back and the members are told again."""
    found = Reachability().observe("B", "A", "unreachable").observe("C", "D", "unreachable")
    assert found.remove(["A", "C"]).observations == frozenset()
    assert found.remove(["A"]).merge(found).restrict("BCD").observations == {("C", "D")}


def test_more_observers_than_are_needed_add_no_entries() -> None:
    """A large cut does not fill the square of the cluster; once others take their word back, it is said again."""
    found = Reachability(observers_max=2)
    for observer in "BCDE":
        found = found.observe(observer, "A", "unreachable")
    assert found.observers("A") == {"B", "C"}
    found = found.observe("B", "A", "reachable").observe("D", "A", "unreachable")
    assert found.observers("A") == {"C", "D"}


def test_a_matrix_over_the_limit_is_refused() -> None:
    """What comes from elsewhere cannot grow without end; the message names the limit."""
    small = Reachability(entries_max=1).observe("B", "A", "unreachable")
    with pytest.raises(ReachabilityTooLarge, match=r"2 entries .* at most 1 .*entries_max"):
        small.merge(Reachability().observe("C", "A", "unreachable"))


@pytest.mark.parametrize(
    ("pairs", "seen", "found"),
    [
        ("A>B B>A", "", "AB"),
        ("A>B B>C C>A", "", "ABC"),
        ("A>B A>C", "", ""),
        ("A>B A>C", "ABC", "ABC"),
        ("B>C C>B A>D", "D", "ABCD"),
        ("A>D A>E", "ABC", ""),
    ],
)
def test_who_is_connected_in_a_roundabout_way(pairs: str, seen: str, found: str) -> None:
    """Observers that are subjects too, and pairs whose subject has been heard of; never a clean cut or a crash."""
    observations = [(pair[0], pair[2]) for pair in pairs.split()]
    assert indirectly_connected(observations, frozenset(seen)) == frozenset(found)
