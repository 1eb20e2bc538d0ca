"""``GroupTable``: the members of groups all over the cluster, eventually consistent (PURE).

After Erlang/OTP's ``pg`` (its module documentation).  Groups live in *scopes*; groups of one name in two scopes have
nothing in common.  Each node writes only the memberships of its own actors; an actor may join a group several times and
must leave it as often.  All members of a node are removed when the node goes down.  There is no agreement: during a
network partition each side sees its own members, and afterwards all sides see all members.

Every change of what this copy knows is reported by a ``GroupUpdate``: added up in order, the updates give what
``members`` gives.  Each public method is one event and returns the effects, to be carried out in order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Generic, TypeAlias, TypeVar

import msgspec

from ...lowlevel import Announce, Change, Delta, DeltaRefused, Resync, VersionedTable

Ref = TypeVar("Ref", bound=Hashable)
Key: TypeAlias = tuple[str, str, Ref]
"""Scope, group, and an actor of the node that writes the entry."""


class GroupUpdate(msgspec.Struct, Generic[Ref], frozen=True):
    """A group has changed.  joined, left: each actor as many times as it joined or left more often than before."""

    scope: str
    group: str
    joined: tuple[Ref, ...]
    left: tuple[Ref, ...]


Effect: TypeAlias = Announce[Key[Ref], int] | GroupUpdate[Ref] | Resync | DeltaRefused


class GroupTable(Generic[Ref]):
    """One node's copy of all memberships.

    table: for the exchange with other nodes.  members_max: the most (scope, group, actor) memberships of one node.
    """

    __slots__ = ("_members", "table")

    def __init__(self, node: str, generation: int, members_max: int = 100_000) -> None:
        self.table: VersionedTable[Key[Ref], int] = VersionedTable(node, generation, entries_max=members_max)
        self._members: dict[str, dict[str, Counter[Ref]]] = {}

    # -- reading -------------------------------------------------------------------------------------------------------

    def members(self, scope: str, group: str) -> tuple[Ref, ...]:
        """Return the members on all nodes, each as many times as it joined."""
        found = self._members.get(scope, {}).get(group)
        return () if found is None else tuple(found.elements())

    def groups(self, scope: str) -> tuple[str, ...]:
        """Return the groups of a scope that have members."""
        return tuple(self._members.get(scope, {}))

    # -- this node's members -------------------------------------------------------------------------------------------

    def join(self, scope: str, group: str, ref: Ref) -> list[Effect[Ref]]:
        """Add an actor of this node to a group, once more if it is a member.  Raises ``RowFull`` at ``members_max``."""
        return self._write((scope, group, ref), 1)

    def leave(self, scope: str, group: str, ref: Ref) -> list[Effect[Ref]]:
        """Remove an actor of this node from a group once; nothing happens when it is not a member."""
        return self._write((scope, group, ref), -1)

    # -- other nodes ---------------------------------------------------------------------------------------------------

    def merge(self, delta: Delta[Key[Ref], int]) -> list[Effect[Ref]]:
        """Apply a delta of another node's row, from that node or from any other one."""
        applied = self.table.apply(delta)
        return [*self.table.effects_of(delta, applied), *self._changed(applied.changes)]

    def up(self, node: str, generation: int) -> list[Effect[Ref]]:
        """Add a member of the cluster in this generation; the memberships of any other generation are removed."""
        return self._changed(self.table.up(node, generation))

    def down(self, node: str) -> list[Effect[Ref]]:
        """Remove a node that is no longer a member of the cluster; all its actors leave all groups."""
        return self._changed(self.table.down(node))

    def _write(self, key: Key[Ref], difference: int) -> list[Effect[Ref]]:
        before = self.table.row(self.table.node).get(key, 0)
        after = max(0, before + difference)
        delta = self.table.put(key, after or None)
        if delta is None:
            return []
        return [Announce(delta), *self._changed([Change(self.table.node, key, before or None, after or None)])]

    def _changed(self, changes: Iterable[Change[Key[Ref], int]]) -> list[Effect[Ref]]:
        """Count the changes; report each group once."""
        touched: dict[tuple[str, str], Counter[Ref]] = {}
        for change in changes:
            scope, group, ref = change.key
            touched.setdefault((scope, group), Counter())[ref] += (change.after or 0) - (change.before or 0)
        effects: list[Effect[Ref]] = []
        for (scope, group), differences in touched.items():
            self._count(scope, group, differences)
            update = GroupUpdate(scope, group, tuple((+differences).elements()), tuple((-differences).elements()))
            if update.joined or update.left:
                effects.append(update)
        return effects

    def _count(self, scope: str, group: str, differences: Counter[Ref]) -> None:
        """Add to the members of a group; groups and scopes without members are removed."""
        groups = self._members.setdefault(scope, {})
        counts = groups.setdefault(group, Counter())
        for ref, difference in differences.items():
            counts[ref] += difference
            if counts[ref] <= 0:
                del counts[ref]
        if not counts:
            del groups[group]
        if not groups:
            del self._members[scope]
