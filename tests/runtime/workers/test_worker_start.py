"""How the start of a worker ends, with a process and a manager of the test: the moments and errors are the test's."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import cast

import pytest
from msgspec.structs import replace

from tests.runtime.workers.stage import QUICK
from trouper import Node, StartFailed
from trouper.runtime.workers.manager import WorkerManager
from trouper.runtime.workers.protocol import Setup
from trouper.runtime.workers.settings import Workers
from trouper.runtime.workers.worker_actors import WorkerActor
from trouper.runtime.workers.worker_process import WorkerProcess
from trouper.testing import virtual_time

START_S = 3.0


class _Process(WorkerProcess):
    """Runs nothing."""

    async def start(self, setup: Setup) -> None:
        """Do nothing."""

    def kill(self) -> None:
        """End at once."""
        if not self.ended.done():
            self.ended.set_result(None)


class _Manager:
    """Connects a worker by ``ready``, which the test sets.  has_joined: whether the node counts the worker."""

    def __init__(self) -> None:
        self.failed_restarts = Counter[str]()
        self.process = _Process("worker-1", self.settings_of("worker-1"), lambda _: None)
        self.has_joined = False

    def settings_of(self, _: str) -> Workers:
        """What ``WorkerManager`` has."""
        return replace(QUICK, start_s=START_S, stop_s=0.1, terminate_s=0.1)

    def make(self, _: str) -> WorkerProcess:
        """The one process."""
        return self.process

    def setup(self, _: str) -> None:
        """Nothing."""

    def request_stop_all(self) -> None:
        """Nothing."""

    async def wait_connected(self, process: WorkerProcess, *, is_restart: bool) -> None:
        """Wait until the process is ready."""
        await asyncio.shield(process.ready)
        self.has_joined = True


@virtual_time
async def test_what_hinders_the_connection_of_a_worker_is_raised_at_once() -> None:
    """The error has its cause, and comes when it happens: not after ``start_s``, as if nothing had been known."""
    manager, loop = _Manager(), asyncio.get_running_loop()
    async with Node() as node:
        began = loop.time()
        loop.call_later(1.0, manager.process.ready.set_exception, OSError("no descriptor is left"))
        with pytest.raises(StartFailed, match=r"worker-1 .* cannot be connected to node local: no descriptor is left"):
            await node.spawn(WorkerActor, cast("WorkerManager", manager), "worker-1")
        assert loop.time() - began == pytest.approx(1.0, abs=0.5)


@virtual_time
async def test_a_worker_that_is_ready_as_its_time_ends_is_either_connected_or_refused() -> None:
    """A start that succeeds has joined the worker to its node: never a process that runs and is no worker."""
    manager, loop = _Manager(), asyncio.get_running_loop()
    async with Node() as node:
        # The time-out of the start, which is armed before, is due in the same step of the loop.
        loop.call_soon(loop.call_later, START_S, manager.process.ready.set_result, None)
        try:
            await node.spawn(WorkerActor, cast("WorkerManager", manager), "worker-1")
        except StartFailed as error:
            assert f"within start_s={START_S:g}" in str(error)  # noqa: PT017  either end is right
            assert not manager.has_joined
        else:
            assert manager.has_joined
