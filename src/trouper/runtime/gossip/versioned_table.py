"""``VersionedTable``: rows that one node each writes, and copies of them on all other nodes (PURE).

A row has a key, a value and an owner: the node that writes it.  An owner numbers the changes of its rows; of two copies
of one generation the one with the higher version is newer, so copies merge in any order and any number of times, and
stale gossip has no effect.  Only rows of members are held: when a node goes down its rows are removed everywhere, and a
new generation of the node begins without any.

Anti-entropy: send stamps; the other node replies with ``deltas_for`` each.  A delta holds the changes since a version,
if they are still in the log, or all rows of the owner, in several parts if they are many.  A delta that does not
connect to the local copy leaves a *gap*; after a gap, send the stamps again.

What an owner says of its own rows is *direct*.  What another node says of them is kept as *unconfirmed* until the owner
confirms the version and the content digest, or replaces the rows.  So a wrong word about an owner, a version out of
reach included, lasts until that owner is heard.

The scheme is that of version-numbered deltas by owner: van Renesse and others, "Efficient reconciliation and flow
control for anti-entropy protocols" (LADIS 2008); it sends all rows of the owner where the log is too short.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Mapping
from typing import Generic, TypeVar

import msgspec

from ..kernel.errors import CallerError, InvalidOption
from .content_digest import ContentDigest, row_bytes
from .messages import MESSAGE_BYTES_MAX, VERSION_MAX, Stamp

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

VERSIONS_AHEAD_MAX = 2**40
"""Versions that rows which are passed on may be ahead of the local copy."""


class RowFull(CallerError):
    """This node's own rows in a table are at their limit, in number or in bytes."""


class TableLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one table; all nodes must have the same.

    rows_max: rows of one owner.  bytes_max: bytes of all rows of one owner, as encoded.  row_bytes_max: of one row.
    changes_max: changes of each owner that are remembered for deltas, with the keys of removed rows, and the most in a
        delta; fewer where that many rows do not fit into one message.
    Raises ``InvalidOption`` for a limit below 1.
    """

    rows_max: int = 10_000
    bytes_max: int = 16_777_216
    row_bytes_max: int = 4_096
    changes_max: int = 1_000

    def __post_init__(self) -> None:
        if min(self.rows_max, self.bytes_max, self.row_bytes_max, self.changes_max) < 1:
            raise InvalidOption(f"{self}: every limit must be 1 or more")
        if self.row_bytes_max > MESSAGE_BYTES_MAX:
            raise InvalidOption(f"{self}: row_bytes_max must be {MESSAGE_BYTES_MAX} or less")

    @property
    def part_rows(self) -> int:
        """The most changes in one delta, and those that are remembered."""
        return min(self.changes_max, MESSAGE_BYTES_MAX // self.row_bytes_max)


class Delta(msgspec.Struct, Generic[Key, Value], frozen=True):
    """The changes of one owner's rows after version ``base`` up to ``version``; base 0 is all rows or a part of them.

    changes: each changed key once, with its new value; None for a row that was removed.
    rows: with base 0, how many rows the owner has; parts of one version add up to it.
    unread: digests of rows of the delta that could not be read here; they count as rows of their owner.
    """

    owner: str
    generation: int
    base: int
    version: int
    changes: tuple[tuple[Key, Value | None], ...] = ()
    rows: int = 0
    unread: frozenset[bytes] = frozenset()


class RowChanged(msgspec.Struct, Generic[Key, Value], frozen=True):
    """A row of a replicated table has changed.

    owner: the name of the node that writes it.  before, after: the row; None where there was, or is, none.
    """

    owner: str
    key: Key
    before: Value | None
    after: Value | None


class Applied(msgspec.Struct, Generic[Key, Value], frozen=True):
    """The result of applying a delta.

    changes: of rows.  gap: whether the delta did not connect.  news: whether the copy has another version now.
    refused: why the delta was refused; empty when it was not.
    """

    changes: tuple[RowChanged[Key, Value], ...] = ()
    gap: bool = False
    news: bool = False
    refused: str = ""


class _Rows(Generic[Key, Value]):
    """The rows of one owner, and the keys of its newest changes with their versions.

    logged_from: the log holds every change after this version.  size_bytes: of all rows, as encoded.
    """

    __slots__ = ("content", "generation", "log", "logged_from", "rows", "size_bytes", "version")

    def __init__(self, generation: int, changes_max: int, version: int = 0) -> None:
        self.generation, self.version, self.logged_from = generation, version, version
        self.rows: dict[Key, Value] = {}
        self.log: deque[tuple[int, Key]] = deque(maxlen=changes_max)
        self.size_bytes, self.content = 0, ContentDigest()

    def set(self, key: Key, value: Value | None) -> Value | None:
        """Write one row, None to remove it, and return the previous value."""
        before = self.rows.pop(key, None)
        if before is not None:
            encoded = row_bytes(key, before)
            self.size_bytes -= len(encoded)
            self.content.remove(encoded)
        if value is not None:
            encoded = row_bytes(key, value)
            self.size_bytes += len(encoded)
            self.content.add(encoded)
            self.rows[key] = value
        return before

    def note(self, key: Key, version: int) -> None:
        """Take note that a row was changed in this version."""
        self.version = version
        if len(self.log) == self.log.maxlen:
            self.logged_from = self.log[0][0]
        self.log.append((version, key))


class _Parts(Generic[Key, Value]):
    """The parts so far of all rows of an owner in one version.  direct: whether they come from the owner."""

    __slots__ = ("direct", "fresh", "unread")

    def __init__(self, delta: Delta[Key, Value], changes_max: int, *, direct: bool) -> None:
        self.fresh: _Rows[Key, Value] = _Rows(delta.generation, changes_max, delta.version)
        self.unread: set[bytes] = set()
        self.direct = direct


class VersionedTable(Generic[Key, Value]):
    """One node's copy of all rows.  Values are never None.

    node: that holds this copy.  members: the generations of all member nodes, itself included, by name; the caller
    changes it, and calls ``drop`` for a generation that is no member any more.
    unconfirmed: the owners whose rows came from another node than the one that speaks for them.
    """

    __slots__ = ("_owners", "_parts", "limits", "members", "node", "unconfirmed")

    def __init__(self, node: str, members: Mapping[str, int], limits: TableLimits, version: int = 0) -> None:
        self.node, self.members, self.limits = node, members, limits
        self.unconfirmed: set[str] = set()
        self._owners = {node: _Rows[Key, Value](members[node], limits.part_rows, version)}
        self._parts: dict[str, _Parts[Key, Value]] = {}

    # -- this node's own rows ------------------------------------------------------------------------------------------

    def put(self, key: Key, value: Value | None) -> RowChanged[Key, Value] | None:
        """Write a row of this node, None to remove it; return the change, None if nothing changed.

        Raises ``RowFull`` at a limit, and ``TypeError`` for a value that cannot travel.
        """
        own, limits = self._owners[self.node], self.limits
        before = own.rows.get(key)
        if before == value:
            return None
        if value is not None:
            size = len(row_bytes(key, value))
            if size > limits.row_bytes_max:
                raise RowFull(f"node {self.node}: a row of {size} bytes; {limits.row_bytes_max} are the limit")
            if before is None and len(own.rows) >= limits.rows_max:
                raise RowFull(f"node {self.node}: {limits.rows_max} rows are the limit (rows_max); remove one first")
            replaced = 0 if before is None else len(row_bytes(key, before))
            if own.size_bytes + size - replaced > limits.bytes_max:
                raise RowFull(
                    f"node {self.node}: {limits.bytes_max} bytes are the limit (bytes_max); remove rows first"
                )
        own.set(key, value)
        own.note(key, own.version + 1)
        return RowChanged(self.node, key, before, value)

    def restart(self) -> None:
        """Begin another generation of this node, the one in ``members``, with the rows that it has."""
        before = self._owners[self.node]
        after = self._owners[self.node] = _Rows(self.members[self.node], self.limits.part_rows)
        for key, value in before.rows.items():
            after.set(key, value)
            after.note(key, after.version + 1)

    # -- exchange ------------------------------------------------------------------------------------------------------

    def drop(self, owner: str) -> tuple[RowChanged[Key, Value], ...]:
        """Remove the rows of a node that is no longer a member, or of another generation of it."""
        self._parts.pop(owner, None)
        self.unconfirmed.discard(owner)
        dropped = self._owners.pop(owner, None)
        if dropped is None:
            return ()
        return tuple(RowChanged(owner, key, value, None) for key, value in dropped.rows.items())

    def stamp(self, owner: str) -> Stamp:
        """Return the stamp of an owner's rows in this copy; (-1, 0) when there are none."""
        owned = self._owners.get(owner)
        return (-1, 0) if owned is None else (owned.generation, owned.version)

    def stamps(self) -> dict[str, Stamp]:
        """Return the stamps of all owners that have ever written a row, as far as this copy knows."""
        return {owner: (owned.generation, owned.version) for owner, owned in self._owners.items() if owned.version}

    def content(self, owner: str) -> bytes:
        """Return the content digest of an owner's rows."""
        return self._owners[owner].content.value()

    def deltas_for(self, owner: str, stamp: Stamp, unconfirmed: bytes = b"") -> list[Delta[Key, Value]]:
        """Return what a copy of an owner's rows with this stamp lacks and this one has.

        unconfirmed: the content digest of a copy that is to be confirmed; an empty delta confirms it.
        Generations are compared for equality only: of two generations the members decide which one holds.
        """
        owned = self._owners.get(owner)
        if owned is None:
            return []
        same = stamp[0] == owned.generation
        if unconfirmed:
            if same and stamp[1] == owned.version and unconfirmed == owned.content.value():
                return [Delta(owner, owned.generation, owned.version, owned.version)]
            return self._deltas(owner, owned, 0)
        version = stamp[1] if same else 0
        return self._deltas(owner, owned, version) if version < owned.version else []

    def apply(self, delta: Delta[Key, Value], *, direct: bool = True) -> Applied[Key, Value]:
        """Apply a delta.  One that is old, of a node that is no member, or of another generation changes nothing.

        direct: whether it comes from the node that speaks for the owner.
        """
        owner, owned = delta.owner, self._owners.get(delta.owner)
        if owner == self.node or self.members.get(owner) != delta.generation:
            return Applied()
        version = 0 if owned is None else owned.version
        if direct and owner in self.unconfirmed:
            if 0 < delta.base == delta.version == version and not delta.changes:
                self.unconfirmed.discard(owner)
                return Applied()
            if delta.base:
                return Applied(gap=True)  # all rows of the owner are to be asked for
        elif delta.version <= version:
            return Applied()
        if delta.version > VERSION_MAX or (not direct and delta.version - version > VERSIONS_AHEAD_MAX):
            return Applied(refused=f"version {delta.version} of the rows of node {owner} is out of reach")
        if delta.base == 0:
            return self._replace(delta, direct=direct)
        if owned is None or delta.base > owned.version:
            return Applied(gap=True)
        return self._extend(owned, delta, direct=direct)

    # -- reading -------------------------------------------------------------------------------------------------------

    def rows_of(self, owner: str) -> Mapping[Key, Value]:
        """Return the rows of an owner in this copy, by key; empty when there are none.  Do not change it."""
        owned = self._owners.get(owner)
        return {} if owned is None else owned.rows

    def owners(self) -> list[str]:
        """Return the owners that this copy knows."""
        return list(self._owners)

    def items(self) -> Iterator[tuple[str, Key, Value]]:
        """Return all rows with their owners and keys."""
        for owner, owned in self._owners.items():
            for key, value in owned.rows.items():
                yield owner, key, value

    # -- within --------------------------------------------------------------------------------------------------------

    def _deltas(self, owner: str, owned: _Rows[Key, Value], base: int) -> list[Delta[Key, Value]]:
        """Return the changes after ``base``; all rows when the log is too short or longer than they are."""
        rows, part = owned.rows, self.limits.part_rows
        if base > 0 and owned.logged_from <= base:
            keys = dict.fromkeys(key for version, key in owned.log if version > base)
            if len(keys) <= max(1, len(rows)):
                return [
                    Delta(owner, owned.generation, base, owned.version, tuple((key, rows.get(key)) for key in keys))
                ]
        changes: list[tuple[Key, Value | None]] = list(rows.items())
        parts = [tuple(changes[begin : begin + part]) for begin in range(0, max(1, len(changes)), part)]
        return [Delta(owner, owned.generation, 0, owned.version, each, len(changes)) for each in parts]

    def _replace(self, delta: Delta[Key, Value], *, direct: bool) -> Applied[Key, Value]:
        """Keep a part of all rows of an owner; replace the old ones once all parts are here."""
        owner, limits = delta.owner, self.limits
        if delta.rows > limits.rows_max:
            return Applied(refused=f"node {owner} has {delta.rows} rows; {limits.rows_max} are the limit (rows_max)")
        parts = self._parts.get(owner)
        if parts is not None and parts.direct and not direct:
            return Applied()  # the owner itself is sending them
        if parts is None or parts.direct != direct or parts.fresh.version != delta.version:
            if parts is not None and parts.direct == direct and delta.version < parts.fresh.version:
                return Applied()
            parts = self._parts[owner] = _Parts(delta, limits.part_rows, direct=direct)
        fresh = parts.fresh
        for key, value in delta.changes:
            if value is not None:
                fresh.set(key, value)
        parts.unread |= delta.unread
        count = len(fresh.rows) + len(parts.unread)
        if count < delta.rows and fresh.size_bytes <= limits.bytes_max:
            return Applied()
        del self._parts[owner]
        if count > delta.rows:
            return Applied(refused=f"node {owner} sent {count} rows and announced {delta.rows}")
        if fresh.size_bytes > limits.bytes_max:
            return Applied(refused=f"the rows of node {owner} take more than {limits.bytes_max} bytes (bytes_max)")
        before, after = self.rows_of(owner), fresh.rows
        self._owners[owner] = fresh
        self._heard(owner, direct=direct)
        changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        return Applied(tuple(RowChanged(owner, key, before.get(key), after.get(key)) for key in changed), news=True)

    def _extend(self, owned: _Rows[Key, Value], delta: Delta[Key, Value], *, direct: bool) -> Applied[Key, Value]:
        owner, limits = delta.owner, self.limits
        added = sum(value is not None and key not in owned.rows for key, value in delta.changes)
        size = owned.size_bytes + len(delta.changes) * limits.row_bytes_max  # at most
        if size > limits.bytes_max:
            size = owned.size_bytes
            size += sum(len(row_bytes(key, value)) for key, value in delta.changes if value is not None)
            size -= sum(len(row_bytes(key, owned.rows[key])) for key, _ in delta.changes if key in owned.rows)
        if len(owned.rows) + added > limits.rows_max or size > limits.bytes_max:
            return Applied(refused=f"the rows of node {owner} are above the limit ({limits})")
        parts = self._parts.get(owner)
        if parts is not None and parts.fresh.version <= delta.version:
            del self._parts[owner]  # these parts are of a version that this delta makes obsolete
        self._heard(owner, direct=direct)
        changes: list[RowChanged[Key, Value]] = []
        for key, value in delta.changes:
            before = owned.set(key, value)
            owned.note(key, delta.version)
            if before != value:
                changes.append(RowChanged(owner, key, before, value))
        owned.version = delta.version  # also where no change could be read
        return Applied(tuple(changes), news=True)

    def _heard(self, owner: str, *, direct: bool) -> None:
        (self.unconfirmed.discard if direct else self.unconfirmed.add)(owner)
