"""The router: an actor that passes each message on to one of its routees, or to all.

An ask is forwarded, so the reply goes straight from the routee to the asker.  Any message that the router does not know
itself is routed: its handler is for ``Message``, the base of all.

Backpressure goes through: while the routee that is next stands at its high-water mark, the router waits before it
passes on, so that its own mailbox fills and ``await router.tell(...)`` holds the sender.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...kernel.ask import Ask, is_ask
from ...kernel.cell import Cell
from ...kernel.delivery import deliver
from ...kernel.errors import MailboxFull, Reject, TrouperError
from ...kernel.mailbox import CapacityWaiter
from ...kernel.message import Message
from ...kernel.ref import ActorRef, Down
from ..actor import Actor
from ..forwarding import detach_reply, forward
from ..handlers import handler
from .gather import Gather
from .strategies import Broadcast, Picker, RoundRobin, Routing, RoutingContext, ScatterGatherFirst

AnyRouting = Routing | Broadcast | ScatterGatherFirst


class Routees(Message[list[ActorRef]]):
    """Ask a router who its routees are."""


class Unroutable(Reject):
    """A router has nobody to pass a message to: no routees, or a strategy that cannot place this message.

    An ask fails with it at once, a message that was told is a dead letter ``rejected``; the router goes on.
    """


class Router(Actor):
    """Passes messages on.  Spawn a ``Pool`` or a ``GroupRouter``; this is what both have in common."""

    def __init__(self, routing: AnyRouting) -> None:
        self._routing = routing
        self.current: tuple[ActorRef, ...] = ()
        """The routees; another object after each change, so that a picker sees that it has changed."""
        self._to_all = isinstance(routing, Broadcast | ScatterGatherFirst)
        to_one = RoundRobin() if isinstance(routing, Broadcast | ScatterGatherFirst) else routing
        self._pick: Picker[ActorRef] = to_one.make_picker(RoutingContext(self.__cell__.system.random, load, label))

    # --- routees -----------------------------------------------------------------------------------------------------

    def add(self, routee: ActorRef) -> None:
        """Take a routee into the rotation, until it ends."""
        if routee not in self.current:
            self.current = (*self.current, routee)
            self.watch(routee)

    def remove(self, routee: ActorRef) -> None:
        """Take a routee out of the rotation; what it has been given it still handles."""
        if routee in self.current:
            self.current = tuple(one for one in self.current if one != routee)
            self.unwatch(routee)

    def on_terminated(self, down: Down) -> None:
        """Take out a routee that has ended."""
        self.remove(down.ref)

    @handler
    def routees(self, message: Routees) -> list[ActorRef]:  # noqa: ARG002  the question has no fields
        """Answer who the routees are."""
        return list(self.current)

    # --- messages ----------------------------------------------------------------------------------------------------

    @handler
    def route(self, message: Message[object]) -> None:
        """Pass a message on; once a routee is pressed, this one waits too, and ``route_waiting`` takes over."""
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
            self._pass_on(target, message)

    async def route_waiting(self, message: Message[object]) -> None:
        """Pass a message on as soon as its routee has room; the router has caught up when its mailbox is empty."""
        if self._to_all:
            for routee in self.current:
                await _wait_for_capacity(routee._cell)  # noqa: SLF001  a ref is the runtime's own
            self._send_to_all(message)
        else:
            target = self._choose(message)
            await _wait_for_capacity(target)
            self._pass_on(target, message)
        if not self.__cell__.mail:
            self.unbecome()

    def _defer(self, message: Message[object]) -> None:
        """Put a message back to the front, for ``route_waiting``."""
        self.become(self.route_waiting, *self.controls())
        self.stash(message)
        self.unstash_all()

    def controls(self) -> tuple[Callable[..., object], ...]:
        """Return the handlers of what is meant for the router itself."""
        return (self.routees,)

    def _choose(self, message: Message[object]) -> Cell:
        if not self.current:
            raise self._no_routees(message)
        try:
            return self._pick(message, self.current)._cell  # noqa: SLF001  a ref is the runtime's own
        except Exception as error:  # a key function knows its own messages only: no crash
            name = type(message).__qualname__
            raise Unroutable(f"{self.ref.address} cannot place {name} by {self._routing!r}: {error!r}") from error

    def _pass_on(self, target: Cell, message: Message[object]) -> None:
        try:
            forward(self.__cell__, target, message)
        except MailboxFull as error:
            raise Unroutable(f"{self.ref.address} could not pass {type(message).__qualname__} on: {error}") from error

    def _no_routees(self, message: Message[object]) -> Unroutable:
        return Unroutable(
            f"{self.ref.address} has no routees for {type(message).__qualname__}: all have ended or none was there; "
            "resize the pool, register some under its key, or spawn another router"
        )

    def _send_to_all(self, message: Message[object]) -> None:
        """Pass a message on to all; an ask is answered from their answers."""
        if not self.current:
            raise self._no_routees(message)
        owed = detach_reply(self.__cell__, message, self.__cell__)
        if is_ask(owed):
            asks = [_ask(routee, owed) for routee in self.current]
            Gather(owed, asks, first=isinstance(self._routing, ScatterGatherFirst))
            return
        for routee in self.current:
            deliver(routee, message)


def _is_above_high_water(target: Cell) -> bool:
    return target.mail is not None and len(target.mail) >= target.spec.actor.mailbox.high_water


async def _wait_for_capacity(target: Cell) -> None:
    if _is_above_high_water(target):
        if target.capacity_waiter is None:
            target.capacity_waiter = CapacityWaiter(target)
        await target.capacity_waiter


def _ask(routee: ActorRef, owed: Ask[object]) -> asyncio.Future[object]:
    """Ask one routee on behalf of whoever asked the router; what ``ask`` raises at the call becomes the answer."""
    try:
        return routee.ask(owed.message, owed.timeout_s)
    except TrouperError as error:
        failed: asyncio.Future[object] = owed.get_loop().create_future()
        failed.set_exception(error)
        return failed


def load(ref: ActorRef) -> int:
    """Return how much an actor has to do: what is queued and at work; one that is not live counts as pressed."""
    cell = ref._cell  # noqa: SLF001  a ref is the runtime's own
    queued = 0 if cell.mail is None else len(cell.mail) + 1
    return queued if cell.phase == "live" and not cell.suspended else queued + cell.spec.actor.mailbox.high_water


def label(ref: ActorRef) -> str:
    """Return the name by which a consistent hash places an actor: its node and path, without the uid."""
    address = ref.address
    return f"{address.node}/{address.path}"
