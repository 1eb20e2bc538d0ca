"""Spawning: ``SpawnMixin`` gives ``spawn`` to nodes and actors; the functions make a child cell of its arguments."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator
from functools import lru_cache, partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar, TypeVarTuple, cast, get_origin, overload

from ..kernel.bare_actor import BareActor, check_resume
from ..kernel.cell import Cell
from ..kernel.errors import InvalidHandler, InvalidOption, StartFailed, TrouperError
from ..kernel.lifecycle import start
from ..kernel.mailbox import Mailbox
from ..kernel.message import Message
from ..kernel.ref import ActorRef
from ..kernel.supervision import NO_OVERRIDES, ChildSpec, Overrides, Restart
from .handlers import handlers_of_functions

if TYPE_CHECKING:
    from ..kernel.placement import Place

M = TypeVar("M", bound="Message[object]")
A = TypeVar("A", bound=BareActor)
P = ParamSpec("P")
Ts = TypeVarTuple("Ts")
_ACTOR = "__trouper_actor__"


class SpawnMixin:
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
        mailbox: Mailbox | None = None,
        resume: tuple[type[Exception], ...] | None = None,
        executor: str | None = None,
    ) -> Awaitable[ActorRef]: ...
    @overload
    def spawn(
        self,
        actor: Callable[..., BareActor],
        *,
        name: str,
        place: Place | None = None,
        restart: Restart = "transient",
        shutdown_s: float | None = 5.0,
        significant: bool = False,
        mailbox: Mailbox | None = None,
        resume: tuple[type[Exception], ...] | None = None,
        executor: str | None = None,
        **keywords: object,
    ) -> Awaitable[ActorRef]: ...
    @overload
    def spawn(self, actor: Callable[P, BareActor], *args: P.args, **keywords: P.kwargs) -> Awaitable[ActorRef]: ...
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
        mailbox: Mailbox | None = None,
        resume: tuple[type[Exception], ...] | None = None,
        executor: str | None = None,
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
        mailbox: Mailbox | None = None,
        resume: tuple[type[Exception], ...] | None = None,
        executor: str | None = None,
    ) -> Awaitable[ActorRef]: ...
    def spawn(  # type: ignore[misc]  # mypy does not see that `*args, **keywords` take those of any actor
        self,
        actor: Callable[..., object],
        *args: object,
        name: str | None = None,
        place: Place | None = None,
        restart: Restart = "transient",
        shutdown_s: float | None = 5.0,
        significant: bool = False,
        mailbox: Mailbox | None = None,
        resume: tuple[type[Exception], ...] | None = None,
        executor: str | None = None,
        **keywords: object,
    ) -> Awaitable[ActorRef]:
        """Start an actor as a supervised child: of ``/user`` for a node, of itself for an actor.

        Await the result to get the ref; it resolves after ``on_start`` has succeeded.

        actor: an ``Actor`` class, or a function ``(message)`` or ``(actor, message)`` with an annotated message.
        args, keywords: of the actor's ``__init__``; a keyword of one of the names below goes by ``functools.partial``.
        name: unique among the living children; None generates one.
        place: the name of a connected node to run it on, or a function that takes this node and returns such a name
            (called again whenever the actor has to be placed again); None is this node.  A placed actor stays a child
            of this parent: the parent's strategy decides about its failures, its ref survives a new placement, and it
            ends with the parent.  The other node imports the class by its qualified name; the arguments are encoded.
        restart: ``permanent`` restarts it whenever it ends by itself, ``transient`` when it fails, ``temporary`` never.
        shutdown_s: seconds that it may take to stop before it is killed; None is no limit.
        significant: True lets its end end the parent, see ``Strategy.auto_shutdown``.
        mailbox, resume, executor: in place of the attributes of the actor's class; None is what the class says.  A
            ``mailbox`` with a queue of its own cannot be sent to another ``place``.
        Raises ``NameTaken``, ``InvalidName``, ``InvalidHandler``, ``InvalidOption``, ``NodeClosed``, ``StartFailed``
        (its ``__cause__`` is what ``on_start`` raised), and ``NodeUnreachable`` when ``place`` is not connected.
        """
        parent, overrides = self.__spawn_parent__(), overrides_of(mailbox, resume, executor)
        made = partial(actor, **keywords) if keywords else actor
        return start_child(parent, made, args, name, place, restart, shutdown_s, significant, overrides)


def overrides_of(
    mailbox: Mailbox | None, resume: tuple[type[Exception], ...] | None, executor: str | None
) -> Overrides:
    """Return what a spawn says in place of the actor's class; raises ``InvalidOption`` for a value of a wrong type."""
    if mailbox is None and resume is None and executor is None:
        return NO_OVERRIDES
    if not isinstance(cast("object", mailbox), Mailbox | None):
        raise InvalidOption(f"spawn(mailbox={mailbox!r:.100}) must be a Mailbox(...), or None for that of the class")
    if resume is not None:
        check_resume("spawn(resume=...)", resume)
    return Overrides(mailbox, resume, executor)


def start_child(
    parent: Cell,
    actor: Callable[..., object],
    args: tuple[object, ...],
    name: str | None,
    place: Place | None,
    restart: Restart,
    shutdown_s: float | None,
    significant: bool,
    overrides: Overrides = NO_OVERRIDES,
) -> Awaitable[ActorRef]:
    """Start a child of ``parent``; the arguments, the result and the errors are those of ``SpawnMixin.spawn``."""
    cell = _placed_child(parent, actor, args, name, place, restart, shutdown_s, significant, overrides)
    if cell is not None:
        return _Placed(begin_child(cell))
    return spawn_awaited(parent, actor, args, name, restart, shutdown_s, significant, overrides)


def _placed_child(
    parent: Cell,
    actor: Callable[..., object],
    args: tuple[object, ...],
    name: str | None,
    place: Place | None,
    restart: Restart,
    shutdown_s: float | None,
    significant: bool,
    overrides: Overrides,
) -> Cell | None:
    """Make a child that runs where ``place`` says; None where that is this node."""
    if place is None or place == parent.system.name:
        return None
    if parent.system.placement is None:
        raise InvalidOption(f"place={place!r}: node {parent.system.name} cannot start actors on other nodes")
    make = parent.system.placement().make_child
    return make(parent, place, actor, args, name, restart, shutdown_s, significant, overrides)


class _Placed:
    """Awaits the start; an error on the other node is raised as it would be for a start on this node."""

    __slots__ = ("_started",)

    def __init__(self, started: Awaitable[ActorRef]) -> None:
        self._started = started

    def __await__(self) -> Generator[object, None, ActorRef]:
        try:
            return (yield from self._started.__await__())
        except StartFailed as error:
            if isinstance(error.__cause__, TrouperError):
                raise error.__cause__ from None
            raise


class PendingSpawn:
    """The awaitable result of ``spawn``: resolves to the ref.  Cancelling the wait kills the starting actor."""

    __slots__ = ("_cell", "error", "future")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self.error: BaseException | None = None
        self.future: asyncio.Future[None] | None = None

    def start_done(self, error: BaseException | None) -> None:
        """Called when the start has succeeded (``error`` is None) or failed."""
        self.error = error
        if self.future is not None and not self.future.done():
            if error is None:
                self.future.set_result(None)
            else:
                self.future.set_exception(error)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            raise AttributeError(
                f"`{name}` of a spawn that was not awaited: write `ref = await node.spawn(...)`, then `ref.{name}`"
            )

    def __await__(self) -> Generator[object, None, ActorRef]:
        if self.future is not None:
            try:
                yield from self.future.__await__()
            except asyncio.CancelledError:
                self._cell.request_kill()
                raise
        return self._cell.ref


def spawn_awaited(
    parent: Cell,
    actor: Callable[..., object],
    args: tuple[object, ...],
    name: str | None,
    restart: Restart,
    shutdown_s: float | None,
    significant: bool,
    overrides: Overrides = NO_OVERRIDES,
) -> Awaitable[ActorRef]:
    """Start a child on this node; the awaitable resolves to its ref after ``on_start`` has succeeded."""
    spec, args = _spec_of(actor, args, restart, shutdown_s, significant, overrides)
    return begin_child(parent.system.make_child(parent, spec, args, name))


def begin_child(cell: Cell) -> Awaitable[ActorRef]:
    """Start a cell; the awaitable resolves to its ref after ``on_start`` has succeeded.

    Raises what a plain ``on_start`` raised.
    """
    spawned = PendingSpawn(cell)
    start(cell, spawned)
    if spawned.error is not None:
        raise spawned.error
    if cell.phase == "starting":
        spawned.future = cell.system.loop.create_future()
    return spawned


def spawn_nowait(
    parent: Cell,
    actor: Callable[..., object],
    args: tuple[object, ...],
    name: str | None,
    restart: Restart,
    place: Place | None = None,
    overrides: Overrides = NO_OVERRIDES,
) -> ActorRef:
    """Start a child and return its ref at once; a failure to start goes to the parent's supervision strategy."""
    cell = _placed_child(parent, actor, args, name, place, restart, 5.0, False, overrides)
    if cell is not None:
        start(cell, None)
        return cell.ref
    spec, args = _spec_of(actor, args, restart, 5.0, False, overrides)
    return parent.system.spawn(parent, spec, args, name).ref


def _spec_of(
    actor: Callable[..., object],
    args: tuple[object, ...],
    restart: Restart,
    shutdown_s: float | None,
    significant: bool,
    overrides: Overrides,
) -> tuple[ChildSpec, tuple[object, ...]]:
    """Return the specification and all arguments of a class, a ``functools.partial`` of one, or a function."""
    made: object = actor
    if isinstance(made, type) and issubclass(made, BareActor):
        if overrides is not NO_OVERRIDES:
            return ChildSpec(made, restart, shutdown_s, significant, None, overrides), args
        return _shared_spec(cast("type", made), restart, shutdown_s, significant), args
    if isinstance(made, partial):
        part = cast("partial[object]", made)
        if part.keywords and inspect.isroutine(part.func):
            raise InvalidHandler(
                f"{part.func.__qualname__} is a function: it takes a message, not the arguments {part.keywords!r:.200}"
            )
        inner, args = _spec_of(part.func, (*part.args, *args), restart, shutdown_s, significant, overrides)
        return ChildSpec(inner.actor, restart, shutdown_s, significant, part.keywords, overrides), args
    origin = get_origin(made)
    if isinstance(origin, type):  # Cache[int]: its parameters are for type checkers
        return _spec_of(origin, args, restart, shutdown_s, significant, overrides)
    if isinstance(made, BareActor):
        raise InvalidHandler(
            f"{actor!r} was made already, and the runtime makes its instances: pass the class and its arguments, as in "
            f"spawn({type(made).__qualname__}, ...)"
        )
    if not inspect.isroutine(actor):
        raise InvalidHandler(f"{actor!r} cannot be spawned: pass an Actor class, a partial of one, or a function")
    if args:
        raise InvalidHandler(f"{actor.__qualname__} is a function: it takes a message, not the arguments {args!r}")
    return ChildSpec(_actor_class_of(actor), restart, shutdown_s, significant, None, overrides), ()


@lru_cache(maxsize=1024)
def _shared_spec(actor: type, restart: Restart, shutdown_s: float | None, significant: bool) -> ChildSpec:
    """Return one specification for all children with equal options, to save memory."""
    return ChildSpec(cast("type[BareActor]", actor), restart, shutdown_s, significant)


def _actor_class_of(function: Callable[..., object]) -> type[BareActor]:
    """Return an actor class whose one handler is a function ``(message)`` or ``(actor, message)``.

    The class is cached on the function, so that it is freed with it; that of a bound method is made each time.
    """
    from .actor import Actor  # noqa: PLC0415  ``actor.py`` imports this file

    known: type[BareActor] | None = getattr(function, _ACTOR, None) if inspect.isfunction(function) else None
    if known is not None:
        return known
    made = cast("type[Actor]", type(function.__name__, (Actor,), {"__module__": function.__module__}))
    made.__handler_table__ = made.__make_handler_table__(handlers_of_functions([function]))
    if inspect.isfunction(function):
        setattr(function, _ACTOR, made)
    return made
