"""Cigarette smokers: an arbiter puts ingredients on the table for one smoker at random, ``size`` times.

It measures the wake-up of one actor among many that wait.
"""

from __future__ import annotations

from random import Random

from trouper import Actor, ActorRef, Message, Node, handler

from . import outcome
from .conductor import Conductor, Outcome

SIZE = 20_000
SMOKERS = 200


class Smokers(Message):
    """Everyone who smokes, and the sign to begin."""

    refs: tuple[ActorRef, ...]


class Ingredients(Message):
    """What this smoker lacks is on the table."""

    puffs: int


class Started(Message):
    """The table is free again."""

    puffs: int


class Smoker(Actor):
    """Takes what is on the table, says so, smokes."""

    def __init__(self, arbiter: ActorRef) -> None:
        self.arbiter = arbiter
        self.puffed = 0

    @handler
    def smoke(self, msg: Ingredients) -> None:
        """Take, and smoke."""
        self.arbiter.tell(Started(msg.puffs))
        for _ in range(msg.puffs):
            self.puffed += 1


class Arbiter(Conductor):
    """Puts the next ingredients on the table when it is free."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self.rounds = rounds
        self.random = Random(1)
        self.smokers: tuple[ActorRef, ...] = ()
        self.started = 0
        self.expected = 0
        self.reported = 0

    @handler
    def begin(self, msg: Smokers) -> None:
        """Serve the first."""
        self.smokers = msg.refs
        self._serve()

    @handler
    def count(self, msg: Started) -> None:
        """Count, and serve the next, or end: with how many rounds came back as they were sent."""
        self.started += 1
        self.reported += msg.puffs
        if self.started < self.rounds:
            self._serve()
        else:
            self.finish(self.started if self.reported == self.expected else -1)

    def _serve(self) -> None:
        puffs = self.random.randrange(1, 10)
        self.expected += puffs
        self.random.choice(self.smokers).tell(Ingredients(puffs))


async def run(node: Node, size: int) -> float:
    """Serve ``size`` rounds and return how many were smoked."""
    arbiter = await node.spawn(Arbiter, size)
    smokers = tuple([await node.spawn(Smoker, arbiter) for _ in range(SMOKERS)])
    arbiter.tell(Smokers(smokers))
    return await outcome(arbiter, Outcome())


def check(size: int, result: float) -> None:
    """Every round was smoked, to the last puff."""
    assert result == size
