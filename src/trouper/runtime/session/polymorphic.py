"""Fields whose type is a base class of messages: they take its subclasses, as handlers do (PURE).

msgspec reads a field of type ``Shape`` as a ``Shape`` and nothing else.  So where reading a payload by its type has
failed, and the type has such fields, the payload is read into plain values and then built part by part: a map with a
``$type`` becomes a message of that tag, when its class is the field's or derived from it.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Union, cast, get_args, get_origin

import msgspec

from ..kernel.message import Message, classes_registered, message_class

TAG_FIELD = "$type"
MESSAGES_MAX = 5_000
"""Messages of one payload in fields of a base class, each of which costs some 10 microseconds to read."""
Convert = Callable[[object, object], object]
"""Makes a value of an annotation from plain values, without looking for subclasses."""


def is_polymorphic(annotation: object) -> bool:
    """Whether a value of this annotation may be, or hold, a message of a class that is derived from the one named."""
    return _is_polymorphic_among(annotation, classes_registered())


@lru_cache(maxsize=4096)
def _is_polymorphic_among(annotation: object, classes: int) -> bool:  # noqa: ARG001  a new class gets a new answer
    return _is_polymorphic(annotation, set())


def _is_polymorphic(annotation: object, seen: set[object]) -> bool:
    base = message_base(annotation)
    if base is not None and (base is Message or base.__subclasses__()):
        return True
    if base is None and get_origin(annotation) is not None:
        return any(_is_polymorphic(part, seen) for part in get_args(annotation))
    if not isinstance(annotation, type) or not issubclass(annotation, msgspec.Struct) or annotation in seen:
        return False
    seen.add(annotation)
    return any(_is_polymorphic(field.type, seen) for field in _fields(annotation))


def message_base(annotation: object) -> type[Message[object]] | None:
    """Return the class of messages that an annotation names, ``Message[int]`` included; None for any other."""
    named = get_origin(annotation) or annotation
    return cast("type[Message[object]]", named) if isinstance(named, type) and issubclass(named, Message) else None


class _Conversion:
    """What the conversion of one payload shares."""

    __slots__ = ("convert", "messages_left")

    def __init__(self, convert: Convert) -> None:
        self.convert, self.messages_left = convert, MESSAGES_MAX


def build(annotation: object, plain: object, convert: Convert) -> object:
    """Make a value of an annotation from plain values.

    Raises what ``convert`` raises, and ``ValueError`` for what is none, or has more than ``MESSAGES_MAX`` messages in
    fields of a base class.
    """
    return _build(annotation, plain, _Conversion(convert))


def _build(annotation: object, plain: object, conversion: _Conversion) -> object:
    if not is_polymorphic(annotation):
        return conversion.convert(annotation, plain)
    origin: object = get_origin(annotation)
    args = get_args(annotation)
    if origin is Annotated:
        return _build(args[0], plain, conversion)
    base = message_base(annotation)
    if base is not None:
        return _build_message(base, plain, conversion)
    if any(origin is union for union in (Union, types.UnionType)):
        return _build_union(args, plain, conversion)
    named, listed = _as_map(plain), _as_list(plain)
    if named is not None and _is_mapping(origin):
        return {_build(args[0], key, conversion): _build(args[1], value, conversion) for key, value in named.items()}
    if listed is not None and origin is not None:
        return _build_sequence(origin, args, listed, conversion)
    if isinstance(annotation, type):
        return _build_struct(annotation, plain, conversion)
    return conversion.convert(annotation, plain)


def _is_mapping(origin: object) -> bool:
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _as_map(plain: object) -> dict[object, object] | None:
    return cast("dict[object, object]", plain) if isinstance(plain, dict) else None


def _as_list(plain: object) -> list[object] | None:
    return cast("list[object]", plain) if isinstance(plain, list) else None


def _build_message(base: type[Message[object]], plain: object, conversion: _Conversion) -> object:
    named = _as_map(plain)
    tag = None if named is None else named.get(TAG_FIELD)
    if not isinstance(tag, str):
        raise ValueError(f"expected a {base.__qualname__}, got {type(plain).__qualname__}")  # noqa: TRY004  one kind of error
    conversion.messages_left -= 1
    if conversion.messages_left < 0:
        raise ValueError(f"more than {MESSAGES_MAX} messages in fields of a base class")
    class_ = message_class(tag)
    if class_ is None:
        raise ValueError(f"no message type {tag!r:.200} is loaded here: import the module that defines it")
    if not issubclass(class_, base):
        expected = f"expected a {base.__qualname__} or a class derived from it"
        raise ValueError(f"{expected}, got {class_.__qualname__}")  # noqa: TRY004  one kind of error
    if class_.__local__:
        raise ValueError(f"{class_.__qualname__} says local=True: it does not leave its node")
    return _build_struct(class_, plain, conversion)


def _build_union(args: tuple[object, ...], plain: object, conversion: _Conversion) -> object:
    if plain is None and types.NoneType in args:
        return None
    named = _as_map(plain)
    if named is not None and TAG_FIELD in named:
        class_ = message_class(str(named[TAG_FIELD]))
        for part in args:
            base = message_base(part)
            if base is not None and class_ is not None and issubclass(class_, base):
                return _build(part, plain, conversion)
    problem: Exception | None = None
    for part in args:
        try:
            return _build(part, plain, conversion)
        except (ValueError, TypeError) as error:
            problem = problem or error
    raise ValueError(str(problem))


def _build_sequence(origin: object, args: tuple[object, ...], plain: list[object], conversion: _Conversion) -> object:
    if origin is tuple and ... not in args:
        if len(plain) != len(args):
            raise ValueError(f"expected {len(args)} values, got {len(plain)}")
        return tuple(_build(part, value, conversion) for part, value in zip(args, plain, strict=True))
    values = [_build(args[0], value, conversion) for value in plain]
    if origin is tuple:
        return tuple(values)
    if origin is frozenset:
        return frozenset(values)
    return set(values) if origin is set else values


def _build_struct(class_: Any, plain: object, conversion: _Conversion) -> object:  # Any: msgspec's classes have no type
    config = class_.__struct_config__
    named = _as_map(plain)
    if config.array_like or named is None or not _has_polymorphic_fields(class_, classes_registered()):
        return conversion.convert(class_, plain)
    if config.tag is not None and named.get(config.tag_field) != config.tag:
        raise ValueError(f"expected a {class_.__qualname__}, got {named.get(config.tag_field)!r:.80}")
    values: dict[str, object] = {}
    for field in _fields(class_):
        if field.encode_name in named:
            try:
                values[field.name] = _build(field.type, named[field.encode_name], conversion)
            except ValueError as error:
                raise ValueError(f"{error} - in the field {field.name} of {class_.__qualname__}") from error
        elif field.required:
            raise ValueError(f"{class_.__qualname__} lacks its field {field.name}")
    return cast("object", class_(**values))


@lru_cache(maxsize=4096)
def _has_polymorphic_fields(class_: object, classes: int) -> bool:  # noqa: ARG001  a new class gets a new answer
    return any(is_polymorphic(each.type) for each in _fields(class_))


@lru_cache(maxsize=4096)
def _fields(class_: Any) -> tuple[msgspec.structs.FieldInfo, ...]:  # Any: msgspec's classes have no type
    try:
        return msgspec.structs.fields(class_)
    except Exception:  # noqa: BLE001  an annotation that names what is not here: msgspec says so when it reads the type
        return ()
