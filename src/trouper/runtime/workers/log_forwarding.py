"""Log records of a worker come home: over the pipe, and there into the logger of the same name.

A record is written to the pipe when it is logged, so what was logged before a crash is not lost.  A parent that does
not read for long has the pipe full: then records are left out and counted, since a worker must not wait for its logs.
"""

from __future__ import annotations

import logging
import socket
import threading

from ..observe.reports import bounded
from .protocol import ForwardedRecord, FromWorker, pack

RECORD_CHARS_MAX = 16_000
"""Of the text of a record, and of its traceback."""


class ParentPipe:
    """The worker's end of the pipe, for writing."""

    def __init__(self, pipe: socket.socket) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def send(self, message: FromWorker, *, wait: bool = True) -> bool:
        """Write a message; without ``wait``, only when there is room now.  Says whether it was written."""
        data = memoryview(pack(message))
        with self._lock:
            try:
                data = data[self._pipe.send(data, 0 if wait else socket.MSG_DONTWAIT) :]
                if data:
                    self._pipe.sendall(data)  # what has begun must be ended
            except OSError:
                return False  # there is no room, or the parent is gone: then so are we, in a moment
        return True


class LogForwarder(logging.Handler):
    """Sends the records of a worker to its parent."""

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
        except Exception:  # noqa: BLE001  as of any handler: a log must not break what logs
            self.handleError(record)


def forward_logs(pipe: ParentPipe, levels: dict[str, int]) -> None:
    """Have all that is logged in this process sent home, by the levels of the parent's loggers."""
    logging.root.addHandler(LogForwarder(pipe))
    for name, level in levels.items():
        logging.getLogger(name or None).setLevel(level)


def log_record(worker: str, record: ForwardedRecord) -> None:
    """Log a worker's record here, under its own logger's name, with the worker's name before the text."""
    logger = logging.getLogger(record.logger)
    if record.omitted:
        logger.warning("[%s] %d records were left out: the node did not read them in time", worker, record.omitted)
    if not logger.isEnabledFor(record.level):
        return
    record_here = logger.makeRecord(
        record.logger, record.level, record.path, record.line, f"[{worker}] %s", (record.text,), None, record.function
    )
    record_here.created, record_here.threadName, record_here.processName = record.created, record.thread, worker
    record_here.msecs = record.created % 1 * 1_000
    record_here.exc_text = record.trace
    logger.handle(record_here)
