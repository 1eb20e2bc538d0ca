"""The stash of an actor: messages put aside until it can handle them.

Unstashed messages go ahead of everything in the mailbox, in the order in which they were stashed.  A restart unstashes
all; the end of the actor makes dead letters of them.  A stashed ask keeps its deadline.
"""

from __future__ import annotations

from typing import cast

from ..kernel.ask import Envelope, FromSelf, content, is_ask
from ..kernel.cell import Cell
from ..kernel.errors import ActorStopped, StashFull
from ..kernel.message import Message
from .forwarding import detach_reply


class Stash:
    """The stash of one instance, for at most ``limit`` messages; use ``Actor.stash`` and ``Actor.unstash_all``."""

    def __init__(self, cell: Cell, limit: int) -> None:
        self._cell, self._limit = cell, limit
        self._items: list[object] = []
        self._released = False
        cell.register_resource(self)

    @property
    def retained(self) -> int:
        """Messages in the stash."""
        return len(self._items)

    def put(self, message: Message[object]) -> None:
        """Stash the message being handled; raises ``StashFull`` at the limit, ``ActorStopped`` after the end."""
        if self._released:
            raise ActorStopped(f"{self._cell.address}: this instance has ended and cannot stash messages")
        if len(self._items) >= self._limit:
            raise StashFull(
                f"{self._cell.address} has {self._limit} messages in its stash, its limit: unstash or reject some"
            )
        item = detach_reply(self._cell, message, self._cell)
        if is_ask(item):
            item.from_self = True
        else:
            headers = item.headers if isinstance(item, Envelope) else None
            item = FromSelf(cast("Message[object]", content(item)), headers)
        self._items.append(item)
        self._cell.handled -= 1  # the end of this handler will count one message as handled

    def take_all(self) -> None:
        """Return all messages to the mailbox, ahead of what is queued there."""
        items, self._items = self._items, []
        self._cell.return_to_front(items)

    def release(self, cell: Cell, *, restarting: bool) -> None:  # noqa: ARG002  the same for every end
        """Return all messages to the mailbox when the instance ends; the next instance handles them."""
        self._released = True
        self.take_all()
