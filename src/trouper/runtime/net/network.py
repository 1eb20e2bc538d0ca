"""The network of a node: its transports and links below, its peers above.

A shell: the pure ``SessionManager`` decides what goes over which wire, this carries it out, and hands what is delivered to
the ``Peer`` that it came from.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from math import inf
from typing import TYPE_CHECKING

import msgspec

from ..kernel.alarm import Alarm
from ..kernel.ask import current_invocation
from ..kernel.cell import Cell
from ..kernel.errors import NodeClosed, NodeUnreachable, TrouperError, WireError
from ..kernel.ref import ActorRef
from ..session import effects
from ..session.bulk_chunks import BulkSettings
from ..session.codec import SessionCodec
from ..session.frames import BULK, HEADER_BYTES
from ..session.handshake import LocalNode
from ..session.session import Session
from ..session.sessions import SessionManager
from ..session.settings import SessionSettings
from ..session.transport import Buffer, Source, Transport, TransportOwner, Wire
from .bulk.out_of_band import BulkResources
from .connector import Connector
from .control import FindActor, SpawnActor
from .directory import Directory
from .ownership import stop_with_owner
from .peer import Peer
from .peer_context import RequestHandler
from .remote_cell import NodeId
from .session_sender import SessionSender
from .spawn_request import resolve_spawn
from .transport_set import TransportSet

if TYPE_CHECKING:
    from ..kernel.system import System
    from .code_shipping import CodeShipping
    from .idle_sessions import IdleSessions
    from .services.introspection import RemoteIntrospection
    from .services.lookup import RegistryLookup

MakeTransport = Callable[[TransportOwner], Transport]
SpawnLocal = Callable[[Callable[..., object], str | None, float | None], Awaitable[ActorRef]]

SPAWN_S = 60.0
"""Seconds until an actor must have started on another node."""


class Network:
    """See the top of the file.

    transports: makers of the transports, the first that knows an endpoint's scheme is used.
    listen: endpoints of this node; the first is where peers connect back to.  join: endpoints to dial, for ever.
    incarnation: larger for each life of this name.  allowed_modules: may be imported for a spawn from another node.
    """

    idle_sessions: IdleSessions | None = None
    """Ends links that nobody needs; None where every link stays."""
    shipping: CodeShipping | None = None
    """How code may travel; None for not at all."""
    introspection: RemoteIntrospection
    """Looking into the actors of other nodes."""
    lookups: RegistryLookup
    """Looking names and services up on all linked nodes."""

    def __init__(
        self,
        system: System,
        transports: Sequence[MakeTransport],
        *,
        listen: Sequence[str],
        join: Sequence[str],
        generation: int,
        spawn_local: SpawnLocal,
        find_local: Callable[[str], ActorRef | None],
        settings: SessionSettings | None = None,
        allowed_modules: Collection[str] = (),
        bulk: BulkSettings | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.system, self.node_id = system, NodeId(system.name, generation)
        self._now = system.loop.time
        self.exports: dict[int, Cell] = {}
        self.request_handlers: dict[type, RequestHandler] = {}
        self.on_peer: list[Callable[[Peer, bool], None]] = []
        """Who is called with each node that is linked (True), and that is no longer (False)."""
        self.directory = Directory(self, self.node_id)
        self.connector = Connector(self, system.loop)
        self.endpoint = ""
        self._listen, self._join = listen, join
        self._transports = TransportSet([make(self) for make in transports])
        self._spawn, self.find_local = spawn_local, find_local
        self._settings = settings or SessionSettings()
        self._allowed = allowed_modules
        self._rng = rng or random.SystemRandom()
        self._manager: SessionManager | None = None
        self._peers: dict[str, Peer] = {}
        self._peer_of_session: dict[int, Peer] = {}
        self._peer_at: dict[str, Peer] = {}
        self._effects: deque[effects.Effect] = deque()
        self._carrying_out = False
        self._alarm = Alarm(system.loop, self._tick)
        self._changed: list[asyncio.Future[None]] = []
        self._closed = self._ignores_frames = False
        self.bulk = BulkResources(bulk or BulkSettings(), partial(self._rng.getrandbits, 64), listen)
        self.refusals: dict[str, str] = {}
        """Why a dial came to nothing, by endpoint, in the words of the node that was dialled."""
        system.on_lifecycle += (self._on_actor_event,)

    # --- begin and end -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen, and begin to dial."""
        self.endpoint = await self._transports.listen(self._listen)
        local = LocalNode(self.node_id.node, self.node_id.generation, self.endpoint)
        self._manager = SessionManager(
            local, self._settings, token=partial(self._rng.getrandbits, 64), chance=self._rng.random
        )
        for endpoint in self._join:
            self.connect(endpoint)

    async def close(self) -> None:
        """Send what was said, take leave of all peers, for at most ``linger_s``, and close everything."""
        for peer in list(self._peers.values()):
            peer.flush()
        self._closed = True
        if self.idle_sessions is not None:
            self.idle_sessions.close()
        self.connector.close()
        self._notify_changed()
        if self._manager is not None:
            self._carry_out(self._manager.close(self._now()))
            try:
                async with asyncio.timeout(2 * self._settings.linger_s):
                    while not self._manager.is_empty:
                        await self.wait_for_change()
            except TimeoutError:
                pass  # a peer that does not answer will find out by itself
        self._alarm.set(inf)
        self._ignores_frames = True
        await self._transports.close()
        self.bulk.close()

    def connect(self, endpoint: str) -> None:
        """Dial an endpoint until somebody answers, and again after each loss; raises ``InvalidOption``."""
        self._transports.transport(endpoint)
        self._carry_out(self._sessions.connect(endpoint, self._now()))

    # --- what the node asks for --------------------------------------------------------------------------------------

    @property
    def peers(self) -> dict[str, Peer]:
        """The nodes that are linked to this one, by name."""
        return dict(self._peers)

    def peer(self, node: str) -> Peer:
        """Return a node that is linked, or can be on demand; raises ``NodeUnreachable``."""
        peer = self._peers.get(node) or (None if self._closed else self.connector.find(node))
        if peer is None:
            known = ", ".join(sorted(self._peers)) or "none"
            refused = "".join(f"; {endpoint} refused: {why}" for endpoint, why in self.refusals.items())
            raise NodeUnreachable(
                f"node {self.node_id.node} is not linked to {node!r}; it is linked to: {known}{refused}"
            )
        return peer

    async def wait_for_peer(self, node: str, *, after: Peer | None = None) -> Peer:
        """Wait until a node is linked, again if ``after`` is its link of now; ``NodeClosed`` when this one closes."""
        while self._peers.get(node) in (None, after):
            if self._closed:
                raise NodeClosed(f"node {self.node_id.node} has closed its network: it waits for {node!r} no more")
            await self.wait_for_change()
        return self._peers[node]

    async def whereis(self, node: str, name: str) -> ActorRef | None:
        """Ask a linked node who has this name in its registry, or this path there; None when nobody has.

        Raises ``NodeUnreachable``.
        """
        return await self.peer(node).control_ref.ask(FindActor(name))

    async def spawn_at(self, node: str, spawn: SpawnActor, *, owner: ActorRef | None = None) -> ActorRef:
        """Start an actor on another node, within ``SPAWN_S``; raises what ``Node.spawn`` says.

        owner: it ends when this actor ends; None for nobody.
        """
        return await self.peer(node).control_ref.ask(msgspec.structs.replace(spawn, owner=owner), SPAWN_S)

    # --- what peers ask for ------------------------------------------------------------------------------------------

    def spawn_local(self, spawn: SpawnActor, tables: SessionCodec) -> asyncio.Future[ActorRef]:
        """Start an actor that another node asks for."""
        return asyncio.ensure_future(self._spawned(spawn, tables), loop=self.system.loop)

    async def _spawned(self, spawn: SpawnActor, tables: SessionCodec) -> ActorRef:
        made = resolve_spawn(spawn, tables, self._allowed, self.shipping)
        ref = await self._spawn(made, spawn.name, spawn.shutdown_s)
        if spawn.owner is not None:
            stop_with_owner(ref, spawn.owner)
        return ref

    def end_session(self, node: str, detail: str) -> None:
        """Give up a link at once: it is known for certain that this life of the node has ended."""
        self._carry_out(self._sessions.end_session(node, detail, self._now()))

    def disconnect(self, endpoint: str) -> None:
        """Dial an endpoint no more; whoever was found there is taken leave of."""
        self._carry_out(self._sessions.disconnect(endpoint, self._now()))

    def find_generation(self, node_id: NodeId) -> Peer | None:
        """Return this life of a node, if it is linked, or can be on demand."""
        peer = self._peers.get(node_id.node)
        if peer is None or peer.lost is not None:
            return None if self._closed else self.connector.find_generation(node_id)
        return peer if peer.node_id == node_id else None

    # --- for what reaches out ----------------------------------------------------------------------------------------

    def dial(self, endpoint: str) -> None:
        """Dial an endpoint for what waits to be sent there; one that cannot be dialled is reported."""
        try:
            self._transports.transport(endpoint)
            self._carry_out(self._sessions.connect(endpoint, self._now(), once=True))
        except TrouperError as error:
            self.system.reporter.problem(f"{endpoint} cannot be dialled", error)

    def cancel_dial(self, endpoint: str) -> None:
        """Nothing waits to be sent there any more."""
        self._carry_out(self._sessions.forget(endpoint, self._now()))

    def close_unused(self) -> None:
        """Ask the peers whether the sessions that nobody needs may end, where there are more than there should be."""
        for peer in self._peers.values():
            session = self._sessions.peer(peer.node)
            if session is not None and session.in_use:  # which only what is sent and received makes it again
                session.in_use = peer.is_needed
        self._carry_out(self._sessions.close_unused(self._now()))

    def make_peer(self, node_id: NodeId, session: Session | None) -> tuple[Peer, SessionSender]:
        """Make the side of a node that is here."""
        sender = SessionSender(self, session, self._settings.frame_bytes_max - HEADER_BYTES)
        return Peer(self, node_id, sender), sender

    def peer_at(self, endpoint: str) -> Peer | None:
        """Return the linked node that listens there."""
        return self._peer_at.get(endpoint)

    def send(self, session: Session, parts: tuple[Buffer, ...], lane: int) -> bool:
        """Give a body to a link; False when it has no room."""
        session.in_use = True  # whatever this begins, ``idle_sessions`` looks again before the link may end
        if session.state != "up" and session.state != "broken":
            return False
        wanted = self._sessions.send(session, parts, lane, self._now())
        if wanted is None:
            return False
        self._carry_out(wanted)
        return True

    # --- what the transports report ----------------------------------------------------------------------------------

    def frame_received(self, parts: Sequence[Buffer], source: Source) -> None:
        """A frame came in.  Who sent it may be a handler of another node in this loop: here nobody asks."""
        if self._ignores_frames:
            return  # somebody greets while the transports are being closed: no answer could be sent
        self.system.dispatcher.reset_inline_budget()
        token = current_invocation.set(None)
        try:
            self._carry_out(self._sessions.receive(parts, source, self._now()))
        finally:
            current_invocation.reset(token)

    def wire_ready(self, wire: Wire) -> None:
        """A wire has room again."""
        self._carry_out(self._sessions.wire_ready(wire.endpoint, self._now()))

    def wire_lost(self, wire: Wire, reason: str) -> None:
        """A wire's connection broke."""
        self._carry_out(self._sessions.wire_lost(wire.endpoint, reason, self._now()))

    # --- effects -----------------------------------------------------------------------------------------------------

    def _carry_out(self, wanted: Sequence[effects.Effect]) -> None:
        """Do what is wanted, in order; what comes of doing it (who hears news sends, or dials) waits for its turn."""
        self._effects.extend(wanted)
        if self._carrying_out:
            return
        full: set[str] = set()
        self._carrying_out = True
        try:
            while self._effects:
                self._do(self._effects.popleft(), full)
        finally:
            self._carrying_out = False
        if (wake_at := self._sessions.wake_at) != self._alarm.at:
            self._alarm.set(wake_at)

    def _do(self, effect: effects.Effect, full: set[str]) -> None:
        if isinstance(effect, effects.Transmit):
            if not (effect.sequence and effect.endpoint in full) and not self._transports.transmit(effect):
                full.add(effect.endpoint)
                self._sessions.not_taken(effect.endpoint, effect.sequence)
        elif isinstance(effect, effects.Deliver):
            self._deliver(effect)
        elif isinstance(effect, effects.OpenWire):
            self._transports.open(effect.endpoint)
        elif isinstance(effect, effects.CloseWire):
            self._transports.close_wire(effect.endpoint)
        elif isinstance(effect, effects.Refuse):
            self._transports.refuse(effect)
        else:
            self._on_session_event(effect)

    def _deliver(self, effect: effects.Deliver) -> None:
        peer = self._peer_of_session.get(effect.session.token)
        if peer is None:
            return
        effect.session.in_use = True
        try:
            if effect.lane == BULK:
                peer.out_of_band.take_chunk(effect.parts)
            else:
                peer.receive(effect.parts[0] if len(effect.parts) == 1 else b"".join(effect.parts))
        except WireError as error:
            self.system.reporter.problem(f"node {peer.node} sent what cannot be read: {error}")

    def _on_session_event(self, effect: effects.SessionEvent) -> None:
        if isinstance(effect, effects.PeerUp):
            node_id = NodeId(effect.greeting.node, effect.greeting.generation)
            self.directory.begin_generation(node_id)
            endpoints = (effect.greeting.endpoint, effect.session.endpoint)
            peer = self.connector.arrived(node_id, effect.session, endpoints)
            self._peer_at.update(dict.fromkeys(endpoints, peer))
            self._peer_of_session[effect.session.token] = self._peers[peer.node] = peer
            for listener in self.on_peer:
                listener(peer, True)
        elif isinstance(effect, effects.PeerDown):
            self._on_peer_down(effect)
        elif isinstance(effect, effects.DialRefused):
            self.refusals[effect.endpoint] = effect.text
            self.connector.refused(effect.endpoint, effect.text)
            self.system.reporter.problem(f"{effect.endpoint} refused the link ({effect.code}): {effect.text}")
        elif isinstance(effect, effects.FrameRejected):
            self.system.reporter.problem(f"a frame was dropped: {effect.problem}")
        else:
            known = self._peer_of_session.get(effect.session.token)
            if known is not None:
                known.in_reach = not isinstance(effect, effects.PeerUnreachable)
                known.flush()
        if not isinstance(effect, effects.CapacityAvailable):
            self._notify_changed()

    def _on_peer_down(self, effect: effects.PeerDown) -> None:
        peer = self._peer_of_session.pop(effect.session.token, None)
        if peer is None:
            return
        if self._peers.get(peer.node) is peer:
            del self._peers[peer.node]
        for endpoint in [endpoint for endpoint, at in self._peer_at.items() if at is peer]:
            del self._peer_at[endpoint]
        if effect.reason == "idle":
            peer.detach()
            return
        # A body of items has one part, a chunk of a large buffer two: its message comes after it.
        peer.lose(effect.detail, [bytes(parts[0]) for parts in effect.unacknowledged if len(parts) == 1])
        for listener in self.on_peer:
            listener(peer, False)

    # --- time and news -----------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._carry_out(self._sessions.tick(self._now()))

    @property
    def _sessions(self) -> SessionManager:
        assert self._manager is not None, "start() makes it before anything else happens"
        return self._manager

    def _on_actor_event(self, cell: Cell, what: str) -> None:
        if what == "ended":
            self.exports.pop(cell.uid, None)

    async def wait_for_change(self) -> None:
        """Wait until a link comes, goes, breaks or heals."""
        future: asyncio.Future[None] = self.system.loop.create_future()
        self._changed.append(future)
        await future

    def _notify_changed(self) -> None:
        changed, self._changed = self._changed, []
        for future in changed:
            if not future.done():
                future.set_result(None)
