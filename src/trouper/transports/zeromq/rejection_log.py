"""``RejectionLog``: what a transport has refused, counted by kind, and logged at a limited rate."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from functools import lru_cache
from typing import Final

from ...runtime.kernel.logs import get_log

LOG_PAUSE_S: Final = 10.0
"""One line is logged in this time for a kind and a place; it says how many were omitted."""
LINES_MAX: Final = 20
"""Lines of one kind that are logged in this time at most, from whatever places."""
PLACES_MAX: Final = 1_000
"""Kinds and places that are remembered, so that a peer cannot make memory grow by changing its address."""

log = get_log("trouper.transports.zeromq")


class RejectionLog:
    """Counts rejections, and limits the lines that are logged of them.

    counts: how often each kind came since the transport was made.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.counts: Counter[str] = Counter()
        self._silent_until: dict[tuple[str, str], float] = {}
        self._omitted: Counter[tuple[str, str]] = Counter()
        self._transient_until: dict[tuple[str, str], float] = {}
        self._lines: dict[str, tuple[int, float]] = {}

    @property
    def places(self) -> int:
        """How many kinds and places are remembered now."""
        return len(self._silent_until) + len(self._transient_until)

    def note(self, kind: str, place: str, text: str, *, transient: bool = False) -> None:
        """Count one of this kind, and log the text unless a line of this kind and place was logged just before.

        place: what has a rate of its own, such as an endpoint or a network; never anything secret.
        transient: the cause may be a peer that closes at this moment; the text is logged when the same comes a second
            time within ``LOG_PAUSE_S``.
        """
        self.counts[kind] += 1
        key, now = (kind, place), self._loop.time()
        if transient and now >= self._transient_until.get(key, now):
            if len(self._transient_until) >= PLACES_MAX:
                self._transient_until.clear()
            self._transient_until[key] = now + LOG_PAUSE_S
            return
        if now < self._silent_until.get(key, now):
            self._omitted[key] += 1
            return
        lines, until = self._lines.get(kind, (0, now))
        if now >= until:
            lines, until = 0, now + LOG_PAUSE_S
        if lines >= LINES_MAX:
            self._omitted[kind, ""] += 1
            return
        self._lines[kind] = lines + 1, until
        if len(self._silent_until) >= PLACES_MAX:
            self._silent_until.clear()
            self._omitted.clear()
        self._silent_until[key] = now + LOG_PAUSE_S
        omitted = self._omitted.pop(key, 0) + self._omitted.pop((kind, ""), 0)
        more = f" ({omitted} more of this kind were not logged)" if omitted else ""
        log.warning("%s%s", text, more)


@lru_cache(PLACES_MAX)
def network_of(address: str) -> str:
    """Return what has a rate of its own: an IPv4 address, or the network of 64 bits of an IPv6 address.

    Any other text is returned as it is.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    mapped = found.ipv4_mapped
    return str(mapped) if mapped is not None else str(ipaddress.ip_network((found, 64), strict=False))
