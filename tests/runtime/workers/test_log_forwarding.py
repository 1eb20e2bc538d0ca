"""Log records and lines of output of workers are shown by their node."""

from __future__ import annotations

import logging
import socket

import pytest

from tests.runtime.workers.stage import QUICK, Clerk, Exit, Log, Pid, Write, pid_once_changed, run
from trouper import Node
from trouper.runtime.workers.log_forwarding import RECORD_CHARS_MAX, LogForwarder, ParentPipe, log_record
from trouper.runtime.workers.protocol import ForwardedRecord, Unpacker, read_from_worker


def test_what_a_worker_logs_and_writes_is_shown_by_its_node(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the worker's name before the text, by the same logger and level; nothing written before a crash is lost."""
    caplog.set_level(logging.INFO, "shop")

    async def scene() -> None:
        async with Node(workers=QUICK) as node:
            clerk = await node.spawn(Clerk, place="worker-2")
            pid = await clerk.ask(Pid())
            for number in range(100):
                clerk.tell(Log("shop.till", f"item {number}", logging.INFO))
                clerk.tell(Log("shop.till", "detail", logging.DEBUG))
                clerk.tell(Write(f"line {number}"))
            clerk.tell(Exit(256))
            await pid_once_changed(clerk, pid)

    run(scene())
    records = [record for record in caplog.records if record.name == "shop.till"]
    assert [record.getMessage() for record in records] == [f"[worker-2] item {number}" for number in range(100)]
    assert {(record.levelname, record.processName, record.funcName) for record in records} == {
        ("INFO", "worker-2", "log")
    }
    out, err = capsys.readouterr()
    assert out.splitlines() == [f"[worker-2] line {number}" for number in range(100)]
    assert [line for line in err.splitlines() if "line " in line] == out.splitlines()


def test_a_record_keeps_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """The traceback is sent as text and shown as a local one."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        try:
            raise KeyError("ada")
        except KeyError as error:
            record = logging.LogRecord("shop", logging.ERROR, "shop.py", 7, "no %s", ("ada",), (KeyError, error, None))
        LogForwarder(ParentPipe(theirs)).emit(record)
        (body,) = Unpacker().feed(ours.recv(65_536))
    message = read_from_worker(body)
    assert isinstance(message, ForwardedRecord)
    log_record("worker-1", message)
    assert "[worker-1] no ada" in caplog.text
    assert "KeyError: 'ada'" in caplog.text
    assert caplog.records[0].created == record.created


def test_a_node_that_does_not_read_loses_records_and_blocks_no_worker() -> None:
    """A full pipe does not block the worker; the count of omitted records comes with the next record."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        handler = LogForwarder(ParentPipe(theirs))
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        record = logging.LogRecord("shop", logging.INFO, "shop.py", 7, "x" * 100, (), None)
        for _ in range(10_000):
            handler.emit(record)
        unpacker = Unpacker()
        found: list[bytes] = []
        ours.setblocking(False)
        while True:
            try:
                found += unpacker.feed(ours.recv(65_536))
            except BlockingIOError:
                break
        handler.emit(record)
        (last,) = unpacker.feed(ours.recv(65_536))
    message = read_from_worker(last)
    assert isinstance(message, ForwardedRecord)
    assert message.omitted == 10_000 - len(found) > 0


def test_a_record_is_bounded() -> None:
    """A log text of a gigabyte is cut before it is sent."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        LogForwarder(ParentPipe(theirs)).emit(logging.LogRecord("shop", 40, "shop.py", 7, "x" * 10**6, (), None))
        (body,) = Unpacker().feed(ours.recv(65_536))
    message = read_from_worker(body)
    assert isinstance(message, ForwardedRecord)
    assert len(message.text) < RECORD_CHARS_MAX + 50


def test_a_level_that_is_off_in_the_node_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """The level of the logger in this process decides, not that of the worker's."""
    caplog.set_level(logging.ERROR, "quiet")
    log_record(
        "worker-1", ForwardedRecord("quiet", logging.INFO, "psst", None, 0.0, "x.py", 1, "f", "MainThread", omitted=3)
    )
    assert caplog.records == []
