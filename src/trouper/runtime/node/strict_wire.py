"""Strict wire: refs and asks that copy every message between actors of one node through the codec.

A message that could not be sent to another node then fails in the first test that sends it, with the error that it
would meet between nodes; and the receiver holds a copy, so a list that the sender changes later is not shared.  It is
for tests: ``trouper.testing.simulate`` turns it on.  Other nodes use the kernel's own refs and asks, at no cost.

Copied: messages that are told, asked and forwarded, and replies.  Not copied: the runtime's own signals, ``Down`` among
them; what an actor sends itself by a timer; errors; and messages whose class says ``local=True``, which nodes refuse to
send to one another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar, cast

from ..kernel.ask import Ask, ToldWithHeaders, is_ask
from ..kernel.errors import WireError
from ..kernel.message import Message
from ..kernel.ref import ActorRef
from ..session.copier import WireCopier

if TYPE_CHECKING:
    from ..kernel.cell import Cell

R = TypeVar("R")


class StrictRef(ActorRef):
    """A ref on a node with ``strict_wire=True``; ``copier`` copies what is sent through it."""

    __slots__ = ("copier",)

    def __init__(self, cell: Cell, copier: WireCopier) -> None:
        super().__init__(cell)
        self.copier = copier

    def tell(self, message: Message[object]) -> Awaitable[None]:
        """Send a copy; raises ``WireError``, with nothing sent, when the message cannot be encoded.

        What another thread tells is copied in the loop's thread, and becomes a dead letter when it cannot be encoded.
        """
        if not self._cell.system.is_loop_thread():
            return super().tell(message)
        return super().tell(self.copier.message(message))

    def ask(self, message: Message[R], timeout_s: float | None = None) -> asyncio.Future[R]:
        """Send a copy; the future gives a copy of the reply, or ``WireError`` when either cannot be encoded."""
        self._cell.system.check_thread("ask", self._cell, instead="use ref.blocking.ask(message), which waits")
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

    def _copied(self, item: object) -> object:
        """Copy the message of an item; raises ``WireError`` when it cannot be encoded, which an asker gets instead."""
        if isinstance(item, ToldWithHeaders):
            return ToldWithHeaders(self.copier.message(item.message), item.headers or {})
        if not is_ask(item):
            return self.copier.message(cast("Message[object]", item))
        try:
            item.message = self.copier.message(item.message)
        except WireError as error:
            item.refuse(error)
        return item


class StrictAsk(Ask[R]):
    """An ask on a node with ``strict_wire=True``."""

    __slots__ = ()

    def answer(self, reply: object) -> None:
        """End with a copy of the reply, or with a ``WireError`` when it cannot be encoded."""
        copier = copier_of(self.target.system.root.ref)
        assert copier is not None, "every ref of a strict node is a StrictRef"
        try:
            copy = copier.reply(self.message, cast("R", reply))
        except WireError as error:
            self.refuse(error)
        else:
            super().answer(copy)


def copier_of(ref: ActorRef) -> WireCopier | None:
    """Return the copier of a ref on a strict node; None for any other ref."""
    return ref.copier if isinstance(ref, StrictRef) else None
