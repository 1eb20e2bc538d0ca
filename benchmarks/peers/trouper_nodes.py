"""Trouper between two processes: this node and its one worker.

The usual ref is the one that ``spawn(..., place=)`` returns, to the stand-in that is supervised here.  The direct one
is what the actor gives of itself, which any third node would hold.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial

import trouper
from trouper import ActorRef, Message, Node, handler
from trouper.cli.bench_actors import Balance, Bank, Deposit, Note
from trouper.cli.measurements import percentile

from . import Figures, Workloads

AWAIT_EVERY = 256
IN_FLIGHT = 1_000


class Itself(Message[ActorRef]):
    """The reply is the actor's own ref."""


class FarBank(Bank):
    """A bank that says who it is."""

    @handler
    def itself(self, msg: Itself) -> ActorRef:
        """Reply."""
        return self.ref


@asynccontextmanager
async def _bank(direct: bool) -> AsyncGenerator[ActorRef]:
    """A bank in another process, warm."""
    async with Node(workers=1) as node:
        placed = await node.spawn(FarBank, place=node.workers.names[0])
        bank = await placed.ask(Itself()) if direct else placed
        for _ in range(500):
            await bank.ask(Deposit(0))
        yield bank


async def tell(direct: bool, count: int) -> Figures:
    """W5: tell ``count`` notes, awaiting every 256th, until an ask behind them has been answered."""
    async with _bank(direct) as bank:
        started = time.perf_counter()
        for amount in range(count):
            sent = bank.tell(Note(amount, "ada"))
            if not amount % AWAIT_EVERY:
                await sent
        balance = await bank.ask(Balance(), timeout_s=300)
        rate = count / (time.perf_counter() - started)
        assert balance == count * (count - 1) // 2, "every note was handled, once"
        return {"value": rate}


async def ask(direct: bool, count: int) -> Figures:
    """W6: one ask after the other; the median in us."""
    async with _bank(direct) as bank:
        times_us: list[float] = []
        for _ in range(count):
            before = time.perf_counter_ns()
            await bank.ask(Deposit(1))
            times_us.append((time.perf_counter_ns() - before) / 1000)
        assert await bank.ask(Balance()) == count, "every ask was handled, once"
        return {"value": percentile(times_us, 0.5), "p99_us": percentile(times_us, 0.99)}


async def ask_many(direct: bool, count: int) -> Figures:
    """W6b: ``count`` asks, 1,000 of them in flight at a time."""
    async with _bank(direct) as bank:
        started = time.perf_counter()
        for _ in range(count // IN_FLIGHT):
            for answer in [bank.ask(Deposit(1)) for _ in range(IN_FLIGHT)]:
                await answer
        rate = count / (time.perf_counter() - started)
        assert await bank.ask(Balance()) == count // IN_FLIGHT * IN_FLIGHT, "every ask was handled, once"
        return {"value": rate}


def _workloads(direct: bool) -> Workloads:
    def work(function: Callable[[bool, int], Coroutine[object, object, Figures]]) -> Callable[[int], Figures]:
        return lambda size: trouper.run(partial(function, direct, size))

    return {"node_tell": work(tell), "node_ask": work(ask), "node_ask_many": work(ask_many)}


PLACED = _workloads(direct=False)
DIRECT = _workloads(direct=True)
