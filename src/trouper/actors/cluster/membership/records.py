"""``Member``: what is known of one generation of a node, and how two such records are merged (PURE).

A record is identified by the name of the node and its generation.  The generation is a random number, drawn each time
the node joins; two generations of one name are two different members, and neither is newer because its number is
larger.  What happens to an earlier generation is decided by the rules in ``view``, never by comparing the numbers.

Records of one (name, generation) are totally ordered by their *version*: whether the member is over, then its
incarnation, then its status, then the remaining bytes.  ``merge`` keeps the larger one of each; it is commutative,
associative and idempotent, so views that have received the same records are equal, in whatever order they came.

incarnation: SWIM's incarnation number.  Only the member itself increases it, from 0 in each generation: once for each
    refutation of a suspicion and once for each change of its metadata.
Left and down are final: no incarnation undoes them; the node can come back only as another generation.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import TypeAlias

import msgspec

MemberId: TypeAlias = tuple[str, int]
"""A node's name and generation."""


class Status(IntEnum):
    """What a member is held to be.  Of two records that are otherwise equal the one with the larger status wins."""

    ALIVE = 0
    SUSPECT = 1
    UNREACHABLE = 2
    LEFT = 3
    DOWN = 4


class Member(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """One generation of a node as the cluster knows it; the same struct travels in packets.

    name: unique among the members that are not over.  endpoint: where the node listens.
    generation: random, drawn at each join.  incarnation: see the module's docstring.
    metadata: bytes that the membership carries and does not read.  versions: of the protocol, least and most.
    reason: why the member is down, one sentence; empty for every other status, and where nobody gave a reason.
    """

    name: str
    endpoint: str
    generation: int
    incarnation: int = 0
    status: Status = Status.ALIVE
    metadata: bytes = b""
    versions: tuple[int, int] = (1, 1)
    reason: str = ""

    @property
    def id(self) -> MemberId:
        """The name and the generation."""
        return (self.name, self.generation)

    @property
    def is_over(self) -> bool:
        """Whether this generation has ended for good: it left, or was taken down."""
        return self.status >= Status.LEFT

    @property
    def is_present(self) -> bool:
        """Whether it takes part: alive, or suspected and not yet given up."""
        return self.status <= Status.SUSPECT

    def become(self, status: Status, reason: str = "") -> Member:
        """Return the same record with another status.  reason: see the class."""
        return Member(
            self.name, self.endpoint, self.generation, self.incarnation, status, self.metadata, self.versions, reason
        )  # fmt: skip  replace() of msgspec takes four times as long

    def next_incarnation(self, above: int, metadata: bytes | None = None) -> Member:
        """Return this record, alive, with an incarnation larger than its own and than ``above``.

        metadata: None keeps what it has.
        """
        incarnation = max(self.incarnation, above) + 1
        kept = self.metadata if metadata is None else metadata
        return Member(self.name, self.endpoint, self.generation, incarnation, Status.ALIVE, kept, self.versions)


class Accusation(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """A node suspects a member, or with ``dead`` has given it up.  A short form: it carries no metadata.

    generation, incarnation: of the record that is accused; a record with a larger incarnation is not affected.
    by: the name of the accuser.
    """

    name: str
    generation: int
    incarnation: int
    by: str
    dead: bool = False

    @property
    def id(self) -> MemberId:
        """The name and the generation of the accused."""
        return (self.name, self.generation)


Update: TypeAlias = Member | Accusation
"""What can be piggybacked on a packet."""

Records: TypeAlias = Mapping[MemberId, Member]
"""Members by name and generation."""


def supersedes(new: Member, old: Member) -> bool:
    """Return whether ``new`` has the higher version of the same name and generation."""
    if new.is_over != old.is_over:
        return new.is_over
    if new.incarnation != old.incarnation:
        return new.incarnation > old.incarnation
    if new.status is not old.status:
        return new.status > old.status
    return (new.endpoint, new.metadata, new.versions, new.reason) > (
        old.endpoint, old.metadata, old.versions, old.reason
    )  # fmt: skip


def merge(one: Records, other: Records) -> dict[MemberId, Member]:
    """Return what a node knows that has received both: of each generation the record with the higher version."""
    merged = dict(one)
    for key, record in other.items():
        known = merged.get(key)
        if known is None or (known is not record and supersedes(record, known)):
            merged[key] = record
    return merged


def holder_rank(record: Member) -> tuple[bool, bool, str, int]:
    """Return the key by which the holder of a name is the smallest of its generations.

    Members that are not over come first, and of these the present ones.  Two that are both present are a conflict,
    which ``view`` resolves; until then all views that know both show the one with the lower endpoint, or the one that
    they have shown so far where the endpoints are equal.  Among generations that are over the number decides, so that
    equal views show the same one.
    """
    return (record.is_over, not record.is_present, record.endpoint, record.generation if record.is_over else 0)
