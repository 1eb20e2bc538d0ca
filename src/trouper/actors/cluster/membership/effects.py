"""What the membership wants done, and what it has to tell (PURE).

``Send`` is carried out over a link; ``Changed`` is published.  Effects come in order.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from .packets import Packet
from .records import Member

DownReason = Literal["downed", "restarted", "superseded", "forgotten"]


class Joined(msgspec.Struct, frozen=True):
    """A life of a node has become a member; this node itself too, when it has been taken in."""

    member: Member


class Updated(msgspec.Struct, frozen=True):
    """A member has new metadata, or another endpoint or version."""

    member: Member
    before: Member


class Suspected(msgspec.Struct, frozen=True):
    """A member does not answer; it has time to refute.  by: who says so."""

    member: Member
    by: str


class Unreachable(msgspec.Struct, frozen=True):
    """A member did not refute in time.  It may be dead or cut off: what becomes of it is decided by others."""

    member: Member


class ReachableAgain(msgspec.Struct, frozen=True):
    """A member that was suspected or unreachable has shown that it lives.  before: its record until now."""

    member: Member
    before: Member


class Down(msgspec.Struct, frozen=True):
    """This life of a member is over, and it did not leave.

    reason: ``downed`` (somebody decided so), ``restarted`` (a later life is at the same endpoint), ``superseded`` (a
        later life is at another endpoint), ``forgotten`` (unreachable for ``tombstone_s``).
    """

    member: Member
    reason: DownReason


class Left(msgspec.Struct, frozen=True):
    """A member took its leave; no failure."""

    member: Member


class Ended(msgspec.Struct, frozen=True):
    """This node's own membership is over, and it is silent from now on.

    reason: ``left`` (its leave was spread), ``downed`` (the cluster has taken it down: stop its actors),
        ``superseded`` (a later life of its name is there).  detail: one sentence for people.
    """

    reason: Literal["left", "downed", "superseded"]
    detail: str


class LifeRaised(msgspec.Struct, frozen=True):
    """The cluster remembers a later life of this node, ended or at this endpoint: it goes on with a larger number."""

    before: int
    life: int


class Refused(msgspec.Struct, frozen=True):
    """A node would not take this one in; it is tried again with a growing pause.  reason: as in ``packets.Refusal``."""

    by: str
    reason: str
    text: str


class NameConflict(msgspec.Struct, frozen=True):
    """Two nodes use one name.  The later life holds it; a newcomer is refused while the holder is present."""

    name: str
    holder: str
    other: str


class OtherCluster(msgspec.Struct, frozen=True):
    """A node of a cluster with another name sent a packet, which was dropped.  At most once a minute for each."""

    source: str
    cluster: str


class Implausible(msgspec.Struct, frozen=True):
    """A record was dropped because it cannot be true: life or refutation from the future, metadata over its limit."""

    name: str
    source: str
    problem: str


class SeedsSilent(msgspec.Struct, frozen=True):
    """No seed answers.  tries: so far.  again_s: the pause until the next."""

    seeds: tuple[str, ...]
    tries: int
    again_s: float


class ClockLeapt(msgspec.Struct, frozen=True):
    """This node stood still, or its clock jumped: it trusts itself less for a while, and all suspicions begin anew."""

    gap_s: float


class HealthChanged(msgspec.Struct, frozen=True):
    """The local health score: 0 is well, ``awareness_max`` - 1 is the worst."""

    score: int


MemberEvent: TypeAlias = Joined | Updated | Suspected | Unreachable | ReachableAgain | Down | Left
OwnEvent: TypeAlias = (
    Ended | LifeRaised | Refused | NameConflict | OtherCluster | Implausible | SeedsSilent | ClockLeapt | HealthChanged
)
ClusterEvent: TypeAlias = MemberEvent | OwnEvent


class Send(msgspec.Struct, frozen=True, gc=False):
    """Give a packet to whoever listens at an endpoint.

    reliable: by a link that sends again what was lost; otherwise it may be dropped, on the way or for want of room.
    """

    to: str
    packet: Packet
    reliable: bool = False


class Changed(msgspec.Struct, frozen=True, gc=False):
    """Something to publish."""

    event: ClusterEvent


class ProcessHealth(msgspec.Struct, frozen=True):
    """Told by the shell: how this process does.  All 0: well.

    loop_lag_s: how late the event loop came.  gc_pause_s: the longest garbage collection since the last report.
    mailbox_depth: messages waiting in the cluster's own mailboxes.
    """

    loop_lag_s: float = 0.0
    gc_pause_s: float = 0.0
    mailbox_depth: int = 0


Effect: TypeAlias = Send | Changed
