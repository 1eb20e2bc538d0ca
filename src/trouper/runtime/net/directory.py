"""The directory of remote actors: one cell for each actor of another node that this node has a ref to."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from ..kernel.address import NodeId
from .remote_cell import PeerFinder, RemoteCell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..session.generations import Generations


class Directory:
    """The cells of remote actors.

    finder: finds the peer that a cell sends to.  node_id: of this node.
    generations: which generation of each node has its name, and which are over.
    """

    __slots__ = ("_cells", "_finder", "_generations", "_node_id")

    def __init__(self, finder: PeerFinder, node_id: NodeId, generations: Generations) -> None:
        self._finder, self._node_id, self._generations = finder, node_id, generations
        self._cells: WeakValueDictionary[tuple[str, int, int], RemoteCell] = WeakValueDictionary()

    def cell(self, node_id: NodeId, uid: int, path: str) -> RemoteCell:
        """Return the cell of a remote actor, made at the first call.

        path: of the actor, used when the cell is made; empty when it is not known.
        The cell has ended when the actor cannot be alive: an actor of this node that is not exported, or of another
        generation of this node, or of a generation that has lost the name of its node to another one.  One that has
        ended because its node was lost is not given again, though a ref may hold it: the node may be back.
        """
        key = (node_id.name, node_id.generation, uid)
        cell = self._cells.get(key)
        if cell is None or (cell.phase == "gone" and cell.reason == "node_lost"):
            cell = self._cells[key] = RemoteCell(self._finder, node_id, path, uid)
            if node_id == self._node_id:
                cell.end("no_such_actor", None)
            elif node_id.name == self._node_id.name:
                cell.end("node_lost", f"this is another generation of node {node_id.name}")
            elif self._generations.is_over(node_id.name, node_id.generation, self._finder.system.loop.time()):
                cell.end("node_lost", f"node {node_id.name} has begun another generation")
        return cell

    def get(self, node_id: NodeId, uid: int) -> RemoteCell | None:
        """Return the cell of a remote actor; None when this node has no ref to it."""
        return self._cells.get((node_id.name, node_id.generation, uid))

    def of_node(self, node: str) -> Iterator[RemoteCell]:
        """Go through all cells of a node, of every generation."""
        return iter([cell for key, cell in list(self._cells.items()) if key[0] == node])

    def end_generation(self, node_id: NodeId, why: str) -> None:
        """Take note that a generation of a node has ended, for ``why``: all of its actors have."""
        for cell in self.of_node(node_id.name):
            if cell.node_id == node_id:
                cell.end("node_lost", why)

    def begin_generation(self, node_id: NodeId) -> None:
        """A session with this generation of a node has begun: the actors of all others heard of so far have ended."""
        now = self._finder.system.loop.time()
        self._generations.begin(node_id.name, node_id.generation, now)
        if self._generations.is_over(node_id.name, node_id.generation, now):
            return
        for cell in self.of_node(node_id.name):
            if cell.node_id != node_id:
                cell.end("node_lost", f"node {node_id.name} has begun another generation")
