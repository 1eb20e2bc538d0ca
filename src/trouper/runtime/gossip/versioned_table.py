"""``VersionedTable``: what each node says of itself, held by all, as rows that only their owner writes (PURE).

Names, groups and topics of a cluster are three readings of this one thing.  Each node owns a row of keys and values and
numbers its changes; everybody else holds a copy.  Of two copies the one with the higher (incarnation, version) is
newer, so copies merge in any order, any number of times, and stale gossip loses.  Copies of nodes that are not members
are not held: when a node goes down its row goes with it everywhere, and a later life begins with an empty one.

Anti-entropy: send ``digest()``; the other answers with ``deltas_for(digest)``, and sends its own digest in turn.  A
delta is the changes since a version, while they are still remembered, or the whole row, in parts if it is long.  One
that does not join on to what is here is a *gap*; after one, send the digest again.

The scheme is that of version-numbered deltas by owner, as in van Renesse and others, "Efficient reconciliation and flow
control for anti-entropy protocols" (LADIS 2008), with the whole row where the log is too short.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Mapping
from typing import Generic, TypeVar

import msgspec

from ..kernel.errors import CallerError, InvalidOption

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Stamp = tuple[int, int]
"""Incarnation of the owner and version of its row; a higher one is newer."""


class RowFull(CallerError):
    """This node's own row is at its limit of entries."""


class Delta(msgspec.Struct, Generic[Key, Value], frozen=True):
    """The changes of one owner's row after version ``base`` up to ``version``; base 0 is the whole row, or a part.

    changes: keys with their new values; None for a key that is gone.  Each key stands once.
    entries: with base 0 how many entries the whole row has; parts of one version, from whomever, add up to it.
    """

    owner: str
    generation: int
    base: int
    version: int
    changes: tuple[tuple[Key, Value | None], ...]
    entries: int = 0


class Announce(msgspec.Struct, Generic[Key, Value], frozen=True):
    """Send this to all other members; whoever does not get it is told by the next anti-entropy."""

    delta: Delta[Key, Value]


class Resync(msgspec.Struct, frozen=True):
    """Something is missing in the row of this node: send it the digest now."""

    node: str


class DeltaRefused(msgspec.Struct, frozen=True):
    """News that was not taken in, for people to read."""

    problem: str


class Change(msgspec.Struct, Generic[Key, Value], frozen=True):
    """One entry of the owner's row is another now; None for one that was not, or is no more."""

    owner: str
    key: Key
    before: Value | None
    after: Value | None


class Applied(msgspec.Struct, Generic[Key, Value], frozen=True):
    """What came of a delta: the changes; whether it left a gap; and why it was refused, "" if it was not."""

    changes: tuple[Change[Key, Value], ...] = ()
    gap: bool = False
    refused: str = ""


class _Row(Generic[Key, Value]):
    """One owner's entries as they are here, and the newest changes with their versions.

    logged_from: the version after which the log has every change.
    """

    __slots__ = ("entries", "generation", "log", "logged_from", "version")

    def __init__(self, generation: int, changes_max: int, version: int = 0) -> None:
        self.generation, self.version, self.logged_from = generation, version, version
        self.entries: dict[Key, Value] = {}
        self.log: deque[tuple[int, Key, Value | None]] = deque(maxlen=changes_max)

    def put(self, key: Key, value: Value | None, version: int) -> Value | None:
        """Write one entry, None to take it out, and return the one before."""
        before = self.entries.pop(key, None)
        if value is not None:
            self.entries[key] = value
        self.version = version
        if len(self.log) == self.log.maxlen:
            self.logged_from = self.log[0][0] if self.log else version
        self.log.append((version, key, value))
        return before


class VersionedTable(Generic[Key, Value]):
    """One node's copy of all rows.  Values are never None.

    node, incarnation: whose copy it is; ``members`` maps the nodes that are in, itself too, to their incarnations.
    changes_max: how many changes of each row are remembered for deltas, and how many a delta has at most.
    entries_max: the most entries of a row, of this node's own (``RowFull``) and of others' (the delta is refused).
    """

    __slots__ = ("_changes_max", "_entries_max", "_parts", "_rows", "members", "node")

    def __init__(self, node: str, generation: int, changes_max: int = 1_000, entries_max: int = 100_000) -> None:
        self.node = node
        self.members: dict[str, int] = {node: generation}
        self._changes_max, self._entries_max = changes_max, entries_max
        if changes_max < 1 or entries_max < 1:
            raise InvalidOption(f"node {node}: changes_max={changes_max}, entries_max={entries_max}: give 1 or more")
        self._rows: dict[str, _Row[Key, Value]] = {node: _Row(generation, changes_max)}
        self._parts: dict[str, tuple[int, dict[Key, Value]]] = {}  # by owner: of which version, and what has come of it

    # -- this node's own row -------------------------------------------------------------------------------------------

    def put(self, key: Key, value: Value | None) -> Delta[Key, Value] | None:
        """Write an entry of this node, None to take it out; return the news for the others, None if it was so.

        Raises ``RowFull`` at ``entries_max``.
        """
        row = self._rows[self.node]
        if row.entries.get(key) == value:
            return None
        if key not in row.entries and len(row.entries) >= self._entries_max:
            raise RowFull(
                f"node {self.node}: {len(row.entries)} entries are the limit (entries_max); take one out first"
            )
        row.put(key, value, row.version + 1)
        base, entries = row.version - 1, 1 if row.version == 1 else 0
        return Delta(self.node, row.generation, base, row.version, ((key, value),), entries)

    # -- members -------------------------------------------------------------------------------------------------------

    def up(self, node: str, generation: int) -> tuple[Change[Key, Value], ...]:
        """Note that this life of a node is a member; what an earlier life of it had is gone.  Ask it for its row."""
        if node == self.node or generation <= self.members.get(node, -1):
            return ()
        gone = self.down(node)
        self.members[node] = generation
        return gone

    def down(self, node: str) -> tuple[Change[Key, Value], ...]:
        """Note that a node is no member any more; its entries are gone with it.  Never said of this node."""
        if node == self.node:
            return ()
        self.members.pop(node, None)
        self._parts.pop(node, None)
        row = self._rows.pop(node, None)
        return () if row is None else tuple(Change(node, key, value, None) for key, value in row.entries.items())

    # -- exchange ------------------------------------------------------------------------------------------------------

    def digest(self) -> dict[str, Stamp]:
        """Return how far this copy is, by owner."""
        return {owner: (row.generation, row.version) for owner, row in self._rows.items()}

    def deltas_for(self, digest: Mapping[str, Stamp]) -> list[Delta[Key, Value]]:
        """Return what a copy with this digest lacks and this one has."""
        deltas: list[Delta[Key, Value]] = []
        for owner, row in self._rows.items():
            generation, version = digest.get(owner, (-1, 0))
            if (generation, version) < (row.generation, row.version):
                deltas += self._deltas(owner, row, version if generation == row.generation else 0)
        return deltas

    def stamp(self, owner: str) -> Stamp:
        """Return how far this copy of an owner's row is; (-1, 0) when there is none."""
        row = self._rows.get(owner)
        return (-1, 0) if row is None else (row.generation, row.version)

    def deltas_since(self, version: int) -> list[Delta[Key, Value]]:
        """Return the changes of this node's own row after a version, which the others have heard of."""
        row = self._rows[self.node]
        return self._deltas(self.node, row, version) if version < row.version else []

    def apply(self, delta: Delta[Key, Value]) -> Applied[Key, Value]:
        """Take in news.  What is known already, of a node that is no member, or of an earlier life, changes nothing."""
        owner = delta.owner
        if owner == self.node or self.members.get(owner) != delta.generation:
            return Applied()
        row = self._rows.get(owner)
        if row is not None and delta.version <= row.version:
            return Applied()
        if delta.base == 0:
            return self._replace(row, delta)
        if row is None or delta.base > row.version:
            return Applied(gap=True)
        return self._extend(row, delta)

    # -- reading -------------------------------------------------------------------------------------------------------

    def effects_of(self, delta: Delta[Key, Value], applied: Applied[Key, Value]) -> list[Resync | DeltaRefused]:
        """Return what is to be done about news that could not be taken in."""
        if applied.gap:
            return [Resync(delta.owner)]
        return [DeltaRefused(applied.refused)] if applied.refused else []

    def row(self, owner: str) -> Mapping[Key, Value]:
        """Return what an owner says, as far as it is known here; do not change it."""
        row = self._rows.get(owner)
        return {} if row is None else row.entries

    def items(self) -> Iterator[tuple[str, Key, Value]]:
        """Return all entries with their owners."""
        for owner, row in self._rows.items():
            for key, value in row.entries.items():
                yield owner, key, value

    # -- within --------------------------------------------------------------------------------------------------------

    def _deltas(self, owner: str, row: _Row[Key, Value], base: int) -> list[Delta[Key, Value]]:
        """The changes after ``base``, or the whole row when they are forgotten or more than it has entries."""
        if base > 0 and row.logged_from <= base:
            changes = {key: value for version, key, value in row.log if version > base}
            if len(changes) <= len(row.entries):
                return [Delta(owner, row.generation, base, row.version, tuple(changes.items()))]
        entries: list[tuple[Key, Value | None]] = list(row.entries.items())
        begins = range(0, max(1, len(entries)), self._changes_max)
        parts = (tuple(entries[begin : begin + self._changes_max]) for begin in begins)
        return [Delta(owner, row.generation, 0, row.version, part, len(entries)) for part in parts]

    def _replace(self, row: _Row[Key, Value] | None, delta: Delta[Key, Value]) -> Applied[Key, Value]:
        """Take in a part of a whole row, and put the row in the place of the old one when all parts are there."""
        if delta.entries > self._entries_max:
            return self._refused(delta, delta.entries)
        version, entries = self._parts.get(delta.owner, (0, {}))
        if delta.version < version:
            return Applied()
        if delta.version > version:
            entries = {}
        entries.update((key, value) for key, value in delta.changes if value is not None)
        self._parts[delta.owner] = delta.version, entries
        if len(entries) < delta.entries:
            return Applied()
        del self._parts[delta.owner]
        if len(entries) > delta.entries:
            return Applied(refused=f"node {delta.owner} has {len(entries)} entries, and said {delta.entries}")
        before = {} if row is None else row.entries
        fresh: _Row[Key, Value] = _Row(delta.generation, self._changes_max, delta.version)
        fresh.entries = entries
        self._rows[delta.owner] = fresh
        return Applied(
            tuple(
                Change(delta.owner, key, before.get(key), entries.get(key))
                for key in {**before, **entries}
                if before.get(key) != entries.get(key)
            )
        )

    def _extend(self, row: _Row[Key, Value], delta: Delta[Key, Value]) -> Applied[Key, Value]:
        added = sum(value is not None and key not in row.entries for key, value in delta.changes)
        if len(row.entries) + added > self._entries_max:
            return self._refused(delta, len(row.entries) + added)
        if self._parts.get(delta.owner, (delta.version + 1,))[0] <= delta.version:
            del self._parts[delta.owner]  # the row has come here another way
        changes: list[Change[Key, Value]] = []
        for key, value in delta.changes:
            before = row.put(key, value, delta.version)
            if before != value:
                changes.append(Change(delta.owner, key, before, value))
        return Applied(tuple(changes))

    def _refused(self, delta: Delta[Key, Value], entries: int) -> Applied[Key, Value]:
        problem = f"node {delta.owner} has {entries} entries, {self._entries_max} are taken of a node (entries_max)"
        return Applied(refused=problem)
