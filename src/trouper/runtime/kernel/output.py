"""Text for stdout and stderr, so that no loop waits for a terminal or a pipe that nobody reads.

What can be written at once is; for the rest a thread waits.  What is queued for it is bounded; lines beyond that are
omitted and counted, and the count is written once there is room again.  A character that the encoding of a stream does
not have is written with a backslash.  What is queued at the end of the program is still written, for ``FLUSH_S``
seconds at most.
"""

from __future__ import annotations

import atexit
import io
import logging
import os
import select
import stat
import threading
from collections import deque
from contextlib import suppress
from typing import TextIO, cast

QUEUED_BYTES_MAX = 1_000_000
"""Bytes that wait for one stream."""
FLUSH_S = 2.0
"""Seconds to write what is queued when the program ends."""
_PIECE_BYTES = 4_096  # PIPE_BUF of Linux: a pipe that is ready takes so many bytes at once


class OutputThread:
    """Writes to one stream, whose descriptor is ``fd``; the thread starts when a write has to wait.

    bytes_max: bytes that may be queued.
    """

    def __init__(self, fd: int, bytes_max: int = QUEUED_BYTES_MAX) -> None:
        self._fd, self._bytes_max = fd, bytes_max
        self._queue: deque[tuple[TextIO, bytes]] = deque()
        self._changed = threading.Condition()
        self._bytes = self._omitted = 0
        self._started = False

    def write(self, stream: TextIO, text: str) -> None:
        """Write a text of whole lines, or queue it, from any thread; it is omitted when too much is queued."""
        data = encoded(stream, text)
        with self._changed:
            if not self._queue:
                data = data[self._write_at_once(stream, data) :]
                if not data:
                    return
            elif self._bytes + len(data) > self._bytes_max:
                self._omitted += text.count("\n") or 1
                return
            self._put(stream, data)
            if not self._started:
                with suppress(RuntimeError):  # the system has no more threads: the next text tries again
                    threading.Thread(target=self._run, name=f"trouper-output-{self._fd}", daemon=True).start()
                    self._started = True

    def flush(self, limit_s: float) -> bool:
        """Wait until everything is written, at most ``limit_s``; returns whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue, limit_s)

    def _put(self, stream: TextIO, data: bytes) -> None:
        self._bytes += len(data)
        self._queue.append((stream, data))
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue)
                stream, data = self._queue[0]
            try:
                self._write(stream, data)
            except (OSError, ValueError):
                pass  # the stream is closed, or its reader has ended
            with self._changed:
                if self._omitted and len(self._queue) == 1:
                    note = f"[trouper] {self._omitted} lines were omitted: they were not read in time\n"
                    self._omitted = 0
                    self._put(stream, note.encode("ascii"))
                self._queue.popleft()
                self._bytes -= len(data)
                self._changed.notify_all()

    def _write_at_once(self, stream: TextIO, data: bytes) -> int:
        """Return how many bytes were written, or need not be, without a wait.

        The stream is opened once more for that, since all processes that share a descriptor would find it changed.
        """
        try:
            if not _has_room(self._fd, wait=False):
                return 0
            stream.flush()  # what was printed before comes first
        except (OSError, ValueError):
            return len(data)  # the stream is closed, or its reader has ended
        try:
            other = os.open(f"/proc/self/fd/{self._fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            return 0  # a socket, or a system that has no such files
        try:
            return os.write(other, data)
        except OSError:
            return 0
        finally:
            os.close(other)

    def _write(self, stream: TextIO, data: bytes) -> None:
        """Write past the buffer of the stream, whose lock nobody may hold while there is no reader."""
        left = memoryview(data)
        _has_room(self._fd, wait=True)
        stream.flush()
        while left:
            _has_room(self._fd, wait=True)
            left = left[os.write(self._fd, left[:_PIECE_BYTES]) :]


class UnblockedStream(io.TextIOBase):
    """Stands for a stream in a handler of ``logging``."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str, /) -> int:
        """Write a text without a wait."""
        write(self._stream, text)
        return len(text)

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()


def write(stream: TextIO, text: str) -> None:
    """Write a text to stdout or stderr; where that has to wait, a thread does: for a pipe, a terminal or a socket.

    It never raises for the encoding of the stream, nor when the stream is closed.
    """
    fd = _waiting_descriptor(stream)
    if fd is None:
        try:
            try:
                stream.write(text)
            except UnicodeEncodeError:
                stream.write(str(encoded(stream, text), stream.encoding))
            stream.flush()
        except (OSError, ValueError):
            pass  # it is closed
        return
    thread = _threads.get(fd)
    if thread is None:
        thread = _threads.setdefault(fd, OutputThread(fd))
    thread.write(stream, text)


def unblock_handlers(logger: logging.Logger) -> None:
    """Have the handlers that write the records of a logger to stdout or stderr do so without a wait."""
    each: logging.Logger | None = logger
    found = False
    while each is not None:
        for handler in each.handlers:
            found = True
            if type(handler) is logging.StreamHandler:
                _unblock(cast("logging.StreamHandler[TextIO]", handler))
        each = each.parent if each.propagate else None
    if not found and logging.lastResort is _LAST_RESORT:
        logging.lastResort = _LastResort(logging.WARNING)


def _unblock(handler: logging.StreamHandler[TextIO]) -> None:
    if _waiting_descriptor(handler.stream) is not None:
        handler.stream = cast("TextIO", UnblockedStream(handler.stream))  # `setStream` would flush the other, and wait


def encoded(stream: TextIO, text: str) -> bytes:
    """Return the bytes of a text in the encoding of a stream; a character that it does not have, with a backslash."""
    encoding = stream.encoding or "utf-8"
    try:
        return text.encode(encoding, stream.errors or "strict")
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace")


def flush(limit_s: float = FLUSH_S) -> None:
    """Wait until what is queued for all streams is written, at most ``limit_s`` for each."""
    for thread in tuple(_threads.values()):
        thread.flush(limit_s)


class _LastResort(logging.Handler):
    """Writes to what ``sys.stderr`` is now, as ``logging.lastResort`` does, without a wait."""

    def emit(self, record: logging.LogRecord) -> None:
        stream = getattr(_LAST_RESORT, "stream", None)  # None in a program without stderr
        if stream is not None:
            write(stream, f"{self.format(record)}\n")


def _waiting_descriptor(stream: object) -> int | None:
    """Return the descriptor of a stream whose writes may have to wait; None for files and for other objects."""
    if not isinstance(stream, io.TextIOWrapper) or os.name == "nt":
        return None  # of Windows' consoles the stream alone knows how to write to them
    try:
        fd = stream.fileno()
        mode = os.fstat(fd).st_mode
    except (OSError, ValueError):
        return None
    return None if stat.S_ISREG(mode) else fd


def _has_room(fd: int, *, wait: bool) -> bool:
    """Whether a descriptor takes bytes, or would raise, without a wait; for which it may wait itself."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(None if wait else 0))


def _forget_threads() -> None:
    """In a forked child: its threads are gone, and what they had to write is the parent's."""
    _threads.clear()


_threads: dict[int, OutputThread] = {}  # of the process, as its descriptors are
_LAST_RESORT = logging.lastResort
atexit.register(flush)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
