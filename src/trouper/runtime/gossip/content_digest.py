"""``ContentDigest``: a short digest of a set of rows, which each added or removed row changes in a few steps (PURE).

Two nodes with the same rows have the same digest, in whichever order the rows came.  It is MuHash: each row is hashed
to a number, and the numbers are multiplied modulo a prime (Bellare and Micciancio, "A new paradigm for collision-free
hashing", 1997).  To find other rows with the same digest is as hard as a discrete logarithm in a field of 521 bits.
"""

from __future__ import annotations

import hashlib
from typing import cast

import msgspec

from ..kernel.ref import ActorRef
from ..session.codecs import Encoded, encoded

PRIME = 2**521 - 1
DIGEST_BYTES = 16


class ContentDigest:
    """The digest of the rows that were added and not removed, each as the bytes of ``row_bytes``."""

    __slots__ = ("_added", "_removed")

    def __init__(self) -> None:
        self._added = self._removed = 1

    def add(self, row: bytes) -> None:
        """Add a row."""
        self._added = self._added * _number(row) % PRIME

    def remove(self, row: bytes) -> None:
        """Remove a row that was added."""
        self._removed = self._removed * _number(row) % PRIME

    def value(self) -> bytes:
        """Return the digest of the present rows."""
        product = self._added * pow(self._removed, -1, PRIME) % PRIME
        return hashlib.blake2b(product.to_bytes(66, "big"), digest_size=DIGEST_BYTES).digest()


def row_bytes(key: object, value: object) -> bytes:
    """Return a row in the form that is the same on all nodes; raises ``TypeError`` for a value that cannot travel."""
    return _encoder.encode((key, value))


def row_digest(row: bytes | msgspec.Raw) -> bytes:
    """Return a short digest that tells rows apart, of any bytes that do."""
    return hashlib.blake2b(row, digest_size=DIGEST_BYTES).digest()


def _number(row: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(row).digest(), "big") + 1


def _stand_in(value: object) -> object:
    if isinstance(value, ActorRef):
        return str(value.address)
    found = value if type(value) is Encoded else encoded(value)
    if found is None:
        raise TypeError(f"a {type(value).__qualname__} cannot travel")
    return cast("object", (found.tag, found.payload))


_encoder = msgspec.msgpack.Encoder(enc_hook=_stand_in)
