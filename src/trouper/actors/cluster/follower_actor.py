"""``Follower``, the actor ``/system/cluster`` of a worker: keeps its view of the cluster in step with its parent's.

It stands in the place of ``ClusterManager``, which the parent runs.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from ... import Actor, Message, NodeClosed, Reject, handler
from .admin_service import DownMember
from .followed_membership import FollowedMembership
from .manager import publish_change
from .messages import BeginLeave, FollowMembership, MarkDown, MembershipRecords, UpdateMetadata, ViewChanged
from .replication_actor import Replicator

if TYPE_CHECKING:
    from ...runtime.net.peer import Peer
    from .api import Cluster

FIRST_S = 10.0
"""Seconds that the start of a worker waits for the members; after that they come when they come."""


class Follower(Actor):
    """Follows the membership of the parent.  cluster: the API object, which outlives the actor."""

    machine: FollowedMembership

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._complete: asyncio.Future[None] | None = None

    async def on_start(self) -> None:
        """Ask the parent for the members, and wait for them."""
        cluster, node = self.cluster, self.node
        cluster.manager = self.ref
        self.machine = cluster.follow_membership()
        node.network.request_handlers.serve(MembershipRecords, self._on_records, owner="cluster")
        cluster.replicator = await self.spawn(partial(Replicator, cluster), name="replicator", restart="permanent")
        self._complete = node.system.loop.create_future()
        try:
            async with asyncio.timeout(FIRST_S):
                parent = await node.network.wait_for_peer(node.parent_name)
                parent.control(FollowMembership())
                await self._complete
        except (TimeoutError, NodeClosed):
            pass

    def on_stop(self) -> None:
        """Follow no more."""
        self.node.network.request_handlers.unserve(MembershipRecords, owner="cluster")

    def _on_records(self, message: Message[object], peer: Peer) -> None:
        assert isinstance(message, MembershipRecords), "it is registered for this message"
        if peer.node != self.node.parent_name:
            return  # only the parent knows
        changes = self.machine.update(message.records)
        if message.complete:
            self.machine.is_joined = True
            if self._complete is not None and not self._complete.done():
                self._complete.set_result(None)
        for change in changes:
            publish_change(self.cluster, change)
        self.cluster.changed()
        self.cluster.replicator.tell(ViewChanged())

    @handler
    async def mark_down(self, msg: MarkDown) -> bool:
        """Have the parent take a member down."""
        return await self.node.network.peer(self.node.parent_name).control_ref.ask(DownMember(msg.name, msg.reason))

    @handler
    def begin_leave(self, msg: BeginLeave) -> None:
        """Do nothing: a worker leaves with its node."""

    @handler
    def update_metadata(self, msg: UpdateMetadata) -> None:
        """Refuse: a worker publishes no metadata."""
        raise Reject(f"{self.node.name} is a worker, which has no metadata of its own: update that of its node")
