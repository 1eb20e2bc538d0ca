"""Names and services are found on every connected node."""

from tests.runtime.net.stage import Clerk, paired
from trouper import Node, ServiceKey


@paired
async def test_names_and_services_of_all_connected_nodes_are_found(a: Node, b: Node) -> None:
    """A name may be taken on each node; the offers of this node come first."""
    key = ServiceKey("pricing")
    here, there = await a.spawn(Clerk, name="here"), await b.spawn(Clerk, name="there")
    a.registry.register("clerk", here)
    b.registry.register("clerk", there)
    b.registry.register("only", there)
    b.registry.register(key, there)
    a.registry.register(key, here)
    found = await a.network.lookups.whereis("clerk")
    assert {node: ref.name for node, ref in found.items()} == {"a": "here", "b": "there"}
    assert found["a"] is here
    assert list(await a.network.lookups.whereis("only")) == ["b"]
    assert await a.network.lookups.whereis("nobody") == {}
    assert [ref.name for ref in await a.network.lookups.find(key)] == ["here", "there"]
    assert [ref.name for ref in await b.network.lookups.find(key)] == ["there", "here"]


@paired
async def test_a_node_that_is_lost_meanwhile_is_left_out(a: Node, b: Node) -> None:
    """The others answer all the same."""
    key = ServiceKey("pricing")
    here = await a.spawn(Clerk)
    a.registry.register(key, here)
    looking = a.system.background(_find(a, key))
    a.network.peer("b").lose("the cable was cut", [])
    await looking


async def _find(node: Node, key: ServiceKey) -> None:
    assert len(await node.network.lookups.find(key)) == 1
