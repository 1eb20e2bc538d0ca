"""A network is what a peer needs of the node around it."""

from tests.runtime.remote.stage import paired
from trouper import Node
from trouper.runtime.remote.surroundings import Surroundings


@paired
async def test_a_network_is_the_surroundings_of_its_peers(a: Node, b: Node) -> None:
    """It has all of it, which the type checkers hold too."""
    around: Surroundings = a.network
    names = [name for name in vars(Surroundings) if not name.startswith("_")]
    assert names
    assert all(hasattr(around, name) for name in names)
