"""Sleeping barber: ``size`` customers want a haircut; a waiting room with few chairs turns the rest away.

Who is turned away comes back later.  It measures a small bounded buffer between many senders and one slow receiver.
"""

from __future__ import annotations

from collections import deque

from trouper import Actor, ActorRef, Message, Node, handler

from . import outcome
from .conductor import Conductor, Outcome

SIZE = 500  # the turned-away go round and round, so the work grows with the square
CHAIRS = 50


class Enter(Message):
    """A customer comes into the waiting room."""

    customer: ActorRef


class Full(Message):
    """There is no chair; come back later."""


class Cut(Message):
    """The barber may cut this customer's hair."""

    customer: ActorRef


class Next(Message):
    """The barber is free."""


class Finished(Message):
    """The customer's hair is cut."""


class Return(Message):
    """A customer has been turned away."""

    customer: ActorRef


class Served(Message):
    """A customer goes home."""


class WaitingRoom(Actor):
    """Has the chairs, and wakes the barber when he sleeps."""

    def __init__(self, barber: ActorRef) -> None:
        self.barber = barber
        self.seated: deque[ActorRef] = deque()
        self.barber_sleeps = True

    @handler
    def enter(self, msg: Enter) -> None:
        """Give a chair, or turn the customer away."""
        if len(self.seated) == CHAIRS:
            msg.customer.tell(Full())
            return
        self.seated.append(msg.customer)
        if self.barber_sleeps:
            self.barber_sleeps = False
            self._send_next()

    @handler
    def next(self, msg: Next) -> None:
        """Send the next customer in, or let the barber sleep."""
        if self.seated:
            self._send_next()
        else:
            self.barber_sleeps = True

    def _send_next(self) -> None:
        self.barber.tell(Cut(self.seated.popleft()))


class Barber(Actor):
    """Cuts hair."""

    def __init__(self, room: list[ActorRef]) -> None:
        self.room = room

    @handler
    def cut(self, msg: Cut) -> None:
        """Cut, and ask for the next one."""
        msg.customer.tell(Finished())
        self.room[0].tell(Next())


class Customer(Actor):
    """Goes to the barber; turned away, it goes round the corner and comes back."""

    def __init__(self, street: ActorRef, room: ActorRef) -> None:
        self.street = street
        self.room = room

    def on_start(self) -> None:
        """Go in."""
        self.room.tell(Enter(self.ref))

    @handler
    def full(self, msg: Full) -> None:
        """Come back later."""
        self.street.tell(Return(self.ref))

    @handler
    def finished(self, msg: Finished) -> None:
        """Go home."""
        self.street.tell(Served())
        self.stop()


class Street(Conductor):
    """Sends those who were turned away back in, and waits until all are served."""

    def __init__(self, room: ActorRef, customers: int) -> None:
        super().__init__()
        self.room = room
        self.left = customers
        self.served = 0

    @handler
    def come_back(self, msg: Return) -> None:
        """Send the customer in again."""
        self.room.tell(Enter(msg.customer))

    @handler
    def count(self, msg: Served) -> None:
        """Count one who goes home."""
        self.served += 1
        if self.served == self.left:
            self.finish(self.served)


async def run(node: Node, size: int) -> float:
    """Serve ``size`` customers and return how many went home with short hair."""
    room_of_barber: list[ActorRef] = []
    barber = await node.spawn(Barber, room_of_barber)
    room = await node.spawn(WaitingRoom, barber)
    room_of_barber.append(room)
    street = await node.spawn(Street, room, size)
    for _ in range(size):
        await node.spawn(Customer, street, room)
    return await outcome(street, Outcome())


def check(size: int, result: float) -> None:
    """Everyone was served, however often turned away."""
    assert result == size
