"""Text for stdout and stderr whose readers stand still.  The module is internal: what it writes to is the process's."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import TextIO

import pytest

from trouper.runtime.kernel import output
from trouper.runtime.kernel.logs import get_log
from trouper.runtime.kernel.output import OutputThread

PATIENCE_S = 60
"""Seconds after which a test gives up; none of them waits for it when it succeeds."""


class Pipe:
    """A pipe, and the stream that writes to it."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self.reader, fd = os.pipe()
        self.stream: TextIO = os.fdopen(fd, "w", encoding=encoding)

    def fill(self) -> int:
        """Write until the pipe is full; returns the number of bytes."""
        fd, count = self.stream.fileno(), 0
        os.set_blocking(fd, False)
        try:
            while True:
                count += os.write(fd, b"." * 4_096)
        except BlockingIOError:
            os.set_blocking(fd, True)
            return count

    def read(self, count: int) -> bytes:
        """Read so many bytes."""
        data = b""
        while len(data) < count:
            data += os.read(self.reader, count - len(data))
        return data


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe that nobody reads yet."""
    made = Pipe()
    yield made
    os.close(made.reader)
    output.flush(PATIENCE_S)
    output._forget_threads()  # noqa: SLF001  the number of the descriptor is used again by the next test
    try:
        made.stream.close()
    except OSError:
        pass  # what was printed has no reader any more


def test_a_write_to_a_full_pipe_returns_and_is_made_once_it_is_read(pipe: Pipe) -> None:
    """What was printed before comes first."""
    full = pipe.fill()
    pipe.stream.write("printed before\n")
    output.write(pipe.stream, "one\n")
    output.write(pipe.stream, "two\n")
    assert pipe.read(full + 23)[full:] == b"printed before\none\ntwo\n"


def test_what_there_is_room_for_is_written_at_once(pipe: Pipe) -> None:
    """So a log keeps its place among what is printed, and is there when the process is killed."""
    if sys.platform != "linux":
        pytest.skip("only Linux has /proc/self/fd")
    pipe.stream.write("printed before\n")
    output.write(pipe.stream, "logged\n")
    os.set_blocking(pipe.reader, False)
    assert os.read(pipe.reader, 100) == b"printed before\nlogged\n"
    os.set_blocking(pipe.reader, True)


def test_lines_beyond_the_limit_are_omitted_and_counted(pipe: Pipe) -> None:
    """The count comes after the lines that were queued, once there is room."""
    full, thread = pipe.fill(), OutputThread(pipe.stream.fileno(), bytes_max=10)
    for n in range(10):
        thread.write(pipe.stream, f"line{n}\n")
    note = b"line0\n[trouper] 9 lines were omitted: they were not read in time\n"
    assert pipe.read(full + len(note))[full:] == note
    assert thread.flush(PATIENCE_S)
    thread.write(pipe.stream, "more\n")
    assert pipe.read(5) == b"more\n"


def test_a_text_longer_than_a_pipe_comes_whole(pipe: Pipe) -> None:
    """It is written in pieces, each once there is room."""
    text = "0123456789" * 50_000 + "\n"
    output.write(pipe.stream, text)
    assert pipe.read(len(text)).decode() == text


def test_characters_that_the_encoding_lacks_are_written_with_a_backslash(pipe: Pipe) -> None:
    """In a thread, and in a file or another stream too; a lone surrogate is such a character in UTF-8."""
    output.write(pipe.stream, "\udcff\n")
    assert pipe.read(7) == b"\\udcff\n"
    for encoding, expected in (("ascii", b"\\u20ac\\xe9\n"), ("latin-1", b"\\u20ac\xe9\n")):
        buffer = io.BytesIO()
        stream = io.TextIOWrapper(buffer, encoding)
        output.write(stream, "€é\n")
        assert buffer.getvalue() == expected


def test_a_reader_that_has_ended_and_a_closed_stream_raise_nothing(pipe: Pipe) -> None:
    """What can be written by nobody is left out, and the thread goes on."""
    reader, pipe.reader = pipe.reader, os.dup(0)
    os.close(reader)
    output.write(pipe.stream, "lost\n")
    output.flush(PATIENCE_S)
    other = io.StringIO()
    other.close()
    output.write(other, "lost too\n")


def test_the_log_of_the_package_waits_for_no_reader(pipe: Pipe) -> None:
    """A handler of the program's own, which writes to a pipe, is served by the thread from the first record on."""
    log = get_log("trouper.tests.output")
    handler = logging.StreamHandler(pipe.stream)
    log.addHandler(handler)
    full = pipe.fill()
    try:
        log.warning("a record")
        logging.getLogger("trouper.tests.output.other").warning("another")
    finally:
        log.removeHandler(handler)
    assert pipe.read(full + 17)[full:] == b"a record\nanother\n"


PROGRAM = """
import os, sys
from trouper.runtime.kernel import output
from trouper.runtime.kernel.logs import get_log
os.set_blocking(2, False)
try:
    while True: os.write(2, b"." * 4096)
except BlockingIOError:
    os.set_blocking(2, True)
output.FLUSH_S, output.flush.__defaults__ = 0.1, (0.1,)
for n in range(3): get_log("trouper.program").warning("record %d", n)
print("ends")
"""


def test_a_program_whose_stderr_nobody_reads_ends() -> None:
    """Without any configuration of logs; what is queued is written for a limited time only."""
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.wait(PATIENCE_S) == 0
        assert program.stdout is not None
        assert program.stdout.read() == "ends\n"


def test_what_is_logged_just_before_the_end_of_a_program_is_written() -> None:
    """The end waits for the thread."""
    code = "from trouper.runtime.kernel.logs import get_log\nget_log('program').warning('the last %s', 'record')"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stderr == "the last record\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_writes_by_a_thread_of_its_own(pipe: Pipe) -> None:
    """The thread of the parent is not in it, and what the parent has queued is the parent's to write."""
    full = pipe.fill()
    output.write(pipe.stream, "parent\n")
    child = os.fork()
    if child == 0:
        output.write(pipe.stream, "child\n")
        output.flush(PATIENCE_S)
        os._exit(0)
    assert sorted(pipe.read(full + 13)[full:].splitlines()) == [b"child", b"parent"]
    os.waitpid(child, 0)


def test_threads_may_write_at_once(pipe: Pipe) -> None:
    """No line is lost or mixed with another."""
    lines = [f"{n}\n" for n in range(200)]

    def write_all() -> None:
        for line in lines:
            output.write(pipe.stream, line)

    threads = [threading.Thread(target=write_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    output.flush(PATIENCE_S)
    data = pipe.read(4 * len("".join(lines))).decode().splitlines(keepends=True)
    assert sorted(data) == sorted(lines * 4)
