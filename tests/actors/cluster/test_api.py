"""The API of the cluster: waiting, placing, and changing the metadata of a node."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from functools import partial

import pytest
from msgspec.structs import replace

from tests.actors.cluster.stage import PLAIN, found, play
from trouper import Actor, ActorRef, InvalidOption, Message, Node, NodeClosed, handler
from trouper.actors.cluster import member_info
from trouper.actors.cluster.events import MemberInfo
from trouper.actors.cluster.membership.records import Member
from trouper.actors.cluster.metrics_poller import MetricsPoller
from trouper.actors.cluster.node_metrics import NodeMetrics
from trouper.cluster import (
    ClusterConfig,
    Location,
    MetadataInvalid,
    NoNodeFits,
    Policy,
    any_node,
    labels,
    least_loaded,
    near,
    roles,
    spread,
)
from trouper.testing import Simulation


class Where(Message[str]):
    """The reply is the name of the node."""


class Resident(Actor):
    """Knows where it lives."""

    @handler
    def where(self, msg: Where) -> str:
        return self.node.name


def zoned(name: str) -> ClusterConfig:
    """Odd nodes are in zone a, even ones in b; n3 has a GPU."""
    zone = "a" if int(name[1:]) % 2 else "b"
    gpu = {"gpu": "a100"} if name == "n3" else {}
    return replace(PLAIN, location=Location(zone=zone, host=name), labels=gpu, roles=frozenset({zone}))


async def _place(sim: Simulation) -> None:
    n1 = sim["n1"]

    async def put(policy: Policy, name: str, node: Node) -> str:
        ref = await node.spawn(Resident, name=name, place=policy)
        return await ref.ask(Where())

    assert await sim.run_on("n1", partial(put, labels(gpu="a100"), "one")) == "n3"
    await sim.run_on("n1", _poll_metrics)
    assert await sim.run_on("n1", partial(put, least_loaded(), "two")) == "n2"
    assert await sim.run_on("n1", partial(put, roles("a") | least_loaded(), "three")) == "n3"
    assert await sim.run_on("n1", partial(put, near(), "four")) == "n1"
    where = [await sim.run_on("n1", partial(put, spread(by="host"), f"spread-{number}")) for number in range(4)]
    assert len({*where}) == 3  # n3 has two by now, the others one at most
    with pytest.raises(NoNodeFits, match=r"no node fits labels\(gpu='h100'\): n1 "):
        n1.cluster.choose(labels(gpu="h100"))
    assert n1.cluster.choose(any_node()) in {"n1", "n2", "n3", "n4"}


async def _poll_metrics(node: Node) -> Mapping[str, NodeMetrics]:
    return await node.cluster.poll_metrics()


def test_a_policy_is_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """By labels, load, roles, round trips and spread; who fits nowhere is told why."""
    loads = {"n1": 0.9, "n2": 0.1, "n3": 0.5, "n4": 0.3}

    def measure(metrics_poller: MetricsPoller) -> NodeMetrics:
        return NodeMetrics(loads[metrics_poller._cluster.ctx.node_id.name])  # noqa: SLF001  hosts of a test have no load

    monkeypatch.setattr(MetricsPoller, "measure", measure)
    play(_place, nodes=4, config=zoned)


async def _counted(sim: Simulation) -> None:
    n1 = sim["n1"]

    async def put(node: Node) -> ActorRef:
        return await node.spawn(Resident, place=roles("b"))

    refs = [await sim.run_on("n1", put) for _ in range(4)]
    where = Counter([await ref.ask(Where()) for ref in refs])
    assert n1.network.placed_actors == where
    crashed = next(iter(where))
    sim.crash(crashed)
    await asyncio.sleep(40.0)
    assert n1.network.placed_actors == {({"n2", "n4"} - {crashed}).pop(): 4}
    for ref in refs:
        await ref.stop()
    assert n1.network.placed_actors == {}


def test_placed_actors_are_counted_as_they_come_and_go() -> None:
    """By the node where each runs now, after it was placed on another one too; no cell is searched for that."""
    play(_counted, nodes=4, config=zoned)


def test_a_choice_decodes_no_member_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member's metadata is decoded when its record has changed, however many actors are placed."""
    decoded: list[str] = []
    read = member_info.read

    def counting(member: Member) -> MemberInfo:
        decoded.append(member.name)
        return read(member)

    async def scene(sim: Simulation) -> None:
        async def choose(node: Node) -> None:
            node.cluster.choose(spread(by="zone"))
            assert node.cluster.members() == node.cluster.members()

        await sim.run_on("n1", choose)
        monkeypatch.setattr(member_info, "read", counting)
        for _ in range(10):
            await sim.run_on("n1", choose)
        assert decoded == []
        await sim["n2"].cluster.update(labels={"gpu": "h100"})
        await asyncio.sleep(2.0)
        decoded.clear()
        assert sim["n1"].cluster.choose(labels(gpu="h100")) == "n2"

    play(scene, nodes=4, config=zoned)


async def _waits(sim: Simulation) -> None:
    cluster = sim["n1"].cluster
    for _ in range(100):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await cluster.wait_changed()
    assert not cluster._waiting  # noqa: SLF001  what a cancelled wait leaves behind is seen nowhere else


def test_a_wait_that_is_cancelled_leaves_nothing_behind() -> None:
    """Such as a wait with a time-out, in a loop, on a quiet cluster."""
    play(_waits)


async def _placed_anew(sim: Simulation) -> None:
    async def put(node: Node) -> ActorRef:
        return await node.spawn(Resident, name="resident", place=roles("b") | any_node())

    ref = await sim.run_on("n1", put)
    first = await ref.ask(Where())
    assert first in ("n2", "n4")
    sim.crash(first)
    await asyncio.sleep(40.0)
    assert await ref.ask(Where(), timeout_s=30.0) == ({"n2", "n4"} - {first}).pop()


def test_an_actor_whose_node_is_lost_is_placed_where_the_policy_says() -> None:
    """Behind the same ref."""
    play(_placed_anew, nodes=4, config=zoned)


async def _round_trips(sim: Simulation) -> None:
    await asyncio.sleep(20.0)
    measured = sim["n1"].cluster.round_trips.smoothed_s()
    assert sorted(measured) == ["n2", "n3"]
    assert all(0 < seconds < 0.1 for seconds in measured.values())
    told = await sim.run_on("n3", _poll_metrics)
    assert sorted(told["n1"].round_trips_s) == ["n2", "n3"]
    assert sim["n3"].cluster.choose(near("n1")) == "n1"


def test_round_trips_are_measured_by_the_probes_and_told_who_asks() -> None:
    """Measuring takes no message of its own; what is told serves to place actors near others."""
    play(_round_trips)


async def _told(sim: Simulation) -> None:
    n2 = sim["n2"]
    with pytest.raises(MetadataInvalid, match="33 labels; 32 are the limit"):
        await n2.cluster.update(labels={f"label-{number}": "x" for number in range(33)})
    await n2.cluster.update(versions={"prices": "2.3"})
    await asyncio.sleep(2.0)
    assert found(sim["n3"], "n2").metadata.versions == {"prices": "2.3"}
    await n2.cluster.leave()
    with pytest.raises(NodeClosed, match="n2 is no member of the cluster 'tests' any more"):
        await n2.cluster.wait_changed()


def test_what_a_node_tells_is_checked_where_it_is_told() -> None:
    """And what was told before stays."""
    play(_told)


def test_a_node_that_is_in_no_cluster_says_so() -> None:
    """Before it has started, and when it was given none."""
    with pytest.raises(NodeClosed, match=r"node a is in no cluster: give it cluster=\.\.\., or start"):
        _ = Node("a").cluster
    with pytest.raises(InvalidOption, match="cluster='prices' needs listen"):
        asyncio.run(Node("a", cluster="prices").start())
