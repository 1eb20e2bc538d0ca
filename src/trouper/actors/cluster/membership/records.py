"""``Member``: what is known of a node, and the order among such records that every node agrees on (PURE).

A record's *version* is its life, then whether it is over, then its refutation, then its status.  Of two records of one
name the one with the higher version holds; where all that is equal the rest decides by its bytes.  So records of a
name are totally ordered, ``merge`` takes the larger one of each name, and that is commutative, associative and
idempotent: views that have heard the same come out the same, in whatever order they heard it.

life: of the node's process, given by its shell; any later life of a name is larger, whatever became of earlier ones.
refutation: SWIM's incarnation, counted by the member alone, from 0 in each life; each answer to a suspicion and each
    new metadata takes the next one.
Left and down are final: no refutation undoes them, only another life.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import TypeAlias

import msgspec


class Status(IntEnum):
    """What a member is held to be.  Of two records that are otherwise equal the later one of these wins."""

    ALIVE = 0
    SUSPECT = 1
    UNREACHABLE = 2
    LEFT = 3
    DOWN = 4


class Member(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """A node as the cluster knows it; also how one node tells another of it.

    name: unique in the cluster.  endpoint: where it listens.  life, refutation: see the top of the file.
    metadata: bytes that the membership carries and does not read.  versions: of the protocol, least and most.
    """

    name: str
    endpoint: str
    life: int
    refutation: int = 0
    status: Status = Status.ALIVE
    metadata: bytes = b""
    versions: tuple[int, int] = (1, 1)

    @property
    def is_over(self) -> bool:
        """Whether this life of the member has ended for good: it left, or was taken down."""
        return self.status >= Status.LEFT

    @property
    def is_present(self) -> bool:
        """Whether it takes part: alive, or suspected and not yet given up."""
        return self.status <= Status.SUSPECT

    def become(self, status: Status) -> Member:
        """The same record with another status."""
        return Member(
            self.name, self.endpoint, self.life, self.refutation, status, self.metadata, self.versions
        )  # fmt: skip  replace() of msgspec takes four times as long


class Accusation(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """Somebody suspects a member, or, with ``dead``, has given it up.  A short form: it carries no metadata.

    life, refutation: of the record that is accused; a later one is not touched.  by: the name of the accuser.
    """

    name: str
    life: int
    refutation: int
    by: str
    dead: bool = False


Update: TypeAlias = Member | Accusation
"""What can ride on a packet."""

Records: TypeAlias = Mapping[str, Member]
"""Members by their names."""


def supersedes(new: Member, old: Member) -> bool:
    """Whether ``new`` has the higher version of the same name."""
    if new.life != old.life:
        return new.life > old.life
    if new.is_over != old.is_over:
        return new.is_over
    if new.refutation != old.refutation:
        return new.refutation > old.refutation
    if new.status is not old.status:
        return new.status > old.status
    return (new.endpoint, new.metadata, new.versions) > (old.endpoint, old.metadata, old.versions)


def merge(one: Records, other: Records) -> dict[str, Member]:
    """What somebody knows who has heard both views: of each name the record with the higher version."""
    merged = dict(one)
    for name, record in other.items():
        known = merged.get(name)
        if known is None or (known is not record and supersedes(record, known)):
            merged[name] = record
    return merged
