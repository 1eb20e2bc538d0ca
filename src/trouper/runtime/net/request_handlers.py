"""The requests that a node serves to its peers: one owner and one handler for each type of message."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from ..kernel.errors import CallerError, InvalidOption
from ..session.identity import ROLES, Allow
from .control import CONTROLS

if TYPE_CHECKING:
    from .peer import Peer

ALLOWS: tuple[Allow, ...] = (*ROLES, "anyone")
"""What a request may need of a peer."""
RequestHandler: TypeAlias = "Callable[[Any, Peer], object]"  # Any: the type of message that it is served for
"""Called with a message that a peer has sent to the node itself, and that peer; returns the reply or a coroutine."""


@dataclass(frozen=True, slots=True)
class Served:
    """One type of message that is served.

    handler: plain or ``async def``.  owner: the name of the extension or of the part of the runtime that serves it.
    allow: the role that a peer needs; ``anyone`` for every peer that is connected.
    starting: True while the owner does not run, and ``handler`` waits for its start; the owner itself may replace such
        an entry.
    """

    handler: RequestHandler
    owner: str
    allow: Allow
    starting: bool = False


class RequestHandlers:
    """What peers may ask of a node, by the type of the message."""

    def __init__(self) -> None:
        self._served: dict[type, Served] = {}

    def serve(
        self, type_: type, handler: RequestHandler, *, owner: str, allow: Allow = "member", starting: bool = False
    ) -> None:
        """Serve a type of message, until ``unserve``.

        handler, owner, allow, starting: as those of ``Served``.
        Raises ``CallerError`` when the type is served already, and ``InvalidOption`` for a type that is no message, for
        one of the runtime's own messages, and for an unknown role.
        """
        name = getattr(type_, "__qualname__", repr(type_))
        if not hasattr(type_, "__reply__") or type_ in CONTROLS:
            raise InvalidOption(f"{owner} cannot serve {name}: serve a Message class of your own")
        if allow not in ALLOWS:
            raise InvalidOption(f"{owner} serves {name} with allow={allow!r}: use one of {', '.join(ALLOWS)}")
        known = self._served.get(type_)
        if known is not None and not (known.starting and known.owner == owner):
            raise CallerError(f"{owner} cannot serve {name}: {known.owner} serves it already; use a message of its own")
        self._served[type_] = Served(handler, owner, allow, starting)

    def unserve(self, *types: type, owner: str) -> None:
        """Serve these types no more; those that another owner serves, or none does, stay as they are."""
        for type_ in types:
            known = self._served.get(type_)
            if known is not None and known.owner == owner:
                del self._served[type_]

    def get(self, type_: type) -> Served | None:
        """Return how a type of message is served; None when it is not."""
        return self._served.get(type_)

    def __iter__(self) -> Iterator[type]:
        return iter(self._served)
