"""The ``Discovery`` port: one way in which a node finds endpoints of other nodes.

A discovery finds *endpoints*, texts such as ``tcp://10.0.0.5:7400``; it does not dial, does not authenticate and does
not know who belongs to the cluster.  What it finds is a hint from a source that may be wrong, old or hostile: links
are authenticated when they are dialled, and ``seeking`` decides when to dial and when to ask again.

Laws of this file, for every discovery:
1. **An answer or an error.**  ``find`` returns endpoints, or raises ``DiscoveryFailed``.  No endpoint at all is an
   answer: the first node of a cluster finds nobody.
2. **Bounded.**  It ends within ``DiscoveryLimits.timeout_s``, reads at most ``text_bytes_max`` and returns at most
   ``endpoints_max``, whatever the other side says.
3. **Every call looks again.**  Nothing is remembered that the source does not say any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ....runtime.kernel.errors import ActorError, CallerError, InvalidOption


class DiscoveryInvalid(CallerError, ValueError):
    """A text for ``join``, or a setting of a discovery, that cannot be used; says what is expected."""


class DiscoveryMissing(CallerError, ImportError):
    """The package that this way of finding nodes needs is not installed; names the extra that brings it."""


class DiscoveryFailed(ActorError):
    """The source did not answer, or its answer cannot be used in full; asking again later may help.

    ``endpoints`` holds what was found all the same: the good lines of a file, the answers of the other sources.
    """

    def __init__(self, problem: str, endpoints: Sequence[str] = ()) -> None:
        super().__init__(problem)
        self.endpoints = tuple(endpoints)


@dataclass(frozen=True, slots=True)
class DiscoveryLimits:
    """What one ``find`` takes at most.

    timeout_s: until it must have ended.  text_bytes_max: of a file, or of an answer.  endpoints_max: returned; the
        first ones are taken and the rest left out, since any of them leads to the whole cluster.
    """

    timeout_s: float = 5.0
    text_bytes_max: int = 262_144
    endpoints_max: int = 1_000

    def __post_init__(self) -> None:
        if not self.timeout_s > 0 or min(self.text_bytes_max, self.endpoints_max) < 1:
            raise InvalidOption(f"{self}: timeout_s must be above 0, text_bytes_max and endpoints_max 1 or more")


class Discovery(Protocol):
    """One way to find nodes.  It is made without touching anything; only ``find`` looks."""

    async def find(self) -> Sequence[str]:
        """Return the endpoints that the source names now, each of them once; may be empty, and may name this node.

        Raises ``DiscoveryFailed``; ``DiscoveryMissing`` when a package is not installed.
        """
        ...

    def describe(self) -> str:
        """Return what is asked, for people, such as ``the file /etc/trouper/seeds``; never holds a secret."""
        ...
