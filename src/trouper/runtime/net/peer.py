"""The local side of one connected node: what is sent to it, and what comes from it.

Each item that comes in is decoded by the type that its target takes; an item that cannot be decoded is refused alone.
A peer is one generation of a node: when that has ended, or stays out of reach for too long, everything here ends with
``node_lost``, and the next generation gets another peer.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, cast

import msgspec

from ..kernel.address import NodeId
from ..kernel.ask import Ask, Envelope, ToldWithHeaders, content, current_invocation, is_ask
from ..kernel.cell import Cell
from ..kernel.errors import ActorStopped, MailboxFull, NotPermitted, PeerOverLimit, Unhandled, WireError
from ..kernel.hooks import request_with_headers
from ..kernel.mailbox import CapacityWaiter
from ..kernel.message import Message
from ..kernel.ref import DONE, ActorRef, ask_with_headers, tell_with_headers
from ..session.budget import RateLimit
from ..session.codec import (
    NO_BUFFERS,
    REPLY_ERROR,
    Body,
    Item,
    OutOfBandPayload,
    RefDefinition,
    SessionCodec,
    TakenBuffers,
)
from ..session.identity import Identity
from .bulk.out_of_band import OutOfBandBuffers
from .control import (
    CONTROLS,
    CancelAsk,
    EndActor,
    LinkedActorEnded,
    MessageNotRead,
    MessagesSettled,
    RemoteFailure,
    SetBackpressure,
    SpawnActor,
)
from .control_handler import ControlHandler
from .errors import UnreadableMessage, failure_of, raised_from
from .incoming_asks import IncomingAsks
from .permissions import TO_ACTOR, check, is_exported
from .remote_cell import RemoteCell
from .send_buffer import BACKGROUND_MAX, LIMIT, SendBuffer, SendPort
from .settled import SettledCount

if TYPE_CHECKING:
    import asyncio

    from ..kernel.ref import Down
    from ..kernel.supervision import Overrides
    from ..kernel.system import System
    from ..session.budget import Budget
    from .bulk.out_of_band import BulkResources
    from .directory import Directory
    from .request_handlers import RequestHandlers
    from .security_log import SecurityLog

R = TypeVar("R")
Stream = Literal["control", "normal", "bulk"]
"""How a message to a node is sent: ahead of all others, in order with them, or when no other waits."""
ASK_S_MAX = 86_400.0
"""Seconds that an ask of another node may have left; a longer time is cut to this."""
ASK_GRID_PER_S = 100
"""The time that an ask has left is rounded up to a multiple of 1/100 s, so that many asks share one timer."""
NOT_READ_MAX = 10
"""Messages to one actor that could not be read and are told of, to the sender and in its log, in ``NOT_READ_S`` s."""
NOT_READ_S = 60.0
LETTERS_MAX = 200
"""Dead letters of one reason that are made of a peer's messages in ``LETTERS_S`` s; further ones are only counted."""
LETTERS_S = 1.0
OMITTED_S = 60.0
"""Seconds between two lines in the log which say that letters are only counted, at least."""
LIMITED_ACTORS_MAX = 100
"""Actors that have a limit of their own, so that a noisy one hides no other."""


class LocalActors(Protocol):
    """What peers may ask of the actors of this node."""

    def spawn(
        self, actor: Callable[..., object], name: str | None, shutdown_s: float | None, overrides: Overrides, /
    ) -> Awaitable[ActorRef]:
        """Start an actor under ``/user``, which is not restarted; raises what ``Node.spawn`` raises."""
        ...

    def find(self, name: str, /) -> ActorRef | None:
        """Return the actor that is registered by this name, or is at this path; None for none."""
        ...

    def on_linked_actor_ended(self, cell: Cell, down: Down, /) -> None:
        """Take note that an actor elsewhere, which this actor is linked to, has ended abnormally."""
        ...


class PeerContext(Protocol):
    """What a peer needs of its network."""

    @property
    def system(self) -> System:
        """The actors of this node."""
        ...

    @property
    def node_id(self) -> NodeId:
        """The name and the generation of this node."""
        ...

    @property
    def exports(self) -> dict[int, Cell]:
        """The actors of this node that peers may send to, by uid."""
        ...

    @property
    def request_handlers(self) -> RequestHandlers:
        """The requests that this node serves to its peers."""
        ...

    @property
    def directory(self) -> Directory:
        """The actors of other nodes that this node has refs to."""
        ...

    @property
    def security(self) -> SecurityLog:
        """What peers were refused."""
        ...

    @property
    def bulk(self) -> BulkResources:
        """Settings and memory for large buffers."""
        ...

    @property
    def budget(self) -> Budget:
        """What peers may cost this node."""
        ...

    @property
    def local(self) -> LocalActors:
        """What the peer may ask of the actors of this node."""
        ...

    def endpoint_of(self, node_id: NodeId, told: Peer, /) -> str:
        """Return the endpoint of a node to tell a peer of; empty for none."""
        ...

    def address_told(self, node_id: NodeId, endpoint: str, peer: Peer, /) -> None:
        """Take note that a peer says where a node listens."""
        ...

    def spawn_for_peer(self, spawn: SpawnActor, peer: Peer, /) -> asyncio.Future[ActorRef]:
        """Start an actor that the peer asks for."""
        ...


class Peer:
    """One connected node, or one that is being dialled.

    node_id: its name and generation.  sender: its session.
    """

    def __init__(self, context: PeerContext, node_id: NodeId, sender: SendPort) -> None:
        self._context, self.node_id = context, node_id
        self.system = context.system
        self.codec = SessionCodec(self._describe_ref, self._ref_of, tuple(CONTROLS), self._endpoint_of)
        self._plain: dict[type, int] = {}
        self._choose_branch()
        self.system.outgoing.subscribe(self._choose_branch)
        self.lost: str | None = None
        """Why the node is lost; None while it is not."""
        self.identity = Identity(None, None, frozenset())
        """As which the transport has authenticated the node, and what it may do; no role before its session is up."""
        self.account = context.budget.account("", "nodes that are being dialled", shared=True)
        """What peers of this identity cost this node."""
        self._exports: Mapping[int, Cell] = {}
        self.in_reach = True
        """Whether the connection works just now; a session outlives a connection that breaks and is made anew."""
        self.watched: dict[int, RemoteCell] = {}
        """The actors there whose end this node has asked to be told of, by uid."""
        self._correlation = 0
        self._asks: dict[int, Ask[object]] = {}
        self._correlations: dict[Ask[object], int] = {}
        self.asks: Mapping[int, Ask[object]] = self._asks
        """The asks that wait for a reply from there, by correlation, the oldest first."""
        self.out_of_band = OutOfBandBuffers(context.bulk, self.control, self.system.loop, self.account)
        self._send_buffer = SendBuffer(
            sender,
            self.codec,
            self._asks,
            self._rejected,
            self.system.loop,
            context.bulk.settings,
            self.account,
            self.out_of_band.shared_memory,
        )
        self.incoming_asks = IncomingAsks(self.system, self._send_buffer, self._packed, self.account)
        self.on_wait: Callable[[], None] | None = None
        """Called whenever a handler sends an ask to the node, and so waits for it; None while no listener is set."""
        self._backpressured_cells: set[RemoteCell] = set()  # actors there whose mailboxes are above high water
        self._backpressured_uids: set[int] = set()  # actors here whose backpressure the peer is told of, or will be
        self._not_read = _Limits(NOT_READ_MAX, NOT_READ_S)
        self._failed = RateLimit(NOT_READ_MAX, NOT_READ_S)
        self._not_read_there = _Limits(NOT_READ_MAX, NOT_READ_S)
        self._letters = defaultdict[str, RateLimit](partial(RateLimit, LETTERS_MAX, LETTERS_S))  # by reason
        self._only_counted = 0  # messages of the body at hand that reached no actor, and of which no letter is made
        self._omitted_lines = defaultdict[str, RateLimit](partial(RateLimit, 1, OMITTED_S))
        self._told = self._settled_there = 0  # messages to actors there, asks not counted; how many are settled
        self.settled = SettledCount(self.system.loop, lambda count: self.control(MessagesSettled(count)))
        """Counts what the peer has told to actors here."""
        self._control_handler = ControlHandler(self, context)
        self._control_cell = context.directory.cell(node_id, 0, "")
        self.control_ref = self._control_cell.ref
        """The ref to the node itself, for requests."""
        self.flush = self._send_buffer.flush

    @property
    def node(self) -> str:
        """The name of the node."""
        return self.node_id.name

    def authenticate(self, identity: Identity) -> None:
        """Take note of the node's identity: what it may do is decided by that from now on."""
        self.identity = identity
        account = self._context.budget.account(identity.id, str(identity), shared=identity.name is None)
        assembly = self.out_of_band.assembly
        self.account.move("definitions", self.codec.defined, account)
        self.account.move("assembly_bytes", assembly.allocated_bytes, account)
        self.account.move("watches", self._control_handler.watch_count, account)
        self.account = self.codec.account = self.incoming_asks.account = assembly.account = account
        self._send_buffer.charge(account)
        self._exports = self._context.exports if identity.may(*TO_ACTOR) else {}

    def describe(self) -> str:
        """Say in one clause whether the node is in reach, for error messages."""
        return self.lost or ("in reach" if self.in_reach else "out of reach at the moment")

    # --- out ---------------------------------------------------------------------------------------------------------

    @property
    def is_backpressured(self) -> bool:
        """Whether so much waits for the session that senders should wait too."""
        return self._send_buffer.is_backpressured

    async def wait_for_capacity(self) -> None:
        """Wait until the session is below its high-water mark."""
        await self._send_buffer.wait_for_capacity()

    def push(self, uid: int, item: object) -> bool:
        """Send a message or an ask to an actor there; one that cannot be sent is a dead letter.

        Returns whether so much waits for the session now that the sender should wait too.
        """
        is_bare = not isinstance(item, Envelope)
        if is_bare and (known := self._plain.get(type(item))) is not None and not self._send_buffer.above_high_water:
            # The common case of what follows: the type was sent before, has no buffers, and there is capacity.
            self.system.received_by_gone += 1
            self.system.handled_by_gone += 1
            self._told += 1
            return self._send_buffer.put((uid, 0, known, item))
        if self.system.outgoing.at_work:
            item = self._passed_on(uid, item)
            is_bare = not isinstance(item, Envelope)
        message: object = item if is_bare else content(item)
        system, codec, buffer = self.system, self.codec, self._send_buffer
        system.received_by_gone += 1  # as `count_gone` does, without its call
        system.handled_by_gone += 1
        packed: OutOfBandPayload | None = None
        number = codec.numbers.get(type(message))
        if number is None or number in codec.carriers or buffer.above_high_water:
            try:
                if buffer.full:
                    raise MailboxFull(f"{LIMIT} messages wait for node {self.node} already: await tell()")
                number = codec.number_of(type(message))
                packed = self._packed(message) if number in codec.carriers else None
            except (WireError, MailboxFull) as error:
                self._undeliverable(uid, item, error)
                return self.is_backpressured
        correlation = 0
        if not is_bare and is_ask(item):
            correlation = self._correlation = self._correlation + 1
            self._asks[correlation] = item
            self._correlations[item] = correlation
            if self.on_wait is not None and item.asker is not None:
                self.on_wait()
        elif uid:
            self._told += 1
        if isinstance(item, Envelope) and item.headers is not None:
            message = ToldWithHeaders(item.message, item.headers)
            if packed is not None:
                packed.value = message
        is_backpressured = buffer.put((uid, correlation, number, packed or message))
        if correlation:
            buffer.flush_now()
        return is_backpressured

    def _passed_on(self, uid: int, item: object) -> object:
        """Return the item with the headers that follow, after the instruments have seen it."""
        cell = self._context.directory.get(self.node_id, uid) if uid else None
        return self.system.outgoing.pass_on(cell or self._control_cell, item)

    def _choose_branch(self) -> None:
        """Let ``push`` take its short branch, unless something is done with every item that is sent."""
        self._plain = {} if self.system.outgoing.at_work else self.codec.plain

    def _packed(self, value: object) -> OutOfBandPayload | None:
        """Take the large buffers out of a message or a reply; None when it has none.

        Raises ``WireError`` for a value that may not travel, ``MailboxFull`` when too many bytes wait already.
        """
        packed = self.out_of_band.pack(value)
        if packed is not None and not self._send_buffer.reserve(packed.buffer_bytes):
            raise MailboxFull(f"too many large buffers wait for node {self.node}, see queue_bytes_max: await tell()")
        return packed

    def control(self, message: Message[object]) -> None:
        """Send a message to the node itself, for its control handler or its request handlers; none to a lost node."""
        if self.lost is None:
            item = (0, 0, self.codec.number_of(type(message)), message)
            in_order = isinstance(message, LinkedActorEnded) or (
                isinstance(message, EndActor) and message.how == "drain"
            )
            (self._send_buffer.put if in_order else self._send_buffer.put_signal)(item)

    def send(self, message: Message[object], stream: Stream = "normal") -> None:
        """Send a message to the node itself, for its request handlers; none to a lost node.

        stream: ``control`` goes ahead of all that waits, ``normal`` in order with messages to actors, ``bulk`` when
            nothing else waits.  A message with large buffers is in order with others of its kind only.
        Raises ``WireError`` for a message that cannot travel, and ``MailboxFull`` when too much waits for the node.
        """
        if self.lost is not None:
            return
        number = self.codec.number_of(type(message))
        packed = self._packed(message) if number in self.codec.carriers else None
        item = (0, 0, number, packed or message)
        if packed is not None or stream == "normal":
            if self._send_buffer.full:
                raise MailboxFull(f"{LIMIT} messages wait for node {self.node} already: send less")
            self._send_buffer.put(item)
        elif stream == "control":
            self._send_buffer.put_urgent(item)
        elif not self._send_buffer.put_background(item):
            raise MailboxFull(f"{BACKGROUND_MAX} messages wait in the bulk stream to node {self.node}: send less")

    def cancel(self, ask: Ask[R]) -> None:
        """Forget an ask whose asker has given up, and tell the node."""
        correlation = self._correlations.pop(cast("Ask[object]", ask), None)
        if correlation is not None:
            del self._asks[correlation]
            self.control(CancelAsk(correlation))

    def _take_ask(self, correlation: int) -> Ask[object] | None:
        ask = self._asks.pop(correlation, None)
        if ask is not None:
            del self._correlations[ask]
        return ask

    def _rejected(self, item: Item, error: WireError | None) -> None:
        """Take an item back that the send buffer does not send; ``error`` is None when its asker has given up."""
        to, correlation, number, payload = item
        if error is None:
            self._dead_letter(to, payload, "expired", None, asked=True)
        elif number <= REPLY_ERROR:
            self._send_buffer.put((0, correlation, REPLY_ERROR, failure_of(error, self.system.reporter)))
        else:
            self._told -= bool(to and not correlation)
            self._undeliverable(to, self._take_ask(correlation) or payload, error)

    def _undeliverable(self, uid: int, item: object, error: Exception) -> None:
        if is_ask(item):
            item.refuse(error)
        reason = "mailbox_full" if isinstance(error, MailboxFull) else "unsendable"
        self._dead_letter(uid, item, reason, error, asked=is_ask(item))

    def _dead_letter(self, uid: int, item: object, reason: str, error: Exception | None, *, asked: bool) -> None:
        """Make a dead letter of an item, which was counted as handled when it was sent."""
        self.system.count_gone(0, -1)
        cell = (self._context.directory.get(self.node_id, uid) if uid else None) or self._control_cell
        self.system.dead_letter(item, cell.ref, reason, error, asked=asked)

    # --- in ----------------------------------------------------------------------------------------------------------

    def receive(self, body: bytes | bytearray | memoryview) -> None:
        """Give each item of a body to its target.

        Raises ``WireError`` when the body cannot be read as a whole, and ``PeerOverLimit`` when it defines too much.
        """
        self._send_buffer.cork()
        try:
            opened = self.codec.open(body)
            deadlines = iter(opened.deadlines)
            is_usual = not (opened.out_of_band or opened.headers or self.system.outgoing.at_work or self._takes_no_asks)
            (self._receive_items if is_usual else self._receive_one_by_one)(opened, deadlines)
        finally:
            if self._only_counted:
                self._count_only()
            if self.settled.timer is None:
                self.settled.received()
            self._send_buffer.flush()

    def receive_datagram(self, body: bytes) -> None:
        """Take a message to the node itself that came by itself; one that cannot be handled is left out."""
        try:
            self.handle_datagram(body)
        except Exception as error:  # noqa: BLE001  an error of one datagram must not keep the next back
            if not isinstance(error, NotPermitted | PeerOverLimit):  # those are counted already
                self.report_failure("a datagram", error)

    def handle_datagram(self, body: bytes) -> None:
        """Have the message of a datagram handled.

        Raises ``WireError`` for one that cannot be read, ``NotPermitted`` and ``PeerOverLimit`` for one that the peer
        may not send, and ``Unhandled``.
        """
        message = self.codec.read_datagram(body)
        name = type(message).__qualname__
        if type(message) in CONTROLS:
            raise WireError(f"{name} is sent in order with other messages, never as a datagram")
        try:
            self._control_handler.take(message, 0)
        except (NotPermitted, PeerOverLimit) as error:
            self.note_refusal(name, error)
            raise

    def _receive_items(self, opened: Body, deadlines: Iterator[float]) -> None:
        readers, exports, unsettled = self.codec.readers, self._exports, self.settled.unsettled
        letters, now = self._letters["no_such_actor"], self.system.loop.time()
        is_permitted = exports is self._context.exports
        for to, correlation, number, payload in opened.items:
            if number <= REPLY_ERROR:
                self._reply(correlation, number, payload)
                continue
            read, cell = readers.get(number), exports.get(to)
            try:
                message = None if read is None or cell is None else read(payload)
            except Exception:  # noqa: BLE001  `_take` gets the same error again, and handles it
                message = None
            if message is None or cell is None:
                if cell is None and to and not correlation and is_permitted and letters.is_used_up(now):
                    self._only_counted += 1  # as `_take` does, without its call
                    continue
                self._take(to, correlation, number, payload, next(deadlines, 0.0) if correlation else None)
            elif correlation:
                self._give(cell, correlation, message, next(deadlines, 0.0))
            else:  # as `_give` does, without its call
                unsettled[cell] += 1
                try:
                    if (capacity := cell.ref.tell(message)) is not DONE:
                        self._await_capacity(cell, capacity)
                except MailboxFull as error:
                    self._overflow(cell, message, error)

    def _receive_one_by_one(self, opened: Body, deadlines: Iterator[float]) -> None:
        """Take a body with items whose buffers came before it, or that have headers, or that instruments see."""
        out_of_band, headers = dict(opened.out_of_band), dict(opened.headers)
        for at, (to, correlation, number, payload) in enumerate(opened.items):
            taken = self.out_of_band.take(out_of_band.get(at, ()))
            if number <= REPLY_ERROR:
                self._reply(correlation, number, payload, taken)
            else:
                timeout_s = next(deadlines, 0.0) if correlation else None
                self._take(to, correlation, number, payload, timeout_s, taken, headers.get(at))

    def _take(
        self,
        to: int,
        correlation: int,
        number: int,
        payload: msgspec.Raw,
        timeout_s: float | None,
        taken: TakenBuffers = NO_BUFFERS,
        headers: dict[str, bytes] | None = None,
    ) -> None:
        cell = self._context.exports.get(to)
        is_told = to and not correlation and self.identity.may(*TO_ACTOR)
        if cell is None and is_told and self._letters["no_such_actor"].is_used_up(self.system.loop.time()):
            self._only_counted += 1  # as below, without the cost of an error
            return
        try:
            if to:
                check(self.identity, self._context.node_id.name, f"a message to actor #{to}", TO_ACTOR)
            if correlation and self._takes_no_asks:
                raise PeerOverLimit(f"too much waits for {self.identity}: asks of node {self.node} are refused")
            message = self.codec.read(number, payload, taken)
            if not to:
                self._take_request(message, correlation, headers)
                return
            if cell is None:
                raise ActorStopped(
                    f"trouper://{self._context.node_id.name} has no actor #{to} any more: look for another"
                )
        except Exception as error:  # noqa: BLE001  an error of one item must not keep the rest of the frame back
            if correlation and not self._takes_no_asks:
                self.incoming_asks.reply_error(correlation, error)
            reason = self._reason(error, number)
            self.system.count_gone(1, 0)
            if self._letters[reason].admits(self.system.loop.time()):
                absent = self._context.directory.cell(self._context.node_id, to, "") if cell is None else cell
                unreadable = UnreadableMessage(self.node, str(error))
                self.system.dead_letter(unreadable, absent.ref, reason, error, asked=bool(correlation))
            else:
                self._omit_letters(1, reason)
            if to and not correlation:
                self.settled.count += 1
                if reason == "decode_error" and self._not_read.admits(to, self.system.loop.time()):
                    self.control(MessageNotRead(to, str(error)))
            return
        outgoing = self.system.outgoing
        outgoing.skip_next = outgoing.at_work  # it was sent on the other node
        try:
            self._give(cell, correlation, message, timeout_s, headers)
        finally:
            outgoing.skip_next = False

    def _count_only(self) -> None:
        """Count the messages of the last body that reached no actor, and of which no letters are made."""
        count, self._only_counted = self._only_counted, 0
        self.system.count_gone(count, 0)
        self.settled.count += count
        self._omit_letters(count, "no_such_actor")

    def _omit_letters(self, count: int, reason: str) -> None:
        """Count dead letters that are not made, because so many of the peer were made just before; say so at times."""
        self.system.dead_letters[reason] += count
        if self._omitted_lines[reason].admits(self.system.loop.time()):
            self.system.reporter.problem(
                f"more than {LETTERS_MAX} messages of node {self.node} in {LETTERS_S:g} s are dead letters ({reason}): "
                "further ones are counted in node.dead_letters.counts, and neither kept nor published"
            )

    def _reason(self, error: Exception, number: int) -> str:
        """Return the reason of the dead letter of an item that came in; a refusal and a fault are reported."""
        if isinstance(error, NotPermitted | PeerOverLimit):
            self.note_refusal(self.codec.name_of(number), error)
            return "not_permitted" if isinstance(error, NotPermitted) else "over_limit"
        if isinstance(error, WireError):
            return "decode_error"
        if isinstance(error, ActorStopped | Unhandled):
            return "no_such_actor"
        self.report_failure(self.codec.name_of(number), error)
        return "failed"

    def note_refusal(self, what: str, error: Exception) -> None:
        """Count, publish and log that the peer was refused something, for ``error``."""
        self._context.security.note(self.identity, self.node, what, str(error))

    @property
    def _takes_no_asks(self) -> bool:
        """Whether so many replies wait already that no further ask is answered, not even by an error."""
        return self._send_buffer.above_high_water and self._send_buffer.full

    def report_failure(self, what: str, error: Exception) -> None:
        """Log that a message of the peer to the node itself failed, unless there were too many just before."""
        if self._failed.admits(self.system.loop.time()):
            self.system.reporter.problem(f"{what} from node {self.node} failed", error)

    def _take_request(self, message: Message[object], correlation: int, headers: dict[str, bytes] | None) -> None:
        """Have a request to the node itself handled; headers that follow go into what is sent for it."""
        if not headers:
            self._control_handler.take(message, correlation)
            return
        token = current_invocation.set(request_with_headers(self.system, message, headers))
        try:
            self._control_handler.take(message, correlation)
        finally:
            current_invocation.reset(token)

    def _give(
        self,
        cell: Cell,
        correlation: int,
        message: Message[object],
        timeout_s: float | None,
        headers: dict[str, bytes] | None = None,
    ) -> None:
        ref = cell.ref
        if timeout_s is not None:
            grid_s = math.ceil(min(timeout_s, ASK_S_MAX) * ASK_GRID_PER_S) / ASK_GRID_PER_S
            ask = ask_with_headers(ref, message, grid_s, headers) if headers else ref.ask(message, grid_s)
            try:
                self.incoming_asks.answer(correlation, ask, cell, type(message))
            except (PeerOverLimit, WireError) as error:
                self.note_refusal("an ask", error)
                self.incoming_asks.reply_error(correlation, error)
            return
        self.settled.unsettled[cell] += 1
        try:
            capacity = tell_with_headers(ref, message, headers) if headers else ref.tell(message)
            if capacity is not DONE:
                self._await_capacity(cell, capacity)
        except MailboxFull as error:
            self._overflow(cell, message, error)

    def _overflow(self, cell: Cell, message: Message[object], error: MailboxFull) -> None:
        cell.received += 1
        cell.lose(message, "mailbox_full", error)

    def _await_capacity(self, cell: Cell, capacity: Awaitable[None]) -> None:
        if cell.uid not in self._backpressured_uids:
            self._backpressured_uids.add(cell.uid)
            self.system.background(self._until_capacity(cell, capacity))

    async def _until_capacity(self, cell: Cell, capacity: Awaitable[None]) -> None:
        """Tell the peer to hold back until the mailbox has capacity, unless it has at the next loop iteration."""
        if not (isinstance(capacity, CapacityWaiter) and capacity.has_capacity):
            self.control(SetBackpressure(cell.uid, True))
            await capacity
            self.control(SetBackpressure(cell.uid, False))
        self._backpressured_uids.discard(cell.uid)

    def on_message_not_read(self, report: MessageNotRead) -> None:
        """Log that the node could not read a message that an actor here has sent; nothing else tells its sender."""
        if self._not_read_there.admits(report.uid, self.system.loop.time()):
            cell = self._context.directory.get(self.node_id, report.uid)
            target = f"its actor #{report.uid}" if cell is None else str(cell.address)
            self.system.reporter.problem(f"node {self.node} could not read a message to {target}: {report.problem}")

    def on_settled(self, count: int) -> None:
        """Take note of how many of the messages that were told to actors there are settled."""
        self._settled_there = max(self._settled_there, min(count, self._told))

    def end_actor(self, uid: int, reason: str, error: str | None) -> None:
        """Take note that an actor there has ended, for ``reason``; ``error`` is the text of its failure."""
        self.watched.pop(uid, None)
        cell = self._context.directory.get(self.node_id, uid)
        if cell is not None:
            cell.end(reason, error)

    def set_backpressure(self, uid: int, *, high: bool) -> None:
        """Take note that the mailbox of an actor there is above its high-water mark, or below it again."""
        cell = self._context.directory.get(self.node_id, uid)
        if cell is not None:
            cell.set_backpressure(high=high)
            (self._backpressured_cells.add if high else self._backpressured_cells.discard)(cell)

    def _reply(self, correlation: int, number: int, payload: msgspec.Raw, taken: TakenBuffers = NO_BUFFERS) -> None:
        ask = self._take_ask(correlation)
        if ask is None:
            self.system.late_replies += 1
            return
        try:
            if number == REPLY_ERROR:
                failure = self.codec.read_as(RemoteFailure, payload, "an error")
                assert isinstance(failure, RemoteFailure)  # the codec has checked it
                ask.refuse(raised_from(failure, self.node))
            else:
                ask.answer(self.codec.read_reply(type(ask.message), payload, taken))
        except WireError as error:
            ask.refuse(error)

    # --- refs --------------------------------------------------------------------------------------------------------

    def _describe_ref(self, ref: ActorRef) -> tuple[str, int, str, int]:
        cell = ref._cell  # noqa: SLF001  a ref is the runtime's own
        if cell.system is not self.system:
            raise TypeError(f"{ref!r} belongs to another node of this process, and came here without a message")
        if isinstance(cell, RemoteCell):
            return cell.node_id.name, cell.node_id.generation, cell.address.path, cell.uid
        if cell.uid not in self._context.exports and not cell.gone:
            if not is_exported(cell):
                raise TypeError(
                    f"{cell.address} is not exported: other nodes get no ref to it, because "
                    f"{cell.spec.actor.__qualname__} says exported = False or is an actor of the runtime"
                )
            self._context.exports[cell.uid] = cell
        node_id = self._context.node_id
        return node_id.name, node_id.generation, cell.address.path, cell.uid

    def _endpoint_of(self, node: str, generation: int) -> str:
        """Return where a node listens, to tell the peer of it; empty for the two nodes of this session."""
        node_id = NodeId(node, generation)
        is_known = node_id in (self.node_id, self._context.node_id)
        return "" if is_known else self._context.endpoint_of(node_id, self)

    def _ref_of(self, definition: RefDefinition) -> ActorRef:
        node_id = NodeId(definition.node, definition.generation)
        if definition.endpoint:
            self._context.address_told(node_id, definition.endpoint, self)
        own = self._context.exports.get(definition.uid) if node_id == self._context.node_id else None
        return (own or self._context.directory.cell(node_id, definition.uid, definition.path)).ref

    def correlation_of(self, ask: Ask[R]) -> int:
        """Return the correlation of an ask that waits for a reply from there; 0 for any other."""
        return self._correlations.get(cast("Ask[object]", ask), 0)

    # --- the end -----------------------------------------------------------------------------------------------------

    @property
    def is_needed(self) -> bool:
        """Whether the session is needed: for an ask, a watch, backpressure, or messages to be sent or settled."""
        tables = (
            self._asks,
            self.incoming_asks.waiting,
            self.watched,
            self._backpressured_cells,
            self._backpressured_uids,
        )
        if self._told > self._settled_there or not self._send_buffer.is_empty:
            return True
        return any(tables) or bool(self._control_handler.watch_count)

    def detach(self) -> None:
        """Take note that the session has ended as idle; data that was sent meanwhile goes to the next session."""
        self.lost = "its session was idle"
        self.system.outgoing.unsubscribe(self._choose_branch)
        bodies, items = self._send_buffer.close()
        assert not bodies, "a session that has data to send is not idle"
        self.settled.stop()
        self.out_of_band.close()
        self.codec.close()
        for uid, correlation, number, message in items:
            if number <= REPLY_ERROR:
                continue
            cell = self._context.directory.cell(self.node_id, uid, "")
            if uid or correlation:
                self.system.count_gone(-1, -1)
                self.system.outgoing.skip_next = self.system.outgoing.at_work  # it was shown when it was sent
                cell.wake((self._take_ask(correlation) if correlation else None) or message)
            elif (successor := cell.find_peer()) is not None:
                successor.control(cast("Message[object]", message))

    def lose(self, why: str, unacknowledged: Sequence[bytes]) -> None:
        """Fail all asks and watches of a node that is lost, and make dead letters of what it has not acknowledged.

        why: for error messages.  unacknowledged: the bodies that were sent and not acknowledged.
        """
        self.lost = why
        self.system.outgoing.unsubscribe(self._choose_branch)
        self.settled.stop()
        bodies, items = self._send_buffer.close()
        asks = [ask for ask in self._correlations if ask.target is not self._control_cell]
        for ask in list(self._correlations):
            ask.refuse(ActorStopped(f"node {self.node} is lost: {why}"))
        self.incoming_asks.close()
        self._control_handler.close()
        self.out_of_band.close()
        not_taken: list[tuple[int, object, bool]] = []
        for body in (*unacknowledged, *bodies):
            for uid, name, asked in self.codec.sent(body):
                unsent = UnreadableMessage(self.node, f"{name} was sent and not acknowledged")
                not_taken.append((uid, unsent, asked))
        not_taken += [(uid, item, correlation > 0) for uid, correlation, number, item in items if number > REPLY_ERROR]
        asks_not_taken = 0
        for uid, message, asked in not_taken:
            if uid:
                asks_not_taken += asked
                self._told -= not asked
                self._dead_letter(uid, message, "node_lost", None, asked=asked)
        for ask in asks[: max(0, len(asks) - asks_not_taken)]:  # those that were sent first
            self.system.count_gone(0, -1)
            self.system.dead_letter(ask, ask.target.ref, "outcome_unknown", None, asked=True)
        self._count_unknown(self._told - self._settled_there, why)
        self.codec.close()
        for remote in {*self.watched.values(), *self._backpressured_cells}:
            remote.end_for_now("node_lost", why)
        for table in (self._asks, self._correlations, self.watched):
            table.clear()

    def _count_unknown(self, unknown: int, why: str) -> None:
        """Make one dead letter for all messages that the lost node had taken and not reported as settled."""
        if unknown <= 0:
            return
        problem = f"{unknown} messages that it had taken were not reported as handled, and may have been"
        self.system.count_gone(0, 1 - unknown)
        self.system.dead_letters["outcome_unknown"] += unknown - 1
        error = ActorStopped(f"node {self.node} is lost: {why}; {problem}")
        self._dead_letter(0, UnreadableMessage(self.node, problem), "outcome_unknown", error, asked=False)


class _Limits:
    """A limit for each of ``LIMITED_ACTORS_MAX`` actors; all others share one."""

    __slots__ = ("_by_uid", "_count", "_period_s", "_shared")

    def __init__(self, count: int, period_s: float) -> None:
        self._count, self._period_s = count, period_s
        self._by_uid: dict[int, RateLimit] = {}
        self._shared = RateLimit(count, period_s)

    def admits(self, uid: int, now: float) -> bool:
        """Count an event of an actor at ``now``, in seconds of the loop; False when there were too many."""
        limit = self._by_uid.get(uid)
        if limit is None and len(self._by_uid) >= LIMITED_ACTORS_MAX:
            for key in [key for key, each in self._by_uid.items() if each.is_over(now)]:
                del self._by_uid[key]
        if limit is None and len(self._by_uid) < LIMITED_ACTORS_MAX:
            limit = self._by_uid[uid] = RateLimit(self._count, self._period_s)
        return (limit or self._shared).admits(now)
