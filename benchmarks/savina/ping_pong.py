"""Ping-pong: two actors send a message to and fro, ``size`` times.  It measures the delivery of a single message."""

from __future__ import annotations

from trouper import Actor, ActorRef, Message, Node, handler

from . import outcome
from .conductor import Conductor, Outcome

SIZE = 100_000


class Ping(Message):
    """To be answered with a pong."""

    reply_to: ActorRef


class Pong(Message):
    """The answer to a ping."""


class Serve(Message):
    """Begin."""


class Ponger(Actor):
    """Answers pings."""

    @handler
    def ping(self, msg: Ping) -> None:
        """Answer."""
        msg.reply_to.tell(Pong())


class Pinger(Conductor):
    """Sends the next ping when a pong has come."""

    def __init__(self, ponger: ActorRef, rounds: int) -> None:
        super().__init__()
        self.ponger = ponger
        self.rounds = rounds
        self.pongs = 0

    @handler
    def serve(self, msg: Serve) -> None:
        """Send the first ping."""
        self.ponger.tell(Ping(self.ref))

    @handler
    def pong(self, msg: Pong) -> None:
        """Count, and go on or end."""
        self.pongs += 1
        if self.pongs < self.rounds:
            self.ponger.tell(Ping(self.ref))
        else:
            self.finish(self.pongs)


async def run(node: Node, size: int) -> float:
    """Play ``size`` rounds and return how many pongs came."""
    ponger = await node.spawn(Ponger)
    pinger = await node.spawn(Pinger, ponger, size)
    pinger.tell(Serve())
    return await outcome(pinger, Outcome())


def check(size: int, result: float) -> None:
    """Every ping was answered once."""
    assert result == size
