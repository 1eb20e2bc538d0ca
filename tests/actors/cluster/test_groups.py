"""Groups of the whole cluster: three replicas, an unreliable network, and updates that add up to the members."""

from collections import Counter
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.cluster.replica_network import NODES, Machine, Network
from trouper.actors.cluster.groups import GroupTable, GroupUpdate
from trouper.runtime.gossip.versioned_table import RowFull

Step = tuple[str, str, str, int]
VERBS = ("join", "join", "leave", "deliver", "deliver", "lose", "sync", "restart", "hear")
STEPS = st.lists(
    st.tuples(st.sampled_from(VERBS), st.sampled_from(NODES), st.sampled_from("gh"), st.integers(0, 99)), max_size=60
)
Model = dict[str, Counter[tuple[str, str]]]
"""By node, how often each of its actors is in which group."""


def _play(network: Network[GroupTable[str]], steps: list[Step]) -> Model:
    model: Model = {node: Counter() for node in NODES}
    for verb, node, group, number in steps:
        groups, ref = network.at[node], f"{node}/{number % 3}"
        match verb:
            case "join":
                model[node][group, ref] += 1
                network.do(node, groups.join("s", group, ref))
            case "leave":
                model[node] -= Counter({(group, ref): 1})
                network.do(node, groups.leave("s", group, ref))
            case "restart":
                model[node] = Counter()
                network.restart(node)
            case "deliver":
                network.deliver(number)
            case "lose":
                network.lose(number)
            case "hear":
                network.hear(number)
            case _:
                network.sync(node, NODES[number % 3])
    return model


def _network(seed: int = 0) -> Network[GroupTable[str]]:
    def make(node: str, generation: int) -> GroupTable[str]:
        return GroupTable(node, generation)

    def machine(groups: GroupTable[str]) -> Machine:
        return cast("Machine", groups)  # the network passes on deltas of the kind that the replicas made

    return Network(make, machine, seed)


@given(STEPS, st.integers(0, 99))
def test_all_replicas_see_the_members_of_all_in_the_end(steps: list[Step], seed: int) -> None:
    """After any history each replica has what the owners have, each member as often as it joined."""
    network = _network(seed)
    model = _play(network, steps)
    network.heal()
    for group in "gh":
        expected: Counter[str] = Counter()
        for counts in model.values():
            expected.update({ref: times for (name, ref), times in counts.items() if name == group})
        for node in NODES:
            assert Counter(network.at[node].members("s", group)) == expected
    assert {network.at[node].groups("s") != () for node in NODES} == {any(model.values())}


@given(STEPS, st.integers(0, 99))
def test_updates_add_up_to_the_members(steps: list[Step], seed: int) -> None:
    """At every moment the updates of a replica, added up from the beginning, are the members that it knows."""
    network = _network(seed)
    known = {(node, group): Counter[str]() for node in NODES for group in "gh"}
    for step in steps:
        if step[0] == "restart":
            continue
        _play(network, [step])
        for node, update in cast("list[tuple[str, GroupUpdate[str]]]", network.done):
            assert update.joined or update.left
            counts = known[node, update.group]
            counts.update(update.joined)
            counts.subtract(update.left)
            assert all(count >= 0 for count in counts.values())
        network.done.clear()
        for node in NODES:
            for group in "gh":
                assert +known[node, group] == Counter(network.at[node].members("s", group))


def test_a_member_that_joined_twice_leaves_twice() -> None:
    """As in OTP's pg; to leave once more changes nothing."""
    groups: GroupTable[str] = GroupTable("a", 1)
    groups.join("s", "g", "r")
    groups.join("s", "g", "r")
    assert groups.members("s", "g") == ("r", "r")
    groups.leave("s", "g", "r")
    assert groups.members("s", "g") == ("r",)
    groups.leave("s", "g", "r")
    assert groups.leave("s", "g", "r") == []
    assert groups.groups("s") == ()


def test_scopes_are_separate() -> None:
    """A group of the same name in another scope is another group."""
    groups: GroupTable[str] = GroupTable("a", 1)
    assert groups.join("other", "g", "r")[1:] == [GroupUpdate("other", "g", ("r",), ())]
    assert groups.members("s", "g") == ()
    assert groups.leave("other", "g", "r")[1:] == [GroupUpdate("other", "g", (), ("r",))]
    assert groups.leave("other", "g", "r") == []


def test_the_members_of_a_node_that_went_down_leave_in_one_update() -> None:
    """One update for each group, with all members of the node."""
    network = _network()
    for ref in ("r", "q"):
        network.do("a", network.at["a"].join("s", "g", ref))
    network.heal()
    assert network.at["b"].down("a") == [GroupUpdate("s", "g", (), ("r", "q"))]
    assert network.at["c"].members("s", "g") == ("r", "q")


def test_the_members_of_a_node_are_limited() -> None:
    """The error names the limit."""
    groups: GroupTable[str] = GroupTable("a", 1, members_max=1)
    groups.join("s", "g", "r")
    with pytest.raises(RowFull, match="1 entries are the limit"):
        groups.join("s", "g", "q")
    assert groups.members("s", "g") == ("r",)
