"""Discovery by a fixed list of seeds: ``join=["tcp://10.0.0.5:7400", ...]``."""

from __future__ import annotations

from collections.abc import Sequence

from .addresses import gather, read_endpoint
from .port import DiscoveryLimits

SHOWN_MAX = 3
"""The most seeds that ``describe`` names."""


class StaticDiscovery:
    """The same endpoints at each call.  Implements ``Discovery``.

    endpoints: the seeds; raises ``DiscoveryInvalid`` for one that cannot be dialled.
    """

    def __init__(self, endpoints: Sequence[str], *, limits: DiscoveryLimits | None = None) -> None:
        checked = (read_endpoint(endpoint) for endpoint in endpoints)
        self._endpoints = gather(checked, (limits or DiscoveryLimits()).endpoints_max)

    async def find(self) -> Sequence[str]:
        """Return the seeds."""
        return self._endpoints

    def describe(self) -> str:
        """Return the first seeds, and the number of the others."""
        more = len(self._endpoints) - SHOWN_MAX
        named = ", ".join(self._endpoints[:SHOWN_MAX])
        return f"the seeds {named} and {more} more" if more > 0 else f"the seeds {named or '(none)'}"
