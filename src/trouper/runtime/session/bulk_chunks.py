"""Large buffers out of band: settings, chunks, and putting chunks together again (PURE).

A buffer that leaves the payload of its message has a number, which its sender chooses and uses once in its direction of
a session.  It is sent in chunks, each the body of one DATA frame in the bulk stream: a head (number, bytes of the whole
buffer, offset) and a part of the buffer.  Frames arrive in order and once, so the chunks of a buffer do too; those of
several buffers may alternate.  The body whose message names a buffer comes after its last chunk.

Laws of this file:
1. ``Assembly`` takes chunks that follow each other without a gap, and refuses all others by ``WireError``.
2. It holds what its account has room for (``budget``), whatever comes in, and no memory is touched before bytes for it
   are there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

from ..kernel.errors import InvalidOption, WireError
from .budget import Account
from .transport import Buffer

_HEAD: Final = Struct(">QQQ")
HEAD_BYTES: Final = _HEAD.size
REFUSED_MAX: Final = 1_024
"""Numbers of buffers that are remembered as refused."""
Chunk = tuple[bytes, memoryview]


@dataclass(frozen=True, slots=True)
class BulkSettings:
    """The limits for large buffers in messages to and from other nodes.

    bulk_bytes_min: a buffer of so many bytes or more leaves the payload and is sent out of band.
    bulk_bytes_max: bytes of all large buffers of one message together; more is refused at the sender.
    buffers_max: large buffers of one message.
    queue_bytes_max: bytes that wait to be sent to one peer before more messages with large buffers are refused.
    share_bytes_min: a buffer of so many bytes or more goes by shared memory to a process of the same user and host.
    shared_bytes_max: bytes of shared memory of this node, 0 for none; what does not fit goes over the session.
    """

    bulk_bytes_min: int = 65_536
    bulk_bytes_max: int = 1_073_741_824
    buffers_max: int = 256
    queue_bytes_max: int = 2_147_483_648
    share_bytes_min: int = 1_048_576
    shared_bytes_max: int = 1_073_741_824

    def __post_init__(self) -> None:
        if min(self.bulk_bytes_min, self.buffers_max, self.share_bytes_min) < 1 or self.shared_bytes_max < 0:
            raise InvalidOption(f"{self}: every limit must be 1 or more, and shared_bytes_max 0 or more")
        if not self.bulk_bytes_min <= self.bulk_bytes_max <= self.queue_bytes_max:
            raise InvalidOption(f"{self}: expected bulk_bytes_min <= bulk_bytes_max <= queue_bytes_max")


def chunk_of(number: int, buffer: memoryview, offset: int, body_bytes_max: int) -> Chunk:
    """Cut a buffer from ``offset`` on into the body of a frame of ``body_bytes_max`` or less, without a copy."""
    return _HEAD.pack(number, len(buffer), offset), buffer[offset : offset + body_bytes_max - HEAD_BYTES]


class _Growing:
    """A buffer of which some chunks have come."""

    __slots__ = ("filled", "memory", "total")

    def __init__(self, memory: memoryview) -> None:
        self.memory, self.total, self.filled = memory, len(memory), 0


class Assembly:
    """Buffers of one peer: the incomplete ones, and the complete ones that no message has taken.

    allocate: returns writable memory of so many bytes, which costs nothing before it is touched.
    account: of the peer's identity.  A buffer costs it ``bulk_bytes_min`` at least, for small ones cost memory too.
    allocated_bytes: what both together cost.
    """

    def __init__(self, settings: BulkSettings, allocate: Callable[[int], memoryview], account: Account) -> None:
        self._settings, self._allocate, self.account = settings, allocate, account
        self._growing: dict[int, _Growing] = {}
        self._complete: dict[int, memoryview] = {}
        self._refused: set[int] = set()
        self.allocated_bytes = 0

    def take_chunk(self, parts: Sequence[Buffer]) -> None:
        """Take the body of a frame in the bulk stream.

        Raises ``WireError`` for no chunk, and for a buffer above ``bulk_bytes_max``; ``PeerOverLimit`` when the account
        has no room for the buffer.
        """
        if len(parts) != 2 or len(parts[0]) != HEAD_BYTES or not len(parts[1]):
            raise WireError(f"a body in the bulk stream has a head of {HEAD_BYTES} bytes and a part of a buffer")
        number, total, offset = _HEAD.unpack(parts[0])
        part = memoryview(parts[1])
        if number in self._refused:
            return
        growing = self._growing.get(number)
        filled = 0 if growing is None else growing.filled
        if offset != filled or offset + len(part) > total or (growing is not None and growing.total != total):
            raise WireError(f"{len(part)} bytes at {offset} of buffer {number} of {total} came, expected are {filled}")
        if growing is None:
            self._admit(number, total)
            if len(part) == total:
                self._complete[number] = part.toreadonly()
                return
            growing = self._growing[number] = _Growing(self._allocate(total))
        growing.memory[offset : offset + len(part)] = part
        growing.filled += len(part)
        if growing.filled == total:
            self._complete[number] = self._growing.pop(number).memory.toreadonly()

    def put(self, number: int, buffer: memoryview) -> None:
        """Take a buffer that came as a whole, by shared memory; raises as ``take_chunk`` does."""
        self._admit(number, len(buffer))
        self._complete[number] = buffer.toreadonly()

    def _admit(self, number: int, total: int) -> None:
        """Count a buffer, or refuse it above a limit; later chunks of a refused buffer are ignored."""
        if len(self._refused) >= REFUSED_MAX:
            self._refused.clear()
        self._refused.add(number)
        most = self._settings.bulk_bytes_max
        if number in self._complete or number in self._growing:
            raise WireError(f"buffer {number} came twice")
        if total > most:
            raise WireError(f"buffer {number} has {total} bytes, bulk_bytes_max={most}")
        self.account.take("assembly_bytes", self._cost(total))
        self._refused.discard(number)
        self.allocated_bytes += self._cost(total)

    def _cost(self, total: int) -> int:
        return max(total, self._settings.bulk_bytes_min)

    def _release(self, cost_bytes: int) -> None:
        self.allocated_bytes -= cost_bytes
        self.account.give_back("assembly_bytes", cost_bytes)

    def take(self, numbers: Sequence[int]) -> dict[int, memoryview]:
        """Return the complete buffers among these by number, and forget all of them."""
        taken: dict[int, memoryview] = {}
        for number in numbers:
            self._refused.discard(number)
            growing = self._growing.pop(number, None)
            buffer = self._complete.pop(number, None)
            if growing is not None:
                self._release(self._cost(growing.total))
            elif buffer is not None:
                self._release(self._cost(len(buffer)))
                taken[number] = buffer
        return taken

    def clear(self) -> None:
        """Forget everything."""
        self._growing.clear()
        self._complete.clear()
        self._release(self.allocated_bytes)
