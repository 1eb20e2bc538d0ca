"""The doorkeeper of one peer: does what the other node tells this node itself, by control messages.

What comes too late for an actor or an ask that has ended is passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..actor.links import LinkWatcher
from ..kernel.errors import Unhandled
from ..kernel.message import Message
from ..kernel.ref import Down
from .control import (
    AcceptSharedMemory,
    ActorEnded,
    CancelAsk,
    DropBuffers,
    EndActor,
    FindActor,
    LendSegment,
    LinkedActorEnded,
    OfferSharedMemory,
    RetireSegments,
    ReturnSegments,
    SetBackpressure,
    SpawnActor,
    WatchActor,
)  # fmt: skip
from .errors import travelling

if TYPE_CHECKING:
    from ..kernel.cell import Cell
    from .peer import Peer
    from .peer_context import PeerContext


class ControlHandler:
    """See the top of the file."""

    __slots__ = ("_context", "_peer", "_watchers")

    def __init__(self, peer: Peer, context: PeerContext) -> None:
        self._peer, self._context = peer, context
        self._watchers: dict[int, _PeerWatcher] = {}

    def take(self, message: Message[object], correlation: int) -> None:
        """Do what the other node says; raises ``Unhandled`` for what is no control message."""
        peer = self._peer
        match message:
            case WatchActor() | EndActor() | LinkedActorEnded():
                self._take_for_actor(message)
            case ActorEnded(uid, reason, error):
                peer.end_actor(uid, reason, error)
            case CancelAsk(asked):
                peer.incoming_asks.cancel(asked)
            case SetBackpressure(uid, high):
                peer.set_backpressure(uid, high=high)
            case (
                OfferSharedMemory()
                | AcceptSharedMemory()
                | ReturnSegments()
                | RetireSegments()
                | LendSegment()
                | DropBuffers()
            ):
                peer.out_of_band.hear(message)
            case SpawnActor():
                peer.incoming_asks.answer(correlation, self._context.spawn_local(message, peer.tables))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  a future of a ref is one of an object
            case FindActor(name):
                peer.incoming_asks.reply(correlation, self._context.find_local(name))
            case _:
                self._serve(message, correlation)

    def _serve(self, message: Message[object], correlation: int) -> None:
        """Do what a feature of this node does for its peers; an error of its own is the asker's, or is reported."""
        serve = self._context.request_handlers.get(type(message))
        if serve is None:
            raise Unhandled(f"node {self._context.node_id.node} was itself sent a {type(message).__qualname__}")
        peer = self._peer
        try:
            reply = serve(message, peer)
        except Exception as error:  # noqa: BLE001  one feature's fault must not keep the rest of the frame back
            if correlation:
                peer.incoming_asks.reply_error(correlation, error)
            else:
                peer.system.reporter.problem(f"{type(message).__qualname__} from node {peer.node} failed", error)
        else:
            if correlation:
                peer.incoming_asks.reply(correlation, reply)

    def _take_for_actor(self, message: WatchActor | EndActor | LinkedActorEnded) -> None:
        cell = self._context.exports.get(message.uid)
        if cell is None:
            if isinstance(message, WatchActor):
                self._peer.control(ActorEnded(message.uid, "no_such_actor"))
        elif isinstance(message, WatchActor):
            self._watch(cell)
        elif isinstance(message, EndActor):
            {"stop": cell.request_stop, "drain": cell.request_drain, "kill": cell.request_kill}[message.how]()
        else:
            down = Down(message.ref, message.reason, message.error)
            LinkWatcher(cell, message.ref._cell).on_down(down)  # noqa: SLF001  a ref is the runtime's own

    def _watch(self, cell: Cell) -> None:
        if cell.uid not in self._watchers:
            self._watchers[cell.uid] = watcher = _PeerWatcher(self, cell.uid)
            cell.add_watcher(watcher)

    def tell_ended(self, uid: int, down: Down) -> None:
        """An actor here that the node watched has ended: tell it.

        When this whole node goes down, that is the news, and the link's end tells it.
        """
        self._watchers.pop(uid, None)
        if self._peer.system.closing:
            return
        error = None if down.error is None else travelling(down.error)
        self._peer.control(ActorEnded(uid, down.reason, error))

    @property
    def watches(self) -> bool:
        """Whether the node watches any actor here."""
        return bool(self._watchers)

    def leave(self) -> None:
        """The node is lost: watch nothing for it any more."""
        for uid, watcher in self._watchers.items():
            cell = self._context.exports.get(uid)
            if cell is not None:
                cell.remove_watcher(watcher)
        self._watchers.clear()


class _PeerWatcher:
    """Hears of an actor's end for a peer."""

    __slots__ = ("_control_handler", "_uid")

    def __init__(self, doorkeeper: ControlHandler, uid: int) -> None:
        self._control_handler, self._uid = doorkeeper, uid

    def on_down(self, down: Down) -> None:
        """Pass the end on."""
        self._control_handler.tell_ended(self._uid, down)
