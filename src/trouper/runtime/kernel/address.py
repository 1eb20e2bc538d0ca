"""Addresses and node ids.

An address, ``trouper://NODE/user/bank/ada#17``, says where an actor is; sending needs an ``ActorRef``.  The uid tells
one actor from a later one of the same path.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from .errors import InvalidName

NAME_CHARS_MAX = 200
GENERATION_BITS = 64
_NAME = re.compile(r"[A-Za-z0-9_.@+~:=,-]+")
_ADDRESS = re.compile(r"trouper://(?P<node>[^/#]+)/(?P<path>[^#]*)#(?P<uid>\d+)")


class NodeId(NamedTuple):
    """The identity of a node: its name, and the generation that tells one start of it from all others.

    generation: 64 random bits, as of ``random_generation``.  Two generations are equal or different; none is older or
        newer than another.
    """

    name: str
    generation: int

    def stable_hash(self) -> int:
        """Return a hash that is the same in every process, so that sets of refs have one order in all simulations."""
        return zlib.crc32(f"{self.name}/{self.generation}".encode())


def random_generation(random_bits: Callable[[int], int]) -> int:
    """Return the generation of a node that starts now.

    random_bits: returns so many random bits; the operating system's, or those of a simulation.
    It is never 0, which stands for a generation that is not known.  No clock is read: a node may come back while its
    clock is years off, or twice within one reading of it.
    """
    generation = 0
    while not generation:
        generation = random_bits(GENERATION_BITS)
    return generation


class Address(msgspec.Struct, frozen=True):
    """Node name, path (``user/bank/ada``, no leading slash) and uid (unique within one generation of the node)."""

    node: str
    path: str
    uid: int

    def __str__(self) -> str:
        return f"trouper://{self.node}/{self.path}#{self.uid}"


def parse_address(text: str) -> Address:
    """Read an address from its text; raises ``InvalidName`` when the text is none."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise InvalidName(f"{text!r} is no address: expected trouper://NODE/PATH#UID")
    return Address(found["node"], found["path"], int(found["uid"]))


def checked_name(name: str) -> str:
    """Return the name; raises ``InvalidName`` when an address cannot contain it."""
    if not _NAME.fullmatch(name):
        raise InvalidName(f"the name {name!r} cannot be used: take 1 or more of the characters A-Z a-z 0-9 _.@+~:=,-")
    if len(name) > NAME_CHARS_MAX:
        raise InvalidName(f"the name {name[:20]!r}... has {len(name)} characters; at most {NAME_CHARS_MAX} are allowed")
    return name
