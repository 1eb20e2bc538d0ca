"""Cards: a member's record in the membership, and what this runtime makes of it (PURE).

The membership carries bytes that it does not read: a card, which is the incarnation of the node's process, by which
its actors are addressed, and its metadata.
"""

from __future__ import annotations

import msgspec

from ...runtime.kernel.errors import WireError
from . import metadata as metadata_file
from .events import (
    MemberDown,
    MemberEvent,
    MemberInfo,
    MemberJoined,
    MemberLeft,
    MemberReachable,
    MemberStatus,
    MemberSuspected,
    MemberUnreachable,
    MemberUpdated,
)
from .membership import effects
from .membership.records import Member, Status
from .metadata import Metadata

_STATUS: dict[Status, MemberStatus] = {
    Status.ALIVE: "alive",
    Status.SUSPECT: "suspect",
    Status.UNREACHABLE: "unreachable",
    Status.LEFT: "left",
    Status.DOWN: "down",
}


class MemberPayload(msgspec.Struct, frozen=True, array_like=True):
    """What stands in a member's metadata.  metadata: encoded, so that its own limits are checked where it is read."""

    generation: int
    metadata: bytes


_cards = msgspec.msgpack.Decoder(MemberPayload)


def write(generation: int, metadata: Metadata, bytes_max: int) -> bytes:
    """Make a card; raises ``MetadataInvalid`` above ``bytes_max``."""
    encoded = metadata_file.encode(metadata, bytes_max - 16)
    return msgspec.msgpack.encode(MemberPayload(generation, encoded))


def read(member: Member) -> MemberInfo:
    """Make a member's record readable; metadata that cannot be read is empty, and its node without an incarnation."""
    generation, metadata = 0, Metadata()
    try:
        card = _cards.decode(member.metadata)
        generation, metadata = card.generation, metadata_file.decode(card.metadata)
    except (msgspec.DecodeError, WireError):
        pass  # the membership has checked its size; what it says is a matter of that node's version
    return MemberInfo(member.name, member.endpoint, generation, member.life, _STATUS[Status(member.status)], metadata)


def event_of(event: effects.MemberEvent, info: MemberInfo) -> MemberEvent:
    """Make the event that users see of what the membership tells."""
    match event:
        case effects.Joined():
            return MemberJoined(info)
        case effects.Updated():
            return MemberUpdated(info)
        case effects.Suspected(by=by):
            return MemberSuspected(info, by)
        case effects.Unreachable():
            return MemberUnreachable(info)
        case effects.ReachableAgain():
            return MemberReachable(info)
        case effects.Down(reason=reason):
            return MemberDown(info, reason)
        case effects.Left():
            return MemberLeft(info)


def notice_of(event: effects.OwnEvent) -> tuple[str, str] | None:
    """Put into words what the membership tells of this node: a kind, and a sentence; None for what is no news."""
    match event:
        case effects.Ended(reason=reason, detail=detail):
            return (reason, detail)
        case effects.LifeRaised(before=before, life=life):
            return ("life_raised", f"the cluster remembers a later life than {before}: this node goes on as {life}")
        case effects.Refused(by=by, reason=reason, text=text):
            return ("refused", f"{by} does not take this node in ({reason}): {text}")
        case effects.NameConflict(name=name, holder=holder, other=other):
            return ("name_conflict", f"two nodes are called {name}: {holder}, which has the name, and {other}")
        case effects.OtherCluster(source=source, cluster=cluster):
            return ("other_cluster", f"{source} is of the cluster {cluster!r}: what it says is not listened to")
        case effects.Implausible(name=name, source=source, problem=problem):
            return ("implausible", f"what {source} says of {name} cannot be: {problem}")
        case effects.SeedsSilent(seeds=seeds, tries=tries, again_s=again_s):
            return (
                "seeds_silent",
                f"none of {', '.join(seeds)} answers, after {tries} tries; again in {again_s:.1f} s",
            )
        case effects.ClockLeapt(gap_s=gap_s):
            return (
                "clock_leapt",
                f"this node stood still, or its clock leapt, by {gap_s:.1f} s: suspicions begin anew",
            )
        case effects.HealthChanged(score=score):
            return ("health", f"the health score of this node is {score}; 0 is well")
