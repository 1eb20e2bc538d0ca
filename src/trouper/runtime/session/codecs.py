"""Codecs: how values travel that msgpack does not know, by their type (PURE).

A codec turns a value into one that can be sent, and back.  Such a value is a msgpack extension of code 3 whose content
is ``[tag, payload]``; ``payload`` may hold anything that can be sent: refs, arrays, values of other codecs.

Laws of this file:
1. A tag that came in selects a codec that is registered here already: nothing is imported for a peer.
2. A codec is for exactly its type.  A value of a derived class is refused, as it would arrive as something else.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from ..kernel.errors import InvalidOption
from ..kernel.untrusted import decode_untrusted

T = TypeVar("T")
CODEC_CODE: Final = 3
"""The code of the extension."""
TAG_CHARS_MAX: Final = 200
DLPACK_TAG: Final = "dlpack"


@dataclass(frozen=True, slots=True)
class Codec:
    """The codec of one type.

    tag: names it on the wire.  encode: returns a value that can be sent in place of one of the type.  decode: makes a
    value of the type from what ``encode`` returned, as msgpack returns it: tuples and sets come as lists, structs as
    dicts.  buffers: whether what ``encode`` returns may hold large bytes or arrays, which then go out of band.
    """

    type: type
    tag: str
    encode: Callable[[Any], object]  # Any: the type of the codec, which only the functions know
    decode: Callable[[Any], object]  # Any: what the encoder returned
    buffers: bool


class Encoded:
    """Stands in a payload for a value whose codec has encoded it.  It is no Struct, so that a hook encodes it."""

    __slots__ = ("payload", "tag")

    def __init__(self, tag: str, payload: object) -> None:
        self.tag, self.payload = tag, payload


_by_type: dict[type, Codec] = {}
_by_tag: dict[str, Codec] = {}
on_registered: Final[list[Callable[[], None]]] = []
"""Called after a codec was registered: what was remembered of its type may be wrong now."""


def register_codec(
    type_: type[T],
    tag: str,
    encode: Callable[[T], object],
    decode: Callable[[Any], T],  # Any: what the encoder returned
    *,
    buffers: bool = False,
) -> None:
    """Let values of a type travel, in messages, replies and the arguments of a spawn.

    Call it where the type is defined, or in a module that every node imports: both nodes need it.
    tag: names the codec on the wire; unique, such as ``mypackage.Matrix``.  encode, decode, buffers: see ``Codec``.
    A handler on the same node gets the value itself, never a copy.  Registering a type again replaces its codec, as a
    reload of its module does.  Raises ``InvalidOption`` for a tag that another type has, or that is empty or too long.
    """
    if not 0 < len(tag) <= TAG_CHARS_MAX or not tag.isprintable():
        raise InvalidOption(f"{tag!r:.80} is no tag: expected 1 to {TAG_CHARS_MAX} printable characters")
    owner = _by_tag.get(tag)
    if tag == DLPACK_TAG or (owner is not None and _name(owner.type) != _name(type_)):
        owner_name = "DLPack" if owner is None else _name(owner.type)
        raise InvalidOption(f"the tag {tag!r} belongs to the codec of {owner_name}: choose another for {_name(type_)}")
    before = _by_type.get(type_)
    if before is not None:
        _by_tag.pop(before.tag, None)
    _by_type[type_] = _by_tag[tag] = Codec(type_, tag, encode, decode, buffers)
    for call in on_registered:
        call()


def codec_of(type_: type) -> Codec | None:
    """Return the codec of a type; None when none is registered."""
    return _by_type.get(type_)


def encoded(value: object) -> Encoded | None:
    """Return what stands for a value on the wire; None when there is no codec for its type.

    Raises what the codec raises, and ``TypeError`` for an array of DLPack that is not in the memory of the host.
    """
    codec = _by_type.get(type(value))
    if codec is not None:
        return Encoded(codec.tag, codec.encode(value))
    if hasattr(value, "__dlpack__") and type(value).__module__.partition(".")[0] != "numpy":
        return _from_dlpack(value)
    return None


def decoded(tag: object, payload: object) -> object:
    """Make the value of a codec's payload that came in; raises ``ValueError`` for a tag that is unknown here."""
    if tag == DLPACK_TAG:
        return _to_dlpack(payload)
    codec = _by_tag.get(tag) if isinstance(tag, str) else None
    if codec is None:
        raise ValueError(f"no codec has the tag {tag!r:.80}: import the module that registers it")
    made = decode_untrusted(codec.decode, payload, f"the payload of the codec {codec.tag}", ValueError)
    if type(made) is not codec.type:
        raise ValueError(f"the codec {codec.tag} made a {type(made).__qualname__}, not a {codec.type.__qualname__}")
    return made


def _name(type_: type) -> str:
    return f"{type_.__module__}.{type_.__qualname__}"


# --- arrays of other packages -----------------------------------------------------------------------------------------


def _from_dlpack(value: object) -> Encoded:
    """An array that implements DLPack travels as an array of numpy, and with it the name of its package."""
    name = type(value).__qualname__
    numpy: Any = sys.modules.get("numpy")  # Any: a module that may not be installed
    if numpy is None:
        raise TypeError(f"a {name} travels as an array of numpy: pip install 'trouper[numpy]', and import it")
    try:
        array: object = numpy.from_dlpack(value)
    except (BufferError, RuntimeError, TypeError, AttributeError) as error:
        raise TypeError(f"a {name} cannot travel: {error}; copy it to the memory of the host first") from error
    return Encoded(DLPACK_TAG, [type(value).__module__.partition(".")[0], array])


def _to_dlpack(payload: object) -> object:
    if not isinstance(payload, list) or len(cast("list[object]", payload)) != 2:
        raise ValueError("an array of DLPack has a package and an array")
    package, array = cast("list[object]", payload)
    make = getattr(sys.modules.get(package) if isinstance(package, str) else None, "from_dlpack", None)
    if not callable(make):
        problem = f"an array of {package!r:.80} came in, and no such package with from_dlpack is loaded here"
        raise ValueError(problem)  # noqa: TRY004  one kind of error
    numpy: Any = sys.modules.get("numpy")  # Any: a module that may not be installed
    if numpy is None or type(array) is not numpy.ndarray:
        raise ValueError("an array of DLPack has a package and an array")
    return make(cast("Any", array).copy())  # DLPack has no read-only arrays, and what came in is one


# --- what is in the box -----------------------------------------------------------------------------------------------


def _register_paths() -> None:
    native = type(pathlib.Path())
    register_codec(native, "path", _path_text, native)
    for pure in (pathlib.PurePosixPath, pathlib.PureWindowsPath):
        register_codec(pure, pure.__name__, _path_text, pure)


def _path_text(path: pathlib.PurePath) -> str:
    return str(path)


_register_paths()
