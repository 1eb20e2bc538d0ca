"""``ClusterNames``: names that are unique in the whole cluster, as ``node.cluster.names``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import ActorRef

if TYPE_CHECKING:
    from .api import Cluster


class ClusterNames:
    """Registers actors of this node under names of the cluster, and finds actors by name.

    Two sides of a network partition can give one name to two actors; when it heals, the older claim stays, the younger
    one is withdrawn, and ``ClusterNameLost`` is published on its node.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def register(self, name: str, ref: ActorRef) -> None:
        """Register an actor of this node under a name, until it ends or the name is released.

        Returns once the claim is handed to the network.  A second registration changes nothing, and an actor may have
        several names.  name: 1 to 256 bytes.  Raises ``NameTaken`` when this node knows another actor of that name,
        ``RowFull`` above 100,000 names of this node, ``CallerError`` for an actor of another node or an ended one.

        If another node has registered the name at the same time, one of the two loses it: ``ClusterNameLost`` is
        published on the loser's node, and sent to the actor if it has a handler for that event.
        """
        shared_state = self._cluster.shared_state
        shared_state.watch_owner(ref, "the name", name)
        shared_state.tables.names.register(name, ref)
        self._cluster.ctx.node.tables.flush()

    def release(self, name: str) -> bool:
        """Release a name of this node; return False when no actor of this node has it."""
        return self._cluster.shared_state.tables.names.table.remove(name)

    def whereis(self, name: str) -> ActorRef | None:
        """Return the actor of this name, as far as this node knows; None when the name is free."""
        holder = self._cluster.shared_state.tables.names.holder(name)
        return None if holder is None else holder.ref

    def all(self) -> dict[str, ActorRef]:
        """Return all names that this node knows, sorted, with their actors."""
        names = self._cluster.shared_state.tables.names
        holders = {name: names.holder(name) for name in names.names()}
        return {name: holder.ref for name, holder in holders.items() if holder is not None}
