"""Counting: one actor sends another ``size`` increments, then asks for the count.

It measures a mailbox that one sender fills.  Awaiting ``tell`` is what keeps the mailbox from overflowing.
"""

from __future__ import annotations

from trouper import Actor, ActorRef, Message, Node, handler

from . import outcome

SIZE = 200_000


class Increment(Message):
    """Count one more."""


class Count(Message[int]):
    """The reply is the count."""


class Produce(Message[int]):
    """Send increments; the reply is what the counter counted."""

    increments: int


class Counter(Actor):
    """Counts."""

    def __init__(self) -> None:
        self.count = 0

    @handler
    def increment(self, msg: Increment) -> None:
        """Count one more."""
        self.count += 1

    @handler
    def tell_count(self, msg: Count) -> int:
        """Return the count."""
        return self.count


class Producer(Actor):
    """Sends increments at the speed at which they are handled."""

    def __init__(self, counter: ActorRef) -> None:
        self.counter = counter

    @handler
    async def produce(self, msg: Produce) -> int:
        """Send them all; the question comes after the last of them, so the answer covers them all."""
        for _ in range(msg.increments):
            await self.counter.tell(Increment())
        return await self.counter.ask(Count())


async def run(node: Node, size: int) -> int:
    """Send ``size`` increments and return the count."""
    counter = await node.spawn(Counter)
    producer = await node.spawn(Producer, counter)
    return await outcome(producer, Produce(size))


def check(size: int, result: int) -> None:
    """None was lost and none was counted twice."""
    assert result == size
