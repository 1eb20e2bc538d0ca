"""Culprits: which part of a value keeps it from travelling, as a path such as ``.order.lines[2].price`` (PURE)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import cast

import msgspec

DEPTH_MAX = 16
"""Steps of a path; what is nested deeper is named by the place where it begins."""


def unencodable_part(value: object, encode: Callable[[object], object]) -> str:
    """Return the path to the innermost part that ``encode`` refuses; empty when it refuses the whole only."""
    path = ""
    for _ in range(DEPTH_MAX):
        found = next(((step, part) for step, part in _parts(value) if not _can(part, encode)), None)
        if found is None:
            break
        step, value = found
        path += step
    return path


def _can(part: object, encode: Callable[[object], object]) -> bool:
    try:
        encode(part)
    except Exception:  # noqa: BLE001  a value of the user's may raise anything when it is looked at
        return False
    return True


def _parts(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield f".{name}", getattr(value, name, None)
    elif isinstance(value, Mapping):
        for key, part in cast("Mapping[object, object]", value).items():
            yield f"[key {key!r:.40}]", key
            yield f"[{key!r:.40}]", part
    elif isinstance(value, list | tuple | set | frozenset):
        for index, part in enumerate(cast("list[object]", value)):
            yield f"[{index}]", part
