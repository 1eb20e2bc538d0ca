"""``ReplicatedTables``: one node's copies of everything that the members of a cluster share (PURE).

The tables are ``names``, ``groups``, ``topics``, ``services``, ``devices`` (those that have failed), ``reach`` (which
member cannot reach which), ``statuses`` (which members count as up) and ``workers`` (the worker processes of members).
Each has a class of its own.  This file does what they have in common: members come and go, deltas are merged, copies
are compared.  Each effect comes with the name of its table.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

from ... import ActorRef
from ...lowlevel import (
    Announce,
    Delta,
    DeltaRefused,
    EntryChanged,
    ReplicatedMap,
    Resync,
    Stamp,
    VersionedTable,
    parent_of,
)
from .groups import GroupTable, GroupUpdate
from .names import ClaimLost, HolderChanged, NameTable
from .reachability import OBSERVERS_MAX, Reach, Reachability
from .replication_messages import TableDeltas, WorkerRow
from .services import OFFERS_PER_DELTA, ServiceTable
from .topics import TopicTable

AnyDelta: TypeAlias = "Delta[Any, Any]"  # Any: each table has keys and values of its own
AnyEntryChanged: TypeAlias = "EntryChanged[Any, Any]"  # Any: as above
Outcome: TypeAlias = (
    "GroupUpdate[ActorRef] | HolderChanged[ActorRef] | ClaimLost[ActorRef] | AnyEntryChanged | DeltaRefused"
)
"""An effect of a table that concerns this node; ``Announce`` and ``Resync`` concern other nodes."""
TableOutcome: TypeAlias = tuple[str, Outcome]
"""The name of a table, and one outcome of a change of it."""
DEVICES_MAX = 1_000
"""The most failed devices of one node."""
STATUSES_MAX = 10
"""The most statuses of one node; only ``UP`` is in use."""
UP = "up"
"""The status of a member that counts when a partition is resolved; the member sets it once all others know of it."""
WORKERS_MAX = 1_000
"""The most workers of one node."""
CHANGES_PER_MESSAGE = 1_000
"""The most changes in one message that holds several deltas."""


class TableMachine(Protocol):
    """What the classes of the tables have in common."""

    table: VersionedTable[Any, Any]  # Any: as above

    def merge(self, delta: AnyDelta, /) -> Sequence[object]:
        """Apply a delta of another node's row."""
        ...

    def up(self, node: str, generation: int, /) -> Sequence[object]:
        """Add a member in this generation."""
        ...

    def down(self, node: str, /) -> Sequence[object]:
        """Remove a node that is no longer a member."""
        ...


class MergeResult(NamedTuple):
    """The result of merging deltas.

    outcomes: what concerns this node.  fresh: the deltas that were new here, to be passed on; None when there are none.
    gaps: the tables in which a delta did not connect.
    """

    outcomes: list[TableOutcome]
    fresh: TableDeltas | None
    gaps: frozenset[str]


class ReplicatedTables:
    """One node's copies of all tables.

    node, generation: whose copies; the generation of this node's membership, in which its own rows are written.
    by_name: the tables by their names.
    """

    def __init__(self, node: str, generation: int) -> None:
        self.node, self.generation = node, generation
        self.names: NameTable[ActorRef] = NameTable(node, generation)
        self.groups: GroupTable[ActorRef] = GroupTable(node, generation)
        self.topics: TopicTable[ActorRef] = TopicTable(node, generation)
        self.services: ServiceTable[ActorRef] = ServiceTable(node, generation)
        self.devices: ReplicatedMap[str, str] = ReplicatedMap(node, generation, entries_max=DEVICES_MAX)
        self.reach: ReplicatedMap[str, Reach] = ReplicatedMap(node, generation)
        self.statuses: ReplicatedMap[str, int] = ReplicatedMap(node, generation, entries_max=STATUSES_MAX)
        self.workers: ReplicatedMap[str, WorkerRow] = ReplicatedMap(node, generation, entries_max=WORKERS_MAX)
        self.by_name: dict[str, TableMachine] = {
            "names": self.names, "groups": self.groups, "topics": self.topics,
            "services": self.services, "devices": self.devices, "reach": self.reach, "statuses": self.statuses,
            "workers": self.workers,
        }  # fmt: skip
        self._announced = dict.fromkeys(self.by_name, 0)
        self._checksums: dict[str, tuple[dict[str, Stamp], int]] = {}

    # -- members -------------------------------------------------------------------------------------------------------

    @property
    def members(self) -> dict[str, int]:
        """The members whose rows are held, this node included, with their lives as members."""
        return self.names.table.members

    def sync_members(self, members: Mapping[str, int]) -> list[TableOutcome]:
        """Remove the rows of nodes that are no longer members, and add new members.  members: lives by name."""
        outcomes: list[TableOutcome] = []
        known = self.members
        left = [name for name, generation in known.items() if name != self.node and members.get(name) != generation]
        joined = [(name, generation) for name, generation in members.items() if known.get(name) != generation]
        for name, machine in self.by_name.items():
            for member in left:
                outcomes += local_outcomes(name, machine.down(member))
            for member, generation in joined:
                outcomes += local_outcomes(name, machine.up(member, generation))
        return outcomes

    def worker_generations(self, members: Iterable[str]) -> dict[str, int]:
        """Return the workers of these members, with the generations of the nodes in them."""
        return {worker: row.generation for name in members for worker, row in self.workers.table.row(name).items()}

    # -- exchange ------------------------------------------------------------------------------------------------------

    def announcements(self) -> list[TableDeltas]:
        """Return the changes of this node's own rows since the last call."""
        deltas: list[tuple[str, AnyDelta]] = []
        for name, machine in self.by_name.items():
            deltas += [(name, delta) for delta in machine.table.deltas_since(self._announced[name])]
            self._announced[name] = machine.table.stamp(self.node)[1]
        return list(_pack(deltas))

    def merge(self, deltas: TableDeltas) -> MergeResult:
        """Merge deltas from another node."""
        outcomes: list[TableOutcome] = []
        fresh: list[tuple[str, AnyDelta]] = []
        gaps: set[str] = set()
        for name, machine in self.by_name.items():
            for delta in _deltas_of(deltas, name):
                if not _is_from_owner(name, delta):
                    continue
                before = machine.table.stamp(delta.owner)
                effects = machine.merge(delta)
                if any(isinstance(effect, Resync) for effect in effects):
                    gaps.add(name)
                if machine.table.stamp(delta.owner) != before:
                    fresh.append((name, delta))
                outcomes += local_outcomes(name, effects)
        return MergeResult(outcomes, next(_pack(fresh), None), frozenset(gaps))

    def checksums(self) -> dict[str, int]:
        """Return a checksum of the stamps of each table; copies that differ almost always have other checksums."""
        for name in self.by_name:
            stamps = self._stamps(name)
            if name not in self._checksums or self._checksums[name][0] != stamps:  # unchanged stamps cost no new sum
                self._checksums[name] = stamps, zlib.crc32(repr(sorted(stamps.items())).encode())
        return {name: checksum for name, (_, checksum) in self._checksums.items()}

    def digest(self, names: Iterable[str]) -> dict[str, dict[str, Stamp]]:
        """Return the stamps of these tables; names that are not known are left out."""
        return {name: self._stamps(name) for name in names if name in self.by_name}

    def missing_in(self, digest: Mapping[str, Mapping[str, Stamp]]) -> list[TableDeltas]:
        """Return what copies with this digest lack and these have."""
        deltas: list[tuple[str, AnyDelta]] = []
        for name, stamps in digest.items():
            if name in self.by_name:
                missing = self.by_name[name].table.deltas_for(stamps)
                deltas += [(name, delta) for delta in missing if delta.version > 0]
        return list(_pack(deltas))

    def _stamps(self, name: str) -> dict[str, Stamp]:
        return {owner: stamp for owner, stamp in self.by_name[name].table.digest().items() if stamp[1] > 0}

    # -- reading -------------------------------------------------------------------------------------------------------

    def reachability(self) -> Reachability:
        """Return which member cannot reach which, as far as all members have reported."""
        table = self.reach.table
        rows = {owner: frozenset(table.row(owner)) for owner in table.members}
        return Reachability({owner: subjects for owner, subjects in rows.items() if subjects})

    def up_number(self, node: str) -> int | None:
        """Return the number with which a member came up, smaller for an older member; None while it is joining."""
        return self.statuses.table.row(node).get(UP)

    def observe(self, unreachable: Iterable[str]) -> list[TableOutcome]:
        """Write the members that this node cannot reach; it can reach all others.

        A member that enough other nodes have reported already is not reported again.
        """
        lost, own = set(unreachable), dict(self.reach.table.row(self.node))
        matrix = self.reachability()
        outcomes: list[TableOutcome] = []
        for name in sorted(own.keys() - lost):
            outcomes += local_outcomes("reach", self.reach.put(name, None))
        for name in sorted(lost - own.keys()):
            if len(matrix.observers(name) - {self.node}) < OBSERVERS_MAX:
                outcomes += local_outcomes("reach", self.reach.put(name, "unreachable"))
        return outcomes


def local_outcomes(table: str, effects: Iterable[object]) -> list[TableOutcome]:
    """Return the effects that concern this node; the others are kept by the tables until ``announcements``."""
    return [(table, cast("Outcome", effect)) for effect in effects if not isinstance(effect, Announce | Resync)]


def _deltas_of(deltas: TableDeltas, table: str) -> tuple[AnyDelta, ...]:
    found: tuple[AnyDelta, ...] = getattr(deltas, table)
    return found


def _is_from_owner(table: str, delta: AnyDelta) -> bool:
    """Return whether all actors in a delta are of the node that owns the row."""
    if table == "names":
        return all(claim is None or _is_of(claim.ref, delta.owner) for _, claim in delta.changes)
    if table == "workers":
        return all(parent_of(key) == delta.owner for key, _ in delta.changes)
    if table in ("groups", "services"):
        return all(_is_of(key[-1], delta.owner) for key, _ in delta.changes)
    return True


def _is_of(ref: ActorRef, node: str) -> bool:
    return ref.address.node == node


def _pack(deltas: Iterable[tuple[str, AnyDelta]]) -> Iterator[TableDeltas]:
    """Put deltas into messages of a bounded size."""
    packed: dict[str, list[AnyDelta]] = {}
    capacity_left = CHANGES_PER_MESSAGE
    for table, delta in deltas:
        weight = len(delta.changes) * (CHANGES_PER_MESSAGE // OFFERS_PER_DELTA if table == "services" else 1) + 1
        if packed and weight > capacity_left:
            yield _build(packed)
            packed, capacity_left = {}, CHANGES_PER_MESSAGE
        packed.setdefault(table, []).append(delta)
        capacity_left -= weight
    if packed:
        yield _build(packed)


def _build(packed: Mapping[str, Sequence[AnyDelta]]) -> TableDeltas:
    values: dict[str, Any] = {table: tuple(deltas) for table, deltas in packed.items()}  # Any: each field has its type
    return TableDeltas(**values)
