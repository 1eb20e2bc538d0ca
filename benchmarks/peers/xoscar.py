"""Xoscar as a peer: Cython actors in a pool of this process.

A call to an actor in the same pool is a coroutine call under a lock.  A restart is a new process, so it is timed by
killing the process of a pool that recovers by itself.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import sys
import time
from contextlib import suppress
from typing import Any

from trouper.cli.measurements import percentile, resident_bytes, timer_lateness_ms

from ..cold import milliseconds
from . import Figures, Workloads, on_asyncio
from .xoscar_nodes import WORKLOADS as BETWEEN_PROCESSES

xo: Any = importlib.import_module("xoscar")  # Any: it is optional and comes without types


class Bank(xo.Actor):  # type: ignore[misc]  # the base class has no types
    """A counter that is told and asked."""

    def __init__(self) -> None:
        self.balance = 0

    async def note(self, amount: int, text: str) -> None:
        """Add to the balance."""
        self.balance += amount

    async def deposit(self, amount: int) -> int:
        """Add to the balance and return it."""
        self.balance += amount
        return self.balance

    async def crash(self) -> None:
        """End the process."""
        os._exit(1)


class Link(xo.Actor):  # type: ignore[misc]  # the base class has no types
    """One of the ring."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.next: Any = None  # Any: a ref without types

    async def join(self, ref: Any) -> None:  # Any: a ref without types
        """Learn who is next."""
        self.next = ref

    async def token(self, left: int) -> None:
        """Pass the token on, or end."""
        if left:
            await self.next.token.tell(left - 1)
        else:
            _ring_finished.set()


_ring_finished = asyncio.Event()


async def _pool() -> Any:  # Any: a pool without types
    return await xo.create_actor_pool("127.0.0.1", n_process=0)


async def tell(count: int) -> Figures:
    """W1."""
    async with await _pool() as pool:
        bank = await xo.create_actor(Bank, address=pool.external_address)
        started = time.perf_counter()
        for amount in range(count):
            await bank.note.tell(amount, "ada")
        while await bank.deposit(0) != count * (count - 1) // 2:  # noqa: ASYNC110  told calls give no sign of their end
            await asyncio.sleep(0)
        return {"value": count / (time.perf_counter() - started)}


async def ask(count: int) -> Figures:
    """W2."""
    async with await _pool() as pool:
        bank = await xo.create_actor(Bank, address=pool.external_address)
        started = time.perf_counter()
        for _ in range(count):
            await bank.deposit(1)
        rate = count / (time.perf_counter() - started)
        times_us: list[float] = []
        for _ in range(count):
            before = time.perf_counter_ns()
            await bank.deposit(1)
            times_us.append((time.perf_counter_ns() - before) / 1000)
        return {"value": rate, "p50_us": percentile(times_us, 0.5)}


async def ask_many(count: int) -> Figures:
    """W2b."""
    async with await _pool() as pool:
        bank = await xo.create_actor(Bank, address=pool.external_address)
        started = time.perf_counter()
        for _ in range(count // 1000):
            await asyncio.gather(*[bank.deposit(1) for _ in range(1000)])
        return {"value": count / (time.perf_counter() - started)}


async def spawn(count: int) -> Figures:
    """W3."""
    async with await _pool() as pool:
        gc.collect()
        before = resident_bytes()
        started = time.perf_counter()
        refs = [await xo.create_actor(Bank, address=pool.external_address) for _ in range(count)]
        rate = count / (time.perf_counter() - started)
        gc.collect()
        after = resident_bytes()
        assert await refs[-1].deposit(1) == 1
        return {"value": rate, "bytes_each": (after - before) / count, "resident_bytes": after}


async def ring(hops: int) -> Figures:
    """W4."""
    async with await _pool() as pool:
        links = [await xo.create_actor(Link, number, address=pool.external_address) for number in range(100)]
        for place, link in enumerate(links):
            await link.join(links[(place + 1) % len(links)])
        _ring_finished.clear()
        started = time.perf_counter()
        await links[0].token.tell(hops)
        await _ring_finished.wait()
        return {"value": hops / (time.perf_counter() - started)}


async def fairness(duration_ms: int) -> Figures:
    """A 1 ms timer while a task floods an actor, 1,000 calls at a time.

    A told call never yields to the loop here and nothing bounds what it leaves behind, so a flood that does not wait
    for an answer now and then holds every timer until it ends; this figure is the kinder one.
    """
    async with await _pool() as pool:
        bank = await xo.create_actor(Bank, address=pool.external_address)

        async def flood() -> None:
            while True:
                for _ in range(1000):
                    await bank.note.tell(1, "ada")
                await bank.deposit(0)

        flooding = asyncio.create_task(flood())
        late_ms = await timer_lateness_ms(duration_ms / 1000)
        flooding.cancel()
        with suppress(asyncio.CancelledError):
            await flooding
        return {"value": percentile(late_ms, 0.99), "p50_ms": percentile(late_ms, 0.5)}


async def restart(count: int) -> Figures:
    """W10: kill the process of an actor until it answers again, in us; a pool without a process to lose has none."""
    pool = await xo.create_actor_pool("127.0.0.1", n_process=1, auto_recover="actor")
    async with pool:
        strategy = xo.allocate_strategy.ProcessIndex(1)
        bank = await xo.create_actor(Bank, address=pool.external_address, allocate_strategy=strategy)
        times_us: list[float] = []
        for _ in range(count):
            await bank.deposit(1)
            started = time.perf_counter()
            with suppress(xo.ServerClosed, ConnectionError):
                await bank.crash()
            while not await _answers(bank):  # noqa: ASYNC110  the pool gives no sign that the actor is back
                await asyncio.sleep(0.001)
            times_us.append((time.perf_counter() - started) * 1e6)
        return {"value": percentile(times_us, 0.5)}


async def _answers(bank: Any) -> bool:  # Any: a ref without types
    with suppress(xo.ServerClosed, xo.ActorNotExist, ConnectionError):
        return bool(await bank.deposit(1) == 1)
    return False


def start(repeats: int) -> Figures:
    """How long ``import xoscar`` takes."""
    return {"value": milliseconds([sys.executable, "-c", "import xoscar"], repeats)}


WORKLOADS: Workloads = {
    "tell": on_asyncio(tell),
    "ask": on_asyncio(ask),
    "ask_many": on_asyncio(ask_many),
    "spawn": on_asyncio(spawn),
    "ring": on_asyncio(ring),
    "restart": on_asyncio(restart),
    "fairness": on_asyncio(fairness),
    "start": start,
    **BETWEEN_PROCESSES,
}
