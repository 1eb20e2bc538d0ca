"""Confinement: objects that belong to the thread of a node's loop refuse calls from other threads.

No lock guards them, so that a call from another thread would corrupt them in silence.  The code of an actor that has
another executor than the loop may call them: the loop's thread makes the call, and that code waits for it.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from functools import wraps
from operator import attrgetter
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar, cast

from .executor import current_call, in_loop

if TYPE_CHECKING:
    from .system import System

C = TypeVar("C", bound=type)
P = ParamSpec("P")
R = TypeVar("R")


class HeldLock(Protocol):
    """A lock that the thread of a node's loop holds for good, so that a thread can ask whether it is that thread.

    ``_is_owned`` is what ``threading.Condition`` asks of an ``RLock``.  It makes no object, so it costs a third of
    ``get_ident() == number``, which ``ActorRef.tell`` would pay for each message.
    """

    def _is_owned(self) -> bool: ...


def hold_lock() -> HeldLock:
    """Return a lock that the current thread holds."""
    lock = threading.RLock()
    lock.acquire()
    return cast("HeldLock", lock)


def confine(system_at: str, *names: str) -> Callable[[C], C]:
    """Return a class decorator: its public methods raise ``WrongThread`` in a thread other than the loop's.

    system_at: the attribute of an instance, or the path of attributes, that has its ``System``; while that is None, any
        call is allowed.
    names: the methods and properties; without any, all public ones that the class itself defines.
    """
    system_of = cast("Callable[[object], System | None]", attrgetter(system_at))

    def decorate(cls: C) -> C:
        for name in names or [name for name in vars(cls) if not name.startswith("_")]:
            member: object = vars(cls)[name]
            if isinstance(member, property) and member.fget is not None:
                setattr(cls, name, property(_checked(system_of, name, member.fget), doc=member.__doc__))
            elif inspect.isfunction(member):
                setattr(cls, name, _checked(system_of, name, cast("Callable[..., object]", member)))
        return cls

    return decorate


def _checked(system_of: Callable[[object], System | None], name: str, function: Callable[P, R]) -> Callable[P, R]:
    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        system = system_of(args[0])
        if system is not None and not system.is_loop_thread():
            if current_call.get() is not None:
                return in_loop(system, function, *args, **kwargs)
            system.check_thread(f"{type(args[0]).__name__}.{name}")
        return function(*args, **kwargs)

    return checked
