"""What a node does over its network besides messages: groups, look-ups, introspection, and the search for deadlocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .idling import Idling
from .introspecting import FarIntrospection, serve_introspection
from .lookups import Lookups
from .ringing import Ringing
from .rosters import Rosters

if TYPE_CHECKING:
    from ..fittings import Fittings
    from .network import Network


def furnish(network: Network, node: Fittings, links_max: int | None) -> None:
    """Have a network serve its peers, and give it what asks them.

    links_max: links that a node of a cluster keeps, where more are opened and closed as they are used, and the cluster
        itself tells of groups; None where every link stays.
    """
    if links_max is None:
        Rosters(network, node.groups)
    else:
        network.idling = Idling(network, network.system.loop, links_max)
    serve_introspection(network, node.introspection)
    network.introspection = FarIntrospection(network)
    network.lookups = Lookups(network, node.registry)
    Ringing(network)
