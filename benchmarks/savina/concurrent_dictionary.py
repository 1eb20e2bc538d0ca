"""Concurrent dictionary: 20 workers read and write one dictionary, ``size`` times each, one write in ten.

It measures readers and writers of one actor.  Each worker has keys of its own, so it knows what it has to read.
"""

from __future__ import annotations

from random import Random

from trouper import Actor, ActorRef, Message, Node, handler

SIZE = 1_000
WORKERS = 20
KEYS = 64
WRITE_SHARE = 0.1


class Write(Message):
    """Put a value at a key."""

    key: int
    value: int


class Read(Message[int | None]):
    """The reply is the value at the key, None when there is none."""

    key: int


class Work(Message[int]):
    """Read and write ``operations`` times; the reply is how many reads were right."""

    operations: int


class Dictionary(Actor):
    """A dictionary that only its own handlers touch."""

    def __init__(self) -> None:
        self.values: dict[int, int] = {}

    @handler
    def write(self, msg: Write) -> None:
        """Put the value."""
        self.values[msg.key] = msg.value

    @handler
    def read(self, msg: Read) -> int | None:
        """Return the value."""
        return self.values.get(msg.key)


class Worker(Actor):
    """Writes, reads, and compares with what it has written."""

    def __init__(self, dictionary: ActorRef, number: int) -> None:
        self.dictionary = dictionary
        self.number = number
        self.random = Random(number)
        self.written: dict[int, int] = {}

    @handler
    async def work(self, msg: Work) -> int:
        """Do all operations.  A write is told: the next read comes after it, because order is kept."""
        right = 0
        for operation in range(msg.operations):
            key = self.number * KEYS + self.random.randrange(KEYS)
            if self.random.random() < WRITE_SHARE:
                await self.dictionary.tell(Write(key, operation))
                self.written[key] = operation
            if await self.dictionary.ask(Read(key)) == self.written.get(key):
                right += 1
        return right


async def run(node: Node, size: int) -> int:
    """Let all workers do ``size`` operations and return how many reads were right."""
    dictionary = await node.spawn(Dictionary)
    workers = [await node.spawn(Worker, dictionary, number) for number in range(WORKERS)]
    answers = [worker.ask(Work(size), timeout_s=120) for worker in workers]
    return sum([await answer for answer in answers])


def check(size: int, result: int) -> None:
    """Every worker read what it had written."""
    assert result == size * WORKERS
