"""The effects of the membership: packets to send and events to publish (PURE).

The shell carries effects out in order: it sends the packet of a ``Send`` and publishes the event of a ``Publish``.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from .packets import Packet
from .records import Member


class Joined(msgspec.Struct, frozen=True):
    """A node has become a member; this node too, when it was admitted."""

    member: Member


class Updated(msgspec.Struct, frozen=True):
    """A member has new metadata, or another endpoint or protocol version.  before: its record until now."""

    member: Member
    before: Member


class Suspected(msgspec.Struct, frozen=True):
    """A member does not answer; it has time to refute.  by: the name of the accuser."""

    member: Member
    by: str


class Unreachable(msgspec.Struct, frozen=True):
    """A member did not refute in time.  It may be dead or cut off; the resolver decides what becomes of it."""

    member: Member


class ReachableAgain(msgspec.Struct, frozen=True):
    """A member that was suspected or unreachable has answered.  before: its record until now."""

    member: Member
    before: Member


class Downed(msgspec.Struct, frozen=True):
    """This generation of a node is over, and the node did not leave.  reason: one sentence."""

    member: Member
    reason: str


class Departed(msgspec.Struct, frozen=True):
    """A member left in order; this is no failure."""

    member: Member


class Ended(msgspec.Struct, frozen=True):
    """This node's own membership is over; the machine sends nothing from now on.

    reason: ``left`` (the leave was gossiped) or ``downed`` (the cluster has taken this generation down: stop its
        actors).  detail: one sentence that says why.
    """

    reason: Literal["left", "downed"]
    detail: str


class AdmissionRefused(msgspec.Struct, frozen=True):
    """A node did not admit this one; the join is retried with a growing pause.  reason: as in ``packets.Refusal``."""

    by: str
    reason: str
    text: str


class NameConflict(msgspec.Struct, frozen=True):
    """Two living nodes use one name.  holder: the endpoint that keeps it.  other: the endpoint that does not."""

    name: str
    holder: str
    other: str


class OtherCluster(msgspec.Struct, frozen=True):
    """A node of a cluster with another name sent a packet, which was dropped.  At most once a minute for each."""

    source: str
    cluster: str


class Implausible(msgspec.Struct, frozen=True):
    """A record was dropped because it breaks a limit.  source: the name of its sender.  problem: one sentence."""

    name: str
    source: str
    problem: str


class SeedsSilent(msgspec.Struct, frozen=True):
    """No seed answers.  tries: so far.  again_s: seconds until the next try."""

    seeds: tuple[str, ...]
    tries: int
    again_s: float


class ClockJumped(msgspec.Struct, frozen=True):
    """This node was paused, or its clock jumped: its health score rises, and all suspicions start anew."""

    gap_s: float


class HealthChanged(msgspec.Struct, frozen=True):
    """The local health score: 0 is healthy, ``awareness_max`` - 1 is the worst."""

    score: int


MemberChange: TypeAlias = Joined | Updated | Suspected | Unreachable | ReachableAgain | Downed | Departed
"""Events about one member."""
LocalEvent: TypeAlias = (
    Ended | AdmissionRefused | NameConflict | OtherCluster | Implausible | SeedsSilent | ClockJumped | HealthChanged
)
"""Events about this node."""
MembershipEvent: TypeAlias = MemberChange | LocalEvent


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send a packet to the node at an endpoint.

    reliable: over a session that sends again after a reconnect; otherwise the packet may be dropped.
    """

    to: str
    packet: Packet
    reliable: bool = False


class Publish(msgspec.Struct, frozen=True, gc=False):
    """Publish an event."""

    event: MembershipEvent


class ProcessHealth(msgspec.Struct, frozen=True):
    """What the shell measures of its own process.  All 0: healthy.

    loop_lag_s: how late a timer of the event loop ran.  gc_pause_s: the longest garbage collection since the last
    report.  mailbox_depth: messages that wait in the cluster manager's mailbox.
    """

    loop_lag_s: float = 0.0
    gc_pause_s: float = 0.0
    mailbox_depth: int = 0


Effect: TypeAlias = Send | Publish
