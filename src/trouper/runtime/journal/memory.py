"""``MemoryJournal``: a journal that lives as long as its process.

It survives the restart of an actor, and of a node when it is given to the next node; nothing else.  A node that is
given no journal has one.  It is the simplest implementation of the port's laws.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from ..kernel.journal import Record, Snapshot
from .epochs import WriterEpochs
from .segments import check_kept, records_gone, wrong_sequence


class _Stream:
    def __init__(self) -> None:
        self.records: list[Record] = []
        self.last_sequence = 0
        self.snapshots: list[Snapshot] = []

    @property
    def first_kept(self) -> int:
        return self.last_sequence - len(self.records) + 1


class MemoryJournal:
    """Streams in memory; no call blocks or fails for lack of a disk, and closing it keeps its contents.

    snapshots_kept: how many snapshots of a stream are kept, the newest.
    """

    def __init__(self, *, snapshots_kept: int = 2) -> None:
        self._snapshots_kept = snapshots_kept
        self._streams: dict[str, _Stream] = {}
        self._epochs = WriterEpochs()

    async def open(self) -> None:
        """Do nothing: it is always open."""

    async def claim(self, stream: str) -> int:
        """Begin a writer epoch."""
        return self._epochs.claim(stream)

    async def append(
        self,
        stream: str,
        records: Sequence[bytes],
        expected_sequence: int | None = None,
        *,
        epoch: int | None = None,
    ) -> int:
        """Append records; raises ``WrongSequence``, ``StaleWriter``."""
        self._epochs.check(stream, epoch)
        kept = self._streams.get(stream) or _Stream()
        if expected_sequence not in (None, kept.last_sequence):
            raise wrong_sequence(stream, expected_sequence, kept.last_sequence)
        for record in records:
            kept.last_sequence += 1
            kept.records.append(Record(kept.last_sequence, bytes(record)))
        self._streams[stream] = kept
        return kept.last_sequence

    async def read(self, stream: str, from_sequence: int = 0) -> AsyncIterator[Record]:
        """Read the records that are kept when the reading begins; raises ``RecordsGone``."""
        kept = self._streams.get(stream) or _Stream()
        if 0 < from_sequence < kept.first_kept:
            raise records_gone(stream, from_sequence, kept.first_kept)
        for record in kept.records[max(0, from_sequence - kept.first_kept) :]:
            yield record

    async def last_sequence(self, stream: str) -> int:
        """Return the sequence of the last record, 0 without any."""
        return self._streams[stream].last_sequence if stream in self._streams else 0

    async def save_snapshot(self, stream: str, snapshot: Snapshot) -> int:
        """Keep a snapshot; raises ``WrongSequence``."""
        kept = self._streams.get(stream) or _Stream()
        if snapshot.sequence > kept.last_sequence:
            raise wrong_sequence(stream, snapshot.sequence, kept.last_sequence)
        others = [other for other in kept.snapshots if other.sequence != snapshot.sequence]
        kept.snapshots = sorted([*others, snapshot], key=lambda one: one.sequence)[-self._snapshots_kept :]
        self._streams[stream] = kept
        return kept.snapshots[0].sequence

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        """Return the newest snapshot, None when there is none."""
        kept = self._streams.get(stream)
        return kept.snapshots[-1] if kept is not None and kept.snapshots else None

    async def truncate(self, stream: str, up_to_sequence: int) -> None:
        """Delete the records up to and including this one."""
        kept = self._streams.get(stream)
        if kept is not None:
            del kept.records[: max(0, up_to_sequence - kept.first_kept + 1)]

    async def truncate_after(self, stream: str, sequence: int, *, epoch: int | None = None) -> None:
        """Delete the records after this one; raises ``RecordsGone``, ``StaleWriter``."""
        self._epochs.check(stream, epoch)
        kept = self._streams.get(stream)
        if kept is None or sequence >= kept.last_sequence:
            return
        check_kept(stream, sequence, kept.first_kept)
        del kept.records[sequence - kept.first_kept + 1 :]
        kept.last_sequence = sequence
        kept.snapshots = [snapshot for snapshot in kept.snapshots if snapshot.sequence <= sequence]

    async def streams(self) -> Sequence[str]:
        """Return the names of all streams."""
        return sorted(self._streams)

    async def close(self) -> None:
        """Do nothing: there is nothing to release."""
