"""The truth table, and laws of every decision."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.cluster.splitbrain.table import LISTS, Expectation, read
from trouper.actors.cluster.splitbrain.decision import decide
from trouper.actors.cluster.splitbrain.strategies import (
    DownAll,
    KeepMajority,
    KeepOldest,
    LeaseMajority,
    StaticQuorum,
    Strategy,
)
from trouper.actors.cluster.splitbrain.view import MemberPhase, PartitionMember, PartitionView

EXPECTED = read()
STRATEGIES: tuple[Strategy, ...] = (KeepMajority(), StaticQuorum(3), KeepOldest(), LeaseMajority(), DownAll())
NAMES = "ABCDEFG"
STATUSES: tuple[MemberPhase, ...] = ("joining", "weakly_up", "up", "leaving", "exiting", "down")


@st.composite
def views(draw: st.DrawFn) -> PartitionView:
    """Any view: any statuses, any observations."""
    names = draw(st.sets(st.sampled_from(NAMES), min_size=1))
    ages = st.integers(0, 9)
    members = tuple(PartitionMember(name, draw(st.sampled_from(STATUSES)), draw(ages)) for name in sorted(names))
    pairs = st.frozensets(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=12)
    return PartitionView(members, draw(pairs))


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda each: f"{each.line}-{each.case}")
def test_the_table_holds(expected: Expectation) -> None:
    """Each side of each case decides what the table says."""
    decision = decide(expected.view, expected.strategy)
    found: dict[str, object] = {
        "kind": decision.kind,
        "down": decision.down,
        "delay_s": decision.lease_delay_s,
        "denied": decision.down_without_lease,
    }
    wanted: dict[str, object] = {}
    for key, value in expected.result.items():
        if key in LISTS:
            wanted[key] = frozenset[str]() if value == "-" else frozenset(value.split(","))
        else:
            wanted[key] = float(value) if key == "delay_s" else value
    assert {key: found[key] for key in wanted} == wanted, decision.reason


def test_the_table_has_all_cases() -> None:
    """The decisions of the specification are all there, so that none is lost in an edit."""
    found = Counter(case.partition(":")[0] for case in {each.case for each in EXPECTED})
    del found["More"]
    assert found == {"StaticQuorum": 6, "KeepMajority": 26, "KeepOldest": 19, "DownAllNodes": 2, "LeaseMajority": 4}


@given(views(), st.sampled_from(STRATEGIES))
def test_a_decision_downs_members_that_can_be_downed_and_gives_a_reason(
    view: PartitionView, strategy: Strategy
) -> None:
    """Nobody who is no member, or on its way out already, is downed; the reason is never empty."""
    decision = decide(view, strategy)
    assert decision.down <= view.downable
    assert decision.down_without_lease <= view.downable
    assert decision.reason


@given(views(), st.sampled_from(STRATEGIES), st.data())
def test_a_decision_does_not_depend_on_the_order_of_the_members(
    view: PartitionView, strategy: Strategy, data: st.DataObject
) -> None:
    """Two nodes that know the same decide the same, in whatever order they learned of the members."""
    shuffled = tuple(data.draw(st.permutations(view.members)))
    assert decide(PartitionView(shuffled, view.observations), strategy) == decide(view, strategy)


@given(views())
def test_where_all_are_in_reach_nobody_goes_down(view: PartitionView) -> None:
    """Strategies that keep a side keep everybody while nobody is out of reach, if anybody counts."""
    calm = PartitionView((*view.members, PartitionMember("Z", "up", 0)), frozenset())
    assert decide(calm, KeepMajority()).down == frozenset()
    assert decide(calm, KeepOldest()).down == frozenset()
    assert decide(calm, LeaseMajority()).down == frozenset()


@given(views(), st.sampled_from(STRATEGIES))
def test_a_lease_decides_for_one_side_or_against_it(view: PartitionView, strategy: Strategy) -> None:
    """With a clean cut the refusal downs exactly those that the lease would have kept."""
    decision = decide(view, strategy)
    if decision.lease_delay_s is not None and not view.indirectly_connected:
        assert decision.down | decision.down_without_lease == view.downable
        assert not decision.down & decision.down_without_lease
