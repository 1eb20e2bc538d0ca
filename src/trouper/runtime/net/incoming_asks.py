"""The asks that came from one node, until they are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ..kernel.cell import Cell
from ..kernel.errors import ActorStopped, MailboxFull, PeerOverLimit, WireError
from ..kernel.message import reply_annotation
from ..session.budget import Account, RateLimit
from ..session.codec import REPLY, REPLY_ERROR, OutOfBandPayload
from ..session.derived import check_derived
from .errors import failure_of
from .send_buffer import SendBuffer

if TYPE_CHECKING:
    from ..kernel.system import System

TRACES_MAX = 20
"""Errors that go to a peer with their traceback, in ``TRACES_S`` seconds: to format one takes a millisecond or two."""
TRACES_S = 1.0
END_FIRST_S = 1.0
"""Seconds that an error reply waits for the end of the actor that failed by it; then it is sent all the same."""


class IncomingAsks:
    """The asks of one peer that wait for their replies.

    pack: takes the large buffers out of a reply; returns None when it has none.
    account: of the peer's identity.
    waiting: the future of each ask, by its correlation, the oldest first.
    """

    def __init__(
        self,
        system: System,
        send_buffer: SendBuffer,
        pack: Callable[[object], OutOfBandPayload | None],
        account: Account,
    ) -> None:
        self._system, self._send_buffer, self._pack, self.account = system, send_buffer, pack, account
        self.waiting: dict[int, asyncio.Future[object]] = {}
        self._traces = RateLimit(TRACES_MAX, TRACES_S)

    def answer(
        self, correlation: int, future: asyncio.Future[object], cell: Cell | None = None, asked: type | None = None
    ) -> None:
        """Send the result of a future as the reply to an ask, once it is done.

        cell: the actor that was asked; None for a request to the node itself.  asked: the class of the message.
        Raises ``PeerOverLimit`` when too many asks wait, and ``WireError`` for a correlation that one waits with; the
        future is cancelled then.
        """
        if future.done():
            self._answered(correlation, cell, asked, future)
            return
        try:
            if correlation in self.waiting:
                raise WireError(f"an ask with the correlation {correlation} waits for its reply already")
            self.account.take("asks")
        except (PeerOverLimit, WireError):
            future.cancel()
            raise
        self.waiting[correlation] = future
        future.add_done_callback(partial(self._answered_later, self.account, correlation, cell, asked))

    def _answered_later(
        self,
        account: Account,
        correlation: int,
        cell: Cell | None,
        asked: type | None,
        future: asyncio.Future[object],
    ) -> None:
        account.give_back("asks")
        self._answered(correlation, cell, asked, future)

    def _answered(
        self, correlation: int, cell: Cell | None, asked: type | None, future: asyncio.Future[object]
    ) -> None:
        was_cancelled = self.waiting.pop(correlation, None) is None and future.cancelled()
        error = ActorStopped("the handler was cancelled") if future.cancelled() else future.exception()
        if self._send_buffer.closed or was_cancelled:
            return
        if error is None and asked is not None:
            try:
                check_derived(reply_annotation(asked), future.result(), f"the reply to {asked.__qualname__}")
            except WireError as refused:
                error = refused
        if error is None:
            self.reply(correlation, future.result())
        elif cell is not None and cell.phase == "failed" and cell.spec.restart == "temporary":
            self.waiting[correlation] = self._system.loop.create_task(self._reply_after_end(cell, correlation, error))
        else:
            self.reply_error(correlation, error)

    async def _reply_after_end(self, cell: Cell, correlation: int, error: BaseException) -> object:
        """Send the error of an actor that ends by this failure after its ``WatchedActorEnded``.

        An asker that tries again on the error then reaches the actor's successor, and not the one that has ended.
        """
        await asyncio.wait((cell.end_future(),), timeout=END_FIRST_S)
        del self.waiting[correlation]
        self.reply_error(correlation, error)
        return None

    def reply(self, correlation: int, value: object) -> None:
        """Send the reply to the ask of this correlation; a reply that cannot be sent becomes an error reply."""
        try:
            self._send_buffer.put((0, correlation, REPLY, self._pack(value) or value))
        except (WireError, MailboxFull) as error:
            self.reply_error(correlation, error)

    def reply_error(self, correlation: int, error: BaseException) -> None:
        """Send an error in place of the reply."""
        with_trace = self._traces.admits(self._system.loop.time())
        self._send_buffer.put((0, correlation, REPLY_ERROR, failure_of(error, self._system.reporter, with_trace)))

    def cancel(self, correlation: int) -> None:
        """Cancel the ask of this correlation: its asker has given up."""
        future = self.waiting.pop(correlation, None)
        if future is not None:
            future.cancel()

    def close(self) -> None:
        """Cancel all asks: the peer is lost."""
        for future in list(self.waiting.values()):
            future.cancel()
        self.waiting.clear()
