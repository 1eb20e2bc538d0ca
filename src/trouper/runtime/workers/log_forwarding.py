"""Forwards the log records of a worker to its parent, into the logger of the same name there.

A record is written to the pipe when it is logged, so what was logged before a crash is not lost.  When the parent does
not read for long and the pipe is full, records are omitted and counted, since a worker must not wait for its logs.
"""

from __future__ import annotations

import logging
import socket
import threading

from ..kernel.logs import Lines
from ..kernel.output import unblock_handlers
from ..kernel.untrusted import escaped_lines, marked_line
from ..observe.reports import bounded
from .protocol import ForwardedRecord, FromWorker, pack

RECORD_CHARS_MAX = 16_000
"""The most characters of the text of a record, and of its traceback."""


class ParentPipe:
    """The worker's end of the pipe, for writing; from any thread."""

    def __init__(self, pipe: socket.socket) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def send(self, message: FromWorker, *, wait: bool = True) -> bool:
        """Write a message, and return whether it was written.

        wait: False writes it only when the pipe has room now.
        """
        data = memoryview(pack(message))
        with self._lock:
            try:
                data = data[self._pipe.send(data, 0 if wait else socket.MSG_DONTWAIT) :]
                if data:
                    self._pipe.sendall(data)  # a message that was begun must be completed
            except OSError:
                return False  # the pipe is full, or the parent has ended
        return True


class LogForwarder(logging.Handler):
    """A logging handler that sends the records of a worker to its parent."""

    def __init__(self, pipe: ParentPipe) -> None:
        super().__init__()
        self._parent, self._omitted = pipe, 0

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        try:
            trace = record.exc_text
            if trace is None and record.exc_info and record.exc_info[0] is not None:
                trace = logging.Formatter().formatException(record.exc_info)
            sent = self._parent.send(
                ForwardedRecord(
                    logger=record.name,
                    level=record.levelno,
                    text=bounded(record.getMessage(), RECORD_CHARS_MAX),
                    trace=None if trace is None else trace[-RECORD_CHARS_MAX:],
                    created=record.created,
                    path=record.pathname,
                    line=record.lineno,
                    function=record.funcName or "",
                    thread=record.threadName or "",
                    omitted=self._omitted,
                ),
                wait=False,
            )
            self._omitted = 0 if sent else self._omitted + 1
        except Exception:  # noqa: BLE001  an error of a logging handler is not the caller's
            self.handleError(record)


def forward_logs(pipe: ParentPipe, levels: dict[str, int]) -> None:
    """Send all log records of this process to the parent, by the levels of the parent's loggers."""
    logging.root.addHandler(LogForwarder(pipe))
    for name, level in levels.items():
        logging.getLogger(name or None).setLevel(level)


def log_record(worker: str, record: ForwardedRecord) -> None:
    """Log a worker's record in this process, under the same logger, with the worker's name before the text."""
    logger = logging.getLogger(record.logger)
    if record.omitted:
        logger.warning("[%s] %d records were omitted: the node did not read them in time", worker, record.omitted)
    if not logger.isEnabledFor(record.level):
        return
    unblock_handlers(logger)
    text = (Lines(escaped_lines(record.text)),)
    record_here = logger.makeRecord(
        record.logger, record.level, record.path, record.line, f"[{worker}] %s", text, None, record.function
    )
    record_here.created, record_here.threadName, record_here.processName = record.created, record.thread, worker
    record_here.msecs = record.created % 1 * 1_000
    record_here.exc_text = None if record.trace is None else marked_line(escaped_lines(record.trace))
    logger.handle(record_here)
