"""A node that has a network has all that stands on it."""

from tests.runtime.remote.stage import paired
from trouper import GroupJoined, Node
from trouper.runtime.remote.introspecting import FarIntrospection
from trouper.runtime.remote.lookups import Lookups
from trouper.runtime.remote.rings import RingCheck, RingProbe


@paired
async def test_a_network_is_furnished(a: Node, b: Node) -> None:
    """It can ask, and it answers."""
    assert isinstance(a.network.lookups, Lookups)
    assert isinstance(b.network.introspection, FarIntrospection)
    assert {GroupJoined, RingProbe, RingCheck} <= a.network.serves.keys()
