"""Secrets: fields whose values are in no report, no introspection and no log (PURE)."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Final, TypeAlias, TypeVar, get_args, get_type_hints
from weakref import WeakKeyDictionary

T = TypeVar("T")
REDACTED: Final = "<secret>"
"""Stands in place of a value."""
_known: WeakKeyDictionary[type, frozenset[str]] = WeakKeyDictionary()
"""What ``secret_names`` has returned, by class."""


class SecretMark:
    """Marks a type in an annotation, as ``Secret[...]`` does."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "SECRET"


SECRET: Final = SecretMark()
Secret: TypeAlias = Annotated[T, SECRET]
"""``password: Secret[str]`` is a ``str`` whose value the runtime never shows: in a message, an actor, a dataclass or a
struct.  Other nodes get the value when a message carries it, and journals keep it.
"""


def secret_names(cls: type) -> frozenset[str]:
    """Return the names of the fields and attributes of a class that are not to be shown.

    They are annotated as ``Secret[...]``, also as a part of the annotation, or are fields of a dataclass with
    ``repr=False``.
    """
    found = _known.get(cls)
    if found is not None:
        return found
    names = {name for base in cls.__mro__ for name, hint in _hints(base).items() if _is_secret(hint)}
    if dataclasses.is_dataclass(cls):
        names |= {field.name for field in dataclasses.fields(cls) if not field.repr}
    found = _known[cls] = frozenset(names)
    return found


def _hints(cls: type) -> dict[str, Any]:  # Any: an annotation is any value
    """Return the annotations of a class itself; those that cannot be resolved as they are written."""
    written: dict[str, Any] = dict(vars(cls).get("__annotations__", {}))  # Any: as above
    try:
        known = get_type_hints(cls, include_extras=True)
    except Exception:  # noqa: BLE001  a name that does not exist any more, or one of a checker alone
        return written
    return known if not written else {name: known.get(name, hint) for name, hint in written.items()}


def _is_secret(hint: object) -> bool:
    if isinstance(hint, str):
        return "Secret[" in hint  # it could not be resolved: rather hide too much
    metadata: tuple[object, ...] = getattr(hint, "__metadata__", ())
    return any(isinstance(each, SecretMark) for each in metadata) or any(map(_is_secret, get_args(hint)))
