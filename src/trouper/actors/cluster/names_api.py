"""``ClusterNames``: names that one actor of the whole cluster has, as ``node.cluster.names``.

What is promised, and what becomes of a name that two sides of a cut have given away, is said in ``names``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...runtime.kernel.ref import ActorRef
from .replication_messages import Flush

if TYPE_CHECKING:
    from .api import Cluster


class ClusterNames:
    """See the top of the file."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def register(self, name: str, ref: ActorRef) -> None:
        """Give an actor of this node a name, until it ends or lets go of it; returns when the news is on its way.

        Doing it again changes nothing, and an actor may have several names.  Raises ``NameTaken`` when another actor
        of the cluster has it, as far as this node knows, ``RowFull`` for too many, ``CallerError`` for an actor of
        another node.  Should two actors have got it without knowing of each other, the younger claim loses it again:
        ``ClusterNameLost`` is published on its node, and told to the actor if it has a handler for that.
        """
        shared_state = self._cluster.shared_state
        shared_state.watch_owner(ref, "the name", name)
        shared_state.apply_own("names", shared_state.tables.names.register(name, ref))
        await self._cluster.replicator.ask(Flush())

    def release(self, name: str) -> bool:
        """Let go of a name of an actor of this node; False when none has it."""
        shared_state = self._cluster.shared_state
        effects = shared_state.tables.names.release(name)
        shared_state.apply_own("names", effects)
        return bool(effects)

    def whereis(self, name: str) -> ActorRef | None:
        """Return who has this name, as far as this node knows; None when nobody has."""
        holder = self._cluster.shared_state.tables.names.holder(name)
        return None if holder is None else holder.ref

    def all(self) -> dict[str, ActorRef]:
        """Return all names that this node knows of, sorted, with those who have them."""
        names = self._cluster.shared_state.tables.names
        known = sorted({name for _, name, _ in names.table.items()})
        held = {name: names.holder(name) for name in known}
        return {name: holder.ref for name, holder in held.items() if holder is not None}
