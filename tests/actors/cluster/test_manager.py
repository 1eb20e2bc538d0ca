"""The manager carries out what the membership decides, on whole nodes."""

import asyncio

import pytest

from tests.actors.cluster.stage import PLAIN, REJOINING, Seen, Witness, found, play, view
from trouper import Actor, ActorStopped, Message, NodeUnreachable, handler
from trouper.actors.cluster.events import MemberDown, MemberEvent, MemberJoined
from trouper.runtime.kernel.address import NodeId
from trouper.testing import Simulation


class Count(Message[int]):
    """The reply is how often it was asked."""


class Counter(Actor):
    """Counts what it is asked."""

    count = 0

    @handler
    def tell_count(self, msg: Count) -> int:
        self.count += 1
        return self.count


class Reasons(Actor):
    """Collects why members were taken down."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_start(self) -> None:
        self.node.events.subscribe(MemberDown, self.ref)

    @handler
    def down(self, msg: MemberDown) -> None:
        self.seen.append(f"MemberDown {msg.member.name}: {msg.reason}")

    @handler
    def reply(self, msg: Seen) -> list[str]:
        return self.seen


async def _crash_and_return(sim: Simulation) -> None:
    witness = await sim["n1"].spawn(Witness)
    before = found(sim["n1"], "n3")
    await asyncio.sleep(5.0)  # by then all count as up
    sim.crash("n3")
    await asyncio.sleep(30.0)
    assert view(sim["n1"]) == view(sim["n2"]) == "n1 n2"
    await sim.restart("n3")
    await asyncio.sleep(5.0)
    assert view(sim["n1"]) == view(sim["n2"]) == view(sim["n3"]) == "n1 n2 n3"
    assert found(sim["n1"], "n3").generation != before.generation
    seen = await witness.ask(Seen())
    assert seen == [
        "MemberSuspected n3",
        "MemberUnreachable n3",
        "split_brain: n3 is taken down: 2 reachable members against 1",
        "MemberDown n3",
        "MemberJoined n3",
    ]


def test_a_crash_is_found_and_the_node_comes_back_as_another_generation() -> None:
    """Suspected, unreachable, taken down by the majority; then a member again, as another generation."""
    play(_crash_and_return)


async def _partition(sim: Simulation) -> None:
    kept, lost = await sim["n1"].spawn(Counter, name="kept"), await sim["n4"].spawn(Counter, name="lost")
    sim.partition(["n1", "n2", "n3"], ["n4", "n5"])
    await asyncio.sleep(60.0)
    assert view(sim["n1"]) == view(sim["n3"]) == "n1 n2 n3"
    assert await kept.ask(Count()) == 1
    with pytest.raises(ActorStopped):
        await lost.ask(Count())
    sim.repair()
    await asyncio.sleep(60.0)
    assert {view(node) for node in sim.nodes} == {"n1 n2 n3 n4 n5"}


def test_the_smaller_side_of_a_cut_stops_its_actors_and_joins_again() -> None:
    """The larger side goes on; after the repair there is one view everywhere, and no member is lost."""
    play(_partition, nodes=5, config=REJOINING)


async def _leave(sim: Simulation) -> None:
    witness = await sim["n1"].spawn(Witness)
    await sim["n3"].cluster.leave()
    assert view(sim["n1"]) == view(sim["n2"]) == "n1 n2"
    await sim.stop("n2")
    assert view(sim["n1"]) == "n1"
    assert await witness.ask(Seen()) == ["MemberLeft n3", "MemberLeft n2"]


def test_a_leave_is_no_failure() -> None:
    """Also when the node shuts down in order: nobody suspects it."""
    play(_leave)


async def _reach(sim: Simulation) -> None:
    far = await sim["n2"].spawn(Counter, name="far")
    await asyncio.sleep(1.0)
    n3 = sim["n3"]
    node_id = NodeId("n2", found(n3, "n2").generation)
    ref = n3.network.directory.cell(node_id, far.address.uid, "user/far").ref
    sim["n2"].network.exports[far.address.uid] = far._cell  # noqa: SLF001  as if somebody had passed the ref on
    assert await ref.ask(Count()) == 1
    sim.crash("n2")
    await asyncio.sleep(30.0)
    with pytest.raises(ActorStopped):
        await ref.ask(Count())
    with pytest.raises(NodeUnreachable):
        n3.network.peer("n2")


def test_a_member_is_reached_on_demand_until_it_is_over() -> None:
    """Refs find it wherever it listens; what hung on it ends when the cluster has taken it down."""
    play(_reach)


async def _manager_restarts(sim: Simulation) -> None:
    n2 = sim["n2"]
    sim.crash(n2.cluster.manager)
    await asyncio.sleep(20.0)
    assert {view(node) for node in sim.nodes} == {"n1 n2 n3"}
    sim.crash("n3")
    await asyncio.sleep(30.0)
    assert view(n2) == "n1 n2"


def test_a_manager_that_fails_begins_again_with_what_it_knew() -> None:
    """Its node stays a member, and goes on to find failures."""
    play(_manager_restarts)


async def _thrown_out(sim: Simulation) -> None:
    witness = await sim["n2"].spawn(Reasons)
    n3 = sim["n3"]
    assert await sim["n1"].cluster.down("n3", "an operator said so")
    assert not await sim["n1"].cluster.down("nobody")
    await asyncio.sleep(10.0)
    assert view(sim["n1"]) == "n1 n2"
    assert n3.shutdown.reason is not None
    assert "taken down by the cluster 'tests'" in n3.shutdown.reason
    assert "an operator said so" in n3.shutdown.reason
    [ended] = sim["n2"].cluster.ended_members()
    assert (ended.name, ended.status, ended.reason) == ("n3", "down", "an operator said so")
    assert "MemberDown n3: an operator said so" in await witness.ask(Seen())


def test_every_member_says_why_a_node_was_taken_down() -> None:
    """The reason is in its shutdown, in the event and in the status of each other member."""
    play(_thrown_out)


async def _watch(sim: Simulation) -> None:
    seen: list[str] = []

    async def watch() -> None:
        async for event in sim["n1"].cluster.watch():
            assert isinstance(event, MemberEvent)
            seen.append(f"{type(event).__name__} {event.member.name}")
            if len(seen) == 5:
                return

    watching = asyncio.ensure_future(watch())
    await asyncio.sleep(1.0)
    assert seen == ["MemberJoined n1", "MemberJoined n2", "MemberJoined n3"]
    await sim["n2"].cluster.update(labels={"gpu": "a100"}, roles=frozenset({"train"}))
    await asyncio.sleep(2.0)
    assert found(sim["n1"], "n2").metadata.labels == {"gpu": "a100"}
    assert found(sim["n3"], "n2").metadata.roles == {"train"}
    await sim["n3"].cluster.leave()
    await watching
    assert seen[3:] == ["MemberUpdated n2", "MemberLeft n3"]
    assert MemberJoined.__mro__[1] is MemberEvent


def test_a_watch_begins_with_the_members_and_goes_on_with_what_befalls_them() -> None:
    """Nothing falls between the two."""
    play(_watch)


async def _one(sim: Simulation) -> None:
    assert view(sim["n1"]) == "n1"
    assert sim["n1"].cluster.is_joined
    assert sim["n1"].cluster.suspicion("n1") == 0.0
    assert sim["n1"].cluster.suspicion("nobody") == 1.0


def test_a_node_without_seeds_is_a_cluster_by_itself() -> None:
    """Others join it."""
    play(_one, nodes=1, config=PLAIN)
