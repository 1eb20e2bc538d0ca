"""What a node and its worker process say to each other over the pipe between them (PURE).

Each message is four bytes of length, big-endian, and so many bytes of msgpack.  The end of the pipe has a meaning too:
the other process is gone.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from ..kernel.errors import WireError
from ..session.bulk_chunks import BulkSettings

MESSAGE_BYTES_MAX = 1_048_576
"""Of one message; a longer one breaks the pipe."""


class Program(msgspec.Struct, frozen=True):
    """What of the parent's program a worker takes over.

    script: the file of the parent's ``__main__``, imported as the module ``script_name``; None when that is no script.
    package: what relative imports of the script are relative to.
    levels: of the loggers that have one, by name; the root's is under the empty name.
    """

    arguments: list[str]
    script: str | None
    script_name: str
    package: str
    levels: dict[str, int]


class Setup(msgspec.Struct, frozen=True, tag=True):
    """To a worker, first of all: who it is and whom it links to.

    folder: of the sockets; removed by the worker when the parent is gone.  shipped_bytes_max: of code; None ships none.
    """

    node: str
    endpoint: str
    parent: str
    parent_pid: int
    parent_endpoint: str
    folder: str
    program: Program
    ask_timeout_s: float
    shutdown_s: float
    threads: int
    slow_handler_s: float | None
    strict_wire: bool
    bulk: BulkSettings | None
    shipped_bytes_max: int | None


class ConnectPeers(msgspec.Struct, frozen=True, tag=True):
    """To a worker, once it is linked to its parent: link to these workers too, and say ``Ready``.

    others: endpoints by name.  limit_s: seconds after which it says so all the same; one of them may be busy.
    """

    others: dict[str, str]
    limit_s: float


class Stop(msgspec.Struct, frozen=True, tag=True):
    """To a worker: stop your actors, say ``Stopped``, and end in order when the pipe does.

    tidy: the node goes down, so the folder of the sockets can be removed; whoever is killed from now on, it will be.
    """

    remove_folder: bool = False


class WorkerEnded(msgspec.Struct, frozen=True, tag=True):
    """To a worker: this life of another worker has ended, do not wait for it."""

    node: str
    generation: int
    detail: str


class Ready(msgspec.Struct, frozen=True, tag=True):
    """From a worker: it is linked, and takes actors."""


class Stopped(msgspec.Struct, frozen=True, tag=True):
    """From a worker: it is no node any more."""


class FatalError(msgspec.Struct, frozen=True, tag=True):
    """From a worker: why it is about to end."""

    text: str


class ForwardedRecord(msgspec.Struct, frozen=True, tag=True):
    """From a worker: something was logged.  left_out: how many records before it could not be sent."""

    logger: str
    level: int
    text: str
    trace: str | None
    created: float
    path: str
    line: int
    function: str
    thread: str
    omitted: int = 0


ToWorker: TypeAlias = Setup | ConnectPeers | Stop | WorkerEnded
FromWorker: TypeAlias = Ready | Stopped | FatalError | ForwardedRecord

_encode = msgspec.msgpack.Encoder().encode


def pack(message: ToWorker | FromWorker) -> bytes:
    """Return a message as it goes through the pipe; raises ``WireError`` when it is too long."""
    body = _encode(message)
    if len(body) > MESSAGE_BYTES_MAX:
        raise WireError(f"a {type(message).__qualname__} of {len(body)} bytes: {MESSAGE_BYTES_MAX} are the most")
    return len(body).to_bytes(4, "big") + body


class Unpacker:
    """Cuts what comes out of the pipe into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that are complete; raises ``WireError`` for one that is too long."""
        self._buffer += data
        found: list[bytes] = []
        while len(self._buffer) >= 4:
            size = int.from_bytes(self._buffer[:4], "big")
            if size > MESSAGE_BYTES_MAX:
                raise WireError(f"a message of {size} bytes is announced: {MESSAGE_BYTES_MAX} are the most")
            if len(self._buffer) < 4 + size:
                break
            found.append(bytes(self._buffer[4 : 4 + size]))
            del self._buffer[: 4 + size]
        return found


_to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
_from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)


def read_to_worker(body: bytes) -> ToWorker:
    """Read what a parent has sent; raises ``msgspec.DecodeError``."""
    return _to_worker.decode(body)


def read_from_worker(body: bytes) -> FromWorker:
    """Read what a worker has sent; raises ``msgspec.DecodeError``."""
    return _from_worker.decode(body)
