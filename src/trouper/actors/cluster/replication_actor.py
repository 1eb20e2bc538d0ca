"""``Replicator``, the actor ``/system/cluster/replicator``: has copies of the tables compared, and carries topics.

Every ``interval_s`` it has the node compare its copies of all tables with those of one other member, and checks the
sessions for failures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import Actor, Message, handler
from .messages import Rejoin, ViewChanged
from .replication_messages import GetNodeMetrics, NodeMetricsReply, SyncDue, TopicMessage

if TYPE_CHECKING:
    from ...runtime.net.peer import Peer
    from .api import Cluster


class Replicator(Actor):
    """Has the tables of the node exchanged with the members; ``cluster.shared_state`` outlives this actor."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.shared_state, self.failures = cluster, cluster.shared_state, cluster.failures
        self.settings = cluster.config.replication
        self._known: dict[str, int] = {}

    def on_start(self) -> None:
        """Register for the messages of other replicators, and start the anti-entropy timer."""
        self._loop, self._network, self._tables = self.node.system.loop, self.node.network, self.node.tables
        settings = self.settings
        self._tables.join_cluster(
            self.cluster.send,
            direct_max=settings.direct_max,
            fan_out=settings.fan_out,
            answer_max=settings.answer_max,
        )
        self._tables.on_heard = self._heard
        serve, poller = self._network.request_handlers.serve, self.cluster.metrics_poller
        serve(TopicMessage, self._published, owner="cluster tables")
        serve(GetNodeMetrics, poller.on_request, owner="cluster tables")
        serve(NodeMetricsReply, poller.on_reply, owner="cluster tables")
        self._unwatch_peers = self._network.watch_peers(self._peer_changed)
        self.timers.every("sync", settings.interval_s, SyncDue())
        self.shared_state.sync_members(self.cluster.machine)

    def on_stop(self) -> None:
        """Unregister."""
        types = (TopicMessage, GetNodeMetrics, NodeMetricsReply)
        self._network.request_handlers.unserve(*types, owner="cluster tables")
        self._unwatch_peers()
        self._tables.on_heard = None

    # --- incoming ----------------------------------------------------------------------------------------------------

    def _heard(self, peer: Peer) -> None:
        self.failures.heard(peer.node, self._loop.time())

    def _published(self, message: Message[object], peer: Peer) -> None:
        """Deliver a published message; it is decoded here, because its buffer is valid during this call only."""
        assert isinstance(message, TopicMessage), "it is registered for this message"
        self._heard(peer)
        self.cluster.topics.deliver(message, peer)

    def _peer_changed(self, peer: Peer, up: bool) -> None:
        member = self.cluster.member(peer.node)
        if not up and member is not None and member.generation == peer.node_id.generation:
            self.failures.lost(peer, self._loop.time())

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
        now = self._loop.time()
        for peer in self._network.peers.values():
            self.failures.look(peer, now)
        # A degraded node asks all members of a small cluster, so that the silent ones can be counted.
        few = len(self.shared_state.members) <= self.settings.direct_max
        self._tables.compare(with_all=few and self.shared_state.degraded_since is not None)
