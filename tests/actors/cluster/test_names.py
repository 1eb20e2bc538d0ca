"""Names of the whole cluster: three replicas, an unreliable network, and the rule for names that two nodes claimed."""

from typing import ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.cluster.replica_network import NODES, AnyTable, Network, lone_table
from trouper.actors.cluster.names import STAMP_MAX, STAMPS_AHEAD_MAX, Claim, ClaimLost, Holder, NameTable
from trouper.runtime.gossip.versioned_table import RowFull, TableLimits
from trouper.runtime.kernel.errors import NameTaken

Step = tuple[str, str, str, int]
VERBS = ("register", "register", "release", "end", "deliver", "deliver", "lose", "sync", "restart", "hear")
STEPS = st.lists(
    st.tuples(st.sampled_from(VERBS), st.sampled_from(NODES), st.sampled_from("xyz"), st.integers(0, 99)), max_size=60
)


class Names(NameTable[str]):
    """The names of one replica, and the claims that it has lost."""

    def __init__(self, table: AnyTable) -> None:
        self.lost: list[ClaimLost[str]] = []
        super().__init__(table, self.lost.append)


def _lost(network: Network[Names]) -> list[ClaimLost[str]]:
    return [lost for node in NODES for lost in network.at[node].lost]


def _play(network: Network[Names], steps: list[Step], verbs: tuple[str, ...] = VERBS) -> set[tuple[str, int, str]]:
    """Play the steps; return the claims that were made: name, stamp, node."""
    made: set[tuple[str, int, str]] = set()
    for verb, node, name, number in steps:
        names = network.at[node]
        match verb if verb in verbs else "sync":
            case "register":
                if names.holder(name) is None:
                    names.register(name, f"{node}/{number}")
                    made.add((name, names.table.own[name].stamp, node))
            case "release":
                names.table.remove(name)
            case "end":
                names.actor_ended(f"{node}/{number}")
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
    return made


@given(STEPS, st.integers(0, 99))
def test_all_replicas_agree_in_the_end_and_no_name_has_two_holders(steps: list[Step], seed: int) -> None:
    """After any history all see the same holder of each name, and only that node still claims it."""
    network = Network(Names, seed)
    _play(network, steps)
    network.heal()
    for name in "xyz":
        holders = {network.at[node].holder(name) for node in NODES}
        assert len(holders) == 1
        holder = holders.pop()
        claimed_by = [node for node in NODES if name in network.at[node].table.own]
        assert claimed_by == ([] if holder is None else [holder.node])


@given(STEPS, st.integers(0, 99))
def test_the_lowest_claim_stays(steps: list[Step], seed: int) -> None:
    """Where nobody lets go and no node ends, the holder is the one with the lowest stamp and node of all claims made.

    Every other one that claimed it is told to yield, once.
    """
    network = Network(Names, seed)
    made = _play(network, steps, ("register", "deliver", "lose", "sync"))
    network.heal()
    for name in "xyz":
        claims = {(stamp, node) for of, stamp, node in made if of == name}
        holder = network.at["a"].holder(name)
        assert (None if holder is None else (holder.stamp, holder.node)) == min(claims, default=None)
        yielded = [lost.loser for lost in _lost(network) if lost.name == name]
        assert len(yielded) == len(set(yielded))
        assert {(loser.stamp, loser.node) for loser in yielded} | ({min(claims)} if claims else set()) == claims


@given(STEPS, st.integers(0, 99))
def test_a_node_loses_only_claims_of_its_own_and_only_to_older_ones(steps: list[Step], seed: int) -> None:
    """Whatever happens: the winner has the lower stamp, or with equal stamps the lower name."""
    network = Network(Names, seed)
    _play(network, steps)
    network.heal()
    for node in NODES:
        for lost in network.at[node].lost:
            assert lost.loser.node == node != lost.winner.node
            assert (lost.winner.stamp, lost.winner.node) < (lost.loser.stamp, lost.loser.node)


def test_two_sides_of_a_cut_claim_one_name() -> None:
    """When they meet, the lower node keeps it with equal stamps; the other learns which claim it lost to."""
    network = Network(Names)
    network.at["b"].register("x", "of b")
    network.at["a"].register("x", "of a")
    network.heal()
    winner, loser = Holder("a", 1, "of a"), Holder("b", 1, "of b")
    assert _lost(network) == network.at["b"].lost == [ClaimLost("x", loser, winner)]


def test_a_claim_made_in_knowledge_of_another_is_younger() -> None:
    """A node that releases a name and claims it again has the younger claim, even with the lower node name."""
    network = Network(Names)
    network.at["a"].register("x", "first")
    network.at["a"].table.remove("x")
    network.at["a"].register("x", "second")
    network.at["b"].register("x", "of b")
    network.heal()
    assert network.at["c"].holder("x") == Holder("b", 1, "of b")


def test_a_name_that_is_held_is_refused() -> None:
    """The message says who has it; the holder itself may say it again."""
    network = Network(Names)
    network.at["a"].register("x", "of a")
    network.heal()
    with pytest.raises(NameTaken, match="'x' is held by of a on node a"):
        network.at["b"].register("x", "of b")
    network.at["a"].register("x", "of a")
    assert network.at["a"].table.own == {"x": Claim(1, "of a")}


def test_names_of_a_node_that_went_down_are_free() -> None:
    """They are told to be, and may be taken at once."""
    network = Network(Names)
    network.at["a"].register("x", "of a")
    network.heal()
    network.down("b", "a")
    assert network.at["b"].holder("x") is None
    network.at["b"].register("x", "of b")
    assert network.at["b"].holder("x") == Holder("b", 2, "of b")


def test_the_names_of_a_node_are_limited() -> None:
    """The limit is told by its name."""
    names = Names(lone_table(TableLimits(rows_max=1)))
    names.register("x", "one")
    with pytest.raises(RowFull, match="1 rows are the limit"):
        names.register("y", "two")


def test_no_stamp_keeps_later_claims_from_being_made() -> None:
    """One claim moves the stamps of another node by a bounded amount; at the highest stamp the node names decide."""
    network = Network(Names)
    network.at["c"].table.put("x", Claim(STAMP_MAX, "of c"))
    network.heal()
    network.at["a"].register("y", "of a")
    assert network.at["a"].table.own["y"].stamp == STAMPS_AHEAD_MAX + 1
    network.at["b"]._stamp = STAMP_MAX - 1  # noqa: SLF001  as after as many claims of other nodes
    for name in ("last", "later"):
        network.at["b"].register(name, "of b")
        assert network.at["b"].table.own[name].stamp == STAMP_MAX
    network.at["c"].table.put("y", Claim(STAMP_MAX, "of c"))
    network.heal()
    assert network.at["b"].holder("y") == Holder("a", STAMPS_AHEAD_MAX + 1, "of a")
    assert network.at["a"].holder("later") == Holder("b", STAMP_MAX, "of b")


class _CountingRef(msgspec.Struct, eq=False):
    """A ref that counts how often refs are compared."""

    number: int
    compared: ClassVar[int] = 0

    def __hash__(self) -> int:
        return hash(self.number)

    def __eq__(self, other: object) -> bool:
        type(self).compared += 1
        return isinstance(other, _CountingRef) and self.number == other.number


def test_the_end_of_an_actor_costs_no_search_of_all_names() -> None:
    """1,000 actors with a name each end: the comparisons grow with their number, not with its square."""
    names: NameTable[_CountingRef] = NameTable(lone_table(), lambda _: None)
    refs = [_CountingRef(number) for number in range(1_000)]
    for ref in refs:
        names.register(f"name-{ref.number}", ref)
    _CountingRef.compared = 0
    for ref in refs:
        names.actor_ended(ref)
    assert _CountingRef.compared < 10 * len(refs)
    assert names.table.own == {}
