"""The network of a node: its transports and links below, its peers above.

A shell: the pure ``Switchboard`` decides what goes over which wire, this carries it out, and hands what is delivered to
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

from ..alarm import Alarm
from ..kernel.ask import current_turn
from ..kernel.cell import Cell
from ..kernel.errors import NodeClosed, NodeUnreachable, TrouperError, WireError
from ..kernel.ref import ActorRef
from ..wire import effects
from ..wire.bulk import BulkSettings
from ..wire.codec import Tables
from ..wire.framing import BULK, HEADER_BYTES
from ..wire.greeter import LocalNode
from ..wire.links import Link
from ..wire.settings import LinkSettings
from ..wire.switchboard import Switchboard
from ..wire.transport import Buffer, Source, Transport, TransportOwner, Wire
from .cell import Home
from .control import Find, Spawn
from .directory import Directory
from .owning import tie
from .parcels import Bulk
from .peer import Peer
from .reaching import Reaching
from .spawning import resolve
from .surroundings import Serve
from .way import LinkWay
from .wiring import Wiring

if TYPE_CHECKING:
    from ..kernel.system import System
    from .idling import Idling
    from .introspecting import FarIntrospection
    from .lookups import Lookups
    from .shipping import CodeShipping

MakeTransport = Callable[[TransportOwner], Transport]
SpawnHere = Callable[[Callable[..., object], str | None, float | None], Awaitable[ActorRef]]

SPAWN_S = 60.0
"""Seconds until an actor must have started on another node."""


class Network:
    """See the top of the file.

    transports: makers of the transports, the first that knows an endpoint's scheme is used.
    listen: endpoints of this node; the first is where peers connect back to.  join: endpoints to dial, for ever.
    incarnation: larger for each life of this name.  allowed_modules: may be imported for a spawn from another node.
    """

    idling: Idling | None = None
    """Ends links that nobody needs; None where every link stays."""
    shipping: CodeShipping | None = None
    """How code may travel; None for not at all."""
    introspection: FarIntrospection
    """Looking into the actors of other nodes."""
    lookups: Lookups
    """Looking names and services up on all linked nodes."""

    def __init__(
        self,
        system: System,
        transports: Sequence[MakeTransport],
        *,
        listen: Sequence[str],
        join: Sequence[str],
        incarnation: int,
        spawn_here: SpawnHere,
        find_here: Callable[[str], ActorRef | None],
        settings: LinkSettings | None = None,
        allowed_modules: Collection[str] = (),
        bulk: BulkSettings | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.system, self.home = system, Home(system.name, incarnation)
        self._now = system.loop.time
        self.exports: dict[int, Cell] = {}
        self.serves: dict[type, Serve] = {}
        self.on_peer: list[Callable[[Peer, bool], None]] = []
        """Who is called with each node that is linked (True), and that is no longer (False)."""
        self.directory = Directory(self, self.home)
        self.reaching = Reaching(self, system.loop)
        self.endpoint = ""
        self._listen, self._join = listen, join
        self._wiring = Wiring([make(self) for make in transports])
        self._spawn, self.find_here = spawn_here, find_here
        self._settings = settings or LinkSettings()
        self._allowed = allowed_modules
        self._rng = rng or random.SystemRandom()
        self._board: Switchboard | None = None
        self._peers: dict[str, Peer] = {}
        self._of_link: dict[int, Peer] = {}
        self._at: dict[str, Peer] = {}
        self._wanted: deque[effects.Effect] = deque()
        self._at_work = False
        self._alarm = Alarm(system.loop, self._tick)
        self._changed: list[asyncio.Future[None]] = []
        self._closed = self._deaf = False
        self.bulk = Bulk(bulk or BulkSettings(), partial(self._rng.getrandbits, 64), listen)
        self.refusals: dict[str, str] = {}
        """Why a dial came to nothing, by endpoint, in the words of the node that was dialled."""
        system.on_life += (self._heard,)

    # --- begin and end -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen, and begin to dial."""
        self.endpoint = await self._wiring.listen(self._listen)
        local = LocalNode(self.home.node, self.home.incarnation, self.endpoint)
        self._board = Switchboard(
            local, self._settings, token=partial(self._rng.getrandbits, 64), chance=self._rng.random
        )
        for endpoint in self._join:
            self.connect(endpoint)

    async def close(self) -> None:
        """Send what was said, take leave of all peers, for at most ``linger_s``, and close everything."""
        for peer in list(self._peers.values()):
            peer.flush()
        self._closed = True
        if self.idling is not None:
            self.idling.close()
        self.reaching.close()
        self._announce()
        if self._board is not None:
            self._carry_out(self._board.close(self._now()))
            try:
                async with asyncio.timeout(2 * self._settings.linger_s):
                    while not self._board.is_empty:
                        await self.wait_for_change()
            except TimeoutError:
                pass  # a peer that does not answer will find out by itself
        self._alarm.set(inf)
        self._deaf = True
        await self._wiring.close()
        self.bulk.close()

    def connect(self, endpoint: str) -> None:
        """Dial an endpoint until somebody answers, and again after each loss; raises ``InvalidOption``."""
        self._wiring.transport(endpoint)
        self._carry_out(self._switchboard.connect(endpoint, self._now()))

    # --- what the node asks for --------------------------------------------------------------------------------------

    @property
    def peers(self) -> dict[str, Peer]:
        """The nodes that are linked to this one, by name."""
        return dict(self._peers)

    def peer(self, node: str) -> Peer:
        """Return a node that is linked, or can be on demand; raises ``NodeUnreachable``."""
        peer = self._peers.get(node) or (None if self._closed else self.reaching.find(node))
        if peer is None:
            known = ", ".join(sorted(self._peers)) or "none"
            refused = "".join(f"; {endpoint} refused: {why}" for endpoint, why in self.refusals.items())
            raise NodeUnreachable(f"node {self.home.node} is not linked to {node!r}; it is linked to: {known}{refused}")
        return peer

    async def wait_for_peer(self, node: str, *, after: Peer | None = None) -> Peer:
        """Wait until a node is linked, again if ``after`` is its link of now; ``NodeClosed`` when this one closes."""
        while self._peers.get(node) in (None, after):
            if self._closed:
                raise NodeClosed(f"node {self.home.node} has closed its network: it waits for {node!r} no more")
            await self.wait_for_change()
        return self._peers[node]

    async def whereis(self, node: str, name: str) -> ActorRef | None:
        """Ask a linked node who has this name in its registry, or this path there; None when nobody has.

        Raises ``NodeUnreachable``.
        """
        return await self.peer(node).door.ask(Find(name))

    async def spawn_at(self, node: str, spawn: Spawn, *, owner: ActorRef | None = None) -> ActorRef:
        """Start an actor on another node, within ``SPAWN_S``; raises what ``Node.spawn`` says.

        owner: it ends when this actor ends; None for nobody.
        """
        return await self.peer(node).door.ask(msgspec.structs.replace(spawn, owner=owner), SPAWN_S)

    # --- what peers ask for ------------------------------------------------------------------------------------------

    def spawn_here(self, spawn: Spawn, tables: Tables) -> asyncio.Future[ActorRef]:
        """Start an actor that another node asks for."""
        return asyncio.ensure_future(self._spawned(spawn, tables), loop=self.system.loop)

    async def _spawned(self, spawn: Spawn, tables: Tables) -> ActorRef:
        made = resolve(spawn, tables, self._allowed, self.shipping)
        ref = await self._spawn(made, spawn.name, spawn.shutdown_s)
        if spawn.owner is not None:
            tie(ref, spawn.owner)
        return ref

    def abandon(self, node: str, detail: str) -> None:
        """Give up a link at once: it is known for certain that this life of the node has ended."""
        self._carry_out(self._switchboard.abandon(node, detail, self._now()))

    def disconnect(self, endpoint: str) -> None:
        """Dial an endpoint no more; whoever was found there is taken leave of."""
        self._carry_out(self._switchboard.disconnect(endpoint, self._now()))

    def linked(self, home: Home) -> Peer | None:
        """Return this life of a node, if it is linked, or can be on demand."""
        peer = self._peers.get(home.node)
        if peer is None or peer.lost is not None:
            return None if self._closed else self.reaching.linked(home)
        return peer if peer.home == home else None

    # --- for what reaches out ----------------------------------------------------------------------------------------

    def dial(self, endpoint: str) -> None:
        """Dial an endpoint for what waits to be sent there; one that cannot be dialled is reported."""
        try:
            self._wiring.transport(endpoint)
            self._carry_out(self._switchboard.connect(endpoint, self._now(), once=True))
        except TrouperError as error:
            self.system.reporter.problem(f"{endpoint} cannot be dialled", error)

    def hang_up(self, endpoint: str) -> None:
        """Nothing waits to be sent there any more."""
        self._carry_out(self._switchboard.forget(endpoint, self._now()))

    def close_unused(self) -> None:
        """Ask the peers whether the sessions that nobody needs may end, where there are more than there should be."""
        for peer in self._peers.values():
            link = self._switchboard.peer(peer.node)
            if link is not None and link.held:  # which only what is sent and received makes it again
                link.held = peer.is_needed
        self._carry_out(self._switchboard.close_unused(self._now()))

    def make_peer(self, home: Home, link: Link | None) -> tuple[Peer, LinkWay]:
        """Make the side of a node that is here."""
        way = LinkWay(self, link, self._settings.frame_bytes_max - HEADER_BYTES)
        return Peer(self, home, way), way

    def peer_at(self, endpoint: str) -> Peer | None:
        """Return the linked node that listens there."""
        return self._at.get(endpoint)

    def send(self, link: Link, parts: tuple[Buffer, ...], lane: int) -> bool:
        """Give a body to a link; False when it has no room."""
        link.held = True  # whatever this begins, ``idling`` looks again before the link may end
        if link.state != "up" and link.state != "broken":
            return False
        wanted = self._switchboard.send(link, parts, lane, self._now())
        if wanted is None:
            return False
        self._carry_out(wanted)
        return True

    # --- what the transports report ----------------------------------------------------------------------------------

    def frame_received(self, parts: Sequence[Buffer], source: Source) -> None:
        """A frame came in.  Who sent it may be a handler of another node in this loop: here nobody asks."""
        if self._deaf:
            return  # somebody greets while the transports are being closed: no answer could be sent
        self.system.dispatcher.renew()
        token = current_turn.set(None)
        try:
            self._carry_out(self._switchboard.receive(parts, source, self._now()))
        finally:
            current_turn.reset(token)

    def wire_ready(self, wire: Wire) -> None:
        """A wire has room again."""
        self._carry_out(self._switchboard.wire_ready(wire.endpoint, self._now()))

    def wire_lost(self, wire: Wire, reason: str) -> None:
        """A wire's connection broke."""
        self._carry_out(self._switchboard.wire_lost(wire.endpoint, reason, self._now()))

    # --- effects -----------------------------------------------------------------------------------------------------

    def _carry_out(self, wanted: Sequence[effects.Effect]) -> None:
        """Do what is wanted, in order; what comes of doing it (who hears news sends, or dials) waits for its turn."""
        self._wanted.extend(wanted)
        if self._at_work:
            return
        full: set[str] = set()
        self._at_work = True
        try:
            while self._wanted:
                self._do(self._wanted.popleft(), full)
        finally:
            self._at_work = False
        if (wake_at := self._switchboard.wake_at) != self._alarm.at:
            self._alarm.set(wake_at)

    def _do(self, effect: effects.Effect, full: set[str]) -> None:
        if isinstance(effect, effects.Transmit):
            if not (effect.sequence and effect.endpoint in full) and not self._wiring.transmit(effect):
                full.add(effect.endpoint)
                self._switchboard.not_taken(effect.endpoint, effect.sequence)
        elif isinstance(effect, effects.Deliver):
            self._deliver(effect)
        elif isinstance(effect, effects.OpenWire):
            self._wiring.open(effect.endpoint)
        elif isinstance(effect, effects.CloseWire):
            self._wiring.close_wire(effect.endpoint)
        elif isinstance(effect, effects.Refuse):
            self._wiring.refuse(effect)
        else:
            self._take_news(effect)

    def _deliver(self, effect: effects.Deliver) -> None:
        peer = self._of_link.get(effect.link.token)
        if peer is None:
            return
        effect.link.held = True
        try:
            if effect.lane == BULK:
                peer.parcels.take_chunk(effect.parts)
            else:
                peer.receive(effect.parts[0] if len(effect.parts) == 1 else b"".join(effect.parts))
        except WireError as error:
            self.system.reporter.problem(f"node {peer.node} sent what cannot be read: {error}")

    def _take_news(self, effect: effects.News) -> None:
        if isinstance(effect, effects.PeerUp):
            home = Home(effect.greeting.node, effect.greeting.incarnation)
            self.directory.begin_life(home)
            endpoints = (effect.greeting.endpoint, effect.link.endpoint)
            peer = self.reaching.arrived(home, effect.link, endpoints)
            self._at.update(dict.fromkeys(endpoints, peer))
            self._of_link[effect.link.token] = self._peers[peer.node] = peer
            for hear in self.on_peer:
                hear(peer, True)
        elif isinstance(effect, effects.PeerDown):
            self._lose(effect)
        elif isinstance(effect, effects.DialRefused):
            self.refusals[effect.endpoint] = effect.text
            self.reaching.refused(effect.endpoint, effect.text)
            self.system.reporter.problem(f"{effect.endpoint} refused the link ({effect.code}): {effect.text}")
        elif isinstance(effect, effects.Faulty):
            self.system.reporter.problem(f"a frame was dropped: {effect.problem}")
        else:
            known = self._of_link.get(effect.link.token)
            if known is not None:
                known.in_reach = not isinstance(effect, effects.PeerBroken)
                known.flush()
        if not isinstance(effect, effects.Room):
            self._announce()

    def _lose(self, effect: effects.PeerDown) -> None:
        peer = self._of_link.pop(effect.link.token, None)
        if peer is None:
            return
        if self._peers.get(peer.node) is peer:
            del self._peers[peer.node]
        for endpoint in [endpoint for endpoint, at in self._at.items() if at is peer]:
            del self._at[endpoint]
        if effect.reason == "idle":
            peer.retire()
            return
        # A body of items has one part, a chunk of a large buffer two: its message comes after it.
        peer.lose(effect.detail, [bytes(parts[0]) for parts in effect.unacknowledged if len(parts) == 1])
        for hear in self.on_peer:
            hear(peer, False)

    # --- time and news -----------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._carry_out(self._switchboard.tick(self._now()))

    @property
    def _switchboard(self) -> Switchboard:
        assert self._board is not None, "start() makes it before anything else happens"
        return self._board

    def _heard(self, cell: Cell, what: str) -> None:
        if what == "ended":
            self.exports.pop(cell.uid, None)

    async def wait_for_change(self) -> None:
        """Wait until a link comes, goes, breaks or heals."""
        future: asyncio.Future[None] = self.system.loop.create_future()
        self._changed.append(future)
        await future

    def _announce(self) -> None:
        changed, self._changed = self._changed, []
        for future in changed:
            if not future.done():
                future.set_result(None)
