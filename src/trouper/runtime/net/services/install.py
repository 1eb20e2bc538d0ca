"""What a node does over its network besides messages: groups, look-ups, introspection, and the search for deadlocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..idle_sessions import IdleSessions
from .deadlock_probes import DeadlockDetector
from .group_sync import GroupSync
from .introspection import RemoteIntrospection, serve_introspection
from .lookup import RegistryLookup

if TYPE_CHECKING:
    from ...node.node_services import NodeServices
    from ..network import Network


def install_services(network: Network, node: NodeServices, sessions_max: int | None) -> None:
    """Have a network serve its peers, and give it what asks them.

    links_max: links that a node of a cluster keeps, where more are opened and closed as they are used, and the cluster
        itself tells of groups; None where every link stays.
    """
    if sessions_max is None:
        GroupSync(network, node.groups)
    else:
        network.idle_sessions = IdleSessions(network, network.system.loop, sessions_max)
    serve_introspection(network, node.introspection)
    network.introspection = RemoteIntrospection(network)
    network.lookups = RegistryLookup(network, node.registry)
    DeadlockDetector(network)
