"""Fork-join (throughput): 60 actors get ``size`` messages each, in turn.  It measures many mailboxes at once."""

from __future__ import annotations

from trouper import Actor, Message, Node, handler

SIZE = 2_000
WORKERS = 60


class Work(Message):
    """Something to do."""


class Done(Message[int]):
    """The reply is how many messages came before this one."""


class Worker(Actor):
    """Counts what it does."""

    def __init__(self) -> None:
        self.done = 0

    @handler
    def work(self, msg: Work) -> None:
        """Do it."""
        self.done += 1

    @handler
    def tell_done(self, msg: Done) -> int:
        """Return how many were done."""
        return self.done


async def run(node: Node, size: int) -> list[int]:
    """Give each worker ``size`` messages and return how many each had done when it was asked."""
    workers = [await node.spawn(Worker) for _ in range(WORKERS)]
    for _ in range(size):
        for worker in workers:
            await worker.tell(Work())
    answers = [worker.ask(Done()) for worker in workers]
    return [await answer for answer in answers]


def check(size: int, result: list[int]) -> None:
    """Each worker had done everything that was sent before the question."""
    assert result == [size] * WORKERS
