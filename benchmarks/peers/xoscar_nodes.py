"""Xoscar between two processes: the pool's main process asks an actor in its one sub-process."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from trouper.cli.measurements import percentile

from . import Figures, Workloads, on_asyncio

xo: Any = importlib.import_module("xoscar")  # Any: it is optional and comes without types
IN_FLIGHT = 1_000


class FarBank(xo.Actor):  # type: ignore[misc]  # the base class has no types
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


@asynccontextmanager
async def _bank() -> AsyncGenerator[Any]:  # Any: a ref without types
    pool = await xo.create_actor_pool("127.0.0.1", n_process=1)
    async with pool:
        strategy = xo.allocate_strategy.ProcessIndex(1)
        bank = await xo.create_actor(FarBank, address=pool.external_address, allocate_strategy=strategy)
        for _ in range(500):
            await bank.deposit(0)
        yield bank


async def tell(count: int) -> Figures:
    """W5."""
    async with _bank() as bank:
        started = time.perf_counter()
        for amount in range(count):
            await bank.note.tell(amount, "ada")
        while await bank.deposit(0) != count * (count - 1) // 2:  # noqa: ASYNC110  told calls give no sign of their end
            await asyncio.sleep(0)
        return {"value": count / (time.perf_counter() - started)}


async def ask(count: int) -> Figures:
    """W6."""
    async with _bank() as bank:
        times_us: list[float] = []
        for _ in range(count):
            before = time.perf_counter_ns()
            await bank.deposit(1)
            times_us.append((time.perf_counter_ns() - before) / 1000)
        return {"value": percentile(times_us, 0.5), "p99_us": percentile(times_us, 0.99)}


async def ask_many(count: int) -> Figures:
    """W6b."""
    async with _bank() as bank:
        started = time.perf_counter()
        for _ in range(count // IN_FLIGHT):
            await asyncio.gather(*[bank.deposit(1) for _ in range(IN_FLIGHT)])
        return {"value": count / (time.perf_counter() - started)}


WORKLOADS: Workloads = {
    "node_tell": on_asyncio(tell),
    "node_ask": on_asyncio(ask),
    "node_ask_many": on_asyncio(ask_many),
}
