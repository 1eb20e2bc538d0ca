"""Handles the control messages of one peer.

A message that comes too late, for an actor or an ask that has ended, is ignored.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING

from ..kernel.ask import current_invocation
from ..kernel.errors import NotPermitted, PeerOverLimit, Unhandled
from ..kernel.message import Message
from ..kernel.ref import Down
from . import control
from .bulk.out_of_band import BULK_MESSAGES
from .errors import sendable_text
from .permissions import check, is_of_runtime

if TYPE_CHECKING:
    from ..kernel.cell import Cell
    from ..session.budget import Account
    from .peer import Peer, PeerContext


class ControlHandler:
    """Handles what one peer sends to the node itself, and watches actors of this node for that peer."""

    __slots__ = ("_context", "_peer", "_watchers")

    def __init__(self, peer: Peer, context: PeerContext) -> None:
        self._peer, self._context = peer, context
        self._watchers: dict[int, _PeerWatcher] = {}

    def take(self, message: Message[object], correlation: int) -> None:
        """Handle a message of the peer.

        Raises ``Unhandled`` for a type that has no handler, and ``NotPermitted`` for one that the peer may not send.

        correlation: of the reply that the peer waits for; 0 when it waits for none.
        """
        peer = self._peer
        allow = control.CONTROLS.get(type(message))
        if allow is not None:
            check(peer.identity, self._context.node_id.name, type(message).__qualname__, allow)
        match message:
            case control.WatchActor() | control.EndActor() | control.LinkedActorEnded():
                self._take_for_actor(message)
            case control.WatchedActorEnded(uid, reason, error):
                peer.end_actor(uid, reason, error)
            case control.CancelAsk(asked):
                peer.incoming_asks.cancel(asked)
            case control.SetBackpressure(uid, high):
                peer.set_backpressure(uid, high=high)
            case control.MessageNotRead():
                peer.on_message_not_read(message)
            case control.MessagesSettled(count):
                peer.on_settled(count)
            case control.SpawnActor() if correlation:
                peer.incoming_asks.answer(correlation, self._context.spawn_for_peer(message, peer))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  a future of a ref is one of an object
            case control.FindActor(name):
                found = self._context.local.find(name)
                if correlation:
                    peer.incoming_asks.reply(correlation, found)
            case _ if isinstance(message, BULK_MESSAGES):
                peer.out_of_band.handle(message)
            case _:
                self._serve(message, correlation)

    def _serve(self, message: Message[object], correlation: int) -> None:
        """Call the request handler for a message; its error goes to the asker, or is reported when there is none."""
        served = self._context.request_handlers.get(type(message))
        if served is None:
            raise Unhandled(f"node {self._context.node_id.name} was itself sent a {type(message).__qualname__}")
        check(self._peer.identity, self._context.node_id.name, type(message).__qualname__, (served.allow,))
        try:
            reply = served.handler(message, self._peer)
            if inspect.iscoroutine(reply):
                self._serve_later(message, reply, correlation)
            elif correlation:
                self._peer.incoming_asks.reply(correlation, reply)
        except (NotPermitted, PeerOverLimit):
            raise  # counted as a refusal
        except Exception as error:  # noqa: BLE001  the fault of one feature must not keep the rest of the frame back
            self._failed(message, correlation, error)

    def _serve_later(
        self, message: Message[object], handling: Coroutine[object, object, object], correlation: int
    ) -> None:
        """Let an ``async def`` request handler go on; raises ``PeerOverLimit`` when too many do for this identity."""
        peer, account = self._peer, self._peer.account
        try:
            account.take("requests")
        except PeerOverLimit:
            handling.close()
            raise
        reply: asyncio.Future[object] = peer.system.loop.create_future()
        coroutine = self._handle(message, handling, reply, correlation)
        task = peer.system.background(coroutine, current_invocation.get())
        task.add_done_callback(partial(self._handled, handling, reply, account))
        if correlation:
            reply.add_done_callback(lambda done: task.cancel() if done.cancelled() else None)
            peer.incoming_asks.answer(correlation, reply)

    async def _handle(
        self,
        message: Message[object],
        handling: Coroutine[object, object, object],
        reply: asyncio.Future[object],
        correlation: int,
    ) -> None:
        try:
            value = await handling
        except Exception as error:  # noqa: BLE001  as in `_serve`
            if not correlation:
                self._failed(message, correlation, error)
            elif not reply.done():
                reply.set_exception(error)
        else:
            if not reply.done():
                reply.set_result(value)

    def _handled(
        self,
        handling: Coroutine[object, object, object],
        reply: asyncio.Future[object],
        account: Account,
        _: asyncio.Task[None],
    ) -> None:
        account.give_back("requests")
        handling.close()  # a task that was cancelled before its first step never awaits it
        reply.cancel()  # so that the asker hears of a handler that was cancelled

    def _failed(self, message: Message[object], correlation: int, error: Exception) -> None:
        peer = self._peer
        if correlation:
            peer.incoming_asks.reply_error(correlation, error)
        else:
            peer.report_failure(type(message).__qualname__, error)

    def _take_for_actor(self, message: control.WatchActor | control.EndActor | control.LinkedActorEnded) -> None:
        cell = self._context.exports.get(message.uid)
        if cell is None:
            if isinstance(message, control.WatchActor):
                self._peer.control(control.WatchedActorEnded(message.uid, "no_such_actor"))
        elif isinstance(message, control.WatchActor):
            self._watch(cell)
        elif is_of_runtime(cell):
            raise NotPermitted(f"{cell.address} is an actor of the runtime: no peer may end it")
        elif isinstance(message, control.EndActor):
            {"stop": cell.request_stop, "drain": cell.request_drain, "kill": cell.request_kill}[message.how]()
        elif message.ref._cell.node_id != self._peer.node_id:  # noqa: SLF001  a ref is the runtime's own
            raise NotPermitted(f"node {self._peer.node} speaks for its own actors, and not for {message.ref.address}")
        else:
            down = Down(message.ref, message.reason, message.error)
            self._context.local.on_linked_actor_ended(cell, down)

    def _watch(self, cell: Cell) -> None:
        if cell.uid not in self._watchers:
            self._peer.account.take("watches")
            self._watchers[cell.uid] = watcher = _PeerWatcher(self, cell.uid)
            cell.add_watcher(watcher)

    def tell_ended(self, uid: int, down: Down) -> None:
        """Tell the peer that an actor that it watches has ended.

        While this whole node shuts down nothing is told: the end of the session says the same.
        """
        if self._watchers.pop(uid, None) is not None:
            self._peer.account.give_back("watches")
        if self._peer.system.closing:
            return
        error = None if down.error is None else sendable_text(down.error)
        self._peer.control(control.WatchedActorEnded(uid, down.reason, error))

    @property
    def watch_count(self) -> int:
        """How many actors of this node the peer watches."""
        return len(self._watchers)

    def close(self) -> None:
        """Stop watching actors for the peer, which is lost."""
        for uid, watcher in self._watchers.items():
            cell = self._context.exports.get(uid)
            if cell is not None:
                cell.remove_watcher(watcher)
        self._peer.account.give_back("watches", len(self._watchers))
        self._watchers.clear()


class _PeerWatcher:
    """Watches one actor for a peer."""

    __slots__ = ("_control_handler", "_uid")

    def __init__(self, handler: ControlHandler, uid: int) -> None:
        self._control_handler, self._uid = handler, uid

    def on_down(self, down: Down) -> None:
        """Tell the peer."""
        self._control_handler.tell_ended(self._uid, down)
