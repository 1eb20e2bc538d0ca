"""The protocol ``Discovery``: a source of endpoints of other nodes.

A discovery finds *endpoints*, texts such as ``tcp://10.0.0.5:7400``; it does not dial or authenticate, and does not
know the members of the cluster.  What it finds is a hint that may be wrong, old or hostile: sessions are authenticated
when they are dialled, and ``DiscoveryLoop`` decides when to dial and when to query again.

Laws of this file, for every discovery:
1. **An answer or an error.**  ``find`` returns endpoints, or raises ``DiscoveryFailed``.  No endpoint at all is an
   answer: the first node of a cluster finds no other.
2. **Bounded.**  It ends within ``DiscoveryLimits.timeout_s``, reads at most ``text_bytes_max`` and returns at most
   ``endpoints_max``, whatever the source sends.
3. **No cache.**  Every call queries the source again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .... import ActorError, CallerError, InvalidOption


class DiscoveryInvalid(CallerError, ValueError):
    """A text of ``join``, or a setting of a discovery, is invalid; the message says what is expected."""


class DiscoveryMissing(CallerError, ImportError):
    """The package that a discovery needs is not installed; the message names the extra to install."""


class DiscoveryFailed(ActorError):
    """The source did not answer, or its answer is invalid in part; a later query may succeed.

    endpoints: what was found nevertheless: the good lines of a file, the answers of the other sources.
    """

    def __init__(self, problem: str, endpoints: Sequence[str] = ()) -> None:
        super().__init__(problem)
        self.endpoints = tuple(endpoints)


@dataclass(frozen=True, slots=True)
class DiscoveryLimits:
    """The limits of one ``find``.

    timeout_s: until it ends.  text_bytes_max: the largest file or answer.  endpoints_max: the most endpoints returned:
        the first ones, since any of them leads to the whole cluster.
    """

    timeout_s: float = 5.0
    text_bytes_max: int = 262_144
    endpoints_max: int = 1_000

    def __post_init__(self) -> None:
        if not self.timeout_s > 0 or min(self.text_bytes_max, self.endpoints_max) < 1:
            raise InvalidOption(f"{self}: timeout_s must be above 0, text_bytes_max and endpoints_max 1 or more")


class Discovery(Protocol):
    """A source of endpoints.  Only ``find`` does I/O, not the constructor."""

    async def find(self) -> Sequence[str]:
        """Query the source and return its endpoints, each once; they may be empty, and may include this node.

        Raises ``DiscoveryFailed``, and ``DiscoveryMissing`` when a package is not installed.
        """
        ...

    def describe(self) -> str:
        """Return the source for people, such as ``the file /etc/trouper/seeds``; never a secret."""
        ...
