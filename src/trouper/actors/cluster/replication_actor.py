"""``Replicator``, the actor ``/system/cluster/replicator``: has copies of the tables compared.

Every ``interval_s`` it has the node compare its copies of all tables with those of one other member, and checks the
sessions for failures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import Actor, handler
from ...lowlevel import PeerDown
from .messages import Rejoin, ViewChanged
from .replication_messages import SyncDue

if TYPE_CHECKING:
    from ...lowlevel import PeerEvent
    from .api import Cluster


class Replicator(Actor):
    """Has the tables of the node exchanged with the members; ``cluster.shared_state`` outlives this actor."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.shared_state, self.failures = cluster, cluster.shared_state, cluster.failures
        self.settings, self.ctx, self._tables = cluster.settings.replication, cluster.ctx, cluster.ctx.node.tables
        self._known: dict[str, int] = {}

    def on_start(self) -> None:
        """Have the node exchange its tables with the members, and start the anti-entropy timer."""
        settings = self.settings
        self._tables.join_cluster(
            self.cluster.send,
            direct_max=settings.direct_max,
            fan_out=settings.fan_out,
            answer_max=settings.answer_max,
        )
        self._tables.on_heard = self.cluster.heard
        self._unsubscribe = self.ctx.peers.subscribe(self._peer_changed)
        self.timers.every("sync", settings.interval_s, SyncDue())
        self.shared_state.sync_members(self.cluster.machine)

    def on_stop(self) -> None:
        """Unregister."""
        self._unsubscribe()
        self._tables.on_heard = None

    def _peer_changed(self, event: PeerEvent) -> None:
        member = self.cluster.member(event.node_id.name)
        if isinstance(event, PeerDown) and member is not None and member.generation == event.node_id.generation:
            self.failures.lost(event, self.ctx.clock.now())

    # --- the exchange of tables --------------------------------------------------------------------------------------

    @handler
    def view_changed(self, msg: ViewChanged) -> None:
        """Members have come or gone: compare copies with the new ones, with some of them if they are many."""
        before, self._known = self._known, dict(self.shared_state.members)
        joined = [name for name, generation in self._known.items() if before.get(name) != generation]
        self._tables.welcome(joined, len(before))

    @handler
    def rejoin(self, msg: Rejoin) -> None:
        """The cluster took this node down, and it comes back as a new member."""
        self.shared_state.drop_own_names()
        self.shared_state.sync_members(self.cluster.machine)

    @handler
    def sync_due(self, msg: SyncDue) -> None:
        """Compare copies with one member, and check the sessions for failures."""
        self.shared_state.sync_members(self.cluster.machine)  # sessions break and heal without an event
        self._tables.flush()
        now = self.ctx.clock.now()
        for peer in self.ctx.peers:
            self.failures.look(peer, now)
        # A degraded node asks all members of a small cluster, so that the silent ones can be counted.
        few = len(self.shared_state.members) <= self.settings.direct_max
        self._tables.compare(with_all=few and self.shared_state.degraded_since is not None)
