"""What the memberships of two nodes say to each other (PURE).

Plain structs: a Trouper message can carry one in a field of type ``Packet``.  Every packet names the cluster, and two
clusters never mix.  Sizes are computed, never by encoding: each is at least the bytes of msgpack, which tests hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from .digest import ALL_BUCKETS
from .records import Member, Update

TEXT_BYTES_MAX = 255
"""Of a name, an endpoint, and the name of a cluster, in UTF-8: what the sizes below count on."""

RefusalReason = Literal["cluster", "name", "full", "over"]


class Ping(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """Are you there?  Answered by an ``Ack`` of the same sequence.

    source, endpoint: who asks and where the answer goes.  target: who is meant; another node there stays silent.
    by_stream: whether it came by the reliable way, by which the answer goes too.
    """

    cluster: str
    source: str
    endpoint: str
    target: str
    sequence: int
    updates: tuple[Update, ...] = ()
    by_stream: bool = False


class Ack(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """Yes; to the ping, or the indirect ping, of this sequence."""

    cluster: str
    source: str
    sequence: int
    updates: tuple[Update, ...] = ()


class Nack(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """I am well and have asked for you, and heard nothing yet (Lifeguard)."""

    cluster: str
    source: str
    sequence: int


class IndirectPing(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    """Ping the target for me, and pass on what it says."""

    cluster: str
    source: str
    endpoint: str
    target: str
    target_endpoint: str
    sequence: int
    updates: tuple[Update, ...] = ()


class Gossip(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=5):
    """News only."""

    cluster: str
    source: str
    updates: tuple[Update, ...]


class Sync(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=6):
    """The sender's view, or the buckets of it that differ, in parts when it is large; by the reliable way.

    life: of the source.  joining: whether the source asks to be taken in.  reply: whether this is the answer to one;
        the last part of one that is no reply is answered by one.  more: whether another part follows.
    buckets: a bit for each bucket that the records are of, and the answer's records too; see ``digest``.
    """

    cluster: str
    source: str
    endpoint: str
    life: int
    records: tuple[Member, ...]
    joining: bool = False
    reply: bool = False
    more: bool = False
    buckets: int = ALL_BUCKETS


class Refusal(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=7):
    """You are not taken in.

    reason: ``cluster`` (this is another one), ``name`` (it is in use), ``full``, ``over`` (this life has left or was
        taken down; come back with another).  text: one sentence for people.
    """

    cluster: str
    source: str
    reason: RefusalReason
    text: str


class Digest(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=8):
    """What the sender's view comes to; whoever has another answers with a ``Sync`` of the buckets that differ.

    count: its records.  buckets: their hashes, see ``ViewDigest``.
    """

    cluster: str
    source: str
    endpoint: str
    count: int
    buckets: bytes


Packet: TypeAlias = Ping | Ack | Nack | IndirectPing | Gossip | Sync | Refusal | Digest

_NUMBER = 9
"""msgpack's bytes of the largest integer."""
_LARGE = 5
"""msgpack's bytes before a long text, array or blob."""


def text_bytes(text: str) -> int:
    """The bytes of a text in UTF-8, its length before it included."""
    return 5 + (len(text) if text.isascii() else len(text.encode()))


def update_bytes(update: Update) -> int:
    """No fewer than the bytes of an update in a packet."""
    if isinstance(update, Member):
        fixed = 5 + 2 * _NUMBER + 2 * _NUMBER + 3
        return fixed + text_bytes(update.name) + text_bytes(update.endpoint) + _LARGE + len(update.metadata)
    return 5 + 2 * _NUMBER + text_bytes(update.name) + text_bytes(update.by)


def packet_bytes(packet: Packet) -> int:
    """No fewer than the bytes of a packet in msgpack."""
    total = 4 + text_bytes(packet.cluster) + text_bytes(packet.source)
    if isinstance(packet, Nack):
        return total + _NUMBER
    if isinstance(packet, Refusal):
        return total + text_bytes(packet.reason) + text_bytes(packet.text)
    if isinstance(packet, Sync):
        total += text_bytes(packet.endpoint) + 2 * _NUMBER + 3
        return total + _LARGE + _sum(packet.records)
    if isinstance(packet, Digest):
        return total + text_bytes(packet.endpoint) + _NUMBER + _LARGE + len(packet.buckets)
    if isinstance(packet, Ping):
        total += text_bytes(packet.endpoint) + text_bytes(packet.target) + _NUMBER + 1
    elif isinstance(packet, IndirectPing):
        total += text_bytes(packet.endpoint) + text_bytes(packet.target) + text_bytes(packet.target_endpoint) + _NUMBER
    elif isinstance(packet, Ack):
        total += _NUMBER
    return total + _LARGE + _sum(packet.updates)


def _sum(updates: Sequence[Update]) -> int:
    return sum(map(update_bytes, updates)) if updates else 0
