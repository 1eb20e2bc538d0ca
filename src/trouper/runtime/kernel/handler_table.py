"""Behaviours: which function handles which message, as two tables.

The tables are read from annotations when a class is made, in ``runtime/actor/handlers.py``; the kernel only looks things up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from .bare_actor import BareActor

Handle = Callable[[object, object], object]
NOT_COUNTED = object()
"""What ``handle_on_slow_path`` returns to the dispatcher: the counting is done there."""


def handle_on_slow_path(actor: object, item: object) -> object:
    """Stand in the dispatcher's table for whatever is no plain message for a plain handler."""
    cast("BareActor", actor).__cell__.step(item)
    return NOT_COUNTED


@dataclass(frozen=True, slots=True)
class HandlerEntry:
    """How one message type is handled: ``call(actor, message)``, and the user's function for names in reports."""

    call: Handle
    function: Callable[..., object]
    is_async: bool
    reentrant: bool


class HandlerTable:
    """Two tables from message type: ``plain`` for the dispatcher's fast path, ``entries`` for everything.

    ``plain`` sends what is not a plain message for a plain handler to ``handle_on_slow_path``.  Subclasses of a handled type are
    found at their first arrival and entered.
    """

    __slots__ = ("entries", "plain", "reentrant")

    def __init__(self, entries: dict[type, HandlerEntry]) -> None:
        self.entries = entries
        self.reentrant = any(entry.reentrant for entry in entries.values())
        self.plain: dict[type, Handle] = {
            type_: handle_on_slow_path if entry.is_async else entry.call for type_, entry in entries.items()
        }

    def find(self, type_: type) -> HandlerEntry | None:
        """Return how this type, or the nearest handled base of it, is handled; None when it is not."""
        entry = self.entries.get(type_)
        if entry is None:
            entry = next((self.entries[base] for base in type_.__mro__ if base in self.entries), None)
            if entry is not None:
                self.entries[type_] = entry
                self.plain[type_] = handle_on_slow_path if entry.is_async else entry.call
        return entry
