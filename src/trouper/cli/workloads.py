"""Trouper's side of the benchmarks: one small async function for each workload.

Each starts a node of its own, uses public names only, checks the result and returns figures; ``value`` is the one of
the table.  The comparisons and the thresholds are in the project's ``benchmarks/``.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import NamedTuple

from .. import ActorRef, Node
from .bench_actors import (
    Asker,
    AskRepeatedly,
    Balance,
    Bank,
    Crash,
    CrashingParent,
    Deposit,
    Echo,
    Next,
    Note,
    RingMember,
    StopEcho,
    Token,
)
from .measurements import Figures, percentile, resident_bytes, timer_lateness_ms

AWAIT_EVERY = 256  # tells between two awaits: well below the high-water mark, so that most awaits do not wait


class Discard(logging.Handler):
    """Formats each line, as a log that is kept does, and keeps none."""

    def emit(self, record: logging.LogRecord) -> None:
        """Format the line, and drop it."""
        self.format(record)


async def tell(count: int) -> Figures:
    """W1: tell ``count`` notes, awaiting every 256th; then a fifth as many, awaiting each one."""
    async with Node() as node:
        bank = await node.spawn(Bank)
        started = time.perf_counter()
        for amount in range(count):
            sent = bank.tell(Note(amount, "ada"))
            if not amount % AWAIT_EVERY:
                await sent
        _check(await bank.ask(Balance()), count * (count - 1) // 2)
        rate = count / (time.perf_counter() - started)

        fifth = count // 5
        started = time.perf_counter()
        for _ in range(fifth):
            await bank.tell(Note(0, "ada"))
        await bank.ask(Balance())
        return {"value": rate, "awaited_per_s": fifth / (time.perf_counter() - started)}


async def ask(count: int) -> Figures:
    """W2: ask an idle actor ``count`` times, one after the other; then again with a clock around each."""
    async with Node() as node:
        bank = await node.spawn(Bank)
        for _ in range(count // 10):
            await bank.ask(Deposit(1))
        started = time.perf_counter()
        for _ in range(count):
            await bank.ask(Deposit(1))
        rate = count / (time.perf_counter() - started)
        times_us: list[float] = []
        for _ in range(count):
            before = time.perf_counter_ns()
            await bank.ask(Deposit(1))
            times_us.append((time.perf_counter_ns() - before) / 1000)
        _check(await bank.ask(Balance()), count // 10 + 2 * count)
        return {"value": rate, "p50_us": percentile(times_us, 0.5)}


async def ask_many(count: int) -> Figures:
    """W2b: ``count`` asks, 1,000 of them in flight at a time."""
    async with Node() as node:
        bank = await node.spawn(Bank)
        started = time.perf_counter()
        for _ in range(count // 1000):
            for answer in [bank.ask(Deposit(1)) for _ in range(1000)]:
                await answer
        rate = count / (time.perf_counter() - started)
        _check(await bank.ask(Balance()), count // 1000 * 1000)
        return {"value": rate}


async def ask_from_many(count: int) -> Figures:
    """W2b, the other way: 1,000 actors ask one, each one ask after the other."""
    async with Node() as node:
        bank = await node.spawn(Bank)
        askers = [await node.spawn(Asker, bank) for _ in range(1000)]
        started = time.perf_counter()
        for last in [asker.ask(AskRepeatedly(count // 1000), timeout_s=60) for asker in askers]:
            await last
        rate = count / (time.perf_counter() - started)
        _check(await bank.ask(Balance()), count // 1000 * 1000)
        return {"value": rate}


async def spawn(count: int) -> Figures:
    """W3: spawn ``count`` actors one after the other, and weigh them when they are idle."""
    async with Node() as node:
        await node.spawn(Bank)
        gc.collect()
        before = resident_bytes()
        started = time.perf_counter()
        refs = [await node.spawn(Bank) for _ in range(count)]
        rate = count / (time.perf_counter() - started)
        gc.collect()
        after = resident_bytes()
        _check(await refs[-1].ask(Deposit(1)), 1)
        stopping = time.perf_counter()
    stopped_per_s = count / (time.perf_counter() - stopping)
    return {
        "value": rate,
        "bytes_each": (after - before) / count,
        "resident_bytes": after,
        "stopped_per_s": stopped_per_s,
    }


async def ring(hops: int) -> Figures:
    """W4: pass a token ``hops`` times round 100 actors."""
    finished = asyncio.get_running_loop().create_future()
    async with Node() as node:
        links = [await node.spawn(RingMember, finished) for _ in range(100)]
        for place, link in enumerate(links):
            await link.tell(Next(links[(place + 1) % len(links)]))
        started = time.perf_counter()
        links[0].tell(Token(hops))
        await finished
        return {"value": hops / (time.perf_counter() - started)}


async def restart(count: int) -> Figures:
    """W10: from the message that crashes an actor until its next instance has answered; median in us.

    Log lines are formatted and thrown away.
    """
    made = asyncio.get_running_loop().create_future()
    log = logging.getLogger("trouper")
    discard = Discard()
    log.addHandler(discard)
    log.propagate = False
    try:
        async with Node() as node:
            await node.spawn(CrashingParent, made)
            bank = await made
            return {"value": percentile([await _crash_us(bank) for _ in range(count)], 0.5)}
    finally:
        log.removeHandler(discard)
        log.propagate = True


async def _crash_us(bank: ActorRef) -> float:
    await bank.ask(Deposit(1))
    started = time.perf_counter()
    bank.tell(Crash())
    balance = await bank.ask(Balance())
    took_us = (time.perf_counter() - started) * 1e6
    _check(balance, 0)
    return took_us


async def fairness(duration_ms: int) -> Figures:
    """How late a 1 ms timer is (p99, ms) while an actor is flooded; of three floods the worst counts.

    One is by a task that tells, one by a task that asks, one by the actor itself with 1,000 notes in its mailbox.
    """
    duration_s = duration_ms / 3000
    async with Node() as node:
        bank = await node.spawn(Bank)
        late_ms: dict[str, list[float]] = {}
        for name, flood in (("tells", _flood_with_tells(bank)), ("asks", _flood_with_asks(bank))):
            flooding = asyncio.create_task(flood)
            late_ms[name] = await timer_lateness_ms(duration_s)
            flooding.cancel()
        echo = await node.spawn(Echo)
        for _ in range(1000):
            echo.tell(Note(1, "ada"))
        late_ms["itself"] = await timer_lateness_ms(duration_s)
        await echo.ask(StopEcho())
        await echo.drain()
    p99_ms = {name: percentile(values, 0.99) for name, values in late_ms.items()}
    worst = max(p99_ms, key=lambda name: p99_ms[name])
    each = {f"from_{name}_p99_ms": value for name, value in p99_ms.items()}
    return {"value": p99_ms[worst], "p50_ms": percentile(late_ms[worst], 0.5), **each}


async def _flood_with_tells(bank: ActorRef) -> None:
    while True:
        await bank.tell(Note(1, "ada"))


async def _flood_with_asks(bank: ActorRef) -> None:
    while True:
        await bank.ask(Deposit(1))


def _check(seen: int, expected: int) -> None:
    if seen != expected:
        raise AssertionError(f"wrong result: {seen} instead of {expected}")


class Workload(NamedTuple):
    """One workload: its title in the table, and its default size."""

    title: str
    unit: str
    higher_is_better: bool
    size: int
    run: Callable[[int], Coroutine[object, object, Figures]]


WORKLOADS: Mapping[str, Workload] = {
    "tell": Workload("W1 tell", "messages/s", True, 1_000_000, tell),
    "ask": Workload("W2 ask", "asks/s", True, 100_000, ask),
    "ask_many": Workload("W2b ask, 1,000 in flight", "asks/s", True, 200_000, ask_many),
    "ask_from_many": Workload("W2b from 1,000 askers", "asks/s", True, 200_000, ask_from_many),
    "spawn": Workload("W3 spawn", "spawns/s", True, 100_000, spawn),
    "ring": Workload("W4 ring of 100", "hops/s", True, 500_000, ring),
    "restart": Workload("W10 restart", "us", False, 500, restart),
    "fairness": Workload("fairness: 1 ms timer, p99 late", "ms", False, 4_000, fairness),
}
