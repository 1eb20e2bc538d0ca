"""Messages: frozen, typed values with a stable name on the wire.

A message is a ``msgspec.Struct`` whose class says what the reply is: ``class Deposit(Message[int])`` is answered
with an ``int``, ``class Note(Message)`` with nothing.  Within one loop a message is passed by reference, never
copied; that is safe because it is frozen.  The asker and the deadline are not in the message but in the ``Ask``.

Laws of this file:
1. Every concrete message class has one tag, by default ``module.Class``, and no two live classes share a tag.
2. In a script, ``__main__`` is replaced by the stem of its file, so that a process which imports it has the same tag.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    ForwardRef,
    Generic,
    Union,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
    is_typeddict,
)
from weakref import WeakValueDictionary

import msgspec

from .errors import InvalidMessage, TagTaken
from .program import program_name
from .redaction import REDACTED, secret_names

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    R = TypeVar("R", covariant=True, default=None)
else:
    from typing import TypeVar

    R = TypeVar("R", covariant=True)

_TAG_FIELD = "$type"
_classes_registered = 0
_by_tag: WeakValueDictionary[str, type[Message[object]]] = WeakValueDictionary()


def message_class(tag: str) -> type[Message[object]] | None:
    """Return the message class with this wire tag, or None when no loaded module defines one."""
    return _by_tag.get(tag)


def classes_registered() -> int:
    """Return how many message classes were made so far: what was remembered of them holds until it changes."""
    return _classes_registered


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class MessageMeta(msgspec.StructMeta):
    """Makes each message class frozen, and registers its tag."""

    def __new__(
        mcls: type[MessageMeta],
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],  # Any: a class body holds anything
        **config: Any,  # Any: the keywords of msgspec.Struct, each of its own type
    ) -> MessageMeta:
        if not bases or namespace.get("__module__") == __name__:
            config = {"frozen": True, "tag": "trouper.Message", "tag_field": _TAG_FIELD, **config}
            return super().__new__(mcls, name, bases, namespace, **config)
        tag, local = config.pop("tag", None) or _default_tag(namespace), config.pop("local", None)
        config = {"frozen": True, "tag_field": _TAG_FIELD, **config}
        made = super().__new__(mcls, name, bases, namespace, tag=tag, **config)
        message = cast("type[Message[object]]", made)
        message.__reply_annotation__ = _reply_annotation(namespace, bases)
        message.__reply__ = reply_types(message.__reply_annotation__)
        if local is not None:
            message.__local__ = local
        _register(str(tag), message)
        return made


# Repeated for mypy, which finds the decorator of msgspec.Struct before that of the metaclass.
@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Message(msgspec.Struct, Generic[R], metaclass=MessageMeta):
    """Base of all messages; ``R`` is the type of the reply, None when it is left out.

    Fields are declared as in a dataclass and may hold what msgpack can carry (numbers, text, bytes, containers,
    other structs) and ``ActorRef``.  Class keywords of ``msgspec.Struct`` work; ``tag="..."`` overrides the tag.
    ``local=True`` is for a class whose fields only mean something on this node: it is never sent to another one.
    Raises ``TagTaken`` when the class is made and another class, made elsewhere, owns the tag.
    """

    __reply__: ClassVar[tuple[type, ...] | None] = (types.NoneType,)
    __reply_annotation__: ClassVar[object] = None
    __local__: ClassVar[bool] = False

    def __repr__(self) -> str:
        hidden, names = secret_names(type(self)), self.__struct_fields__
        if not hidden:
            return msgspec.Struct.__repr__(self)
        shown = [f"{name}={REDACTED if name in hidden else repr(getattr(self, name))}" for name in names]
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        hidden, names = secret_names(type(self)), self.__struct_fields__
        return [(name, REDACTED if name in hidden else getattr(self, name)) for name in names]


def tag_of(cls: type) -> str:
    """Return the wire tag of a message class."""
    tag = getattr(cls, "__struct_config__").tag  # noqa: B009  the attribute is msgspec's and unknown to type checkers
    return str(tag)


def reply_annotation(cls: type) -> object:
    """Return the type of the reply to a message class, as written in its base ``Message[...]``."""
    return cast("type[Message[object]]", cls).__reply_annotation__


def _default_tag(namespace: Mapping[str, object]) -> str:
    module = str(namespace["__module__"])
    if module == "__main__":
        module = program_name() or module
    return f"{module}.{namespace['__qualname__']}"


def _register(tag: str, made: type[Message[object]]) -> None:
    """Register the tag of a class.  Making the same class again (a reload, a notebook cell) replaces the old one."""
    owner = _by_tag.get(tag)
    if owner is not None and (owner.__module__, owner.__qualname__) != (made.__module__, made.__qualname__):
        raise TagTaken(
            f"the tag {tag!r} of message class {made.__module__}.{made.__qualname__} belongs to "
            f"{owner.__module__}.{owner.__qualname__} already: give one of them another with `tag=...`"
        )
    _by_tag[tag] = made
    global _classes_registered  # noqa: PLW0603  one counter for the one table above
    _classes_registered += 1


def _reply_annotation(
    namespace: Mapping[str, Any],  # Any: a class body holds anything
    bases: tuple[type, ...],
) -> object:
    """Return R of the class's own ``Message[R]`` base, else that of the parent class, else None."""
    originals: tuple[object, ...] = namespace.get("__orig_bases__", ())
    for base in originals:
        if cast("object", get_origin(base)) is Message:
            if isinstance(get_args(base)[0], ForwardRef):
                raise InvalidMessage(f"{namespace['__qualname__']}: write the reply as a type, not as text: {base!r}")
            return get_args(base)[0]
    return getattr(bases[0], "__reply_annotation__", None)


def reply_types(annotation: object) -> tuple[type, ...] | None:
    """Turn a reply annotation into classes for ``isinstance``; None means that any value passes."""
    if annotation is None:
        return (types.NoneType,)
    origin = get_origin(annotation)
    if origin is Annotated:
        return reply_types(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        parts = [reply_types(part) for part in get_args(annotation)]
        known = [part for part in parts if part is not None]
        return None if len(known) < len(parts) else tuple(cls for part in known for cls in part)
    cls = origin or annotation
    if cls is float:
        return (float, int)
    anything = annotation is Any or cls is object  # Any: a reply of any kind
    unchecked = anything or getattr(cls, "_is_protocol", False) or is_typeddict(cls)
    return (cls,) if isinstance(cls, type) and not unchecked else None
