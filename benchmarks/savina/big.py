"""Big: 60 actors send pings to one another at random, ``size`` each, and each waits for its pong.

It measures many-to-many traffic.
"""

from __future__ import annotations

from random import Random

from trouper import Actor, ActorRef, Message, Node, handler

from . import outcome
from .conductor import Conductor, Outcome

SIZE = 1_000
ACTORS = 60


class Neighbours(Message):
    """Everyone, and the sign to begin."""

    refs: tuple[ActorRef, ...]


class Ping(Message):
    """To be answered with a pong."""

    reply_to: ActorRef


class Pong(Message):
    """The answer to a ping."""


class Finished(Message):
    """One has had all its pongs."""

    pongs: int


class Big(Actor):
    """Sends the next ping when a pong has come."""

    def __init__(self, sink: ActorRef, seed: int, pings: int) -> None:
        self.sink = sink
        self.random = Random(seed)
        self.pings = pings
        self.pongs = 0
        self.neighbours: tuple[ActorRef, ...] = ()

    @handler
    def begin(self, msg: Neighbours) -> None:
        """Send the first ping."""
        self.neighbours = msg.refs
        self._ping()

    @handler
    def ping(self, msg: Ping) -> None:
        """Answer."""
        msg.reply_to.tell(Pong())

    @handler
    def pong(self, msg: Pong) -> None:
        """Count, and go on or end; who has ended goes on answering."""
        self.pongs += 1
        if self.pongs < self.pings:
            self._ping()
        else:
            self.sink.tell(Finished(self.pongs))

    def _ping(self) -> None:
        self.random.choice(self.neighbours).tell(Ping(self.ref))


class Sink(Conductor):
    """Waits until everyone has finished."""

    def __init__(self) -> None:
        super().__init__()
        self.finished = 0
        self.pongs = 0

    @handler
    def count(self, msg: Finished) -> None:
        """Add up."""
        self.finished += 1
        self.pongs += msg.pongs
        if self.finished == ACTORS:
            self.finish(self.pongs)


async def run(node: Node, size: int) -> float:
    """Exchange ``size`` pings and pongs an actor and return how many pongs came in all."""
    sink = await node.spawn(Sink)
    refs = tuple([await node.spawn(Big, sink, seed, size) for seed in range(ACTORS)])
    for ref in refs:
        ref.tell(Neighbours(refs))
    return await outcome(sink, Outcome())


def check(size: int, result: float) -> None:
    """Every ping was answered once."""
    assert result == size * ACTORS
