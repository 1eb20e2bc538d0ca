"""The actor that knows when a program has ended, base of the leading role in most of them.

Its ``Outcome`` handler is reentrant: it waits for the end while the other handlers go on, one at a time.
"""

from __future__ import annotations

import asyncio

from trouper import Actor, Message, handler


class Outcome(Message[float]):
    """The reply is the outcome of the program, once there is one."""


class Conductor(Actor):
    """Answers ``Outcome`` when ``finish`` has been called."""

    def __init__(self) -> None:
        self._outcome: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def finish(self, outcome: float) -> None:
        """Give the outcome to those that have asked or will ask."""
        self._outcome.set_result(outcome)

    @handler(reentrant=True)
    async def wait_for_outcome(self, msg: Outcome) -> float:
        """Wait for the end; the shield keeps an asker that gives up from cancelling it for the others."""
        return await asyncio.shield(self._outcome)
