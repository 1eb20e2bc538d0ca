"""``SchemeTable``: what understands ``SCHEME://...``: entries in the box, registered ones, and those of entry points.

A node has two such tables: of transports (``transports``), and, in a cluster, of discoveries.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast

from ..kernel.errors import InvalidOption

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")
SCHEME_CHARS_MAX: Final = 32
"""The longest scheme; a longer one is looked for nowhere."""
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)


class SchemeTable(Generic[T]):
    """Factories by scheme.

    what: what they make, for errors, such as ``transport``.  group: the group of entry points that are searched for a
    scheme which is not in the table; the name of the entry point is the scheme.  built_in: the first entries.
    """

    def __init__(self, what: str, group: str, built_in: Mapping[str, T]) -> None:
        self._what, self._group = what, group
        self._entries = dict(built_in)
        self._points: dict[str, list[EntryPoint]] = {}
        self._searched: list[str] | None = None

    def register(self, scheme: str, factory: T) -> None:
        """Add a factory for ``SCHEME://...``, for all nodes of this process.

        The same factory made again, as by a reload of its module, takes the place of the old one.  Raises
        ``InvalidOption`` for a text that is no scheme, for a factory that cannot be called, and for a scheme that
        another factory has.
        """
        if len(scheme) > SCHEME_CHARS_MAX or not _SCHEME.fullmatch(scheme):
            raise InvalidOption(
                f"{scheme!r:.80} is no scheme: expected a small letter, then small letters, digits, '+', '-' or '.', "
                f"{SCHEME_CHARS_MAX} characters at most"
            )
        if not callable(factory):
            raise InvalidOption(f"the {self._what} of {scheme}:// is {factory!r:.80}, which cannot be called")
        owner = self._entries.get(scheme)
        if owner is not None and _name(owner) != _name(factory):
            raise InvalidOption(
                f"{scheme}:// belongs to {_name(owner)} already: register {_name(factory)} under another scheme"
            )
        self._entries[scheme] = factory

    def find(self, scheme: str) -> T | None:
        """Return the factory of a scheme; None when there is none.

        Raises ``InvalidOption`` when an entry point names it and cannot be loaded, or several name it.
        """
        found = self._entries.get(scheme)
        if found is None and len(scheme) <= SCHEME_CHARS_MAX and _SCHEME.fullmatch(scheme):
            points = self._entry_points().get(scheme, [])
            if points:
                self.register(scheme, self._load(scheme, points))
                found = self._entries[scheme]
        return found

    def knows(self, scheme: str) -> bool:
        """Whether a factory has this scheme; an entry point counts, and is not loaded."""
        return scheme in self._entries or scheme in self._entry_points()

    def schemes(self) -> list[str]:
        """Return all schemes: those in the table, in the order in which they came, then those of entry points."""
        return list(dict.fromkeys([*self._entries, *sorted(self._entry_points())]))

    def _entry_points(self) -> Mapping[str, list[EntryPoint]]:
        """Return the entry points by name; they are searched once, and anew after ``sys.path`` has changed."""
        if self._searched != sys.path:
            from importlib.metadata import entry_points  # noqa: PLC0415  few nodes need it, and it takes milliseconds

            self._points = {}
            for point in entry_points(group=self._group):
                self._points.setdefault(point.name, []).append(point)
            self._searched = list(sys.path)
        return self._points

    def _load(self, scheme: str, points: list[EntryPoint]) -> T:
        if len({point.value for point in points}) > 1:
            names = ", ".join(sorted(f"{point.value} of {_package(point)}" for point in points))
            raise InvalidOption(f"{scheme}:// is claimed by several packages ({names}): uninstall all but one of them")
        try:
            return cast("T", points[0].load())
        except Exception as error:  # the code of a third party may raise anything while it is imported
            raise InvalidOption(
                f"the {self._what} of {scheme}://, {points[0].value} of {_package(points[0])}, cannot be loaded: "
                f"{type(error).__name__}: {error}"
            ) from error


def _name(factory: object) -> str:
    named = factory if hasattr(factory, "__qualname__") else type(factory)
    return f"{named.__module__}.{getattr(named, '__qualname__', '')}"


def _package(point: EntryPoint) -> str:
    return "an unknown package" if point.dist is None else str(point.dist.name)
