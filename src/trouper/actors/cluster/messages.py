"""The messages of the cluster's actors on one node, and of the memberships of two nodes."""

from __future__ import annotations

from ... import Message
from .membership.packets import Packet
from .membership.records import Member


class ClusterPacket(Message[None], tag="trouper.ClusterPacket"):
    """A packet from the membership of another node."""

    packet: Packet


class PacketFrom(Message[None], local=True):
    """A packet that came in, and the node that sent it here."""

    packet: Packet
    by: str


class FollowMembership(Message[None], tag="trouper.FollowMembership"):
    """From a worker to its parent: send the members, and each change of one from now on."""


class MembershipRecords(Message[None], tag="trouper.MembershipRecords"):
    """From a member to its worker: records of members as they are now.

    complete: whether the worker knows all members after this one.
    """

    records: tuple[Member, ...]
    complete: bool = True


class GetKnownMembers(Message[None], tag="trouper.GetKnownMembers"):
    """From a joining member: send ``KnownMembers``."""


class KnownMembers(Message[None], tag="trouper.KnownMembers"):
    """The members that the sender knows, itself included, with their generations."""

    members: dict[str, int]


class KnownByMember(Message[None], local=True):
    """A member has sent ``KnownMembers``.  node: its name."""

    node: str
    members: dict[str, int]


class AlarmDue(Message[None], local=True):
    """The ``wake_at`` of a pure machine has come."""


class SessionLost(Message[None], local=True):
    """The session with a node broke: a hint to probe the node at once."""

    node: str


class HealthReport(Message[None], local=True):
    """The health of this process, as in ``membership.effects.ProcessHealth``."""

    loop_lag_s: float
    gc_pause_s: float
    mailbox_depth: int


class MarkDown(Message[bool], local=True):
    """Declare a member dead for good; the reply is whether it was a member.  reason: for people."""

    name: str
    reason: str


class BeginLeave(Message[None], local=True):
    """Leave the cluster; the reply comes once the others have been told."""


class UpdateMetadata(Message[None], local=True):
    """Change this node's payload.  metadata: the payload, encoded."""

    metadata: bytes


class Rejoin(Message[None], local=True):
    """Rejoin the cluster as a new member, after this node was taken down."""


class ViewChanged(Message[None], local=True):
    """The members, or which of them are reachable, have changed."""


class LeaseAnswer(Message[None], local=True):
    """Whether this side of a partition got the lease."""

    acquired: bool


class ContactEndpoint(Message[None], local=True):
    """Contact the node that listens at this endpoint: it may be of this cluster."""

    endpoint: str


class OwnEndpointFound(Message[None], local=True):
    """This node has dialled itself at this endpoint."""

    endpoint: str


class Discovered(Message[None], local=True):
    """The result of a discovery.  source: its description.  problem: what failed; empty when nothing did."""

    source: str
    endpoints: tuple[str, ...]
    problem: str = ""


class DialEnded(Message[None], local=True):
    """The node at a dialled endpoint has answered, or ``refused`` the connection.

    code: of the refusal; ``itself`` when the endpoint is this node's own.  text: the reason, in that node's words.
    """

    endpoint: str
    refused: bool = False
    code: str = ""
    text: str = ""


class JoinRefused(Message[None], local=True):
    """A connected node does not take this node into its cluster.  node: its name.  text: the reason."""

    node: str
    text: str
