"""The messages between a node and its worker process, over the pipe between them (PURE).

Each message is its length in four bytes, big-endian, and that many bytes of msgpack.  The end of the pipe means that
the other process has ended.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from ..kernel.errors import WireError
from ..kernel.untrusted import decode_untrusted
from ..node.executors import Threads
from ..session.budget import PeerLimits
from ..session.bulk_chunks import BulkSettings
from .settings import WorkerLimits

MESSAGE_BYTES_MAX = 1_048_576
"""The most bytes of one message; a longer one is an error, and its sender is killed."""


class Program(msgspec.Struct, frozen=True):
    """The part of the parent's program that a worker takes over.

    arguments: ``sys.argv``.  script: the file of the parent's ``__main__``, imported as the module ``script_name``;
        None when ``__main__`` is not a script.  package: for relative imports of the script.
    levels: of the loggers that have a level, by name; the root's name is empty.
    """

    arguments: list[str]
    script: str | None
    script_name: str
    package: str
    levels: dict[str, int]


class Setup(msgspec.Struct, frozen=True, tag=True):
    """To a worker, as the first message: its name, its parent and its settings.

    listen: the endpoints of the worker; the first is for its parent and the other workers of that.
    keys: the folder of keys for tcp; None has none.  insecure: tcp may go without.
    extensions: those of the parent that run on workers, as ``ExtensionManager.for_workers`` describes them.
    preload: modules to import.  limits: what the process may use at most.
    folder: of the sockets; the worker removes it when the parent has ended.
    journal: ``node`` for that of the parent, ``memory`` for one in the worker's memory.
    shipped_bytes_max: the most bytes of code that travels by value; None neither sends nor takes code.
    """

    node: str
    listen: tuple[str, ...]
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
    journal: Literal["node", "memory"]
    bulk: BulkSettings | None
    peer_limits: PeerLimits | None
    shipped_bytes_max: int | None
    keys: str | None
    insecure: bool
    preload: tuple[str, ...]
    limits: WorkerLimits
    extensions: tuple[tuple[str, bytes], ...] = ()
    executors: dict[str, Threads] = {}


class WorkerAddress(msgspec.Struct, frozen=True):
    """Where one generation of a worker listens; the first endpoint is for processes of its parent."""

    node: str
    generation: int
    endpoints: tuple[str, ...]


class ConnectPeers(msgspec.Struct, frozen=True, tag=True):
    """To a worker, once it is connected to its parent: connect to these workers, then send ``Ready``.

    others: where they listen.  limit_s: seconds after which it sends ``Ready`` in any case; one of them may be busy.
        0 only says where they listen: those dial this worker themselves.
    """

    others: tuple[WorkerAddress, ...]
    limit_s: float


class Stop(msgspec.Struct, frozen=True, tag=True):
    """To a worker: stop the actors, send ``Stopped``, and exit in order when the pipe ends.

    remove_folder: the node shuts down, so the worker removes the folder of the sockets before it exits.
    """

    remove_folder: bool = False


class WorkerEnded(msgspec.Struct, frozen=True, tag=True):
    """To a worker: this generation of another worker has ended; end the session with it."""

    node: str
    generation: int
    detail: str


class CheckAlive(msgspec.Struct, frozen=True, tag=True):
    """To a worker: answer with ``Alive``, by the thread that reads the pipe, so also while a handler runs."""


class Alive(msgspec.Struct, frozen=True, tag=True):
    """From a worker: its process runs."""


class Listening(msgspec.Struct, frozen=True, tag=True):
    """From a worker: its node listens at these endpoints, in the order of ``Setup.listen``."""

    endpoints: tuple[str, ...]


class Ready(msgspec.Struct, frozen=True, tag=True):
    """From a worker: it is connected, and takes actors."""


class Stopped(msgspec.Struct, frozen=True, tag=True):
    """From a worker: its node has shut down."""


class FatalError(msgspec.Struct, frozen=True, tag=True):
    """From a worker: the error by which it is about to exit."""

    text: str


class ForwardedRecord(msgspec.Struct, frozen=True, tag=True):
    """From a worker: a record that was logged there.  omitted: how many records before it could not be sent."""

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


ToWorker: TypeAlias = Setup | ConnectPeers | Stop | WorkerEnded | CheckAlive
FromWorker: TypeAlias = Listening | Ready | Alive | Stopped | FatalError | ForwardedRecord

_encode = msgspec.msgpack.Encoder().encode


def pack(message: ToWorker | FromWorker) -> bytes:
    """Return the bytes of a message; raises ``WireError`` when it is too long."""
    body = _encode(message)
    if len(body) > MESSAGE_BYTES_MAX:
        raise WireError(
            f"a {type(message).__qualname__} of {len(body)} bytes is too long: the limit is {MESSAGE_BYTES_MAX}"
        )
    return len(body).to_bytes(4, "big") + body


class Unpacker:
    """Splits the bytes that are read from the pipe into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the bodies of the messages that are complete; raises ``WireError`` for one that is too long."""
        self._buffer += data
        found: list[bytes] = []
        while len(self._buffer) >= 4:
            size = int.from_bytes(self._buffer[:4], "big")
            if size > MESSAGE_BYTES_MAX:
                raise WireError(f"a message of {size} bytes is too long: the limit is {MESSAGE_BYTES_MAX}")
            if len(self._buffer) < 4 + size:
                break
            found.append(bytes(self._buffer[4 : 4 + size]))
            del self._buffer[: 4 + size]
        return found


_to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
_from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)


def read_to_worker(body: bytes) -> ToWorker:
    """Decode a message of the parent; raises ``WireError``."""
    return decode_untrusted(_to_worker.decode, body, "a message of the parent")


def read_from_worker(body: bytes) -> FromWorker:
    """Decode a message of a worker; raises ``WireError``."""
    return decode_untrusted(_from_worker.decode, body, "a message of a worker")
