"""Bare asyncio as a peer: an actor is a task and an ``asyncio.Queue``; an answer is a future.

This is what one writes by hand.  It has no supervision, no names and no deadlines.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from typing import NamedTuple

from trouper.cli.measurements import percentile, resident_bytes, timer_lateness_ms

from ..cold import milliseconds_until_printed
from . import Figures, Workloads, on_asyncio

FIRST_MESSAGE = """
import asyncio
import time

async def greet(inbox):
    (await inbox.get()).set_result(time.monotonic_ns())

async def main():
    inbox = asyncio.Queue()
    task = asyncio.create_task(greet(inbox))
    answer = asyncio.get_running_loop().create_future()
    await inbox.put(answer)
    print(await answer)

asyncio.run(main())
"""


class Note(NamedTuple):
    """A number and a short text."""

    amount: int
    text: str


class Deposit(NamedTuple):
    """A number and where the balance goes."""

    amount: int
    answer: asyncio.Future[int]


Inbox = asyncio.Queue[Note | Deposit]


async def _bank(inbox: Inbox) -> None:
    balance = 0
    while True:
        message = await inbox.get()
        balance += message.amount
        if isinstance(message, Deposit):
            message.answer.set_result(balance)


def _ask(inbox: Inbox, amount: int) -> asyncio.Future[int]:
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    inbox.put_nowait(Deposit(amount, answer))
    return answer


async def tell(count: int) -> Figures:
    """W1, with a queue of 1,000 that holds the sender back."""
    inbox: Inbox = asyncio.Queue(1000)
    bank = asyncio.create_task(_bank(inbox))
    started = time.perf_counter()
    for amount in range(count):
        await inbox.put(Note(amount, "ada"))
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    await inbox.put(Deposit(0, answer))
    assert await answer == count * (count - 1) // 2
    rate = count / (time.perf_counter() - started)
    bank.cancel()
    return {"value": rate}


async def ask(count: int) -> Figures:
    """W2."""
    inbox: Inbox = asyncio.Queue()
    bank = asyncio.create_task(_bank(inbox))
    times_us: list[float] = []
    started = time.perf_counter()
    for _ in range(count):
        await _ask(inbox, 1)
    rate = count / (time.perf_counter() - started)
    for _ in range(count):
        before = time.perf_counter_ns()
        await _ask(inbox, 1)
        times_us.append((time.perf_counter_ns() - before) / 1000)
    bank.cancel()
    return {"value": rate, "p50_us": percentile(times_us, 0.5)}


async def ask_many(count: int) -> Figures:
    """W2b."""
    inbox: Inbox = asyncio.Queue()
    bank = asyncio.create_task(_bank(inbox))
    started = time.perf_counter()
    for _ in range(count // 1000):
        for answer in [_ask(inbox, 1) for _ in range(1000)]:
            await answer
    rate = count / (time.perf_counter() - started)
    bank.cancel()
    return {"value": rate}


async def spawn(count: int) -> Figures:
    """W3: a task and a queue each; the clock stops when all wait for their first message."""
    gc.collect()
    before = resident_bytes()
    started = time.perf_counter()
    tasks: list[asyncio.Task[None]] = []
    inboxes: list[Inbox] = []
    for _ in range(count):
        inboxes.append(asyncio.Queue())
        tasks.append(asyncio.create_task(_bank(inboxes[-1])))
    await _ask(inboxes[-1], 1)
    rate = count / (time.perf_counter() - started)
    gc.collect()
    after = resident_bytes()
    for task in tasks:
        task.cancel()
    return {"value": rate, "bytes_each": (after - before) / count, "resident_bytes": after}


async def ring(hops: int) -> Figures:
    """W4."""
    finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def link(own: asyncio.Queue[int], following: asyncio.Queue[int]) -> None:
        while left := await own.get():
            following.put_nowait(left - 1)
        finished.set_result(None)

    queues = [asyncio.Queue[int]() for _ in range(100)]
    tasks = [asyncio.create_task(link(queues[i], queues[(i + 1) % 100])) for i in range(100)]
    started = time.perf_counter()
    queues[0].put_nowait(hops)
    await finished
    rate = hops / (time.perf_counter() - started)
    for task in tasks:
        task.cancel()
    return {"value": rate}


async def fairness(duration_ms: int) -> Figures:
    """A 1 ms timer while a task floods another through a queue of 1,000."""
    inbox: Inbox = asyncio.Queue(1000)

    async def flood() -> None:
        while True:
            await inbox.put(Note(1, "ada"))

    tasks = [asyncio.create_task(_bank(inbox)), asyncio.create_task(flood())]
    late_ms = await timer_lateness_ms(duration_ms / 1000)
    for task in tasks:
        task.cancel()
    return {"value": percentile(late_ms, 0.99), "p50_ms": percentile(late_ms, 0.5)}


def first_message(repeats: int) -> Figures:
    """From nothing until a task has handled its first message."""
    return {"value": milliseconds_until_printed([sys.executable, "-c", FIRST_MESSAGE], repeats)}


WORKLOADS: Workloads = {
    "tell": on_asyncio(tell),
    "ask": on_asyncio(ask),
    "ask_many": on_asyncio(ask_many),
    "spawn": on_asyncio(spawn),
    "ring": on_asyncio(ring),
    "fairness": on_asyncio(fairness),
    "first_message": first_message,
}
