"""What a member, or a node that is none, can say of the tables of a cluster: on simulated nodes, in protocol 2."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import msgspec
import pytest

from tests.actors.cluster.stage import PLAIN, play, view
from tests.actors.cluster.test_replication_actor import Parrot, Say
from trouper import ActorRef, Node
from trouper.runtime.gossip.messages import VERSION_MAX, DeltaOnWire, TableDeltas, TableDigest
from trouper.runtime.gossip.versioned_table import RowChanged
from trouper.testing import Simulation, simulate

Row = tuple[object, object]


def _say(node: Node, to: str, table: str, rows: Sequence[Row], *, owner: str = "", version: int = 1_000) -> None:
    """Let a node, which is hostile, say what an owner has in a table; by default it is the owner."""
    member = node.cluster.machine.record(owner or node.name)
    generation = node.cluster.machine.me.generation if member is None else member.generation
    changes = cast("msgspec.Raw", list(rows))
    delta = DeltaOnWire(owner or node.name, generation, 0, version, len(rows), changes)
    node.network.peer(to).control(TableDeltas({table: (delta,)}))


def _claim(stamp: int, ref: ActorRef) -> dict[str, object]:
    return {"stamp": stamp, "ref": ref}


def _refused(node: Node) -> dict[str, int]:
    return dict(node.tables.exchange.refused)


async def _unharmed(sim: Simulation) -> None:
    """All members see each other, and new names of those that are honest; no actor of a cluster has been restarted."""
    for node in (sim["n1"], sim["n3"]):
        name = f"after {node.name}"
        await node.cluster.names.register(name, await node.spawn(Parrot))
    await asyncio.sleep(10.0)
    for node in sim.nodes:
        assert view(node) == "n1 n2 n3"
        assert {"after n1", "after n3"} <= node.cluster.names.all().keys()
        assert not any(info.restarts for info in node.extensions)
        for actor in (node.find("system/cluster"), node.find("system/cluster/replicator")):
            assert actor is not None
            assert actor._cell.restarts == 0  # noqa: SLF001  what an operator sees as restarts


async def _forge_an_owner(version: int, sim: Simulation) -> None:
    honest = await sim["n1"].spawn(Parrot, name="honest")
    await sim["n1"].cluster.names.register("honest", honest)
    await asyncio.sleep(1.0)
    seen: list[RowChanged[object, object]] = []
    for name in ("cluster.names", "groups", "cluster.statuses"):
        sim["n3"].tables.exchange.tables[name].subscribe(seen.extend)
    seen.clear()

    async def forge(node: Node) -> None:
        there = node.cluster.names.whereis("honest")
        assert there is not None
        rows = [("forged", _claim(1, there))]
        _say(node, "n3", "cluster.names", rows, owner="n1", version=version)
        _say(node, "n3", "groups", [(("default", "forged", there), 1)], owner="n1", version=version)
        _say(node, "n3", "cluster.statuses", [], owner="n1", version=version)

    await sim.run_on("n2", forge)
    await asyncio.sleep(1.0)
    assert seen == [], "not for a moment"
    sim["n1"].groups.join("real", honest)
    await _unharmed(sim)
    assert [ref.address for ref in sim["n3"].groups.members("real")] == [honest.address]


@pytest.mark.parametrize("version", [2, 1_000, VERSION_MAX])
def test_a_member_cannot_speak_for_another_one(version: int) -> None:
    """Neither add to its rows, nor take them away, nor keep its later rows from being seen, with whatever version."""
    play(partial(_forge_an_owner, version))


async def _forge_while_away(sim: Simulation) -> None:
    honest = await sim["n1"].spawn(Parrot)
    sim.partition(["n1"], ["n3"])  # n2 reaches both
    await sim["n1"].cluster.names.register("honest", honest)
    await asyncio.sleep(15.0)

    async def forge(node: Node) -> None:
        there = node.cluster.names.whereis("honest")
        assert there is not None
        for version in (50, 2**40):
            _say(node, "n3", "cluster.names", [("forged", _claim(1, there))], owner="n1", version=version)

    await sim.run_on("n2", forge)
    await asyncio.sleep(0.1)
    assert list(sim["n3"].cluster.names.all()) == ["forged"], "while the owner is out of reach"
    sim.repair()
    await asyncio.sleep(30.0)
    assert list(sim["n3"].cluster.names.all()) == ["honest"]
    await _unharmed(sim)


def test_what_a_member_says_of_one_out_of_reach_ends_when_that_one_is_heard() -> None:
    """The owner is asked to confirm what was passed on, and replaces what is false."""
    play(_forge_while_away)


HOSTILE_ROWS: dict[str, tuple[str, Callable[[ActorRef, ActorRef], list[Row]], int]] = {
    "stamps out of range": (
        "cluster.names",
        lambda own, _: [(f"name {stamp}", _claim(stamp, own)) for stamp in (-5, 0, 2**53 + 1, 2**64 - 1)],
        4,
    ),
    "an actor of another node": ("cluster.names", lambda _, other: [("stolen", _claim(1, other))], 1),
    "a group member of another node": ("groups", lambda _, other: [(("default", "g", other), 1)], 1),
    "an offer of another node": (
        "cluster.services",
        lambda _, other: [(("s", other), {"capabilities": {}, "topics": [], "messages": []})],
        1,
    ),
    "names that are too long": (
        "cluster.topics",
        lambda _, __: [("x" * 257, True), ("", True), ("x" * 10**5, True)],
        3,
    ),
    "numbers that leave no higher one": ("cluster.statuses", lambda _, __: [("up", 2**53 + 1), ("down", 1)], 2),
    "a worker of another node": (
        "cluster.workers",
        lambda _, __: [("n1.worker-1", {"generation": 1, "endpoints": ["sim://n9"]})],
        1,
    ),
    "endpoints that cannot be dialled": (
        "cluster.workers",
        lambda _, __: [("n2.worker-1", {"generation": 1, "endpoints": ["tcp://host.example:" + "9" * 5_000]})],
        1,
    ),
}


async def _hostile_rows(case: str, sim: Simulation) -> None:
    table, rows, count = HOSTILE_ROWS[case]
    await sim["n1"].cluster.names.register("honest", await sim["n1"].spawn(Parrot))
    await asyncio.sleep(1.0)

    async def say(node: Node) -> None:
        own, other = await node.spawn(Parrot), node.cluster.names.whereis("honest")
        assert other is not None
        _say(node, "n3", "cluster.topics", [("before", True)])
        _say(node, "n3", table, rows(own, other), version=2_000)

    await sim.run_on("n2", say)
    await asyncio.sleep(1.0)
    assert _refused(sim["n3"])["row"] == count
    assert dict(sim["n3"].tables.exchange.tables[table].rows_of("n2")) == {}
    await _unharmed(sim)


@pytest.mark.parametrize("case", HOSTILE_ROWS)
def test_rows_that_no_honest_node_has_are_left_out_and_counted(case: str) -> None:
    """Whatever they claim: of its own rows too, a member cannot say what would harm others."""
    play(partial(_hostile_rows, case))


async def _highest_stamp(sim: Simulation) -> None:
    async def say(node: Node) -> None:
        _say(node, "n3", "cluster.names", [("x", _claim(2**53, await node.spawn(Parrot)))])
        _say(node, "n3", "cluster.statuses", [("up", 2**53)])

    await sim.run_on("n2", say)
    await asyncio.sleep(5.0)
    await _unharmed(sim)
    found = sim["n2"].cluster.names.whereis("after n3")
    assert found is not None
    assert await found.ask(Say("hello")) == "hello"


def test_the_highest_stamp_keeps_no_later_claim_from_being_made() -> None:
    """Claims of the node that has seen it travel, and hold."""
    play(_highest_stamp)


async def _outsider(sim: Simulation) -> None:
    async def say(node: Node) -> None:
        node.network.connect("sim://n1")
        peer = await node.network.wait_for_peer("n1")
        generation = node.network.node_id.generation
        rows = cast("msgspec.Raw", [("outsider", True)])
        for owner in ("outsider", "n2"):
            delta = DeltaOnWire(owner, generation, 0, 1_000, 1, rows)
            peer.control(TableDeltas({"cluster.topics": (delta,)}))
        peer.control(TableDigest({"cluster.topics": {}, "groups": {}}, True, {}, None))

    await sim.run_on("outsider", say)
    await asyncio.sleep(5.0)
    assert _refused(sim["n1"])["not_member"] == 3
    assert sim["n1"].cluster.topics.publish("outsider", Say("to nobody")) == 0


def test_a_node_that_is_no_member_writes_and_reads_no_table() -> None:
    """Though it is connected: what it sends is counted."""

    async def whole(sim: Simulation) -> None:
        for name in ("n1", "n2"):
            await sim[name].cluster.wait_for(2)
        await _outsider(sim)

    def options(name: str) -> dict[str, object]:
        member: dict[str, object] = {"cluster": PLAIN, "join": ["sim://n1"]}
        return {"join": []} if name == "outsider" else member

    simulate(whole, nodes=["n1", "n2", "outsider"], joins={}, options=options)
