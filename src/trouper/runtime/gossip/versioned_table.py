"""``VersionedTable``: one row for each node, written by that node alone and copied to all others (PURE).

Each node owns a row of keys and values and numbers its changes; all other nodes hold a copy of the row.  Of two copies
the one with the higher (generation, version) is newer, so copies merge in any order and any number of times, and stale
gossip has no effect.  Only rows of members are held: when a node goes down its row is removed everywhere, and a new
generation of the node begins with an empty row.

Anti-entropy: send ``digest()``; the other node replies with ``deltas_for(digest)`` and sends its own digest in turn.  A
delta holds the changes since a version, if they are still in the log, or the whole row, in several parts if it is long.
A delta that does not connect to the local copy leaves a *gap*; after a gap, send the digest again.

The scheme is that of version-numbered deltas by owner: van Renesse and others, "Efficient reconciliation and flow
control for anti-entropy protocols" (LADIS 2008); it sends the whole row where the log is too short.
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
"""Generation of the owner and version of its row; a higher stamp is newer."""


class RowFull(CallerError):
    """This node's own row is at its limit of entries."""


class Delta(msgspec.Struct, Generic[Key, Value], frozen=True):
    """The changes of one owner's row after version ``base`` up to ``version``; base 0 is the whole row or a part of it.

    changes: each changed key once, with its new value; None for a key that was removed.
    entries: with base 0, how many entries the whole row has; parts of one version, from any sender, add up to it.
    """

    owner: str
    generation: int
    base: int
    version: int
    changes: tuple[tuple[Key, Value | None], ...]
    entries: int = 0


class Announce(msgspec.Struct, Generic[Key, Value], frozen=True):
    """Send this delta to all other members; a member that misses it gets it by the next anti-entropy."""

    delta: Delta[Key, Value]


class Resync(msgspec.Struct, frozen=True):
    """The copy of this node's row has a gap: send it the digest now."""

    node: str


class DeltaRefused(msgspec.Struct, frozen=True):
    """A delta that was not applied.  problem: the reason, as a sentence for people."""

    problem: str


class Change(msgspec.Struct, Generic[Key, Value], frozen=True):
    """One entry of the owner's row has changed.  before, after: None where there was, or is, no entry."""

    owner: str
    key: Key
    before: Value | None
    after: Value | None


class Applied(msgspec.Struct, Generic[Key, Value], frozen=True):
    """The result of applying a delta: the changes; whether it left a gap; why it was refused, "" if it was not."""

    changes: tuple[Change[Key, Value], ...] = ()
    gap: bool = False
    refused: str = ""


class _Row(Generic[Key, Value]):
    """The local copy of one owner's entries, and its newest changes with their versions.

    logged_from: the log holds every change after this version.
    """

    __slots__ = ("entries", "generation", "log", "logged_from", "version")

    def __init__(self, generation: int, changes_max: int, version: int = 0) -> None:
        self.generation, self.version, self.logged_from = generation, version, version
        self.entries: dict[Key, Value] = {}
        self.log: deque[tuple[int, Key, Value | None]] = deque(maxlen=changes_max)

    def put(self, key: Key, value: Value | None, version: int) -> Value | None:
        """Write one entry, None to remove it, and return the previous value."""
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

    node, generation: the node that holds this copy.  ``members`` maps all member nodes, itself included, to their
    generations.
    changes_max: changes of each row that are kept for deltas, and the most changes in one delta.
    entries_max: the most entries of a row: of this node's own (``RowFull``) and of others' (the delta is refused).
    """

    __slots__ = ("_changes_max", "_entries_max", "_parts", "_rows", "members", "node")

    def __init__(self, node: str, generation: int, changes_max: int = 1_000, entries_max: int = 100_000) -> None:
        self.node = node
        self.members: dict[str, int] = {node: generation}
        self._changes_max, self._entries_max = changes_max, entries_max
        if changes_max < 1 or entries_max < 1:
            raise InvalidOption(f"node {node}: changes_max={changes_max}, entries_max={entries_max}: give 1 or more")
        self._rows: dict[str, _Row[Key, Value]] = {node: _Row(generation, changes_max)}
        self._parts: dict[str, tuple[int, dict[Key, Value]]] = {}  # by owner: a version, and its parts so far

    # -- this node's own row -------------------------------------------------------------------------------------------

    def put(self, key: Key, value: Value | None) -> Delta[Key, Value] | None:
        """Write an entry of this node, None to remove it; return the delta for the others, None if nothing changed.

        Raises ``RowFull`` at ``entries_max``.
        """
        row = self._rows[self.node]
        if row.entries.get(key) == value:
            return None
        if key not in row.entries and len(row.entries) >= self._entries_max:
            raise RowFull(f"node {self.node}: {len(row.entries)} entries are the limit (entries_max); remove one first")
        row.put(key, value, row.version + 1)
        base, entries = row.version - 1, 1 if row.version == 1 else 0
        return Delta(self.node, row.generation, base, row.version, ((key, value),), entries)

    # -- members -------------------------------------------------------------------------------------------------------

    def up(self, node: str, generation: int) -> tuple[Change[Key, Value], ...]:
        """Add a member in this generation, and remove the row of any other generation of it.  Ask it for its row."""
        if node == self.node or generation == self.members.get(node):
            return ()
        removed = self.down(node)
        self.members[node] = generation
        return removed

    def down(self, node: str) -> tuple[Change[Key, Value], ...]:
        """Remove a node that is no longer a member, with its row.  Has no effect for this node."""
        if node == self.node:
            return ()
        self.members.pop(node, None)
        self._parts.pop(node, None)
        row = self._rows.pop(node, None)
        if row is None:
            return ()
        return tuple(Change(node, key, value, None) for key, value in row.entries.items())

    # -- exchange ------------------------------------------------------------------------------------------------------

    def digest(self) -> dict[str, Stamp]:
        """Return the stamp of each row in this copy, by owner."""
        return {owner: (row.generation, row.version) for owner, row in self._rows.items()}

    def deltas_for(self, digest: Mapping[str, Stamp]) -> list[Delta[Key, Value]]:
        """Return what a copy with this digest lacks and this one has.

        Generations are compared for equality only: of two generations the members decide which one holds, so the row
        of another generation is sent whole, and the receiver ignores it unless that is the member it knows.
        """
        deltas: list[Delta[Key, Value]] = []
        for owner, row in self._rows.items():
            generation, version = digest.get(owner, (-1, 0))
            if generation != row.generation:
                deltas += self._deltas(owner, row, 0)
            elif version < row.version:
                deltas += self._deltas(owner, row, version)
        return deltas

    def stamp(self, owner: str) -> Stamp:
        """Return the stamp of an owner's row in this copy; (-1, 0) when there is none."""
        row = self._rows.get(owner)
        return (-1, 0) if row is None else (row.generation, row.version)

    def deltas_since(self, version: int) -> list[Delta[Key, Value]]:
        """Return the changes of this node's own row after a version that the others have."""
        row = self._rows[self.node]
        return self._deltas(self.node, row, version) if version < row.version else []

    def apply(self, delta: Delta[Key, Value]) -> Applied[Key, Value]:
        """Apply a delta.  One that is old, of a node that is no member, or of another generation changes nothing."""
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
        """Return the effects of a delta that could not be applied; none of one that was."""
        if applied.gap:
            return [Resync(delta.owner)]
        return [DeltaRefused(applied.refused)] if applied.refused else []

    def row(self, owner: str) -> Mapping[Key, Value]:
        """Return the entries of an owner's row in this copy; empty when there is none.  Do not change it."""
        row = self._rows.get(owner)
        return {} if row is None else row.entries

    def items(self) -> Iterator[tuple[str, Key, Value]]:
        """Return all entries with their owners."""
        for owner, row in self._rows.items():
            for key, value in row.entries.items():
                yield owner, key, value

    # -- within --------------------------------------------------------------------------------------------------------

    def _deltas(self, owner: str, row: _Row[Key, Value], base: int) -> list[Delta[Key, Value]]:
        """Return the changes after ``base``; the whole row when the log is too short or longer than the row."""
        if base > 0 and row.logged_from <= base:
            changes = {key: value for version, key, value in row.log if version > base}
            if len(changes) <= len(row.entries):
                return [Delta(owner, row.generation, base, row.version, tuple(changes.items()))]
        entries: list[tuple[Key, Value | None]] = list(row.entries.items())
        begins = range(0, max(1, len(entries)), self._changes_max)
        parts = (tuple(entries[begin : begin + self._changes_max]) for begin in begins)
        return [Delta(owner, row.generation, 0, row.version, part, len(entries)) for part in parts]

    def _replace(self, row: _Row[Key, Value] | None, delta: Delta[Key, Value]) -> Applied[Key, Value]:
        """Keep a part of a whole row; replace the old row once all parts are here."""
        if delta.entries > self._entries_max:
            return self._too_large(delta, delta.entries)
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
            return Applied(
                refused=f"node {delta.owner} sent a row of {len(entries)} entries and announced {delta.entries}"
            )
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
            return self._too_large(delta, len(row.entries) + added)
        if self._parts.get(delta.owner, (delta.version + 1,))[0] <= delta.version:
            del self._parts[delta.owner]  # these parts are of a version that this delta makes obsolete
        changes: list[Change[Key, Value]] = []
        for key, value in delta.changes:
            before = row.put(key, value, delta.version)
            if before != value:
                changes.append(Change(delta.owner, key, before, value))
        return Applied(tuple(changes))

    def _too_large(self, delta: Delta[Key, Value], entries: int) -> Applied[Key, Value]:
        limit = f"{self._entries_max} are the limit (entries_max)"
        return Applied(refused=f"the row of node {delta.owner} has {entries} entries; {limit}")
