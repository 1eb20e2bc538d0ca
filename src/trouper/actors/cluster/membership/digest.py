"""``ViewDigest``: what a view comes to, in as many bytes for ten members as for ten thousand (PURE).

Records fall into ``BUCKETS`` by a hash of their names.  A bucket is the exclusive or of the 64-bit hashes of its
records, so that each change costs two hashes and nothing is ever counted anew (the incremental hashing of sets by
Bellare and Micciancio, EUROCRYPT 1997, XHASH).  Two views with equal digests are taken to be equal: by chance it is
wrong once in 2**64.  It is no defence against members that make up records to collide: whoever can do that is
authenticated and could as well stay silent; all that a digest ever does is to begin an exchange or to save one.

Hashes are BLAKE2b of msgpack, the same in every process; versions whose records differ in form only exchange more.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

import msgspec

from .records import Member

BUCKETS = 32
"""A difference in one record makes about one in so many travel; a power of two up to 256."""
ALL_BUCKETS = (1 << BUCKETS) - 1
"""A bit for each bucket."""
HASH_BYTES = 8
REMEMBERED_MAX = 16_384
"""Hashes that are kept in a process: records are shared and compared again and again."""


@lru_cache(REMEMBERED_MAX)
def bucket_of(name: str) -> int:
    """The bucket that the record of a member falls into, whatever it says."""
    return blake2b(name.encode(), digest_size=1).digest()[0] % BUCKETS


@lru_cache(REMEMBERED_MAX)
def record_hash(record: Member) -> int:
    """64 bits for all that a record says: name, endpoint, life, refutation, status, metadata, versions."""
    return int.from_bytes(blake2b(msgspec.msgpack.encode(record), digest_size=HASH_BYTES).digest(), "big")


class ViewDigest:
    """The digest of one node's view, kept up with each change.  count: its records."""

    __slots__ = ("_buckets", "count")

    def __init__(self) -> None:
        self._buckets = [0] * BUCKETS
        self.count = 0

    def replace(self, before: Member | None, after: Member | None) -> None:
        """A record of the view has come, has given way to another of its name, or is forgotten."""
        if before is not None:
            self._buckets[bucket_of(before.name)] ^= record_hash(before)
            self.count -= 1
        if after is not None:
            self._buckets[bucket_of(after.name)] ^= record_hash(after)
            self.count += 1

    def encoded(self) -> bytes:
        """The buckets, ``HASH_BYTES`` for each."""
        return b"".join([bucket.to_bytes(HASH_BYTES, "big") for bucket in self._buckets])

    def differing(self, count: int, buckets: bytes) -> int:
        """A bit for each bucket that is not as in another's digest; all of them where it makes no sense."""
        own = self.encoded()
        if own == buckets:
            return 0 if count == self.count else ALL_BUCKETS
        if len(own) != len(buckets):
            return ALL_BUCKETS
        starts = range(0, len(own), HASH_BYTES)
        return sum(
            1 << place
            for place, start in enumerate(starts)
            if own[start : start + HASH_BYTES] != buckets[start : start + HASH_BYTES]
        )
