"""Frames: what is sent over a wire, byte for byte (PURE).

A frame is a header of ``HEADER_BYTES`` and 0 or more body parts.  The first buffer holds the header and behind it the
first body part when that is small (``JOIN_BYTES_MAX``); every other part is one buffer.  The header holds only what two
nodes need to keep order, to acknowledge and to limit each other; the body of a DATA frame is opaque here.  The bodies
of HELLO, WELCOME and REFUSE are msgpack maps whose unknown keys are ignored, so that a later version can say more;
those of IDLE, AGREE and STAY are a msgpack array of one integer.

Laws of this file:
1. ``parse`` and ``read_*`` raise ``FrameError`` for anything that is not a frame, and nothing else.
2. Nothing is allocated by a length that a frame only claims.
3. The header of version 1, and the bodies of HELLO and REFUSE, are understood by every later version: two nodes
   without a version in common can still tell each other so.

``docs/reference/wire.md`` is the specification, ``tests/data/wire`` has the vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from struct import Struct
from typing import Annotated, Final, TypeVar

import msgspec

from ..kernel.address import NAME_CHARS_MAX, checked_name
from ..kernel.errors import ActorError, InvalidName
from ..kernel.untrusted import decode_untrusted
from .endpoints import ENDPOINT_CHARS_MAX, endpoint_problem
from .transport import Buffer

MAGIC: Final = b"TR"
HEADER_VERSION: Final = 1
PROTOCOL_MIN: Final = 2
PROTOCOL_MAX: Final = 2
"""The lowest and the highest version of the protocol that this code speaks; a HELLO carries both."""

HELLO: Final = 1
WELCOME: Final = 2
REFUSE: Final = 3
DATA: Final = 4
ACK: Final = 5
PING: Final = 6
PONG: Final = 7
BYE: Final = 8
IDLE: Final = 9
AGREE: Final = 10
STAY: Final = 11
DATAGRAM: Final = 12
KIND_NAMES: Final = (
    "", "HELLO", "WELCOME", "REFUSE", "DATA", "ACK", "PING", "PONG", "BYE", "IDLE", "AGREE", "STAY",
    "DATAGRAM",
)  # fmt: skip

CONTROL: Final = 0
NORMAL: Final = 1
BULK: Final = 2
STREAM_NAMES: Final = ("control", "normal", "bulk")

_HEADER: Final = Struct(">2sBBBBHIQQQQ")
HEADER_BYTES: Final = _HEADER.size
JOIN_BYTES_MAX: Final = 65_536
"""A first body part up to this size is copied behind the header: one buffer costs a transport less than two."""

FRAME_BYTES_LEAST: Final = 512
"""The lowest limit for frames that a node may set."""
REFUSAL_CHARS_MAX: Final = 1_000

_BODIES: Final = frozenset({HELLO, WELCOME, REFUSE, DATA, IDLE, AGREE, STAY, DATAGRAM})
_unpack = _HEADER.unpack_from
_pack = _HEADER.pack

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARS_MAX)]
_Endpoint = Annotated[str, msgspec.Meta(min_length=1, max_length=ENDPOINT_CHARS_MAX)]
_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
_Number = Annotated[int, msgspec.Meta(ge=0)]  # msgpack has no integer above 64 bits


class FrameError(ActorError):
    """Bytes that a peer sent are no frame, or break the protocol; ``offset`` is the byte of the frame where they do."""

    def __init__(self, problem: str, offset: int) -> None:
        super().__init__(f"{problem} (at byte {offset} of the frame)")
        self.problem, self.offset = problem, offset


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One frame, taken apart.

    session: the token that the *receiver* gave to the session, so that one look-up finds the session, and a frame of a
        session that is over finds none; 0 when the sender does not know the token yet.
    sequence: of DATA, its own number in its session and direction, from 1; of other kinds, the number of the last DATA
        frame that was sent before, which shows the receiver what it lacks.
    acknowledged: every DATA frame up to this number was received, in order.
    credit: how many bytes of DATA bodies outside the control stream, counted from the start of the session, the
        sender of this frame is ready to have received.
    """

    kind: int
    stream: int
    session: int
    sequence: int
    acknowledged: int
    credit: int
    parts: tuple[Buffer, ...] = ()


class Greeting(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of HELLO and WELCOME: who sends it, and what it can do.

    node, generation: the name of a node, and 64 random bits that tell this run of it from all others.
    endpoint: where it listens.
    token: what it wants to see as ``session`` in the frames to it.
    frame_bytes_max: the largest frame that it takes.
    protocol_min, protocol_max: the versions that it speaks.
    attempt: counts its HELLOs for this session; 0 in a WELCOME, which wants no answer.
    echo: the ``attempt`` of the HELLO that this one answers; 0 when it answers none.
    tentative: its sender has another session with a node of the receiver's name, which goes on unless this greeting is
        answered; so the receiver must not take it for the sender's only session.
    """

    node: _Name
    generation: _Number
    endpoint: _Endpoint
    token: _Number
    frame_bytes_max: Annotated[int, msgspec.Meta(ge=FRAME_BYTES_LEAST, lt=2**31)]
    protocol_min: _Count = 1
    protocol_max: _Count = 1
    attempt: _Count = 0
    echo: _Count = 0
    tentative: bool = False


class SessionRefusal(msgspec.Struct, frozen=True):
    """The body of REFUSE.

    node: the node that refuses.  code: ``protocol``, ``itself``, ``name_taken``, ``over``, ``full``,
        ``closing``, ``connected`` (the node has a session already) or ``not_admitted``.
    text: one sentence for people.
    """

    node: _Name
    code: Annotated[str, msgspec.Meta(max_length=100)]
    text: Annotated[str, msgspec.Meta(max_length=REFUSAL_CHARS_MAX)]


def byte_count(parts: Sequence[Buffer]) -> int:
    """Return the bytes of all buffers together."""
    return len(parts[0]) if len(parts) == 1 else sum(map(len, parts))


def build(
    kind: int,
    session: int,
    sequence: int,
    acknowledged: int,
    credit: int,
    parts: Sequence[Buffer] = (),
    stream: int = CONTROL,
    body_bytes: int | None = None,
) -> tuple[Buffer, ...]:
    """Return the buffers of a frame.

    session, sequence, acknowledged, credit, parts, stream: as in ``Frame``.
    body_bytes: of all parts together; None counts them.
    """
    count = byte_count(parts) if body_bytes is None else body_bytes
    header = _pack(MAGIC, HEADER_VERSION, kind, stream, 0, len(parts), count, session, sequence, acknowledged, credit)
    if not parts:
        return (header,)
    first = parts[0]
    if len(first) > JOIN_BYTES_MAX:
        return (header, *parts)
    joined = b"".join((header, first))
    return (joined,) if len(parts) == 1 else (joined, *parts[1:])


def parse(parts: Sequence[Buffer], frame_bytes_max: int) -> Frame:
    """Take a frame apart without copying any byte of its body.

    parts: the buffers that a transport received.  frame_bytes_max: the limit for all of them together.
    Raises ``FrameError``.
    """
    total = byte_count(parts)
    if not HEADER_BYTES <= total <= frame_bytes_max or len(parts[0]) < HEADER_BYTES:
        raise _bad_size(parts, total, frame_bytes_max)
    first = parts[0]
    magic, version, kind, stream, flags, count, body_bytes, session, sequence, acknowledged, credit = _unpack(first)
    if magic != MAGIC or version != HEADER_VERSION or not 1 <= kind <= DATAGRAM or stream > BULK or flags:
        raise _bad_header(bytes(first[:HEADER_BYTES]))
    if body_bytes != total - HEADER_BYTES:
        raise FrameError(f"{total - HEADER_BYTES} bytes of body came, the header says {body_bytes}", 8)
    if count == len(parts):
        rest = memoryview(first)[HEADER_BYTES:]
        body: tuple[Buffer, ...] = (rest,) if count == 1 else (rest, *parts[1:])
    elif count == len(parts) - 1 and len(first) == HEADER_BYTES:
        body = tuple(parts[1:])
    else:
        raise FrameError(f"{len(parts)} buffers came, the first of {len(first)} bytes, for {count} body parts", 6)
    if body_bytes == 0 if kind in _BODIES else count:
        raise FrameError(f"{KIND_NAMES[kind]} with a body of {body_bytes} bytes in {count} parts", 6)
    return Frame(kind, stream, session, sequence, acknowledged, credit, body)


def read_greeting(frame: Frame) -> Greeting:
    """Read the body of a HELLO or WELCOME; raises ``FrameError``."""
    greeting = _read(frame, _greeting_decoder)
    try:
        checked_name(greeting.node)
    except InvalidName as error:
        problem = f"the {KIND_NAMES[frame.kind]} comes from a node of no valid name: {error}"
        raise FrameError(problem, HEADER_BYTES) from error
    if not greeting.token:
        raise FrameError(f"the {KIND_NAMES[frame.kind]} of {greeting.node} has the token 0", HEADER_BYTES)
    if problem := endpoint_problem(greeting.endpoint):
        raise FrameError(f"the {KIND_NAMES[frame.kind]} of {greeting.node} tells {problem}", HEADER_BYTES)
    return greeting


def read_refusal(frame: Frame) -> SessionRefusal:
    """Read the body of a REFUSE; raises ``FrameError``."""
    return _read(frame, _refusal_decoder)


def read_number(frame: Frame) -> int:
    """Read the body of an IDLE, AGREE or STAY: the number of the question; raises ``FrameError``."""
    number: int
    (number,) = _read(frame, _number_decoder)
    return number


encode_body = msgspec.msgpack.Encoder().encode
"""Encodes a ``Greeting``, a ``SessionRefusal`` or an array of a number for ``build``."""

_greeting_decoder = msgspec.msgpack.Decoder(Greeting)
_refusal_decoder = msgspec.msgpack.Decoder(SessionRefusal)
_number_decoder = msgspec.msgpack.Decoder(Annotated[list[_Number], msgspec.Meta(min_length=1, max_length=1)])

T = TypeVar("T")


def _read(frame: Frame, decoder: msgspec.msgpack.Decoder[T]) -> T:
    if len(frame.parts) != 1:
        raise FrameError(f"a {KIND_NAMES[frame.kind]} frame has 1 body part, not {len(frame.parts)}", 6)
    what = f"the body of a {KIND_NAMES[frame.kind]} frame"
    return decode_untrusted(decoder.decode, frame.parts[0], what, partial(FrameError, offset=HEADER_BYTES))


def _bad_size(parts: Sequence[Buffer], total: int, frame_bytes_max: int) -> FrameError:
    if total > frame_bytes_max:
        return FrameError(f"a frame of {total} bytes, at most {frame_bytes_max} are allowed", frame_bytes_max)
    first_bytes = len(parts[0]) if parts else 0
    return FrameError(f"the header has {HEADER_BYTES} bytes, the first buffer {first_bytes}", first_bytes)


def _bad_header(header: bytes) -> FrameError:
    _, version, kind, stream, flags, *_ = _unpack(header)
    if header[:2] != MAGIC:
        return FrameError(f"a frame begins with {MAGIC!r}, not with {header[:2]!r}", 0)
    if version != HEADER_VERSION:
        return FrameError(f"a header of version {version}, known is {HEADER_VERSION}", 2)
    if not 1 <= kind <= DATAGRAM:
        return FrameError(f"there is no kind {kind} of frame", 3)
    if stream > BULK:
        return FrameError(f"there is no stream {stream}", 4)
    return FrameError(f"the flags are {flags:#04x}, none is known", 5)
