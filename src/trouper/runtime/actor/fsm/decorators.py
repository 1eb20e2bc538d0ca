"""The decorators that declare the rows of a state machine, and how they are read from a class."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ...kernel.errors import InvalidHandler
from ..handlers import handlers_of_method
from .table import Kind, State, TableRow, Target

F = TypeVar("F", bound=Callable[..., object])
Delay = float | Callable[[Any], float]  # Any: the actor, of whatever class the row is in
_MARK = "__trouper_rows__"


class _Declared:
    """What one decorator said; the message types are read when the class is made."""

    def __init__(
        self, kind: Kind, states: tuple[State, ...], to: Target | tuple[Target, ...], after_s: Delay | None
    ) -> None:
        self.kind: Kind = kind
        self.states, self.after_s = states, after_s
        self.targets = to if isinstance(to, tuple) else (to,)


def on(*states: State, to: Target | tuple[Target, ...] = ()) -> Callable[[F], F]:
    """Mark a method as what a message does in these states; the message is found by annotation, as with ``@handler``.

    to: the state to go to when the method has returned, or ``END`` to stop; or several, of which the method chooses one
    with ``self.go(state)``, else it stays; left out, it stays.  What the method returns is the reply.
    """
    return _declare(_Declared("message", states, to, None))


def on_enter(*states: State) -> Callable[[F], F]:
    """Mark a plain method ``(self)`` to run each time one of these states is entered, the start included."""
    return _declare(_Declared("enter", states, (), None))


def on_exit(*states: State) -> Callable[[F], F]:
    """Mark a plain method ``(self)`` to run each time one of these states is left, which ``self.state`` still is."""
    return _declare(_Declared("exit", states, (), None))


def on_state_timeout(*states: State, after_s: Delay, to: Target | tuple[Target, ...] = ()) -> Callable[[F], F]:
    """Mark a method ``(self)`` to run once the machine has been in the state for so long; leaving it cancels.

    after_s: seconds, above 0, or a function of the actor that returns them.  to: as in ``on``.
    """
    return _declare(_Declared("state_timeout", states, to, after_s))


def on_event_timeout(*states: State, after_s: Delay, to: Target | tuple[Target, ...] = ()) -> Callable[[F], F]:
    """Mark a method ``(self)`` to run once nothing at all has come for so long in the state; else as ``on_state_timeout``."""
    return _declare(_Declared("event_timeout", states, to, after_s))


def _declare(declared: _Declared) -> Callable[[F], F]:
    def mark(function: F) -> F:
        if not declared.states:
            raise InvalidHandler(f"{function.__qualname__}: name at least one state in its decorator")
        setattr(function, _MARK, [*getattr(function, _MARK, ()), declared])
        return function

    return mark


def rows_of(cls: type) -> list[TableRow]:
    """Collect what the decorators of a class and its bases say; raises ``InvalidHandler``."""
    functions: dict[str, Callable[..., object]] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if hasattr(value, _MARK):
                functions[name] = value
            elif name in functions and callable(value):
                raise InvalidHandler(f"{cls.__qualname__}.{name} overrides a row of the table: decorate it too")
    return [row for function in functions.values() for row in _rows_of_method(function)]


def _rows_of_method(function: Callable[..., object]) -> Iterable[TableRow]:
    declared: list[_Declared] = getattr(function, _MARK)
    for each in declared:
        messages: tuple[type, ...] = ()
        if each.kind == "message":
            messages = tuple(handlers_of_method(function))
        elif len(inspect.signature(function).parameters) != 1:
            raise InvalidHandler(f"{function.__qualname__} must take nothing after self: no message comes with it")
        elif each.kind in ("enter", "exit") and inspect.iscoroutinefunction(function):
            raise InvalidHandler(f"{function.__qualname__} must be a plain `def`: nothing may come between two states")
        for state in each.states:
            yield TableRow(each.kind, state, function, messages, each.targets, each.after_s)
