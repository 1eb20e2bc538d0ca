"""Spawning: from what a user hands to ``spawn`` to a child of a cell."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from typing import cast

from .handlers import handlings_of_functions
from .kernel.actor import BareActor
from .kernel.cell import Cell
from .kernel.errors import InvalidHandler
from .kernel.ref import ActorRef
from .kernel.supervision import ChildSpec, Restart


def spawn_awaited(
    parent: Cell,
    base: type[BareActor],
    actor: Callable[..., object],
    args: tuple[object, ...],
    name: str | None,
    restart: Restart,
    shutdown_s: float | None,
    significant: bool,
) -> Awaitable[ActorRef]:
    """Start a child; the awaitable gives its ref once ``on_start`` has succeeded.

    base: the class that a function's actor is made from.
    """
    spec, args = _spec_of(base, actor, args, restart, shutdown_s, significant)
    return parent.system.spawn_awaited(parent, spec, args, name)


def spawn_nowait(
    parent: Cell,
    base: type[BareActor],
    actor: Callable[..., object],
    args: tuple[object, ...],
    name: str | None,
    restart: Restart,
) -> ActorRef:
    """Start a child whose failure to start is left to its parent's supervision."""
    spec, args = _spec_of(base, actor, args, restart, 5.0, significant=False)
    return parent.system.spawn(parent, spec, args, name).ref


def _spec_of(
    base: type[BareActor],
    actor: Callable[..., object],
    args: tuple[object, ...],
    restart: Restart,
    shutdown_s: float | None,
    significant: bool,
) -> tuple[ChildSpec, tuple[object, ...]]:
    """Take a class, a ``functools.partial`` of one, or a function; returns how to keep it, and all its arguments."""
    made: object = actor
    if isinstance(made, type) and issubclass(made, BareActor):
        return _shared_spec(cast("type", made), restart, shutdown_s, significant), args
    if isinstance(made, partial):
        part = cast("partial[object]", made)
        inner, args = _spec_of(base, part.func, (*part.args, *args), restart, shutdown_s, significant)
        return ChildSpec(inner.actor, restart, shutdown_s, significant, part.keywords), args
    if not inspect.isroutine(actor):
        raise InvalidHandler(f"{actor!r} cannot be spawned: pass an Actor class, a partial of one, or a function")
    if args:
        raise InvalidHandler(f"{actor.__qualname__} is a function: it takes messages, not the arguments {args!r}")
    return _shared_spec(_actor_of(cast("type", base), actor), restart, shutdown_s, significant), ()


@lru_cache(maxsize=1024)
def _shared_spec(actor: type, restart: Restart, shutdown_s: float | None, significant: bool) -> ChildSpec:
    """Share one specification among all children that are kept alike: a million of them cost one."""
    return ChildSpec(cast("type[BareActor]", actor), restart, shutdown_s, significant)


@lru_cache(maxsize=1024)
def _actor_of(base: type, function: Callable[..., object]) -> type:
    """Make an actor class whose one handler is a function ``(message)`` or ``(actor, message)``."""
    made = cast("type[BareActor]", type(function.__name__, (base,), {"__module__": function.__module__}))
    made.__behaviour__ = made._behaviour_of(handlings_of_functions([function]))  # noqa: SLF001  made here
    return made
