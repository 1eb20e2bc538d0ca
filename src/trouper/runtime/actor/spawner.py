"""``Spawner``: ``spawn``, the same for a node and for an actor."""

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
    """Who starts actors: a node under ``/user``, an actor under itself.  It is not made by itself."""

    def __spawn_parent__(self) -> Cell:
        """Return the cell that supervises what is spawned here."""
        raise NotImplementedError  # a node and an actor keep it in different places

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
        """Start an actor here: a node puts it under ``/user``, an actor under itself, and it is supervised there.

        Awaiting gives its ref, once ``on_start`` has succeeded.

        actor: an ``Actor`` class with its arguments (keywords by ``functools.partial``), or a function
            ``(message)`` or ``(actor, message)`` with an annotated message.
        name: unique among the living children; None makes one up.
        place: the name of a connected node to run it on, or a function that is given this node and returns such a name,
            now and whenever the actor has to be placed anew; None is here.  Wherever it runs, it is a child of this
            parent: its failure is this parent's to decide on, its ref stays when it is placed anew, and it ends when
            this parent ends.  The class must be found there by its name, and its arguments must be able to travel.
        restart: ``permanent`` restarts it whenever it ends by itself, ``transient`` when it fails, ``temporary`` never.
        shutdown_s: seconds it may take to stop before it is killed; None waits for ever.
        significant: see ``Strategy.auto_shutdown``.
        Raises ``NameTaken``, ``InvalidName``, ``NodeClosed``, ``StartFailed`` from what ``on_start`` raised, and
        ``NodeUnreachable`` for a place that is not connected.
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
    """Start a child of any cell; see ``Spawner.spawn``."""
    if place is None or place == parent.system.name:
        return spawn_awaited(parent, actor, args, name, restart, shutdown_s, significant)
    if parent.system.placement is None:
        raise InvalidOption(f"place={place!r}: node {parent.system.name} cannot start actors on other nodes")
    return parent.system.placement().spawn(parent, place, actor, args, name, restart, shutdown_s, significant)
