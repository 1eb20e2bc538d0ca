"""The actors under ``/system/workers``: one for each worker process.

A ``WorkerActor`` owns one process: its start ends when the worker is connected, it fails when the process dies, and it
stops the process when it is stopped.  So workers are restarted by the supervision of actors.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from ..actor.actor import Actor
from ..actor.spawning import spawn_awaited
from ..kernel.cell import Cell
from ..kernel.errors import ActorFailed, StartFailed
from ..kernel.message import Message
from .worker_process import WorkerProcess

if TYPE_CHECKING:
    from .manager import WorkerManager


class WorkerActor(Actor):
    """Owns the process of one worker.

    name: of the worker.
    """

    def __init__(self, manager: WorkerManager, name: str) -> None:
        self._manager, self.name = manager, name
        self._process: WorkerProcess | None = None

    async def on_start(self) -> None:
        """Start the process and wait until it is connected; raises ``StartFailed`` with how it ended."""
        self.__cell__.register_resource(self)
        try:
            await self._start()
        except StartFailed as error:
            if self.__cell__.restarts:
                self._manager.restart_failed(self.name, error)
            raise
        self._manager.failed_restarts.pop(self.name, None)

    async def _start(self) -> None:
        process = self._process = self._manager.make(self.name)
        try:
            await process.start(self._manager.setup(self.name))
        except OSError as error:
            raise StartFailed(f"{self.name}: the process cannot be started: {error}") from error
        await self._wait_until_connected(process)
        process.watch_for_hang()
        self.pipe_to_self(self._fail_when_ended(process), _no_message)

    async def _wait_until_connected(self, process: WorkerProcess) -> None:
        connected = asyncio.ensure_future(self._manager.wait_connected(process, is_restart=self.__cell__.restarts > 0))
        limit_s, node = self._manager.settings_of(self.name).start_s, self.node.name
        try:
            await asyncio.wait((connected, process.ended), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            connected.cancel()
        is_over = connected.done() and not connected.cancelled()
        error = connected.exception() if is_over else None
        if process.ended.done():
            await process.drained()
            raise StartFailed(f"{process.describe_end()}, before it was connected to node {node}") from error
        if error is not None:
            raise StartFailed(f"{process.describe_end()}, but cannot be connected to node {node}: {error}") from error
        if not is_over:
            raise StartFailed(
                f"{process.describe_end()}, but was not connected to node {node} within start_s={limit_s:g}"
            )

    async def _fail_when_ended(self, process: WorkerProcess) -> None:
        """Raise ``ActorFailed`` when the process ends without having been asked to."""
        await asyncio.shield(process.ended)
        while process.stopping or self.node.shutdown.reason is not None:
            await asyncio.Event().wait()  # this actor is about to be stopped
        await process.drained()
        raise ActorFailed(process.describe_end())

    async def on_stop(self) -> None:
        """Stop the process; when the node shuts down, ask all workers to stop first."""
        self._manager.request_stop_all()
        if self._process is not None:
            await self._process.stop()

    @property
    def retained(self) -> int:
        """A resource of the actor that holds no messages."""
        return 0

    def release(self, cell: Cell, *, restarting: bool) -> None:  # noqa: ARG002  the interface's
        """Kill the process when this instance has ended in any way."""
        if self._process is not None:
            self._process.kill()


def _no_message(_: None) -> Message[object]:
    raise AssertionError("_fail_when_ended returns nothing: it raises")


async def start_worker(supervisor: Cell, manager: WorkerManager, name: str) -> None:
    """Start a worker under its supervisor; returns once it is connected.  Raises ``StartFailed``."""
    actor = partial(WorkerActor, manager, name)
    await spawn_awaited(supervisor, actor, (), name, "permanent", manager.settings_of(name).stop_total_s, False)
