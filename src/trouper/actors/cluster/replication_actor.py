"""The replicator, ``/system/cluster/replicator``: carries what the members share from node to node.

While the cluster is small a node tells every member of each change of its own rows.  Beyond ``direct_max`` members it
tells a few, who tell a few others what was new to them.  Whatever is missed is made good by anti-entropy: every
``interval_s`` two nodes compare sums, then, where those differ, digests, and send each other what is lacking.  So the
number of messages that a node sends a second, and for a change, does not depend on the size of the cluster.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...runtime.actor.actor import Actor
from ...runtime.actor.handlers import handler
from ...runtime.kernel.message import Message
from .messages import Rejoin, ViewChanged
from .replication_messages import (
    Flush,
    FromPeer,
    GetNodeMetrics,
    NodeMetricsReply,
    SyncDue,
    TableChecksums,
    TableDeltas,
    TableDigest,
    TopicMessage,
)

if TYPE_CHECKING:
    from ...runtime.net.peer import Peer
    from .api import Cluster


class Replicator(Actor):
    """See the top of the file.  cluster: its face, which outlives it, and has what it carries."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.shared_state, self.failures = cluster, cluster.shared_state, cluster.failures
        self.settings = cluster.config.replication
        self._due = False
        self._met: dict[str, int] = {}

    def on_start(self) -> None:
        """Begin to listen, and to compare."""
        self._loop, self._network = self.node.system.loop, self.node.network
        self._random = random.Random(self.node.system.random())
        for type_ in (TableDeltas, TableChecksums, TableDigest):
            self._network.request_handlers[type_] = self._hear
        self._network.request_handlers[TopicMessage] = self._published
        self._network.request_handlers[GetNodeMetrics] = self.cluster.metrics_poller.asked
        self._network.request_handlers[NodeMetricsReply] = self.cluster.metrics_poller.told
        self._network.on_peer.append(self._linked)
        self.shared_state.on_own_change.append(self._flush_soon)
        self.timers.every("sync", self.settings.interval_s, SyncDue())
        self.shared_state.sync_members(self.cluster.machine)

    def on_stop(self) -> None:
        """Nothing more is carried."""
        for type_ in (TableDeltas, TableChecksums, TableDigest, TopicMessage, GetNodeMetrics, NodeMetricsReply):
            self._network.request_handlers.pop(type_, None)
        self._network.on_peer.remove(self._linked)
        self.shared_state.on_own_change.remove(self._flush_soon)

    # --- what comes in -----------------------------------------------------------------------------------------------

    def _hear(self, message: Message[object], peer: Peer) -> None:
        self.failures.heard(peer.node, self._loop.time())
        assert isinstance(message, TableDeltas | TableChecksums | TableDigest), "it is entered for these"
        self.ref.tell(FromPeer(peer.node, message))

    def _published(self, message: Message[object], peer: Peer) -> None:
        """Another node has published a message: it is read here, while its bytes are at hand."""
        assert isinstance(message, TopicMessage), "it is entered for this"
        self.failures.heard(peer.node, self._loop.time())
        self.cluster.topics.arrived(message, peer)

    def _linked(self, peer: Peer, up: bool) -> None:
        member = self.cluster.member(peer.node)
        if not up and member is not None and member.generation == peer.node_id.generation:
            self.failures.lost(peer, self._loop.time())

    def _flush_soon(self) -> None:
        if not self._due:
            self._due = True
            self.ref.tell(Flush())

    # --- this node's own rows ----------------------------------------------------------------------------------------

    @handler
    def flush(self, msg: Flush) -> None:
        """Tell the others what is new in this node's rows."""
        self._due = False
        for news in self.shared_state.tables.announcements():
            self._spread(news, frozenset())

    @handler
    def view_changed(self, msg: ViewChanged) -> None:
        """Members have come or gone: compare with those who are new, some of them if they are many."""
        before, self._met = self._met, dict(self.shared_state.tables.members)
        come = [name for name, life in self._met.items() if before.get(name) != life]
        for name in self._picked(come):
            if len(before) <= self.settings.direct_max or self._random.random() * len(before) < self.settings.fan_out:
                self._send(name, TableChecksums(self.shared_state.tables.checksums()))

    @handler
    def rejoin(self, msg: Rejoin) -> None:
        """This node was thrown out, and comes back as another member."""
        self.shared_state.drop_own_names()
        self.shared_state.sync_members(self.cluster.machine)

    # --- anti-entropy ------------------------------------------------------------------------------------------------

    @handler
    def sync_due(self, msg: SyncDue) -> None:
        """Compare copies with some member, and look whether links have failed."""
        self.shared_state.sync_members(self.cluster.machine)  # links break and are mended without an event
        self.flush(Flush())
        now = self._loop.time()
        for peer in self._network.peers.values():
            self.failures.look(peer, now)
        others = self._others()
        if self.shared_state.degraded_since is not None and len(others) < self.settings.direct_max:
            for name in others:  # the roll call of a node that doubts itself, see ``SharedState``
                self._send(name, TableChecksums(self.shared_state.tables.checksums(), answer=True))
        elif others:
            self._send(self._random.choice(others), TableChecksums(self.shared_state.tables.checksums()))

    @handler
    def heard(self, msg: FromPeer) -> None:
        """Another node's replicator has said something."""
        tables = self.shared_state.tables
        match msg.payload:
            case TableDeltas():
                self._take(msg.payload, msg.node)
            case TableChecksums(checksums, answer):
                own = tables.checksums()
                differ = [table for table, sum_ in checksums.items() if own.get(table) != sum_]
                if differ or answer:
                    self._send(msg.node, TableDigest(tables.digest(differ), answer=bool(differ)))
            case TableDigest(stamps, answer):
                for news in tables.answer(stamps)[: self.settings.answer_max]:
                    self._send(msg.node, news)
                if answer:
                    self._send(msg.node, TableDigest(tables.digest(stamps), answer=False))

    def _take(self, news: TableDeltas, source: str) -> None:
        taken = self.shared_state.tables.take(news)
        self.shared_state.carry_out(taken.told)
        if taken.gaps:
            self._send(source, TableDigest(self.shared_state.tables.digest(taken.gaps), answer=False))
        if taken.fresh is not None and len(self.shared_state.tables.members) > self.settings.direct_max:
            self._spread(taken.fresh, frozenset({source}))
        self.shared_state.changed()

    # --- out ---------------------------------------------------------------------------------------------------------

    def _others(self) -> list[str]:
        return sorted(self.shared_state.tables.members.keys() - {self.node.name})

    def _picked(self, names: Iterable[str]) -> list[str]:
        """All of these, or as many as one node should talk to at a time."""
        wanted = sorted(set(names) - {self.node.name})
        if len(wanted) <= self.settings.fan_out:
            return wanted
        return self._random.sample(wanted, self.settings.fan_out)

    def _spread(self, news: TableDeltas, but: frozenset[str]) -> None:
        others = [name for name in self._others() if name not in but]
        for name in others if len(others) < self.settings.direct_max else self._picked(others):
            self._send(name, news)

    def _send(self, name: str, message: Message[object]) -> None:
        self.cluster.send(name, message)
