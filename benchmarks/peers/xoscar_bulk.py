"""The actor of xoscar beside which ``benchmarks.bulk`` measures; the pool's processes import it from here."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

xo: Any = importlib.import_module("xoscar")  # Any: it is optional and comes without types


class Taker(xo.Actor):  # type: ignore[misc]  # the base class has no types
    """Looks at the array, and lets it go."""

    async def take(self, array: np.ndarray[Any, np.dtype[np.float64]]) -> int:  # Any: of any shape
        """Acknowledge."""
        assert array[0] == 1.0, "the array came as it was sent"
        return array.nbytes


@asynccontextmanager
async def open_taker() -> AsyncGenerator[Callable[[Any], Awaitable[None]]]:  # Any: an array
    """Start a pool with one process beside this one, and the actor there."""
    pool = await xo.create_actor_pool("127.0.0.1:0", n_process=1)
    async with pool:
        strategy = xo.allocate_strategy.ProcessIndex(1)
        taker = await xo.create_actor(Taker, address=pool.external_address, allocate_strategy=strategy)

        async def send(array: Any) -> None:  # Any: an array
            await taker.take(array)

        yield send
