"""Behaviours: which function handles which message, as two tables.

The tables are read from annotations when a class is made, in ``runtime/handlers.py``; the kernel only looks things up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from .actor import BareActor

Handle = Callable[[object, object], object]
ELSEWHERE = object()
"""What ``unusual`` returns to the dispatcher: the counting is done there."""


def unusual(actor: object, item: object) -> object:
    """Stand in the dispatcher's table for whatever is no plain message for a plain handler."""
    cast("BareActor", actor)._cell.step(item)  # noqa: SLF001  the kernel's own
    return ELSEWHERE


@dataclass(frozen=True, slots=True)
class Handling:
    """How one message type is handled: ``call(actor, message)``, and the user's function for names in reports."""

    call: Handle
    function: Callable[..., object]
    is_async: bool
    reentrant: bool


class Behaviour:
    """Two tables from message type: ``plain`` for the dispatcher's fast path, ``handlings`` for everything.

    ``plain`` sends what is not a plain message for a plain handler to ``unusual``.  Subclasses of a handled type are
    found at their first arrival and entered.
    """

    __slots__ = ("handlings", "plain", "reentrant")

    def __init__(self, handlings: dict[type, Handling]) -> None:
        self.handlings = handlings
        self.reentrant = any(handling.reentrant for handling in handlings.values())
        self.plain: dict[type, Handle] = {
            type_: unusual if handling.is_async else handling.call for type_, handling in handlings.items()
        }

    def find(self, type_: type) -> Handling | None:
        """Return how this type, or the nearest handled base of it, is handled; None when it is not."""
        handling = self.handlings.get(type_)
        if handling is None:
            handling = next((self.handlings[base] for base in type_.__mro__ if base in self.handlings), None)
            if handling is not None:
                self.handlings[type_] = handling
                self.plain[type_] = unusual if handling.is_async else handling.call
        return handling
