"""``MetricsPoller``: requests load and round-trip times from the members, and answers the same request."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .facts import load_of
from .node_metrics import MetricsTable, NodeMetrics, nearest
from .replication_messages import GetNodeMetrics, NodeMetricsReply

if TYPE_CHECKING:
    from ...lowlevel import PeerInfo
    from .api import Cluster
    from .events import MemberInfo

UNKNOWN_METRICS = NodeMetrics()
"""The metrics of a member that has not reported."""


class MetricsPoller:
    """The metrics of all members, as far as this node has asked for them."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._table = cluster, MetricsTable()
        self._members: Sequence[MemberInfo] = ()
        self.version = 0
        """Grows with each report, and with each change of the members."""
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    def of(self, member: str) -> NodeMetrics:
        """Return the last report of a member, and for this node its present metrics.

        As long as no other member has reported, this node's metrics are unknown too: a node that knew its own load
        alone would place every actor on itself.
        """
        if member == self._cluster.ctx.node_id.name:
            return self.measure() if self._table.reported else UNKNOWN_METRICS
        return self._table.reported.get(member, UNKNOWN_METRICS)

    def measure(self) -> NodeMetrics:
        """Measure this node."""
        cluster = self._cluster
        load = load_of(cluster.metadata.facts.cores) if cluster.settings.detect else None
        return NodeMetrics(load, nearest(cluster.round_trips.smoothed_s()))

    def poll(self) -> list[str]:
        """Request the metrics of the members whose reports are old; return their names."""
        cluster = self._cluster
        members = cluster.member_infos()
        if members is not self._members:
            self._members = members
            self.version += 1
            alive = {member.name for member in members if member.status == "alive"}
            self._table.set_members(alive - {cluster.ctx.node_id.name})
        asked = self._table.due(cluster.ctx.clock.now())
        for name in asked:
            cluster.send(name, GetNodeMetrics())
        return asked

    async def poll_all(self, timeout_s: float) -> Mapping[str, NodeMetrics]:
        """Request the metrics of the members whose reports are old, and wait ``timeout_s`` at most for the replies.

        Returns the last report of each member, by name, this node's present metrics included.
        """
        loop = self._cluster.ctx.loop
        replies = {name: loop.create_future() for name in self.poll()}
        for name, reply in replies.items():
            self._waiting.setdefault(name, []).append(reply)
        try:
            if replies:
                await asyncio.wait(replies.values(), timeout=timeout_s)
        finally:
            for name, reply in replies.items():
                if not reply.done():
                    self._waiting[name].remove(reply)
                    if not self._waiting[name]:
                        del self._waiting[name]
        return {self._cluster.ctx.node_id.name: self.measure(), **self._table.reported}

    # --- requests of other nodes -------------------------------------------------------------------------------------

    def on_request(self, _: GetNodeMetrics, peer: PeerInfo) -> None:
        """Send this node's metrics to the member that requests them."""
        self._cluster.send(peer.node_id.name, NodeMetricsReply(self.measure()))

    def on_reply(self, message: NodeMetricsReply, peer: PeerInfo) -> None:
        """Keep the metrics of a member."""
        self._table.report(peer.node_id.name, message.metrics)
        self.version += 1
        for reply in self._waiting.pop(peer.node_id.name, ()):
            if not reply.done():
                reply.set_result(None)
