"""Handlers: reads from annotations which method handles which message, when a class is defined.

A handler handles the message class that its parameter is annotated with, and the subclasses of it; a union stands for
each of its members.  Mistakes raise ``InvalidHandler`` at the class definition.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar, Union, cast, get_args, get_origin, get_type_hints, overload

from ..kernel.errors import InvalidHandler
from ..kernel.handler_table import Handle, HandlerEntry
from ..kernel.message import Message, reply_types

if TYPE_CHECKING:
    from ..kernel.ref import ActorRef

F = TypeVar("F", bound=Callable[..., object])
_MARK = "__trouper_handler__"
_FOUND = "__trouper_handlings__"
_RUNTIME = __name__.removesuffix("actor.handlers")


@overload
def handler(function: F, /) -> F: ...
@overload
def handler(*, reentrant: bool = False) -> Callable[[F], F]: ...
def handler(function: F | None = None, /, *, reentrant: bool = False) -> F | Callable[[F], F]:
    """Mark a method as the handler of the message class that its parameter is annotated with.

    A plain ``def`` runs inline, which is fastest; an ``async def`` runs in the actor's task.  Either way the actor
    handles no other message until the handler has returned, unless one of the two is reentrant.

    reentrant: True (``async def`` only) starts the handler as soon as its message arrives, ahead of queued messages and
        while another handler waits, and lets other handlers run during its awaits.  Order (law 2) then holds among
        messages for reentrant handlers and among those for other handlers, but not between the two.
    Raises ``InvalidHandler`` for a reentrant plain ``def``, and when it is given no function.
    """

    def mark(marked: F) -> F:
        given: object = marked
        if not inspect.isfunction(given):
            raise InvalidHandler(
                f"@handler was given {marked!r}: write @handler alone, above a method; the annotation of the parameter "
                "says which message it handles"
            )
        if reentrant and not inspect.iscoroutinefunction(marked):
            raise InvalidHandler(f"{marked.__qualname__} is reentrant but not `async def`: it has no await to yield at")
        setattr(marked, _MARK, reentrant)
        return marked

    return mark if function is None else mark(function)


def handled_types(ref: ActorRef) -> list[type[Message[object]]]:
    """Return the message types that an actor of this node handles now, without the subclasses of them."""
    return cast("list[type[Message[object]]]", list(ref._cell.handler_table.entries))  # noqa: SLF001  a ref is the runtime's own


def handlers_of_class(cls: type) -> dict[type, HandlerEntry]:
    """Return the handlers of a class and its bases by message class; raises ``InvalidHandler``."""
    functions: dict[str, Callable[..., object]] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            inner = getattr(value, "__func__", None) or getattr(value, "fget", None)  # of a classmethod, of a property
            if hasattr(inner, _MARK):
                kind = type(value).__name__
                raise InvalidHandler(
                    f"{cls.__qualname__}.{name} is a handler and a {kind}: a handler is a plain method, which has the "
                    f"actor as `self`; remove @{kind}"
                )
            if hasattr(value, _MARK):
                check_name(cls, base, name)
                functions[name] = value
            elif name in functions and callable(value):
                raise InvalidHandler(f"{cls.__qualname__}.{name} overrides a handler: mark it @handler too")
    return _merge(cls.__qualname__, (handlers_of_method(function) for function in functions.values()))


def check_name(cls: type, base: type, name: str) -> None:
    """Raise ``InvalidHandler`` for a handler that would hide what the runtime's own classes of actors have."""
    for other in cls.__mro__:
        if other is not base and name in vars(other) and other.__module__.startswith(_RUNTIME):
            raise InvalidHandler(
                f"{base.__qualname__}.{name} has the name of `{other.__name__}.{name}`, which it would hide: give the "
                "handler another name; the annotation alone says which message it handles"
            )


def handlers_of_functions(functions: Iterable[Callable[..., object]]) -> dict[type, HandlerEntry]:
    """Return the handlers made of functions and bound methods ``(message)`` and functions ``(actor, message)``."""
    return _merge("become()", (_entries_of_function(function, None) for function in functions))


def _merge(owner: str, parts: Iterable[dict[type, HandlerEntry]]) -> dict[type, HandlerEntry]:
    merged: dict[type, HandlerEntry] = {}
    for part in parts:
        for type_, entry in part.items():
            other = merged.setdefault(type_, entry)
            if other is not entry:
                raise InvalidHandler(
                    f"{owner} handles {type_.__qualname__} twice: in {other.function.__qualname__} and in "
                    f"{entry.function.__qualname__}; remove one of them"
                )
    return merged


def handlers_of_method(function: Callable[..., object]) -> dict[type, HandlerEntry]:
    """Read the annotations of a method once, where its class is defined: a subclass may lack the names in them."""
    known: dict[type, HandlerEntry] | None = vars(function).get(_FOUND)
    if known is None:
        known = _entries_of_function(function, 1)
        setattr(function, _FOUND, known)
    return known


def _entries_of_function(function: Callable[..., object], position: int | None) -> dict[type, HandlerEntry]:
    if not callable(function):
        raise InvalidHandler(f"{function!r} is no function: pass functions and bound methods")
    name = function.__qualname__
    parameters = list(inspect.signature(function).parameters.values())
    place = len(parameters) - 1 if position is None else position
    by_position = all(each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) for each in parameters)
    if len(parameters) != (place + 1) or place not in (0, 1) or not by_position:
        raise InvalidHandler(
            f"{name}{inspect.signature(function)} must take exactly one message after self, by position"
        )
    hints = _hints(function)
    if parameters[place].name not in hints:
        raise InvalidHandler(f"{name}: annotate the parameter {parameters[place].name!r} with a Message class")
    if place == 1 and position is None and _is_message(hints.get(parameters[0].name)):
        raise InvalidHandler(f"{name} takes two messages: a function takes (message), or (actor, message)")
    call = function if place == 1 else _without_actor(function)
    entry = HandlerEntry(
        call, function, inspect.iscoroutinefunction(function), reentrant=getattr(function, _MARK, False)
    )
    found: dict[type, HandlerEntry] = {}
    for type_ in _message_types(name, hints[parameters[place].name]):
        if "return" in hints:
            _check_reply(name, type_, hints["return"])
        found[type_] = entry
    return found


def _is_message(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Message)


def _without_actor(function: Callable[..., object]) -> Handle:
    return lambda _actor, message: function(message)


def _message_types(name: str, annotation: object) -> list[type]:
    parts = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    found: list[type] = []
    for part in parts:
        cls: object = get_origin(part) or part
        if not (isinstance(cls, type) and issubclass(cls, Message)):
            shown = getattr(part, "__qualname__", repr(part))
            raise InvalidHandler(f"{name}: the message parameter is annotated {shown}, which is no Message class")
        found.append(cast("type", cls))
    return found


def _check_reply(name: str, message: type, returned: object) -> None:
    """Raise ``InvalidHandler`` when no class of a return annotation can be a reply to this message."""
    wanted: tuple[type, ...] | None = getattr(message, "__reply__", None)
    offered = reply_types(returned)
    if message is Message or wanted is None or offered is None or any(issubclass(cls, wanted) for cls in offered):
        return
    names = _named(wanted)
    raise InvalidHandler(
        f"{name} returns {_named(offered)}, but the reply to {message.__qualname__} is {names}: change one of the two"
    )


def _named(classes: Iterable[type]) -> str:
    return " | ".join("None" if cls is types.NoneType else cls.__name__ for cls in classes)


def _hints(function: Callable[..., object]) -> dict[str, object]:
    """Return the annotations, resolved also where they name locals of the function that defines the class."""
    scope: dict[str, object] = {}
    frame: types.FrameType | None = sys._getframe(1)  # noqa: SLF001  the only access to the names around a class
    while frame is not None and frame.f_globals.get("__name__") != function.__module__:
        frame = frame.f_back
    while frame is not None and frame.f_code.co_name != "<module>":
        scope = {**frame.f_locals, **scope}
        frame = frame.f_back
    try:
        return get_type_hints(function, localns=scope)
    except NameError as error:
        raise InvalidHandler(
            f"{function.__qualname__}: cannot resolve an annotation ({error}); define it above the actor"
        ) from error
