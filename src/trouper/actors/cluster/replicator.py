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

from ...runtime.actor import Actor
from ...runtime.handlers import handler
from ...runtime.kernel.messages import Message
from .messages import Rejoin, ViewChanged
from .news import Flush, Heard, RowDigest, RowNews, RowSums, SyncDue, TopicNews, VitalsTold, VitalsWanted

if TYPE_CHECKING:
    from ...runtime.remote.peer import Peer
    from .face import Cluster


class Replicator(Actor):
    """See the top of the file.  cluster: its face, which outlives it, and has what it carries."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.commons, self.failures = cluster, cluster.commons, cluster.failures
        self.settings = cluster.config.replication
        self._due = False
        self._met: dict[str, int] = {}

    def on_start(self) -> None:
        """Begin to listen, and to compare."""
        self._loop, self._network = self.node.system.loop, self.node.network
        self._random = random.Random(self.node.system.random())
        for type_ in (RowNews, RowSums, RowDigest):
            self._network.serves[type_] = self._hear
        self._network.serves[TopicNews] = self._published
        self._network.serves[VitalsWanted] = self.cluster.surveyor.asked
        self._network.serves[VitalsTold] = self.cluster.surveyor.told
        self._network.on_peer.append(self._linked)
        self.commons.on_own.append(self._flush_soon)
        self.timers.every("sync", self.settings.interval_s, SyncDue())
        self.commons.align(self.cluster.machine)

    def on_stop(self) -> None:
        """Nothing more is carried."""
        for type_ in (RowNews, RowSums, RowDigest, TopicNews, VitalsWanted, VitalsTold):
            self._network.serves.pop(type_, None)
        self._network.on_peer.remove(self._linked)
        self.commons.on_own.remove(self._flush_soon)

    # --- what comes in -----------------------------------------------------------------------------------------------

    def _hear(self, message: Message[object], peer: Peer) -> None:
        self.failures.heard(peer.node, self._loop.time())
        assert isinstance(message, RowNews | RowSums | RowDigest), "it is entered for these"
        self.ref.tell(Heard(peer.node, message))

    def _published(self, message: Message[object], peer: Peer) -> None:
        """Another node has published a message: it is read here, while its bytes are at hand."""
        assert isinstance(message, TopicNews), "it is entered for this"
        self.failures.heard(peer.node, self._loop.time())
        self.cluster.topics.arrived(message, peer)

    def _linked(self, peer: Peer, up: bool) -> None:
        member = self.cluster.member(peer.node)
        if not up and member is not None and member.incarnation == peer.home.incarnation:
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
        for news in self.commons.replicas.announcements():
            self._spread(news, frozenset())

    @handler
    def view_changed(self, msg: ViewChanged) -> None:
        """Members have come or gone: compare with those who are new, some of them if they are many."""
        before, self._met = self._met, dict(self.commons.replicas.members)
        come = [name for name, life in self._met.items() if before.get(name) != life]
        for name in self._picked(come):
            if len(before) <= self.settings.direct_max or self._random.random() * len(before) < self.settings.fan_out:
                self._send(name, RowSums(self.commons.replicas.sums()))

    @handler
    def rejoin(self, msg: Rejoin) -> None:
        """This node was thrown out, and comes back as another member."""
        self.commons.lose_names()
        self.commons.align(self.cluster.machine)

    # --- anti-entropy ------------------------------------------------------------------------------------------------

    @handler
    def sync_due(self, msg: SyncDue) -> None:
        """Compare copies with some member, and look whether links have failed."""
        self.commons.align(self.cluster.machine)  # links break and are mended without an event
        self.flush(Flush())
        now = self._loop.time()
        for peer in self._network.peers.values():
            self.failures.look(peer, now)
        others = self._others()
        if self.commons.doubts_since is not None and len(others) < self.settings.direct_max:
            for name in others:  # the roll call of a node that doubts itself, see ``Commons``
                self._send(name, RowSums(self.commons.replicas.sums(), answer=True))
        elif others:
            self._send(self._random.choice(others), RowSums(self.commons.replicas.sums()))

    @handler
    def heard(self, msg: Heard) -> None:
        """Another node's replicator has said something."""
        replicas = self.commons.replicas
        match msg.said:
            case RowNews():
                self._take(msg.said, msg.node)
            case RowSums(sums, answer):
                own = replicas.sums()
                differ = [table for table, sum_ in sums.items() if own.get(table) != sum_]
                if differ or answer:
                    self._send(msg.node, RowDigest(replicas.digest(differ), answer=bool(differ)))
            case RowDigest(stamps, answer):
                for news in replicas.answer(stamps)[: self.settings.answer_max]:
                    self._send(msg.node, news)
                if answer:
                    self._send(msg.node, RowDigest(replicas.digest(stamps), answer=False))

    def _take(self, news: RowNews, source: str) -> None:
        taken = self.commons.replicas.take(news)
        self.commons.carry_out(taken.told)
        if taken.gaps:
            self._send(source, RowDigest(self.commons.replicas.digest(taken.gaps), answer=False))
        if taken.fresh is not None and len(self.commons.replicas.members) > self.settings.direct_max:
            self._spread(taken.fresh, frozenset({source}))
        self.commons.changed()

    # --- out ---------------------------------------------------------------------------------------------------------

    def _others(self) -> list[str]:
        return sorted(self.commons.replicas.members.keys() - {self.node.name})

    def _picked(self, names: Iterable[str]) -> list[str]:
        """All of these, or as many as one node should talk to at a time."""
        wanted = sorted(set(names) - {self.node.name})
        if len(wanted) <= self.settings.fan_out:
            return wanted
        return self._random.sample(wanted, self.settings.fan_out)

    def _spread(self, news: RowNews, but: frozenset[str]) -> None:
        others = [name for name in self._others() if name not in but]
        for name in others if len(others) < self.settings.direct_max else self._picked(others):
            self._send(name, news)

    def _send(self, name: str, message: Message[object]) -> None:
        self.cluster.send(name, message)
