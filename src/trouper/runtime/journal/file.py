"""``FileJournal``: a journal in a folder of files, which survives the end of the process and a crash of the machine.

Each stream is a folder (``segments.py``, ``snapshots.py``); this file runs that blocking work in threads, one job at a
time for each stream, and lets the appends that arrive while a stream is being written share the next fsync.

Laws of this file:
1. The loop never waits for the disk: every call that blocks runs in a thread of the journal's own, so that blocking
   work of the node's users cannot delay it.
2. A job that has begun ends, even when its caller has been cancelled, or every task of the loop; no other job touches
   its stream meanwhile.  So does ``close``: the folder is unlocked once the disk has answered, however late.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import PurePath
from types import TracebackType
from typing import Literal, ParamSpec, Self, TypeVar
from urllib.parse import unquote_to_bytes

from ..kernel.errors import CallerError, InvalidOption
from ..kernel.journal import (
    InvalidStream,
    JournalClosed,
    JournalError,
    JournalFailed,
    Record,
    RecordsGone,
    RecordTooLarge,
    Snapshot,
)
from ..kernel.logs import get_log
from . import snapshots
from .disk import Disk, DiskLock, RealDisk
from .epochs import WriterEpochs
from .segments import RECORD_OVERHEAD_BYTES, Append, Limits, RecordReader, StreamFiles

P = ParamSpec("P")
T = TypeVar("T")
Fsync = Literal["every_append", "every_s", "never"]

COMMIT_APPENDS_MAX = 1_024
"""The most appends that share one write and one fsync."""
JOBS_MAX = 8
"""Jobs that run at one time, each in a thread of the journal."""
STREAM_FOLDER_CHARS_MAX = 200
"""Limit of the name of a stream's folder; file systems allow 255."""
LOCK_FILE = "journal.lock"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")

log = get_log("trouper.journal")


class _Stream:
    """One open stream: its files, the jobs on them, and the appends that wait for the next commit."""

    def __init__(self, files: StreamFiles) -> None:
        self.files = files
        self.lock = asyncio.Lock()
        self.waiting: deque[tuple[Append, asyncio.Future[int]]] = deque()
        self.committing = False
        self.opened = False
        self.users = 0
        """Jobs that run on it or wait to; while there are any, the stream is not closed."""


class FileJournal:
    """A journal in a folder; ``async with FileJournal("data") as journal``, or give it to a node, which opens it.

    folder: created where it is missing; locked while the journal is open.
    fsync: ``every_append`` acknowledges an append when it is on the disk, so that a power cut loses nothing;
        ``every_s`` fsyncs every ``every_s`` seconds, and a power cut may lose the last of them; ``never`` leaves it to
        the operating system, except when a file is full, at a snapshot and at ``close``.  The end of the process alone
        never loses an acknowledged append.
    every_s: seconds between two fsyncs of a stream, for ``every_s`` only.
    record_bytes_max, append_bytes_max, snapshot_bytes_max: of one record, of the records of one append with 5 bytes for
        each, of one snapshot; more raises ``RecordTooLarge``.
    segment_bytes: a stream begins another file once its last one is as long; truncation removes whole files.
    read_bytes: the most bytes of a file that are read at a time.
    snapshots_kept: of one stream, the newest; with 1, nothing replaces a damaged one but the whole stream.
    streams_open_max: streams that keep a file handle and their state in memory; beyond it the least recently used one
        is closed.
    disk: the file system; None is that of the machine.
    Raises ``InvalidOption`` for a number below 1 or an unknown ``fsync``.
    """

    def __init__(
        self,
        folder: str | PurePath,
        *,
        fsync: Fsync = "every_append",
        every_s: float = 1.0,
        record_bytes_max: int = 16 << 20,
        append_bytes_max: int = 64 << 20,
        snapshot_bytes_max: int = 256 << 20,
        segment_bytes: int = 16 << 20,
        read_bytes: int = 256 << 10,
        snapshots_kept: int = 2,
        streams_open_max: int = 256,
        disk: Disk | None = None,
    ) -> None:
        self._folder = PurePath(folder)
        self._fsync, self._every_s = fsync, every_s
        self._limits = Limits(
            record_bytes_max, append_bytes_max, snapshot_bytes_max, segment_bytes, read_bytes, snapshots_kept
        )
        numbers = {
            **{name: getattr(self._limits, name) for name in Limits.__slots__},
            "streams_open_max": streams_open_max,
        }
        for name, value in numbers.items():
            if value < 1:
                raise InvalidOption(f"{name}={value} must be 1 or more")
        if fsync not in ("every_append", "every_s", "never") or every_s <= 0:
            raise InvalidOption(
                f"fsync={fsync!r} must be every_append, every_s or never, and every_s={every_s} above 0"
            )
        self._streams_open_max = streams_open_max
        self._disk: Disk = RealDisk() if disk is None else disk
        self._lock: DiskLock | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._streams: OrderedDict[str, _Stream] = OrderedDict()
        self._jobs: set[asyncio.Task[object]] = set()
        self._job_slots = asyncio.Semaphore(JOBS_MAX)
        self._sync_timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self._process_id = 0
        self._epochs = WriterEpochs()

    async def __aenter__(self) -> Self:
        """Open the journal."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the journal."""
        await self.close()

    async def open(self) -> None:
        """Create the folder where it is missing, and lock it; raises ``JournalLocked``, ``JournalFailed``."""
        if self._closing is not None:
            await asyncio.shield(self._closing)
        if self._lock is None:
            opening = asyncio.get_running_loop().create_task(self._open())
            try:
                await asyncio.shield(opening)
            except asyncio.CancelledError:
                opening.add_done_callback(self._undo_open)
                raise

    async def _open(self) -> None:
        try:
            await self._call_to_the_end(self._disk.make_folder, self._folder)
            self._lock = await self._call_to_the_end(self._disk.lock, self._folder / LOCK_FILE)
            self._process_id, self._epochs = os.getpid(), WriterEpochs()
        except OSError as error:
            raise JournalFailed(f"journal {self._folder} cannot be opened: {error}") from error
        finally:
            if self._lock is None:
                self._end_threads()

    def _undo_open(self, opening: asyncio.Task[None]) -> None:
        """Close what was opened although the caller of ``open`` had been cancelled."""
        if not opening.cancelled() and opening.exception() is None:
            self._begin_close()

    async def close(self) -> None:
        """Wait for the jobs that have begun, fsync what is not yet durable, and unlock the folder.

        When its caller is cancelled, it goes on to its end all the same.  A second call waits for the first.  Raises
        ``JournalFailed`` when the disk fails; the folder is unlocked all the same.
        """
        if self._lock is not None:
            await asyncio.shield(self._begin_close())

    def _begin_close(self) -> asyncio.Task[None]:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
            self._closing.add_done_callback(_retrieve)
        return self._closing

    async def _close(self) -> None:
        if self._sync_timer is not None:
            self._sync_timer.cancel()
            self._sync_timer = None
        while self._jobs:
            await _done(set(self._jobs))
        failure: OSError | None = None
        for name in list(self._streams):
            try:
                await self._call_to_the_end(self._streams.pop(name).files.close)
            except OSError as error:
                failure = error
        lock, self._lock, self._closing = self._lock, None, None
        self._end_threads()
        if lock is not None:
            lock.release()
        if failure is not None:
            raise JournalFailed(
                f"journal {self._folder} was not made durable as it was closed: {failure}"
            ) from failure  # fmt: skip

    # --- the port ----------------------------------------------------------------------------------------------------

    async def claim(self, stream: str) -> int:
        """Begin a writer epoch; it is kept in memory."""
        self._stream(stream)
        return self._epochs.claim(stream)

    async def append(
        self,
        stream: str,
        records: Sequence[bytes],
        expected_sequence: int | None = None,
        *,
        epoch: int | None = None,
    ) -> int:
        """Append records, all or none; appends that arrive while the stream is being written share the next fsync."""
        self._check_sizes(stream, records)
        kept = self._stream(stream)
        self._epochs.check(stream, epoch)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        kept.waiting.append((Append(records, expected_sequence, epoch), future))
        if not kept.committing:
            kept.committing = True
            self._begin(self._commit(kept))
        return await future

    async def read(self, stream: str, from_sequence: int = 0) -> AsyncIterator[Record]:
        """Read what is acknowledged now, ``read_bytes`` at a time; no file stays open between two reads."""
        kept = self._stream(stream)
        kept.users += 1
        try:
            reader = await self._exclusively(kept, lambda files: files.reader(from_sequence))
            while records := await self._next_records(reader):
                for record in records:
                    yield record
        finally:
            kept.users -= 1

    async def _next_records(self, reader: RecordReader) -> list[Record]:
        stream = reader.files.name
        try:
            return await asyncio.shield(self._call(reader.next_records))
        except FileNotFoundError as error:
            raise RecordsGone(f"stream {stream!r} was truncated while it was read: read it again") from error
        except OSError as error:
            raise JournalFailed(f"stream {stream!r} of {self._folder} cannot be read: {error}") from error

    async def last_sequence(self, stream: str) -> int:
        """Return the sequence of the last record, 0 without any."""
        return await self._exclusively(self._stream(stream), lambda files: files.last_sequence)

    async def save_snapshot(self, stream: str, snapshot: Snapshot) -> int:
        """Write a snapshot; the newest ``snapshots_kept`` are kept."""
        if len(snapshot.payload) > self._limits.snapshot_bytes_max:
            raise RecordTooLarge(
                f"a snapshot of stream {stream!r} has {len(snapshot.payload)} bytes, above snapshot_bytes_max="
                f"{self._limits.snapshot_bytes_max}: keep less in it, or raise the limit"
            )
        return await self._exclusively(self._stream(stream), lambda files: snapshots.save(files, snapshot))

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        """Return the newest snapshot that is undamaged; damaged ones are skipped with a warning."""
        return await self._exclusively(self._stream(stream), snapshots.load)

    async def truncate(self, stream: str, up_to_sequence: int) -> None:
        """Remove the files all of whose records are at or before this sequence; the newest file is always kept."""
        await self._exclusively(self._stream(stream), lambda files: files.truncate(up_to_sequence))

    async def truncate_after(self, stream: str, sequence: int, *, epoch: int | None = None) -> None:
        """Delete the records after this one, and their snapshots; the appends that were called before it come first."""

        def work(files: StreamFiles) -> None:
            self._epochs.check(stream, epoch)
            snapshots.truncate_after(files, sequence)

        await self._exclusively(self._stream(stream), work)

    async def streams(self) -> Sequence[str]:
        """Return the names of all streams, by their folders."""
        self._check_open()
        try:
            names = await asyncio.shield(self._begin(self._call_to_the_end(self._disk.names, self._folder)))
        except OSError as error:
            raise JournalFailed(f"journal {self._folder} cannot be listed: {error}") from error
        return sorted(name for folder in names if (name := stream_of(folder)) is not None)

    # --- commits -----------------------------------------------------------------------------------------------------

    async def _commit(self, stream: _Stream) -> None:
        """Write the appends that wait, until there are none."""
        try:
            while stream.waiting:
                taken = [stream.waiting.popleft() for _ in range(min(len(stream.waiting), COMMIT_APPENDS_MAX))]
                await self._commit_batch(stream, [(append, future) for append, future in taken if not future.done()])
        finally:
            stream.committing = False
            for _, future in stream.waiting:  # none, unless this task was cancelled
                future.cancel()
            stream.waiting.clear()
        if self._fsync == "every_s" and stream.files.dirty and self._sync_timer is None and self._closing is None:
            loop = asyncio.get_running_loop()
            self._sync_timer = loop.call_later(self._every_s, lambda: self._begin(self._sync_all()))

    async def _commit_batch(self, stream: _Stream, batch: list[tuple[Append, asyncio.Future[int]]]) -> None:
        appends, fsync = [append for append, _ in batch], self._fsync == "every_append"
        outcomes: Sequence[int | Exception]
        try:
            is_stale = partial(self._epochs.is_stale, stream.files.name)
            outcomes = await self._work(stream, lambda files: files.commit(appends, fsync=fsync, is_stale=is_stale))
        except Exception as error:  # noqa: BLE001  every caller that waits gets the error
            outcomes = [error] * len(batch)
        except asyncio.CancelledError:  # before the disk was asked
            for _, future in batch:
                future.cancel()
            raise
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if future.done():
                continue
            if isinstance(outcome, Exception):
                future.set_exception(_copy(outcome))
            else:
                future.set_result(outcome)

    async def _sync_all(self) -> None:
        """Fsync what was acknowledged since the last time.  A failure is logged; the next append meets it too."""
        self._sync_timer = None
        for stream in list(self._streams.values()):
            if stream.files.dirty:
                try:
                    await self._work(stream, StreamFiles.sync)
                except JournalError:
                    log.warning("stream %s was not fsynced", stream.files.name, exc_info=True)

    # --- jobs --------------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._lock is None or self._closing is not None:
            raise JournalClosed(f"journal {self._folder} is not open: use `async with`, or give it to a node")
        if self._process_id != os.getpid():
            raise JournalClosed(
                f"journal {self._folder} was opened by process {self._process_id}, of which this one is a fork: one "
                "journal has one writer; open another folder here"
            )

    def _stream(self, name: str) -> _Stream:
        self._check_open()
        stream = self._streams.get(name)
        if stream is None:
            folder = self._folder / folder_of(name)
            stream = self._streams[name] = _Stream(StreamFiles(self._disk, folder, name, self._limits))
        self._streams.move_to_end(name)
        return stream

    def _begin(self, job: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Start a job that runs to its end, also when its caller is cancelled."""
        task = asyncio.get_running_loop().create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        task.add_done_callback(_retrieve)
        return task

    async def _exclusively(self, stream: _Stream, work: Callable[[StreamFiles], T]) -> T:
        return await asyncio.shield(self._begin(self._work(stream, work)))

    async def _work(self, stream: _Stream, work: Callable[[StreamFiles], T]) -> T:
        """Run blocking work on a stream, exclusively; an error of the disk is raised as ``JournalFailed``."""
        stream.users += 1
        try:
            async with self._job_slots, stream.lock:
                try:
                    if not stream.opened:
                        await self._call_to_the_end(stream.files.open)
                        stream.opened = True
                        if self._fsync == "every_append":
                            await self._call_to_the_end(stream.files.sync)
                    return await self._call_to_the_end(work, stream.files)
                except OSError as error:
                    raise JournalFailed(f"stream {stream.files.name!r} of {self._folder}: {error}") from error
        finally:
            stream.users -= 1
            await self._close_excess_streams()

    async def _close_excess_streams(self) -> None:
        """Close streams beyond ``streams_open_max``, the least recently used first, but none that is in use."""
        excess = len(self._streams) - self._streams_open_max
        idle = (
            [name for name, stream in self._streams.items() if not stream.users and not stream.waiting]
            if excess > 0
            else []
        )
        for name in idle[:excess]:
            stream = self._streams.pop(name)
            try:
                await self._call_to_the_end(stream.files.close)
            except OSError:
                log.warning("stream %s was not made durable as it was closed", name, exc_info=True)

    async def _call_to_the_end(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function of the disk as a part of a job, which a cancellation does not interrupt."""
        future = self._call(partial(function, *args, **kwargs))
        await _done({future})
        return future.result()

    def _call(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Run a function of the disk: in a thread of the journal when the disk blocks, else in the loop."""
        loop = asyncio.get_running_loop()
        if self._disk.blocks:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(JOBS_MAX, thread_name_prefix="trouper-journal")
            return loop.run_in_executor(self._threads, function)
        future: asyncio.Future[T] = loop.create_future()
        loop.call_soon(_resolve, future, function)
        return future

    def _end_threads(self) -> None:
        """End the idle threads of a journal that is closed, or could not be opened."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False)

    def _check_sizes(self, stream: str, records: Sequence[bytes]) -> None:
        largest = max(map(len, records), default=0)
        total = sum(map(len, records)) + RECORD_OVERHEAD_BYTES * len(records)
        if largest > self._limits.record_bytes_max or total > self._limits.append_bytes_max:
            raise RecordTooLarge(
                f"an append to stream {stream!r} has a record of {largest} bytes and {total} bytes in all, above "
                f"record_bytes_max={self._limits.record_bytes_max} or append_bytes_max={self._limits.append_bytes_max}"
            )


async def _done(futures: Collection[asyncio.Future[T]]) -> None:
    """Wait until all are done, also while this task is cancelled: threads of the journal work for it."""
    task = asyncio.current_task()
    while not all(future.done() for future in futures):
        try:
            await asyncio.wait(futures)
        except asyncio.CancelledError:
            if task is not None:
                task.uncancel()


def _resolve(future: asyncio.Future[T], function: Callable[[], T]) -> None:
    try:
        result = function()
    except Exception as error:  # noqa: BLE001  it is the caller's
        if not future.done():
            future.set_exception(error)
    else:
        if not future.done():
            future.set_result(result)


def _retrieve(task: asyncio.Task[T]) -> None:
    """Mark the error of a task as retrieved: its caller has it, unless the caller was cancelled."""
    if not task.cancelled():
        task.exception()


def folder_of(stream: str) -> str:
    """Return the name of a stream's folder: valid on every file system, also on one that ignores case.

    Raises ``InvalidStream`` for an empty name, and one whose folder would be too long.
    """
    name = "stream-" + "".join(
        sign if sign in _PLAIN else "".join(f"%{byte:02x}" for byte in sign.encode("utf-8", "surrogatepass"))
        for sign in stream
    )
    if not stream or len(name) > STREAM_FOLDER_CHARS_MAX:
        raise InvalidStream(
            f"a stream cannot be called {stream[:80]!r}: its folder {name[:80]!r} would have {len(name)} characters, "
            f"and 8 to {STREAM_FOLDER_CHARS_MAX} are possible"
        )
    return name


def stream_of(folder: str) -> str | None:
    """Return the stream of a folder's name; None for a name that no stream has."""
    name = folder.removeprefix("stream-")
    try:
        stream = unquote_to_bytes(name).decode("utf-8", "surrogatepass")
        return stream if folder != name and folder_of(stream) == folder else None
    except (UnicodeDecodeError, InvalidStream):
        return None


def _copy(error: Exception) -> Exception:
    """Return a copy of an error for each waiting caller: an error that is raised twice gets both tracebacks."""
    if not isinstance(error, (JournalError, CallerError)):
        return error
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy
