"""The journal of a node as its workers and its peers use it: ``JournalServer`` there, ``ServedJournal`` here.

Laws of this file:
1. What a call returns is what the journal of the serving node returned; an error of it is raised here as the same type.
2. A call without an answer raises ``JournalFailed``: an append of it may have been made, which a recovery shows.
3. A stream has one writer: an append under an epoch that is not the last claimed one is refused by the serving node.
4. A process of the same user has the journal as it is, for it could write its files.  Any other peer has the streams of
   its identity alone (``streams_of``): no message of it names a stream of another one, or of the node itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ...kernel.errors import ActorError, CallerError, Reject, TrouperError, Unhandled
from ...kernel.journal import (
    InvalidStream,
    Journal,
    JournalClosed,
    JournalCorrupt,
    JournalFailed,
    Record,
    RecordsGone,
    RecordTooLarge,
    Snapshot,
    StaleWriter,
    WrongSequence,
)
from ...kernel.message import Message
from ...session.identity import SAME_PROCESS, SAME_USER, Identity

if TYPE_CHECKING:
    from ...net.network import Network
    from ...net.peer import Peer
    from ...net.request_handlers import RequestHandlers
    from ...session.identity import Allow

R = TypeVar("R")

REPLY_BYTES = 1 << 20
"""Bytes of records after which a reply to ``ReadRecords`` ends; it has one record at least."""
TIMEOUT_S = 30.0
"""Seconds that a call waits for the serving node, and for the disk there."""
_ERRORS: dict[str, type[TrouperError]] = {
    kind.__name__: kind
    for kind in (
        InvalidStream, JournalClosed, JournalCorrupt, JournalFailed, RecordsGone, RecordTooLarge, StaleWriter,
        WrongSequence,
    )
}  # fmt: skip


class JournalReply(msgspec.Struct, frozen=True):
    """The reply to each request: numbers, records and names, or the name of a type of error and its text."""

    sequence: int = 0
    records: list[tuple[int, bytes]] = []
    streams: list[str] = []
    error: str | None = None
    text: str = ""


class AppendRecords(Message[JournalReply], tag="trouper.journal.AppendRecords"):
    """Append records to a stream; the arguments are those of ``Journal.append``."""

    stream: str
    records: list[bytes]
    expected_sequence: int | None
    epoch: int | None


class ReadRecords(Message[JournalReply], tag="trouper.journal.ReadRecords"):
    """Return the records from a sequence on, up to another one, as many as fit into a reply."""

    stream: str
    from_sequence: int
    up_to_sequence: int


class AskLastSequence(Message[JournalReply], tag="trouper.journal.AskLastSequence"):
    """Return the sequence of the last record of a stream."""

    stream: str


class ClaimStream(Message[JournalReply], tag="trouper.journal.ClaimStream"):
    """Begin a writer epoch of a stream."""

    stream: str


class SaveSnapshot(Message[JournalReply], tag="trouper.journal.SaveSnapshot"):
    """Keep a snapshot beside a stream."""

    stream: str
    sequence: int
    payload: bytes


class LoadSnapshot(Message[JournalReply], tag="trouper.journal.LoadSnapshot"):
    """Return the newest undamaged snapshot of a stream as the only record, or none."""

    stream: str


class TruncateStream(Message[JournalReply], tag="trouper.journal.TruncateStream"):
    """Allow the journal to delete the records up to a sequence."""

    stream: str
    up_to_sequence: int


class TruncateStreamAfter(Message[JournalReply], tag="trouper.journal.TruncateStreamAfter"):
    """Delete the records after a sequence; the arguments are those of ``Journal.truncate_after``."""

    stream: str
    sequence: int
    epoch: int | None


class ListStreams(Message[JournalReply], tag="trouper.journal.ListStreams"):
    """Return the names of all streams that the sender may use."""


def streams_of(identity: Identity) -> str:
    """Return how the names of an identity's streams begin in the journal; empty where it has all of them.

    What the nodes with one key write is of one identity, so that an actor finds its events on each of them.
    """
    if identity.id in (SAME_PROCESS, SAME_USER):
        return ""
    return f"peers/{identity.name or ('anyone' if identity.id is None else 'cluster')}/"


class JournalServer:
    """Serves the journal of a node to its workers and, where ``to_peers`` says so, to every member."""

    def __init__(
        self, node: str, journal: Journal, workers: Callable[[], Sequence[str] | None], *, to_peers: bool
    ) -> None:
        self._node, self._journal, self._workers, self._to_peers = node, journal, workers, to_peers
        self._allow: Allow = "member" if to_peers else "worker"

    def serve(self, handlers: RequestHandlers) -> None:
        """Begin to serve; it ends with the network of the node."""
        handlers.serve(ListStreams, self._list_streams, owner="journal", allow=self._allow)
        for type_, handle in self._handlers().items():
            handlers.serve(type_, self._guarded(handle), owner="journal", allow=self._allow)

    def _handlers(self) -> dict[type, Callable[[Any], Coroutine[object, object, JournalReply]]]:  # Any: the key's type
        return {
            AppendRecords: self._append,
            ReadRecords: self._read,
            AskLastSequence: self._last_sequence,
            ClaimStream: self._claim,
            SaveSnapshot: self._save_snapshot,
            LoadSnapshot: self._load_snapshot,
            TruncateStream: self._truncate,
            TruncateStreamAfter: self._truncate_after,
        }

    def _streams_of(self, peer: Peer) -> str:
        """Return how the names of a peer's streams begin; raises ``Reject`` for a peer that may have none."""
        if not self._to_peers and peer.node not in (self._workers() or ()):
            raise Reject(f"node {self._node} serves its journal to its workers alone: see Node(serve_journal=)")
        return streams_of(peer.identity)

    async def _list_streams(self, _: ListStreams, peer: Peer) -> JournalReply:
        begin = self._streams_of(peer)
        names = await self._journal.streams()
        return JournalReply(streams=[name.removeprefix(begin) for name in names if name.startswith(begin)])

    def _guarded(
        self,
        handle: Callable[[Any], Coroutine[object, object, JournalReply]],  # Any: as above
    ) -> Callable[[Message[object], Peer], Coroutine[object, object, JournalReply]]:
        async def handler(message: Message[object], peer: Peer) -> JournalReply:
            if begin := self._streams_of(peer):
                own: str = getattr(message, "stream")  # noqa: B009  each of these has one
                message = msgspec.structs.replace(message, stream=begin + own)
            try:
                return await handle(message)
            except TrouperError as error:
                kind = next(
                    (base.__name__ for base in type(error).__mro__ if base.__name__ in _ERRORS), "JournalFailed"
                )
                return JournalReply(error=kind, text=str(error))

        return handler

    async def _append(self, asked: AppendRecords) -> JournalReply:
        return JournalReply(
            await self._journal.append(asked.stream, asked.records, asked.expected_sequence, epoch=asked.epoch)
        )

    async def _read(self, asked: ReadRecords) -> JournalReply:
        records: list[tuple[int, bytes]] = []
        size_bytes = 0
        async for record in self._journal.read(asked.stream, asked.from_sequence):
            if record.sequence > asked.up_to_sequence or (records and size_bytes + len(record.payload) > REPLY_BYTES):
                break
            records.append((record.sequence, record.payload))
            size_bytes += len(record.payload)
        return JournalReply(records=records)

    async def _last_sequence(self, asked: AskLastSequence) -> JournalReply:
        return JournalReply(await self._journal.last_sequence(asked.stream))

    async def _claim(self, asked: ClaimStream) -> JournalReply:
        return JournalReply(await self._journal.claim(asked.stream))

    async def _save_snapshot(self, asked: SaveSnapshot) -> JournalReply:
        return JournalReply(await self._journal.save_snapshot(asked.stream, Snapshot(asked.sequence, asked.payload)))

    async def _load_snapshot(self, asked: LoadSnapshot) -> JournalReply:
        found = await self._journal.load_snapshot(asked.stream)
        return JournalReply(records=[] if found is None else [(found.sequence, found.payload)])

    async def _truncate(self, asked: TruncateStream) -> JournalReply:
        await self._journal.truncate(asked.stream, asked.up_to_sequence)
        return JournalReply()

    async def _truncate_after(self, asked: TruncateStreamAfter) -> JournalReply:
        await self._journal.truncate_after(asked.stream, asked.sequence, epoch=asked.epoch)
        return JournalReply()


class ServedJournal:
    """The journal of another node: ``Node(journal=ServedJournal("shop-1"))``; a worker has that of its parent node.

    node: the name of the node, which has a journal and ``serve_journal=True``.  Its records are as durable as that
    journal's.  A call raises ``JournalFailed`` while the node is not connected, and when it does not answer.
    """

    def __init__(self, node: str) -> None:
        self.node = node
        self._network: Callable[[], Network] | None = None

    def bind(self, network: Callable[[], Network]) -> None:
        """Give it the network of the node that it belongs to; called by that node."""
        self._network = network

    async def open(self) -> None:
        """Do nothing: the serving node has opened it."""

    async def append(
        self,
        stream: str,
        records: Sequence[bytes],
        expected_sequence: int | None = None,
        *,
        epoch: int | None = None,
    ) -> int:
        """Append records; raises what the journal there raises."""
        made = AppendRecords(stream, [bytes(record) for record in records], expected_sequence, epoch)
        return (await self._ask(made)).sequence

    async def read(self, stream: str, from_sequence: int = 0) -> AsyncIterator[Record]:
        """Read what is acknowledged when the reading begins, a reply at a time."""
        last = await self.last_sequence(stream)
        while True:
            records = (await self._ask(ReadRecords(stream, from_sequence, last))).records
            for sequence, payload in records:
                yield Record(sequence, payload)
            if not records or records[-1][0] >= last:
                return
            from_sequence = records[-1][0] + 1

    async def last_sequence(self, stream: str) -> int:
        """Return the sequence of the last record."""
        return (await self._ask(AskLastSequence(stream))).sequence

    async def claim(self, stream: str) -> int:
        """Begin a writer epoch."""
        return (await self._ask(ClaimStream(stream))).sequence

    async def save_snapshot(self, stream: str, snapshot: Snapshot) -> int:
        """Keep a snapshot."""
        return (await self._ask(SaveSnapshot(stream, snapshot.sequence, snapshot.payload))).sequence

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        """Return the newest undamaged snapshot."""
        records = (await self._ask(LoadSnapshot(stream))).records
        return Snapshot(*records[0]) if records else None

    async def truncate(self, stream: str, up_to_sequence: int) -> None:
        """Allow the journal to delete records."""
        await self._ask(TruncateStream(stream, up_to_sequence))

    async def truncate_after(self, stream: str, sequence: int, *, epoch: int | None = None) -> None:
        """Delete the records after this one."""
        await self._ask(TruncateStreamAfter(stream, sequence, epoch))

    async def streams(self) -> Sequence[str]:
        """Return the names of all streams there."""
        return (await self._ask(ListStreams())).streams

    async def close(self) -> None:
        """Do nothing: the serving node closes it."""

    async def _ask(self, request: Message[JournalReply]) -> JournalReply:
        peer = None if self._network is None else self._network().peers.get(self.node)
        if peer is None:
            raise JournalFailed(f"the journal is that of node {self.node}, which is not connected")
        try:
            outcome = await asyncio.shield(peer.control_ref.ask(request, TIMEOUT_S))
        except Unhandled as error:
            raise JournalFailed(
                f"node {self.node} serves no journal: give it Node(journal=..., serve_journal=True)"
            ) from error
        except (ActorError, CallerError, Reject) as error:
            raise JournalFailed(f"the journal of node {self.node} did not answer: {error}") from error
        if outcome.error is not None:
            raise _ERRORS.get(outcome.error, JournalFailed)(outcome.text)
        return outcome
