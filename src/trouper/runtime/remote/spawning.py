"""Spawning elsewhere: an actor's class travels by its qualified name, its arguments as typed msgpack.

Law of this file: bytes from outside choose among modules that are loaded here, or that the node was told to allow;
nothing else is ever imported for them.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Collection
from functools import partial
from pathlib import PurePath
from types import FunctionType
from typing import Any, cast, get_type_hints

import msgspec

from ..kernel.actor import BareActor
from ..kernel.errors import InvalidHandler
from ..wire.codec import Tables, WireError
from .control import Spawn


def name_of(actor: Callable[..., object]) -> str:
    """Return ``module:qualified.name``; raises ``InvalidHandler`` for what another process cannot find by name."""
    module, qualified = actor.__module__, getattr(actor, "__qualname__", "")
    if "<" in qualified or not qualified:
        raise InvalidHandler(f"{actor!r} cannot be spawned on another node: define it at the top of a module")
    if module == "__main__":
        file = getattr(sys.modules["__main__"], "__file__", None)
        module = PurePath(file).stem if file else module
    return f"{module}:{qualified}"


def request(
    actor: Callable[..., object], args: tuple[object, ...], name: str | None, restart: str, shutdown_s: float | None
) -> Spawn:
    """Make the request; raises ``InvalidHandler`` and, for arguments that do not fit ``__init__``, ``TypeError``."""
    keywords: dict[str, object] = {}
    if isinstance(actor, partial):
        part = cast("partial[object]", actor)
        actor, args, keywords = part.func, (*part.args, *args), dict(part.keywords)
    if isinstance(actor, type):
        inspect.signature(actor).bind(*args, **keywords)
    return Spawn(
        name_of(actor),
        cast("msgspec.Raw", list(args)),  # msgspec writes what a field holds; it is read as Raw
        cast("msgspec.Raw", keywords),
        name,
        cast("Any", restart),  # Any: the literal type was checked where the option was given
        shutdown_s,
    )


def resolve(
    spawn: Spawn, tables: Tables, allowed: Collection[str]
) -> tuple[Callable[..., object], tuple[object, ...], dict[str, object]]:
    """Find the class and read its arguments; raises ``WireError`` saying what is wrong with the request."""
    module_name, _, qualified = spawn.actor.partition(":")
    found: object = _module(module_name, allowed)
    for part in qualified.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    is_actor = isinstance(found, type) and issubclass(found, BareActor)
    if not is_actor and not isinstance(found, FunctionType):
        raise WireError(f"{spawn.actor} is no actor class or function of this node")
    actor = cast("Callable[..., object]", found)
    if not is_actor:
        return actor, (), {}
    hints, names = _parameters(actor)
    values = cast("list[msgspec.Raw]", tables.read_as(list[msgspec.Raw], spawn.args, f"the arguments of {qualified}"))
    keywords = cast(
        "dict[str, msgspec.Raw]",
        tables.read_as(dict[str, msgspec.Raw], spawn.keywords, f"the arguments of {qualified}"),
    )
    if len(values) > len(names):
        raise WireError(f"{qualified} takes at most {len(names)} arguments, {len(values)} came in")
    args = [
        tables.read_as(hints.get(name, Any), value, f"the argument {name!r} of {qualified}")
        for name, value in zip(names, values, strict=False)
    ]
    named = {
        name: tables.read_as(hints.get(name, Any), value, f"the argument {name!r} of {qualified}")
        for name, value in keywords.items()
    }
    return actor, tuple(args), named


def _module(name: str, allowed: Collection[str]) -> object:
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if file is not None and PurePath(file).stem == name:
        return main
    if name in sys.modules:
        return sys.modules[name]
    if name not in allowed:
        raise WireError(f"the module {name!r} is not loaded here and not among allowed_modules: allow it, or import it")
    return importlib.import_module(name)


def _parameters(actor: Callable[..., object]) -> tuple[dict[str, object], list[str]]:
    init = getattr(actor, "__init__")  # noqa: B009  each class has its own
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [name for name, parameter in inspect.signature(actor).parameters.items() if parameter.kind in kinds]
    return get_type_hints(init) if init is not object.__init__ else {}, names
