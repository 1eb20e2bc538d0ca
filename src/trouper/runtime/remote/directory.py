"""The directory of actors elsewhere: one cell for each that somebody here holds a ref to."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from .cell import Home, Links, RemoteCell

if TYPE_CHECKING:
    from collections.abc import Iterator


class Directory:
    """See the top of the file.  links: who knows which nodes are linked.  home: this node."""

    __slots__ = ("_cells", "_home", "_links", "_lives")

    def __init__(self, links: Links, home: Home) -> None:
        self._links, self._home = links, home
        self._cells: WeakValueDictionary[tuple[str, int, int], RemoteCell] = WeakValueDictionary()
        self._lives: dict[str, int] = {}

    def cell(self, home: Home, uid: int, path: str) -> RemoteCell:
        """Return the local side of an actor, made at the first call.

        An actor of this very node that is looked for here is none that lives; nor is one of an earlier life of a node.
        """
        key = (home.node, home.incarnation, uid)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = RemoteCell(self._links, home, path, uid)
            if home == self._home:
                cell.end("no_such_actor", None)
            elif home.incarnation < self._lives.get(home.node, 0):
                cell.end("node_lost", f"node {home.node} has begun another life")
        return cell

    def get(self, home: Home, uid: int) -> RemoteCell | None:
        """Return the local side of an actor, if somebody here has a ref to it."""
        return self._cells.get((home.node, home.incarnation, uid))

    def of_node(self, node: str) -> Iterator[RemoteCell]:
        """Go through all cells of a node, whichever life they are of."""
        return iter([cell for key, cell in list(self._cells.items()) if key[0] == node])

    def begin_life(self, home: Home) -> None:
        """A life of a node is known to have begun: the actors of earlier ones have ended."""
        known = self._lives.get(home.node, 0)
        self._lives[home.node] = max(known, home.incarnation)
        if known < home.incarnation:
            for cell in self.of_node(home.node):
                if cell.home.incarnation < home.incarnation:
                    cell.end("node_lost", f"node {home.node} has begun another life")
