"""Fingerprints of a state's type, and of the code that makes a state of events (PURE).

A snapshot carries both, so that one that was made by another type or by other code is noticed.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Mapping
from types import CodeType, FunctionType
from typing import cast

import msgspec

FINGERPRINT_CHARS = 16
_REFERENCE = re.compile(r'"#/\$defs/([^"]*)"')
_PROSE = frozenset({"title", "description", "default", "examples"})
_PLAIN = (int, float, complex, str, bytes, bool, type(None))


def shape_of(state_type: object) -> str:
    """Return a fingerprint of the names and types of the fields of a type, and of the types in them.

    Names of classes, docstrings and defaults are not part of it.  A ``dict[str, object]`` has no fields to compare.
    """
    try:
        text = json.dumps(_without_prose(msgspec.json.schema(state_type)), sort_keys=True)
    except Exception:  # noqa: BLE001  a type with hooks of its own may raise anything; its name must do
        return _digest([repr(state_type)])
    names: dict[str, str] = {}
    for name in _REFERENCE.findall(text):
        names.setdefault(name, f"type {len(names)}")
    for name, number in names.items():
        text = text.replace(f'"#/$defs/{name}"', f'"#/$defs/{number}"').replace(f'"{name}": {{', f'"{number}": {{')
    return _digest([text])


def rules_of(functions: Iterable[FunctionType], classes: Iterable[type]) -> str:
    """Return a fingerprint of functions, and of the functions and plain constants of their modules that they name.

    classes: whose methods are found by name too.  It does not see what a function reaches in another way: code of
    other modules, methods of other objects.  It differs between two versions of Python, as their code does.
    """
    parts: list[str] = [str(sys.implementation.cache_tag)]
    waiting, seen, owners = list(functions), set[FunctionType](), list(classes)
    while waiting:
        function = waiting.pop(0)
        if function in seen:
            continue
        seen.add(function)
        parts += _code(function.__code__, function.__doc__)
        parts += (_shown(value) for value in function.__defaults__ or ())
        cells = function.__closure__ or ()
        found = [cell.cell_contents for cell in cells if _is_set(cell)]
        for name in _names(function.__code__):
            value = function.__globals__.get(name)
            if not isinstance(value, FunctionType) or value.__module__ == function.__module__:
                found.append(value)
            found += (_plain_function(_attribute(owner, name)) for owner in owners)
        for value in found:
            if isinstance(value, FunctionType):
                waiting.append(value)
            else:
                parts.append(_shown(value))
    return _digest(parts)


def _without_prose(schema: object) -> object:
    if isinstance(schema, dict):
        fields = cast("Mapping[str, object]", schema)
        return {
            name: _members(value) if name in ("properties", "$defs") else _without_prose(value)
            for name, value in fields.items()
            if name not in _PROSE
        }
    return [_without_prose(each) for each in cast("list[object]", schema)] if isinstance(schema, list) else schema


def _members(value: object) -> object:
    """Keep every key of a map from names of fields, or of types, to schemas: a field may be called ``title``."""
    return {name: _without_prose(each) for name, each in cast("Mapping[str, object]", value).items()}


def _code(code: CodeType, docstring: str | None = None) -> list[str]:
    """Return what a function does as text: no line numbers, no file names, no docstring."""
    constants = code.co_consts
    if docstring is not None and constants and constants[0] == docstring:
        constants = constants[1:]
    parts = [code.co_code.hex(), " ".join(code.co_names), " ".join(code.co_varnames)]
    for constant in constants:
        parts += _code(constant) if isinstance(constant, CodeType) else [_shown(constant)]
    return parts


def _names(code: CodeType) -> list[str]:
    nested = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return [*code.co_names, *(name for each in nested for name in _names(each))]


def _shown(value: object) -> str:
    """Write a constant; a value that has no such form counts by its type only."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_shown, cast('tuple[object, ...]', value)))})"
    if isinstance(value, frozenset):
        return f"{{{', '.join(sorted(map(_shown, cast('frozenset[object]', value))))}}}"
    return type(value).__qualname__


def _attribute(owner: type, name: str) -> object:
    return next((vars(base)[name] for base in owner.__mro__ if name in vars(base)), None)


def _plain_function(value: object) -> object:
    """Return the function of a method, a static method or a property; None for anything else."""
    for attribute in ("__func__", "fget"):
        value = getattr(value, attribute, value)
    return value if isinstance(value, FunctionType) else None


def _is_set(cell: object) -> bool:
    try:
        getattr(cell, "cell_contents")  # noqa: B009  an unset cell raises
    except ValueError:
        return False
    return True


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:FINGERPRINT_CHARS]
