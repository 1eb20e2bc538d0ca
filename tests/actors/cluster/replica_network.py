"""Three replicas and an unreliable network: deltas are late, duplicated, lost, reordered; nodes restart."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

from trouper.runtime.gossip.replicated_table import ReplicatedTable
from trouper.runtime.gossip.versioned_table import Delta, TableLimits, VersionedTable

NODES = ("a", "b", "c")
AnyTable: TypeAlias = "ReplicatedTable[Any, Any]"  # Any: names, groups and topics have keys and rows of their own
AnyDelta: TypeAlias = "Delta[Any, Any]"  # Any: as above
M = TypeVar("M")


def lone_table(limits: TableLimits | None = None) -> AnyTable:
    """The table of a node that is alone."""
    copies: VersionedTable[Any, Any] = VersionedTable("a", {"a": 1}, limits or TableLimits())
    return ReplicatedTable("tests", tuple, copies, lambda: None)


class Network(Generic[M]):
    """The replicas by node, and the deltas in transit.

    make: makes what a node has of a table.
    """

    def __init__(self, make: Callable[[AnyTable], M], seed: int = 0) -> None:
        self._make, self._draw = make, random.Random(seed)
        self.at: dict[str, M] = {}
        self.tables: dict[str, AnyTable] = {}
        self._members: dict[str, dict[str, int]] = {}
        self._generations: dict[str, int] = dict.fromkeys(NODES, 1)
        self._announced: dict[str, int] = {}
        self._deltas: list[tuple[str, AnyDelta]] = []
        self._ups: list[tuple[str, str, int]] = []
        for node in NODES:
            self._begin(node)

    def deliver(self, place: int) -> None:
        """Deliver one delta that is in transit; it may arrive once more later, and others before it."""
        if self._deltas:
            place %= len(self._deltas)
            to, delta = self._deltas[place] if self._draw.random() < 0.3 else self._deltas.pop(place)
            if self._merge(to, delta):
                self.sync(to, delta.owner)

    def lose(self, place: int) -> None:
        """Lose one delta that is in transit."""
        if self._deltas:
            del self._deltas[place % len(self._deltas)]

    def sync(self, node: str, other: str) -> bool:
        """Send a node what another one has and it lacks; return whether there was anything."""
        stamps = self.tables[node].copies.stamps()
        copies = self.tables[other].copies
        deltas = [delta for owner in copies.owners() for delta in copies.deltas_for(owner, stamps.get(owner, (-1, 0)))]
        for delta in deltas:
            self._merge(node, delta)
        return bool(deltas)

    def restart(self, node: str) -> None:
        """Restart a node in a new generation; the others learn of it later, and its old deltas are still in transit."""
        self._generations[node] += 1
        self._ups = [up for up in self._ups if up[0] != node]  # the restarted node learns all present generations
        self._ups += [(other, node, self._generations[node]) for other in NODES if other != node]
        self._begin(node)

    def hear(self, place: int) -> None:
        """Let one node learn of a new generation of another; of one node it learns them in order."""
        if self._ups:
            to, node, _ = self._ups[place % len(self._ups)]
            first = next(up for up in self._ups if up[:2] == (to, node))
            self._ups.remove(first)
            self.down(to, node)
            self._members[to][node] = first[2]

    def down(self, node: str, other: str) -> None:
        """Let a node learn that another one is no longer a member."""
        self._members[node].pop(other, None)
        table = self.tables[node]
        table.changed(table.copies.drop(other))

    def up(self, node: str, other: str) -> None:
        """Let a node learn that another one is a member."""
        self._members[node][other] = self._generations[other]

    def heal(self) -> None:
        """Let all learn of all generations, and sync until no replica has more than another."""
        while self._ups:
            self.hear(0)
        self._deltas.clear()
        for _ in range(10):
            pairs = self._draw.sample([(one, other) for one in NODES for other in NODES if one != other], 6)
            moved = [self.sync(one, other) for one, other in pairs]
            if not any(moved):
                return
        raise AssertionError("the replicas do not converge")

    def _begin(self, node: str) -> None:
        members = self._members[node] = dict(self._generations)
        copies: VersionedTable[Any, Any] = VersionedTable(node, members, TableLimits())
        table = self.tables[node] = ReplicatedTable("tests", tuple, copies, partial(self._written, node))
        self._announced[node] = 0
        self.at[node] = self._make(table)

    def _written(self, node: str) -> None:
        copies = self.tables[node].copies
        generation, version = copies.stamp(node)
        for delta in copies.deltas_for(node, (generation, self._announced[node])):
            self._deltas += [(other, delta) for other in NODES if other != node]
        self._announced[node] = version

    def _merge(self, node: str, delta: AnyDelta) -> bool:
        """Merge a delta; return whether it left a gap."""
        table = self.tables[node]
        applied = table.copies.apply(delta)
        table.changed(applied.changes)
        return applied.gap
