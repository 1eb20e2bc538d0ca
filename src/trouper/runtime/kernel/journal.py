"""The ``Journal`` port: append-only streams of records, and snapshots of what they add up to.

A journal keeps bytes in order and says when they are durable.  It is not a database: there is no search, and one
stream has one writer.  It does not know what the bytes mean (``EventSourcedActor`` keeps events in it).
``MemoryJournal`` and ``FileJournal`` implement this port; a store on a network can.

Laws of this file, for every journal:
1. The records of a stream are numbered 1, 2, 3, ... in the order of their append; truncation renumbers nothing, and
   after ``truncate_after`` the numbers that it has freed are given again.
2. When ``append`` has returned, all of its records are as durable as the journal promises; of an append that failed or
   was cancelled, all of its records are kept or none.
3. A record that is read is one that was appended, byte for byte.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from .errors import CallerError, TrouperError


class JournalError(TrouperError):
    """Base of the errors of a journal that its caller did not cause."""


class JournalCorrupt(JournalError):
    """The stored data is damaged; the text names the file, the offset in bytes, what was found and expected."""


class JournalFailed(JournalError):
    """The disk failed; its error is the ``__cause__``.  The records of this append are not acknowledged."""


class JournalLocked(CallerError):
    """Another process, or another journal in this process, has the folder open."""


class JournalClosed(CallerError):
    """The journal has not been opened, or has been closed."""


class WrongSequence(CallerError):
    """The stream ends with another sequence than the caller expects: it has a second writer, or it is new."""


class StaleWriter(CallerError):
    """Another writer has claimed the stream since, or the journal was opened again: recover and claim it first."""


class RecordsGone(CallerError):
    """The requested records have been truncated."""


class RecordTooLarge(CallerError):
    """A record, an append or a snapshot exceeds the journal's limit in bytes."""


class InvalidStream(CallerError, ValueError):
    """The name of a stream is empty or too long."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a stream; ``sequence`` is its number, from 1."""

    sequence: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The encoded state after the records up to and including ``sequence``."""

    sequence: int
    payload: bytes


class Journal(Protocol):
    """Streams of records with snapshots.  The first append to a stream creates it.

    A journal that blocks does so in threads of its own: the thread pool of a node is for its users.
    """

    async def open(self) -> None:
        """Open the journal; does nothing when it is open.  Raises ``JournalLocked``, ``JournalFailed``."""

    async def claim(self, stream: str) -> int:
        """Become the writer of a stream: return a new epoch, to be given to ``append``; those before it are stale."""
        ...

    async def append(
        self,
        stream: str,
        records: Sequence[bytes],
        expected_sequence: int | None = None,
        *,
        epoch: int | None = None,
    ) -> int:
        """Append records, all or none, and return the sequence of the last one.

        expected_sequence: of the stream's last record before this append, 0 for a new stream; None does not check it.
        epoch: what ``claim`` has returned to this writer; None does not check it.
        Raises ``WrongSequence``, ``StaleWriter``, ``RecordTooLarge``, ``InvalidStream``, ``JournalFailed``,
        ``JournalClosed``.
        """
        ...

    def read(self, stream: str, from_sequence: int = 0) -> AsyncIterator[Record]:
        """Read the records that are acknowledged when the reading begins, in order, a bounded part at a time.

        from_sequence: of the first record to read; 0 begins with the oldest that is kept.
        A stream that does not exist has no records.  Raises ``RecordsGone`` at the first step, and ``JournalCorrupt``
        where the data is damaged.
        """
        ...

    async def last_sequence(self, stream: str) -> int:
        """Return the sequence of the last record; 0 for a stream that does not exist."""
        ...

    async def save_snapshot(self, stream: str, snapshot: Snapshot) -> int:
        """Keep a snapshot beside the stream, and return the sequence of the oldest snapshot that is kept.

        The newest snapshots are kept, as many as the journal is set to.  No recovery needs the records up to the
        returned sequence, even if the newer snapshots are damaged.  Raises ``WrongSequence`` for a snapshot of records
        that are not there, and what ``append`` raises.
        """
        ...

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        """Return the newest snapshot that is undamaged; None when there is none."""
        ...

    async def truncate(self, stream: str, up_to_sequence: int) -> None:
        """Allow the journal to delete the records up to and including this one; it may keep some of them longer."""

    async def truncate_after(self, stream: str, sequence: int, *, epoch: int | None = None) -> None:
        """Delete the records after this one, and the snapshots that stand for any of them; 0 deletes all.

        On return they are gone as durably as the journal promises, and the next record has the number ``sequence + 1``.
        When it fails, or the machine does, records at the end of the stream are gone, or none; it can be called again.

        epoch: what ``claim`` has returned to this writer; None does not check it.
        Raises ``RecordsGone`` when records before ``sequence`` are truncated up to a later one, and ``StaleWriter``,
        ``InvalidStream``, ``JournalFailed``, ``JournalClosed``.
        """

    async def streams(self) -> Sequence[str]:
        """Return the names of all streams that have records or snapshots, sorted."""
        ...

    async def close(self) -> None:
        """Make everything that was acknowledged durable, and release files and locks; a second call does nothing."""
