"""``ReplicatedMap``: a replicated table whose every change is reported (PURE).

Each node writes entries of its own; all nodes read all entries; the entries of a node end with the node.  Each public
method is one event and returns the effects, to be carried out in order.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, TypeAlias, TypeVar

import msgspec

from .versioned_table import Announce, Change, Delta, DeltaRefused, Resync, VersionedTable

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class EntryChanged(msgspec.Struct, Generic[Key, Value], frozen=True):
    """An entry of this node or of another one has changed."""

    change: Change[Key, Value]


Effect: TypeAlias = Announce[Key, Value] | EntryChanged[Key, Value] | Resync | DeltaRefused


class ReplicatedMap(Generic[Key, Value]):
    """One node's copy of the entries of all nodes.

    table: for reading, and for the exchange with other nodes.  changes_max, entries_max: as in ``VersionedTable``.
    """

    __slots__ = ("table",)

    def __init__(self, node: str, generation: int, changes_max: int = 1_000, entries_max: int = 100_000) -> None:
        self.table: VersionedTable[Key, Value] = VersionedTable(node, generation, changes_max, entries_max)

    def put(self, key: Key, value: Value | None) -> list[Effect[Key, Value]]:
        """Write an entry of this node, None to remove it.  Raises ``RowFull`` at ``entries_max``."""
        before = self.table.row(self.table.node).get(key)
        delta = self.table.put(key, value)
        return [] if delta is None else [Announce(delta), EntryChanged(Change(self.table.node, key, before, value))]

    def merge(self, delta: Delta[Key, Value]) -> list[Effect[Key, Value]]:
        """Apply a delta of another node's row, from that node or from any other one."""
        applied = self.table.apply(delta)
        return [*self.table.effects_of(delta, applied), *_reported(applied.changes)]

    def up(self, node: str, generation: int) -> list[Effect[Key, Value]]:
        """Add a member in this generation; the entries of any other generation of it are removed."""
        return [*_reported(self.table.up(node, generation))]

    def down(self, node: str) -> list[Effect[Key, Value]]:
        """Remove a node that is no longer a member, with its entries."""
        return [*_reported(self.table.down(node))]


def _reported(changes: Sequence[Change[Key, Value]]) -> list[EntryChanged[Key, Value]]:
    return [EntryChanged(change) for change in changes]
