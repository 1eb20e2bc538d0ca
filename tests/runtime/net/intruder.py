"""An admitted peer that sends what a test wants, whatever a node of ours would send in its place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from itertools import count
from random import Random

import msgspec

from tests.runtime.stage import play
from trouper import Message, Node, PeerLimits
from trouper.runtime.kernel.address import NodeId
from trouper.runtime.kernel.message import tag_of
from trouper.runtime.net.control import CONTROLS
from trouper.runtime.session import frames
from trouper.runtime.session.codec import TAGS_FROM
from trouper.runtime.session.effects import Deliver, Effect, Refuse, SessionDown, SessionUp, Transmit
from trouper.runtime.session.frames import NORMAL
from trouper.runtime.session.handshake import LocalNode
from trouper.runtime.session.identity import SAME_PROCESS, Identity
from trouper.runtime.session.schemas import fingerprint
from trouper.runtime.session.session import Session
from trouper.runtime.session.sessions import SessionManager
from trouper.runtime.session.transport import Buffer, Source, Wire
from trouper.testing import settle
from trouper.transports.inprocess import InProcessTransport

_encode = msgspec.msgpack.Encoder().encode
_NUMBERS = {type_: number for number, type_ in enumerate(CONTROLS, TAGS_FROM)}


class Intruder:
    """A peer of ``node`` under a name of its own.

    key: the identity that the transport of the node has authenticated it by; ``with_keys`` says what each may do.
    poses_as: the name and generation that it greets with; None for ``name``, with a generation of its own.
    acknowledges: False for one that takes nothing: it acknowledges no body, and says that it is alive all the same.
    """

    def __init__(
        self,
        node: Node,
        name: str = "eve",
        *,
        key: str = SAME_PROCESS,
        acknowledges: bool = True,
        poses_as: NodeId | None = None,
    ) -> None:
        self.node, self.name, self.source = node, name, Source("", key)
        self.endpoint, self._acknowledges = f"inprocess://{name}", acknowledges
        self._loop = asyncio.get_running_loop()
        self._transport = InProcessTransport(self)
        rng = Random(name)
        self.node_id = poses_as or NodeId(name, rng.getrandbits(63))
        local = LocalNode(self.node_id.name, self.node_id.generation, self.endpoint)
        self.manager = SessionManager(local, token=lambda: rng.getrandbits(64), chance=rng.random)
        self.session: Session | None = None
        self.bodies: list[bytes] = []
        """The bodies that came in."""
        self._correlations, self._tags, self._sent = count(1), count(TAGS_FROM + len(CONTROLS)), 0

    async def connect(self) -> None:
        """Begin a session with the node."""
        await self.dial()
        assert self.session is not None, "the node takes the peer"

    async def dial(self, seconds: float = 0.0) -> None:
        """Ask for a session, again and again for so many seconds."""
        await self._transport.listen(self.endpoint)
        self._carry_out(self.manager.connect(self.node.network.endpoint, self._loop.time()))
        await settle()
        until = self._loop.time() + seconds
        while self._loop.time() < until:
            await asyncio.sleep(0.05)
            self._carry_out(self.manager.tick(self._loop.time()))

    async def close(self) -> None:
        """Leave, and listen no more."""
        self._acknowledges = True
        self._carry_out(self.manager.close(self._loop.time()))
        await settle()
        await self._transport.close()

    # --- what it sends -----------------------------------------------------------------------------------------------

    def frame(self, kind: int, *parts: bytes, stream: int = NORMAL) -> None:
        """Send a frame: with the next number if it is of DATA, and with all credit that there is."""
        assert self.session is not None, "it is connected"
        state = self.session.sequencer
        if kind == frames.DATA:
            state.last += 1
            state.transmitted = state.acknowledged = state.last
        received = state.received if self._acknowledges else 0
        self._give(frames.build(kind, state.peer_token, state.last, received, 2**63, parts, stream))

    def acknowledge(self, number: int) -> None:
        """Send an ACK of all bodies up to this number."""
        assert self.session is not None, "it is connected"
        state = self.session.sequencer
        self._give(frames.build(frames.ACK, state.peer_token, state.last, number, 2**63))

    def body(self, body: object, *, stream: int = NORMAL) -> None:
        """Send a body: bytes, or ``[tags, refs, items, deadlines, ...]`` to be encoded."""
        self.frame(frames.DATA, body if type(body) is bytes else _encode(body), stream=stream)

    def items(self, *items: object, deadlines: Sequence[float] = ()) -> None:
        """Send a body with these items."""
        nothing: list[object] = []
        self.body([nothing, nothing, items, deadlines])

    def tell(self, *messages: Message[object]) -> None:
        """Send control messages to the node itself."""
        self.items(*[(0, 0, _NUMBERS[type(each)], each) for each in messages])

    def say(self, message: Message[object]) -> None:
        """Define the number of a request that is served, and send it."""
        self.items((0, 0, self.define(type(message)), message))

    def ask(self, *messages: Message[object]) -> None:
        """Ask the node itself."""
        items = [(0, next(self._correlations), _NUMBERS[type(each)], each) for each in messages]
        self.items(*items, deadlines=[60.0] * len(items))

    def greet(self, name: str, endpoint: str, kind: int = frames.HELLO) -> None:
        """Send a HELLO or a WELCOME of a node of this name, which listens at this endpoint."""
        attempt = int(kind == frames.HELLO)
        greeting = frames.Greeting(
            name, 1, endpoint, 1, 1_048_576, protocol_min=2, protocol_max=2, attempt=attempt, echo=1 - attempt
        )
        self._give(frames.build(kind, 0, 0, 0, 0, (frames.encode_body(greeting),)))

    def define(self, type_: type[Message[object]]) -> int:
        """Define the number of a message type, and return it."""
        number = next(self._tags)
        self.body([[(number, tag_of(type_), fingerprint(type_))], [], [], []])
        return number

    # --- as the owner of a transport ---------------------------------------------------------------------------------

    def frame_received(self, parts: Sequence[Buffer], source: Source) -> None:
        """Take a frame of the node; one that takes nothing answers that it is alive."""
        if self.session is not None and not self._acknowledges:
            self._loop.call_later(1.0, self.alive)
            return
        self._carry_out(self.manager.receive(parts, source, self._loop.time()))

    def alive(self) -> None:
        """Send a PONG, which acknowledges nothing more than was acknowledged."""
        if not self._acknowledges:
            self.frame(frames.PONG)

    def wire_ready(self, wire: Wire) -> None:
        """Nothing waits."""

    def wire_lost(self, wire: Wire, reason: str) -> None:
        """Nothing is to be done."""

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Transmit(_, parts, _) | Refuse(_, parts):
                    self._give(parts)
                case SessionUp(session, _):
                    self.session = session
                case SessionDown():
                    self.session = None
                case Deliver(_, _, parts):
                    self.bodies.append(b"".join(parts))
                case _:
                    pass

    def _give(self, parts: Sequence[Buffer]) -> None:
        self._loop.call_soon(self.node.network.frame_received, tuple(parts), self.source)


def with_keys(node: Node, **keys: Identity) -> None:
    """Let the owners of these keys have these identities at a node; the others of this process stay what they are."""
    known = node.network.identify

    def identify(id_: str | None) -> Identity:
        return keys.get(id_ or "") or known(id_)

    setattr(node.network, "identify", identify)  # noqa: B010  a method


def attacked(
    **limits: float,
) -> Callable[[Callable[[Node], Coroutine[object, object, None]]], Callable[[], None]]:
    """Make a test of ``async def test_...(node)``: the node has these ``PeerLimits``, and ends by itself."""

    def decorate(scene: Callable[[Node], Coroutine[object, object, None]]) -> Callable[[], None]:
        @wraps(scene)
        def test() -> None:
            async def main() -> None:
                peer_limits = msgspec.convert(limits, PeerLimits)
                async with Node("victim", listen="inprocess://victim", peer_limits=peer_limits) as node:
                    await scene(node)

            play(main)

        del test.__dict__["__wrapped__"]
        return test

    return decorate
