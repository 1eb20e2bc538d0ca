"""The network of a node with its services: groups, look-ups, introspection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ..actor.links import LinkWatcher
from ..actor.spawning import spawn_awaited
from ..net.network import Network
from ..net.permissions import is_exported
from ..net.remote_cell import RemoteCell
from .services.introspection import RemoteIntrospection, serve_introspection
from .services.lookup import RegistryLookup
from .services.shared_groups import SharedGroups
from .services.worker_nodes import WorkerNodes

if TYPE_CHECKING:
    from ..kernel.cell import Cell
    from ..kernel.ref import ActorRef, Down
    from ..kernel.supervision import Overrides
    from ..net.security_log import PeerRefused
    from .node_services import NodeServices


class NodeNetwork(Network):
    """The network of a node, as ``node.network``."""

    introspection: RemoteIntrospection
    """Reads and controls the actors of other nodes."""
    workers: WorkerNodes
    """Follows the workers of other nodes, and tells of the end of those of this one."""
    lookups: RegistryLookup
    """Looks names and services up on all connected nodes."""

    def install_services(self, node: NodeServices, sessions_max: int | None) -> None:
        """Serve peers, and make what asks them.

        sessions_max: sessions that a member of a cluster keeps; further ones are opened and closed as they are needed,
            and the cluster says who exchanges tables.  None outside of a cluster: every session stays.
        """
        node.tables.open(self, with_peers=sessions_max is None)
        SharedGroups(node, node.groups)
        if sessions_max is not None:
            self.close_idle_sessions(sessions_max)
        serve_introspection(self, node.introspection)
        self.security.on_refused.append(partial(_publish, node))
        self.introspection = RemoteIntrospection(self)
        self.workers = WorkerNodes(self)
        self.lookups = RegistryLookup(self, node.registry)


def _publish(node: NodeServices, refused: PeerRefused) -> None:
    """Publish a refusal; the events of the node are made when the first is."""
    node.events.publish(refused)


class NodeActors:
    """The actors of a node, as its peers may use them."""

    def __init__(self, node: NodeServices) -> None:
        self._node = node

    def spawn(
        self, actor: Callable[..., object], name: str | None, shutdown_s: float | None, overrides: Overrides
    ) -> Awaitable[ActorRef]:
        """Start an actor under ``/user``, which is not restarted.

        Raises what ``Node.spawn`` raises, and ``InvalidOption`` for an event-sourced actor where no journal was given.
        """
        kind: object = getattr(actor, "func", actor)  # of a partial
        if getattr(kind, "__node_journal__", False):
            from ..actor.eventsourced.actor import check_journal  # noqa: PLC0415  loaded with the class of the actor

            check_journal(kind, self._node.name, given=self._node.has_given_journal)
        overrides = replace(overrides, by_peer=True)
        return spawn_awaited(self._node.system.user, actor, (), name, "temporary", shutdown_s, False, overrides)

    def find(self, name: str) -> ActorRef | None:
        """Return the actor that is registered by this name, or is at this path; None for none that is exported."""
        found = self._node.registry.whereis(name) or self._node.find(name)
        if found is None or isinstance(found._cell, RemoteCell):  # noqa: SLF001  a ref is the runtime's own
            return found
        return found if is_exported(found._cell) else None  # noqa: SLF001  as above

    def on_linked_actor_ended(self, cell: Cell, down: Down) -> None:
        """Let an actor fail that is linked to one elsewhere, which has ended abnormally."""
        LinkWatcher(cell, down.ref._cell).on_down(down)  # noqa: SLF001  a ref is the runtime's own
