"""Settings of strategies; what they say is in the table that ``test_deciding`` reads."""

import msgspec
import pytest

from trouper.actors.cluster.splitbrain.strategies import (
    DownAll,
    KeepMajority,
    KeepOldest,
    LeaseMajority,
    StaticQuorum,
    Strategy,
    judge,
)
from trouper.actors.cluster.splitbrain.view import PartitionMember, PartitionView
from trouper.runtime.kernel.errors import InvalidOption


def test_settings_out_of_range_are_refused() -> None:
    """A quorum of nobody and times before now are the caller's mistake."""
    with pytest.raises(InvalidOption, match="size=0"):
        StaticQuorum(0)
    with pytest.raises(InvalidOption, match="release_after_s=-1"):
        LeaseMajority(release_after_s=-1.0)


@pytest.mark.parametrize(
    "strategy", [KeepMajority("a"), StaticQuorum(3), KeepOldest(False), LeaseMajority(), DownAll()]
)
def test_strategies_can_be_written_into_settings(strategy: Strategy) -> None:
    """Each goes into JSON and back, told apart by its name."""
    assert msgspec.json.decode(msgspec.json.encode(strategy), type=Strategy) == strategy


def test_a_verdict_says_in_numbers_why() -> None:
    """The reason has the numbers of both sides."""
    view = PartitionView(
        (PartitionMember("a"), PartitionMember("b"), PartitionMember("c")), frozenset({("a", "b"), ("a", "c")})
    )
    assert judge(view, KeepMajority()).reason == "only 1 reachable members against 2"
    assert judge(view, StaticQuorum(1)).reason == "3 members are more than a quorum of 1 allows, 1"
    assert judge(view, KeepMajority("gpu")).reason == "no member counts with role gpu"


def test_a_tie_that_a_joining_member_might_turn_is_given_away() -> None:
    """Each node promotes itself, so the other side may count "a" already and keep itself for it."""
    members = (PartitionMember("b"), PartitionMember("d"), PartitionMember("a", "joining"), PartitionMember("c"))
    pairs = frozenset({("b", "a"), ("b", "c")})
    assert judge(PartitionView(members, pairs), KeepMajority()).kind == "down_all"
