"""Names of the whole cluster: three replicas, an unreliable network, and the rule for names that two nodes claimed."""

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.cluster.replica_network import NODES, Machine, Network
from trouper.actors.cluster.names import ClaimLost, Holder, HolderChanged, NameTable
from trouper.runtime.gossip.versioned_table import RowFull
from trouper.runtime.kernel.errors import NameTaken

Step = tuple[str, str, str, int]
VERBS = ("register", "register", "release", "end", "deliver", "deliver", "lose", "sync", "restart", "hear")
STEPS = st.lists(
    st.tuples(st.sampled_from(VERBS), st.sampled_from(NODES), st.sampled_from("xyz"), st.integers(0, 99)), max_size=60
)


def _machine(names: NameTable[str]) -> Machine:
    return cast("Machine", names)  # the network carries deltas of the kind that the replicas made


def _said(network: Network[NameTable[str]]) -> list[tuple[str, HolderChanged[str] | ClaimLost[str]]]:
    return cast("list[tuple[str, HolderChanged[str] | ClaimLost[str]]]", network.done)


def _network(seed: int = 0) -> Network[NameTable[str]]:
    def make(node: str, generation: int) -> NameTable[str]:
        return NameTable(node, generation)

    return Network(make, _machine, seed)


def _play(network: Network[NameTable[str]], steps: list[Step], verbs: tuple[str, ...] = VERBS) -> None:
    for verb, node, name, number in steps:
        names = network.at[node]
        match verb if verb in verbs else "sync":
            case "register":
                if names.holder(name) is None:
                    network.do(node, names.register(name, f"{node}/{number}"))
            case "release":
                network.do(node, names.release(name))
            case "end":
                network.do(node, names.actor_ended(f"{node}/{number}"))
            case "deliver":
                network.deliver(number)
            case "lose":
                network.lose(number)
            case "restart":
                network.restart(node)
            case "hear":
                network.hear(number)
            case _:
                network.sync(node, NODES[number % 3])


@given(STEPS, st.integers(0, 99))
def test_all_replicas_agree_in_the_end_and_no_name_has_two_holders(steps: list[Step], seed: int) -> None:
    """After any history all see the same holder of each name, and only that node still claims it."""
    network = _network(seed)
    _play(network, steps)
    network.heal()
    for name in "xyz":
        holders = {network.at[node].holder(name) for node in NODES}
        assert len(holders) == 1
        holder = holders.pop()
        claimed_by = [node for node in NODES if name in network.at[node].table.row(node)]
        assert claimed_by == ([] if holder is None else [holder.node])


@given(STEPS, st.integers(0, 99))
def test_the_lowest_claim_stays(steps: list[Step], seed: int) -> None:
    """Where nobody lets go and no node ends, the holder is the one with the lowest stamp and node of all claims made.

    Every other one that claimed it is told to yield, once.
    """
    network = _network(seed)
    _play(network, steps, ("register", "deliver", "lose", "sync"))
    network.heal()
    for name in "xyz":
        made = [effect for _, effect in _said(network) if isinstance(effect, HolderChanged) and effect.name == name]
        claims = {(each.holder.stamp, each.holder.node) for each in made if each.holder is not None}
        holder = network.at["a"].holder(name)
        assert (None if holder is None else (holder.stamp, holder.node)) == min(claims, default=None)
        yielded = [
            effect.loser for _, effect in _said(network) if isinstance(effect, ClaimLost) and effect.name == name
        ]
        assert len(yielded) == len(set(yielded))
        assert {(loser.stamp, loser.node) for loser in yielded} | ({min(claims)} if claims else set()) >= claims


@given(STEPS, st.integers(0, 99))
def test_what_is_said_adds_up_to_what_is_so(steps: list[Step], seed: int) -> None:
    """The ``HolderChanged`` of a node add up to the holders that it knows; a node loses only claims of its own."""
    network = _network(seed)
    _play(network, steps, tuple(verb for verb in VERBS if verb != "restart"))
    network.heal()
    seen: dict[tuple[str, str], Holder[str] | None] = {}
    for node, effect in _said(network):
        if isinstance(effect, HolderChanged):
            assert seen.get((node, effect.name)) != effect.holder
            seen[node, effect.name] = effect.holder
        if isinstance(effect, ClaimLost):
            assert effect.loser.node == node != effect.winner.node
            assert (effect.winner.stamp, effect.winner.node) < (effect.loser.stamp, effect.loser.node)
    for node in NODES:
        for name in "xyz":
            assert seen.get((node, name)) == network.at[node].holder(name)


def test_two_sides_of_a_cut_claim_one_name() -> None:
    """When they meet, the lower node keeps it with equal stamps; the other learns which claim it lost to."""
    network = _network()
    network.do("b", network.at["b"].register("x", "of b"))
    network.do("a", network.at["a"].register("x", "of a"))
    network.heal()
    winner, loser = Holder("a", 1, "of a"), Holder("b", 1, "of b")
    assert [each for each in _said(network) if isinstance(each[1], ClaimLost)] == [("b", ClaimLost("x", loser, winner))]


def test_a_claim_made_in_knowledge_of_another_is_younger() -> None:
    """A node that releases a name and claims it again has the younger claim, even with the lower node name."""
    network = _network()
    network.do("a", network.at["a"].register("x", "first"))
    network.do("a", network.at["a"].release("x"))
    network.do("a", network.at["a"].register("x", "second"))
    network.do("b", network.at["b"].register("x", "of b"))
    network.heal()
    assert network.at["c"].holder("x") == Holder("b", 1, "of b")


def test_a_name_that_is_held_is_refused() -> None:
    """The message says who has it; the holder itself may say it again."""
    network = _network()
    network.do("a", network.at["a"].register("x", "of a"))
    network.heal()
    with pytest.raises(NameTaken, match="'x' is held by of a on node a"):
        network.at["b"].register("x", "of b")
    assert network.at["a"].register("x", "of a") == []


def test_names_of_a_node_that_went_down_are_free() -> None:
    """They are told to be, and may be taken at once."""
    network = _network()
    network.do("a", network.at["a"].register("x", "of a"))
    network.heal()
    assert network.at["b"].down("a") == [HolderChanged("x", None)]
    network.do("b", network.at["b"].register("x", "of b"))
    assert network.at["b"].holder("x") == Holder("b", 2, "of b")


def test_the_names_of_a_node_are_limited() -> None:
    """The limit is told by its name."""
    names: NameTable[str] = NameTable("a", 1, names_max=1)
    names.register("x", "one")
    with pytest.raises(RowFull, match="1 entries are the limit"):
        names.register("y", "two")


class _CountingRef:
    """A ref that counts how often refs are compared."""

    compared = 0

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return hash(self.number)

    def __eq__(self, other: object) -> bool:
        type(self).compared += 1
        return isinstance(other, _CountingRef) and self.number == other.number


def test_the_end_of_an_actor_costs_no_search_of_all_names() -> None:
    """1,000 actors with a name each end: the comparisons grow with their number, not with its square."""
    names: NameTable[_CountingRef] = NameTable("a", 1)
    refs = [_CountingRef(number) for number in range(1_000)]
    for ref in refs:
        names.register(f"name-{ref.number}", ref)
    _CountingRef.compared = 0
    for ref in refs:
        assert names.actor_ended(ref)
    assert _CountingRef.compared < 10 * len(refs)
    assert names.table.row("a") == {}
