"""Handler tables: which function handles which type of message.

``runtime/actor/handlers.py`` makes them from annotations when a class is made; the kernel only looks handlers up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from .ask import Ask, FromSelf, ToldWithHeaders

if TYPE_CHECKING:
    from .bare_actor import BareActor

Handle = Callable[[object, object], object]
NOT_COUNTED = object()
"""Returned to the dispatcher by ``handle_on_slow_path``, which has counted the message, or will."""


def handle_on_slow_path(actor: object, item: object) -> object:
    """Stand in the dispatcher's table for everything but a plain message for a plain handler."""
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
    """Two dicts by message type: ``plain`` for the dispatcher's fast path, ``entries`` with every handler.

    ``plain`` has ``handle_on_slow_path`` where the handler is async, and for the envelopes, since a type that is absent
    costs the dispatcher an exception.  A subclass of a handled type is added to both at its first arrival.
    reentrant: whether any handler is.
    """

    __slots__ = ("entries", "plain", "reentrant")

    def __init__(self, entries: dict[type, HandlerEntry]) -> None:
        self.entries = entries
        self.reentrant = any(entry.reentrant for entry in entries.values())
        self.plain: dict[type, Handle] = dict.fromkeys((Ask, FromSelf, ToldWithHeaders), handle_on_slow_path)
        for type_, entry in entries.items():
            self.plain[type_] = handle_on_slow_path if entry.is_async else entry.call

    def find(self, type_: type) -> HandlerEntry | None:
        """Return the entry for this type, or for its nearest handled base; None when there is none."""
        entry = self.entries.get(type_)
        if entry is None:
            entry = next((self.entries[base] for base in type_.__mro__ if base in self.entries), None)
            if entry is not None:
                self.entries[type_] = entry
                self.plain[type_] = handle_on_slow_path if entry.is_async else entry.call
        return entry
