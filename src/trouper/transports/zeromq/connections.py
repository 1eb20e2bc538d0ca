"""``UnverifiedConnections``: which connections of a listener have not shown yet that they are a peer's (PURE).

ZeroMQ reports by descriptor which connection has begun and which has ended, but neither whose handshake has succeeded
nor whose has failed, and of some failures it reports nothing.  Its one thread for all connections reports a failed
handshake directly before the end of that connection; and when as many handshakes have succeeded as were under way, they
are these.  A frame that was received names the descriptor of its connection, which thereby is verified.  Where two are
under way at once, one of them fails without a report and the other one ends too, the one may be counted for the other.

At most ``unverified_max`` connections are unverified, and ``connections_max`` open.  Above this an unverified one is
dropped: the oldest of the source that has most of them.  So a source of many connections displaces its own, a peer that
completes its handshake in time is not displaced by slower ones, and no verified connection ever is.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple


class FailedHandshake(NamedTuple):
    """address: of the host that tried.  reason: in words; empty when it has been logged."""

    address: str
    reason: str


class UnverifiedConnections:
    """The connections of one listener.  unverified_max, connections_max: None for no limit."""

    def __init__(self, unverified_max: int | None, connections_max: int | None) -> None:
        self._unverified_max, self._connections_max = unverified_max, connections_max
        self._open: dict[int, str] = {}
        self._verified_of: Counter[str] = Counter()
        self._unverified: dict[int, tuple[str, str]] = {}
        self._of_source: Counter[str] = Counter()
        self._dropped: set[int] = set()
        self._early: set[int] = set()
        """Connections over which a frame came before the success of their handshake was reported."""
        self._succeeded = self._refused = 0
        self._failure = ""

    def __len__(self) -> int:
        """How many connections are open and unverified."""
        return len(self._unverified)

    def accepted(self, descriptor: int, address: str, source: str) -> tuple[int, str] | None:
        """A connection was accepted; returns the descriptor and the address of one that is to be dropped for it.

        source: what has its share of the connections, such as a network of addresses.
        """
        self._forget(descriptor)
        self._open[descriptor] = source
        self._unverified[descriptor] = address, source
        self._of_source[source] += 1
        counts = ((len(self._unverified), self._unverified_max), (len(self._open), self._connections_max))
        return self.drop_one() if any(most is not None and count > most for count, most in counts) else None

    def has_verified(self, source: str) -> bool:
        """Whether a verified connection of this source is open."""
        return source in self._verified_of

    def drop_one(self) -> tuple[int, str] | None:
        """Return the descriptor and the address of an unverified connection that is to be dropped; None for none."""
        if not self._unverified:
            return None
        most = max(self._of_source.values())
        descriptor = next(each for each, (_, source) in self._unverified.items() if self._of_source[source] == most)
        address, _ = self._unverified[descriptor]
        self._forget(descriptor)
        self._dropped.add(descriptor)
        return descriptor, address

    def succeeded(self) -> None:
        """The handshake of a connection has succeeded."""
        if self._early:
            self._early.pop()  # it is the success of one that is verified, and of no other
            return
        self._succeeded += 1
        self._settle()

    def received(self, descriptor: int) -> None:
        """A frame came over a connection."""
        if descriptor in self._unverified:
            if self._succeeded:
                self._succeeded -= 1
            else:
                self._early.add(descriptor)
            self._verified_of[self._unverified[descriptor][1]] += 1
            self._forget(descriptor)

    def failed(self, reason: str) -> None:
        """The handshake of the connection that ends next has failed."""
        self._failure = reason

    def refused(self) -> None:
        """The authenticator has refused a connection, and has logged it."""
        self._refused += 1

    def ended(self, descriptor: int) -> FailedHandshake | None:
        """A connection has ended; returns what is to be logged of its handshake."""
        source = self._open.pop(descriptor, "")
        self._early.discard(descriptor)
        failure, self._failure = self._failure, ""
        address, _ = self._unverified.get(descriptor, ("", ""))
        was_unverified = self._forget(descriptor)
        if descriptor in self._dropped:
            self._dropped.discard(descriptor)
        elif was_unverified and failure:
            return FailedHandshake(address, failure)
        elif was_unverified and self._refused:
            self._refused -= 1
            return FailedHandshake(address, "")
        elif was_unverified and self._succeeded:
            self._succeeded -= 1
        elif was_unverified:
            return FailedHandshake(address, "it does not speak this protocol")
        elif self._verified_of[source] > 1:
            self._verified_of[source] -= 1
        else:
            del self._verified_of[source]
        self._settle()
        return None

    def _settle(self) -> None:
        if self._succeeded >= len(self._unverified):
            self._verified_of.update(source for _, source in self._unverified.values())
            self._unverified.clear()
            self._of_source.clear()
            self._succeeded = self._refused = 0

    def _forget(self, descriptor: int) -> bool:
        found = self._unverified.pop(descriptor, None)
        if found is None:
            return False
        self._of_source[found[1]] -= 1
        if not self._of_source[found[1]]:
            del self._of_source[found[1]]
        return True
