"""``MemberInfo`` and the events of members, made from the records of the membership (PURE).

The membership carries a payload for each member without reading it: the generation of the node, which is part of the
addresses of its actors, and its metadata.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_

import msgspec

from ...lowlevel import decode_untrusted
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
from .metadata import Metadata, MetadataInvalid, decode

_STATUS: dict[Status, MemberStatus] = {
    Status.ALIVE: "alive",
    Status.SUSPECT: "suspect",
    Status.UNREACHABLE: "unreachable",
    Status.LEFT: "left",
    Status.DOWN: "down",
}


class MemberPayload(msgspec.Struct, frozen=True, array_like=True):
    """The payload of a member's record.  metadata: encoded, so that its own limits are checked where it is read."""

    generation: int
    metadata: bytes


_decode = msgspec.msgpack.Decoder(MemberPayload).decode


def write(generation: int, metadata: Metadata, bytes_max: int) -> bytes:
    """Return the encoded payload; raises ``MetadataInvalid`` when it would have more than ``bytes_max`` bytes."""
    encoded = metadata_file.encode(metadata, bytes_max - 16)
    return msgspec.msgpack.encode(MemberPayload(generation, encoded))


def read(member: Member) -> MemberInfo:
    """Return a member's record with its payload decoded; unreadable metadata is empty, an unreadable generation 0."""
    generation, metadata = 0, Metadata()
    try:
        payload = decode_untrusted(_decode, member.metadata, "a member's payload", MetadataInvalid)
        generation, metadata = payload.generation, decode(payload.metadata)
    except MetadataInvalid:
        pass  # its size was checked; a node of another version may write what this one cannot read
    status = _STATUS[Status(member.status)]
    return MemberInfo(member.name, member.endpoint, generation, member.generation, status, metadata, member.reason)


class MemberInfoCache:
    """Decodes each record once: a record is never changed, only replaced, so the same object needs no new decoding."""

    def __init__(self) -> None:
        self._records: list[Member] = []
        self._infos: list[MemberInfo] = []
        self._decoded: dict[str, tuple[Member, MemberInfo]] = {}

    def read(self, records: list[Member]) -> Sequence[MemberInfo]:
        """Return the members among the records, decoded, by name; the same sequence until a record changes."""
        if len(records) == len(self._records) and all(map(is_, records, self._records)):
            return self._infos
        decoded: dict[str, tuple[Member, MemberInfo]] = {}
        for record in records:
            if record.is_over:
                continue
            known = self._decoded.get(record.name)
            decoded[record.name] = known if known is not None and known[0] is record else (record, read(record))
        self._records, self._decoded = records, decoded
        self._infos = [decoded[name][1] for name in sorted(decoded)]
        return self._infos


def event_of(event: effects.MemberChange, info: MemberInfo) -> MemberEvent:
    """Return the public event for an event of the membership.  info: the member that it is about."""
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
        case effects.Downed(reason=reason):
            return MemberDown(info, reason)
        case effects.Departed():
            return MemberLeft(info)


def notice_of(event: effects.LocalEvent) -> tuple[str, str] | None:
    """Return the kind and the text of the notice for an event of this node's membership; None when it needs none."""
    match event:
        case effects.Ended(reason=reason, detail=detail):
            return (reason, detail)
        case effects.AdmissionRefused(by=by, reason=reason, text=text):
            return ("refused", f"{by} refuses this node as a member ({reason}): {text}")
        case effects.NameConflict(name=name, holder=holder, other=other):
            return ("name_conflict", f"two nodes have the name {name}: {holder}, the member, and {other}")
        case effects.OtherCluster(source=source, cluster=cluster):
            return ("other_cluster", f"{source} belongs to the cluster {cluster!r}: its messages are ignored")
        case effects.Implausible(name=name, source=source, problem=problem):
            return ("implausible", f"what {source} reports of {name} is impossible: {problem}")
        case effects.SeedsSilent(seeds=seeds, tries=tries, again_s=again_s):
            return (
                "seeds_silent",
                f"no answer from {', '.join(seeds)} after {tries} attempts; next attempt in {again_s:.1f} s",
            )
        case effects.ClockJumped(gap_s=gap_s):
            return (
                "clock_jumped",
                f"this node was suspended, or its clock jumped, for {gap_s:.1f} s: all suspicions start again",
            )
        case effects.HealthChanged(score=score):
            return ("health", f"the health score of this node is {score}; 0 is healthy")
