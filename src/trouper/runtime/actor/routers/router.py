"""``Router``: an actor that forwards each message to one of its routees, or to all.

An ask is forwarded, so the routee replies to the asker directly.  All messages without a handler of their own are
routed: the handler ``route`` is for ``Message``, the base of all.

Backpressure is passed on: while the next routee is at its high-water mark, the router waits, so that its own mailbox
fills and ``await router.tell(...)`` suspends the sender.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...kernel.ask import Ask, Envelope, is_ask
from ...kernel.cell import Cell
from ...kernel.errors import MailboxFull, TrouperError, Unavailable
from ...kernel.mailbox import CapacityWaiter
from ...kernel.message import Message
from ...kernel.ref import ActorRef, Down, ask_with_headers, deliver
from ..actor import Actor
from ..forwarding import detach_reply, forward
from ..handlers import handler
from .gather import Gather
from .strategies import Broadcast, Picker, RoundRobin, Routing, RoutingContext, ScatterGatherFirst

AnyRouting = Routing | Broadcast | ScatterGatherFirst


class Routees(Message[list[ActorRef]]):
    """Ask a router for its routees; the reply is a list of their refs."""


class Unroutable(Unavailable):
    """A router cannot route a message: it has no routees, its strategy fails for this message, or the routee is full.

    An ask fails with it; a told message is a dead letter ``rejected``.  The router goes on.
    """


class Router(Actor):
    """The base of ``PoolRouter`` and ``GroupRouterActor``; spawn a ``Pool`` or a ``GroupRouter``."""

    __loop_only__ = True

    def __init__(self, routing: AnyRouting) -> None:
        self._routing = routing
        self.current: tuple[ActorRef, ...] = ()
        """The routees; a new tuple after each change, by which pickers notice it."""
        self._to_all = isinstance(routing, Broadcast | ScatterGatherFirst)
        to_one = RoundRobin() if isinstance(routing, Broadcast | ScatterGatherFirst) else routing
        self._pick: Picker[ActorRef] = to_one.make_picker(RoutingContext(self.__cell__.system.random, load, label))

    # --- routees -----------------------------------------------------------------------------------------------------

    def add(self, routee: ActorRef) -> None:
        """Add a routee, until it ends."""
        if routee not in self.current:
            self.current = (*self.current, routee)
            self.watch(routee)

    def remove(self, routee: ActorRef) -> None:
        """Remove a routee; messages that it was sent before are still handled."""
        if routee in self.current:
            self.current = tuple(one for one in self.current if one != routee)
            self.unwatch(routee)

    def on_terminated(self, down: Down) -> None:
        """Remove a routee that has ended."""
        self.remove(down.ref)

    @handler
    def routees(self, message: Routees) -> list[ActorRef]:  # noqa: ARG002  the question has no fields
        """Return the routees."""
        return list(self.current)

    # --- messages ----------------------------------------------------------------------------------------------------

    @handler
    def route(self, message: Message[object]) -> None:
        """Route a message; when its routee is above its high-water mark, ``route_waiting`` takes over."""
        if self._to_all:
            if any(_is_above_high_water(routee._cell) for routee in self.current):  # noqa: SLF001  a ref is the runtime's own
                self._defer(message)
            else:
                self._send_to_all(message)
            return
        target = self._choose(message)
        if _is_above_high_water(target):
            self._defer(message)
        else:
            self._forward_to(target, message)

    async def route_waiting(self, message: Message[object]) -> None:
        """Route a message when its routee has capacity; return to ``route`` when the router's mailbox is empty."""
        if self._to_all:
            for routee in self.current:
                await _wait_for_capacity(routee._cell)  # noqa: SLF001  a ref is the runtime's own
            self._send_to_all(message)
        else:
            target = self._choose(message)
            await _wait_for_capacity(target)
            self._forward_to(target, message)
        if not self.__cell__.mail:
            self.unbecome()

    def _defer(self, message: Message[object]) -> None:
        """Return a message to the front of the mailbox, for ``route_waiting``."""
        self.become(self.route_waiting, *self.controls())
        self.stash(message)
        self.unstash_all()

    def controls(self) -> tuple[Callable[..., object], ...]:
        """Return the handlers of messages for the router itself."""
        return (self.routees,)

    def _choose(self, message: Message[object]) -> Cell:
        if not self.current:
            raise self._no_routees(message)
        try:
            return self._pick(message, self.current)._cell  # noqa: SLF001  a ref is the runtime's own
        except Exception as error:  # a user's key function may raise for some messages: no crash
            name = type(message).__qualname__
            raise Unroutable(f"{self.ref.address} cannot route {name} by {self._routing!r}: {error!r}") from error

    def _forward_to(self, target: Cell, message: Message[object]) -> None:
        try:
            forward(self.__cell__, target, message)
        except MailboxFull as error:
            raise Unroutable(f"{self.ref.address} cannot forward {type(message).__qualname__}: {error}") from error

    def _no_routees(self, message: Message[object]) -> Unroutable:
        return Unroutable(
            f"{self.ref.address} has no routees for {type(message).__qualname__}: resize the pool, or register actors "
            "under the key of the router"
        )

    def _send_to_all(self, message: Message[object]) -> None:
        """Send a message to all routees; an ask is answered from their replies."""
        if not self.current:
            raise self._no_routees(message)
        owed = detach_reply(self.__cell__, message, self.__cell__)
        if is_ask(owed):
            asks = [_ask(routee, owed) for routee in self.current]
            Gather(owed, asks, first=isinstance(self._routing, ScatterGatherFirst))
            return
        headers = owed.headers if isinstance(owed, Envelope) else None
        for routee in self.current:
            deliver(routee, message, headers)


def _is_above_high_water(target: Cell) -> bool:
    return target.mail is not None and len(target.mail) >= target.spec.mailbox.high_water


async def _wait_for_capacity(target: Cell) -> None:
    if _is_above_high_water(target):
        if target.capacity_waiter is None:
            target.capacity_waiter = CapacityWaiter(target)
        await target.capacity_waiter


def _ask(routee: ActorRef, owed: Ask[object]) -> asyncio.Future[object]:
    """Ask one routee on behalf of the asker of the router; an error that ``ask`` raises at once becomes the result."""
    try:
        if owed.headers is not None:
            return ask_with_headers(routee, owed.message, owed.timeout_s, owed.headers)
        return routee.ask(owed.message, owed.timeout_s)
    except TrouperError as error:
        failed: asyncio.Future[object] = owed.get_loop().create_future()
        failed.set_exception(error)
        return failed


def load(ref: ActorRef) -> int:
    """Return the messages queued and being handled; an actor that is not live counts its high-water mark besides."""
    cell = ref._cell  # noqa: SLF001  a ref is the runtime's own
    queued = 0 if cell.mail is None else len(cell.mail) + 1
    return queued if cell.phase == "live" and not cell.suspended else queued + cell.spec.mailbox.high_water


def label(ref: ActorRef) -> str:
    """Return the label of an actor on a consistent hash: its node and path, without the uid."""
    address = ref.address
    return f"{address.node}/{address.path}"
