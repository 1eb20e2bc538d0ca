"""Idling: links that nobody needs are ended, where there are more of them than there should be.

A link is needed while an ask is open, an actor is watched, a mailbox presses back, or something waits to be sent, in
either direction.  All of that begins with a body that is sent or received, and each of those marks the link as held; so
it is enough to look now and then which of them are held no more.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .network import Network

SWEEP_S = 1.0
"""Seconds between two looks while there are more links than there should be."""
CALM_SWEEP_S = 4.0
"""Seconds between two looks else: only for peers that have too many, and ask whether this one may end."""


class IdleSessions:
    """See the top of the file.  links_max: how many links there should be, as in ``SessionSettings``."""

    def __init__(self, network: Network, loop: asyncio.AbstractEventLoop, sessions_max: int) -> None:
        self._network, self._loop, self._links_max = network, loop, sessions_max
        self._timer = loop.call_later(SWEEP_S, self._sweep)

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _sweep(self) -> None:
        self._network.close_unused()
        pause_s = SWEEP_S if len(self._network.peers) > self._links_max else CALM_SWEEP_S
        self._timer = self._loop.call_later(pause_s, self._sweep)
