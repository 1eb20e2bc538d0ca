"""One node as another one sees it: what goes to it in frames, and what comes from it.

Each item that comes in is decoded by its target's own type, and one that cannot be is refused alone.  A peer is one
incarnation: when the node comes back with another one, or stays away too long, everything here ends with ``node_lost``
and another peer takes its place.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec

from ..kernel.ask import Ask, Envelope, content, is_ask
from ..kernel.cell import Cell
from ..kernel.errors import ActorStopped, MailboxFull, Unhandled, WireError
from ..kernel.mailbox import CapacityWaiter
from ..kernel.message import Message
from ..kernel.ref import DONE, ActorRef
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
from .bulk.out_of_band import OutOfBandBuffers
from .control import CONTROLS, CancelAsk, EndActor, LinkedActorEnded, RemoteFailure, SetBackpressure
from .control_handler import ControlHandler
from .errors import UnreadableMessage, failure_of, raised_from
from .incoming_asks import IncomingAsks
from .remote_cell import NodeId, RemoteCell
from .send_buffer import LIMIT, SendBuffer, SendPort

if TYPE_CHECKING:
    from .peer_context import PeerContext

R = TypeVar("R")
ASK_S_MAX = 86_400.0
"""Seconds that an ask of another node may have left; longer ones are cut to it."""
ASK_GRID_PER_S = 100
"""What an ask has left is rounded up to such a part of a second, so that many asks share one timer."""


class Peer:
    """See the top of the file.  ``control_ref`` is the ref to the node itself, for control requests."""

    def __init__(self, context: PeerContext, node_id: NodeId, sender: SendPort) -> None:
        self._context, self.node_id = context, node_id
        self.system = context.system
        self.tables = SessionCodec(self._describe_ref, self._ref_of, CONTROLS)
        self.lost: str | None = None
        self.in_reach = True
        self.watched: dict[int, RemoteCell] = {}
        self._correlation = 0
        self._asks: dict[int, Ask[object]] = {}
        self._correlations: dict[Ask[object], int] = {}
        self.asks: Mapping[int, Ask[object]] = self._asks
        """The asks of actors there that wait for a reply, by correlation, the oldest first."""
        self.out_of_band = OutOfBandBuffers(context.bulk, self.control, self.system.loop)
        self._send_buffer = SendBuffer(
            sender,
            self.tables,
            self._asks,
            self._rejected,
            self.system.loop,
            context.bulk.settings,
            self.out_of_band.shared_memory,
        )
        self.incoming_asks = IncomingAsks(self.system, self._send_buffer, self._packed)
        self.on_wait: Callable[[], None] | None = None
        """Who is called with each ask of a handler that will wait for its reply; None for nobody."""
        self._held: set[RemoteCell] = set()
        self._pressed: set[int] = set()
        self._control_handler = ControlHandler(self, context)
        self._control_cell = context.directory.cell(node_id, 0, "")
        self.control_ref = self._control_cell.ref
        self.flush = self._send_buffer.flush

    @property
    def node(self) -> str:
        """The name of the node."""
        return self.node_id.node

    def describe(self) -> str:
        """One clause, for error messages."""
        return self.lost or ("in reach" if self.in_reach else "out of reach at the moment")

    # --- out ---------------------------------------------------------------------------------------------------------

    @property
    def is_backpressured(self) -> bool:
        """Whether so much waits for the link that senders should wait too."""
        return self._send_buffer.is_backpressured

    async def wait_for_capacity(self) -> None:
        """Wait until not too much waits for the link."""
        await self._send_buffer.wait_for_capacity()

    def push(self, uid: int, item: object) -> bool:
        """Send a message or an ask to an actor there; what cannot be sent is a dead letter.

        Returns whether so much waits for the link now that the sender should wait too.
        """
        is_bare = not isinstance(item, Envelope)
        if (
            is_bare
            and (known := self.tables.plain.get(type(item))) is not None
            and not self._send_buffer.above_high_water
        ):
            # What is done below, where nothing is in the way: nearly all messages go by here.
            self.system.received_by_gone += 1
            self.system.handled_by_gone += 1
            return self._send_buffer.put((uid, 0, known, item))
        message: object = item if is_bare else content(item)
        system, tables, outbox = self.system, self.tables, self._send_buffer
        system.received_by_gone += 1  # as `count_gone` does, without a call for each message
        system.handled_by_gone += 1
        parcel: OutOfBandPayload | None = None
        number = tables.numbers.get(type(message))
        if number is None or number in tables.carriers or outbox.above_high_water:
            try:
                if outbox.full:
                    raise MailboxFull(f"{LIMIT} messages wait for node {self.node} already: await tell()")
                number = tables.number_of(type(message))
                parcel = self._packed(message) if number in tables.carriers else None
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
        is_crowded = outbox.put((uid, correlation, number, parcel or message))
        if correlation:
            outbox.flush_now()
        return is_crowded

    def _packed(self, value: object) -> OutOfBandPayload | None:
        """Take the large buffers out of a message or reply; raises ``WireError``, and ``MailboxFull`` for too much."""
        parcel = self.out_of_band.pack(value)
        if parcel is not None and not self._send_buffer.reserve(parcel.buffer_bytes):
            raise MailboxFull(f"too many large buffers wait for node {self.node}, see queue_bytes_max: await tell()")
        return parcel

    def control(self, message: Message[object]) -> None:
        """Tell the node itself something: a control message, or what ``request_handlers`` knows.  A lost node is told nothing."""
        if self.lost is None:
            item = (0, 0, self.tables.number_of(type(message)), message)
            in_order = isinstance(message, LinkedActorEnded) or (
                isinstance(message, EndActor) and message.how == "drain"
            )
            (self._send_buffer.put if in_order else self._send_buffer.put_signal)(item)

    def cancel(self, ask: Ask[R]) -> None:
        """An asker has given up: forget the ask, and tell the node."""
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
        """The outbox does not send this."""
        to, correlation, number, payload = item
        if error is None:
            self._dead_letter(to, payload, "expired", None, asked=True)
        elif number <= REPLY_ERROR:
            self._send_buffer.put((0, correlation, REPLY_ERROR, failure_of(error)))
        else:
            self._undeliverable(to, self._take_ask(correlation) or payload, error)

    def _undeliverable(self, uid: int, item: object, error: Exception) -> None:
        if is_ask(item):
            item.refuse(error)
        reason = "mailbox_full" if isinstance(error, MailboxFull) else "unsendable"
        self._dead_letter(uid, content(item), reason, error, asked=is_ask(item))

    def _dead_letter(self, uid: int, message: object, reason: str, error: Exception | None, *, asked: bool) -> None:
        """Make a dead letter of a message that was counted as handled when it was sent."""
        self.system.count_gone(0, -1)
        cell = (self._context.directory.get(self.node_id, uid) if uid else None) or self._control_cell
        self.system.dead_letter(message, cell.ref, reason, error, asked=asked)

    # --- in ----------------------------------------------------------------------------------------------------------

    def receive(self, body: bytes | bytearray | memoryview) -> None:
        """Take a body apart and give each item to whom it is for; raises ``WireError`` when the body is none."""
        self._send_buffer.cork()
        try:
            opened = self.tables.open(body)
            deadlines = iter(opened.deadlines)
            (self._receive_parcels if opened.out_of_band else self._receive_items)(opened, deadlines)
        finally:
            self._send_buffer.flush()

    def _receive_items(self, opened: Body, deadlines: Iterator[float]) -> None:
        readers, exports = self.tables.readers, self._context.exports
        for to, correlation, number, payload in opened.items:
            if number <= REPLY_ERROR:
                self._reply(correlation, number, payload)
                continue
            read, cell = readers.get(number), exports.get(to)
            try:
                message = None if read is None else read(payload)
            except Exception:  # noqa: BLE001  `_take` meets the same error again, and says whose it is
                message = None
            if message is None or cell is None:
                self._take(to, correlation, number, payload, next(deadlines, 0.0) if correlation else None)
            elif correlation:
                self._give(cell, correlation, message, next(deadlines, 0.0))
            else:  # what `_give` does, without its call for each message
                try:
                    if (room := cell.ref.tell(message)) is not DONE:
                        self._await_room(cell, room)
                except MailboxFull as error:
                    self._overflow(cell, message, error)

    def _receive_parcels(self, opened: Body, deadlines: Iterator[float]) -> None:
        """The same for a body with items whose buffers came before it."""
        out_of_band = dict(opened.out_of_band)
        for at, (to, correlation, number, payload) in enumerate(opened.items):
            taken = self.out_of_band.take(out_of_band.get(at, ()))
            if number <= REPLY_ERROR:
                self._reply(correlation, number, payload, taken)
            else:
                self._take(to, correlation, number, payload, next(deadlines, 0.0) if correlation else None, taken)

    def _take(
        self,
        to: int,
        correlation: int,
        number: int,
        payload: msgspec.Raw,
        timeout_s: float | None,
        taken: TakenBuffers = NO_BUFFERS,
    ) -> None:
        cell = self._context.exports.get(to)
        try:
            message = self.tables.read(number, payload, taken)
            if not to:
                self._control_handler.take(message, correlation)
                return
            if cell is None:
                raise ActorStopped(
                    f"trouper://{self._context.node_id.node} has no actor #{to} any more: look for another"
                )
        except (WireError, ActorStopped, Unhandled) as error:
            if correlation:
                self.incoming_asks.reply_error(correlation, error)
            reason = "decode_error" if isinstance(error, WireError) else "no_such_actor"
            self.system.count_gone(1, 0)
            absent = self._context.directory.cell(self._context.node_id, to, "") if cell is None else cell
            unreadable = UnreadableMessage(self.node, str(error))
            self.system.dead_letter(unreadable, absent.ref, reason, error, asked=bool(correlation))
            return
        self._give(cell, correlation, message, timeout_s)

    def _give(self, cell: Cell, correlation: int, message: Message[object], timeout_s: float | None) -> None:
        if timeout_s is not None:
            grid_s = math.ceil(min(timeout_s, ASK_S_MAX) * ASK_GRID_PER_S) / ASK_GRID_PER_S
            self.incoming_asks.answer(correlation, cell.ref.ask(message, grid_s), cell)
            return
        try:
            if (room := cell.ref.tell(message)) is not DONE:
                self._await_room(cell, room)
        except MailboxFull as error:
            self._overflow(cell, message, error)

    def _overflow(self, cell: Cell, message: Message[object], error: MailboxFull) -> None:
        cell.received += 1
        cell.lose(message, "mailbox_full", error)

    def _await_room(self, cell: Cell, room: Awaitable[None]) -> None:
        if cell.uid not in self._pressed:
            self._pressed.add(cell.uid)
            self.system.background(self._until_room(cell, room))

    async def _until_room(self, cell: Cell, room: Awaitable[None]) -> None:
        """Begins in the next turn of the loop: what one frame brings too much is often handled by then."""
        if not (isinstance(room, CapacityWaiter) and room.has_capacity):
            self.control(SetBackpressure(cell.uid, True))
            await room
            self.control(SetBackpressure(cell.uid, False))
        self._pressed.discard(cell.uid)

    def end_actor(self, uid: int, reason: str, error: str | None) -> None:
        """An actor there has ended."""
        self.watched.pop(uid, None)
        cell = self._context.directory.get(self.node_id, uid)
        if cell is not None:
            cell.end(reason, error)

    def set_backpressure(self, uid: int, *, high: bool) -> None:
        """The mailbox of an actor there is above its high-water mark, or below it again."""
        cell = self._context.directory.get(self.node_id, uid)
        if cell is not None:
            cell.set_backpressure(high=high)
            (self._held.add if high else self._held.discard)(cell)

    def _reply(self, correlation: int, number: int, payload: msgspec.Raw, taken: TakenBuffers = NO_BUFFERS) -> None:
        ask = self._take_ask(correlation)
        if ask is None:
            self.system.late_replies += 1
            return
        try:
            if number == REPLY_ERROR:
                failure = self.tables.read_as(RemoteFailure, payload, "an error")
                assert isinstance(failure, RemoteFailure)  # the codec has seen to it
                ask.refuse(raised_from(failure, self.node))
            else:
                ask.answer(self.tables.read_reply(type(ask.message), payload, taken))
        except WireError as error:
            ask.refuse(error)

    # --- refs --------------------------------------------------------------------------------------------------------

    def _describe_ref(self, ref: ActorRef) -> tuple[str, int, str, int]:
        cell = ref._cell  # noqa: SLF001  a ref is the runtime's own
        if cell.system is not self.system:
            raise TypeError(f"{ref!r} belongs to another node of this process, and came here without a message")
        if isinstance(cell, RemoteCell):
            return cell.node_id.node, cell.node_id.generation, cell.address.path, cell.uid
        if not cell.gone:
            self._context.exports[cell.uid] = cell
        node_id = self._context.node_id
        return node_id.node, node_id.generation, cell.address.path, cell.uid

    def _ref_of(self, definition: RefDefinition) -> ActorRef:
        node_id = NodeId(definition.node, definition.generation)
        own = self._context.exports.get(definition.uid) if node_id == self._context.node_id else None
        return (own or self._context.directory.cell(node_id, definition.uid, definition.path)).ref

    def correlation_of(self, ask: Ask[R]) -> int:
        """Return the number of an ask that waits for its reply from there; 0 when it does not, or no more."""
        return self._correlations.get(cast("Ask[object]", ask), 0)

    # --- the end -----------------------------------------------------------------------------------------------------

    @property
    def is_needed(self) -> bool:
        """Whether anything hangs on the session: an ask, a watch, pressure, or what is to be sent."""
        tables = (self._asks, self.incoming_asks.waiting, self.watched, self._held, self._pressed)
        return any(tables) or self._control_handler.watches or not self._send_buffer.is_empty

    def detach(self) -> None:
        """The session has ended for being idle; what was said meanwhile goes to the next one, which it begins."""
        self.lost = "nobody needed it"
        bodies, items = self._send_buffer.close()
        assert not bodies, "a link does not part from whoever has something for it"
        self.out_of_band.end()
        for uid, correlation, number, message in items:
            if number <= REPLY_ERROR:
                continue
            cell = self._context.directory.cell(self.node_id, uid, "")
            if uid or correlation:
                self.system.count_gone(-1, -1)
                cell.wake((self._take_ask(correlation) if correlation else None) or message)
            elif (successor := cell.find_peer()) is not None:
                successor.control(cast("Message[object]", message))

    def lose(self, why: str, unacknowledged: Sequence[bytes]) -> None:
        """The node is lost: whoever waits for it hears so, and what it has not acknowledged is dead letters."""
        self.lost = why
        bodies, items = self._send_buffer.close()
        for ask in list(self._correlations):
            ask.refuse(ActorStopped(f"node {self.node} is lost: {why}"))
        self.incoming_asks.close()
        self._control_handler.leave()
        self.out_of_band.end()
        for body in (*unacknowledged, *bodies):
            for uid, name, asked in self.tables.sent(body):
                unsent = UnreadableMessage(self.node, f"{name} was sent and not acknowledged")
                self._dead_letter(uid, unsent, "node_lost", None, asked=asked)
        for uid, correlation, number, message in items:
            if uid and number > REPLY_ERROR:
                self._dead_letter(uid, message, "node_lost", None, asked=bool(correlation))
        for remote in {*self.watched.values(), *self._held}:
            remote.end_for_now("node_lost", why)
        for table in (self._asks, self._correlations, self.watched):
            table.clear()
