"""What the actors of the cluster say to each other, on one node and between nodes."""

from __future__ import annotations

from ...runtime.kernel.messages import Message
from .membership.packets import Packet


class ClusterPacket(Message[None], tag="trouper.ClusterPacket"):
    """What the membership of one node says to that of another."""

    packet: Packet


class Due(Message[None]):
    """The time has come that a pure machine asked for."""


class LinkLost(Message[None]):
    """The link to a node broke: a hint to probe it at once."""

    node: str


class Strain(Message[None]):
    """How this process does, see ``membership.effects.Strained``."""

    loop_lag_s: float
    gc_pause_s: float
    mailbox_depth: int


class TakeDown(Message[bool]):
    """Take a member down for good; the reply is whether there was one that was not over yet."""

    name: str
    reason: str


class TakeLeave(Message[None]):
    """Leave the cluster; the reply comes when the leave has been spread."""


class Tell(Message[None]):
    """Tell the others this about this node: metadata, encoded."""

    metadata: bytes


class Rejoin(Message[None]):
    """Begin another life as a member."""


class ViewChanged(Message[None]):
    """The members, or who can be reached, have changed: look."""


class LeaseAnswer(Message[None]):
    """Whether this side got the lease."""

    acquired: bool


class Meet(Message[None]):
    """Somebody may be of this cluster who listens at this endpoint."""

    endpoint: str


class Sighted(Message[None]):
    """What a discovery found.  problem: what else it had to say; empty when all is well."""

    source: str
    endpoints: tuple[str, ...]
    problem: str = ""
