"""``RejectionLog``: what a transport has turned away, counted by kind, and said in the log in moderation."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Final

LOG_PAUSE_S: Final = 10.0
"""Of one kind, about one place, at most one line in so long is logged; it tells how many were left out."""
PLACES_MAX: Final = 1_000
"""Kinds and places that are remembered; a peer cannot make the memory grow by changing its address."""

log = logging.getLogger("trouper.transports.zeromq")


class RejectionLog:
    """Counts and moderates.

    counts: how often each kind was seen since the transport was made.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.counts: Counter[str] = Counter()
        self._silent_until: dict[tuple[str, str], float] = {}
        self._omitted: Counter[tuple[str, str]] = Counter()
        self._transient_until: dict[tuple[str, str], float] = {}

    @property
    def places(self) -> int:
        """Kinds and places that are remembered now."""
        return len(self._silent_until) + len(self._transient_until)

    def note(self, kind: str, place: str, text: str, *, transient: bool = False) -> None:
        """Count one of this kind, and log the text unless much the same was logged just before.

        place: what is moderated apart from others, such as an endpoint; never anything secret.  fleeting: it may be no
        more than a peer that closes at this moment; it is logged when it comes a second time within ``LOG_PAUSE_S``.
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
        if len(self._silent_until) >= PLACES_MAX:
            self._silent_until.clear()
            self._omitted.clear()
        self._silent_until[key] = now + LOG_PAUSE_S
        omitted = self._omitted.pop(key, 0)
        more = f" ({omitted} more of this kind were not logged)" if omitted else ""
        log.warning("%s%s", text, more)
