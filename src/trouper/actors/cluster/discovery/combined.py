"""Several ways to find nodes as one: all are asked at once, and what any of them finds counts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from .addresses import gather
from .port import Discovery, DiscoveryFailed, DiscoveryLimits, DiscoveryMissing


class CombinedDiscovery:
    """Several discoveries as one: their endpoints, in their order.  Implements ``Discovery``.

    When some of them fail, ``DiscoveryFailed`` names every failure and carries what the others found.
    """

    def __init__(self, discoveries: Sequence[Discovery], *, limits: DiscoveryLimits | None = None) -> None:
        self._discoveries = tuple(discoveries)
        self._limits = limits or DiscoveryLimits()

    async def find(self) -> Sequence[str]:
        """Query all of them at once; raises ``DiscoveryFailed`` when any failed."""
        results = await asyncio.gather(*map(_outcome, self._discoveries))
        found = gather((endpoint for endpoints, _ in results for endpoint in endpoints), self._limits.endpoints_max)
        problems = [problem for _, problem in results if problem]
        if problems:
            raise DiscoveryFailed("; ".join(problems), found)
        return found

    def describe(self) -> str:
        """Return the descriptions of all of them."""
        return "; ".join(each.describe() for each in self._discoveries)


async def _outcome(discovery: Discovery) -> tuple[Sequence[str], str]:
    try:
        return await discovery.find(), ""
    except DiscoveryFailed as error:
        return error.endpoints, str(error)
    except DiscoveryMissing as error:
        return (), str(error)
