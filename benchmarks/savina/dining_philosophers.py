"""Dining philosophers: 20 philosophers share 20 forks and eat ``size`` times each; an arbiter hands out the forks.

It measures an actor that many compete for and that refuses some of them.  A refusal is a ``Reject``: a no, not a crash.
"""

from __future__ import annotations

from trouper import Actor, ActorRef, Message, Node, Reject, handler

SIZE = 300
SEATS = 20


class Hungry(Message):
    """Asks for both forks of a seat; refused while a neighbour eats."""

    seat: int


class Full(Message):
    """Gives both forks back."""

    seat: int


class Tally(Message[tuple[int, int]]):
    """The reply is how many meals there were, and how many refusals."""


class Dine(Message[int]):
    """Eat ``meals`` times; the reply is how many were eaten."""

    meals: int


class Arbiter(Actor):
    """Has the forks, and gives two or none."""

    def __init__(self) -> None:
        self.taken = [False] * SEATS
        self.meals = 0
        self.refusals = 0

    @handler
    def hungry(self, msg: Hungry) -> None:
        """Hand out both forks, or refuse."""
        left, right = msg.seat, (msg.seat + 1) % SEATS
        if self.taken[left] or self.taken[right]:
            self.refusals += 1
            raise Reject(f"a neighbour of seat {msg.seat} is eating")
        self.taken[left] = self.taken[right] = True

    @handler
    def full(self, msg: Full) -> None:
        """Take the forks back."""
        left, right = msg.seat, (msg.seat + 1) % SEATS
        assert (self.taken[left], self.taken[right]) == (True, True), f"seat {msg.seat} has no forks to give back"
        self.taken[left] = self.taken[right] = False
        self.meals += 1

    @handler
    def tally(self, msg: Tally) -> tuple[int, int]:
        """Return both counts."""
        return self.meals, self.refusals


class Philosopher(Actor):
    """Tries until it may eat."""

    def __init__(self, arbiter: ActorRef, seat: int) -> None:
        self.arbiter = arbiter
        self.seat = seat

    @handler
    async def dine(self, msg: Dine) -> int:
        """Eat as often as is asked."""
        eaten = 0
        while eaten < msg.meals:
            try:
                await self.arbiter.ask(Hungry(self.seat))
            except Reject:
                continue
            eaten += 1
            await self.arbiter.tell(Full(self.seat))
        return eaten


async def run(node: Node, size: int) -> tuple[list[int], int]:
    """Let all eat ``size`` times; return what each has eaten, and the arbiter's count of meals."""
    arbiter = await node.spawn(Arbiter)
    philosophers = [await node.spawn(Philosopher, arbiter, seat) for seat in range(SEATS)]
    answers = [philosopher.ask(Dine(size), timeout_s=120) for philosopher in philosophers]
    eaten = [await answer for answer in answers]
    meals, _refusals = await arbiter.ask(Tally())
    return eaten, meals


def check(size: int, result: tuple[list[int], int]) -> None:
    """Nobody starved, and no fork was in two hands (the arbiter asserts that)."""
    assert result == ([size] * SEATS, size * SEATS)
