"""Concurrent sorted list: 10 workers insert, look up and measure one sorted list, ``size`` times each.

It measures an actor whose handlers take longer as its state grows.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from random import Random

from trouper import Actor, ActorRef, Message, Node, handler

SIZE = 1_000
WORKERS = 10
INSERT_SHARE = 0.3


class Insert(Message):
    """Put a number where it belongs."""

    number: int


class Contains(Message[bool]):
    """The reply says whether the number is there."""

    number: int


class Content(Message[list[int]]):
    """The reply is the whole list."""


class Work(Message[list[int]]):
    """Insert and look up ``operations`` times; the reply is what was inserted."""

    operations: int


class SortedList(Actor):
    """A list that is sorted after each message."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    @handler
    def insert(self, msg: Insert) -> None:
        """Put the number where it belongs."""
        insort(self.numbers, msg.number)

    @handler
    def contains(self, msg: Contains) -> bool:
        """Look for the number."""
        place = bisect_left(self.numbers, msg.number)
        return place < len(self.numbers) and self.numbers[place] == msg.number

    @handler
    def content(self, msg: Content) -> list[int]:
        """Return a copy, since a reply is passed by reference and the list goes on changing."""
        return list(self.numbers)


class Worker(Actor):
    """Inserts some numbers and looks for others; what it has inserted must be found."""

    def __init__(self, target: ActorRef, seed: int) -> None:
        self.target = target
        self.random = Random(seed)

    @handler
    async def work(self, msg: Work) -> list[int]:
        """Do all operations."""
        inserted: list[int] = []
        for _ in range(msg.operations):
            if self.random.random() < INSERT_SHARE:
                inserted.append(self.random.randrange(10**9))
                await self.target.tell(Insert(inserted[-1]))
            elif inserted:
                assert await self.target.ask(Contains(self.random.choice(inserted)))
        return inserted


async def run(node: Node, size: int) -> tuple[list[int], list[int]]:
    """Let all workers do ``size`` operations; return all that was inserted, and the list."""
    target = await node.spawn(SortedList)
    workers = [await node.spawn(Worker, target, seed) for seed in range(WORKERS)]
    answers = [worker.ask(Work(size), timeout_s=120) for worker in workers]
    inserted = [number for answer in answers for number in await answer]
    return inserted, await target.ask(Content())


def check(size: int, result: tuple[list[int], list[int]]) -> None:
    """The list is what was inserted, sorted."""
    inserted, content = result
    assert content == sorted(inserted)
    assert len(inserted) <= size * WORKERS
