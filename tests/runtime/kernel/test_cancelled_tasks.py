"""A program cancels all tasks of its loop, at any moment: no actor stays busy, and every message is accounted for."""

import asyncio
import random
from functools import partial

import pytest

from tests.runtime.stage import play_on
from trouper import Actor, ActorRef, Message, Node, handler
from trouper.testing import settle


class Work(Message[int]):
    """Take some seconds, by asking others where hops are left."""

    seconds: float
    hops: int


class Shout(Message):
    """Take some seconds; nobody waits for it."""

    seconds: float


class Worker(Actor):
    """Its handlers wait, ask others, and leave tasks behind; its start and end wait too."""

    def __init__(self, others: list[ActorRef]) -> None:
        self.others = others

    async def on_start(self) -> None:
        await asyncio.sleep(0.1)

    async def on_stop(self) -> None:
        await asyncio.sleep(0.1)

    @handler
    async def work(self, msg: Work) -> int:
        await asyncio.sleep(msg.seconds)
        if not msg.hops:
            return 0
        other = self.others[(self.others.index(self.ref) + 1) % len(self.others)]
        return 1 + await other.ask(Work(msg.seconds, msg.hops - 1))

    @handler(reentrant=True)
    async def shout(self, msg: Shout) -> None:
        if msg.seconds:
            self.pipe_to_self(asyncio.sleep(msg.seconds), lambda _: Shout(0.0), lambda _: Shout(0.0))
        await asyncio.sleep(msg.seconds)


def _cancel_all() -> int:
    mine = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not mine]
    return sum(task.cancel() for task in others)


async def _scene(node: Node, draw: random.Random) -> int:
    cancelled = 0
    refs: list[ActorRef] = []
    for _ in range(4):
        refs.append(await node.spawn(Worker, refs))
    asks: list[asyncio.Future[int]] = []
    for _ in range(30):
        ref = draw.choice(refs)
        ref.tell(Shout(draw.choice([0.0, 0.1, 0.3])))
        if draw.random() < 0.7:
            asks.append(ref.ask(Work(draw.choice([0.0, 0.1, 0.3]), draw.randrange(3))))
        for _ in range(draw.randrange(4)):  # so that it happens in the midst of what is under way
            await asyncio.sleep(0.0)
        if draw.random() < 0.3:
            cancelled += _cancel_all()
        await asyncio.sleep(draw.choice([0.0, 0.05, 0.2]))
    await asyncio.sleep(60.0)
    await settle()
    assert all(ask.done() for ask in asks)
    await asyncio.gather(*asks, return_exceptions=True)
    assert [str(cell.address) for cell in node.system.cells() if cell.busy or cell.mail] == []
    assert node.accounting().in_flight == 0
    return cancelled


@pytest.mark.parametrize("first_seed", range(0, 60, 20))
def test_cancelling_all_tasks_at_any_moment_leaves_no_actor_busy_and_no_message_uncounted(first_seed: int) -> None:
    """The program cancels handlers, hooks and tasks in the background; the runtime did not."""
    for seed in range(first_seed, first_seed + 20):
        assert play_on(Node(), partial(_scene, draw=random.Random(seed))) > 0, seed
