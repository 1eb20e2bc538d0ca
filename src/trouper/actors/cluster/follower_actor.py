"""``Follower``, the actor ``/system/cluster/manager`` of a worker: keeps its view in step with its parent's.

It stands in the place of ``ClusterManager``, which the parent runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import Actor, Reject, Unavailable, handler
from ...lowlevel import PeerEvent, PeerUp
from .admin_service import DownMember
from .followed_membership import FollowedMembership
from .messages import BeginLeave, FollowMembership, MarkDown, MembershipRecords, UpdateMetadata

if TYPE_CHECKING:
    from .api import Cluster


class Follower(Actor):
    """Follows the membership of the parent.  cluster: the API object, which outlives the actor."""

    machine: FollowedMembership

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.ctx = cluster, cluster.ctx

    def on_start(self) -> None:
        """Ask the parent for the members, whenever a session with it begins."""
        self.cluster.manager = self.ref
        self.machine = self.cluster.follow_membership()
        self._unsubscribe = self.ctx.peers.subscribe(self._on_peer)

    def on_stop(self) -> None:
        """Follow no more."""
        self._unsubscribe()

    def _on_peer(self, event: PeerEvent) -> None:
        if isinstance(event, PeerUp) and event.node_id.name == self.ctx.parent_name:
            self.ctx.send(event.node_id, FollowMembership())

    @handler
    def records(self, msg: MembershipRecords) -> None:
        """Take the records of members that the parent has sent."""
        changes = self.machine.update(msg.records)
        if msg.complete:
            self.machine.is_joined = True
        for change in changes:
            self.cluster.publish(change)
        self.cluster.changed()

    @handler
    async def mark_down(self, msg: MarkDown) -> bool:
        """Have the parent take a member down."""
        parent = self.ctx.peers.get(self.ctx.parent_name)
        if parent is None:
            raise Unavailable(f"{self.ctx.node_id.name} is not connected to its node {self.ctx.parent_name}: try again")
        return await self.ctx.ask(parent.node_id, DownMember(msg.name, msg.reason))

    @handler
    def begin_leave(self, msg: BeginLeave) -> None:
        """Do nothing: a worker leaves with its node."""

    @handler
    def update_metadata(self, msg: UpdateMetadata) -> None:
        """Refuse: a worker publishes no metadata."""
        raise Reject(f"{self.ctx.node_id.name} is a worker, which has no metadata of its own: update that of its node")
