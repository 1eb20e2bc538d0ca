"""The baseline between two processes: what ZeroMQ and a pipe can do with nothing above them.

Both sides block, in a loop that does nothing else.  The messages and the work are those of the others: notes that are
added up, deposits whose balance comes back, encoded and decoded by msgspec.  Notes are packed by hand, 512 a frame;
an ask is a frame of its own, also when a thousand are in flight.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec
import zmq

from trouper.cli.measurements import percentile

from . import Figures, Workloads

BATCH, IN_FLIGHT = 512, 1_000
NOTES, DEPOSIT = 0, 1
Said = tuple[int, list[tuple[int, str]]]
"""What kind of thing it is, and the notes, or one deposit."""

_encode = msgspec.msgpack.Encoder().encode
_said = msgspec.msgpack.Decoder(Said)
_balance = msgspec.msgpack.Decoder(int)


class Channel(Protocol):
    """Frames to the other process and back; both calls wait."""

    def send(self, frame: bytes, /) -> None:
        """Send a frame."""
        ...

    def receive(self) -> bytes:
        """Wait for a frame."""
        ...


class ZeroMQ:
    """One socket of kind PAIR."""

    def __init__(self, zmq_socket: zmq.Socket[bytes]) -> None:
        self._socket = zmq_socket

    def send(self, frame: bytes) -> None:
        """See ``Channel``."""
        self._socket.send(frame)

    def receive(self) -> bytes:
        """See ``Channel``."""
        return self._socket.recv()


class Pipe:
    """A stream between two processes, with the length before each frame.  It reads ahead, as anybody would."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream, self._left = stream, b""

    def send(self, frame: bytes) -> None:
        """See ``Channel``."""
        self._stream.sendall(struct.pack(">I", len(frame)) + frame)

    def receive(self) -> bytes:
        """See ``Channel``."""
        left = self._left
        while len(left) < 4 or len(left) < 4 + struct.unpack_from(">I", left)[0]:
            more = self._stream.recv(65_536)
            if not more:
                raise EOFError("the other process has ended")
            left += more
        end = 4 + struct.unpack_from(">I", left)[0]
        self._left = left[end:]
        return left[4:end]


@contextmanager
def channel(kind: str, place: str, *, listening: bool) -> Generator[Channel]:
    """Open one end."""
    if kind == "pipe":
        with socket.socket(socket.AF_UNIX) as stream:
            if not listening:
                stream.connect(place)
                yield Pipe(stream)
                return
            stream.bind(place)
            stream.listen()
            accepted, _ = stream.accept()
            with accepted:
                yield Pipe(accepted)
        return
    with zmq.Context() as context, context.socket(zmq.PAIR) as pair:
        (pair.bind if listening else pair.connect)(f"ipc://{place}")
        yield ZeroMQ(pair)


def serve(kind: str, place: str) -> None:
    """Be the bank, until this process is ended."""
    with channel(kind, place, listening=False) as other:
        balance = 0
        while True:
            what, notes = _said.decode(other.receive())
            for amount, _ in notes:
                balance += amount
            if what == DEPOSIT:
                other.send(_encode(balance))


@contextmanager
def _bank(kind: str) -> Generator[Channel]:
    with tempfile.TemporaryDirectory() as folder:
        place = str(Path(folder, "place"))
        # A stream can only be dialled when the other process listens, so that one starts when this one listens.
        start = f"import time, os\nwhile not os.path.exists({place!r}): time.sleep(0.01)\n"
        start += f"from benchmarks.peers.zeromq import serve\nserve({kind!r}, {place!r})"
        process = subprocess.Popen([sys.executable, "-c", start], stderr=subprocess.DEVNULL)
        try:
            with channel(kind, place, listening=True) as other:
                for _ in range(500):
                    _ask(other)
                yield other
        finally:
            process.kill()
            process.wait()


def _ask(other: Channel, amount: int = 0) -> int:
    other.send(_encode((DEPOSIT, [(amount, "")])))
    return _balance.decode(other.receive())


def tell(kind: str, count: int) -> Figures:
    """W5, the notes packed by hand."""
    with _bank(kind) as other:
        started = time.perf_counter()
        for first in range(0, count, BATCH):
            notes = [(amount, "ada") for amount in range(first, min(count, first + BATCH))]
            other.send(_encode((NOTES, notes)))
        balance = _ask(other)
        rate = count / (time.perf_counter() - started)
        assert balance == count * (count - 1) // 2, "every note was added, once"
        return {"value": rate}


def ask(kind: str, count: int) -> Figures:
    """W6, blocking on both sides."""
    with _bank(kind) as other:
        times_us: list[float] = []
        for _ in range(count):
            before = time.perf_counter_ns()
            _ask(other, 1)
            times_us.append((time.perf_counter_ns() - before) / 1000)
        assert _ask(other) == count, "every deposit was made, once"
        return {"value": percentile(times_us, 0.5), "p99_us": percentile(times_us, 0.99)}


def ask_many(kind: str, count: int) -> Figures:
    """W6b, one frame each."""
    with _bank(kind) as other:
        balance = 0
        started = time.perf_counter()
        for _ in range(count // IN_FLIGHT):
            for _ in range(IN_FLIGHT):
                other.send(_encode((DEPOSIT, [(1, "")])))
            for _ in range(IN_FLIGHT):
                balance = _balance.decode(other.receive())
        rate = count / (time.perf_counter() - started)
        assert balance == count // IN_FLIGHT * IN_FLIGHT, "every deposit was made, once"
        return {"value": rate}


def _workloads(kind: str) -> Workloads:
    def work(function: Callable[[str, int], Figures]) -> Callable[[int], Figures]:
        return partial(function, kind)

    return {"node_tell": work(tell), "node_ask": work(ask), "node_ask_many": work(ask_many)}


ZEROMQ = _workloads("zeromq")
PIPE = _workloads("pipe")
