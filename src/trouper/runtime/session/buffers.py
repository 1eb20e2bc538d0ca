"""Buffers in messages: a msgpack extension for arrays, and for large bytes that travel out of band (PURE).

``extract`` finds the large buffers of a message and puts an ``OutOfBandBuffer`` in the place of each one; ``write``
makes the extension of it, which names the buffer by its number, and of a small array, which holds its bytes.  ``read``
makes the value again.  A type whose annotations admit no buffer is never searched (``may_carry``).

The content of the extension is a msgpack array: ``[kind, buffer]``, and for an array of numpy
``[3, buffer, dtype, shape, order]``.  ``buffer`` is a number, or the bytes themselves.

Laws of this file:
1. numpy is never imported here: a node that sends or receives an array has loaded it.  Nothing is pickled, and no
   object dtype is read.
2. What comes in allocates no more than its own size: shape and dtype must account for every byte that is there.
"""

from __future__ import annotations

import math
import re
import sys
import types
from collections.abc import Callable
from dataclasses import is_dataclass
from enum import Enum
from functools import lru_cache
from pathlib import PurePath
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    TypeGuard,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import msgspec

from ..kernel.message import Message
from ..kernel.ref import ActorRef
from ..kernel.untrusted import decode_untrusted
from .codecs import Encoded, codec_of, encoded, on_registered

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[tuple[int, ...], np.dtype[Any]]  # Any: of whatever numbers

BUFFER_CODE: Final = 2
"""The code of the extension."""
BYTES, BYTEARRAY, MEMORYVIEW, ARRAY = 0, 1, 2, 3
"""Kinds of buffers: the type at the sender, and at the receiver where an annotation does not say otherwise."""
NUMBER_BYTES_MAX: Final = 8
"""Bytes of the largest scalar of numpy that msgpack has a number for."""
DIMENSIONS_MAX: Final = 32
DEPTH_MAX: Final = 100
"""Containers within each other that are searched for buffers; buffers below that stay in the payload."""
_DTYPE: Final = re.compile(r"[<>|][biufcSUmM]\d{1,9}(\[\d{0,9}[A-Za-z]{1,2}\])?", re.ASCII)
_CONTAINERS: Final = (Union, types.UnionType, list, tuple, set, frozenset, dict)
_PLAIN: Final = (str, int, float, bool, type(None), ActorRef)

_PLAIN_SET: Final = frozenset(_PLAIN)

Order = Literal["C", "F"]
Buffers = Callable[[int], memoryview]
"""Returns the buffer of a number, read-only and of single bytes; raises ``ValueError`` when there is none."""


class ArrayForm(msgspec.Struct, frozen=True):
    """How to read the bytes of an array: dtype as numpy writes it, lengths, order in memory."""

    dtype: str
    shape: tuple[int, ...]
    order: Order


class OutOfBandBuffer:
    """Stands in a payload for a buffer that travels out of band.  It is no Struct, so that ``write`` encodes it.

    view: its bytes, one dimension.  number: 0 until it has one.
    """

    __slots__ = ("form", "kind", "number", "view")

    def __init__(self, kind: int, view: memoryview, form: ArrayForm | None = None) -> None:
        self.kind, self.view, self.form, self.number = kind, view, form, 0


# --- which types ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def may_carry(annotation: object) -> bool:
    """Whether a value of this annotation may hold a buffer; True when that cannot be told."""
    return _may_carry(annotation, set())


on_registered.append(may_carry.cache_clear)


def _may_carry(annotation: object, seen: set[object]) -> bool:
    if annotation is None:
        return False
    origin: object = get_origin(annotation)
    if origin is Literal:
        return False
    if origin is Annotated:
        return _may_carry(get_args(annotation)[0], seen)
    if any(origin is known for known in _CONTAINERS) or getattr(origin, "__module__", "") == "collections.abc":
        return any(_may_carry(part, seen) for part in get_args(annotation) if part is not ...)
    if not isinstance(annotation, type):
        return True
    return False if annotation in seen else _type_may_carry(cast("type[object]", annotation), seen)


def _type_may_carry(annotation: type[object], seen: set[object]) -> bool:
    codec = codec_of(annotation)
    if codec is not None:
        return codec.buffers
    if issubclass(annotation, PurePath):
        return False
    if Message in annotation.__mro__ and (annotation is Message or annotation.__subclasses__()):
        return True  # a field of this type takes the derived classes too
    if issubclass(annotation, (Enum, *_PLAIN)) or annotation.__module__ in ("datetime", "uuid", "decimal"):
        return False
    if not _has_fields(annotation):
        return True
    seen.add(annotation)
    try:
        hints = get_type_hints(annotation)
    except Exception:  # noqa: BLE001  an annotation that names what is not here may be anything
        return True
    return any(_may_carry(hint, seen) for hint in hints.values() if get_origin(hint) is not ClassVar)


def _has_fields(type_: type[object]) -> bool:
    return issubclass(type_, msgspec.Struct) or is_dataclass(type_) or is_typeddict(type_)


# --- out --------------------------------------------------------------------------------------------------------------


def extract(value: object, bytes_min: int) -> tuple[object, list[OutOfBandBuffer]]:
    """Return the payload of a value, and its buffers of ``bytes_min`` or more, which are not in the payload.

    A value without such buffers is its own payload.  Raises ``TypeError`` for an array that cannot be sent.
    """
    found: list[OutOfBandBuffer] = []
    return _extract(value, bytes_min, found, DEPTH_MAX), found


def _extract(value: object, bytes_min: int, found: list[OutOfBandBuffer], depth: int) -> object:
    type_ = type(value)
    if type_ in _PLAIN or not depth:
        return value
    if type_ is bytes or type_ is bytearray:
        if len(cast("bytes", value)) < bytes_min:
            return value
        kind = BYTES if type_ is bytes else BYTEARRAY
        return _out_of_band(OutOfBandBuffer(kind, memoryview(cast("bytes", value)).toreadonly()), found)
    if type_ is memoryview:
        view = cast("memoryview", value)
        return value if view.nbytes < bytes_min else _out_of_band(OutOfBandBuffer(MEMORYVIEW, _flat(view)), found)
    if is_array(value):
        if value.nbytes < bytes_min:
            return value
        form, view = _taken_apart(value)
        return _out_of_band(OutOfBandBuffer(ARRAY, view, form), found)
    if isinstance(value, msgspec.Struct):
        return _extract_struct(value, bytes_min, found, depth)
    if is_dataclass(type_):
        named = {field: getattr(value, field) for field in type_.__dataclass_fields__}
        changed = _extract(named, bytes_min, found, depth)
        return value if changed is named else changed
    if type_ is dict:
        items = cast("dict[object, object]", value).items()
        changed = {key: _extract(item, bytes_min, found, depth - 1) for key, item in items}
        return changed if any(changed[key] is not item for key, item in items) else value
    if type_ is list or type_ is tuple:
        old = cast("list[object]", value)
        if _PLAIN_SET.issuperset(map(type, old)):
            return value
        new = [_extract(item, bytes_min, found, depth - 1) for item in old]
        return new if any(was is not item for was, item in zip(old, new, strict=True)) else value
    return _extract_by_type(value, bytes_min, found, depth)


def _extract_by_type(value: object, bytes_min: int, found: list[OutOfBandBuffer], depth: int) -> object:
    """A value of a codec with large buffers is encoded now, since its buffers are in what the codec returns."""
    codec = codec_of(type(value))
    if is_number(value) or not (codec.buffers if codec is not None else hasattr(value, "__dlpack__")):
        return value
    before = len(found)
    made = encoded(value)
    if made is None:
        return value
    payload = _extract(made.payload, bytes_min, found, depth - 1)
    return Encoded(made.tag, payload) if len(found) > before else value


def _extract_struct(struct: msgspec.Struct, bytes_min: int, found: list[OutOfBandBuffer], depth: int) -> object:
    """A struct with large buffers becomes the map or array as which msgspec would encode it."""
    if not may_carry(type(struct)):
        return struct
    before = len(found)
    values = [_extract(getattr(struct, name), bytes_min, found, depth - 1) for name in struct.__struct_fields__]
    if len(found) == before:
        return struct
    config = struct.__struct_config__
    tag = () if config.tag is None else (config.tag,)
    if config.array_like:
        return [*tag, *values]
    named = dict(zip(struct.__struct_encode_fields__, values, strict=True))
    return {cast("str", config.tag_field): tag[0], **named} if tag else named


def _out_of_band(out_of_band: OutOfBandBuffer, found: list[OutOfBandBuffer]) -> OutOfBandBuffer:
    found.append(out_of_band)
    return out_of_band


def is_array(value: object) -> TypeGuard[Array]:
    """Whether this is an array of numpy, and of no class derived from it."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(value) is numpy.ndarray


def _is_scalar(value: object) -> TypeGuard[np.generic[Any]]:  # Any: of whatever kind
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.generic)


def is_number(value: object) -> TypeGuard[np.generic[Any]]:  # Any: of whatever number
    """Whether this is a scalar of numpy that travels as the number that it is: a bool, an integer, a float."""
    return _is_scalar(value) and value.dtype.kind in "biuf" and value.dtype.itemsize <= NUMBER_BYTES_MAX


def write(value: object) -> bytes:
    """Return the content of the extension for an ``OutOfBandBuffer``, or for an array that stays in the payload.

    Raises ``TypeError`` for anything else.
    """
    if isinstance(value, OutOfBandBuffer):
        content: list[object] = [value.kind, value.number]
        form = value.form
    elif is_array(value) or _is_scalar(value):
        form, view = _taken_apart(value if is_array(value) else sys.modules["numpy"].asarray(value))
        content = [ARRAY, view]
    else:
        raise TypeError(f"{type(value).__qualname__} is no type that the wire knows")
    if form is not None:
        content += (form.dtype, form.shape, form.order)
    return _encoder.encode(content)


def _taken_apart(array: Array) -> tuple[ArrayForm, memoryview]:
    """The form and the bytes of an array; one that is not contiguous is copied."""
    dtype = array.dtype.str
    if _DTYPE.fullmatch(dtype) is None or array.dtype.hasobject or array.dtype.names is not None:
        raise TypeError(f"an array of dtype {array.dtype} cannot travel: only of numbers, times and fixed text")
    order: Order = "C"
    if not array.flags.c_contiguous:
        if array.flags.f_contiguous:
            order = "F"
        else:
            array = array.copy("C")
    flat = array.ravel(order=order)  # no copy: it is contiguous
    form = ArrayForm(dtype, tuple(array.shape), order)
    return form, flat.view("u1").data.toreadonly() if array.nbytes else memoryview(b"")


def _flat(view: memoryview) -> memoryview:
    """The bytes of a view in one dimension; one that is not contiguous is copied."""
    return view.toreadonly().cast("B") if view.c_contiguous else memoryview(view.tobytes())


# --- in ---------------------------------------------------------------------------------------------------------------


class _Content(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The content of an extension, as it came in."""

    kind: Annotated[int, msgspec.Meta(ge=BYTES, le=ARRAY)]
    buffer: Annotated[int, msgspec.Meta(ge=0)] | memoryview
    dtype: str = ""
    shape: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=0, lt=2**62)], ...], msgspec.Meta(max_length=DIMENSIONS_MAX)
    ] = ()
    order: Order = "C"


_encoder = msgspec.msgpack.Encoder()
_contents = msgspec.msgpack.Decoder(_Content)


def read(data: memoryview, buffers: Buffers) -> bytes | bytearray | memoryview | Array:
    """Make the value that an extension stands for; raises ``ValueError`` with the reason when it is none.

    Bytes are copied; a memoryview or an array is a read-only view of what came in.
    """
    content = decode_untrusted(_contents.decode, data, f"the extension {BUFFER_CODE}", ValueError)
    view = content.buffer if isinstance(content.buffer, memoryview) else buffers(content.buffer)
    if content.kind == ARRAY:
        return _array(ArrayForm(content.dtype, content.shape, content.order), view.toreadonly())
    if content.kind == MEMORYVIEW:
        return view.toreadonly()
    return bytes(view) if content.kind == BYTES else bytearray(view)


def _array(form: ArrayForm, view: memoryview) -> Array:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        raise ValueError("an array came in, and numpy is not loaded: pip install 'trouper[numpy]', and import it")
    if _DTYPE.fullmatch(form.dtype) is None:
        raise ValueError(f"an array of dtype {form.dtype!r}: only of numbers, times and fixed text")
    try:
        dtype: np.dtype[Any] = numpy.dtype(form.dtype)  # Any: of whatever numbers
    except TypeError as error:
        raise ValueError(f"an array of dtype {form.dtype!r}, which numpy does not know: {error}") from error
    wanted = math.prod(form.shape) * dtype.itemsize
    if wanted != view.nbytes or (0 in form.shape and view.nbytes):
        raise ValueError(f"an array of {form.dtype} and shape {form.shape} has {wanted} bytes, {view.nbytes} came")
    if not view.nbytes:
        empty: Array = numpy.zeros(form.shape, dtype, form.order)
        empty.flags.writeable = False
        return empty
    made: Array = numpy.frombuffer(view, dtype).reshape(form.shape, order=form.order)
    return made


def expected(type_: object, value: object) -> object:
    """Check a value of a type that msgspec does not know, and return it; raises ``ValueError``.

    An array must have the dtype and the number of dimensions that its annotation names.
    """
    wanted = get_origin(type_) or type_
    value = _as_scalar(wanted, value)
    if not isinstance(wanted, type) or not isinstance(value, wanted):
        raise ValueError(f"expected {getattr(wanted, '__qualname__', wanted)}, got {type(value).__qualname__}")  # noqa: TRY004  msgspec's hooks raise ValueError
    if is_array(value):
        for part in get_args(type_):
            _check_part(part, value)
    return value


def _as_scalar(wanted: object, value: object) -> object:
    """Return a value as the scalar of numpy that is wanted, where it is one; any other value as it is."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(wanted, type) or not issubclass(wanted, numpy.generic):
        return value
    if is_array(value) and not value.ndim and value.dtype.type is wanted:
        return cast("object", value[()])
    if type(value) not in (bool, int, float) or wanted in (numpy.str_, numpy.bytes_):
        return value
    made: object = cast("Any", wanted)(value)  # Any: numpy makes a scalar of any number
    if made != value and value == value:
        raise ValueError(f"{value!r:.80} is no {wanted.__name__}")
    return made


def _check_part(part: object, array: Array) -> None:
    """Check an array against one argument of ``numpy.ndarray[shape, dtype]``."""
    origin, args = get_origin(part), get_args(part)
    if origin is tuple and ... not in args and len(args) != array.ndim:
        raise ValueError(f"expected an array of {len(args)} dimensions, got {array.ndim}")
    scalar = args[0] if args and getattr(origin, "__name__", "") == "dtype" else None
    if isinstance(scalar, type) and not issubclass(array.dtype.type, scalar):
        raise ValueError(f"expected an array of {scalar.__name__}, got {array.dtype}")  # noqa: TRY004  msgspec's hooks raise ValueError
