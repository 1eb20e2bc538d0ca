"""Spawning: makes a child cell of what a user passes to ``spawn``."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator
from functools import lru_cache, partial
from typing import cast

from ..kernel.bare_actor import BareActor
from ..kernel.cell import Cell
from ..kernel.errors import InvalidHandler
from ..kernel.lifecycle import start
from ..kernel.ref import ActorRef
from ..kernel.supervision import ChildSpec, Restart
from .handlers import handlers_of_functions

_ACTOR = "__trouper_actor__"


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
) -> Awaitable[ActorRef]:
    """Start a child on this node; the awaitable resolves to its ref after ``on_start`` has succeeded."""
    spec, args = _spec_of(actor, args, restart, shutdown_s, significant)
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
) -> ActorRef:
    """Start a child and return its ref at once; a failure to start goes to the parent's supervision strategy."""
    spec, args = _spec_of(actor, args, restart, 5.0, significant=False)
    return parent.system.spawn(parent, spec, args, name).ref


def _spec_of(
    actor: Callable[..., object],
    args: tuple[object, ...],
    restart: Restart,
    shutdown_s: float | None,
    significant: bool,
) -> tuple[ChildSpec, tuple[object, ...]]:
    """Return the specification and all arguments of a class, a ``functools.partial`` of one, or a function."""
    made: object = actor
    if isinstance(made, type) and issubclass(made, BareActor):
        return _shared_spec(cast("type", made), restart, shutdown_s, significant), args
    if isinstance(made, partial):
        part = cast("partial[object]", made)
        inner, args = _spec_of(part.func, (*part.args, *args), restart, shutdown_s, significant)
        return ChildSpec(inner.actor, restart, shutdown_s, significant, part.keywords), args
    if not inspect.isroutine(actor):
        raise InvalidHandler(f"{actor!r} cannot be spawned: pass an Actor class, a partial of one, or a function")
    if args:
        raise InvalidHandler(f"{actor.__qualname__} is a function: it takes a message, not the arguments {args!r}")
    return ChildSpec(_actor_class_of(actor), restart, shutdown_s, significant), ()


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
