"""Spawning: from what a user hands to ``spawn`` to a child of a cell."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from typing import cast

from .kernel.actor import BareActor
from .kernel.behaviour import handlings_of_functions
from .kernel.cell import Cell
from .kernel.errors import InvalidHandler
from .kernel.ref import ActorRef
from .kernel.supervision import ChildSpec, Restart


def spawn_awaited(
    parent: Cell,
    actor: Callable[..., object],
    args: tuple[object, ...],
    name: str | None,
    restart: Restart,
    shutdown_s: float | None,
    significant: bool,
) -> Awaitable[ActorRef]:
    """Start a child; the awaitable gives its ref once ``on_start`` has succeeded."""
    if isinstance(actor, type) and issubclass(actor, BareActor):
        spec = _spec(actor, restart, shutdown_s, significant)
    else:
        spec, args = _unusual_spec(actor, args, restart, shutdown_s, significant)
    return parent.system.spawn_awaited(parent, spec, args, name)


def spawn_nowait(
    parent: Cell, actor: Callable[..., object], args: tuple[object, ...], name: str | None, restart: Restart
) -> ActorRef:
    """Start a child whose failure to start is left to its parent's supervision."""
    spec, args = _unusual_spec(actor, args, restart, 5.0, significant=False)
    return parent.system.spawn(parent, spec, args, name).ref


@lru_cache(maxsize=1024)
def _spec(actor: type[BareActor], restart: Restart, shutdown_s: float | None, significant: bool) -> ChildSpec:
    """Share one specification among all children that are kept alike: a million of them cost one."""
    return ChildSpec(actor, restart, shutdown_s, significant)


def _unusual_spec(
    actor: Callable[..., object],
    args: tuple[object, ...],
    restart: Restart,
    shutdown_s: float | None,
    significant: bool,
) -> tuple[ChildSpec, tuple[object, ...]]:
    """Take a class, a ``functools.partial`` of one, or a function."""
    if isinstance(actor, type) and issubclass(actor, BareActor):
        return _spec(actor, restart, shutdown_s, significant), args
    if isinstance(actor, partial):
        made = cast("partial[object]", actor)
        inner, args = _unusual_spec(made.func, (*made.args, *args), restart, shutdown_s, significant)
        return ChildSpec(inner.actor, restart, shutdown_s, significant, made.keywords), args
    if not inspect.isroutine(actor):
        raise InvalidHandler(f"{actor!r} cannot be spawned: pass an Actor class, a partial of one, or a function")
    if args:
        raise InvalidHandler(f"{actor.__qualname__} is a function: it takes messages, not the arguments {args!r}")
    return _spec(_actor_of(actor), restart, shutdown_s, significant), ()


@lru_cache(maxsize=1024)
def _actor_of(function: Callable[..., object]) -> type[BareActor]:
    """Make an actor class whose one handler is a function ``(message)`` or ``(actor, message)``."""
    from .actor import Actor  # noqa: PLC0415  Actor itself spawns: a function becomes one only when it is spawned

    made = cast("type[BareActor]", type(function.__name__, (Actor,), {"__module__": function.__module__}))
    made.__behaviour__ = made._behaviour_of(handlings_of_functions([function]))  # noqa: SLF001  made here
    return made
