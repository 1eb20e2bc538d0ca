"""``CheckedDiscovery``: holds a discovery of a user or a third party to the laws of ``port``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, cast

from .addresses import read_endpoint, shown
from .port import Discovery, DiscoveryFailed, DiscoveryInvalid, DiscoveryLimits, DiscoveryMissing

DESCRIPTION_CHARS_MAX: Final = 200
PROBLEMS_MAX: Final = 5
"""The most bad endpoints that one error names."""


class CheckedDiscovery:
    """A discovery that was not written here.  Implements ``Discovery``.

    ``find`` ends within ``limits.timeout_s``; whatever the discovery raises becomes ``DiscoveryFailed``; its endpoints
    are read one by one, the bad ones are reported, and the first ``limits.endpoints_max`` good ones are used.
    """

    def __init__(self, discovery: Discovery, limits: DiscoveryLimits) -> None:
        self._discovery, self._limits = discovery, limits

    async def find(self) -> Sequence[str]:
        """Query the discovery; raises ``DiscoveryFailed`` and ``DiscoveryMissing``."""
        limit = asyncio.timeout(self._limits.timeout_s)
        try:
            async with limit:
                found: object = await self._discovery.find()
            return self._read(found)
        except (DiscoveryFailed, DiscoveryMissing):
            raise
        except TimeoutError as error:
            text = f"no answer within {self._limits.timeout_s:g} s" if limit.expired() else f"TimeoutError: {error}"
            raise DiscoveryFailed(f"{self.describe()}: {text}") from error
        except Exception as error:
            raise DiscoveryFailed(f"{self.describe()}: {type(error).__name__}: {error}") from error

    def describe(self) -> str:
        """Return the description of the discovery, in one line; its class where it has none."""
        try:
            described: object = self._discovery.describe()
        except Exception as error:  # noqa: BLE001  the code of a third party may raise anything
            described = error
        if isinstance(described, str) and described.isprintable() and described:
            return described[:DESCRIPTION_CHARS_MAX]
        return f"the discovery {type(self._discovery).__qualname__}"

    def _read(self, found: object) -> Sequence[str]:
        if not isinstance(found, list | tuple | set | frozenset):
            raise DiscoveryFailed(f"{self.describe()}: expected a list of endpoints, got {type(found).__qualname__}")
        endpoints: dict[str, None] = {}
        problems: list[str] = []
        for each in cast("Sequence[object]", found):
            if len(endpoints) >= self._limits.endpoints_max:
                break
            try:
                endpoints[_endpoint(each)] = None
            except DiscoveryInvalid as error:
                problems.append(str(error))
        if problems:
            more = len(problems) - PROBLEMS_MAX
            text = "; ".join(problems[:PROBLEMS_MAX]) + (f" and {more} more" if more > 0 else "")
            raise DiscoveryFailed(f"{self.describe()}: {text}", tuple(endpoints))
        return tuple(endpoints)


def _endpoint(value: object) -> str:
    if not isinstance(value, str):
        raise DiscoveryInvalid(f"{shown(repr(value))} is not an endpoint: expected text")
    return read_endpoint(value)
