"""What bytes from outside are fed to: a node with two peers, one of which is impersonated by the maker of the bytes.

The bytes are a row of records: a byte of flags, two of length, and a frame, or with ``BUILT`` the fields of one.  They
reach the frame decoder, the handshake, the sessions and the codec.  Whatever they are, nothing may be raised, every
table stays within its limit, and the peer that has nothing to do with it goes on.
"""

from __future__ import annotations

from random import Random

from trouper import ActorRef, WireError
from trouper.runtime.net.control import CONTROLS
from trouper.runtime.session import frames
from trouper.runtime.session.codec import TAGS_FROM, RefDefinition, SessionCodec
from trouper.runtime.session.effects import Deliver, Effect, FrameRejected, Refuse, SessionDown, SessionUp, Transmit
from trouper.runtime.session.frames import FrameError
from trouper.runtime.session.handshake import LocalNode
from trouper.runtime.session.session import Session
from trouper.runtime.session.sessions import SessionManager
from trouper.runtime.session.settings import SessionSettings
from trouper.runtime.session.transport import Buffer, Source

OURS, BUILT, SPLIT, KEYED, LATER, OPENED = 1, 2, 4, 8, 16, 32
"""Flags of a record: with the session's token; from fields; in two buffers; from somebody with a key; time passes
after it; its body goes to the codec too."""
SETTINGS = SessionSettings(
    frame_bytes_max=2_000, window_bytes=8_000, window_frames=50, ack_bytes=1_500, ack_frames=8, peers_max=6
)
RECORDS_MAX = 200


class Scene:
    """The node ``a``, linked with ``b`` and ``c``; ``play`` lets bytes come in."""

    def __init__(self) -> None:
        rng = Random(1)
        self.now = 100.0
        self.boards = {
            name: SessionManager(
                LocalNode(name, 7, f"test://{name}"),
                SETTINGS,
                token=lambda: rng.getrandbits(64),
                chance=rng.random,
            )
            for name in "abc"
        }
        self.up: dict[tuple[str, str], Session] = {}
        self.delivered: list[bytes] = []
        self.tables = SessionCodec(_describe, _ref_of, tuple(CONTROLS))
        self._queue: list[tuple[str, tuple[Buffer, ...], Source]] = []
        for name in "bc":
            self._carry_out("a", self.boards["a"].connect(f"test://{name}", self.now))
            self._run()
        self.token = self.up["a", "b"].token

    def play(self, data: bytes) -> None:
        """Let each record of the bytes come in, and look after the node."""
        at = 0
        for _ in range(RECORDS_MAX):
            if len(data) < at + 3:
                break
            flags, size = data[at], int.from_bytes(data[at + 1 : at + 3], "big")
            self._feed(flags, data[at + 3 : at + 3 + size])
            at += 3 + size
        self._check()

    def _feed(self, flags: int, piece: bytes) -> None:
        frame = _built(piece) if flags & BUILT else piece
        if flags & OURS and len(frame) >= frames.HEADER_BYTES:
            frame = frame[:12] + self.token.to_bytes(8, "big") + frame[20:]
        middle = len(frame) // 2 if not flags & BUILT else frames.HEADER_BYTES
        buffers = [frame[:middle], frame[middle:]] if flags & SPLIT else [frame]
        if flags & OPENED:
            self._open(frame[frames.HEADER_BYTES :])
        source = Source("outside", "a-key" if flags & KEYED else None)
        self._carry_out("a", self.boards["a"].receive(buffers, source, self.now))
        self._run()
        if flags & LATER:
            self._later(0.3)

    def _open(self, body: bytes) -> None:
        """Take the body apart, and read each payload, as a peer does."""
        try:
            for _, _, number, payload in self.tables.open(body).items:
                if number < TAGS_FROM:
                    self.tables.read_as(object, payload, "a reply")
                else:
                    self.tables.read(number, payload)
        except WireError:
            pass

    def _later(self, seconds: float) -> None:
        self.now += seconds
        for name, manager in self.boards.items():
            self._carry_out(name, manager.tick(self.now))
        self._run()

    def _check(self) -> None:
        """Nothing has grown, and the other peer is heard."""
        manager = self.boards["a"]
        assert len(vars(manager)["_sessions"]) <= 4 * SETTINGS.peers_max
        assert len(vars(manager)["_alarms"]) <= 40 * RECORDS_MAX
        session = self.up["c", "a"]
        self._carry_out("c", self.boards["c"].send(session, (b"still here",), frames.NORMAL, self.now) or [])
        self._run()
        assert self.delivered[-1] == b"still here"

    def _carry_out(self, name: str, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Transmit(endpoint, parts, _) | Refuse(endpoint, parts):
                    self._queue.append((endpoint, parts, Source(name)))
                case SessionUp(session, greeting):
                    self.up[name, greeting.node] = session
                case Deliver(_, _, parts) if name == "a":
                    self.delivered.append(b"".join(parts))
                case FrameRejected() if name == "c":
                    raise AssertionError(f"a sent {name} a frame that is none: {effect.problem}")
                case SessionDown(session, _, _, _):
                    assert session is not self.up.get(("c", "a")), "the other peer lost its link"
                case _:
                    pass

    def _run(self) -> None:
        """Bring every frame to its node; what goes anywhere else is lost."""
        for _ in range(2_000):
            if not self._queue:
                return
            endpoint, parts, source = self._queue.pop(0)
            name = endpoint.removeprefix("test://")
            if name in self.boards:
                self._carry_out(name, self.boards[name].receive(parts, source, self.now))
        raise AssertionError("frames answer each other without end")


def _built(piece: bytes) -> bytes:
    """A whole frame of the fields that the bytes say: kind, stream, three numbers, and the body."""
    kind, stream, sequence, acknowledged, credit = piece[:5].ljust(5, b"\0")
    body = piece[5:]
    parts = (body,) if body else ()
    built = frames.build(kind % 16, 0, sequence, acknowledged, credit << 8, parts, stream % 3)
    return b"".join(built)


def _describe(ref: ActorRef) -> tuple[str, int, str, int]:
    raise AssertionError("nothing is sent here")


def _ref_of(definition: RefDefinition) -> ActorRef:
    return ActorRef.__new__(ActorRef)


def parse_alone(data: bytes) -> None:
    """The frame decoder and the readers of bodies, for any bytes at all."""
    try:
        frame = frames.parse([data], 2_000)
        if frame.kind in (frames.HELLO, frames.WELCOME):
            frames.read_greeting(frame)
        elif frame.kind == frames.REFUSE:
            frames.read_refusal(frame)
        elif frame.kind in (frames.IDLE, frames.AGREE, frames.STAY):
            frames.read_number(frame)
    except FrameError:
        pass
