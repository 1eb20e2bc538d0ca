"""What a cluster is not meant to be given, on whole nodes: an event or a clear error each, and the view stays right."""

import asyncio
import gc
from collections.abc import Callable
from functools import partial
from typing import cast

import pytest
from msgspec.structs import replace

from benchmarks.clustering.cases import join
from tests.actors.cluster.stage import PLAIN, Seen, Witness, play, view
from trouper import ActorRef, Node
from trouper.actors.cluster.config import ClusterConfig
from trouper.actors.cluster.manager import ClusterManager
from trouper.actors.cluster.membership.effects import Effect
from trouper.actors.cluster.membership.machine import Membership
from trouper.actors.cluster.membership.packets import Gossip, Packet, Refusal, Sync
from trouper.actors.cluster.membership.records import Accusation, Member, Status
from trouper.actors.cluster.messages import ClusterPacket
from trouper.cluster import MetadataInvalid
from trouper.testing import Simulation, simulate

FUTURE = 2**62
"""An incarnation that no node has reached."""


async def _witness(sim: Simulation, name: str) -> ActorRef:
    return await sim[name].spawn(Witness, name="witness")


async def _two_clusters(sim: Simulation) -> None:
    witness = await _witness(sim, "n1")
    await asyncio.sleep(90)
    for one, other in (("n1", "n2"), ("n3", "n4")):
        assert view(sim[one]) == view(sim[other]) == f"{one} {other}"
    seen = await witness.ask(Seen())
    text = "other_cluster: n3 belongs to the cluster 'bank': its messages are ignored"
    assert text in seen
    assert not [line for line in seen if line.startswith("Member") and ("n3" in line or "n4" in line)]


def test_two_clusters_whose_seeds_point_at_each_other_never_mix() -> None:
    """Each says that the other is another one, and goes on by itself."""
    clusters = {"n1": "shop", "n2": "shop", "n3": "bank", "n4": "bank"}
    joins = {"n1": ["n1", "n3"], "n2": ["n1"], "n3": ["n3", "n1"], "n4": ["n3"]}
    simulate(
        _two_clusters,
        nodes=list(clusters),
        joins={},
        options=lambda name: {
            "cluster": replace(PLAIN, name=clusters[name]),
            "join": [f"sim://{other}" for other in joins[name]],
        },
    )


async def _say(packet: Packet, node: Node) -> None:
    node.network.connect("sim://n1")
    (await node.network.wait_for_peer("n1")).control(ClusterPacket(packet))


FORGED: dict[str, tuple[Packet, str]] = {
    "a generation out of range": (
        Gossip("tests", "outsider", (Member("n2", "sim://n2", -1),)),
        "implausible: what outsider reports of n2 is impossible: its generation",
    ),
    "an incarnation that is too far ahead": (
        Gossip("tests", "outsider", (Member("n9", "sim://n9", 1, FUTURE),)),
        "implausible: what outsider reports of n9 is impossible: its incarnation",
    ),
    "metadata over the limit": (
        Gossip("tests", "outsider", (Member("n9", "sim://n9", 1, metadata=bytes(5_000)),)),
        "implausible: what outsider reports of n9 is impossible: its metadata has 5000 bytes",
    ),
    "a view of another cluster": (
        Sync("zoo", "outsider", "sim://outsider", 1, (Member("lion", "sim://lion", 1),), joining=True),
        "other_cluster: outsider belongs to the cluster 'zoo'",
    ),
}


async def _forged(packet: Packet, expected: str, sim: Simulation) -> None:
    witness = await _witness(sim, "n1")
    await sim.run_on("outsider", partial(_say, packet))
    await asyncio.sleep(20)
    seen = await witness.ask(Seen())
    assert [line for line in seen if line.startswith(expected)], seen
    assert not [line for line in seen if line.startswith("Member")], seen
    assert view(sim["n1"]) == view(sim["n2"]) == "n1 n2"


def _with_outsider(scene: Callable[[Simulation], object], *, config: ClusterConfig = PLAIN) -> None:
    """Run a scene with n1 and n2, which are a cluster, and a node that is linked to them and no member."""

    async def whole(sim: Simulation) -> None:
        for name in ("n1", "n2"):
            await sim[name].cluster.wait_for(2)
        await scene(sim)  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]  a scene is a coroutine function

    def options(name: str) -> dict[str, object]:
        member: dict[str, object] = {"cluster": config, "join": ["sim://n1"]}
        return {"join": []} if name == "outsider" else member

    simulate(whole, nodes=["n1", "n2", "outsider"], joins={}, options=options)


async def _in_the_name_of_another(packet: Packet, sim: Simulation) -> None:
    await sim.run_on("outsider", partial(_say, packet))
    await asyncio.sleep(20)
    assert view(sim["n1"]) == view(sim["n2"]) == "n1 n2"
    counts = await sim.run_on("n1", _refused)
    assert counts == {"this process": {"ClusterPacket": 1}}


async def _refused(node: Node) -> dict[str, dict[str, int]]:
    return node.network.security.counts


@pytest.mark.parametrize(
    "packet",
    [
        Sync("tests", "n2", "sim://outsider", 1, (Member("n2", "sim://outsider", 1),), joining=True),
        Gossip("tests", "n2", (Member("n2", "sim://n2", 1, status=Status.DOWN),)),
        Refusal("tests", "n2", "over", "go"),
    ],
)
def test_a_packet_in_the_name_of_another_node_is_refused_and_counted(packet: Packet) -> None:
    """A node speaks for itself: no packet of an outsider passes for one of a member, whatever it says."""
    _with_outsider(partial(_in_the_name_of_another, packet))


async def _hostile(sim: Simulation) -> None:
    await sim.run_on("n1", _break_the_machine)
    await sim.run_on("outsider", partial(_say, Gossip("tests", "outsider", ())))
    await asyncio.sleep(20)
    assert view(sim["n1"]) == view(sim["n2"]) == "n1 n2"
    assert await sim.run_on("n1", _restarts) == 0


class _Broken:
    """A membership that fails at every packet of the outsider, in a way that nobody has thought of."""

    def __init__(self, machine: Membership) -> None:
        self._machine = machine

    def __getattr__(self, name: str) -> object:
        return getattr(self._machine, name)

    def receive(self, packet: Packet, now: float, by: str | None = None) -> list[Effect]:
        if packet.source == "outsider":
            raise RecursionError("nested beyond the stack")
        return self._machine.receive(packet, now)


async def _break_the_machine(node: Node) -> None:
    manager = _manager(node)
    manager.machine = cast("Membership", _Broken(manager.machine))


async def _restarts(node: Node) -> int:
    assert _manager(node).contained.count == 1
    return node.cluster.manager._cell.restarts  # noqa: SLF001  what an operator sees as restarts


def _manager(node: Node) -> ClusterManager:
    manager = node.cluster.manager._cell.actor  # noqa: SLF001  the actor itself, whose machine is replaced
    assert isinstance(manager, ClusterManager)
    return manager


def test_an_error_in_one_packet_is_that_packet_s() -> None:
    """Whatever a packet makes of the membership: the actor is not restarted, and the members stay."""
    _with_outsider(_hostile)


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_packet_of_a_linked_node_changes_nothing(case: str) -> None:
    """What cannot be true is said, and forgotten; no member is lost or gained."""
    packet, expected = FORGED[case]
    _with_outsider(partial(_forged, packet, expected))


async def _replayed(sim: Simulation) -> None:
    before = sim["n2"].cluster.machine.me
    stale = Accusation("n2", before.generation, before.incarnation, "outsider", dead=True)
    older = Member("n2", "sim://n2", before.generation - 1)
    for packet in (Gossip("tests", "outsider", (stale,)), Gossip("tests", "outsider", (older,))):
        for _ in range(3):
            await sim.run_on("outsider", partial(_say, packet))
            await asyncio.sleep(5)
    assert view(sim["n1"]) == view(sim["n2"]) == "n1 n2"
    assert sim["n2"].cluster.machine.me.incarnation > before.incarnation
    assert sim["n2"].shutdown.reason is None


def test_a_replayed_death_is_refuted_and_another_generation_at_its_endpoint_is_ended() -> None:
    """The accused refutes with a higher incarnation; the node at that endpoint ends the forged generation."""
    _with_outsider(_replayed)


def test_metadata_over_its_limit_is_refused_where_it_is_made() -> None:
    """The node does not start, and the error says how large it was and what is allowed."""

    async def nothing(sim: Simulation) -> None:
        raise AssertionError("it must not start")

    with pytest.raises(MetadataInvalid, match="bytes"):
        play(nothing, nodes=1, config=replace(PLAIN, labels={f"label-{n}": "x" * 60 for n in range(30)}))


async def _update_too_much(sim: Simulation) -> None:
    async def update(node: Node) -> None:
        with pytest.raises(MetadataInvalid, match="bytes"):
            await node.cluster.update(labels={f"label-{n}": "x" * 60 for n in range(30)})

    await sim.run_on("n2", update)
    await asyncio.sleep(5)
    member = sim["n1"].cluster.member("n2")
    assert member is not None
    assert (member.status, member.metadata.labels) == ("alive", {})


def test_an_update_over_the_limit_changes_nothing() -> None:
    """It is an error where it is asked for, and the others go on with what they knew."""
    play(_update_too_much, nodes=2)


async def _dead_seeds(sim: Simulation) -> None:
    witness = await _witness(sim, "n2")
    await asyncio.sleep(120)
    seen = [line for line in await witness.ask(Seen()) if line.startswith("seeds_silent")]
    pauses_s = [float(line.partition("next attempt in ")[2].removesuffix(" s")) for line in seen]
    assert pauses_s == sorted(pauses_s)
    assert 4 <= len(seen) <= 20
    assert "no answer from sim://n1, sim://gone after" in seen[0]
    assert not sim["n2"].cluster.is_joined
    await sim.restart("n1")
    await asyncio.sleep(45)
    assert view(sim["n1"]) == view(sim["n2"]) == "n1 n2"


def test_a_list_of_dead_seeds_is_tried_ever_more_seldom_and_said() -> None:
    """As soon as one of them lives the node has joined."""

    async def whole(sim: Simulation) -> None:
        await sim.stop("n1")
        await sim.stop("n2")
        await sim.restart("n2")
        await _dead_seeds(sim)

    joins = {"n1": ["sim://n1"], "n2": ["sim://n1", "sim://gone"]}
    simulate(whole, nodes=2, joins={}, options=lambda name: {"cluster": PLAIN, "join": joins[name]})


async def _leaves_while_joining(sim: Simulation) -> None:
    witness = await _witness(sim, "n1")
    for delay_s in (0.0, 0.000_5, 0.001, 0.002, 0.01, 0.3):
        await sim.restart("n3") if not sim.is_up("n3") else await sim.stop("n3")
        if not sim.is_up("n3"):
            await sim.restart("n3")
        await asyncio.sleep(delay_s)
        await sim.stop("n3")
        await asyncio.sleep(25)
        assert view(sim["n1"]) == view(sim["n2"]) == "n1 n2", delay_s
    assert not [line for line in await witness.ask(Seen()) if "Unreachable" in line or "Down" in line]


def test_a_node_that_leaves_while_it_joins_is_gone_and_not_lost() -> None:
    """Whenever it leaves, nobody takes it for a member, or for a dead one, afterwards."""
    play(_leaves_while_joining)


async def _crowd(sim: Simulation) -> None:
    await asyncio.gather(*(sim.run_on(node.name, lambda node: node.cluster.wait_for(30)) for node in sim.nodes))
    assert {len(node.cluster.members()) for node in sim.nodes} == {30}


def test_thirty_nodes_that_come_at_once_all_see_all() -> None:
    """Whole nodes, which all ask one and the same to be taken in."""
    names = [f"n{number}" for number in range(1, 31)]
    simulate(_crowd, nodes=names, joins={}, options=lambda _: {"cluster": PLAIN, "join": ["sim://n1"]})


def test_five_hundred_joins_at_once_all_see_all() -> None:
    """The pure machines of whole nodes, through three seeds: within 30 s, and nobody is held to be dead."""
    gc.disable()  # the machines make no cycles, and there is much to look through
    try:
        outcome = join(1, 500)
    finally:
        gc.enable()
    assert outcome.holds, outcome.figures
