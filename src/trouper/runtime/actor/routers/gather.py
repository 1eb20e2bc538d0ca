"""``Gather``: answers one ask from the replies to several asks.

It works by callbacks, without a task.  When the asker gives up or has its answer, the remaining asks are cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ...kernel.ask import Ask
from ...kernel.errors import ActorStopped


class Gather:
    """Answer ``owed`` from ``asks`` (1 or more).

    first: True replies with the first reply to arrive, and fails only when every ask has failed; False waits for all,
    replies with the reply to the first of ``asks``, and fails when one has failed.  The earliest failure is raised.
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
                ask.exception()  # retrieved, so that the loop does not log it
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
        """Return the failure of an ask that was cancelled by the end of the router."""
        owed = self._owed
        return ActorStopped(
            f"{owed.target.address} ended before all replies to {type(owed.message).__qualname__} had come"
        )

    def _cancel_rest(self, _: asyncio.Future[object]) -> None:
        for ask in self._asks:
            ask.cancel()
