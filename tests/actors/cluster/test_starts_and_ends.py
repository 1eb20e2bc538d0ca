"""How members of a cluster begin to count, and how a node ends that leaves or is taken down."""

import asyncio

import pytest

from tests.actors.cluster.stage import PLAIN, REJOINING, found, view
from trouper import Actor, Message, Node, NodeDowned, handler
from trouper.cluster import ClusterConfig
from trouper.testing import Simulation, seeds, virtual_time

FOUR = ("n1", "n2", "n3", "n4")


class Where(Message[str]):
    """The reply is the name of the node."""


class Resident(Actor):
    """Says on which node it is."""

    @handler
    def where(self, msg: Where) -> str:
        return self.node.name


def _member(name: str, config: ClusterConfig = PLAIN) -> Node:
    return Node(name, listen=f"inprocess://{name}", join=["inprocess://a"], cluster=config)


@pytest.mark.parametrize("victim", ["n1", "n2", "n4"])
def test_a_majority_goes_on_when_a_member_crashes_as_soon_as_all_have_joined(victim: str) -> None:
    """The founder and any other may be killed the moment after ``wait_for`` has returned: the others stay members."""

    @seeds(3, nodes=FOUR, joins={name: ["n1"] for name in FOUR[1:]}, options=lambda _: {"cluster": PLAIN})
    async def scene(sim: Simulation) -> None:
        witness = sim["n3"]
        await witness.cluster.wait_for(4)
        await asyncio.sleep(sim.random.choice((0.0, 0.05, 0.2, 1.0)))
        sim.crash(victim)
        await asyncio.sleep(40.0)
        left = " ".join(name for name in FOUR if name != victim)
        for name in left.split():
            assert sim[name].shutdown.reason is None
            assert view(sim[name]) == left

    scene()


def test_a_member_counts_as_soon_as_all_others_know_it() -> None:
    """It takes some round trips: far less than the time that a partition has to last before it is resolved."""

    @seeds(3, nodes=FOUR, joins={name: ["n1"] for name in FOUR[1:]}, options=lambda _: {"cluster": PLAIN})
    async def scene(sim: Simulation) -> None:
        async with asyncio.timeout(2.5):
            await asyncio.gather(*(node.cluster.wait_for(4) for node in sim.nodes))

    scene()


@virtual_time
async def test_wait_for_returns_alone_on_a_node_that_resolves_no_partitions() -> None:
    """Without ``split_brain`` a member counts when it is alive."""
    config = ClusterConfig(name="tests", detect=False, split_brain=None)
    async with _member("a", config) as a, _member("b", config), asyncio.timeout(5.0):
        assert [member.name for member in await a.cluster.wait_for(2)] == ["a", "b"]


@virtual_time
async def test_a_worker_knows_the_members_when_it_has_started_and_waits_for_nothing_else() -> None:
    """It takes the round trips of a session; and the same for the next process of the worker."""
    async with _member("a") as a:
        await a.cluster.wait_for(1)
        for _ in range(2):
            worker = Node("a.worker-1", listen="inprocess://w", join=["inprocess://a"], cluster=PLAIN.for_worker())
            worker.parent_name = "a"
            async with asyncio.timeout(1.0):
                await worker.start()
            assert [member.name for member in worker.cluster.members()] == ["a"]
            await worker.stop()


@virtual_time
async def test_a_node_that_is_taken_down_ends_its_block_with_the_reason() -> None:
    """The block is cancelled, and raises ``NodeDowned`` with the words of the member that took it down."""
    cancelled = asyncio.Event()

    async def whole_block(a: Node) -> None:
        async with _member("b") as b:
            await b.cluster.wait_for(2)
            assert await a.cluster.down("b", "a spare")
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                cancelled.set()

    async with _member("a") as a:
        with pytest.raises(NodeDowned, match=r"node b was taken down by the cluster 'tests': .*a spare"):
            await whole_block(a)
        assert cancelled.is_set()
        assert [(member.name, member.status) for member in a.cluster.ended_members()] == [("b", "down")]
        assert "a spare" in a.cluster.ended_members()[0].reason


@pytest.mark.parametrize("first", ["a", "b"])
@virtual_time
async def test_members_end_in_order_without_a_time_out(first: str, caplog: pytest.LogCaptureFixture) -> None:
    """A member that has placed an actor on another one, and the one that has it, leave in either order."""
    nodes = {name: _member(name) for name in ("a", "b")}
    for node in nodes.values():
        await node.start()
    a, b = nodes["a"], nodes["b"]
    await a.cluster.wait_for(2)
    resident = await a.spawn(Resident, name="placed", place="b")
    assert await resident.ask(Where()) == "b"
    loop = asyncio.get_running_loop()
    for name in (first, "b" if first == "a" else "a"):
        began = loop.time()
        await nodes[name].stop()
        assert loop.time() - began < 2.5
        assert {report.outcome for report in nodes[name].shutdown.reports} == {"done"}
        if name == "a":
            assert not b.shutdown.reason or first == "b"
    assert "Traceback" not in caplog.text
    assert "TimeoutError" not in caplog.text


@virtual_time
async def test_a_membership_of_a_next_life_with_the_same_seed_is_another_one() -> None:
    """A node that is taken down and rejoins is no member that it has been before, whatever its seed repeats."""
    ids = list[int]()
    for _ in range(2):
        async with (
            Node("a", listen="inprocess://a", cluster=REJOINING, seed=6) as a,
            Node("b", listen="inprocess://b", join=["inprocess://a"], cluster=REJOINING, seed=7),
        ):
            await a.cluster.wait_for(2)
            ids.append(found(a, "b").membership_id)
            await a.cluster.down("b")
            await asyncio.sleep(30)
            ids.append(found(a, "b").membership_id)
    assert len(set(ids)) == 4
