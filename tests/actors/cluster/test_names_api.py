"""Names of the whole cluster, on whole nodes."""

import asyncio

import pytest

from tests.actors.cluster.stage import REJOINING, play
from trouper import Actor, ActorRef, CallerError, Message, NameTaken, Node, handler
from trouper.actors.cluster.config import ClusterConfig
from trouper.actors.cluster.events import ClusterNameLost
from trouper.testing import Simulation


class Lost(Message[list[str]]):
    """The reply is which names it has lost."""


class Leader(Actor):
    """Has a name, and notes when it has lost it."""

    def __init__(self) -> None:
        self.lost: list[str] = []

    @handler
    def name_lost(self, msg: ClusterNameLost) -> None:
        self.lost.append(f"{msg.name} to {msg.winner.address.node if msg.winner else 'nobody'}")

    @handler
    def reply(self, msg: Lost) -> list[str]:
        return self.lost


async def _named(node: Node, name: str) -> ActorRef:
    leader = await node.spawn(Leader)
    await node.cluster.names.register(name, leader)
    return leader


async def _taken(sim: Simulation) -> None:
    n1, n2, n3 = sim.nodes
    leader = await _named(n1, "leader")
    await n1.cluster.names.register("leader", leader)
    await asyncio.sleep(0.5)
    assert n2.cluster.names.whereis("leader") == n3.cluster.names.whereis("leader") == leader
    with pytest.raises(NameTaken, match="'leader' is held by"):
        await _named(n3, "leader")
    with pytest.raises(CallerError, match="is not an actor of node n2"):
        await n2.cluster.names.register("other", leader)
    with pytest.raises(CallerError, match="bytes"):
        await n1.cluster.names.register("x" * 257, leader)
    assert n1.cluster.names.release("leader")
    assert not n1.cluster.names.release("leader")
    await asyncio.sleep(0.5)
    assert n3.cluster.names.whereis("leader") is None
    await _named(n3, "leader")
    await asyncio.sleep(0.5)
    assert list(n1.cluster.names.all()) == ["leader"]


def test_a_name_belongs_to_one_actor_of_the_cluster() -> None:
    """Others are refused it, until it is let go."""
    play(_taken)


async def _ends(sim: Simulation) -> None:
    n1, n2, n3 = sim.nodes
    leader = await _named(n1, "ada")
    await _named(n2, "ben")
    await asyncio.sleep(5.0)
    await leader.stop()
    sim.crash("n2")
    await asyncio.sleep(1.0)
    assert list(n3.cluster.names.all()) == ["ben"]
    await asyncio.sleep(30.0)
    assert n1.cluster.names.all() == n3.cluster.names.all() == {}
    with pytest.raises(CallerError, match="has ended"):
        await n1.cluster.names.register("ada", leader)


def test_a_name_is_free_when_its_actor_or_node_is_gone() -> None:
    """Everywhere."""
    play(_ends)


async def _heal(sim: Simulation) -> None:
    n1, n2, n3 = sim.nodes
    await _named(n1, "first")  # so that the later claim of this node has a higher stamp
    lost: list[str] = []

    async def watch() -> None:
        with n1.events.stream(ClusterNameLost) as stream:
            async for event in stream:
                note(event)

    def note(event: ClusterNameLost) -> None:
        lost.append(event.name)

    sim.partition(["n1"], ["n2", "n3"])
    loser, winner = await _named(n1, "leader"), await _named(n2, "leader")
    watching = asyncio.ensure_future(watch())
    await asyncio.sleep(1.0)
    assert n1.cluster.names.whereis("leader") == loser
    assert n3.cluster.names.whereis("leader") == winner
    sim.repair()
    await asyncio.sleep(30.0)
    assert {node.cluster.names.whereis("leader") for node in sim.nodes} == {winner}
    assert await loser.ask(Lost()) == ["leader to n2"]
    assert await winner.ask(Lost()) == []
    assert lost == ["leader"]
    watching.cancel()


def test_after_a_cut_one_of_two_keeps_the_name_and_the_other_is_told() -> None:
    """The younger claim loses; its actor hears of it once."""
    play(_heal, config=ClusterConfig(name="tests", detect=False, split_brain=None))


async def _thrown_out(sim: Simulation) -> None:
    n5 = sim["n5"]
    lost: list[ClusterNameLost] = []

    async def watch() -> None:
        with n5.events.stream(ClusterNameLost) as stream:
            async for event in stream:
                note(event)

    def note(event: ClusterNameLost) -> None:
        lost.append(event)

    await asyncio.sleep(5.0)
    await _named(n5, "leader")
    watching = asyncio.ensure_future(watch())
    sim.partition(["n5"], ["n1", "n2", "n3", "n4"])
    await asyncio.sleep(90.0)
    await _named(sim["n1"], "leader")
    sim.repair()
    await asyncio.sleep(60.0)
    holders = {node.cluster.names.whereis("leader") for node in sim.nodes}
    assert len(holders) == 1
    assert {holder.address.node for holder in holders if holder} == {"n1"}
    assert len(lost) <= 1
    watching.cancel()


def test_a_node_that_was_thrown_out_has_no_names_any_more() -> None:
    """It comes back as another member, with its actors stopped."""
    play(_thrown_out, nodes=5, config=REJOINING)
