"""Placement: children that run on another node, and are supervised here like any other child.

The child proper is a proxy: a cell here, under its parent, with the name and the ref.  Its instance starts the actor on
the other node, forwards each message to it, and ends when it ends: a failure there is a failure here, for the parent's
strategy to decide on.  A restart starts a new actor, perhaps on another node, behind the same ref.

The loss of a node fails many children at once, through no fault of their own: where that concerns no sibling (one for
one), the proxy is placed anew without a failure being counted, and waits for the node to come back.  Siblings that must
restart with it (one for all, rest for one) need the parent's strategy, so there it counts as a failure.

A drawback: a third node that holds the ref, or the very node where the actor runs, sends by way of this node.  An actor
that shares ``self.ref`` instead shares the direct way, which ends at its next restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, cast

from ..kernel.bare_actor import BareActor
from ..kernel.cell import Cell
from ..kernel.errors import (
    ActorFailed,
    ActorStopped,
    InvalidOption,
    NodeClosed,
    NodeUnreachable,
)
from ..kernel.handler_table import HandlerEntry, HandlerTable
from ..kernel.lifecycle import SUPERVISION, crash, mark_failed, restart, stop_self
from ..kernel.placement import Place
from ..kernel.ref import ActorRef, Down
from ..kernel.supervision import ChildSpec, OneForOne, Overrides, Restart
from .remote_cell import PlacedCell
from .spawn_request import spawn_request

if TYPE_CHECKING:
    from .control import SpawnActor
    from .network import Network

NODE_RETURN_S = 60.0
"""Seconds that a proxy waits for its node to come back before it counts as a failure to start."""
RETRY_S = 1.0
"""Seconds until a proxy whose node is away tries again, if no session begins or ends meanwhile."""
MARGIN_S = 1.0
"""Seconds more than ``shutdown_s`` for an actor on another node to end, since that node has to be told and to answer.
"""


class NetworkHost(Protocol):
    """The node, as far as placement needs it."""

    def full_place(self, place: str, /) -> str:
        """Return the name of the node that a place names, which may be relative to this node."""
        ...

    @property
    def name(self) -> str:
        """The name of the node."""
        ...

    @property
    def has_network(self) -> bool:
        """Whether the node has a network."""
        ...

    @property
    def network(self) -> Network:
        """The network of the node; raises ``NodeClosed`` when it has none."""
        ...


class SpawnAwaited(Protocol):
    """Starts a child on this node."""

    def __call__(
        self,
        parent: Cell,
        actor: Callable[..., object],
        args: tuple[object, ...],
        name: str | None,
        restart: Restart,
        shutdown_s: float | None,
        significant: bool,
        overrides: Overrides,
        /,
    ) -> Awaitable[ActorRef]:
        """Start it; the awaitable gives its ref once ``on_start`` has succeeded."""
        ...


class NetworkPlacement:
    """Makes children that run on the nodes which the network reaches.

    host: the node.  spawn_local: starts a child on this node, which a place may name too.
    """

    def __init__(self, host: NetworkHost, spawn_local: SpawnAwaited) -> None:
        self.host, self.spawn_local = host, spawn_local

    def make_child(
        self,
        parent: Cell,
        place: Place,
        actor: Callable[..., object],
        args: tuple[object, ...],
        name: str | None,
        restart: Restart,
        shutdown_s: float | None,
        significant: bool,
        overrides: Overrides,
    ) -> Cell | None:
        """Make a child that runs on the node which ``place`` names, as ``Placement`` of the kernel says."""
        host = self.host
        first = self.choose(place)
        if first == host.name and not host.has_network:
            return None
        try:
            if first != host.name:
                host.network.peer(first)
        except NodeUnreachable as error:
            if isinstance(place, str):
                raise
            raise NodeUnreachable(f"{error}; the placement function {_name_of(place)} chose it") from None
        # Children of different parents may have one name, and all of them are spawned under /user there.
        name_there = name if parent is parent.system.user else None
        request = spawn_request(actor, args, name_there, shutdown_s, host.network.shipping, overrides)
        limit_s = None if shutdown_s is None else shutdown_s + MARGIN_S
        spec = ChildSpec(PlacedActor, restart, limit_s, significant)
        made = (self, place, first, request, actor, args, overrides)
        return parent.system.make_child(parent, spec, made, name, PlacedCell)

    def choose(self, place: Place) -> str:
        """Return the name of the node to place at; raises ``InvalidOption`` for a function that returns no text."""
        if isinstance(place, str):
            return self.host.full_place(place)
        where = cast("object", place(self.host))  # whatever its annotation says
        if isinstance(where, str):
            return self.host.full_place(where)
        raise InvalidOption(
            f"the placement function {_name_of(place)} returned {where!r:.100} on node {self.host.name}: "
            "it must return the name of a node, such as node.name or one of node.network.peers"
        )


def _name_of(place: object) -> str:
    return str(getattr(place, "__qualname__", repr(place)))


class PlacedActor(BareActor):
    """The instance of a proxy: one start of the actor on another node.

    first: the node to place it at first.  spawn: the request to that node.  actor, args, overrides: the same for a
    start on this node, which a placement function may choose.
    """

    def __init__(
        self,
        placement: NetworkPlacement,
        place: Place,
        first: str,
        spawn: SpawnActor,
        actor: Callable[..., object],
        args: tuple[object, ...],
        overrides: Overrides,
    ) -> None:
        self._placement, self._place, self._first, self._spawn = placement, place, first, spawn
        self._actor, self._args, self._overrides = actor, args, overrides
        self._remote: Cell | None = None

    @classmethod
    def __make_handler_table__(cls, entries: dict[type, HandlerEntry]) -> HandlerTable:
        return HandlerTable({})

    async def on_start(self) -> None:
        """Start the actor on its node."""
        cell = cast("PlacedCell", self.__cell__)
        ref = await (self._start_again(cell) if cell.restarts else self._start_at(cell, self._first))
        if ref is None:
            return  # a stop was requested, and follows
        self._remote = cell.remote = ref._cell  # noqa: SLF001  a ref is the runtime's own
        self._remote.add_watcher(self)
        cell.register_resource(self)
        self._placement.host.network.placed_actors[ref.address.node] += 1

    async def _start_at(self, cell: PlacedCell, where: str) -> ActorRef:
        placement = self._placement
        if where == placement.host.name:
            user = cell.system.user
            return await placement.spawn_local(
                user, self._actor, self._args, None, "temporary", 5.0, False, self._overrides
            )
        return await placement.host.network.spawn_at(where, self._spawn, owner=self.ref)

    async def _start_again(self, cell: PlacedCell) -> ActorRef | None:
        """Start it at the place that is chosen now, waiting for a node that is away; None when it is to stop."""
        until = cell.system.loop.time() + NODE_RETURN_S
        stop_requested = cell.stop_requested = cell.system.loop.create_future()
        while True:
            try:
                return await self._start_at(cell, self._placement.choose(self._place))
            except (NodeClosed, NodeUnreachable, ActorStopped) as error:  # the node is away, or shuts down
                left_s = until - cell.system.loop.time()
                if cell.system.closing:
                    return None
                if left_s <= 0:
                    raise NodeUnreachable(
                        f"{cell.address} could not be placed for {NODE_RETURN_S:g} s: {error}"
                    ) from None
            change = asyncio.ensure_future(self._placement.host.network.wait_for_change())
            try:
                await asyncio.wait(
                    (change, stop_requested), timeout=min(left_s, RETRY_S), return_when="FIRST_COMPLETED"
                )
            finally:
                change.cancel()
            if stop_requested.done():
                return None

    async def on_stop(self) -> None:
        """Stop the actor on its node, and wait for that."""
        cell, remote = cast("PlacedCell", self.__cell__), self._remote
        if remote is not None and not remote.gone:
            if not cell.ending:
                remote.request_stop()
            await remote.end_future()

    @property
    def retained(self) -> int:
        """Always 0: a proxy keeps no message."""
        return 0

    def release(self, cell: Cell, *, restarting: bool) -> None:  # noqa: ARG002  an argument of each resource
        """Kill the actor of this instance, which has ended."""
        remote, self._remote, cast("PlacedCell", cell).remote = self._remote, None, None
        if remote is not None:
            placed, where = self._placement.host.network.placed_actors, remote.address.node
            placed[where] -= 1
            if not placed[where]:
                del placed[where]
            remote.remove_watcher(self)
            if not remote.gone:
                remote.request_kill()

    def on_down(self, down: Down) -> None:
        """End this instance as the actor on the other node has ended."""
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
