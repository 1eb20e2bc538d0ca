"""``Replicator``, the actor ``/system/cluster/replicator``: exchanges the replicated tables with the other members.

Up to ``direct_max`` members a node sends each change of its own rows to every member.  Beyond that it sends it to
``fan_out`` members, which pass on what was new to them.  Anti-entropy repairs what was missed: every ``interval_s`` a
node compares checksums with one other member, then digests of the tables that differ, and both send what the other
lacks.  So neither the messages a second nor the messages for a change grow with the size of the cluster.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ... import Actor, Message, handler
from .contained import ContainedErrors
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
    """Exchanges the tables of ``cluster.shared_state``, which outlives this actor."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.shared_state, self.failures = cluster, cluster.shared_state, cluster.failures
        self.settings = cluster.config.replication
        self._flush_pending = False
        self._known: dict[str, int] = {}

    def on_start(self) -> None:
        """Register for the messages of other replicators, and start the anti-entropy timer."""
        self._loop, self._network = self.node.system.loop, self.node.network
        self.contained = ContainedErrors(self.node.reports.problem, self._loop.time)
        self._random = random.Random(self.node.system.random())
        serve, poller = self._network.request_handlers.serve, self.cluster.metrics_poller
        for type_ in (TableDeltas, TableChecksums, TableDigest):
            serve(type_, self._received, owner="cluster tables")
        serve(TopicMessage, self._published, owner="cluster tables")
        serve(GetNodeMetrics, poller.on_request, owner="cluster tables")
        serve(NodeMetricsReply, poller.on_reply, owner="cluster tables")
        self._unwatch_peers = self._network.watch_peers(self._peer_changed)
        self.shared_state.on_own_change.append(self._flush_soon)
        self.timers.every("sync", self.settings.interval_s, SyncDue())
        self.shared_state.sync_members(self.cluster.machine)

    def on_stop(self) -> None:
        """Unregister."""
        types = (TableDeltas, TableChecksums, TableDigest, TopicMessage, GetNodeMetrics, NodeMetricsReply)
        self._network.request_handlers.unserve(*types, owner="cluster tables")
        self._unwatch_peers()
        self.shared_state.on_own_change.remove(self._flush_soon)

    # --- incoming ----------------------------------------------------------------------------------------------------

    def _received(self, message: Message[object], peer: Peer) -> None:
        self.failures.heard(peer.node, self._loop.time())
        assert isinstance(message, TableDeltas | TableChecksums | TableDigest), "it is registered for these messages"
        self.ref.tell(FromPeer(peer.node, message))

    def _published(self, message: Message[object], peer: Peer) -> None:
        """Deliver a published message; it is decoded here, because its buffer is valid during this call only."""
        assert isinstance(message, TopicMessage), "it is registered for this message"
        self.failures.heard(peer.node, self._loop.time())
        self.cluster.topics.deliver(message, peer)

    def _peer_changed(self, peer: Peer, up: bool) -> None:
        member = self.cluster.member(peer.node)
        if not up and member is not None and member.generation == peer.node_id.generation:
            self.failures.lost(peer, self._loop.time())

    def _flush_soon(self) -> None:
        if not self._flush_pending:
            self._flush_pending = True
            self.ref.tell(Flush())

    # --- this node's own rows ----------------------------------------------------------------------------------------

    @handler
    def flush(self, msg: Flush) -> None:
        """Send the changes of this node's own rows to the others."""
        self._flush_pending = False
        for deltas in self.shared_state.tables.announcements():
            self._spread(deltas, frozenset())

    @handler
    def view_changed(self, msg: ViewChanged) -> None:
        """Members have come or gone: compare copies with the new ones, with some of them if they are many."""
        before, self._known = self._known, dict(self.shared_state.tables.members)
        peers = {*self._others(), *self.cluster.own_workers()}
        joined = [name for name, generation in self._known.items() if before.get(name) != generation and name in peers]
        for name in self._sample(joined):
            if len(before) <= self.settings.direct_max or self._random.random() * len(before) < self.settings.fan_out:
                self._send(name, TableChecksums(self.shared_state.tables.checksums()))

    @handler
    def rejoin(self, msg: Rejoin) -> None:
        """The cluster took this node down, and it comes back as a new member."""
        self.shared_state.drop_own_names()
        self.shared_state.sync_members(self.cluster.machine)

    # --- anti-entropy ------------------------------------------------------------------------------------------------

    @handler
    def sync_due(self, msg: SyncDue) -> None:
        """Compare copies with one member, and check the sessions for failures."""
        self.shared_state.sync_members(self.cluster.machine)  # sessions break and heal without an event
        self.flush(Flush())
        now = self._loop.time()
        for peer in self._network.peers.values():
            self.failures.look(peer, now)
        others = [*self._others(), *self.cluster.own_workers()]
        if self.shared_state.degraded_since is not None and len(others) < self.settings.direct_max:
            for name in others:  # a degraded node asks all members, so that the silent ones can be counted
                self._send(name, TableChecksums(self.shared_state.tables.checksums(), answer=True))
        elif others:
            self._send(self._random.choice(others), TableChecksums(self.shared_state.tables.checksums()))

    @handler
    def from_peer(self, msg: FromPeer) -> None:
        """Handle a message of another node's replicator; an error of it is that message's."""
        try:
            self._take(msg)
        except Exception as error:  # noqa: BLE001  rows of a peer may hold anything; this actor must not fail by them
            self.contained.note(f"a {type(msg.payload).__qualname__} of node {msg.node}", error)

    def _take(self, msg: FromPeer) -> None:
        tables = self.shared_state.tables
        match msg.payload:
            case TableDeltas():
                self._merge(msg.payload, msg.node)
            case TableChecksums(checksums, answer):
                own = tables.checksums()
                differ = [table for table, checksum in checksums.items() if own.get(table) != checksum]
                if differ or answer:
                    self._send(msg.node, TableDigest(tables.digest(differ), answer=bool(differ)))
            case TableDigest(stamps, answer):
                for deltas in tables.missing_in(stamps)[: self.settings.answer_max]:
                    self._send(msg.node, deltas)
                if answer:
                    self._send(msg.node, TableDigest(tables.digest(stamps), answer=False))

    def _merge(self, deltas: TableDeltas, source: str) -> None:
        tables = self.shared_state.tables
        before = set(tables.members)
        merged = tables.merge(deltas)
        self.shared_state.carry_out(merged.outcomes)
        if self.shared_state.tables.members.keys() - before:  # workers, whose rows were not taken until now
            self._send(
                source, TableDigest(self.shared_state.tables.digest(self.shared_state.tables.by_name), answer=True)
            )
        if merged.gaps:
            self._send(source, TableDigest(self.shared_state.tables.digest(merged.gaps), answer=False))
        if merged.fresh is not None:
            self._pass_on(merged.fresh, source)
        self.shared_state.changed()

    # --- outgoing ----------------------------------------------------------------------------------------------------

    def _pass_on(self, deltas: TableDeltas, source: str) -> None:
        """Send what is new here to those that have it from nobody else: this node's workers, and for them the members.

        Beyond ``direct_max`` members each passes on what was new to it.
        """
        workers = self.cluster.own_workers()
        if source in workers or len(self._others()) >= self.settings.direct_max:
            self._spread(deltas, frozenset({source}))
            return
        for name in workers:
            if name != source:
                self._send(name, deltas)

    def _others(self) -> list[str]:
        """Return the other members; on a worker only its node, which passes all on."""
        if self.node.parent_name:
            return [self.node.parent_name]
        members = self.shared_state.tables.members.keys() - {self.node.name}
        return sorted(name for name in members if self.shared_state.worker_row(name) is None)

    def _sample(self, names: Iterable[str]) -> list[str]:
        """Return these names without this node; ``fan_out`` of them by chance if they are more."""
        wanted = sorted(set(names) - {self.node.name})
        if len(wanted) <= self.settings.fan_out:
            return wanted
        return self._random.sample(wanted, self.settings.fan_out)

    def _spread(self, deltas: TableDeltas, excluded: frozenset[str]) -> None:
        others = [name for name in self._others() if name not in excluded]
        for name in others if len(others) < self.settings.direct_max else self._sample(others):
            self._send(name, deltas)
        for name in self.cluster.own_workers() - excluded:
            self._send(name, deltas)

    def _send(self, name: str, message: Message[object]) -> None:
        self.cluster.send(name, message)
