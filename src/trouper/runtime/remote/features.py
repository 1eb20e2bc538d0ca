"""What a node does over its network besides messages: groups, look-ups and introspection, here and there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .introspecting import FarIntrospection, serve_introspection
from .lookups import Lookups
from .rosters import Rosters

if TYPE_CHECKING:
    from ..fittings import Fittings
    from .network import Network


def furnish(network: Network, node: Fittings) -> None:
    """Have a network serve its peers, and give it what asks them."""
    Rosters(network, node.groups)
    serve_introspection(network, node.introspection)
    network.introspection = FarIntrospection(network)
    network.lookups = Lookups(network, node.registry)
