"""Fork-join (create): ``size`` actors are made, do one small computation each, and end.

It measures birth and death.  The parent watches each child and counts their ``Down`` messages.
"""

from __future__ import annotations

import math

from trouper import Actor, Down, Message, Node, handler

from . import outcome
from .conductor import Conductor, Outcome

SIZE = 20_000


class Fork(Message):
    """Make ``children`` children and put each to work."""

    children: int


class Work(Message):
    """A number to compute with."""

    number: float


class Worker(Actor):
    """Computes once, then ends."""

    @handler
    def work(self, msg: Work) -> None:
        """Compute and end."""
        assert -1.0 <= math.sin(msg.number) <= 1.0
        self.stop()


class Forker(Conductor):
    """Makes the workers and waits for the end of each."""

    def __init__(self) -> None:
        super().__init__()
        self.awaited = 0
        self.ended = 0

    @handler
    async def fork(self, msg: Fork) -> None:
        """Make, watch and start the workers."""
        self.awaited = msg.children
        for number in range(msg.children):
            worker = await self.spawn(Worker)
            self.watch(worker)
            worker.tell(Work(number))

    @handler
    def joined(self, msg: Down) -> None:
        """Count a worker that has ended as it should."""
        assert msg.reason == "stopped", msg
        self.ended += 1
        if self.ended == self.awaited:
            self.finish(self.ended)


async def run(node: Node, size: int) -> float:
    """Fork and join ``size`` workers and return how many ended."""
    forker = await node.spawn(Forker)
    forker.tell(Fork(size))
    return await outcome(forker, Outcome())


def check(size: int, result: float) -> None:
    """Every worker ended."""
    assert result == size
