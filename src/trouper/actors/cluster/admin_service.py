"""``AdminService``: answers nodes that are no members, such as the command line: list members, down one, leave.

Any node with a session may ask: sessions between hosts are authenticated, and the sockets of one host lie in a folder
that only its user can open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ... import CallerError, Message
from .events import MemberInfo
from .messages import MarkDown

if TYPE_CHECKING:
    from ...lowlevel import PeerInfo
    from .api import Cluster

PAGE = 200
"""Members in one answer: with the largest metadata they fit into a frame."""
ENDED_MAX = 50
"""Members that are over, in one answer; the last ones to end."""


class ListedMember(msgspec.Struct, frozen=True):
    """A member, and its suspicion at the node that answers: 0 for none, 1 for a member that it has given up."""

    member: MemberInfo
    suspicion: float


class MemberPage(msgspec.Struct, frozen=True):
    """Some of the members, by name.

    cluster: its name.  node: the name of the node that answers.  listed: the members.  more: whether others follow.
    ended: on the first page, members that have left or are down, with the reason; the last to end comes last.
    """

    cluster: str
    node: str
    listed: list[ListedMember]
    more: bool
    ended: list[MemberInfo] = []


class ListMembers(Message[MemberPage], tag="trouper.ListMembers"):
    """Ask for the members.  after: only those whose names come after this one; empty for the first page."""

    after: str = ""


class DownMember(Message[bool], tag="trouper.DownMember"):
    """Ask to take a member down for good; the reply is whether there is one of this name.

    reason: one sentence, which all members publish.
    """

    node: str
    reason: str


class LeaveCluster(Message[str], tag="trouper.LeaveCluster"):
    """Ask the node that receives this to leave the cluster and to end; the reply is its name."""

    reason: str


class AdminService:
    """Serves the three messages, for one node of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        serve = cluster.ctx.serve
        serve(ListMembers, self.members, allow="observer")
        serve(DownMember, self.down, allow="operator")
        serve(LeaveCluster, self.leave, allow="operator")

    def members(self, message: ListMembers, _: PeerInfo) -> MemberPage:
        """Answer with a page of members."""
        cluster = self._cluster
        after = [member for member in cluster.members() if member.name > message.after]
        listed = [ListedMember(member, cluster.suspicion(member.name)) for member in after[:PAGE]]
        ended = [] if message.after else cluster.ended_members()[-ENDED_MAX:]
        return MemberPage(cluster.settings.name, cluster.ctx.node_id.name, listed, len(after) > PAGE, ended)

    def down(self, message: DownMember, peer: PeerInfo) -> bool:
        """Take a member down."""
        if self._cluster.member(message.node) is None:
            return False
        self._cluster.manager.tell(MarkDown(message.node, f"{message.reason} (asked by {peer.node_id.name})"))
        return True

    def leave(self, message: LeaveCluster, peer: PeerInfo) -> str:
        """Begin the shutdown of this node, which leaves its cluster first."""
        cluster = self._cluster
        name = cluster.ctx.node_id.name
        if cluster.machine.is_over:
            raise CallerError(f"node {name} is no member of the cluster {cluster.settings.name!r} any more")
        cluster.ctx.shutdown.begin(f"{message.reason} (asked by {peer.node_id.name})")
        return name
