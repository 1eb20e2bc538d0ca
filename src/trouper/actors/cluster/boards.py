"""``Board``: entries that each node writes of itself, where every change is told of (PURE).

The plainest reading of ``rows``: services, devices that have failed, and who cannot reach whom are boards.

Each public method is one event and returns the effects, to be carried out in order.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, TypeAlias, TypeVar

import msgspec

from .rows import Announce, Change, Delta, Refused, Resync, Rows

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Posted(msgspec.Struct, Generic[Key, Value], frozen=True):
    """An entry is another now; of this node or of another one."""

    change: Change[Key, Value]


Effect: TypeAlias = Announce[Key, Value] | Posted[Key, Value] | Resync | Refused


class Board(Generic[Key, Value]):
    """One node's copy of what all nodes have posted.

    rows: for reading, and for the exchange with others.  changes_max, entries_max: see ``Rows``.
    """

    __slots__ = ("rows",)

    def __init__(self, node: str, incarnation: int, changes_max: int = 1_000, entries_max: int = 100_000) -> None:
        self.rows: Rows[Key, Value] = Rows(node, incarnation, changes_max, entries_max)

    def post(self, key: Key, value: Value | None) -> list[Effect[Key, Value]]:
        """Write an entry of this node, None to take it out.  Raises ``RowFull`` at ``entries_max``."""
        before = self.rows.row(self.rows.node).get(key)
        delta = self.rows.put(key, value)
        return [] if delta is None else [Announce(delta), Posted(Change(self.rows.node, key, before, value))]

    def merge(self, delta: Delta[Key, Value]) -> list[Effect[Key, Value]]:
        """Take in what another node has posted, from it or from anybody who knows."""
        applied = self.rows.apply(delta)
        return [*self.rows.effects_of(delta, applied), *_told(applied.changes)]

    def up(self, node: str, incarnation: int) -> list[Effect[Key, Value]]:
        """Note a member of the cluster; what its earlier life posted is gone."""
        return [*_told(self.rows.up(node, incarnation))]

    def down(self, node: str) -> list[Effect[Key, Value]]:
        """Note that a node is no member of the cluster any more; what it posted is gone."""
        return [*_told(self.rows.down(node))]


def _told(changes: Sequence[Change[Key, Value]]) -> list[Posted[Key, Value]]:
    return [Posted(change) for change in changes]
