"""Gathering: one ask that is owed a reply, answered from the replies to several asks.

No task waits for it: each reply is a callback.  When the asker gives up, or has its answer, all that is left is
cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ...kernel.ask import Ask
from ...kernel.errors import ActorStopped


class Gather:
    """Answer ``owed`` from ``asks`` (1 or more).

    first: True takes the first reply, and fails only when every ask has failed; False waits for all, takes the reply of
    the first in order, and fails when one has failed.  Either way the first failure in time is the one that is raised.
    """

    def __init__(self, owed: Ask[object], asks: Sequence[asyncio.Future[object]], *, first: bool) -> None:
        self._owed, self._asks, self._first = owed, asks, first
        self._left = len(asks)
        self._failure: BaseException | None = None
        for ask in asks:
            ask.add_done_callback(self._ask_done)
        owed.add_done_callback(self._cancel_rest)

    def _ask_done(self, ask: asyncio.Future[object]) -> None:
        self._left -= 1
        if self._owed.done():
            if not ask.cancelled():
                ask.exception()  # it has been seen: the loop need not complain of it
            return
        failure = self._cancelled_error() if ask.cancelled() else ask.exception()
        if self._failure is None:
            self._failure = failure
        if self._first and failure is None:
            self._owed.answer(ask.result())
        elif not self._left and self._failure is not None:
            self._owed.refuse(self._failure)
        elif not self._left:
            self._owed.answer(self._asks[0].result())

    def _cancelled_error(self) -> ActorStopped:
        """Return the failure of an ask that was not cancelled from here: whoever had asked for it has ended."""
        owed = self._owed
        return ActorStopped(
            f"{owed.target.address} ended while it gathered replies to {type(owed.message).__qualname__}"
        )

    def _cancel_rest(self, _: asyncio.Future[object]) -> None:
        for ask in self._asks:
            ask.cancel()
