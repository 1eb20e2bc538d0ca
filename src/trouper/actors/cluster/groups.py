"""``GroupTable``: who belongs to which group, all over the cluster, eventually (PURE).

After Erlang/OTP's ``pg`` (its module documentation).  Groups live in *scopes* that know nothing of each other.  Each
node owns only its own actors' memberships; an actor may join a group several times and must leave it as often.  All
members of a node are gone when the node goes down.  Nobody agrees on anything: during a cut each side sees its own
members, and afterwards all see all.

``monitor`` gives a snapshot, and every later change comes as an ``GroupUpdate``: applied to the snapshot in their order the
updates give what ``members`` gives.  Each public method is one event and returns the effects, to be carried out in
order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, TypeAlias, TypeVar

import msgspec

from ...runtime.gossip.versioned_table import Announce, Change, Delta, DeltaRefused, Resync, VersionedTable

Ref = TypeVar("Ref", bound=Hashable)
Key: TypeAlias = tuple[str, str, Ref]
"""Scope, group, and an actor of the node that says so."""


class GroupUpdate(msgspec.Struct, Generic[Ref], frozen=True):
    """A group has changed; for those who monitor it.

    joined, left: an actor stands there as often as it joined or left more.
    """

    watchers: tuple[Hashable, ...]
    scope: str
    group: str
    joined: tuple[Ref, ...]
    left: tuple[Ref, ...]


Effect: TypeAlias = Announce[Key[Ref], int] | GroupUpdate[Ref] | Resync | DeltaRefused


class GroupTable(Generic[Ref]):
    """One node's copy of all memberships.

    rows: for the exchange with others (``digest``, ``deltas_for``).  members_max: the most (scope, group, actor)
    memberships of one node.
    """

    __slots__ = ("_members", "_watchers", "table")

    def __init__(self, node: str, generation: int, members_max: int = 100_000) -> None:
        self.table: VersionedTable[Key[Ref], int] = VersionedTable(node, generation, entries_max=members_max)
        self._members: dict[str, dict[str, Counter[Ref]]] = {}
        self._watchers: dict[Hashable, tuple[str, str | None]] = {}

    # -- reading -------------------------------------------------------------------------------------------------------

    def members(self, scope: str, group: str) -> tuple[Ref, ...]:
        """Return the members of all nodes, each as often as it joined."""
        found = self._members.get(scope, {}).get(group)
        return () if found is None else tuple(found.elements())

    def local_members(self, scope: str, group: str) -> tuple[Ref, ...]:
        """Return the members on this node, each as often as it joined."""
        own = self.table.row(self.table.node)
        return tuple(key[2] for key, times in own.items() if key[:2] == (scope, group) for _ in range(times))

    def groups(self, scope: str) -> tuple[str, ...]:
        """Return the groups of a scope that have members."""
        return tuple(self._members.get(scope, {}))

    # -- this node's members -------------------------------------------------------------------------------------------

    def join(self, scope: str, group: str, ref: Ref) -> list[Effect[Ref]]:
        """Let an actor of this node join, once more if it is in.  Raises ``RowFull`` at ``members_max``."""
        return self._write((scope, group, ref), 1)

    def leave(self, scope: str, group: str, ref: Ref) -> list[Effect[Ref]]:
        """Let an actor of this node leave once; nothing happens when it is not in."""
        return self._write((scope, group, ref), -1)

    def gone(self, ref: Ref) -> list[Effect[Ref]]:
        """Let an actor of this node, which has ended, leave all groups."""
        keys = [(key, times) for key, times in self.table.row(self.table.node).items() if key[2] == ref]
        return [effect for key, times in keys for effect in self._write(key, -times)]

    # -- who watches ---------------------------------------------------------------------------------------------------

    def monitor(self, watcher: Hashable, scope: str, group: str | None = None) -> Mapping[str, tuple[Ref, ...]]:
        """Return the members by group, and put ``watcher`` into every later ``GroupUpdate``.

        group: None for all groups of the scope, those that come later too.  A watcher is one subscription; one that
        is known already is replaced.
        """
        self._watchers[watcher] = (scope, group)
        wanted = self.groups(scope) if group is None else (group,)
        return {name: self.members(scope, name) for name in wanted}

    def demonitor(self, watcher: Hashable) -> None:
        """Forget a watcher; nothing happens when it is not known."""
        self._watchers.pop(watcher, None)

    # -- other nodes ---------------------------------------------------------------------------------------------------

    def merge(self, delta: Delta[Key[Ref], int]) -> list[Effect[Ref]]:
        """Take in what another node says of its members, from it or from anybody who knows."""
        applied = self.table.apply(delta)
        return [*self.table.effects_of(delta, applied), *self._changed(applied.changes)]

    def up(self, node: str, generation: int) -> list[Effect[Ref]]:
        """Note a member of the cluster; what its earlier life had is gone."""
        return self._changed(self.table.up(node, generation))

    def down(self, node: str) -> list[Effect[Ref]]:
        """Note that a node is no member of the cluster any more; all its actors have left all groups."""
        return self._changed(self.table.down(node))

    def _write(self, key: Key[Ref], more: int) -> list[Effect[Ref]]:
        before = self.table.row(self.table.node).get(key, 0)
        after = max(0, before + more)
        delta = self.table.put(key, after or None)
        if delta is None:
            return []
        return [Announce(delta), *self._changed([Change(self.table.node, key, before or None, after or None)])]

    def _changed(self, changes: Iterable[Change[Key[Ref], int]]) -> list[Effect[Ref]]:
        """Count the changes, and tell of each group once."""
        touched: dict[tuple[str, str], Counter[Ref]] = {}
        for change in changes:
            scope, group, ref = change.key
            more = (change.after or 0) - (change.before or 0)
            touched.setdefault((scope, group), Counter())[ref] += more
        effects: list[Effect[Ref]] = []
        for (scope, group), mores in touched.items():
            self._count(scope, group, mores)
            watchers = tuple(who for who, at in self._watchers.items() if at in ((scope, group), (scope, None)))
            joined, left = (+mores).elements(), (-mores).elements()
            update = GroupUpdate(watchers, scope, group, tuple(joined), tuple(left))
            if watchers and (update.joined or update.left):
                effects.append(update)
        return effects

    def _count(self, scope: str, group: str, mores: Counter[Ref]) -> None:
        """Add to the members of a group; groups and scopes without members are forgotten."""
        groups = self._members.setdefault(scope, {})
        counts = groups.setdefault(group, Counter())
        for ref, more in mores.items():
            counts[ref] += more
            if counts[ref] <= 0:
                del counts[ref]
        if not counts:
            del groups[group]
        if not groups:
            del self._members[scope]
