"""The arguments and attributes of an exception, as they travel to the node of the asker (PURE).

An attribute that the class annotates travels as a field of a message of that type would.  Any other one, and every
argument, has to be plain: None, a bool, number, text or bytes, or a list or dict of such, which arrive as they were.
What cannot travel is left out.  Private attributes, and those that would hide one of the class, never travel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, NoReturn, cast, get_origin, get_type_hints

import msgspec

from ..kernel.errors import WireError
from ..session.codec import SessionCodec

FIELDS_BYTES_MAX: Final = 16_384
"""Bytes of all of them; an error with more travels as its text alone."""
FIELDS_MAX: Final = 64
"""Attributes of one error."""
DEPTH_MAX: Final = 16
"""Containers within each other in a plain value."""

Fields = tuple[tuple[object, ...], dict[str, object]]
"""Arguments and attributes."""


class _Written(msgspec.Struct, array_like=True, frozen=True):
    args: list[object]
    attributes: dict[str, bytes]


def write_fields(error: BaseException) -> bytes:
    """Return the arguments and attributes that can travel; empty when the arguments cannot."""
    kind, annotated = type(error), _annotations(type(error))
    attributes: dict[str, bytes] = {}
    try:
        args = _arguments(error)
        if not _is_plain(args, DEPTH_MAX):
            return b""
        for name, value in list(vars(error).items())[:FIELDS_MAX]:
            if _may_travel(kind, name, annotated):
                written = _written(name, value, annotated)
                if written is not None:
                    attributes[name] = written
        fields = _codec.write(_Written(args, attributes), "an error")
    except Exception:  # noqa: BLE001  a user's value may raise anything when it is looked at; the text goes without it
        return b""
    return fields if len(fields) <= FIELDS_BYTES_MAX else b""


def read_fields(kind: type[BaseException], fields: bytes) -> Fields | None:
    """Return arguments and attributes that came in; None when there are none, or they are not what they should be."""
    if not fields or len(fields) > FIELDS_BYTES_MAX:
        return None
    annotated = _annotations(kind)
    attributes: dict[str, object] = {}
    try:
        read = _codec.read_as(_Written, msgspec.Raw(fields), "an error")
        assert isinstance(read, _Written), "the codec has checked it"
        if not _is_plain(read.args, DEPTH_MAX) or len(read.attributes) > FIELDS_MAX:
            return None
        for name, written in read.attributes.items():
            if _may_travel(kind, name, annotated):
                value = _codec.read_as(annotated.get(name, object), msgspec.Raw(written), name)
                if name in annotated or _is_plain(value, DEPTH_MAX):
                    attributes[name] = value
    except WireError:
        return None
    return tuple(read.args), attributes


def _arguments(error: BaseException) -> list[object]:
    """Return the arguments that make an error again; those of an ``OSError`` are more than its ``args``."""
    if isinstance(error, OSError) and error.filename is not None:
        other = [] if error.filename2 is None else [None, error.filename2]
        return [*error.args, error.filename, *other]
    return list(error.args)


def _written(name: str, value: object, annotated: Mapping[str, object]) -> bytes | None:
    """Return an attribute as it travels; None when it would not arrive as it is."""
    if name not in annotated and not _is_plain(value, DEPTH_MAX):
        return None
    try:
        written = _codec.write(value, name)
        if name in annotated:
            _codec.read_as(annotated[name], msgspec.Raw(written), name)
    except WireError:
        return None
    return written


def _annotations(kind: type[BaseException]) -> dict[str, object]:
    try:
        hints: dict[str, object] = get_type_hints(kind)
    except Exception:  # noqa: BLE001  an annotation that names what is not here: its class has no typed attributes
        return {}
    return {name: hint for name, hint in hints.items() if get_origin(hint) is not ClassVar}


def _may_travel(kind: type[BaseException], name: str, annotated: Mapping[str, object]) -> bool:
    return name.isidentifier() and not name.startswith("_") and (name in annotated or not hasattr(kind, name))


def _is_plain(value: object, depth: int) -> bool:
    type_ = type(value)
    if type_ in (str, bytes, bool, int, float, type(None)):
        return True
    if depth and type_ is list:
        return all(_is_plain(part, depth - 1) for part in cast("Sequence[object]", value))
    if depth and type_ is dict:
        items = cast("Mapping[object, object]", value).items()
        return all(_is_plain(key, depth - 1) and _is_plain(part, depth - 1) for key, part in items)
    return False


def _no_refs(ref: Any) -> NoReturn:  # Any: a ref, or the definition of one
    raise ValueError(f"an error holds no refs, such as {ref}")


_codec: Final = SessionCodec(_no_refs, _no_refs)
