"""Code shipping: a class or function that no module defines is sent by value, between nodes that both opted in.

It uses cloudpickle, and unpickling runs any code that the bytes contain.  So no function of this file is used on a node
without ``code_shipping``, and a node with it refuses ``insecure=True``: all of its sessions are authenticated, by keys
(tcp) or as the same user's (ipc).  Every node that may connect to such a node may run any code there.

Message classes that no module defines are sent with the code that names them, under the tag that they have at the
sender; where the other node has a class of this tag and of the same fields already, that class is used.
"""

from __future__ import annotations

import importlib
import io
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, cast, get_type_hints

import msgspec

from ..kernel.errors import InvalidHandler, InvalidOption, WireError
from ..kernel.message import Message, MessageMeta, message_class, reply_annotation, tag_of
from ..session.schemas import fingerprint
from .spawn_request import find_loaded


@dataclass(frozen=True, slots=True)
class CodeShipping:
    """Permission to send and receive code, and its limits.

    shipped_bytes_max: bytes of one actor's code, with all that it refers to and that no module defines; more is refused
    by both sides.  It has to be less than a frame holds. Raises ``InvalidOption`` for a value below 1, and where
    cloudpickle is not installed.
    """

    shipped_bytes_max: int = 524_288

    def __post_init__(self) -> None:
        if self.shipped_bytes_max < 1:
            raise InvalidOption(f"shipped_bytes_max={self.shipped_bytes_max} must be 1 or more")
        _cloudpickle()


def pack(actor: Callable[..., object], settings: CodeShipping) -> bytes:
    """Return an actor class or function by value.

    Raises ``InvalidHandler`` when it refers to a value that cannot be pickled, or is too large.
    """
    buffer = io.BytesIO()
    name = getattr(actor, "__qualname__", repr(actor))
    try:
        _pickler(buffer).dump(actor)
    except Exception as error:  # pickling calls methods of the user, which may raise anything
        raise InvalidHandler(f"{name} cannot be shipped to another node: {error}") from error
    data = buffer.getvalue()
    if len(data) > settings.shipped_bytes_max:
        limit = f"shipped_bytes_max={settings.shipped_bytes_max}"
        raise InvalidHandler(f"{name} takes {len(data)} bytes of code, more than {limit}: put it into a module")
    return data


def unpack(data: bytes, settings: CodeShipping) -> object:
    """Return what was packed, which may run any code; raises ``WireError``."""
    if len(data) > settings.shipped_bytes_max:
        raise WireError(f"{len(data)} bytes of code came in, more than shipped_bytes_max={settings.shipped_bytes_max}")
    _cloudpickle()
    try:
        return pickle.loads(data)  # noqa: S301  this node has said that it runs what authenticated nodes send
    except Exception as error:
        raise WireError(f"code that came in cannot be loaded: {type(error).__name__}: {error}") from error


def is_by_value(thing: object) -> bool:
    """Whether the class or function is defined by no module that another process could import."""
    module, qualified = str(getattr(thing, "__module__", "")), str(getattr(thing, "__qualname__", ""))
    return module == "__main__" or module not in sys.modules or find_loaded(module, qualified) is not thing


def remade_message(
    name: str,
    bases: tuple[type, ...],
    namespace: dict[str, object],
    fields: list[tuple[str, object, object, object]],
    options: dict[str, object],
    known_by: bytes,
) -> type:
    """Make a message class from what ``pack`` wrote, or return the one that this node has already."""
    before = message_class(str(options["tag"]))
    if before is not None and fingerprint(before) == known_by:
        return before
    made = dict(namespace)
    made["__annotations__"] = {field: annotation for field, annotation, _, _ in fields}
    for field, _, default, factory in fields:
        if factory is not msgspec.NODEFAULT:
            made[field] = msgspec.field(default_factory=cast("Callable[[], object]", factory))
        elif default is not msgspec.NODEFAULT:
            made[field] = default
    return cast("type", MessageMeta(name, bases, made, **options))


def _message_parts(cls: type) -> tuple[object, ...]:
    struct = cast("type[Message[object]]", cls)
    hints = get_type_hints(cls, include_extras=True)
    own = set(vars(cls).get("__annotations__", ()))
    fields = [
        (field.name, hints[field.name], field.default, field.default_factory)
        for field in msgspec.structs.fields(struct)
        if field.name in own
    ]
    namespace: dict[str, object] = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "__orig_bases__": (Message[reply_annotation(cls)],),  # type: ignore[misc]  # known at run time only
    }
    options = {"tag": tag_of(cls), "local": struct.__local__}
    return cls.__name__, cls.__bases__, namespace, fields, options, fingerprint(cls)


def _cloudpickle() -> ModuleType:
    try:
        return importlib.import_module("cloudpickle")  # optional, and without types
    except ImportError:
        raise InvalidOption("code_shipping needs cloudpickle: pip install 'trouper[shipping]'") from None


def _pickler(buffer: io.BytesIO) -> pickle.Pickler:
    base: Any = _cloudpickle().Pickler  # Any: an optional module's class

    def reducer_override(self: object, thing: object) -> object:
        if isinstance(thing, MessageMeta) and is_by_value(thing):
            return remade_message, _message_parts(cast("type", thing))
        return base.reducer_override(self, thing)

    return cast("pickle.Pickler", type("Pickler", (base,), {"reducer_override": reducer_override})(buffer, protocol=5))
