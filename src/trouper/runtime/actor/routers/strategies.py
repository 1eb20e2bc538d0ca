"""Routing strategies: which routee gets a message (PURE).

A strategy is a value without state; its ``make_picker`` returns the picker of one router, which holds the state.  A
picker is called with the message and the routees, a tuple that is never empty and is replaced at each change.

Costs for N routees: round robin and random O(1); least mailbox O(N), but O(1) when the next routee is idle; consistent
hash O(log N), and O(N log N) at each change.  The hash ring is that of Karger et al., "Consistent Hashing and Random
Trees" (1997).
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Generic, Protocol, TypeVar

from ...kernel.errors import InvalidOption

T = TypeVar("T")
Picker = Callable[[object, tuple[T, ...]], T]
Key = Callable[[Any], str | bytes | int]  # Any: a key function is written for the user's own message classes

RING_POINTS = 100
"""Points of each routee on the ring; more points spread keys more evenly."""


@dataclass(frozen=True, slots=True)
class RoutingContext(Generic[T]):
    """The functions that a strategy may use.

    random: returns a random number in [0, 1).  queued: the messages that a routee has to handle; 0 is idle.
    label: the name of a routee, which is the same for its successor after a restart of the router.
    """

    random: Callable[[], float]
    queued: Callable[[T], int]
    label: Callable[[T], str]


class Routing(Protocol):
    """The interface of a strategy that chooses one routee for each message."""

    def make_picker(self, context: RoutingContext[T]) -> Picker[T]:
        """Return a function ``(message, routees) -> routee`` for one router."""
        ...


@dataclass(frozen=True, slots=True)
class RoundRobin:
    """One routee after the other: of N consecutive messages each of N routees gets one."""

    def make_picker(self, context: RoutingContext[T]) -> Picker[T]:  # noqa: ARG002  every strategy is begun alike
        """Make the picker of one router."""
        turn = itertools.count().__next__
        return lambda message, routees: routees[turn() % len(routees)]  # noqa: ARG005  every picker is called alike


@dataclass(frozen=True, slots=True)
class RandomChoice:
    """A random routee, drawn from the node's seed."""

    def make_picker(self, context: RoutingContext[T]) -> Picker[T]:
        """Make the picker of one router."""
        random = context.random
        return lambda message, routees: routees[int(random() * len(routees))]  # noqa: ARG005  as above


@dataclass(frozen=True, slots=True)
class LeastMailbox:
    """The routee with the fewest queued messages; equal ones take turns."""

    def make_picker(self, context: RoutingContext[T]) -> Picker[T]:
        """Make the picker of one router."""
        turn, queued = itertools.count().__next__, context.queued

        def pick(message: object, routees: tuple[T, ...]) -> T:  # noqa: ARG001  every picker is called alike
            count, first = len(routees), turn()
            best = routees[first % count]
            least = queued(best)
            for place in range(first + 1, first + count):
                if not least:
                    break
                other = routees[place % count]
                load = queued(other)
                if load < least:
                    best, least = other, load
            return best

        return pick


@dataclass(frozen=True, slots=True)
class ConsistentHash:
    """The same routee for the same key while it exists; a change of one routee among N moves about 1/N of the keys.

    key: a function from the message to str, bytes or int, with the same result in every process.
    points: of each routee on the hash ring.  Raises ``InvalidOption`` for less than 1 point.
    """

    key: Key
    points: int = RING_POINTS

    def __post_init__(self) -> None:
        if self.points < 1:
            raise InvalidOption(f"points={self.points} must be 1 or more")

    def make_picker(self, context: RoutingContext[T]) -> Picker[T]:
        """Make the picker of one router."""
        ring = HashRing(context.label, self.points)
        key = self.key
        return lambda message, routees: ring.owner(key(message), routees)


class HashRing(Generic[T]):
    """The ring of a consistent hash: each owner has several points; a key belongs to the owner of the next point."""

    def __init__(self, label: Callable[[T], str], points: int) -> None:
        self._label, self._points = label, points
        self._seen: tuple[T, ...] = ()
        self._positions: list[int] = []
        self._owners: list[T] = []

    def owner(self, key: str | bytes | int, owners: tuple[T, ...]) -> T:
        """Return the owner of a key; the ring is rebuilt only when ``owners`` is another tuple than before."""
        if owners is not self._seen:
            self._lay_out(owners)
        place = bisect_right(self._positions, _position(_key_bytes(key)))
        return self._owners[place if place < len(self._owners) else 0]

    def _lay_out(self, owners: tuple[T, ...]) -> None:
        laid = sorted(
            (
                (_position(f"{point} {self._label(owner)}".encode()), place)
                for place, owner in enumerate(owners)
                for point in range(self._points)
            ),
        )
        self._positions = [position for position, _ in laid]
        self._owners = [owners[place] for _, place in laid]
        self._seen = owners


def _position(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest())


def _key_bytes(key: str | bytes | int) -> bytes:
    if isinstance(key, str):
        return key.encode()
    if isinstance(key, bytes):
        return key
    if isinstance(key, int):  # pyright: ignore[reportUnnecessaryIsInstance]  a key function is the user's
        return b"%d" % key
    raise TypeError(f"the key {key!r} is a {type(key).__name__}: return str, bytes or int")


@dataclass(frozen=True, slots=True)
class Broadcast:
    """All routees.  An ask is answered when all have replied, with the first routee's reply; one failure fails it."""


@dataclass(frozen=True, slots=True)
class ScatterGatherFirst:
    """All routees.  The first reply answers an ask and cancels the others; it fails when all have failed."""
