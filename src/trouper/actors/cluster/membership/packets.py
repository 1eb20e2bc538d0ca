"""The packets that the memberships of two nodes exchange (PURE).

Plain structs: a Trouper message carries one in a field of type ``Packet``.  Every packet names the cluster; a packet of
another cluster is dropped.  Sizes are computed without encoding: each is at least the number of bytes in msgpack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from .digest import ALL_BUCKETS
from .records import Member, Update

TEXT_BYTES_MAX = 255
"""The most bytes of a name, an endpoint, or the name of a cluster, in UTF-8; the sizes below rely on it."""
REASON_BYTES_MAX = 200
"""The most bytes of the reason in a record, in UTF-8; a longer one is cut."""

RefusalReason = Literal["cluster", "name", "full", "over"]


class Ping(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """A probe; the target answers with an ``Ack`` of the same sequence.

    source, endpoint: the sender's name, and where the answer goes.  target: the name of the member that is probed; a
        node with another name does not answer.
    by_stream: whether it was sent reliably; then the answer is too.
    """

    cluster: str
    source: str
    endpoint: str
    target: str
    sequence: int
    updates: tuple[Update, ...] = ()
    by_stream: bool = False


class Ack(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """The answer to the ping, or the indirect ping, of this sequence."""

    cluster: str
    source: str
    sequence: int
    updates: tuple[Update, ...] = ()


class Nack(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """A helper's word that it has pinged the target and has no answer yet (Lifeguard)."""

    cluster: str
    source: str
    sequence: int


class IndirectPing(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    """A request to ping the target in the sender's place and to pass its answer on."""

    cluster: str
    source: str
    endpoint: str
    target: str
    target_endpoint: str
    sequence: int
    updates: tuple[Update, ...] = ()


class Gossip(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=5):
    """Updates and nothing else."""

    cluster: str
    source: str
    updates: tuple[Update, ...]


class Sync(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=6):
    """The sender's view, or the buckets of it that differ, in parts when it is large; sent reliably.

    generation: of the source.  joining: whether the source asks to be admitted.  reply: whether this answers another
        ``Sync``; the last part of one that is no reply is answered by a reply.  more: whether another part follows.
    buckets: one bit for each bucket that the records belong to; the answer holds records of the same buckets.
    """

    cluster: str
    source: str
    endpoint: str
    generation: int
    records: tuple[Member, ...]
    joining: bool = False
    reply: bool = False
    more: bool = False
    buckets: int = ALL_BUCKETS


class Refusal(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=7):
    """The sender does not admit the node that asked.

    reason: ``cluster`` (the sender is of another one), ``name`` (a living member has it), ``full``, ``over`` (this
        generation has left or was taken down).  text: one sentence for people.
    """

    cluster: str
    source: str
    reason: RefusalReason
    text: str


class Digest(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=8):
    """The digest of the sender's view; a receiver whose view differs answers with a ``Sync`` of the differing buckets.

    count: the number of records.  buckets: their hashes, as ``ViewDigest.encoded`` returns them.
    """

    cluster: str
    source: str
    endpoint: str
    count: int
    buckets: bytes


Packet: TypeAlias = Ping | Ack | Nack | IndirectPing | Gossip | Sync | Refusal | Digest

_NUMBER = 9
"""The bytes of the largest integer in msgpack."""
_LARGE = 5
"""The bytes before a long text, array or blob in msgpack."""


def text_bytes(text: str) -> int:
    """Return the bytes of a text in UTF-8, with those of the length before it."""
    return 5 + (len(text) if text.isascii() else len(text.encode()))


def update_bytes(update: Update) -> int:
    """Return at least the bytes of an update in a packet."""
    if isinstance(update, Member):
        fixed = 5 + 2 * _NUMBER + 2 * _NUMBER + 3
        texts = text_bytes(update.name) + text_bytes(update.endpoint) + text_bytes(update.reason)
        return fixed + texts + _LARGE + len(update.metadata)
    return 5 + 2 * _NUMBER + text_bytes(update.name) + text_bytes(update.by)


def packet_bytes(packet: Packet) -> int:
    """Return at least the bytes of a packet in msgpack."""
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
