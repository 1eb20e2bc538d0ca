"""``MetricsPoller``: asks the members for their load and round trips, and answers those who ask this node."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...runtime.kernel.message import Message
from .facts import load_of
from .node_metrics import MetricsTable, NodeMetrics, nearest
from .replication_messages import GetNodeMetrics, NodeMetricsReply

if TYPE_CHECKING:
    from ...runtime.net.peer import Peer
    from .api import Cluster

UNKNOWN_METRICS = NodeMetrics()


class MetricsPoller:
    """See the top of the file; the face of a cluster has one."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._table = cluster, MetricsTable()
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    def of(self, member: str) -> NodeMetrics:
        """Return what a member has said last, this node what it measures now; nothing while nobody has answered.

        A node that knew of its own load alone would put everything on itself.
        """
        if member == self._cluster.node.name:
            return self.measure() if self._table.told else UNKNOWN_METRICS
        return self._table.told.get(member, UNKNOWN_METRICS)

    def measure(self) -> NodeMetrics:
        """Measure this node."""
        cluster = self._cluster
        load = load_of(cluster.metadata.facts.cores) if cluster.config.detect else None
        return NodeMetrics(load, nearest(cluster.round_trips.smoothed_s()))

    def poll(self) -> list[str]:
        """Ask those whose answers are old; returns whom."""
        cluster = self._cluster
        others = {member.name for member in cluster.members() if member.status == "alive"} - {cluster.node.name}
        asked = self._table.ask(others, cluster.node.system.loop.time())
        for name in asked:
            cluster.send(name, GetNodeMetrics())
        return asked

    async def poll_all(self, timeout_s: float) -> Mapping[str, NodeMetrics]:
        """Ask those whose answers are old, and wait for them; returns what is known when that time is over."""
        loop = self._cluster.node.system.loop
        answers = {name: loop.create_future() for name in self.poll()}
        for name, answer in answers.items():
            self._waiting.setdefault(name, []).append(answer)
        try:
            if answers:
                await asyncio.wait(answers.values(), timeout=timeout_s)
        finally:
            for name, answer in answers.items():
                if not answer.done():
                    self._waiting[name].remove(answer)
                    self._waiting = {name: left for name, left in self._waiting.items() if left}
        return {self._cluster.node.name: self.measure(), **self._table.told}

    # --- what the replicator hears -----------------------------------------------------------------------------------

    def asked(self, message: Message[object], peer: Peer) -> None:
        """Another member wants to know."""
        assert isinstance(message, GetNodeMetrics), "it is entered for this"
        self._cluster.send(peer.node, NodeMetricsReply(self.measure()))

    def told(self, message: Message[object], peer: Peer) -> None:
        """Another member has answered."""
        assert isinstance(message, NodeMetricsReply), "it is entered for this"
        self._table.hear(peer.node, message.metrics)
        for answer in self._waiting.pop(peer.node, ()):
            if not answer.done():
                answer.set_result(None)
