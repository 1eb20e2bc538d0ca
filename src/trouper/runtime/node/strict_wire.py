"""Strict wire: every message between actors of one node goes through the codec, as if they were on two nodes.

So what cannot travel fails in the first test that sends it, with the error that it would meet between nodes, and a
receiver holds a copy: what one actor does to a list of its own is not seen by another.  It is for tests, where
``trouper.testing.simulate`` turns it on; a node without it has the kernel's own refs and asks, and pays nothing.

What passes through: what is told, asked and forwarded, and replies.  What does not: the runtime's own signals, ``Down``
among them; what an actor sends itself by a timer; errors, which come as they are; and messages whose class says
``local=True``, which are refused between nodes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar, cast

from ..kernel.ask import Ask, is_ask
from ..kernel.errors import WireError
from ..kernel.message import Message
from ..kernel.ref import ActorRef
from ..session.copier import WireCopier

if TYPE_CHECKING:
    from ..kernel.cell import Cell

R = TypeVar("R")


class StrictRef(ActorRef):
    """A ref on a strict node."""

    __slots__ = ("copier",)

    def __init__(self, cell: Cell, copier: WireCopier) -> None:
        super().__init__(cell)
        self.copier = copier

    def tell(self, message: Message[object]) -> Awaitable[None]:
        """Send a copy; raises ``WireError`` here when it cannot travel, and then nothing was sent."""
        return super().tell(self.copier.message(message))

    def ask(self, message: Message[R], timeout_s: float | None = None) -> asyncio.Future[R]:
        """Send a copy and return a future of a copy of the reply; it raises ``WireError`` when one cannot travel."""
        answered: asyncio.Future[R] = self._cell.system.loop.create_future()
        try:
            future = super().ask(self.copier.message(message), timeout_s)
            if is_ask(future):
                return cast("asyncio.Future[R]", future)
            error = future.exception()
            if error is None:
                answered.set_result(self.copier.reply(message, future.result()))
            else:
                answered.set_exception(error)
        except WireError as error:
            answered.set_exception(error)
        return answered


class StrictAsk(Ask[R]):
    """An ask on a strict node."""

    __slots__ = ()

    def answer(self, reply: object) -> None:
        """End with a copy of the reply, or with the error that it cannot travel."""
        copier = copier_of(self.target.system.root.ref)
        assert copier is not None, "a strict node has strict refs from its root on"
        try:
            copy = copier.reply(self.message, cast("R", reply))
        except WireError as error:
            self.refuse(error)
        else:
            super().answer(copy)


def copier_of(ref: ActorRef) -> WireCopier | None:
    """Return what messages to this ref have to pass; None where they need not."""
    return ref.copier if isinstance(ref, StrictRef) else None
