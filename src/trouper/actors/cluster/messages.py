"""What the actors of the cluster say to each other, on one node and between nodes."""

from __future__ import annotations

from ...runtime.kernel.message import Message
from .membership.packets import Packet


class ClusterPacket(Message[None], tag="trouper.ClusterPacket"):
    """What the membership of one node says to that of another."""

    packet: Packet


class AlarmDue(Message[None]):
    """The time has come that a pure machine asked for."""


class SessionLost(Message[None]):
    """The link to a node broke: a hint to probe it at once."""

    node: str


class HealthReport(Message[None]):
    """How this process does, see ``membership.effects.ProcessHealth``."""

    loop_lag_s: float
    gc_pause_s: float
    mailbox_depth: int


class MarkDown(Message[bool]):
    """Take a member down for good; the reply is whether there was one that was not over yet."""

    name: str
    reason: str


class BeginLeave(Message[None]):
    """Leave the cluster; the reply comes when the leave has been spread."""


class UpdateMetadata(Message[None]):
    """Tell the others this about this node: metadata, encoded."""

    metadata: bytes


class Rejoin(Message[None]):
    """Begin another life as a member."""


class ViewChanged(Message[None]):
    """The members, or who can be reached, have changed: look."""


class LeaseAnswer(Message[None]):
    """Whether this side got the lease."""

    acquired: bool


class ContactEndpoint(Message[None]):
    """Somebody may be of this cluster who listens at this endpoint."""

    endpoint: str


class Discovered(Message[None]):
    """What a discovery found.  problem: what else it had to say; empty when all is well."""

    source: str
    endpoints: tuple[str, ...]
    problem: str = ""
