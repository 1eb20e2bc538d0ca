"""The placement port: how ``spawn(place=...)`` starts an actor on another node; the network of a node implements it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from .cell import Cell
    from .supervision import Overrides, Restart

Place: TypeAlias = "str | Callable[[Any], str]"  # Any: the Node, which the kernel does not know
"""The name of a node, or a function that is given the spawning node and returns such a name."""


class Placement(Protocol):
    """Makes children that run on other nodes."""

    def make_child(
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
    ) -> Cell | None:
        """Make a child of ``parent``, to be started by the caller, that runs on the node which ``place`` names.

        The arguments are those of ``SpawnMixin.spawn``.  Returns None for this node where it has no network: then the
        child is made as any other.  Raises ``NodeUnreachable`` for a node that is not connected, and what
        ``SpawnMixin.spawn`` raises.
        """
        ...
