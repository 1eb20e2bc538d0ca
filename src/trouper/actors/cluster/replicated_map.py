"""``ReplicatedMap``: entries that each node writes of itself, where every change is told of (PURE).

The plainest reading of ``table``: services, devices that have failed, and who cannot reach whom are boards.

Each public method is one event and returns the effects, to be carried out in order.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, TypeAlias, TypeVar

import msgspec

from ...runtime.gossip.versioned_table import Announce, Change, Delta, DeltaRefused, Resync, VersionedTable

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class EntryChanged(msgspec.Struct, Generic[Key, Value], frozen=True):
    """An entry is another now; of this node or of another one."""

    change: Change[Key, Value]


Effect: TypeAlias = Announce[Key, Value] | EntryChanged[Key, Value] | Resync | DeltaRefused


class ReplicatedMap(Generic[Key, Value]):
    """One node's copy of what all nodes have posted.

    rows: for reading, and for the exchange with others.  changes_max, entries_max: see ``VersionedTable``.
    """

    __slots__ = ("table",)

    def __init__(self, node: str, generation: int, changes_max: int = 1_000, entries_max: int = 100_000) -> None:
        self.table: VersionedTable[Key, Value] = VersionedTable(node, generation, changes_max, entries_max)

    def put(self, key: Key, value: Value | None) -> list[Effect[Key, Value]]:
        """Write an entry of this node, None to take it out.  Raises ``RowFull`` at ``entries_max``."""
        before = self.table.row(self.table.node).get(key)
        delta = self.table.put(key, value)
        return [] if delta is None else [Announce(delta), EntryChanged(Change(self.table.node, key, before, value))]

    def merge(self, delta: Delta[Key, Value]) -> list[Effect[Key, Value]]:
        """Take in what another node has posted, from it or from anybody who knows."""
        applied = self.table.apply(delta)
        return [*self.table.effects_of(delta, applied), *_told(applied.changes)]

    def up(self, node: str, generation: int) -> list[Effect[Key, Value]]:
        """Note a member of the cluster; what its earlier life posted is gone."""
        return [*_told(self.table.up(node, generation))]

    def down(self, node: str) -> list[Effect[Key, Value]]:
        """Note that a node is no member of the cluster any more; what it posted is gone."""
        return [*_told(self.table.down(node))]


def _told(changes: Sequence[Change[Key, Value]]) -> list[EntryChanged[Key, Value]]:
    return [EntryChanged(change) for change in changes]
