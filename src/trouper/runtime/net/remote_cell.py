"""Cells whose actors run on other nodes: what their refs send is put into the frames to those nodes.

There is one ``RemoteCell`` for each such actor that this node has a ref to (``directory``), whatever becomes of the
sessions with its node.  The loss of the node ends what was under way, and sends each ``Down`` that is due; the cell
itself ends with the actor, or with that generation of the node.  When the same generation is connected again, the ref
reaches the actor again.

A ``PlacedCell`` is the cell of a child that ``placement`` keeps on another node; it sends on to that child's
``RemoteCell``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from ..kernel.address import Address, NodeId
from ..kernel.ask import Ask, Envelope, is_ask
from ..kernel.bare_actor import BareActor
from ..kernel.cell import Cell
from ..kernel.errors import InternalError
from ..kernel.lifecycle import Signal, Watcher, request_stop
from ..kernel.message import Message
from ..kernel.ref import DONE, ActorRef, Down
from ..kernel.signals import CLOSED
from ..kernel.supervision import ChildSpec
from .control import EndActor, Ending, LinkedActorEnded, WatchActor
from .errors import sendable_text

if TYPE_CHECKING:
    from ..kernel.system import System
    from .peer import Peer

R = TypeVar("R")
_REMOTE_SPEC = ChildSpec(BareActor)


class PeerFinder(Protocol):
    """Finds the peer that a remote cell sends to."""

    @property
    def system(self) -> System:
        """The actors of this node."""
        ...

    def find_generation(self, node_id: NodeId, /) -> Peer | None:
        """Return the peer of this generation of a node, dialled on demand; None when it cannot be reached."""
        ...


class RemoteCell(Cell):
    """The cell of an actor on another node.  It has no mailbox: ``wake`` gets every message and sends it."""

    __slots__ = ("__weakref__", "_capacity", "_finder", "_node_hash", "_node_id", "_path", "_peer", "_watched")
    is_local = False

    def __init__(self, finder: PeerFinder, node_id: NodeId, path: str, uid: int) -> None:
        # As of an actor without an instance, handlers or mailbox; the actor's own cell, on its node, has the real ones.
        self.spec, self.handler_table, self.args = _REMOTE_SPEC, BareActor.__handler_table__, ()
        self._finder = finder
        self._peer: Peer | None = None
        self.system, self._node_id, self._path, self.uid = finder.system, node_id, path, uid
        self._node_hash, self.thread = node_id.stable_hash(), finder.system.thread
        self.name = path.rpartition("/")[2]
        self.ref = ActorRef(self)
        self.table, self.mail, self.invocation, self.reentrant_invocations, self.asks = CLOSED, None, None, None, None
        self.waited_for = None
        self.phase, self.reason, self.suspended = "live", "", False
        self.received = self.handled = self.restarts = self.high_water = 0
        self.watchers = self.watching = self.downs = self.ended = self.parent = self.actor = self.task = None
        self.children = self.resources = self.capacity_waiter = self.group_restart = self.hooks = self.signals = None
        self._capacity: asyncio.Event | None = None
        self._watched = False

    @property
    def node_id(self) -> NodeId:
        """The node that the actor lives on."""
        return self._node_id

    @property
    def node_hash(self) -> int:
        """``node_id.stable_hash()``."""
        return self._node_hash

    @property
    def address(self) -> Address:
        """Where the actor is."""
        return Address(self.node_id.name, self._path, self.uid)

    def find_peer(self) -> Peer | None:
        """Return the peer to send to; None when the node cannot be reached."""
        peer = self._peer
        if peer is None or peer.lost is not None:
            peer = self._peer = self._finder.find_generation(self.node_id)
        return peer

    def describe(self) -> str:
        """Say in one clause where the actor is, for error messages; what it does only its own node knows."""
        peer = self.find_peer()
        return f"on node {self.node_id.name}, {'not connected' if peer is None else peer.describe()}"

    # --- messages ----------------------------------------------------------------------------------------------------

    def wake(self, item: object) -> Awaitable[None]:
        """Send an item; for an actor that has ended, or a node that cannot be reached, it becomes a dead letter."""
        peer = self._peer
        if peer is None or peer.lost is not None or self.phase == "gone":
            peer = None if self.phase == "gone" else self.find_peer()
            if peer is None:
                self.system.count_gone(1, 0)
                if self.system.outgoing.at_work:
                    item = self.pass_on(item)
                reason = "stopped" if self.reason == "failed" else self.reason
                self.lose(item, reason or "node_lost")
                return DONE
        if peer.push(self.uid, item) or self._capacity is not None:
            return _RemoteCapacity(self)
        return DONE

    def accept(self, item: object) -> None:
        """Send an item that is no ``tell``: an ask or a ``Down``."""
        self.wake(item)

    def abandon(self, ask: Ask[R]) -> None:
        """Tell the node that an asker has given up."""
        peer = self.find_peer()
        if peer is not None:
            peer.cancel(ask)

    def admits_reentry(self, type_: type) -> bool:  # noqa: ARG002  only the other node knows the handlers
        """Always True: the wait-for graph of one node ends here, since only the actor's node knows its handlers."""
        return True

    def set_backpressure(self, *, high: bool) -> None:
        """Take note that the actor's mailbox is above its high-water mark, or below it again."""
        if high and self._capacity is None:
            self._capacity = asyncio.Event()
        elif not high and self._capacity is not None:
            self._capacity.set()
            self._capacity = None

    async def wait_for_capacity(self) -> None:
        """Wait while the actor's mailbox, or the session with its node, is above its high-water mark."""
        if self._capacity is not None:
            await self._capacity.wait()
        peer = self.find_peer()
        if peer is not None:
            await peer.wait_for_capacity()

    # --- its end -----------------------------------------------------------------------------------------------------

    def request_stop(self) -> None:
        """Ask its node to stop the actor."""
        self._request_end("stop")

    def request_drain(self) -> None:
        """Ask its node to drain the actor."""
        self._request_end("drain")

    def request_kill(self) -> None:
        """Ask its node to kill the actor."""
        self._request_end("kill")

    def _request_end(self, how: Ending) -> None:
        # The watch goes first: once the actor has ended, its node no longer knows the reason.
        if self._begin_to_watch() and (peer := self.find_peer()) is not None:
            peer.control(EndActor(self.uid, how))

    def end_future(self) -> asyncio.Future[None]:
        """Return a future that is done once the actor is known to have ended, or its node is lost."""
        if self.ended is not None:
            return self.ended
        ended: asyncio.Future[None] = self.system.loop.create_future()
        if self._begin_to_watch():
            self.ended = ended
        else:
            self.reason = self.reason or "node_lost"
            ended.set_result(None)
        return ended

    def add_watcher(self, watcher: Watcher) -> None:
        """Give ``watcher`` one ``Down`` when the actor ends; at once when it is known to have ended."""
        if self._begin_to_watch():
            super().add_watcher(watcher)
        else:
            watcher.on_down(Down(self.ref, "node_lost" if self.reason in ("", "node_lost") else "no_such_actor"))

    def _begin_to_watch(self) -> bool:
        """Have its node report the end of the actor, from the first call on; False when the node cannot be reached."""
        peer = None if self.phase == "gone" else self.find_peer()
        if peer is None:
            return False
        if not self._watched:
            self._watched = True
            peer.watched[self.uid] = self
            peer.control(WatchActor(self.uid))
        return True

    def on_down(self, down: Down) -> None:
        """Send the ``Down`` of an actor that this one watches, as a message."""
        if self.watching is not None:
            self.watching.pop(down.ref._cell, None)  # noqa: SLF001  a ref is the runtime's own
        self.accept(down)

    def post(self, priority: int, signal: Signal, payload: object = None) -> None:  # noqa: ARG002  see below
        """Send the one signal that has a wire form: an actor that is linked to this one has ended."""
        if not isinstance(payload, Down):
            raise InternalError(f"{self.address} is on another node: {signal!r} cannot be done to it from here")
        peer = None if self.phase == "gone" else self.find_peer()
        if peer is not None:
            error = None if payload.error is None else sendable_text(payload.error)
            peer.control(LinkedActorEnded(self.uid, payload.ref, payload.reason, error))

    def end(self, reason: str, error: str | None) -> None:
        """End the cell: the actor has ended, or this generation of its node."""
        if self.phase != "gone":
            self.phase = "gone"
            self.end_for_now(reason, error)

    def end_for_now(self, reason: str, error: str | None) -> None:
        """Send each ``Down`` that is due, for ``reason``: no more is known of the actor until its node is back."""
        self.reason, self._watched, self._peer = reason, False, None
        self.set_backpressure(high=False)
        watching, self.watching = self.watching, None
        for watched in watching or ():
            watched.remove_watcher(self)
        watchers, self.watchers = self.watchers, None
        for watcher in watchers or ():
            watcher.on_down(Down(self.ref, reason, error))
        ended, self.ended = self.ended, None
        if ended is not None and not ended.done():
            ended.set_result(None)


class _RemoteCapacity:
    """Awaits capacity at a remote actor."""

    __slots__ = ("_cell",)

    def __init__(self, cell: RemoteCell) -> None:
        self._cell = cell

    def __await__(self) -> Generator[object, None, None]:
        return self._cell.wait_for_capacity().__await__()


class PlacedCell(Cell):
    """The cell of a proxy.  While the actor on the other node lives, messages are sent on to it at once."""

    __slots__ = ("ending", "remote", "stop_requested")
    is_local = False

    def __init__(
        self, system: System, parent: Cell | None, name: str | None, spec: ChildSpec, args: tuple[object, ...]
    ) -> None:
        super().__init__(system, parent, name, spec, args)
        self.remote: Cell | None = None
        self.ending = False
        self.stop_requested: asyncio.Future[None] | None = None
        """Done when a proxy that waits for its node is to stop; None while it does not wait."""

    def default_high_water(self) -> int:
        """Return 0, so that no message is queued without a check whether it has to be."""
        return 0

    def wake(self, item: object) -> Awaitable[None]:
        """Send an item on, unless it has to wait for the next start."""
        remote = self.remote
        if self.table is CLOSED or remote is None:
            return super().wake(item)
        if type(remote) is not RemoteCell:
            return self._forward(item)
        # As `_forward` does, without its calls: each message to another node passes here.
        self.received -= 1
        if isinstance(item, Envelope) and is_ask(item):
            item.redirect(remote)
        return remote.wake(item)

    def pass_on(self, item: object) -> object:
        """Add the headers that follow.  That it is sent the instruments see when it is sent on to the actor."""
        return self.system.outgoing.with_following(item)

    def step(self, item: object) -> None:
        """Send an item on that had to wait."""
        if isinstance(item, Envelope) and not item.take():
            self.lose(item, "expired")
        else:
            self._forward(item)

    def _forward(self, item: object) -> Awaitable[None]:
        """Send an item on to the actor on the other node, which counts it from now on."""
        remote = self.remote
        if remote is None:
            raise InternalError(f"{self.address} is live, and has no actor on another node")
        self.received -= 1
        if not is_ask(item):
            return remote.ref.tell(cast("Message[object]", item))
        item.redirect(remote)
        remote.accept(item)
        return DONE

    def request_stop(self) -> None:
        """Stop; the actor is told after the messages that were sent to it before."""
        if self.remote is not None and not self.ending:
            self.ending = True
            self.remote.request_stop()
        self._stop()

    def request_drain(self) -> None:
        """Stop once the actor has handled what it was sent."""
        if self.remote is not None and not self.ending:
            self.ending = True
            self.remote.request_drain()
        self._stop()

    def _stop(self) -> None:
        request_stop(self)
        if self.stop_requested is not None and not self.stop_requested.done():
            self.stop_requested.set_result(None)

    def describe(self) -> str:
        """Say in one clause where the actor runs, for error messages."""
        where = "not placed at the moment" if self.remote is None else f"placed at {self.remote.address}"
        return f"{self.phase}, {where}"
