"""``ReplicatedTables``: one node's copies of all that the members share, as tables of rows (PURE).

``names``, ``groups``, ``topics``, ``services``, ``devices`` (those that have failed), ``reach`` (who cannot reach whom)
and ``statuses`` (who counts as up) each have a machine of their own; what they have in common is done here: members come
and go, news is taken in, copies are compared.  All effects come with the name of their table.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

from ...runtime.gossip.versioned_table import Announce, Delta, DeltaRefused, Resync, Stamp, VersionedTable
from ...runtime.kernel.ref import ActorRef
from .groups import GroupTable, GroupUpdate
from .names import ClaimLost, HolderChanged, NameTable
from .reachability import Reach, Reachability, ReachabilityRow
from .replicated_map import EntryChanged, ReplicatedMap
from .replication_messages import TableDeltas
from .services import Offer
from .topics import TopicTable

AnyDelta: TypeAlias = "Delta[Any, Any]"  # Any: each table has keys and values of its own
AnyEntryChanged: TypeAlias = "EntryChanged[Any, Any]"  # Any: as above
Outcome: TypeAlias = (
    "GroupUpdate[ActorRef] | HolderChanged[ActorRef] | ClaimLost[ActorRef] | AnyEntryChanged | DeltaRefused"
)
"""An effect of a table's machine that is no news for the others."""
TableOutcome: TypeAlias = tuple[str, Outcome]
"""A table, and what came of a change of it."""
SERVICES_MAX = 1_000
"""Services of one node."""
DEVICES_MAX = 1_000
"""Failed devices of one node."""
STATUSES_MAX = 10
"""Marks of one node; there is one as yet, ``UP``."""
UP = "up"
"""The mark of a member that counts when a cut is settled: it says so itself, once all have heard of it."""
OFFERS_PER_DELTA = 100
"""Offers that travel in one piece; with what each may weigh they fit into a frame."""
CHANGES_PER_MESSAGE = 1_000
"""Changes that travel in one message, where they are of several rows."""


class TableMachine(Protocol):
    """What the machines have in common."""

    table: VersionedTable[Any, Any]  # Any: as above

    def merge(self, delta: AnyDelta, /) -> Sequence[object]:
        """Take in news."""
        ...

    def up(self, node: str, generation: int, /) -> Sequence[object]:
        """Note a member."""
        ...

    def down(self, node: str, /) -> Sequence[object]:
        """Note that a node is none any more."""
        ...


class MergeResult(NamedTuple):
    """What came of news: effects, the part that was new, and the tables in which something is missing."""

    told: list[TableOutcome]
    fresh: TableDeltas | None
    gaps: frozenset[str]


class ReplicatedTables:
    """See the top of the file.

    life: which one of this node as a member its rows are of.
    """

    def __init__(self, node: str, life: int) -> None:
        self.node, self.life = node, life
        self.names: NameTable[ActorRef] = NameTable(node, life)
        self.groups: GroupTable[ActorRef] = GroupTable(node, life)
        self.topics: TopicTable[ActorRef] = TopicTable(node, life)
        self.services: ReplicatedMap[tuple[str, ActorRef], Offer] = ReplicatedMap(
            node, life, OFFERS_PER_DELTA, SERVICES_MAX
        )
        self.devices: ReplicatedMap[str, str] = ReplicatedMap(node, life, entries_max=DEVICES_MAX)
        self.reach: ReplicatedMap[str, Reach] = ReplicatedMap(node, life)
        self.statuses: ReplicatedMap[str, bool] = ReplicatedMap(node, life, entries_max=STATUSES_MAX)
        self.by_name: dict[str, TableMachine] = {
            "names": self.names, "groups": self.groups, "topics": self.topics,
            "services": self.services, "devices": self.devices, "reach": self.reach, "statuses": self.statuses,
        }  # fmt: skip
        self._announced = dict.fromkeys(self.by_name, 0)
        self._sums: dict[str, tuple[dict[str, Stamp], int]] = {}
        self._scopes: set[str] = set()

    # -- members -------------------------------------------------------------------------------------------------------

    @property
    def members(self) -> dict[str, int]:
        """The members whose rows are held, this node too, with the lives that they are in."""
        return self.names.table.members

    def sync_members(self, members: Mapping[str, int]) -> list[TableOutcome]:
        """Let go of the rows of those who are members no longer, and take in those of new ones; lives by name."""
        told: list[TableOutcome] = []
        known = self.members
        gone = [name for name, life in known.items() if name != self.node and members.get(name) != life]
        come = [(name, life) for name, life in members.items() if known.get(name) != life]
        for table, machine in self.by_name.items():
            for name in gone:
                told += outcomes(table, machine.down(name))
            for name, life in come:
                told += outcomes(table, machine.up(name, life))
        return told

    # -- exchange ------------------------------------------------------------------------------------------------------

    def announcements(self) -> list[TableDeltas]:
        """Return what has changed in this node's own rows since this was asked last."""
        deltas: list[tuple[str, AnyDelta]] = []
        for table, machine in self.by_name.items():
            deltas += [(table, delta) for delta in machine.table.deltas_since(self._announced[table])]
            self._announced[table] = machine.table.stamp(self.node)[1]
        return list(_pack(deltas))

    def take(self, news: TableDeltas) -> MergeResult:
        """Take in what somebody says."""
        told: list[TableOutcome] = []
        fresh: list[tuple[str, AnyDelta]] = []
        gaps: set[str] = set()
        for table, machine in self.by_name.items():
            for delta in _deltas_of(news, table):
                if not _is_from_owner(table, delta):
                    continue
                before = machine.table.stamp(delta.owner)
                if table == "groups":
                    self._look_at_scopes(key[0] for key, _ in delta.changes)
                effects = machine.merge(delta)
                if any(isinstance(effect, Resync) for effect in effects):
                    gaps.add(table)
                if machine.table.stamp(delta.owner) > before:
                    fresh.append((table, delta))
                told += outcomes(table, effects)
        return MergeResult(told, next(_pack(fresh), None), frozenset(gaps))

    def checksums(self) -> dict[str, int]:
        """Return a sum of each table's stamps; two copies that differ have, but for an accident, other sums."""
        for table in self.by_name:
            stamps = self._stamps(table)
            if table not in self._sums or self._sums[table][0] != stamps:  # at rest nothing need be summed up anew
                self._sums[table] = stamps, zlib.crc32(repr(sorted(stamps.items())).encode())
        return {table: sum_ for table, (_, sum_) in self._sums.items()}

    def digest(self, by_name: Iterable[str]) -> dict[str, dict[str, Stamp]]:
        """Return how far these tables are; one that is not known is left out."""
        return {table: self._stamps(table) for table in by_name if table in self.by_name}

    def answer(self, digest: Mapping[str, Mapping[str, Stamp]]) -> list[TableDeltas]:
        """Return what somebody lacks who is so far."""
        deltas: list[tuple[str, AnyDelta]] = []
        for table, stamps in digest.items():
            if table in self.by_name:
                lacking = self.by_name[table].table.deltas_for(stamps)
                deltas += [(table, delta) for delta in lacking if delta.version > 0]
        return list(_pack(deltas))

    def _stamps(self, table: str) -> dict[str, Stamp]:
        return {owner: stamp for owner, stamp in self.by_name[table].table.digest().items() if stamp[1] > 0}

    # -- reading -------------------------------------------------------------------------------------------------------

    def reachability(self) -> Reachability:
        """Return who cannot reach whom, as far as all have said."""
        table = self.reach.table
        said = {owner: table.row(owner) for owner in table.members}
        return Reachability(
            {owner: ReachabilityRow(*table.stamp(owner), dict(row)) for owner, row in said.items() if row}
        )

    def is_up(self, node: str) -> bool:
        """Return whether a member counts as up, in its present life."""
        return UP in self.statuses.table.row(node)

    def observe(self, unreachable: Iterable[str]) -> list[TableOutcome]:
        """Note whom this node cannot reach, all others it can.  What enough others say of somebody is not repeated."""
        lost, own = set(unreachable), dict(self.reach.table.row(self.node))
        matrix = self.reachability()
        told: list[TableOutcome] = []
        for name in sorted(own.keys() - lost):
            told += outcomes("reach", self.reach.put(name, None))
        for name in sorted(lost - own.keys()):
            if matrix.observe(self.node, name, "unreachable", self.life) is not matrix:
                told += outcomes("reach", self.reach.put(name, "unreachable"))
        return told

    def watch_scope(self, scope: str) -> None:
        """Have every change of a scope's groups told."""
        self._look_at_scopes((scope,))

    def _look_at_scopes(self, scopes: Iterable[str]) -> None:
        for scope in scopes:
            if scope not in self._scopes:
                self._scopes.add(scope)
                self.groups.monitor(scope, scope)


def outcomes(table: str, effects: Iterable[object]) -> list[TableOutcome]:
    """Return what came of a change: all effects but those that are for other nodes, which the rows remember."""
    return [(table, cast("Outcome", effect)) for effect in effects if not isinstance(effect, Announce | Resync)]


def _deltas_of(news: TableDeltas, table: str) -> tuple[AnyDelta, ...]:
    deltas: tuple[AnyDelta, ...] = getattr(news, table)
    return deltas


def _is_from_owner(table: str, delta: AnyDelta) -> bool:
    """Whether a node speaks for its own actors only."""
    if table == "names":
        return all(claim is None or _is_of(claim.ref, delta.owner) for _, claim in delta.changes)
    if table in ("groups", "services"):
        return all(_is_of(key[-1], delta.owner) for key, _ in delta.changes)
    return True


def _is_of(ref: ActorRef, node: str) -> bool:
    return ref.address.node == node


def _pack(deltas: Iterable[tuple[str, AnyDelta]]) -> Iterator[TableDeltas]:
    """Put deltas into messages that are not too large."""
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
