"""``JoinReports``: why the endpoints that a node dials give no session, and the log of it for those of ``join``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..kernel.system import System
    from ..session.sessions import SessionManager

REFUSALS_KEPT = 20
"""The most endpoints whose refusals are kept; the oldest is forgotten."""
FIRST_S, LAST_S = 3.0, 600.0
"""Seconds until it is logged that an endpoint of ``join`` was not reached; then four times as many, up to a limit."""


class JoinReports:
    """The reports of one node.

    join: the endpoints that are reported.  sessions: returns those of the node.
    refusals: why endpoints give no session, in the words of the node there or of the transport.
    """

    def __init__(self, system: System, join: Sequence[str], sessions: Callable[[], SessionManager]) -> None:
        self._system, self._join, self._sessions = system, join, sessions
        self.refusals: dict[str, str] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def start(self) -> None:
        """Begin."""
        for endpoint in self._join:
            self._report_in(FIRST_S, endpoint)

    def close(self) -> None:
        """Report nothing more."""
        for timer in self._timers.values():
            timer.cancel()

    def refused(self, endpoint: str, why: str) -> None:
        """Take note of why an endpoint gives no session."""
        self.refusals.pop(endpoint, None)
        self.refusals[endpoint] = why
        if len(self.refusals) > REFUSALS_KEPT:
            del self.refusals[next(iter(self.refusals))]

    def why(self, endpoint: str) -> str:
        """Return why an endpoint gives no session, in one clause."""
        return self.refusals.get(endpoint, "no node answers there")

    def describe(self) -> str:
        """Return which endpoints of ``join``, and others that refused, give no session, each with the reason."""
        joined = {endpoint: self.why(endpoint) for endpoint in self._join if self._sessions().is_unreached(endpoint)}
        return "".join(f"; no session with {endpoint}: {why}" for endpoint, why in {**joined, **self.refusals}.items())

    def _report_in(self, pause_s: float, endpoint: str) -> None:
        self._timers[endpoint] = self._system.loop.call_later(pause_s, self._report_unreached, pause_s, endpoint)

    def _report_unreached(self, pause_s: float, endpoint: str) -> None:
        """Log when no node was reached at an endpoint of ``join``, and less often the longer that lasts."""
        unreached = self._sessions().is_unreached(endpoint)
        if unreached:
            name, why = self._system.name, self.why(endpoint)
            self._system.reporter.problem(
                f"node {name} has joined no node at {endpoint} yet, and goes on trying: {why}"
            )
        self._report_in(min(LAST_S, 4 * pause_s) if unreached else FIRST_S, endpoint)
