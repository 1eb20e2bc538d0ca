"""The directory of remote actors: one cell for each actor of another node that this node has a ref to."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from ..kernel.address import NodeId
from .remote_cell import PeerFinder, RemoteCell

if TYPE_CHECKING:
    from collections.abc import Iterator


class Directory:
    """The cells of remote actors, and the last generation of each node that is known.

    finder: finds the peer that a cell sends to.  node_id: of this node.
    """

    __slots__ = ("_cells", "_finder", "_generations", "_node_id")

    def __init__(self, finder: PeerFinder, node_id: NodeId) -> None:
        self._finder, self._node_id = finder, node_id
        self._cells: WeakValueDictionary[tuple[str, int, int], RemoteCell] = WeakValueDictionary()
        self._generations: dict[str, int] = {}

    def cell(self, node_id: NodeId, uid: int, path: str) -> RemoteCell:
        """Return the cell of a remote actor, made at the first call.

        path: of the actor, used when the cell is made; empty when it is not known.
        The cell has ended when the actor cannot be alive: an actor of this node that is not exported, or of an earlier
        generation of a node.
        """
        key = (node_id.node, node_id.generation, uid)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = RemoteCell(self._finder, node_id, path, uid)
            if node_id == self._node_id:
                cell.end("no_such_actor", None)
            elif node_id.generation < self._generations.get(node_id.node, 0):
                cell.end("node_lost", f"node {node_id.node} has begun another generation")
        return cell

    def get(self, node_id: NodeId, uid: int) -> RemoteCell | None:
        """Return the cell of a remote actor; None when this node has no ref to it."""
        return self._cells.get((node_id.node, node_id.generation, uid))

    def of_node(self, node: str) -> Iterator[RemoteCell]:
        """Go through all cells of a node, of every generation."""
        return iter([cell for key, cell in list(self._cells.items()) if key[0] == node])

    def begin_generation(self, node_id: NodeId) -> None:
        """Take note of the generation of a node that is connected now: actors of earlier ones have ended."""
        known = self._generations.get(node_id.node, 0)
        self._generations[node_id.node] = max(known, node_id.generation)
        if known < node_id.generation:
            for cell in self.of_node(node_id.node):
                if cell.node_id.generation < node_id.generation:
                    cell.end("node_lost", f"node {node_id.node} has begun another generation")
