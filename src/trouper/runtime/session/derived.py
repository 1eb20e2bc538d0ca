"""Values whose class is derived from that of their field, and is no message: what they add would be lost (PURE).

msgspec writes all fields of such a value, and the receiver reads those of the class that the field names.  So they are
refused where they are sent.  Messages are not: they carry the name of their class (``polymorphic``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, cast, get_args, get_origin, get_type_hints

import msgspec

from ..kernel.errors import WireError
from ..kernel.message import Message, classes_registered

Classes = frozenset[type]
_SIMPLE = frozenset({type(None), bool, int, float, str, bytes})


def may_lose_fields(annotation: object) -> bool:
    """Whether a class that a value of this annotation can hold has derived ones, and is no message."""
    return any(class_.__subclasses__() for class_ in _reachable(annotation, classes_registered()) if _is_plain(class_))


def holds_classes(annotation: object) -> bool:
    """Whether a field of this annotation may hold a struct, a dataclass or a message; it changes for no new class."""
    return bool(_reachable(annotation, 0) - {annotation})


@lru_cache(maxsize=4096)
def _reachable(annotation: object, classes: int) -> Classes:
    """Return the structs and dataclasses that are named by an annotation, or by a field of what it names.

    classes: how many messages are registered; 0 leaves out those that are derived from the named ones.
    """
    found: set[type[Any]] = set()  # Any: see `_class`
    left: list[object] = [annotation]
    while left:
        one = left.pop()
        left.extend(get_args(one))
        class_ = _class(one)
        if class_ is not None and class_ not in found and (_is_plain(class_) or _is_message(class_)):
            found.add(class_)
            left.extend(_fields(cast("Any", class_)).values())  # Any: the metaclass is of no use to the cache
            if classes and _is_message(class_):
                left.extend(class_.__subclasses__())
    return frozenset(found)


def check_derived(annotation: object, value: object, name: str) -> None:
    """Raise ``WireError`` for a value in which a field holds an instance of a derived class, with the path to it.

    name: of the value, for the error.
    """
    if type(value) in _SIMPLE or not may_lose_fields(annotation):
        return
    try:
        _check(value, _named(annotation), "")
    except Exception as error:  # a value of the user's may raise anything when it is looked at
        raise WireError(f"{name} cannot travel: {error}") from error


def _check(value: object, classes: Classes, path: str) -> None:
    type_: Any = type(value)  # Any: the metaclass is of no use to the caches
    if type_ in classes or _is_message(type_):
        for name, annotation in _fields(type_).items():
            if _reachable(annotation, 0):
                _check(getattr(value, name, None), _named(annotation), f"{path}.{name}")
    elif _is_plain(type_):
        base = next((each for each in type_.__mro__ if each in classes), None)
        if base is not None:
            raise ValueError(
                f"{path.removeprefix('.') or 'it'} is a {type_.__qualname__} in a field of {base.__qualname__}, where "
                f"what it adds would be lost: name it in the type of the field, as {base.__qualname__} | "
                f"{type_.__qualname__} with tag=True in both, or derive {base.__qualname__} from Message"
            )
    elif isinstance(value, Mapping):
        for key, part in cast("Mapping[object, object]", value).items():
            _check(key, classes, f"{path}[key {key!r:.40}]")
            _check(part, classes, f"{path}[{key!r:.40}]")
    elif isinstance(value, list | tuple | set | frozenset):
        for index, part in enumerate(cast("list[object]", value)):
            _check(part, classes, f"{path}[{index}]")


def _class(annotation: object) -> type[Any] | None:  # Any: the class of anything
    named: object = get_origin(annotation) or annotation
    return cast("type[Any]", named) if isinstance(named, type) else None


@lru_cache(maxsize=4096)
def _named(annotation: object) -> Classes:
    """Return the structs and dataclasses that an annotation names, in containers and unions too."""
    return frozenset(one for one in _parts(annotation) if one is not None and _is_plain(one))


def _parts(annotation: object) -> Iterator[type[Any] | None]:  # Any: see `_class`
    yield _class(annotation)
    for part in get_args(annotation):
        yield from _parts(part)


def _is_message(class_: type[Any]) -> bool:  # Any: see `_class`
    return issubclass(class_, Message)


def _is_plain(class_: type[Any]) -> bool:  # Any: see `_class`
    if issubclass(class_, msgspec.Struct):
        return not issubclass(class_, Message)
    return dataclasses.is_dataclass(class_)


@lru_cache(maxsize=4096)
def _fields(class_: Any) -> dict[str, object]:  # Any: msgspec's classes and dataclasses have no common type
    try:
        if isinstance(class_, type) and issubclass(class_, msgspec.Struct):
            return {field.name: field.type for field in msgspec.structs.fields(class_)}
        if isinstance(class_, type) and dataclasses.is_dataclass(class_):
            hints = get_type_hints(class_, include_extras=True)
            return {field.name: hints[field.name] for field in dataclasses.fields(class_)}
    except Exception:  # noqa: BLE001  an annotation that names what is not here: msgspec says so when it reads the type
        return {}
    return {}
