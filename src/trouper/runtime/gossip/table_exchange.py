"""``TableExchange``: what nodes say to each other to keep the copies of all their replicated tables equal (PURE).

Each public method is one event and returns the messages to be sent.

Outside of a cluster each node tells its peers of its own rows, and nothing else; now and then it says which version
they have, and those that have another one ask for them.  In a cluster, up to ``direct_max``
members, a node sends each change of its own rows to every member; beyond that it sends it to ``fan_out`` members, which
pass on what was new to them.  Anti-entropy repairs what was missed: now and then a node compares checksums with one
other member, then the stamps of the tables that differ, and both send what the other lacks.  So neither the messages a
second nor the messages for a change grow with the size of the cluster.

Which word counts:
1. A node speaks for its own rows, and for those of its workers.  For a worker its parent speaks for all nodes.
2. What another node passes on is not taken while the node that speaks for the owner is in reach and the cluster is
   small: that one is asked.  Otherwise it is taken as unconfirmed, and confirmed or replaced once that one is heard.
3. An error in one delta or one row is that one's: it is left out, and counted in ``refused``.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

import msgspec

from ..kernel.errors import CallerError, InvalidOption
from ..kernel.message import Message
from .messages import (
    DELTAS_MAX,
    ENDED_MAX,
    MESSAGE_BYTES_MAX,
    NAME_CHARS_MAX,
    ROWS_PER_MESSAGE,
    TABLES_MAX,
    DeltaOnWire,
    Stamp,
    TableChecksums,
    TableDeltas,
    TableDigest,
)
from .replicated_table import ReplicatedTable
from .versioned_table import Delta, TableLimits, VersionedTable

AnyTable: TypeAlias = "ReplicatedTable[Any, Any]"  # Any: each table has keys and rows of its own
AnyDelta: TypeAlias = "Delta[Any, Any]"  # Any: as above
Sends: TypeAlias = "list[tuple[str, Message[None]]]"
"""Messages, each with the name of the node that it goes to."""
UNANSWERED_ROUNDS = 2
"""Calls of ``compare`` after which a node that was asked, and has not been heard since, counts as out of reach."""


class ExchangeSettings(msgspec.Struct, frozen=True):
    """How a cluster exchanges tables.

    direct_max: up to so many members a change is sent to all of them at once.  fan_out: above that, to so many.
    answer_max: messages a second in answer to the digests of one node, in the mean.  An answer that has begun with the
        rows of an owner goes on to their end; later digests get the rest, when the mean is below this again.
    """

    direct_max: int = 32
    fan_out: int = 4
    answer_max: int = 50


class TableExchange:
    """The replicated tables of one node, by name, and their exchange with the other members.

    node, generation: this node.  chance: returns random numbers in [0, 1).
    parent_of: returns the node whose worker another one is, by its name; empty for no worker.
    in_reach: returns whether a node is connected, by its name.
    tables: by name.  members: the generations of the nodes that take part, this one included, by name.
    refused: what was left out, by kind.
    """

    def __init__(
        self,
        node: str,
        generation: int,
        chance: Callable[[], float],
        parent_of: Callable[[str], str],
        in_reach: Callable[[str], bool],
    ) -> None:
        self.node, self._chance, self._parent_of, self._in_reach = node, chance, parent_of, in_reach
        self.members: dict[str, int] = {node: generation}
        self.tables: dict[str, AnyTable] = {}
        self.refused: Counter[str] = Counter()
        self.settings: ExchangeSettings | None = None
        """How the cluster of this node exchanges tables; None outside of a cluster."""
        self._announced: dict[str, int] = {}
        self._ended: dict[str, int] = {}  # the versions of the latest tables that have ended, by name
        self._ended_version = 0  # the highest of all such versions: tables that are added begin there
        self._checksums: dict[str, tuple[dict[str, Stamp], int]] = {}
        self._asked: set[tuple[str, str]] = set()  # tables and owners that were asked for since the last `compare`
        self._rounds = 0
        self._unanswered: dict[str, int] = {}  # by node that was asked and not heard since: the round in which it was
        self._answered: dict[str, tuple[float, float]] = {}  # by node: when it was answered, and the messages by then
        self._choose_receivers()

    # -- tables --------------------------------------------------------------------------------------------------------

    def add(
        self,
        name: str,
        row_type: Any,  # Any: a type that is built when the program runs
        limits: TableLimits,
        on_write: Callable[[], None],
        is_valid: Callable[[str, Any, Any], bool] | None = None,  # Any: as of the table
    ) -> AnyTable:
        """Add a table.  Raises ``InvalidOption`` for its name, ``CallerError`` when there is one, or too many."""
        if not 0 < len(name) <= NAME_CHARS_MAX or not name.isprintable():
            raise InvalidOption(f"a table named {name!r:.80}: give it 1 to {NAME_CHARS_MAX} printable characters")
        if name in self.tables or len(self.tables) >= TABLES_MAX:
            raise CallerError(
                f"node {self.node} cannot have another table {name!r}: it has {len(self.tables)}, of {TABLES_MAX}, and"
                f" {'one of this name' if name in self.tables else 'none of this name'}"
            )
        version = self._ended_version
        self._ended.pop(name, None)
        copies: VersionedTable[Any, Any] = VersionedTable(  # Any: as of the table
            self.node, self.members, limits, version
        )
        table = self.tables[name] = ReplicatedTable(name, row_type, copies, on_write, is_valid)
        self._announced[name] = version
        return table

    def ask_for(self, name: str) -> Sends:
        """Ask the other members for their rows of a table that has been added."""
        return [(to, self._digest(to, [name])) for to in self._receivers()]

    def remove(self, name: str) -> Sends:
        """Remove a table with this node's rows in it."""
        table = self.tables[name]
        table.clear()
        table.is_open = False
        sends = self.flush()
        del self.tables[name], self._announced[name]
        self._checksums.pop(name, None)
        version = self._ended[name] = table.copies.stamp(self.node)[1]
        self._ended_version = max(version, self._ended_version)
        if len(self._ended) > ENDED_MAX:
            del self._ended[next(iter(self._ended))]
        return sends

    # -- members -------------------------------------------------------------------------------------------------------

    def set_members(self, members: Mapping[str, int]) -> None:
        """Remove the rows of nodes that are no longer members; another generation of this node begins anew."""
        me, known = self.node, self.members
        restarts = members.get(me, known[me]) != known[me]
        ended = [name for name, one in known.items() if name != me and (restarts or members.get(name) != one)]
        for name in ended:
            del known[name]
            self._answered.pop(name, None)
            self._unanswered.pop(name, None)
        known.update(members)
        if restarts:
            self._ended.clear()
        self._choose_receivers()
        for table in list(self.tables.values()):
            if restarts:
                table.copies.restart()
                self._announced[table.name] = 0
            for name in ended:
                table.changed(table.copies.drop(name))

    def greet(self, name: str) -> Sends:
        """Send a node that has come all rows of this one; outside of a cluster, where nothing is compared."""
        deltas = [(table.name, delta) for table in self.tables.values() for delta in self._own(table, 0)]
        return [(name, message) for message in _pack(deltas, self.tables)]

    def heard(self, source: str) -> Sends:
        """Take note that a node is heard, and ask it to confirm the rows that others have passed on for it."""
        self._unanswered.pop(source, None)
        wanted = [name for name, table in self.tables.items() if self._unconfirmed(table, source)]
        if not wanted or ("", source) in self._asked:
            return []
        self._asked.add(("", source))
        return [(source, self._digest(source, wanted))]

    # -- sending -------------------------------------------------------------------------------------------------------

    def flush(self) -> Sends:
        """Send the changes of this node's own rows since the last call."""
        deltas: list[tuple[str, AnyDelta]] = []
        for name, table in self.tables.items():
            deltas += [(name, delta) for delta in self._own(table, self._announced[name])]
            self._announced[name] = table.copies.stamp(self.node)[1]
        return self._spread(deltas, "")

    def compare(self, *, with_all: bool = False) -> Sends:
        """Compare copies with one other member, chosen by chance; outside of a cluster with all peers.

        with_all: with every one, and all are to answer; for a node that counts the silent ones.
        """
        self._asked.clear()
        self._rounds += 1
        names = [*self._others, *self._workers]
        message = TableChecksums(self.checksums(), answer=with_all, ended=dict(self._ended))
        if self.settings is None and not (message.checksums or message.ended):
            return []
        return [(name, message) for name in (names if with_all or self.settings is None else self._sample(names, 1))]

    def welcome(self, joined: Iterable[str], known: int) -> Sends:
        """Compare copies with members that have joined: with some of them, if they are many.

        known: how many members this node knew before.
        """
        settings = self.settings or ExchangeSettings()
        few = known <= settings.direct_max or self._chance() * known < settings.fan_out
        reached = {*self._others, *self._workers}
        names = sorted(reached.intersection(joined)) if few else []
        return [(name, TableChecksums(self.checksums())) for name in self._sample(names)]

    # -- receiving -----------------------------------------------------------------------------------------------------

    def merge(self, source: str, deltas: Sequence[tuple[str, AnyDelta]]) -> Sends:
        """Merge deltas that a member has sent."""
        if source not in self.members:
            self.refused["not_member"] += 1
            return []
        members = len(self.members)
        fresh: list[tuple[str, AnyDelta]] = []
        gaps: dict[str, list[str]] = {}
        sends: Sends = []
        for name, delta in deltas:
            table = self.tables.get(name)
            if table is None:
                self.refused["unknown_table"] += 1
                continue
            direct = source == self._speaker(delta.owner)
            if not direct and not self._is_taken(delta.owner):
                sends += self._hint(table, delta.owner, (delta.generation, delta.version))
                continue
            applied = table.copies.apply(delta, direct=direct)
            if applied.gap:
                gaps.setdefault(name, []).append(delta.owner)
            if applied.refused:
                self.refused["delta"] += 1
            if applied.news:
                fresh.append((name, delta))
            table.changed(applied.changes)
        if len(self.members) > members:  # workers, whose rows were not taken until now
            sends.append((source, self._digest(source, self.tables, answer=True)))
        elif gaps:
            sends.append((source, self._digest(source, gaps)))
        if fresh and self.settings is not None:
            sends += self._pass_on(fresh, source)
        return sends

    def checksums_from(self, source: str, message: TableChecksums) -> Sends:
        """Answer the checksums of a member with stamps, where they differ."""
        if source not in self.members:
            return []
        in_cluster, generation = self.settings is not None, self.members[source]
        sends = self.merge(
            source,
            [(name, Delta(source, generation, 0, end)) for name, end in message.ended.items() if name in self.tables],
        )
        known = [name for name in message.checksums if name in self.tables]
        self.refused["unknown_table"] += len(message.checksums) - len(known)
        own = self.checksums() if in_cluster else {name: self.tables[name].copies.stamp(source)[1] for name in known}
        differ = [name for name in known if message.checksums[name] != own[name]]
        if differ or message.answer:
            sends.append((source, self._digest(source, differ, answer=in_cluster and bool(differ))))
        return sends

    def digest_from(self, source: str, message: TableDigest, now: float) -> Sends:
        """Answer the stamps of a member with what it lacks.  now: the time, in seconds."""
        if source not in self.members:
            self.refused["not_member"] += 1
            return []
        if not self._has_budget(source, now):
            self.refused["digest"] += 1
            return []
        sends: Sends = []
        wanted: list[tuple[AnyTable, str]] = []
        passed_on = None if message.passed_on is None else set(message.passed_on)
        for name, stamps in message.stamps.items():
            table = self.tables.get(name)
            if table is None:
                self.refused["unknown_table"] += 1
                continue
            wanted += [
                (table, owner)
                for owner in table.copies.owners()
                if self._speaks_for(owner, source)
                or (self.settings is not None and (passed_on is None or owner in passed_on))
            ]
            for owner, stamp in stamps.items():
                if source != self._speaker(owner):
                    sends += self._hint(table, owner, stamp)
        sends += self._answers(source, message, wanted)
        if message.answer:
            sends.append((source, self._digest(source, message.stamps)))
        return sends

    # -- reading -------------------------------------------------------------------------------------------------------

    def checksums(self) -> dict[str, int]:
        """Return a checksum of the stamps of each table; copies that differ almost always have other checksums.

        Outside of a cluster, where copies have other owners, the version of this node's own rows where it has any.
        """
        if self.settings is None:
            versions = ((name, table.copies.stamp(self.node)[1]) for name, table in self.tables.items())
            return {name: version for name, version in versions if version}
        for name, table in self.tables.items():
            stamps = table.copies.stamps()
            if name not in self._checksums or self._checksums[name][0] != stamps:  # unchanged stamps cost no new sum
                self._checksums[name] = stamps, zlib.crc32(repr(sorted(stamps.items())).encode())
        return {name: self._checksums[name][1] for name in self.tables}

    # -- which word counts ---------------------------------------------------------------------------------------------

    def _speaker(self, owner: str) -> str:
        """Return the node whose word on the rows of an owner counts here."""
        if self.settings is None:
            return owner
        parent = self._parent_of(owner)
        return self._parent or (parent if parent and parent != self.node else owner)

    def _speaks_for(self, owner: str, to: str) -> bool:
        """Return whether the word of this node on the rows of an owner counts at another node."""
        if owner == self.node or self.settings is None:
            return owner == self.node
        return self.node in (self._parent_of(owner), self._parent_of(to))

    def _is_taken(self, owner: str) -> bool:
        """Return whether rows of an owner are taken from a node that does not speak for it."""
        if self.settings is None or self._is_large:
            return self.settings is not None
        speaker = self._speaker(owner)
        asked_in = self._unanswered.get(speaker, self._rounds)
        return self._rounds - asked_in >= UNANSWERED_ROUNDS or not self._in_reach(speaker)

    def _hint(self, table: AnyTable, owner: str, stamp: Stamp) -> Sends:
        """Ask the node that speaks for an owner, if another one says that there are newer rows; once in a while."""
        copies, speaker = table.copies, self._speaker(owner)
        is_newer = self.members.get(owner) == stamp[0] and stamp[1] > copies.stamp(owner)[1]
        asked = (table.name, owner)
        if self.settings is None or not is_newer or owner == self.node or asked in self._asked:
            return []
        if not self._in_reach(speaker):
            return []
        self._asked.add(asked)
        self._unanswered.setdefault(speaker, self._rounds)
        return [(speaker, self._digest(speaker, [table.name], answer=True))]

    def _unconfirmed(self, table: AnyTable, speaker: str) -> list[str]:
        return [owner for owner in table.copies.unconfirmed if self._speaker(owner) == speaker]

    def _digest(self, to: str, names: Iterable[str], *, answer: bool = False) -> TableDigest:
        tables = [self.tables[name] for name in names if name in self.tables]
        unconfirmed = {
            table.name: {owner: table.copies.content(owner) for owner in owners}
            for table in tables
            if (owners := self._unconfirmed(table, to))
        }
        stamps = {table.name: table.copies.stamps() for table in tables}
        others = (name for name in self.members if name != self.node)
        passed_on = None if self._is_large else tuple(name for name in others if self._is_taken(name))
        return TableDigest(stamps, answer, unconfirmed, passed_on)

    # -- who gets it ---------------------------------------------------------------------------------------------------

    def _choose_receivers(self) -> None:
        """Take note of the other members without workers, and of the workers of this node, by name.

        On a worker the only other member is its parent, which passes all on.
        """
        settings, others = self.settings, sorted(name for name in self.members if name != self.node)
        self._parent = "" if settings is None else self._parent_of(self.node)
        self._workers = [] if settings is None else [name for name in others if self._parent_of(name) == self.node]
        if self._parent:
            others = [self._parent]
        elif settings is not None:
            others = [name for name in others if not self._parent_of(name)]
        self._others, self._is_large = others, settings is not None and len(others) >= settings.direct_max

    def _sample(self, names: Sequence[str], count: int | None = None) -> list[str]:
        """Return so many of these names, chosen by chance; None for ``fan_out``."""
        if count is None:
            count = len(names) if self.settings is None else self.settings.fan_out
        left = list(names)
        return left if len(left) <= count else [left.pop(int(self._chance() * len(left))) for _ in range(count)]

    def _receivers(self, source: str = "") -> list[str]:
        others = [name for name in self._others if name != source]
        reached = self._sample(others) if self._is_large else others
        return [*reached, *(name for name in self._workers if name != source)]

    def _pass_on(self, deltas: Sequence[tuple[str, AnyDelta]], source: str) -> Sends:
        """Send what is new here to those that have it from no other node."""
        if self._is_large or self._parent_of(source) == self.node:
            return self._spread(deltas, source)
        workers = [name for name in self._workers if name != source]
        return [(name, message) for message in _pack(deltas, self.tables) for name in workers] if workers else []

    def _spread(self, deltas: Sequence[tuple[str, AnyDelta]], source: str) -> Sends:
        return [(name, message) for message in _pack(deltas, self.tables) for name in self._receivers(source)]

    def _own(self, table: AnyTable, version: int) -> list[AnyDelta]:
        generation, _ = table.copies.stamp(self.node)
        return table.copies.deltas_for(self.node, (generation, version))

    def _has_budget(self, source: str, now: float) -> bool:
        """Return whether a digest of a node is answered now; a flood of them is not."""
        at, count = self._answered.get(source, (now, 0.0))
        count = max(0.0, count - (now - at) * self._answer_max)
        self._answered[source] = now, count
        return count < self._answer_max

    @property
    def _answer_max(self) -> int:
        return (self.settings or ExchangeSettings()).answer_max

    def _answers(self, source: str, digest: TableDigest, wanted: Sequence[tuple[AnyTable, str]]) -> Sends:
        """Return what a node lacks of these rows, each with its owner, as far as it may be sent now.

        It begins anywhere, so that rows which the node refuses keep no others from it.  The rows of an owner are sent
        to their end: a rest that is sent later would be of another version if the owner has written.
        """
        now, count = self._answered[source]
        begin = int(self._chance() * len(wanted))
        sends: Sends = []

        def lacking() -> Iterator[tuple[str, AnyDelta]]:
            for table, owner in (*wanted[begin:], *wanted[:begin]):
                if count + len(sends) >= self._answer_max:
                    return
                stamp = digest.stamps[table.name].get(owner, (-1, 0))
                unconfirmed = digest.unconfirmed.get(table.name, {}).get(owner, b"")
                for delta in table.copies.deltas_for(owner, stamp, unconfirmed):
                    yield table.name, delta

        for message in _pack(lacking(), self.tables):
            sends.append((source, message))  # `lacking` counts them
        self._answered[source] = now, count + max(1, len(sends))
        return sends


def _pack(deltas: Iterable[tuple[str, AnyDelta]], tables: Mapping[str, AnyTable]) -> Iterator[TableDeltas]:
    """Put deltas into messages of a bounded size."""
    packed: dict[str, list[DeltaOnWire]] = {}
    rows_left, bytes_left = ROWS_PER_MESSAGE, MESSAGE_BYTES_MAX
    for name, delta in deltas:
        rows = len(delta.changes)
        size = rows * tables[name].copies.limits.row_bytes_max
        if packed and (rows > rows_left or size > bytes_left or len(packed.get(name, ())) >= DELTAS_MAX):
            yield TableDeltas({table: tuple(each) for table, each in packed.items()})
            packed, rows_left, bytes_left = {}, ROWS_PER_MESSAGE, MESSAGE_BYTES_MAX
        # The codec encodes the rows themselves; the receiver reads them as Raw, by the type of the table.
        changes = cast("msgspec.Raw", delta.changes)
        on_wire = DeltaOnWire(delta.owner, delta.generation, delta.base, delta.version, delta.rows, changes)
        packed.setdefault(name, []).append(on_wire)
        rows_left -= rows
        bytes_left -= size
    if packed:
        yield TableDeltas({table: tuple(each) for table, each in packed.items()})
