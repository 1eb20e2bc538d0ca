"""A node that has a network has all that stands on it."""

from tests.runtime.net.stage import paired
from trouper import GroupJoined, Node
from trouper.runtime.net.services.deadlock import DeadlockCheck, DeadlockProbe
from trouper.runtime.net.services.introspection import RemoteIntrospection
from trouper.runtime.net.services.lookup import RegistryLookup


@paired
async def test_a_network_is_furnished(a: Node, b: Node) -> None:
    """It can ask, and it answers."""
    assert isinstance(a.network.lookups, RegistryLookup)
    assert isinstance(b.network.introspection, RemoteIntrospection)
    assert {GroupJoined, DeadlockProbe, DeadlockCheck} <= a.network.request_handlers.keys()
