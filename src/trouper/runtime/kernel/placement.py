"""The placement port: how ``spawn(place=...)`` starts an actor on another node; the network of a node implements it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from .cell import Cell
    from .ref import ActorRef
    from .supervision import Overrides, Restart

Place: TypeAlias = "str | Callable[[Any], str]"  # Any: the Node, which the kernel does not know
"""The name of a node, or a function that is given the spawning node and returns such a name."""


class Placement(Protocol):
    """Starts children that run on other nodes."""

    def spawn(
        self,
        parent: Cell,
        place: Place,
        actor: Callable[..., object],
        args: tuple[object, ...],
        name: str | None,
        restart: Restart,
        shutdown_s: float | None,
        significant: bool,
        overrides: Overrides,
        /,
    ) -> Awaitable[ActorRef]:
        """Start a child of ``parent`` on the node that ``place`` names; arguments as for ``SpawnMixin.spawn``.

        Raises ``NodeUnreachable`` for a node that is not connected, and what ``SpawnMixin.spawn`` raises.
        """
        ...
