"""Placing: a child that runs on another node, and is supervised here like any other.

The child proper is a stand-in: a cell here, under its parent, with the name and the ref.  Its instance starts the actor
elsewhere, hands on all that it is sent, and shares its end: a failure there is a failure here, for the parent's
strategy to decide on, and the stand-in's end is the end there.  A restart begins the actor anew, perhaps elsewhere,
behind the same ref.

The loss of a node fails many children at once, through no fault of theirs: where that concerns nobody else (one for
one), the stand-in is placed anew without a failure being counted, and waits for the node to come back.  Siblings that
must restart with it (one for all, rest for one) need the parent's strategy, so there it counts as a failure.

What is not nice: who holds the ref on a third node, or on the very node where the actor runs, sends by way of this
node.  An actor that shares ``self.ref`` instead shares the short way, which ends at its next restart.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, TypeAlias, cast

from ..actor.spawning import begin_child, spawn_awaited
from ..kernel.ask import Envelope, is_ask
from ..kernel.bare_actor import BareActor
from ..kernel.cell import Cell
from ..kernel.errors import (
    ActorFailed,
    ActorStopped,
    InternalError,
    InvalidOption,
    NodeClosed,
    NodeUnreachable,
    StartFailed,
    TrouperError,
)
from ..kernel.handler_table import HandlerEntry, HandlerTable
from ..kernel.lifecycle import SUPERVISION, crash, mark_failed, request_stop, restart, stop_self
from ..kernel.message import Message
from ..kernel.ref import DONE, ActorRef, Down
from ..kernel.signals import CLOSED
from ..kernel.supervision import ChildSpec, OneForOne, Restart
from .remote_cell import RemoteCell
from .spawn_request import spawn_request

if TYPE_CHECKING:
    from ..kernel.system import System
    from ..node.node import Node
    from .control import SpawnActor

Place: TypeAlias = "str | Callable[[Node], str]"
"""The name of a node, or a function that is given the spawner's node and returns such a name."""
NODE_RETURN_S = 60.0
"""Seconds that a stand-in waits for its node to come back before it counts as a failure to start."""
RETRY_S = 1.0
"""Seconds until a stand-in whose place is away looks again, if no link has come or gone meanwhile."""
LINK_S = 1.0
"""Seconds more than ``shutdown_s`` for an actor elsewhere to end, since its node has to be told and has to answer."""


def spawn_placed(
    parent: Cell,
    place: Place,
    actor: Callable[..., object],
    args: tuple[object, ...],
    name: str | None,
    restart: Restart,
    shutdown_s: float | None,
    significant: bool,
) -> Awaitable[ActorRef]:
    """Start a child on another node; see ``Spawner.spawn``."""
    node = cast("Node", parent.system.host)
    first = _chosen(place, node)
    if first == node.name and not node.has_network:
        return spawn_awaited(parent, actor, args, name, restart, shutdown_s, significant)
    try:
        if first != node.name:
            node.network.peer(first)
    except NodeUnreachable as error:
        if isinstance(place, str):
            raise
        raise NodeUnreachable(f"{error}; the placement function {_name_of(place)} chose it") from None
    spawn = spawn_request(actor, args, name, shutdown_s, node.network.shipping)
    limit_s = None if shutdown_s is None else shutdown_s + LINK_S
    spec = ChildSpec(PlacedActor, restart, limit_s, significant)
    made = (place, first, spawn, actor, args)
    cell = parent.system.make_child(parent, spec, made, name, PlacedCell)
    return _Placed(begin_child(cell))


def _chosen(place: Place, node: Node) -> str:
    """Return the name of the node to place at; raises ``InvalidOption`` for a function that returns no text."""
    if isinstance(place, str):
        return place
    where = cast("object", place(node))  # whatever its annotation says
    if isinstance(where, str):
        return where
    raise InvalidOption(
        f"the placement function {_name_of(place)} returned {where!r:.100} on node {node.name}: "
        "it must return the name of a node, such as node.name or one of node.network.peers"
    )


def _name_of(place: object) -> str:
    return str(getattr(place, "__qualname__", repr(place)))


def placed_by(system: System) -> Counter[str]:
    """Count the actors that stand-ins of a node have placed, by the node where they run."""
    cells = [cell for cell in system.cells() if isinstance(cell, PlacedCell)]
    return Counter(cell.remote.address.node for cell in cells if cell.remote is not None)


class _Placed:
    """Awaits the start; what kept the actor from starting there is raised as it would be for one that starts here."""

    __slots__ = ("_started",)

    def __init__(self, started: Awaitable[ActorRef]) -> None:
        self._started = started

    def __await__(self) -> Generator[object, None, ActorRef]:
        try:
            return (yield from self._started.__await__())
        except StartFailed as error:
            if isinstance(error.__cause__, TrouperError):
                raise error.__cause__ from None
            raise


class PlacedCell(Cell):
    """The cell of a stand-in.  While the actor elsewhere lives, what is sent goes there without a stop."""

    __slots__ = ("ending", "remote", "stop_requested")

    def __init__(
        self, system: System, parent: Cell | None, name: str | None, spec: ChildSpec, args: tuple[object, ...]
    ) -> None:
        super().__init__(system, parent, name, spec, args)
        self.remote: Cell | None = None
        self.ending = False
        self.stop_requested: asyncio.Future[None] | None = None
        """Done when it shall stop that waits for its place; None while nothing waits."""

    def default_high_water(self) -> int:
        """No message is queued without a look at whether it need be."""
        return 0

    def wake(self, item: object) -> Awaitable[None]:
        """Hand an item on, unless it has to wait for the next start."""
        remote = self.remote
        if self.table is CLOSED or remote is None:
            return super().wake(item)
        if type(remote) is not RemoteCell:
            return self._hand_on(item)
        # What `_hand_on` does, without its calls: this is on the way of each message to another node.
        self.received -= 1
        if isinstance(item, Envelope) and is_ask(item):
            item.target = remote
        return remote.wake(item)

    def step(self, item: object) -> None:
        """Hand on what had to wait."""
        if isinstance(item, Envelope) and not item.take():
            self.lose(item, "expired")
        else:
            self._hand_on(item)

    def _hand_on(self, item: object) -> Awaitable[None]:
        """Pass an item to the actor elsewhere, whose books have it from now on."""
        remote = self.remote
        if remote is None:
            raise InternalError(f"{self.address} is live, and there is nobody that it stands in for")
        self.received -= 1
        if not is_ask(item):
            return remote.ref.tell(cast("Message[object]", item))
        item.target = remote
        remote.accept(item)
        return DONE

    def request_stop(self) -> None:
        """Stop; the actor elsewhere is told in order with what it was sent before."""
        if self.remote is not None and not self.ending:
            self.ending = True
            self.remote.request_stop()
        self._stop()

    def request_drain(self) -> None:
        """Stop once the actor elsewhere has handled what it was sent."""
        if self.remote is not None and not self.ending:
            self.ending = True
            self.remote.request_drain()
        self._stop()

    def _stop(self) -> None:
        request_stop(self)
        if self.stop_requested is not None and not self.stop_requested.done():
            self.stop_requested.set_result(None)

    def describe(self) -> str:
        """One clause, for error messages."""
        elsewhere = "not placed at the moment" if self.remote is None else f"placed at {self.remote.address}"
        return f"{self.phase}, {elsewhere}"


class PlacedActor(BareActor):
    """The instance behind a stand-in: one life of the actor elsewhere.

    first: where to place it at first.  spawn: what to ask that node for.  actor, args: the same for this node itself,
    which a function may choose.
    """

    def __init__(
        self, place: Place, first: str, spawn: SpawnActor, actor: Callable[..., object], args: tuple[object, ...]
    ) -> None:
        self._place, self._first, self._spawn = place, first, spawn
        self._actor, self._args = actor, args
        self._remote: Cell | None = None

    @classmethod
    def __make_handler_table__(cls, entries: dict[type, HandlerEntry]) -> HandlerTable:
        return HandlerTable({})

    async def on_start(self) -> None:
        """Start the actor elsewhere."""
        cell = cast("PlacedCell", self.__cell__)
        node = cast("Node", cell.system.host)
        ref = await (self._start_again(cell, node) if cell.restarts else self._start_at(cell, node, self._first))
        if ref is None:
            return  # it is to stop, which is what comes next
        self._remote = cell.remote = ref._cell  # noqa: SLF001  a ref is the runtime's own
        self._remote.add_watcher(self)
        cell.register_resource(self)

    async def _start_at(self, cell: PlacedCell, node: Node, where: str) -> ActorRef:
        if where == node.name:
            return await spawn_awaited(cell.system.user, self._actor, self._args, None, "temporary", 5.0, False)
        return await node.network.spawn_at(where, self._spawn, owner=self.ref)

    async def _start_again(self, cell: PlacedCell, node: Node) -> ActorRef | None:
        """Start it where it belongs by now, and wait for that node while it is away; None when it is to stop."""
        until = cell.system.loop.time() + NODE_RETURN_S
        stop_requested = cell.stop_requested = cell.system.loop.create_future()
        while True:
            try:
                return await self._start_at(cell, node, _chosen(self._place, node))
            except (NodeClosed, NodeUnreachable, ActorStopped) as error:  # it is away, or goes down just now
                left_s = until - cell.system.loop.time()
                if node.system.closing or left_s <= 0:
                    raise NodeUnreachable(
                        f"{cell.address} could not be placed for {NODE_RETURN_S:g} s: {error}"
                    ) from None
            change = asyncio.ensure_future(node.network.wait_for_change())
            await asyncio.wait((change, stop_requested), timeout=min(left_s, RETRY_S), return_when="FIRST_COMPLETED")
            change.cancel()
            if stop_requested.done():
                return None

    async def on_stop(self) -> None:
        """End the actor elsewhere, and wait for that."""
        cell, remote = cast("PlacedCell", self.__cell__), self._remote
        if remote is not None and not remote.gone:
            if not cell.ending:
                remote.request_stop()
            await remote.end_future()

    @property
    def retained(self) -> int:
        """It keeps no message."""
        return 0

    def release(self, cell: Cell, *, restarting: bool) -> None:  # noqa: ARG002  a Belonging's
        """This instance has ended: so must what it stands in for."""
        remote, self._remote, cast("PlacedCell", cell).remote = self._remote, None, None
        if remote is not None:
            remote.remove_watcher(self)
            if not remote.gone:
                remote.request_kill()

    def on_down(self, down: Down) -> None:
        """The actor elsewhere has ended: so has this instance, in the same way."""
        cell = self.__cell__
        if cell.phase != "live" or cell.actor is not self:
            return
        if down.reason == "node_lost":
            _node_lost(cell, down)
        elif down.reason == "failed":
            crash(cell, ActorFailed(f"{down.ref.address}, placed there by {cell.address}, failed: {down.error}"), None)
        else:
            stop_self(cell)


def _node_lost(cell: Cell, down: Down) -> None:
    error = NodeUnreachable(f"{cell.address} has lost its place, node {down.ref.address.node}: {down.error}")
    parent, spec = cell.parent, cell.spec
    if spec.restart == "temporary" or parent is None or not isinstance(parent.spec.actor.supervision, OneForOne):
        crash(cell, error, None)
        return
    mark_failed(cell, error, None)
    cell.system.reporter.problem(f"{cell.address} is placed anew, when its place is back")
    cell.post(SUPERVISION, restart, error)
