"""The network of a node: transports and sessions below, one ``Peer`` for each connected node above.

A shell around the pure ``SessionManager``: it feeds that with frames, times and requests, carries its effects out on
the transports, and hands the bodies that are delivered to the peer that they came from.

It is long because it is the one shell of all sessions: each further file on the path of a message would cost time.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from math import inf
from typing import TYPE_CHECKING

import msgspec

from ..kernel.address import NodeId
from ..kernel.ask import current_invocation
from ..kernel.cell import Cell
from ..kernel.clock import Alarm
from ..kernel.confined import confine
from ..kernel.errors import InvalidOption, NodeClosed, NodeUnreachable, PeerOverLimit, TrouperError, WireError
from ..kernel.executor import THREAD
from ..kernel.ref import ActorRef, Down
from ..session import effects
from ..session.budget import Account, Budget, PeerLimits
from ..session.bulk_chunks import BulkSettings, Chunk
from ..session.endpoints import endpoint_problem
from ..session.frames import BULK, CONTROL, HEADER_BYTES, NORMAL
from ..session.generations import Generations
from ..session.handshake import LocalNode
from ..session.identity import Identities, Identity, trusted
from ..session.session import Session
from ..session.sessions import KnownNode, SessionManager
from ..session.settings import SessionSettings
from ..session.transport import (
    AuthenticatingTransport,
    Buffer,
    ResolvingTransport,
    Source,
    Transport,
    TransportOwner,
    Wire,
)
from .bulk.out_of_band import BulkResources
from .connector import Connector
from .control import FindActor, SpawnActor
from .directory import Directory
from .join_reports import JoinReports
from .peer import LocalActors, Peer, Stream
from .request_handlers import RequestHandlers
from .security_log import SecurityLog
from .spawn_request import executor_of, resolve_overrides, resolve_spawn, stop_with_owner

if TYPE_CHECKING:
    from ..kernel.message import Message
    from ..kernel.system import System
    from .code_shipping import CodeShipping

MakeTransport = Callable[[TransportOwner], Transport]
PeerListener = Callable[[Peer, bool], None]
"""Called with a peer that has a session now (True), or is lost (False)."""

SPAWN_S = 60.0
"""Seconds until an actor must have started on another node."""
KEYS_EVERY_S = 0.5
"""Seconds between two looks at the list of keys: the sessions of a key that was removed end within a second."""
SWEEP_S = 1.0
"""Seconds between two searches for idle sessions while there are more sessions than ``sessions_max``."""
CALM_SWEEP_S = 4.0
"""Seconds between two searches otherwise; they serve peers that have too many sessions and ask to close this one."""


@confine(
    "system",
    "connect", "disconnect", "peers", "peer", "wait_for_peer", "wait_for_change", "whereis", "spawn_at", "close",
    "send_to", "watch_peers", "revoke", "listen",
)  # fmt: skip
class Network:
    """The network of a node, as ``node.network``.

    system: the actors of this node.
    transports: makers of the transports; the first one that knows an endpoint's scheme is used.
    listen: endpoints of this node; the first is where peers connect back to.
    join: endpoints to dial until the node closes.
    generation: random number that tells this run of the node from others of its name.
    local: what peers may ask of the actors of this node.
    settings: None is ``SessionSettings()``.  bulk: None is ``BulkSettings()``.  limits: None is ``PeerLimits()``.
    allowed_modules: modules that may be imported when another node asks for an actor of theirs.
    advertise: the endpoint that peers are told, where they reach this node otherwise than it listens; empty for none.
    rng: source of tokens and jitter; None takes the operating system's, since tokens must not be guessed.
    """

    shipping: CodeShipping | None = None
    """Limits for code that travels by value; None refuses such code."""
    known_node: Callable[[str], KnownNode | None] | None = None
    """Returns the node that is known to be alive under a name, by whatever monitors the nodes; None without that.

    Another node of this name gets no session while it is.
    """

    def __init__(
        self,
        system: System,
        transports: Sequence[MakeTransport],
        *,
        listen: Sequence[str],
        join: Sequence[str],
        generation: int,
        local: LocalActors,
        settings: SessionSettings | None = None,
        allowed_modules: Collection[str] = (),
        bulk: BulkSettings | None = None,
        limits: PeerLimits | None = None,
        rng: random.Random | None = None,
        advertise: str = "",
    ) -> None:
        self.system, self.node_id, self.local = system, NodeId(system.name, generation), local
        self._now = system.loop.time
        self.exports: dict[int, Cell] = {}
        """The actors of this node whose refs were sent to peers, by uid; no other actor can be reached from outside."""
        self.request_handlers = RequestHandlers()
        """The requests that this node serves to its peers."""
        self._peer_listeners: list[PeerListener] = []
        self.security = SecurityLog(system.reporter.problem, system.loop.time)
        """What peers were refused, by identity."""
        self.budget = Budget(limits or PeerLimits())
        """What peers may cost this node; ``budget.usage()`` says what each identity does."""
        self._refused_ids: set[str] = set()  # authenticated, and admitted no more
        self._keys_timer: asyncio.TimerHandle | None = None
        self._generations = Generations()
        self.directory = Directory(self, self.node_id, self._generations)
        self.connector = Connector(self, system.loop)
        self.endpoint = ""
        """What peers are told: the advertised endpoint, else the first where it listens; empty before ``start``."""
        self.endpoints: tuple[str, ...] = ()
        """All listening endpoints, as peers reach them."""
        self._listen, self._join, self._advertise = listen, join, advertise
        self.join_reports = JoinReports(system, join, lambda: self._sessions)
        """Why endpoints that are dialled give no session."""
        self._transports = TransportSet([make(self) for make in transports])
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
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._change_waiters: set[asyncio.Future[None]] = set()
        self._closed = self._ignores_frames = False
        self.bulk = BulkResources(bulk or BulkSettings(), partial(self._rng.getrandbits, 64), listen)
        self.placed_actors: Counter[str] = Counter()
        """The number of running actors that this node has placed with ``spawn(place=)``, by the node where they run."""
        self.on_dial_refused: list[Callable[[str, str, str], None]] = []
        """Called with the endpoint, the code (``itself`` for an endpoint of this node) and the text of each refusal."""
        system.on_lifecycle += (self._on_actor_event,)

    # --- start and close ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen, and begin to dial; raises what a transport raises for an endpoint that it cannot listen at."""
        self.endpoints = await self._transports.listen(self._listen)
        if self._advertise:
            self.endpoints = (await self._transports.advertised(self._advertise), *self.endpoints)
        self.endpoint = self.endpoints[0]
        local = LocalNode(self.node_id.name, self.node_id.generation, self.endpoint, self.endpoints[1:])
        self._manager = SessionManager(
            local,
            self._settings,
            token=partial(self._rng.getrandbits, 64),
            chance=self._rng.random,
            generations=self._generations,
            known_node=self._find_known_node,
            admit=self._objection,
            account=self._account_of,
        )
        if self._identities is not None:
            self._keys_timer = self.system.loop.call_later(KEYS_EVERY_S, self._refresh_keys)
        for endpoint in self._join:
            self.connect(endpoint)
        self.join_reports.start()

    async def listen(self, endpoints: Sequence[str]) -> None:
        """Listen at further endpoints, of which peers are not told; raises what a transport raises for one of them."""
        self.endpoints += await self._transports.listen(endpoints)

    def is_own(self, endpoint: str) -> bool:
        """Whether this is an endpoint of this node, as it was configured or as peers reach it."""
        return endpoint in (*self.endpoints, *self._listen, self._advertise)

    async def close(self) -> None:
        """Send what is buffered, end all sessions in order within 2 x ``linger_s`` seconds, close the transports."""
        for peer in list(self._peers.values()):
            peer.settled.report_now()
            peer.flush()
        self._closed = True
        if self._keys_timer is not None:
            self._keys_timer.cancel()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        self.join_reports.close()
        self.connector.close()
        self._notify_changed()
        try:
            if self._manager is not None:
                self._carry_out(self._manager.close(self._now()))
                async with asyncio.timeout(2 * self._settings.linger_s):
                    while not self._manager.is_empty:
                        await self.wait_for_change()
        except TimeoutError:
            pass  # a peer that does not answer finds the loss out by its own time-out
        finally:  # also when the shutdown of the node has no more time and cancels this
            self._alarm.set(inf)
            self._ignores_frames = True
            await self._transports.close()
            self.bulk.close()

    def connect(self, endpoint: str) -> None:
        """Dial an endpoint until a node answers, and again after each loss; raises ``InvalidOption``."""
        self._transports.find(endpoint)
        self._carry_out(self._sessions.connect(endpoint, self._now()))

    def disconnect(self, endpoint: str) -> None:
        """Stop dialling an endpoint, and end the session with the node that was found there."""
        self._carry_out(self._sessions.disconnect(endpoint, self._now()))

    @property
    def refusals(self) -> Mapping[str, str]:
        """Why endpoints that were dialled give no session, as the nodes there or the transports say; the latest few."""
        return self.join_reports.refusals

    # --- who may connect, and what it may do -------------------------------------------------------------------------

    @property
    def _identities(self) -> Identities | None:
        return self._transports.identities

    def identify(self, id: str | None) -> Identity:  # noqa: A002  the name of the field of ``Identity``
        """Return the name and the roles of an identity, which is that of ``Source``."""
        known = trusted(id)
        if known is None and id is not None and self._identities is not None:
            known = self._identities.identify(id)
        return known or Identity(id, None, frozenset())

    def _account_of(self, id: str | None) -> Account:  # noqa: A002  as above
        identity = self.identify(id)
        return self.budget.account(identity.id, str(identity), shared=identity.name is None)

    def revoke(self, identity: str) -> list[str]:
        """Admit an identity no more, and end its sessions at once, until this node ends.

        identity: the name of the file of its key in ``allowed``, without the ending; ``cluster`` for the key of the
            cluster; or a public key.
        Returns the names of the nodes whose sessions were ended.
        Raises ``InvalidOption`` for an identity that is not known, and on a node without keys.
        """
        if self._identities is None:
            raise InvalidOption(f"node {self.node_id.name} has no keys, so there is none to revoke: give it keys=...")
        return self._end_sessions_of(self._identities.revoke(identity))

    def _refresh_keys(self) -> None:
        assert self._identities is not None, "the timer is set where there are keys"
        self._keys_timer = self.system.loop.call_later(KEYS_EVERY_S, self._refresh_keys)
        self._end_sessions_of(self._identities.refresh())

    def _end_sessions_of(self, ids: Collection[str]) -> list[str]:
        """End the sessions of these identities, whose keys are admitted no more, or with other roles."""
        for id_ in ids:
            (self._refused_ids.discard if self.identify(id_).roles else self._refused_ids.add)(id_)
        ended = [peer.node for peer in self._peers.values() if peer.identity.id in ids]
        for node in ended:
            self.end_session(node, f"what node {self.node_id.name} permits its key has changed")
        return ended

    def _objection(self, node: str, id: str | None) -> str | None:  # noqa: A002  as above
        """Return why a node gets no session, in one clause; None admits it."""
        if id is None or self._identities is None or trusted(id) is not None:
            return None
        why = self._identities.may_be_called(id, node)
        if why is not None:
            self.security.note(self.identify(id), node, "its name", why)
        return why

    # --- what the node asks for --------------------------------------------------------------------------------------

    @property
    def peers(self) -> dict[str, Peer]:
        """The nodes that this one has a session with, by name."""
        return dict(self._peers)

    def peer(self, node: str) -> Peer:
        """Return the peer of this name, dialled on demand if its address is known; raises ``NodeUnreachable``."""
        peer = self._peers.get(node) or (None if self._closed else self.connector.find(node))
        if peer is None:
            known = ", ".join(sorted(self._peers)) or "none"
            why = self.join_reports.describe()
            raise NodeUnreachable(
                f"node {self.node_id.name} is not connected to {node!r}; it is connected to: {known}{why}"
            )
        return peer

    async def wait_for_peer(self, node: str, *, after: Peer | None = None, timeout_s: float | None = None) -> Peer:
        """Wait for a session with a node, and return its peer.

        after: wait for another one than this peer, which is about to be lost; None takes whichever is there.
        timeout_s: seconds to wait at most; None waits for ever.
        Raises ``NodeUnreachable`` after ``timeout_s``, with the reason why each endpoint of ``join`` was not reached,
        and ``NodeClosed`` when this node closes its network.
        """
        limit = asyncio.timeout(timeout_s)
        try:
            async with limit:
                while self._peers.get(node) in (None, after):
                    if self._closed:
                        me = self.node_id.name
                        raise NodeClosed(f"node {me} has closed its network: it waits for {node!r} no more")
                    await self.wait_for_change()
        except TimeoutError:
            if not limit.expired():
                raise
            known = ", ".join(sorted(self._peers)) or "none"
            raise NodeUnreachable(
                f"node {self.node_id.name} has no session with {node!r} after {timeout_s:g} s; it is connected to: "
                f"{known}{self.join_reports.describe()}"
            ) from None
        return self._peers[node]

    async def wait_for_change(self) -> None:
        """Wait until a session begins, ends, breaks or heals."""
        changed: asyncio.Future[None] = self.system.loop.create_future()
        self._change_waiters.add(changed)
        try:
            await changed
        finally:
            self._change_waiters.discard(changed)  # a wait that was cancelled must leave nothing behind

    async def whereis(self, node: str, name: str) -> ActorRef | None:
        """Return the actor of another node that has this registered name, or is at this path; None for none.

        Raises ``NodeUnreachable``, and ``AskTimeout`` when the node does not answer.
        """
        return await self.peer(node).control_ref.ask(FindActor(name))

    async def spawn_at(self, node: str, spawn: SpawnActor, *, owner: ActorRef | None = None) -> ActorRef:
        """Start an actor on another node, within ``SPAWN_S`` seconds, and return its ref.

        owner: the new actor is stopped when this one ends; None ties it to none.
        Raises ``NodeUnreachable``, ``AskTimeout``, and what ``Node.spawn`` raises there.
        """
        return await self.peer(node).control_ref.ask(msgspec.structs.replace(spawn, owner=owner), SPAWN_S)

    def watch_peers(self, listener: PeerListener) -> Callable[[], None]:
        """Call a function with each peer that gets a session or is lost, from now on; returns what ends that."""
        self._peer_listeners.append(listener)

        def unwatch() -> None:
            if listener in self._peer_listeners:
                self._peer_listeners.remove(listener)

        return unwatch

    def close_idle_sessions(self, sessions_max: int) -> None:
        """Close sessions that are not needed while there are more than ``sessions_max``, from now on.

        A session is needed while an ask is open, an actor is watched, a mailbox presses back, or data is to be sent, in
        either direction.  All of that begins with a body that is sent or received, which marks the session as in use;
        so a regular look at the sessions so marked is enough.
        """
        self._sweep_timer = self.system.loop.call_later(SWEEP_S, self._sweep, sessions_max)

    def _sweep(self, sessions_max: int) -> None:
        self._close_unused()
        pause_s = SWEEP_S if len(self._peers) > sessions_max else CALM_SWEEP_S
        self._sweep_timer = self.system.loop.call_later(pause_s, self._sweep, sessions_max)

    def _close_unused(self) -> None:
        for peer in self._peers.values():
            session = self._sessions.peer(peer.node)
            if session is not None and session.in_use:  # only the next body sent or received can set it again
                session.in_use = peer.is_needed
        self._run(self._sessions.close_unused, self._now())

    # --- what peers ask for ------------------------------------------------------------------------------------------

    def spawn_for_peer(self, spawn: SpawnActor, peer: Peer) -> asyncio.Future[ActorRef]:
        """Start an actor that another node asks for; the future gives its ref, or why it did not start."""
        return asyncio.ensure_future(self._spawned(spawn, peer), loop=self.system.loop)

    async def _spawned(self, spawn: SpawnActor, peer: Peer) -> ActorRef:
        made = resolve_spawn(spawn, peer.codec, self._allowed, self.shipping)
        overrides = resolve_overrides(spawn)
        cost = _ActorCost(peer.account, has_thread=executor_of(made, overrides) == THREAD)
        try:
            ref = await self.local.spawn(made, spawn.name, spawn.shutdown_s, overrides)
        except BaseException:
            cost.give_back()
            raise
        ref._cell.add_watcher(cost)  # noqa: SLF001  a ref is the runtime's own
        if spawn.owner is not None:
            stop_with_owner(ref, spawn.owner)
        return ref

    def end_session(self, node: str, detail: str) -> None:
        """End the session with a node at once: this generation of it is known to have ended, for ``detail``."""
        self._carry_out(self._sessions.end_session(node, detail, self._now()))

    def node_ended(self, node_id: NodeId, detail: str) -> None:
        """Take note that a generation of a node is known to have ended, for ``detail``: so have all of its actors."""
        self.connector.forget(node_id)
        peer = self._peers.get(node_id.name)
        if peer is not None and peer.node_id == node_id:
            self.end_session(node_id.name, detail)
        self.directory.end_generation(node_id, detail)

    def endpoint_of(self, node_id: NodeId, told: Peer) -> str:
        """Return the endpoint of a node to tell a peer of, to which a ref of that node is sent; empty for none.

        One of the scheme by which the peer itself is reached is preferred; an ipc endpoint is of use only on this host,
        so it is told only to a peer that is reached so.
        """
        endpoints = self.connector.endpoints_of(node_id)
        other, here = self._peers.get(node_id.name), self._endpoint_of_peer(told)
        if not endpoints and other is not None and other.node_id == node_id:
            endpoints = (self._endpoint_of_peer(other),)
        scheme = here.partition("://")[0]
        fitting = [each for each in endpoints if each.partition("://")[0] == scheme]
        fitting += [each for each in endpoints if not each.startswith("ipc://")]
        return fitting[0] if fitting else ""

    def _endpoint_of_peer(self, peer: Peer) -> str:
        session = self._sessions.peer(peer.node)
        if session is None or session.peer is None:
            return ""
        # Where this node dials it by a host name, others are told the address that it tells itself.
        return session.peer.endpoint if endpoint_problem(session.endpoint) else session.endpoint

    def address_told(self, node_id: NodeId, endpoint: str, peer: Peer) -> None:
        """Take note that a peer says where a node listens, a ref of which it has sent."""
        if node_id != self.node_id and not endpoint_problem(endpoint) and self._transports.knows(endpoint):
            self.connector.add_hint(node_id, endpoint, peer.account)

    # --- what cells and the connector ask for ------------------------------------------------------------------------

    def find_generation(self, node_id: NodeId) -> Peer | None:
        """Return the peer of this generation of a node, dialled on demand; None when it cannot be reached."""
        peer = self._peers.get(node_id.name)
        if peer is None or peer.lost is not None:
            return None if self._closed else self.connector.find_generation(node_id)
        return peer if peer.node_id == node_id else None

    def send_to(
        self,
        node_id: NodeId,
        message: Message[object],
        *,
        reliable: bool = True,
        stream: Stream = "control",
        expires_s: float | None = None,
    ) -> None:
        """Send a message to the request handlers of a node, and dial it when it is not connected.

        reliable: False sends it to a connected node as a datagram.  stream: as for ``Peer.send``.
        expires_s: seconds that it waits for a session; None is 10 s, or 2 s if it is not reliable.
        Raises ``NodeUnreachable`` when no address of this generation of the node is known, ``WireError`` for a message
        that cannot travel, and ``MailboxFull`` when too much waits for the node.
        """
        peer = self._peers.get(node_id.name)
        if peer is not None and peer.lost is None and peer.node_id == node_id:
            self.connector.send_to(peer, message, reliable=reliable, stream=stream)
            return
        endpoints = () if self._closed else self.connector.endpoints_of(node_id)
        if not endpoints or self.peer_at(endpoints[0]) is not None:  # another generation listens there now
            raise NodeUnreachable(
                f"node {self.node_id.name} is not connected to node {node_id.name} of generation "
                f"{node_id.generation}, and knows no address of it: wait for PeerUp"
            )
        self.connector.send(endpoints[0], message, reliable=reliable, stream=stream, expires_s=expires_s)

    def dial(self, endpoint: str) -> None:
        """Dial an endpoint once, for data that waits to be sent there; an error is reported."""
        try:
            self._transports.find(endpoint)
            self._carry_out(self._sessions.connect(endpoint, self._now(), once=True))
        except TrouperError as error:
            self.system.reporter.problem(f"{endpoint} cannot be dialled", error)

    def cancel_dial(self, endpoint: str) -> None:
        """Stop dialling an endpoint: no data waits to be sent there any more."""
        self._carry_out(self._sessions.forget(endpoint, self._now()))

    def make_peer(self, node_id: NodeId, session: Session | None) -> tuple[Peer, SessionSender]:
        """Make the local side of a node, and the sender that its data leaves by; None for a session that is dialled."""
        sender = SessionSender(self, session, self._settings.frame_bytes_max - HEADER_BYTES)
        return Peer(self, node_id, sender), sender

    def peer_at(self, endpoint: str) -> Peer | None:
        """Return the connected node that listens at an endpoint; None for none."""
        return self._peer_at.get(endpoint)

    def send(self, session: Session, parts: tuple[Buffer, ...], stream: int) -> bool:
        """Give a body to a session; False when the session has no capacity for it now."""
        session.in_use = True  # whatever this begins: `_close_unused` looks again before the session may end
        if session.state != "up" and session.state != "broken":
            return False
        wanted = self._sessions.send(session, parts, stream, self._now())
        if wanted is None:
            return False
        self._carry_out(wanted)
        return True

    def send_datagram(self, peer: Peer, message: Message[object]) -> bool:
        """Send a message to a node beside the stream of its session; False when that is out of reach.

        Raises ``WireError`` for a message that cannot be sent so, and ``FrameTooLarge``.
        """
        session = self._sessions.peer(peer.node)
        if session is None or session.state != "up":
            return False
        session.in_use, session.used_at = True, self._now()
        self._carry_out(self._sessions.send_unreliable(session, (peer.codec.write_datagram(message),)))
        return True

    # --- what the transports report ----------------------------------------------------------------------------------

    def frame_received(self, parts: Sequence[Buffer], source: Source) -> None:
        """Take a frame that came in; a transport may call this from a handler of another node in the same loop."""
        if self._ignores_frames:
            return  # the transports are being closed: no answer could be sent
        if self._refused_ids and source.identity in self._refused_ids:
            self.security.note(self.identify(source.identity), "unknown", "a frame", "its key is admitted no more")
            return
        self.system.dispatcher.reset_inline_budget()
        token = current_invocation.set(None)  # the frame belongs to no handler of this node
        try:
            self._run(self._sessions.receive, parts, source, self._now())
        finally:
            current_invocation.reset(token)

    def wire_ready(self, wire: Wire) -> None:
        """A wire that was full takes frames again."""
        self._run(self._sessions.wire_ready, wire.endpoint, self._now())

    def wire_lost(self, wire: Wire, reason: str) -> None:
        """A wire's connection broke, or could not be made, for ``reason``."""
        if self._sessions.is_unreached(wire.endpoint):
            self.join_reports.refused(wire.endpoint, reason)
        self._run(self._sessions.wire_lost, wire.endpoint, reason, self._now())

    # --- effects -----------------------------------------------------------------------------------------------------

    def _run(self, step: Callable[..., Sequence[effects.Effect]], *args: object) -> None:
        """Take a step of the session manager for a transport or a timer, neither of which can handle an error."""
        try:
            self._carry_out(step(*args))
        except Exception as error:  # noqa: BLE001  reported: the next frame must find the network at work
            self.system.reporter.problem(f"the network of node {self.node_id.name} failed at one step", error)

    def _carry_out(self, wanted: Sequence[effects.Effect]) -> None:
        """Carry effects out, in order, and set the alarm; then raise the first error, if any effect failed.

        Effects that come of carrying these out (a listener sends or dials) are queued behind them.
        """
        self._effects.extend(wanted)
        if self._carrying_out:
            return
        failed: Exception | None = None
        full: set[str] = set()
        self._carrying_out = True
        try:
            while self._effects:
                try:
                    self._do(self._effects.popleft(), full)
                except Exception as error:  # noqa: BLE001  raised below, when the others have been carried out
                    failed = failed or error
        finally:
            self._carrying_out = False
            if (wake_at := self._sessions.wake_at) != self._alarm.at:
                self._alarm.set(wake_at)
        if failed is not None:
            raise failed

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
        if not effect.reliable:
            effect.session.used_at = self._now()
            peer.receive_datagram(b"".join(effect.parts))
            return
        try:
            if effect.stream == BULK:
                peer.out_of_band.take_chunk(effect.parts)
            else:
                peer.receive(effect.parts[0] if len(effect.parts) == 1 else b"".join(effect.parts))
        except (WireError, PeerOverLimit) as error:
            peer.note_refusal("a chunk of a large buffer" if effect.stream == BULK else "a body", error)

    def _on_session_event(self, effect: effects.SessionEvent) -> None:
        if isinstance(effect, effects.SessionUp):
            self._on_peer_up(effect)
        elif isinstance(effect, effects.SessionDown):
            self._on_peer_down(effect)
        elif isinstance(effect, effects.DialRefused):
            self.join_reports.refused(effect.endpoint, effect.text)
            self.connector.refused(effect.endpoint, effect.text)
            for listener in list(self.on_dial_refused):
                try:
                    listener(effect.endpoint, effect.code, effect.text)
                except Exception as error:  # noqa: BLE001  reported: it is the listener's own fault
                    what = f"{listener!r} failed, called because {effect.endpoint} refused the session"
                    self.system.reporter.problem(what, error)
            if effect.code != "closing":  # a node that shuts down in order is no problem, and `refusals` has its words
                self.system.reporter.problem(f"{effect.endpoint} refused the session ({effect.code}): {effect.text}")
        elif isinstance(effect, effects.FrameRejected):
            self.security.note(self.identify(effect.source.identity), "unknown", "a frame", effect.problem)
        else:
            known = self._peer_of_session.get(effect.session.token)
            if known is not None:
                known.in_reach = not isinstance(effect, effects.PeerUnreachable)
                known.flush()
        if not isinstance(effect, effects.CapacityAvailable):
            self._notify_changed()

    def _on_peer_up(self, effect: effects.SessionUp) -> None:
        node_id = NodeId(effect.greeting.node, effect.greeting.generation)
        self.directory.begin_generation(node_id)
        endpoints = (effect.greeting.endpoint, effect.session.endpoint)
        peer = self.connector.arrived(node_id, effect.session, endpoints)
        peer.authenticate(self.identify(effect.session.identity))
        self._peer_at.update(dict.fromkeys(endpoints, peer))
        for endpoint in endpoints:
            self.join_reports.refusals.pop(endpoint, None)
        self._peer_of_session[effect.session.token] = self._peers[peer.node] = peer
        self._tell_listeners(peer, up=True)

    def _on_peer_down(self, effect: effects.SessionDown) -> None:
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
        self.connector.forget_hint(peer.node_id)
        # A body of items has one part, a chunk of a large buffer two: the message of a chunk is in a later body.
        peer.lose(effect.detail, [bytes(parts[0]) for parts in effect.unacknowledged if len(parts) == 1])
        self._tell_listeners(peer, up=False)

    def _tell_listeners(self, peer: Peer, *, up: bool) -> None:
        """Call each listener, whatever the others do: one that fails must not keep the next from the news."""
        for listener in list(self._peer_listeners):
            try:
                listener(peer, up)
            except Exception as error:  # noqa: BLE001  reported: it is the listener's own fault
                what = "connected" if up else "lost"
                self.system.reporter.problem(f"{listener!r} failed, called because node {peer.node} was {what}", error)

    # --- time and change ---------------------------------------------------------------------------------------------

    def _find_known_node(self, name: str) -> KnownNode | None:
        return None if self.known_node is None else self.known_node(name)

    def _tick(self) -> None:
        self._run(self._sessions.tick, self._now())

    @property
    def _sessions(self) -> SessionManager:
        assert self._manager is not None, "start() makes it before anything else happens"
        return self._manager

    def _on_actor_event(self, cell: Cell, what: str) -> None:
        if what == "ended":
            self.exports.pop(cell.uid, None)

    def _notify_changed(self) -> None:
        waiters, self._change_waiters = self._change_waiters, set()
        for changed in waiters:
            if not changed.done():
                changed.set_result(None)


class _ActorCost:
    """Takes from an account what an actor of a peer costs, and gives it back at the end of the actor, as its watcher.

    Raises ``PeerOverLimit``, and then holds nothing.
    """

    __slots__ = ("_account", "_has_thread")

    def __init__(self, account: Account, *, has_thread: bool) -> None:
        self._account, self._has_thread = account, False
        account.take("actors")
        try:
            if has_thread:
                account.take("threads")
                self._has_thread = True
        except PeerOverLimit:
            self.give_back()
            raise

    def give_back(self) -> None:
        """Give all of it back."""
        self._account.give_back("actors")
        if self._has_thread:
            self._account.give_back("threads")

    def on_down(self, down: Down) -> None:  # noqa: ARG002  the reason does not matter
        """The actor has ended."""
        self.give_back()


class SessionSender:
    """The session with one peer, as the peer's send buffer uses it; it has no session until the node is connected."""

    __slots__ = ("_body_bytes_max", "_network", "session")

    def __init__(self, network: Network, session: Session | None, body_bytes_max: int) -> None:
        self._network, self.session, self._body_bytes_max = network, session, body_bytes_max

    @property
    def is_open(self) -> bool:
        """Whether there is a session, and it is not about to end as idle."""
        return self.session is not None and self.session.state in ("up", "broken")

    @property
    def is_quiet(self) -> bool:
        """Whether the peer is in reach, and has acknowledged all that it was sent."""
        return self.session is not None and self.session.state == "up" and not self.session.sequencer.has_unacknowledged

    def send(self, body: bytes, /, *, urgent: bool = False) -> bool:
        """Send a body, in the control stream if ``urgent``; False when the session has no capacity now."""
        return self.session is not None and self._network.send(self.session, (body,), CONTROL if urgent else NORMAL)

    def send_chunk(self, chunk: Chunk, /) -> bool:
        """Send a part of a large buffer; False when the session has no capacity now."""
        return self.session is not None and self._network.send(self.session, chunk, BULK)

    @property
    def body_bytes_max(self) -> int:
        """Bytes of the largest body that the peer takes; this node's own limit until the peer's is known."""
        return self._body_bytes_max if self.session is None else self.session.body_bytes_max


class TransportSet:
    """The transports of a node, and its wires to other nodes.

    transports: the first one that knows an endpoint's scheme is used.
    """

    def __init__(self, transports: Sequence[Transport]) -> None:
        self._transports = transports
        self._wires: dict[str, Wire] = {}

    def find(self, endpoint: str) -> Transport:
        """Return the transport for an endpoint; raises ``InvalidOption`` when there is none."""
        scheme = endpoint.partition("://")[0]
        for transport in self._transports:
            if scheme in transport.schemes:
                return transport
        raise InvalidOption(f"the endpoint {endpoint!r}: no transport of this node knows {scheme}://")

    @property
    def identities(self) -> Identities | None:
        """What an operator has said about the keys of peers; None where no transport asks for keys."""
        found = [each.identities for each in self._transports if isinstance(each, AuthenticatingTransport)]
        return next((each for each in found if each is not None), None)

    async def listen(self, endpoints: Sequence[str]) -> tuple[str, ...]:
        """Listen at endpoints; returns them as peers reach them."""
        return tuple([await self.find(endpoint).listen(endpoint) for endpoint in endpoints])

    async def advertised(self, endpoint: str) -> str:
        """Return the endpoint that this node tells peers in place of those where it listens, without a host name.

        Raises ``InvalidOption`` for one that peers would not take, and what the transport raises.
        """
        transport = self.find(endpoint)
        told = await transport.resolve(endpoint) if isinstance(transport, ResolvingTransport) else endpoint
        if problem := endpoint_problem(told):
            raise InvalidOption(f"advertise={endpoint!r} is told to peers, and they would not take it: {problem}")
        return told

    def knows(self, endpoint: str) -> bool:
        """Return whether there is a transport for an endpoint."""
        scheme = endpoint.partition("://")[0]
        return any(scheme in transport.schemes for transport in self._transports)

    async def close(self) -> None:
        """Close all transports."""
        for transport in self._transports:
            await transport.close()

    def open(self, endpoint: str) -> None:
        """Open a wire to an endpoint."""
        self._wires[endpoint] = self.find(endpoint).connect(endpoint)

    def close_wire(self, endpoint: str) -> None:
        """Close the wire to an endpoint, if it could be opened."""
        wire = self._wires.pop(endpoint, None)
        if wire is not None:
            wire.close()

    def transmit(self, effect: effects.Transmit) -> bool:
        """Give a frame to its wire; False when the wire is full and the frame has a number, to be sent again."""
        wire = self._wires.get(effect.endpoint)
        if wire is not None and not effect.reliable:
            wire.send_nowait(effect.parts, reliable=False)
            return True
        return wire is None or wire.send_nowait(effect.parts) or not effect.sequence

    def refuse(self, effect: effects.Refuse) -> None:
        """Send one frame to an endpoint that no wire is kept to."""
        wire = self.find(effect.endpoint).connect(effect.endpoint)
        wire.send_nowait(effect.parts)
        wire.close()
