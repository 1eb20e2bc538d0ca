"""The decorators that declare the rows of a state machine, and the function that reads them from a class."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ...kernel.errors import InvalidHandler
from ..handlers import check_name, handlers_of_method
from .table import Kind, State, TableRow, Target

F = TypeVar("F", bound=Callable[..., object])
Delay = float | Callable[[Any], float]  # Any: the actor, of whatever class the row is in
_MARK = "__trouper_rows__"


class _Declared:
    """The arguments of one decorator; the message types are read when the class is defined."""

    def __init__(
        self, kind: Kind, states: tuple[State, ...], to: Target | tuple[Target, ...], after_s: Delay | None
    ) -> None:
        self.kind: Kind = kind
        self.states, self.after_s = states, after_s
        self.targets = to if isinstance(to, tuple) else (to,)


def on(*states: State, to: Target | tuple[Target, ...] = ()) -> Callable[[F], F]:
    """Mark a method ``(self, message)`` that handles a message in these states, annotated as a handler.

    to: the state to enter when the method has returned, or ``END`` to stop; or a tuple of them, of which the method
        chooses one with ``self.go(state)``.  Without ``to``, or without a choice, the state stays.
    The return value of the method is the reply.
    """
    return _declare(_Declared("message", states, to, None))


def on_enter(*states: State) -> Callable[[F], F]:
    """Mark a plain method ``(self)`` that runs whenever one of these states is entered, also at the start."""
    return _declare(_Declared("enter", states, (), None))


def on_exit(*states: State) -> Callable[[F], F]:
    """Mark a plain method ``(self)`` that runs whenever one of these states is left, before ``self.state`` changes."""
    return _declare(_Declared("exit", states, (), None))


def on_state_timeout(*states: State, after_s: Delay, to: Target | tuple[Target, ...] = ()) -> Callable[[F], F]:
    """Mark a method ``(self)`` that runs when the state has lasted ``after_s``; leaving the state cancels it.

    after_s: seconds, above 0, or a function that takes the actor and returns them.  to: as in ``on``.
    """
    return _declare(_Declared("state_timeout", states, to, after_s))


def on_event_timeout(*states: State, after_s: Delay, to: Target | tuple[Target, ...] = ()) -> Callable[[F], F]:
    """Mark a method ``(self)`` that runs when no message has come for ``after_s`` in the state.

    after_s, to: as in ``on_state_timeout``.
    """
    return _declare(_Declared("event_timeout", states, to, after_s))


def _declare(declared: _Declared) -> Callable[[F], F]:
    def mark(function: F) -> F:
        if not declared.states:
            raise InvalidHandler(f"{function.__qualname__}: name at least one state in its decorator")
        setattr(function, _MARK, [*getattr(function, _MARK, ()), declared])
        return function

    return mark


def rows_of(cls: type) -> list[TableRow]:
    """Return the rows that the decorators of a class and its bases declare; raises ``InvalidHandler``."""
    functions: dict[str, Callable[..., object]] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if hasattr(value, _MARK):
                check_name(cls, base, name)
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
            raise InvalidHandler(f"{function.__qualname__} must take nothing after self: it gets no message")
        elif each.kind in ("enter", "exit") and inspect.iscoroutinefunction(function):
            raise InvalidHandler(f"{function.__qualname__} must be a plain `def`: a change of state cannot wait")
        for state in each.states:
            yield TableRow(each.kind, state, function, messages, each.targets, each.after_s)
