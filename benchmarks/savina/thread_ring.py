"""Thread ring: 100 actors in a ring pass a token ``size`` times.  It measures the switch from one actor to the next."""

from __future__ import annotations

from trouper import ActorRef, Message, Node, handler

from . import outcome
from .conductor import Conductor, Outcome

SIZE = 100_000
LINKS = 100


class Join(Message):
    """Who comes next in the ring."""

    next: ActorRef


class Token(Message):
    """Passed on until none is left."""

    left: int


class Link(Conductor):
    """One of the ring; the one at which the token ends knows the outcome: its number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.next = self.ref

    @handler
    def join(self, msg: Join) -> None:
        """Learn who comes next."""
        self.next = msg.next

    @handler
    def token(self, msg: Token) -> None:
        """Pass the token on, or end."""
        if msg.left:
            self.next.tell(Token(msg.left - 1))
        else:
            self.finish(self.number)


async def run(node: Node, size: int) -> float:
    """Pass the token ``size`` times and return the number of the link that should have got it last."""
    links = [await node.spawn(Link, number) for number in range(LINKS)]
    for number, link in enumerate(links):
        link.tell(Join(links[(number + 1) % LINKS]))
    links[0].tell(Token(size))
    return await outcome(links[size % LINKS], Outcome())


def check(size: int, result: float) -> None:
    """The token came to its end where it should."""
    assert result == size % LINKS
