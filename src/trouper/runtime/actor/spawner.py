"""``Spawner``: the base class that gives ``spawn`` to nodes and actors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, overload

from ..kernel.bare_actor import BareActor
from ..kernel.cell import Cell
from ..kernel.errors import InvalidOption
from ..kernel.message import Message
from ..kernel.ref import ActorRef
from ..kernel.supervision import Restart
from .spawning import spawn_awaited

if TYPE_CHECKING:
    from ..kernel.placement import Place

M = TypeVar("M", bound="Message[object]")
A = TypeVar("A", bound=BareActor)
Ts = TypeVarTuple("Ts")


class Spawner:
    """Mixin with ``spawn``: a node spawns under ``/user``, an actor under itself."""

    def __spawn_parent__(self) -> Cell:
        """Return the cell that supervises the spawned actors."""
        raise NotImplementedError  # the subclass knows it

    @overload
    def spawn(
        self,
        actor: Callable[[*Ts], BareActor],
        *args: *Ts,
        name: str | None = None,
        place: Place | None = None,
        restart: Restart = "transient",
        shutdown_s: float | None = 5.0,
        significant: bool = False,
    ) -> Awaitable[ActorRef]: ...
    @overload
    def spawn(
        self,
        actor: Callable[[M], object],
        *,
        name: str | None = None,
        place: Place | None = None,
        restart: Restart = "transient",
        shutdown_s: float | None = 5.0,
        significant: bool = False,
    ) -> Awaitable[ActorRef]: ...
    @overload
    def spawn(
        self,
        actor: Callable[[A, M], object],
        *,
        name: str | None = None,
        place: Place | None = None,
        restart: Restart = "transient",
        shutdown_s: float | None = 5.0,
        significant: bool = False,
    ) -> Awaitable[ActorRef]: ...
    def spawn(
        self,
        actor: Callable[..., object],
        *args: object,
        name: str | None = None,
        place: Place | None = None,
        restart: Restart = "transient",
        shutdown_s: float | None = 5.0,
        significant: bool = False,
    ) -> Awaitable[ActorRef]:
        """Start an actor as a supervised child: of ``/user`` for a node, of itself for an actor.

        Await the result to get the ref; it resolves after ``on_start`` has succeeded.

        actor: an ``Actor`` class with its arguments in ``args`` (keywords by ``functools.partial``), or a function
            ``(message)`` or ``(actor, message)`` with an annotated message.
        name: unique among the living children; None generates one.
        place: the name of a connected node to run it on, or a function that takes this node and returns such a name
            (called again whenever the actor has to be placed again); None is this node.  A placed actor stays a child
            of this parent: the parent's strategy decides about its failures, its ref survives a new placement, and it
            ends with the parent.  The other node imports the class by its qualified name; the arguments are encoded.
        restart: ``permanent`` restarts it whenever it ends by itself, ``transient`` when it fails, ``temporary`` never.
        shutdown_s: seconds that it may take to stop before it is killed; None is no limit.
        significant: True lets its end end the parent, see ``Strategy.auto_shutdown``.
        Raises ``NameTaken``, ``InvalidName``, ``InvalidHandler``, ``NodeClosed``, ``StartFailed`` (its ``__cause__`` is
        what ``on_start`` raised), and ``NodeUnreachable`` when ``place`` is not connected.
        """
        parent = self.__spawn_parent__()
        return start_child(parent, actor, args, name, place, restart, shutdown_s, significant)


def start_child(
    parent: Cell,
    actor: Callable[..., object],
    args: tuple[object, ...],
    name: str | None,
    place: Place | None,
    restart: Restart,
    shutdown_s: float | None,
    significant: bool,
) -> Awaitable[ActorRef]:
    """Start a child of ``parent``; the arguments, the result and the errors are those of ``Spawner.spawn``."""
    if place is None or place == parent.system.name:
        return spawn_awaited(parent, actor, args, name, restart, shutdown_s, significant)
    if parent.system.placement is None:
        raise InvalidOption(f"place={place!r}: node {parent.system.name} cannot start actors on other nodes")
    return parent.system.placement().spawn(parent, place, actor, args, name, restart, shutdown_s, significant)
