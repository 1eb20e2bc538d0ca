"""What members share follows actors and members: groups above all, on whole nodes."""

import asyncio

from tests.actors.cluster.stage import REJOINING, play
from tests.actors.cluster.test_replication_actor import Parrot, Say
from trouper import GroupRouter, InGroup, Node, Routees
from trouper.testing import Simulation


def _members(node: Node, group: str = "band", scope: str = "default") -> list[str]:
    return sorted(ref.address.node for ref in node.groups.scope(scope).members(group))


async def _join(node: Node, times: int = 1) -> None:
    node.groups.join("band", *[await node.spawn(Parrot)] * times)


async def _groups(sim: Simulation) -> None:
    n1, n2, n3 = sim.nodes
    for node in sim.nodes:
        await node.cluster.wait_for(3)
    await _join(n1, 2)
    await _join(n2)
    n3.groups.scope("other").join("band", await n3.spawn(Parrot))
    await asyncio.sleep(1.0)
    assert _members(n1) == _members(n2) == _members(n3) == ["n1", "n1", "n2"]
    assert _members(n1, scope="other") == ["n3"]
    ada = n1.groups.local_members("band")[0]
    n1.groups.leave("band", ada)
    await asyncio.sleep(1.0)
    assert _members(n3) == ["n1", "n2"]
    await ada.stop()
    await asyncio.sleep(1.0)
    assert _members(n3) == ["n2"]
    sim.crash("n2")
    await asyncio.sleep(30.0)
    assert _members(n1) == _members(n3) == []


def test_groups_show_the_members_of_all_nodes() -> None:
    """As often as they joined, in each scope by itself, until they leave, end, or their node is down."""
    play(_groups)


async def _router(sim: Simulation) -> None:
    n1, n2, n3 = sim.nodes
    await asyncio.sleep(5.0)
    await _join(n2)
    await _join(n3)
    await asyncio.sleep(1.0)
    router = await n1.spawn(GroupRouter(InGroup("band")))
    assert {ref.address.node for ref in await router.ask(Routees())} == {"n2", "n3"}
    assert [await router.ask(Say(text)) for text in "ab"] == ["a", "b"]
    sim.crash("n3")
    await asyncio.sleep(30.0)
    assert [await router.ask(Say(text)) for text in "cdef"] == ["c", "d", "e", "f"]
    await sim.restart("n3")
    await sim["n3"].cluster.wait_for(3)
    await _join(sim["n3"])
    await asyncio.sleep(3.0)
    assert {ref.address.node for ref in await router.ask(Routees())} == {"n2", "n3"}


def test_a_group_router_follows_membership() -> None:
    """It sends to nobody who is lost, and to those who come."""
    play(_router)


async def _cut(sim: Simulation) -> None:
    await asyncio.sleep(5.0)
    for node in sim.nodes:
        await _join(node)
    sim.partition(["n1", "n2", "n3"], ["n4", "n5"])
    await asyncio.sleep(60.0)
    assert _members(sim["n1"]) == ["n1", "n2", "n3"]
    assert _members(sim["n5"]) == []
    sim.repair()
    await asyncio.sleep(60.0)
    for node in sim.nodes:
        assert _members(node) == ["n1", "n2", "n3"]
    await _join(sim["n5"])
    await asyncio.sleep(1.0)
    assert _members(sim["n2"]) == ["n1", "n2", "n3", "n5"]


def test_the_smaller_side_of_a_cut_has_left_all_groups() -> None:
    """Its actors were stopped; after the heal it joins with new ones."""
    play(_cut, nodes=5, config=REJOINING)


async def _long(sim: Simulation) -> None:
    ada = await sim["n1"].spawn(Parrot)
    sim["n1"].groups.join("x" * 300, ada)
    await asyncio.sleep(3.0)
    assert sim["n1"].groups.members("x" * 300) == [ada]
    assert sim["n2"].groups.members("x" * 300) == []


def test_a_group_whose_name_is_too_long_stays_at_home() -> None:
    """It is reported, and harms nobody."""
    play(_long)
