"""``NodeTables``: the replicated tables of a node, exchanged with its peers or with the members of its cluster.

``TableExchange`` decides; this file decodes what peers send, in pieces that do not hold the loop, and sends.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeAlias, cast

import msgspec

from ...gossip.content_digest import row_bytes, row_digest
from ...gossip.messages import ROWS_PER_MESSAGE, DeltaOnWire, TableChecksums, TableDeltas, TableDigest
from ...gossip.replicated_table import ReplicatedTable
from ...gossip.table_exchange import ExchangeSettings, Sends, TableExchange
from ...gossip.versioned_table import Delta, TableLimits
from ...kernel.errors import WireError
from ...kernel.message import Message
from .worker_nodes import parent_of

if TYPE_CHECKING:
    from ...net.network import Network
    from ...net.peer import Peer
    from ..node_services import NodeServices

AnyTable: TypeAlias = "ReplicatedTable[Any, Any]"  # Any: each table has keys and rows of its own
AnyDelta: TypeAlias = "Delta[Any, Any]"  # Any: as above
Row: TypeAlias = "tuple[Any, Any]"  # Any: as above
RAW_ROWS = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=ROWS_PER_MESSAGE)]
QUEUED_ROWS_MAX = 200_000
"""Rows, stamps and checksums of one peer that wait for their turn; others are left out, and asked for later.  A delta
of large rows counts as if they were of ``row_bytes_max`` each.
"""
REREAD_ROWS_MAX = 1_000
"""Rows that are read one by one in one turn of the loop, because their delta could not be read as a whole; other such
deltas are left out.
"""
TURN_MESSAGES = 4
"""Messages, of 1,000 rows at most each, that are sent in one turn of the loop; the others wait for the next ones."""
COMPARE_S = 5.0
"""Seconds after which a node that is in no cluster tells its peers again which rows they should have of it."""
WARN_S = 10.0
"""Seconds between two lines in the log about what was left out."""


class NodeTables:
    """The tables of a node; internal, extensions use ``NodeContext.table``.

    on_heard: called with the name of each peer that sends something of tables; None for nothing.
    """

    def __init__(self, node: NodeServices) -> None:
        system = self._system = node.system
        self._node = node
        chance = random.Random(system.random()).random
        self.exchange = TableExchange(node.name, system.node_id.generation, chance, parent_of, self._in_reach)
        self.on_heard: Callable[[str], None] | None = None
        self._network: Network | None = None
        self._send_in_cluster: Callable[[str, Message[Any]], None] | None = None  # Any: of whatever reply
        self._flush_pending = False
        self._compare_timer: asyncio.TimerHandle | None = None
        self._unsent: dict[str, deque[Message[Any]]] = {}  # Any: of whatever reply; by node
        self._queues: dict[Peer, deque[tuple[int, Callable[[], Sends]]]] = {}
        self._queued_rows: dict[Peer, int] = {}
        self._reread_rows = 0
        self._warned_at = -WARN_S

    # --- tables ------------------------------------------------------------------------------------------------------

    def add(
        self,
        name: str,
        row_type: object,
        limits: TableLimits,
        is_valid: Callable[[str, Any, Any], bool] | None = None,  # Any: as of the table
    ) -> AnyTable:
        """Add a table, and ask the other nodes for their rows; raises what ``TableExchange.add`` raises."""
        table = self.exchange.add(name, row_type, limits, self._flush_soon, is_valid)
        table.system = self._system
        self._send(self.exchange.ask_for(name))
        return table

    def remove(self, name: str) -> None:
        """Remove a table; this node's rows in it are gone on all nodes."""
        self._send(self.exchange.remove(name))

    def flush(self) -> None:
        """Send what this node has written."""
        self._flush_pending = False
        self._send(self.exchange.flush())

    def _flush_soon(self) -> None:
        if not self._flush_pending and self._network is not None:
            self._flush_pending = True
            self._system.loop.call_soon(self.flush)

    # --- who takes part ----------------------------------------------------------------------------------------------

    def open(self, network: Network, *, with_peers: bool) -> None:
        """Serve the messages of other nodes.  with_peers: the connected nodes take part, and no cluster says who."""
        self._network = network
        network.request_handlers.serve(TableDeltas, self._on_deltas, owner="tables")
        network.request_handlers.serve(TableChecksums, self._on_checksums, owner="tables")
        network.request_handlers.serve(TableDigest, self._on_digest, owner="tables")
        network.watch_peers(self._on_peer if with_peers else self._on_member)

    def join_cluster(
        self,
        send: Callable[[str, Message[Any]], None],  # Any: of whatever reply
        *,
        direct_max: int,
        fan_out: int,
        answer_max: int,
    ) -> None:
        """Exchange tables as a cluster does, with the members that ``set_members`` is given.

        send: sends a message to a member, by its name.  direct_max, fan_out, answer_max: as in ``ExchangeSettings``.
        """
        self.exchange.settings, self._send_in_cluster = ExchangeSettings(direct_max, fan_out, answer_max), send
        self.exchange.set_members(dict(self.exchange.members))

    def set_members(self, members: Mapping[str, int]) -> None:
        """Remove the rows of nodes that are no members any more.  members: generations by name, this node's too."""
        self.exchange.set_members(members)

    def compare(self, *, with_all: bool = False) -> None:
        """Compare copies with another member, chosen by chance.  with_all: with every one."""
        self._send(self.exchange.compare(with_all=with_all))

    def welcome(self, joined: Sequence[str], known: int) -> None:
        """Compare copies with members that have joined.  known: how many members there were before."""
        self._send(self.exchange.welcome(joined, known))

    def _on_peer(self, peer: Peer, up: bool) -> None:
        members = dict(self.exchange.members)
        if up:
            self.set_members({**members, peer.node: peer.node_id.generation})
            self._send(self.exchange.greet(peer.node))
        elif members.get(peer.node) == peer.node_id.generation:
            del members[peer.node]
            self.set_members(members)
        if len(self.exchange.members) == 1 and self._compare_timer is not None:
            self._compare_timer.cancel()
            self._compare_timer = None
        elif len(self.exchange.members) > 1 and self._compare_timer is None:
            self._compare_timer = self._system.loop.call_later(COMPARE_S, self._compare_with_peers)

    def _compare_with_peers(self) -> None:
        """Repair what was left out here, or by a peer: there is no cluster that does so."""
        self._compare_timer = self._system.loop.call_later(COMPARE_S, self._compare_with_peers)
        self.compare()

    def _on_member(self, peer: Peer, up: bool) -> None:
        if up:
            self._send(self.exchange.heard(peer.node))

    def _in_reach(self, node: str) -> bool:
        peer = None if self._network is None else self._network.peers.get(node)
        return peer is not None and peer.in_reach

    def _send(self, sends: Sends) -> None:
        """Send all of these messages to a node, or none: rows of which a part is missing are of no use to it."""
        if self._network is None or not sends:
            return
        peers, waits = self._network.peers, bool(self._unsent)
        full = {name for name, _ in sends if (peer := peers.get(name)) is not None and peer.is_backpressured}
        for name, message in sends:
            if name in full:
                self.exchange.refused["not_sent"] += 1  # it would wait without limit; copies are compared later
            else:
                self._unsent.setdefault(name, deque()).append(message)
        if not waits:
            self._send_some()

    def _send_some(self) -> None:
        """Send what one turn of the loop has time for, at least one message to each node."""
        count = max(1, TURN_MESSAGES // max(1, len(self._unsent)))
        peers = {} if self._network is None else self._network.peers
        try:
            for name, messages in list(self._unsent.items()):
                for _ in range(min(count, len(messages))):
                    message = messages.popleft()
                    if self._send_in_cluster is not None:
                        self._send_in_cluster(name, message)
                    elif name in peers:
                        peers[name].control(message)
                if not messages:
                    del self._unsent[name]
        finally:  # one that cannot be sent does not keep the others
            if self._unsent:
                self._system.loop.call_soon(self._send_some)

    # --- what peers send ---------------------------------------------------------------------------------------------

    def _on_deltas(self, message: TableDeltas, peer: Peer) -> None:
        """Read the rows, whose bytes are valid during this call only; they are merged later, some in each turn."""
        read: list[_ReadDelta] = []
        rows = large_rows = 0
        for name, deltas in message.deltas.items():
            table = self.exchange.tables.get(name)
            if table is None:
                self._refuse("unknown_table", peer, len(deltas))
                continue
            for delta in deltas:
                if rows > ROWS_PER_MESSAGE or self._is_queue_full(peer, rows):
                    self._refuse("too_many_rows", peer)
                    break
                try:
                    read.append(self._read(table, delta, peer))
                except WireError:
                    self._refuse("delta", peer)
                    continue
                rows += len(read[-1].rows) + 1
                large_rows += len(memoryview(delta.changes)) // table.copies.limits.row_bytes_max
        self._put(peer, max(rows, large_rows), lambda: self._merge(peer, read))

    def _on_checksums(self, message: TableChecksums, peer: Peer) -> None:
        self._put(
            peer, len(message.checksums) + len(message.ended), lambda: self.exchange.checksums_from(peer.node, message)
        )

    def _on_digest(self, message: TableDigest, peer: Peer) -> None:
        by_owner: tuple[Sized, ...] = (*message.stamps.values(), *message.unconfirmed.values(), message.passed_on or ())
        now = self._system.loop.time
        self._put(
            peer, sum(map(len, by_owner)) + len(by_owner), lambda: self.exchange.digest_from(peer.node, message, now())
        )

    def _read(self, table: AnyTable, delta: DeltaOnWire, peer: Peer) -> _ReadDelta:
        """Read the rows of a delta: all at once, or one by one where one of them cannot be read.

        Raises ``WireError`` for what is no list of rows, or too long, and when many rows were read one by one in this
        turn of the loop already.
        """
        what = f"rows of the table {table.name}"
        unread: list[bytes] = []
        try:
            rows = cast("Sequence[Row]", peer.codec.read_as(table.rows_type, delta.changes, what))
        except WireError:
            if self._reread_rows >= REREAD_ROWS_MAX:
                raise
            rows = self._read_one_by_one(table, delta, peer, unread)
        return _ReadDelta(table, delta, rows, unread)

    def _read_one_by_one(self, table: AnyTable, delta: DeltaOnWire, peer: Peer, unread: list[bytes]) -> list[Row]:
        """Read rows one by one."""
        if not self._reread_rows:
            self._system.loop.call_soon(self._begin_turn)
        rows: list[Row] = []
        raws = cast("list[msgspec.Raw]", peer.codec.read_as(RAW_ROWS, delta.changes, "the rows of a delta"))
        self._reread_rows += len(raws) + 1
        for raw in raws:
            try:
                rows.append(cast("Row", peer.codec.read_as(table.row_type, raw, "a row")))
            except WireError:
                unread.append(row_digest(raw))
        return rows

    def _merge(self, peer: Peer, read: Sequence[_ReadDelta]) -> Sends:
        """Merge deltas, without the rows that are too large or not their owner's to write."""
        deltas: list[tuple[str, AnyDelta]] = []
        for table, delta, rows, unread in read:
            changes: list[Row] = []
            for key, value in rows:
                if _is_valid(table, delta.owner, key, value):
                    changes.append((key, value))
                else:
                    unread.append(row_digest(_key_bytes(key)))
            if unread:
                self._refuse("row", peer, len(unread))
            head = (delta.owner, delta.generation, delta.base, delta.version)
            deltas.append((table.name, Delta(*head, tuple(changes), delta.rows, frozenset(unread))))
        return self.exchange.merge(peer.node, deltas)

    def _begin_turn(self) -> None:
        self._reread_rows = 0

    # --- in turns ----------------------------------------------------------------------------------------------------

    def _put(self, peer: Peer, rows: int, step: Callable[[], Sends]) -> None:
        """Let a step of the exchange run in its turn.  rows: how much work it is."""
        if self.on_heard is not None:
            self.on_heard(peer.node)
        if self._is_queue_full(peer, rows):
            self._refuse("too_many_rows", peer)
            return
        if not self._queues:
            self._system.loop.call_soon(self._work)
        self._queues.setdefault(peer, deque()).append((rows + 1, step))
        self._queued_rows[peer] = self._queued_rows.get(peer, 0) + rows + 1

    def _is_queue_full(self, peer: Peer, rows: int) -> bool:
        """Return whether so many rows of a peer cannot wait too; one step always can, however large it is."""
        queued = self._queued_rows.get(peer, 0)
        return queued > 0 and queued + rows > QUEUED_ROWS_MAX

    def _work(self) -> None:
        """Run steps that wait, one of each peer after the other, as many as one turn of the loop has time for."""
        rows_left = ROWS_PER_MESSAGE
        while self._queues and rows_left > 0:
            peer, queue = next(iter(self._queues.items()))
            rows, step = queue.popleft()
            rows_left -= rows
            self._queued_rows[peer] -= rows
            del self._queues[peer]
            if queue:
                self._queues[peer] = queue  # behind the others
            else:
                del self._queued_rows[peer]
            try:
                self._send([*step(), *self.exchange.heard(peer.node)])
            except Exception as error:  # noqa: BLE001  rows of a peer may hold anything; the others are merged all the same
                self._refuse("failed", peer, error=error)
        if self._queues:
            self._system.loop.call_soon(self._work)

    def _refuse(self, kind: str, peer: Peer, count: int = 1, error: Exception | None = None) -> None:
        """Count what was left out, and log it at a limited rate, but for tables that this node does not have."""
        self.exchange.refused[kind] += count
        now = self._system.loop.time()
        if kind != "unknown_table" and now - self._warned_at >= WARN_S:
            self._warned_at = now
            self._node.reports.problem(f"tables: what node {peer.node} sent was left out in part ({kind})", error)


class _ReadDelta(NamedTuple):
    """A delta whose rows have been read.  unread: the digests of those that could not be."""

    table: AnyTable
    delta: DeltaOnWire
    rows: Sequence[Row]
    unread: list[bytes]


def _key_bytes(key: object) -> bytes:
    """Return bytes that tell a key from others."""
    try:
        return row_bytes(key, None)
    except Exception:  # noqa: BLE001  a key of a peer may raise anything when it is looked at
        return repr(key).encode()


def _is_valid(table: AnyTable, owner: str, key: object, value: object) -> bool:
    try:
        size = 0 if value is None else len(row_bytes(key, value))
        valid = table.is_valid is None or table.is_valid(owner, key, value)
        return valid and size <= table.copies.limits.row_bytes_max
    except Exception:  # noqa: BLE001  a value of a peer may raise anything when it is looked at
        return False
