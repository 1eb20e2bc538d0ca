"""The local side of an actor on another node: what its refs send is put into the frames to that node."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, TypeVar

from ..kernel.address import Address
from ..kernel.ask import Ask
from ..kernel.cell import Cell
from ..kernel.lane import CLOSED
from ..kernel.lifecycle import Watcher
from ..kernel.ref import DONE, ActorRef, Down
from .control import End, Ending, Watch

if TYPE_CHECKING:
    from .peer import Peer

R = TypeVar("R")


class RemoteCell(Cell):
    """A cell whose actor lives elsewhere.  It has no mailbox of its own: ``wake`` gets every message."""

    __slots__ = ("_path", "_pressed", "peer")

    def __init__(self, peer: Peer, path: str, uid: int) -> None:  # the actor's own side has all that Cell would make
        self.peer, self._path, self.uid = peer, path, uid
        self.system = peer.system
        self.name = path.rpartition("/")[2]
        self.ref = ActorRef(self)
        self.table, self.mail, self.turn, self.asides, self.asks = CLOSED, None, None, None, None
        self.phase, self.reason, self.suspended = "live", "", False
        self.received = 0
        self.watchers = self.watching = self.ended = self.parent = self.actor = self.task = None
        self._pressed: asyncio.Event | None = None

    @property
    def address(self) -> Address:
        """Where the actor is."""
        return Address(self.peer.node, self._path, self.uid)

    def describe(self) -> str:
        """One clause, for error messages: only the other node knows what the actor does."""
        return f"on node {self.peer.node}, {self.peer.describe()}"

    def wake(self, item: object) -> Awaitable[None]:
        """Send an item; what is for an actor that has ended, or for a node that is lost, is a dead letter."""
        if self.phase == "gone":
            self.system.count_gone(1, 0)
            self.lose(item, "node_lost" if self.reason == "node_lost" else "stopped")
            return DONE
        self.peer.push(self.uid, item)
        if self._pressed is not None or self.peer.pressed:
            return _RemoteRoom(self)
        return DONE

    def accept(self, item: object) -> None:
        """Send an item other than by ``tell``."""
        self.wake(item)

    def abandon(self, ask: Ask[R]) -> None:
        """The asker has given up: tell the other node."""
        self.peer.cancel(ask)

    def admits_reentry(self, type_: type) -> bool:  # noqa: ARG002  only the other node knows the handlers
        """The wait-for graph of one node ends here."""
        return True

    def hold(self, *, high: bool) -> None:
        """The actor's mailbox is above its high-water mark, or below it again."""
        if high and self._pressed is None:
            self._pressed = asyncio.Event()
        elif not high and self._pressed is not None:
            self._pressed.set()
            self._pressed = None

    async def wait_for_room(self) -> None:
        """Wait while the actor's mailbox, or the link to its node, is above its high-water mark."""
        if self._pressed is not None:
            await self._pressed.wait()
        await self.peer.wait_for_room()

    # --- its end -----------------------------------------------------------------------------------------------------

    def request_stop(self) -> None:
        """Ask the other node to stop it."""
        self._request_end("stop")

    def request_drain(self) -> None:
        """Ask the other node to drain it."""
        self._request_end("drain")

    def request_kill(self) -> None:
        """Ask the other node to kill it."""
        self._request_end("kill")

    def _request_end(self, how: Ending) -> None:
        if self.phase != "gone":
            self.peer.control(End(self.uid, how))

    def end_future(self) -> asyncio.Future[None]:
        """Return a future that is done once the actor is known to have ended."""
        if self.ended is None:
            self.ended = self.system.loop.create_future()
            if self.phase == "gone":
                self.ended.set_result(None)
            elif not self.watchers:
                self.peer.control(Watch(self.uid))
        return self.ended

    def add_watcher(self, watcher: Watcher) -> None:
        """Owe ``watcher`` one ``Down``; to one that is known to have ended it is paid at once."""
        if self.phase == "gone":
            watcher.take_down(Down(self.ref, "no_such_actor" if self.reason != "node_lost" else "node_lost"))
            return
        if not self.watchers and self.ended is None:
            self.peer.control(Watch(self.uid))
        super().add_watcher(watcher)

    def end(self, reason: str, error: str | None) -> None:
        """The other node said so, or is lost."""
        if self.phase == "gone":
            return
        self.phase, self.reason = "gone", reason
        self.hold(high=False)
        watchers, self.watchers = self.watchers, None
        for watcher in watchers or ():
            watcher.take_down(Down(self.ref, reason, error))
        if self.ended is not None and not self.ended.done():
            self.ended.set_result(None)


class _RemoteRoom:
    """Awaits room at an actor elsewhere."""

    __slots__ = ("_cell",)

    def __init__(self, cell: RemoteCell) -> None:
        self._cell = cell

    def __await__(self) -> Generator[object, None, None]:
        return self._cell.wait_for_room().__await__()
