"""``ViewDigest``: a digest of a view whose size does not depend on the number of members (PURE).

Records fall into ``BUCKETS`` buckets by a hash of their names.  A bucket is the exclusive or of the 64-bit hashes of
its records, so each change costs two hashes and nothing is ever recomputed (the incremental hashing of sets by Bellare
and Micciancio, EUROCRYPT 1997, XHASH).  Two views with equal digests are taken to be equal; by chance that is wrong
once in 2**64.  The digest is no defence against members that craft colliding records: such a member is authenticated
and could as well stay silent, and all that a digest does is to start an exchange or to save one.

Hashes are BLAKE2b of msgpack, the same in every process.  Versions whose records differ in form only exchange more.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

import msgspec

from .records import Member

BUCKETS = 32
"""A difference in one record makes about one record in so many travel; a power of two up to 256."""
ALL_BUCKETS = (1 << BUCKETS) - 1
"""One bit for each bucket."""
HASH_BYTES = 8
CACHED_MAX = 16_384
"""Hashes that a process caches: records are shared and compared again and again."""


@lru_cache(CACHED_MAX)
def bucket_of(name: str) -> int:
    """Return the bucket of all records of a name."""
    return blake2b(name.encode(), digest_size=1).digest()[0] % BUCKETS


@lru_cache(CACHED_MAX)
def record_hash(record: Member) -> int:
    """Return 64 bits over all fields of a record."""
    return int.from_bytes(blake2b(msgspec.msgpack.encode(record), digest_size=HASH_BYTES).digest(), "big")


class ViewDigest:
    """The digest of one node's view, updated with each change.  count: the number of its records."""

    __slots__ = ("_buckets", "count")

    def __init__(self) -> None:
        self._buckets = [0] * BUCKETS
        self.count = 0

    def replace(self, before: Member | None, after: Member | None) -> None:
        """Update the digest: a record was added (no ``before``), replaced, or removed (no ``after``)."""
        if before is not None:
            self._buckets[bucket_of(before.name)] ^= record_hash(before)
            self.count -= 1
        if after is not None:
            self._buckets[bucket_of(after.name)] ^= record_hash(after)
            self.count += 1

    def encoded(self) -> bytes:
        """Return the buckets, ``HASH_BYTES`` for each."""
        return b"".join([bucket.to_bytes(HASH_BYTES, "big") for bucket in self._buckets])

    def differing(self, count: int, buckets: bytes) -> int:
        """Return one bit for each bucket that differs from another view's digest.

        All bits are set where the other digest has another length, or equal buckets and another count.
        """
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
