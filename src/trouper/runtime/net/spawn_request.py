"""Spawning elsewhere: an actor's class travels by its qualified name, its arguments as typed msgpack.

Law of this file: bytes from outside choose among modules that are loaded here, or that the node was told to allow;
nothing else is ever imported for them, unless the node was told to take code (``shipping.py``).
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, cast, get_type_hints

import msgspec

from ..kernel.bare_actor import BareActor
from ..kernel.errors import InvalidHandler, WireError
from ..node.strict_wire import WireCopier
from ..session.codec import SessionCodec
from .control import SpawnActor
from .qualified_names import find_loaded, loaded_module, qualified_name

if TYPE_CHECKING:
    from .code_shipping import CodeShipping


def spawn_request(
    actor: Callable[..., object],
    args: tuple[object, ...],
    name: str | None,
    shutdown_s: float | None,
    shipping: CodeShipping | None = None,
) -> SpawnActor:
    """Make the request.

    shipping: how code may travel that no module defines; None ships none.
    Raises ``InvalidHandler`` for what another process cannot find by name, ``TypeError`` for arguments of which there
    are too many or too few, and ``WireError`` for one that cannot travel, or is not what the annotation of its
    parameter says.  The node that starts the actor checks all of it again.
    """
    keywords: dict[str, object] = {}
    if isinstance(actor, partial):
        part = cast("partial[object]", actor)
        actor, args, keywords = part.func, (*part.args, *args), dict(part.keywords)
    wanted = qualified_name(actor)
    module, _, qualified = wanted.partition(":")
    shipped = None if shipping is None else _shipped(actor, shipping)
    if shipped is None and (find_loaded(module, qualified) is not actor or module == "__main__"):
        raise InvalidHandler(
            f"{actor!r} cannot be spawned on another node: define it at the top of a module, "
            "or let code travel by Node(code_shipping=True) on both"
        )
    if isinstance(actor, type):
        inspect.signature(actor).bind(*args, **keywords)
        _read_arguments(actor, args, keywords, WireCopier().value, qualified)
    elif args or keywords:
        raise InvalidHandler(f"{wanted} is a function: it takes messages, not the arguments {args!r}")
    return SpawnActor(
        wanted,
        cast("msgspec.Raw", list(args)),  # msgspec writes what a field holds; it is read as Raw
        cast("msgspec.Raw", keywords),
        name,
        shutdown_s,
        shipped=shipped,
    )


def _shipped(actor: Callable[..., object], shipping: CodeShipping) -> bytes | None:
    from .code_shipping import is_by_value, pack  # noqa: PLC0415  only who uses it pays for it

    return pack(actor, shipping) if is_by_value(actor) else None


def resolve_spawn(
    spawn: SpawnActor, tables: SessionCodec, allowed: Collection[str], shipping: CodeShipping | None = None
) -> Callable[..., object]:
    """Find the class, read its arguments, and put the two together.

    shipping: what code may come in; None takes none.
    Raises ``WireError`` saying what is wrong with the request.
    """
    qualified = spawn.actor.partition(":")[2]
    actor = _found(spawn, allowed) if spawn.shipped is None else _unpacked(spawn.actor, spawn.shipped, shipping)
    is_class = isinstance(actor, type) and issubclass(actor, BareActor)
    if not is_class and not isinstance(actor, FunctionType):
        raise WireError(f"{spawn.actor} is no actor class or function of this node")
    found = cast("Callable[..., object]", actor)
    said = f"the arguments of {qualified}"
    values = cast("list[msgspec.Raw]", tables.read_as(list[msgspec.Raw], spawn.args, said))
    named = cast("dict[str, msgspec.Raw]", tables.read_as(dict[str, msgspec.Raw], spawn.keywords, said))
    if not values and not named:
        return found
    if not is_class:
        raise WireError(f"{spawn.actor} is a function: it takes messages, not arguments")

    def read(annotation: object, value: object, said: str) -> object:
        return tables.read_as(annotation, cast("msgspec.Raw", value), said)

    args, keywords = _read_arguments(found, values, named, read, qualified)
    return partial(found, *args, **keywords)


def _found(spawn: SpawnActor, allowed: Collection[str]) -> object:
    module, _, qualified = spawn.actor.partition(":")
    if loaded_module(module) is None:
        if module not in allowed:
            raise WireError(
                f"the module {module!r} is not loaded here and not in allowed_modules: allow it, or import it"
            )
        importlib.import_module(module)
    return find_loaded(module, qualified)


def _unpacked(name: str, shipped: bytes, shipping: CodeShipping | None) -> object:
    if shipping is None:
        raise WireError(f"{name} came as code, which this node does not take: give it Node(code_shipping=True) too")
    from .code_shipping import unpack  # noqa: PLC0415  only who uses it pays for it

    return unpack(shipped, shipping)


def _read_arguments(
    actor: Callable[..., object],
    values: Sequence[object],
    named: Mapping[str, object],
    read_as: Callable[[object, object, str], object],
    name: str,
) -> tuple[tuple[object, ...], dict[str, object]]:
    """Read each argument by the annotation of its parameter; one without an annotation may be anything."""
    try:
        bound = inspect.signature(actor).bind(*values, **named)
        hints = get_type_hints(getattr(actor, "__init__"), include_extras=True)  # noqa: B009  each class has its own
    except (TypeError, NameError) as error:
        raise WireError(f"{name} cannot be made from these arguments: {error}") from error

    def read(parameter: str, value: object) -> object:
        return read_as(hints.get(parameter, object), value, f"the argument {parameter!r} of {name}")

    for parameter in bound.signature.parameters.values():
        if parameter.name not in bound.arguments:
            continue
        given = bound.arguments[parameter.name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            bound.arguments[parameter.name] = tuple(read(parameter.name, value) for value in given)
        elif parameter.kind is parameter.VAR_KEYWORD:
            bound.arguments[parameter.name] = {key: read(parameter.name, value) for key, value in given.items()}
        else:
            bound.arguments[parameter.name] = read(parameter.name, given)
    return bound.args, bound.kwargs
