"""The stash of an actor: messages put aside until it can handle them.

What is unstashed comes before everything in the mailbox, in the order in which it was stashed.  A restart unstashes;
an end makes dead letters.  An ask may be stashed: its deadline goes on running.
"""

from __future__ import annotations

from ..kernel.cell import Cell
from ..kernel.errors import ActorStopped, StashFull
from ..kernel.message import Message
from .forwarding import detach_reply


class Stash:
    """The stash of one instance, of at most ``limit`` messages; use ``Actor.stash`` and ``Actor.unstash_all``."""

    def __init__(self, cell: Cell, limit: int) -> None:
        self._cell, self._limit = cell, limit
        self._items: list[object] = []
        self._released = False
        cell.register_resource(self)

    @property
    def retained(self) -> int:
        """How many messages are put aside."""
        return len(self._items)

    def put(self, message: Message[object]) -> None:
        """Put the message being handled aside; raises ``StashFull`` at the limit."""
        if self._released:
            raise ActorStopped(f"{self._cell.address}: this instance has ended and stashes no more")
        if len(self._items) >= self._limit:
            raise StashFull(f"{self._cell.address} has {self._limit} messages in its stash: unstash or reject some")
        self._items.append(detach_reply(self._cell, message, self._cell))
        self._cell.handled -= 1  # the handler that stashes it will be counted as having handled it

    def take_all(self) -> None:
        """Give everything back to the mailbox, ahead of what waits there."""
        items, self._items = self._items, []
        self._cell.return_to_front(items)

    def release(self, cell: Cell, *, restarting: bool) -> None:  # noqa: ARG002  the same for every end
        """Give everything back: the next instance handles it, or the end makes dead letters of it."""
        self._released = True
        self.take_all()
