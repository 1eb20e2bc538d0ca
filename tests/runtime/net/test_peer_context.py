"""A network is what a peer needs of the node around it."""

from tests.runtime.net.stage import paired
from trouper import Node
from trouper.runtime.net.peer_context import PeerContext


@paired
async def test_a_network_is_the_surroundings_of_its_peers(a: Node, b: Node) -> None:
    """It has all of it, which the type checkers hold too."""
    context: PeerContext = a.network
    names = [name for name in vars(PeerContext) if not name.startswith("_")]
    assert names
    assert all(hasattr(context, name) for name in names)
