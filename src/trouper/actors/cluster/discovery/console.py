"""Another node's console as the way in: it answers with the endpoints of its cluster.

What is asked and answered stands in ``consolepage``.  The token goes in a header; over plain http everybody on the way
can read it, so that is for loopback and tunnels.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .consolepage import PATH, read_page
from .port import DiscoveryFailed, DiscoveryInvalid, DiscoveryLimits, DiscoveryMissing

if TYPE_CHECKING:
    from aiohttp import ClientResponse


class ConsoleDiscovery:
    """The endpoints that a console names.  Implements ``Discovery``.

    url: of the console, up to the port, such as ``https://10.0.0.5:8443``.
    cluster: the name that its page must have.  token: the bearer token; empty sends none.
    """

    def __init__(self, url: str, cluster: str, *, token: str = "", limits: DiscoveryLimits | None = None) -> None:
        if not token.isascii() or not token.isprintable():
            raise DiscoveryInvalid("the token of a console holds signs that a header cannot carry")
        self._url, self._cluster, self._token = url, cluster, token
        self._limits = limits or DiscoveryLimits()

    async def find(self) -> Sequence[str]:
        """Ask it; raises ``DiscoveryFailed`` when it does not answer in time, refuses, or answers something else."""
        try:
            import aiohttp  # noqa: PLC0415  only who uses it pays for it
        except ImportError as error:
            raise DiscoveryMissing("a console is asked by the package aiohttp: pip install trouper") from error
        # A small packed page can hold a very large one; a redirect would carry the token to wherever it leads.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            async with (
                asyncio.timeout(self._limits.timeout_s),
                aiohttp.ClientSession(headers=headers, auto_decompress=False) as session,
                session.get(f"{self._url}{PATH}", allow_redirects=False) as response,
            ):
                page = await self._read(response)
        except TimeoutError:
            raise DiscoveryFailed(f"{self.describe()}: no answer within {self._limits.timeout_s} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise DiscoveryFailed(f"{self.describe()}: {error}") from error
        try:
            return read_page(page, self._cluster, self._limits.endpoints_max)
        except DiscoveryFailed as error:
            raise DiscoveryFailed(f"{self.describe()}: {error}") from error

    def describe(self) -> str:
        """Return which console."""
        return f"the console {self._url}"

    async def _read(self, response: ClientResponse) -> bytes:
        if response.status in (401, 403):
            raise DiscoveryFailed(f"{self.describe()} refused the token (HTTP {response.status})")
        if response.status != 200:
            raise DiscoveryFailed(f"{self.describe()} answered HTTP {response.status}, not a page of endpoints")
        page = bytearray()
        async for piece in response.content.iter_any():
            page += piece
            if len(page) > self._limits.text_bytes_max:
                raise DiscoveryFailed(
                    f"{self.describe()} answers more than {self._limits.text_bytes_max} bytes (text_bytes_max)"
                )
        return bytes(page)
