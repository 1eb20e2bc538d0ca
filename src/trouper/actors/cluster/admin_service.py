"""Attending: what a node of a cluster does for somebody who is linked to it and is no member, such as the command line.

Who may ask is who may link: links between hosts are authenticated, and sockets of one host lie in a private folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ...runtime.kernel.errors import CallerError
from ...runtime.kernel.message import Message
from .events import MemberInfo
from .messages import MarkDown

if TYPE_CHECKING:
    from ...runtime.net.peer import Peer
    from .api import Cluster

PAGE = 200
"""Members in one answer: with the largest metadata they fit into a frame."""


class ListedMember(msgspec.Struct, frozen=True):
    """A member, and how strongly the node that was asked suspects it: 0 not at all, 1 when it is given up."""

    member: MemberInfo
    suspicion: float


class MemberPage(msgspec.Struct, frozen=True):
    """Some of the members, by name.  cluster, node: whose, and who says so.  more: whether there are others after."""

    cluster: str
    node: str
    listed: list[ListedMember]
    more: bool


class ListMembers(Message[MemberPage], tag="trouper.ListMembers"):
    """Who belongs to your cluster?  after: those whose names come after this one; empty for the first."""

    after: str = ""


class DownMember(Message[bool], tag="trouper.DownMember"):
    """Take that member down for good; the reply is whether there is one of this name."""

    node: str
    reason: str


class LeaveCluster(Message[str], tag="trouper.LeaveCluster"):
    """Take your leave of the cluster and end in order; the reply is the name of the node, which begins to."""

    reason: str


def serve_admin(cluster: Cluster) -> None:
    """Have the node of this cluster answer those messages, for as long as it lives."""
    network = cluster.node.network
    service = AdminService(cluster)
    network.request_handlers.update(
        {ListMembers: service.members, DownMember: service.down, LeaveCluster: service.leave}
    )


class AdminService:
    """Does what ``serve_admin`` says."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def members(self, message: Message[object], _: Peer) -> object:
        """Call the roll."""
        assert isinstance(message, ListMembers), "it is entered for this one"
        cluster = self._cluster
        after = [member for member in cluster.members() if member.name > message.after]
        listed = [ListedMember(member, cluster.suspicion(member.name)) for member in after[:PAGE]]
        return MemberPage(cluster.config.name, cluster.node.name, listed, len(after) > PAGE)

    def down(self, message: Message[object], peer: Peer) -> object:
        """Take a member down."""
        assert isinstance(message, DownMember), "it is entered for this one"
        if self._cluster.member(message.node) is None:
            return False
        self._cluster.manager.tell(MarkDown(message.node, f"{message.reason} (asked by {peer.node})"))
        return True

    def leave(self, message: Message[object], peer: Peer) -> object:
        """Begin to leave: the shutdown of a node takes leave of its cluster first."""
        assert isinstance(message, LeaveCluster), "it is entered for this one"
        node = self._cluster.node
        if self._cluster.machine.is_over:
            raise CallerError(f"node {node.name} is no member of the cluster {self._cluster.config.name!r} any more")
        node.shutdown.begin(f"{message.reason} (asked by {peer.node})")
        return node.name
