"""The ``Journal`` port: append-only streams of records, and snapshots of what they add up to.

A journal keeps bytes in order and says when they are safe.  It is not a data base: there is no search, and one stream
has one writer.  What the bytes mean is the business of whoever appends them (``EventSourcedActor`` for events).
``MemoryJournal`` and ``FileJournal`` are behind this port; a store on a network can be.

Laws of this file, for every journal:
1. The records of a stream are numbered 1, 2, 3, ... in the order of their append; truncation renumbers nothing.
2. When ``append`` has returned, all of its records are kept as the journal's promise says; of an append that failed or
   was given up, all of its records are there or none.
3. A record that is read is one that was appended, byte for byte.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, Protocol, TypeVar

from .errors import CallerError, TrouperError

P = ParamSpec("P")
T = TypeVar("T")


class JournalError(TrouperError):
    """Base of what a journal raises that is not its caller's fault."""


class JournalCorrupt(JournalError):
    """What was stored is damaged: names the file, the offset in bytes, what was found and what was expected."""


class JournalFailed(JournalError):
    """The disk refused; the error is the ``__cause__``.  The records of this append are not acknowledged."""


class JournalLocked(CallerError):
    """Another process, or another journal of this one, has this folder open."""


class JournalClosed(CallerError):
    """The journal was not opened, or is closed."""


class WrongSequence(CallerError):
    """The stream does not end where the caller believes it does: somebody else writes to it, or nothing is there."""


class RecordsGone(CallerError):
    """The records asked for were truncated away."""


class RecordTooLarge(CallerError):
    """A record, an append or a snapshot above the journal's limit in bytes."""


class InvalidStream(CallerError, ValueError):
    """A name that no stream can have: empty, or too long."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a stream; ``sequence`` is its number, from 1."""

    sequence: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the records up to and including ``sequence`` add up to, encoded by whoever saved it."""

    sequence: int
    payload: bytes


class Offload(Protocol):
    """Runs a blocking function beside the loop, as ``Node.offload`` does."""

    def __call__(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """Run ``function`` with these arguments; awaiting gives what it returns, or raises what it raises."""
        ...


class Journal(Protocol):
    """Streams of records with snapshots.  A stream begins to exist with its first append."""

    async def open(self, offload: Offload | None = None) -> None:
        """Get ready; a journal that is open already stays as it is.

        offload: runs what blocks; None is the loop's own thread pool.  Raises ``JournalLocked``, ``JournalFailed``.
        """

    async def append(self, stream: str, records: Sequence[bytes], expected_sequence: int | None = None) -> int:
        """Append records, all or none, and return the sequence of the last one.

        expected_sequence: of the stream's last record before this append, 0 for a new stream; None does not check.
        Raises ``WrongSequence``, ``RecordTooLarge``, ``InvalidStream``, ``JournalFailed``, ``JournalClosed``.
        """
        ...

    def read(self, stream: str, from_sequence: int = 0) -> AsyncIterator[Record]:
        """Read the records that are acknowledged when the reading begins, in order, a bounded part at a time.

        from_sequence: of the first record to read; 0 begins with the oldest that is kept.  A stream that does not
        exist has no records.  Raises, at the first step, ``RecordsGone``, and ``JournalCorrupt`` where damage is met.
        """
        ...

    async def last_sequence(self, stream: str) -> int:
        """Return the sequence of the last record; 0 for a stream that does not exist."""
        ...

    async def save_snapshot(self, stream: str, snapshot: Snapshot) -> int:
        """Keep a snapshot beside the stream, replace none but the oldest, and return the oldest one's sequence.

        The records up to what is returned are not needed for a recovery any more, even if the newer snapshots break.
        Raises ``WrongSequence`` for a snapshot of records that are not there, and what ``append`` raises.
        """
        ...

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        """Return the newest snapshot that is whole; None when there is none."""
        ...

    async def truncate(self, stream: str, up_to_sequence: int) -> None:
        """Allow the records up to and including this one to be forgotten; a journal may keep some of them longer."""

    async def close(self) -> None:
        """Make everything that was acknowledged durable, and let go of files and locks; a second call does nothing."""
