"""``Delivery`` and ``DurableDelivery``: actors that deliver messages to one receiver, each at least once.

An attempt is an ask: its reply says that the message is handled.  ``Reject`` settles the message, too, since the
receiver has decided; ``Unavailable``, every other error, and no reply in time, lead to another attempt.

Laws of this file:
1. An accepted message is delivered or given up, and a message that is given up is published.
2. A ``DurableDelivery`` goes on after any crash with what its journal has: a message is accepted when it is there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Literal

import msgspec

from ... import (
    Actor,
    ActorRef,
    ActorStopped,
    EventSourcedActor,
    Message,
    Node,
    Reject,
    Unavailable,
    WireError,
    applies,
    handler,
)
from ...lowlevel import decode_untrusted, message_class, tag_of
from .pending import DeliverySettings, PendingDeliveries
from .receipts import Receipt, header_of

FindReceiver = Callable[[Node], Awaitable[ActorRef | None]]
"""Finds the receiver before each attempt, given the node of the delivery; None when it cannot be found now."""
_DEFAULT = DeliverySettings()


class DeliverMessage(Message[int], local=True):
    """Deliver a message; the reply, once it is accepted, is its number.

    Raises at the asker ``Unavailable`` when too many are pending, and ``Reject`` when the message cannot be stored.
    """

    message: Message[object]


class DeliveryGivenUp(Message[None], local=True):
    """An event: a message was refused by its receiver, or was tried ``attempts_max`` times."""

    delivery: ActorRef
    message: Message[object]
    problem: str


class _Attempted(Message[None], tag="trouper.delivery.attempted", local=True):
    """An attempt has ended.  sender: that made it.  problem: what failed; "" when the message is handled."""

    sender: str
    number: int
    outcome: Literal["handled", "rejected", "failed"]
    problem: str = ""


class _Wake(Message[None], tag="trouper.delivery.wake", local=True):
    """An attempt is due."""


class _Later:
    """An awaitable whose coroutine is made when it is awaited: none is left over when the actor ends before that."""

    def __init__(self, make: Callable[[], Coroutine[object, object, Message[object]]]) -> None:
        self._make = make

    def __await__(self) -> Generator[object, object, Message[object]]:
        return self._make().__await__()


class _Attempts:
    """Makes the attempts of one delivery, which it is a part of."""

    def __init__(self, actor: Actor, receiver: ActorRef | FindReceiver, settings: DeliverySettings) -> None:
        self._actor, self._receiver, self._settings = actor, receiver, settings
        self.sender = ""
        self.pending = PendingDeliveries(settings)
        self.messages: dict[int, Message[object]] = {}

    def make_id(self) -> str:
        """Return a new id of a sender; the random source may repeat itself in the next generation of the node."""
        system = self._actor.node.system
        return f"{system.node_id.generation:016x}{int(system.random() * 2**52):013x}"

    def check_capacity(self) -> None:
        """Raise ``Unavailable`` when too many messages are pending."""
        if self.pending.is_full:
            raise Unavailable(
                f"{self._actor.ref.address} has {len(self.pending)} messages to deliver, its pending_max: send later"
            )

    def accept(self, message: Message[object], number: int | None = None) -> int:
        """Add a message, and return its number."""
        number = self.pending.accept(number)
        self.messages[number] = message
        return number

    def go_on(self) -> None:
        """Begin the attempts that are due, and set the timer for the next one."""
        now = self._now()
        for number in self.pending.take_due(now):
            attempt = partial(self._attempt, number, self.messages[number])
            self._actor.pipe_to_self(_Later(attempt), lambda attempted: attempted)
        wake_at = self.pending.wake_at()
        if wake_at < float("inf"):
            self._actor.timers.once("trouper.delivery", max(0.001, wake_at - now), _Wake())

    async def _attempt(self, number: int, message: Message[object]) -> Message[object]:
        try:
            receiver = await self._find()
            headers = header_of(Receipt(self.sender, number, self.pending.floor))
            await receiver.with_headers(headers).ask(message, self._settings.timeout_s)
        except Exception as error:  # noqa: BLE001  the handler there may raise anything, and so may a user's function
            if isinstance(error, Reject) and not isinstance(error, Unavailable):
                return _Attempted(self.sender, number, "rejected", str(error))
            return _Attempted(self.sender, number, "failed", f"{type(error).__name__}: {error}"[:1_000])
        return _Attempted(self.sender, number, "handled")

    async def _find(self) -> ActorRef:
        if isinstance(self._receiver, ActorRef):
            return self._receiver
        found = await self._receiver(self._actor.node)
        if found is None:
            raise ActorStopped(f"{self._actor.ref.address} does not find its receiver at the moment")
        return found

    def is_settled_by(self, attempted: _Attempted) -> bool:
        """Whether a message is to be settled, given the outcome of an attempt; never by one before a restart."""
        number = attempted.number
        if attempted.sender != self.sender or number not in self.pending:
            return False
        if attempted.outcome == "failed":
            return self.pending.failed(number, self._now(), self._actor.node.system.random())
        return True

    def settle(self, number: int) -> Message[object] | None:
        """Forget a message, and return it."""
        self.pending.settled(number)
        return self.messages.pop(number, None)

    def give_up(self, attempted: _Attempted, message: Message[object] | None) -> None:
        """Publish that a message was not handled, and log it."""
        if attempted.outcome != "handled" and message is not None:
            node, ref = self._actor.node, self._actor.ref
            node.events.publish(DeliveryGivenUp(ref, message, attempted.problem))
            name = type(message).__qualname__
            node.system.reporter.problem(f"{ref.address} gave up delivering a {name}: {attempted.problem}")

    def _now(self) -> float:
        return self._actor.node.system.loop.time()


class Delivery(Actor):
    """Delivers messages to one receiver at least once, as long as this actor lives: what is pending is in memory.

    receiver: the actor, or a function that finds it.  settings: see ``DeliverySettings``.
    """

    exported = False

    def __init__(self, receiver: ActorRef | FindReceiver, settings: DeliverySettings = _DEFAULT) -> None:
        self._attempts = _Attempts(self, receiver, settings)

    def on_start(self) -> None:
        """Take a new id: what an instance before this one had pending is lost."""
        self._attempts.sender = self._attempts.make_id()

    @handler
    def deliver(self, msg: DeliverMessage) -> int:
        """Accept a message."""
        self._attempts.check_capacity()
        number = self._attempts.accept(msg.message)
        self._attempts.go_on()
        return number

    @handler
    def attempted(self, msg: _Attempted) -> None:
        """Settle a message, or try it again later."""
        if self._attempts.is_settled_by(msg):
            self._attempts.give_up(msg, self._attempts.settle(msg.number))
        self._attempts.go_on()

    @handler
    def wake(self, msg: _Wake) -> None:
        """Try what is due."""
        self._attempts.go_on()

    def on_stop(self) -> None:
        """Log how many messages are lost, if any."""
        left = len(self._attempts.pending)
        if left:
            self.node.system.reporter.problem(f"{self.ref.address} ends with {left} messages that are not delivered")


class _Began(Message[None], tag="trouper.delivery.Began", local=True):
    """An event: the stream is new, and its sender has this id."""

    sender: str


class _Accepted(Message[None], tag="trouper.delivery.Accepted", local=True):
    """An event: a message, encoded, is to be delivered."""

    number: int
    tag: str
    payload: bytes


class _Settled(Message[None], tag="trouper.delivery.Settled", local=True):
    """An event: a message is handled, refused or given up."""

    number: int


class DeliveryState(msgspec.Struct):
    """The state of a durable delivery: its id, its last number, and the pending messages by number."""

    sender: str = ""
    last: int = 0
    pending: dict[int, tuple[str, bytes]] = msgspec.field(default_factory=dict[int, tuple[str, bytes]])


class DurableDelivery(EventSourcedActor[DeliveryState]):
    """A ``Delivery`` whose pending messages are in the journal of its node: it goes on after a crash.

    It is spawned with a name, or ``persistence_id`` is overridden.  Its messages cannot have refs, and their classes
    must be imported when it starts.
    """

    exported = False
    snapshot_every = 1_000
    keep_events = False

    def __init__(self, receiver: ActorRef | FindReceiver, settings: DeliverySettings = _DEFAULT) -> None:
        self._attempts = _Attempts(self, receiver, settings)

    async def on_start(self) -> None:
        """Recover what is pending, and try it; raises ``WireError`` for a stored message whose class is not known."""
        await super().on_start()
        attempts = self._attempts
        if not self.state.sender:
            await self.persist(_Began(attempts.make_id()))
        attempts.sender, attempts.pending.last = self.state.sender, self.state.last
        for number, (tag, payload) in sorted(self.state.pending.items()):
            attempts.accept(self._stored(number, tag, payload), number)
        attempts.pending.last = self.state.last
        attempts.go_on()

    def _stored(self, number: int, tag: str, payload: bytes) -> Message[object]:
        type_ = message_class(tag)
        if type_ is None:
            raise WireError(
                f"{self.ref.address} has stored message {number}, a {tag!r}, which no loaded module defines: import "
                "the module of its class before the delivery starts"
            )
        decoder = msgspec.msgpack.Decoder(type_)
        return decode_untrusted(decoder.decode, payload, f"stored message {number}, a {tag!r}")

    @handler
    async def deliver(self, msg: DeliverMessage) -> int:
        """Accept a message: write it to the journal."""
        self._attempts.check_capacity()
        try:
            payload = msgspec.msgpack.encode(msg.message)
        except Exception as error:
            raise Reject(f"a {type(msg.message).__qualname__} cannot be stored: {error}") from error
        number = self.state.last + 1
        try:
            await self.persist(_Accepted(number, tag_of(type(msg.message)), payload))
        finally:
            if self.state.last == number:  # also when the asker has given up meanwhile: it is in the journal
                self._attempts.accept(msg.message)
                self._attempts.go_on()
        return number

    @handler
    async def attempted(self, msg: _Attempted) -> None:
        """Settle a message in the journal, or try it again later."""
        if self._attempts.is_settled_by(msg):
            await self.persist(_Settled(msg.number))
            self._attempts.give_up(msg, self._attempts.settle(msg.number))
        self._attempts.go_on()

    @handler
    def wake(self, msg: _Wake) -> None:
        """Try what is due."""
        self._attempts.go_on()

    @applies
    def _began(self, event: _Began) -> None:
        self.state.sender = event.sender

    @applies
    def _accepted(self, event: _Accepted) -> None:
        self.state.last = event.number
        self.state.pending[event.number] = (event.tag, event.payload)

    @applies
    def _settled(self, event: _Settled) -> None:
        self.state.pending.pop(event.number, None)
