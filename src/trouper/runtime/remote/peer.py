"""One node as another one sees it: what goes to it in frames, and what comes from it.

All that one loop turn says to the peer goes out together, encoded once; each item that comes in is decoded by its
target's own type, and one that cannot be is refused alone.  A peer is one incarnation: when the node comes back with
another one, or stays away too long, everything here ends with ``node_lost`` and another peer takes its place.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from ..kernel.ask import Ask, content, is_ask
from ..kernel.cell import Cell
from ..kernel.errors import ActorStopped, MailboxFull
from ..kernel.messages import Message
from ..kernel.ref import DONE, ActorRef, Down
from ..wire.codec import ITEMS_MAX, REPLY, REPLY_ERROR, Item, RefDefinition, Tables, WireError
from .cell import RemoteCell
from .control import Cancel, Control, End, Ended, Failure, Find, Pressure, Spawn, Watch
from .errors import failure_of, raised_from

if TYPE_CHECKING:
    from ..kernel.system import System

R = TypeVar("R")
OUT_HIGH_WATER = 1_000
"""Items that wait for the link before ``await tell`` waits too."""
OUT_MAX = 100_000
"""Items that wait for the link before more become dead letters."""


class Surroundings(Protocol):
    """What a peer needs of the node around it."""

    @property
    def system(self) -> System:
        """The actors of this node."""
        ...

    @property
    def name(self) -> str:
        """The name of this node."""
        ...

    @property
    def incarnation(self) -> int:
        """Which life of this node it is."""
        ...

    @property
    def exports(self) -> dict[int, Cell]:
        """The actors of this node whose refs others may hold, by uid; nobody else can be reached from outside."""
        ...

    def send(self, peer: Peer, body: bytes, /) -> bool:
        """Give a body to the peer's link; False when it has no room."""
        ...

    def body_bytes_max(self, peer: Peer, /) -> int:
        """Bytes of the largest body that the peer takes."""
        ...

    def ref_elsewhere(self, definition: RefDefinition, /) -> ActorRef | None:
        """Return the ref to an actor of a third node, when that is linked."""
        ...

    def spawn_here(self, spawn: Spawn, tables: Tables, /) -> asyncio.Future[ActorRef]:
        """Start an actor that the peer asks for."""
        ...

    @property
    def find_here(self) -> Callable[[str], ActorRef | None]:
        """Finds an actor of this node by its registered name or its path."""
        ...


class Peer:
    """See the top of the file.  ``door`` is the ref to the node itself, for control requests."""

    def __init__(self, around: Surroundings, node: str, incarnation: int) -> None:
        self._around, self.node, self.incarnation = around, node, incarnation
        self.system = around.system
        self.tables = Tables(self._describe_ref, self._ref_of)
        self.lost: str | None = None
        self.in_reach = True
        self._out: list[Item] = []
        self._deadlines: list[float] = []
        self._bodies: deque[bytes] = deque()
        self._armed = False
        self._room: asyncio.Event | None = None
        self._correlation = 0
        self._pending: dict[int, Ask[object]] = {}
        self._inbound: dict[int, asyncio.Future[object]] = {}
        self._cells: dict[int, RemoteCell] = {}
        self._watchers: dict[int, _PeerWatcher] = {}
        self._high: set[int] = set()
        self.door = RemoteCell(self, "", 0).ref

    def describe(self) -> str:
        """One clause, for error messages."""
        return self.lost or ("in reach" if self.in_reach else "out of reach at the moment")

    def cell(self, uid: int, path: str) -> RemoteCell:
        """Return the local side of an actor there."""
        cell = self._cells.get(uid)
        if cell is None:
            cell = self._cells[uid] = RemoteCell(self, path, uid)
            if self.lost is not None:
                cell.end("node_lost", self.lost)
        return cell

    # --- out ---------------------------------------------------------------------------------------------------------

    @property
    def pressed(self) -> bool:
        """Whether so much waits for the link that senders should wait too."""
        return bool(self._bodies) or len(self._out) >= OUT_HIGH_WATER

    def push(self, uid: int, item: object) -> None:
        """Send a message or an ask to an actor there; what cannot be sent is a dead letter."""
        message = content(item)
        self.system.count_gone(1, 1)
        try:
            if len(self._out) >= OUT_MAX:
                raise MailboxFull(f"{OUT_MAX} messages wait for node {self.node} already: await tell()")
            number = self.tables.number_of(type(message))
        except (WireError, MailboxFull) as error:
            self._undeliverable(uid, item, error)
            return
        correlation = 0
        if is_ask(item):
            correlation = self._correlation = self._correlation + 1
            self._pending[correlation] = item
            self._deadlines.append(max(0.0, item.deadline - self.system.loop.time()))
        self._out.append((uid, correlation, number, message))
        self._arm()

    def control(self, message: Control) -> None:
        """Tell the node itself something, in order with all else; a node that is lost is told nothing."""
        if self.lost is None:
            self._out.append((0, 0, self.tables.number_of(type(message)), message))
            self._arm()

    def cancel(self, ask: Ask[R]) -> None:
        """An asker has given up: forget the ask, and tell the node."""
        for correlation, pending in self._pending.items():
            if pending is ask:
                del self._pending[correlation]
                self.control(Cancel(correlation))
                return

    def _arm(self) -> None:
        if not self._armed:
            self._armed = True
            self.system.loop.call_soon(self.flush)

    def flush(self) -> None:
        """Put what was said into frames, and give them to the link as far as it has room."""
        self._armed = False
        while self._out and not self._bodies and self.lost is None:
            items, self._out = self._out[:ITEMS_MAX], self._out[ITEMS_MAX:]
            asks = sum(1 for item in items if item[1] and item[2] >= REPLY_ERROR + 1)
            deadlines, self._deadlines = self._deadlines[:asks], self._deadlines[asks:]
            self._encode(items, deadlines)
        while self._bodies and self._around.send(self, self._bodies[0]):
            self._bodies.popleft()
            if not self._bodies and self._out:
                self._arm()
        if self._room is not None and not self.pressed:
            self._room.set()
            self._room = None

    def _encode(self, items: list[Item], deadlines: list[float]) -> None:
        """Make bodies of these items; one that cannot travel is taken out and told of."""
        try:
            body = self.tables.encode(items, deadlines)
        except WireError:
            items, deadlines = self._weed(items, deadlines)
            body = self.tables.encode(items, deadlines)
        if len(body) <= self._around.body_bytes_max(self):
            self._bodies.append(body)
            return
        if len(items) == 1:
            limit = self._around.body_bytes_max(self)
            self._give_up(items[0], WireError(f"it takes {len(body)} bytes, a frame holds {limit}"))
            return
        half = len(items) // 2
        asks = sum(1 for item in items[:half] if item[1] and item[2] > REPLY_ERROR)
        self._encode(items[:half], deadlines[:asks])
        self._encode(items[half:], deadlines[asks:])

    def _weed(self, items: list[Item], deadlines: list[float]) -> tuple[list[Item], list[float]]:
        left: list[Item] = []
        times, left_times = iter(deadlines), list[float]()
        for item in items:
            time = next(times) if item[1] and item[2] > REPLY_ERROR else None
            try:
                self.tables.check(item[3])
            except WireError as error:
                self._give_up(item, error)
                continue
            left.append(item)
            if time is not None:
                left_times.append(time)
        return left, left_times

    def _give_up(self, item: Item, error: WireError) -> None:
        to, correlation, number, payload = item
        if number <= REPLY_ERROR:
            self._out.append((0, correlation, REPLY_ERROR, failure_of(error)))
            self._arm()
        else:
            self._undeliverable(to, self._pending.pop(correlation, payload), error)

    def _undeliverable(self, uid: int, item: object, error: Exception) -> None:
        self.system.count_gone(0, -1)
        cell = self._cells.get(uid)
        ref = self.door if cell is None else cell.ref
        if is_ask(item):
            item.refuse(error)
        reason = "mailbox_full" if isinstance(error, MailboxFull) else "unsendable"
        self.system.dead_letter(content(item), ref, reason, error, asked=is_ask(item))

    async def wait_for_room(self) -> None:
        """Wait until not too much waits for the link."""
        while self.pressed and self.lost is None:
            if self._room is None:
                self._room = asyncio.Event()
            await self._room.wait()

    # --- in ----------------------------------------------------------------------------------------------------------

    def receive(self, body: bytes | bytearray | memoryview) -> None:
        """Take a body apart and give each item to whom it is for; raises ``WireError`` when the body is none."""
        opened = self.tables.open(body)
        deadlines = iter(opened.deadlines)
        for to, correlation, number, payload in opened.items:
            if number <= REPLY_ERROR:
                self._reply(correlation, number, payload)
            else:
                timeout = next(deadlines, 0.0) if correlation else None
                self._take(to, correlation, number, payload, timeout)
        if self._out:
            self.flush()

    def _take(self, to: int, correlation: int, number: int, payload: msgspec.Raw, timeout: float | None) -> None:
        cell = self._around.exports.get(to)
        try:
            message = self.tables.read(number, payload)
            if not to:
                self._control(message, correlation)
                return
            if cell is None:
                raise ActorStopped(f"trouper://{self._around.name} has no actor #{to} any more: look its successor up")
        except (WireError, ActorStopped) as error:
            if correlation:
                self._out.append((0, correlation, REPLY_ERROR, failure_of(error)))
            reason = "decode_error" if isinstance(error, WireError) else "no_such_actor"
            self._refused(to, reason, error, asked=bool(correlation))
            return
        if correlation:
            self._answer(correlation, cell.ref.ask(message, timeout))
        else:
            self._tell(cell, message)

    def _refused(self, to: int, reason: str, error: Exception, *, asked: bool) -> None:
        self.system.count_gone(1, 0)
        cell = self._around.exports.get(to)
        self.system.dead_letter(Unreadable(self.node, str(error)), self._ref(cell), reason, error, asked=asked)

    def _ref(self, cell: Cell | None) -> ActorRef:
        return self.system.user.ref if cell is None else cell.ref

    def _tell(self, cell: Cell, message: Message[object]) -> None:
        try:
            room = cell.ref.tell(message)
        except MailboxFull as error:
            cell.received += 1
            cell.lose(message, "mailbox_full", error)
            return
        if room is not DONE and cell.uid not in self._high:
            self._high.add(cell.uid)
            self.control(Pressure(cell.uid, True))
            self.system.background(self._until_room(cell, room))

    async def _until_room(self, cell: Cell, room: object) -> None:
        await room  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]  it is what `tell` returned
        self._high.discard(cell.uid)
        self.control(Pressure(cell.uid, False))

    def _answer(self, correlation: int, future: asyncio.Future[object]) -> None:
        if future.done():
            self._answered(correlation, future)
        else:
            self._inbound[correlation] = future
            future.add_done_callback(partial(self._answered, correlation))

    def _answered(self, correlation: int, future: asyncio.Future[object]) -> None:
        was_cancelled = self._inbound.pop(correlation, None) is None and future.cancelled()
        if self.lost is not None or was_cancelled:
            return
        error = ActorStopped("the handler was cancelled") if future.cancelled() else future.exception()
        if error is None:
            self._out.append((0, correlation, REPLY, future.result()))
        else:
            self._out.append((0, correlation, REPLY_ERROR, failure_of(error)))
        self._arm()

    def _reply(self, correlation: int, number: int, payload: msgspec.Raw) -> None:
        ask = self._pending.pop(correlation, None)
        if ask is None:
            self.system.late_replies += 1
            return
        try:
            if number == REPLY_ERROR:
                ask.refuse(raised_from(msgspec.msgpack.decode(payload, type=Failure), self.node))
            else:
                ask.answer(self.tables.read_reply(type(ask.message), payload))
        except (WireError, msgspec.DecodeError) as error:
            ask.refuse(error if isinstance(error, WireError) else WireError(f"an error came in wrong: {error}"))

    # --- control -----------------------------------------------------------------------------------------------------

    def _control(self, message: Message[object], correlation: int) -> None:
        match message:
            case Ended(uid, reason, error) if uid in self._cells:
                self._cells.pop(uid).end(reason, error)
            case Watch(uid, wanted):
                self._watch(uid, wanted=wanted)
            case End(uid, how) if (cell := self._around.exports.get(uid)) is not None:
                {"stop": cell.request_stop, "drain": cell.request_drain, "kill": cell.request_kill}[how]()
            case Cancel(asked) if (future := self._inbound.pop(asked, None)) is not None:
                future.cancel()
            case Pressure(uid, high) if uid in self._cells:
                self._cells[uid].hold(high=high)
            case Spawn():
                self._answer(correlation, self._around.spawn_here(message, self.tables))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  a future of a ref is one of an object
            case Find(name):
                self._out.append((0, correlation, REPLY, self._around.find_here(name)))
            case _:
                return

    def _watch(self, uid: int, *, wanted: bool) -> None:
        cell = self._around.exports.get(uid)
        if cell is None:
            self.control(Ended(uid, "no_such_actor"))
        elif wanted:
            self._watchers[uid] = watcher = _PeerWatcher(self, uid)
            cell.add_watcher(watcher)
        elif (known := self._watchers.pop(uid, None)) is not None:
            cell.remove_watcher(known)

    # --- refs --------------------------------------------------------------------------------------------------------

    def _describe_ref(self, ref: ActorRef) -> tuple[str, int, str, int]:
        cell = ref._cell  # noqa: SLF001  a ref is the runtime's own
        if isinstance(cell, RemoteCell):
            return cell.peer.node, cell.peer.incarnation, cell.address.path, cell.uid
        if not cell.gone:
            self._around.exports[cell.uid] = cell
        return self._around.name, self._around.incarnation, cell.address.path, cell.uid

    def _ref_of(self, definition: RefDefinition) -> ActorRef:
        home = (definition.node, definition.incarnation)
        if home == (self.node, self.incarnation):
            return self.cell(definition.uid, definition.path).ref
        if home == (self._around.name, self._around.incarnation):
            cell = self._around.exports.get(definition.uid)
            if cell is not None:
                return cell.ref
        elif (ref := self._around.ref_elsewhere(definition)) is not None:
            return ref
        gone = RemoteCell(self, definition.path, definition.uid)
        gone.end("no_such_actor", None)
        return gone.ref

    # --- the end -----------------------------------------------------------------------------------------------------

    def lose(self, why: str, unacknowledged: Sequence[bytes]) -> None:
        """The node is lost: whoever waits for it hears so, and what it has not acknowledged is dead letters."""
        self.lost = why
        bodies, self._bodies = [*unacknowledged, *self._bodies], deque()
        waiting, self._out = self._out, []
        for ask in list(self._pending.values()):
            ask.refuse(ActorStopped(f"node {self.node} is lost: {why}"))
        for future in list(self._inbound.values()):
            future.cancel()
        for uid, watcher in self._watchers.items():
            cell = self._around.exports.get(uid)
            if cell is not None:
                cell.remove_watcher(watcher)
        for uid, message in [*self._unsent(bodies), *((item[0], item[3]) for item in waiting if item[2] > REPLY_ERROR)]:
            if uid:
                self.system.count_gone(0, -1)
                cell = self._cells.get(uid)
                ref = self.door if cell is None else cell.ref
                self.system.dead_letter(message, ref, "node_lost", None, asked=False)
        for cell in list(self._cells.values()):
            cell.end("node_lost", why)
        self._pending.clear()
        self._inbound.clear()
        if self._room is not None:
            self._room.set()

    def _unsent(self, bodies: Sequence[bytes]) -> Iterator[tuple[int, object]]:
        for body in bodies:
            for uid, name in self.tables.sent(body):
                yield uid, Unreadable(self.node, f"{name} was sent and not acknowledged")


class Unreadable(Message[None], tag="trouper.Unreadable"):
    """Stands in a dead letter for a message to or from another node that is only known in its wire form."""

    node: str
    problem: str


class _PeerWatcher:
    """Tells a peer of an actor's end."""

    __slots__ = ("_peer", "_uid")

    def __init__(self, peer: Peer, uid: int) -> None:
        self._peer, self._uid = peer, uid

    def take_down(self, down: Down) -> None:
        """Pass the end on."""
        self._peer.control(Ended(self._uid, down.reason, down.error))
