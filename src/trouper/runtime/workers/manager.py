"""``WorkerManager``: the worker processes of a node, from before the node listens until the last process has ended."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from ..actor.spawning import spawn_awaited
from ..journal.memory import MemoryJournal
from ..kernel.errors import ActorFailed, InvalidOption, StartFailed
from ..kernel.ref import Down
from ..kernel.supervision import OneForOne
from ..node.opening import NetworkOptions
from ..observe.tracing import is_virtual
from .program import this_program
from .protocol import ConnectPeers, Setup, WorkerEnded
from .settings import Workers
from .socket_folder import SocketFolder
from .worker_actors import WorkersSupervisor
from .worker_process import WorkerProcess

if TYPE_CHECKING:
    from ..node.node_base import NodeBase

RESTARTED_CONNECT_S = 0.25
"""Seconds that a restarted worker waits to be connected to the other workers, one of which may be busy."""


def make_worker_manager(
    node: NodeBase, workers: int | Workers, threads: int, slow_handler_s: float | None, strict_wire: bool
) -> WorkerManager:
    """Return the manager of a node's workers; raises ``InvalidOption`` for settings that are wrong, and on Windows."""
    settings = workers if isinstance(workers, Workers) else Workers(workers)
    return WorkerManager(node, settings, threads=threads, slow_handler_s=slow_handler_s, strict_wire=strict_wire)


class WorkerManager:
    """Starts, connects and ends the workers of one node.

    settings: their number, limits and time-outs.  threads, slow_handler_s, strict_wire: as those of ``Node``, for the
    nodes in the workers.
    """

    def __init__(
        self, node: NodeBase, settings: Workers, *, threads: int, slow_handler_s: float | None, strict_wire: bool
    ) -> None:
        if sys.platform == "win32":
            raise InvalidOption("workers need Unix: on Windows start the nodes yourself, with listen and join")
        if node.name in settings.names:
            raise InvalidOption(f"the node has the name of one of its workers, {node.name}: give it another name")
        self.name = "worker processes"
        self.settings = settings
        self._node, self._threads, self._slow_handler_s = node, threads, slow_handler_s
        self._strict_wire, self._network_options = strict_wire, NetworkOptions()
        self._folder: SocketFolder | None = None
        self._worker_processes: dict[str, WorkerProcess] = {}
        self._alive: set[WorkerProcess] = set()

    # --- start and end -----------------------------------------------------------------------------------------------

    def network_options(self, options: NetworkOptions) -> NetworkOptions:
        """Create the folder of the sockets; returns the options of the network with the node's endpoint in it.

        Raises ``InvalidOption`` on a loop of virtual time.
        """
        if is_virtual(self._node.system.loop):
            raise InvalidOption(
                "worker processes run in real time, and this loop's time is virtual: use several nodes in the test"
            )
        self._folder, self._network_options = SocketFolder(), options
        return replace(options, listen=(*options.listen, self._folder.endpoint(self._node.name)))

    async def start(self) -> None:
        """Start the workers, and wait until all are connected; raises ``StartFailed`` with the error of one of them."""
        strategy = OneForOne(self.settings.intensity, self.settings.period_s)
        kind = type("Workers", (WorkersSupervisor,), {"supervision": strategy})
        system = self._node.system
        try:
            ref = await spawn_awaited(system.system, kind, (self,), "workers", "temporary", None, significant=False)
        except StartFailed as error:
            first: BaseException = error
            while isinstance(first.__cause__, StartFailed):
                first = first.__cause__
            raise StartFailed(f"node {self._node.name} could not start all of its workers: {first}") from first
        ref._cell.add_watcher(self)  # noqa: SLF001  the runtime watches without a message

    def on_down(self, down: Down) -> None:
        """The supervisor of the workers has ended; when it has failed, fail the node."""
        if down.reason == "failed":
            self._node.system.escalated(ActorFailed(down.error or "its workers died"))

    async def end(self) -> None:
        """Kill the processes that are left, which are none after an orderly shutdown, and wait for their end."""
        for process in list(self._alive):
            process.kill()
        while self._alive:
            process = next(iter(self._alive))
            await asyncio.shield(process.ended)
            await process.drained()
            self._alive.discard(process)

    def close(self) -> None:
        """Remove the folder of the sockets."""
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    # --- for the actors ----------------------------------------------------------------------------------------------

    def make(self, name: str) -> WorkerProcess:
        """Create the next process of a worker, not yet started."""
        process = self._worker_processes[name] = WorkerProcess(name, self.settings, self._on_process_ended)
        return process

    def setup(self, name: str) -> Setup:
        """Return the setup of a worker that is about to be started."""
        assert self._folder is not None, "network_options() comes before start()"
        node, folder = self._node, self._folder
        self._alive.add(self._worker_processes[name])
        return Setup(
            node=name,
            endpoint=folder.endpoint(name),
            parent=node.name,
            parent_pid=os.getpid(),
            parent_endpoint=folder.endpoint(node.name),
            folder=str(folder.path),
            program=this_program(),
            ask_timeout_s=node.system.ask_timeout_s,
            shutdown_s=self.settings.stop_s,
            threads=self._threads,
            slow_handler_s=self._slow_handler_s,
            strict_wire=self._strict_wire,
            durable_journal=node.has_given_journal and not isinstance(node.journal, MemoryJournal),
            bulk=self._network_options.bulk,
            shipped_bytes_max=None
            if self._network_options.shipping is None
            else self._network_options.shipping.shipped_bytes_max,
        )

    async def wait_connected(self, process: WorkerProcess, *, is_restart: bool) -> None:
        """Wait until a worker is connected to this node, and has reported that it is connected to the other workers."""
        assert self._folder is not None, "network_options() comes before start()"
        network = self._node.network
        process.generation = (await network.wait_for_peer(process.name)).node_id.generation
        others = {name: self._folder.endpoint(name) for name in self._worker_processes if name in network.peers}
        del others[process.name]
        process.tell(ConnectPeers(others, RESTARTED_CONNECT_S if is_restart else self.settings.start_s))
        await asyncio.shield(process.ready)

    def request_stop_all(self) -> None:
        """When the node shuts down, ask all workers to stop, so that they do so concurrently."""
        if self._node.shutdown.reason is not None:
            for process in self._worker_processes.values():
                process.request_stop(remove_folder=True)

    def _on_process_ended(self, process: WorkerProcess) -> None:
        """A process has ended: this node and the other workers end their sessions with it at once."""
        if self._worker_processes.get(process.name) is not process or not process.generation:
            return
        detail = f"its process {process.pid} has ended"
        worker_ended = WorkerEnded(process.name, process.generation, detail)
        for other in self._worker_processes.values():
            if other is not process:
                other.tell(worker_ended)
        if process.name in self._node.network.peers:
            self._node.network.end_session(process.name, detail)
