"""``WorkerManager``: the worker processes of a node, from before the node listens until the last process has ended."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from dataclasses import replace
from itertools import count
from math import inf
from typing import TYPE_CHECKING

from ..kernel.address import NodeId
from ..kernel.errors import ActorFailed, InvalidOption, NodeClosed, StartFailed
from ..kernel.lifecycle import request_stop
from ..kernel.supervision import OneForOne
from ..node.extension import Extension
from ..node.opening import NetworkOptions
from ..node.services.worker_nodes import OwnWorker
from ..node.shutdown import AFTER_STOP
from ..observe.tracing import is_virtual
from .program import this_program
from .protocol import ConnectPeers, Setup, WorkerAddress, WorkerEnded
from .settings import WORKERS_MAX, Workers
from .socket_folder import SocketFolder
from .worker_actors import start_worker
from .worker_process import WorkerProcess

if TYPE_CHECKING:
    from ..kernel.cell import Cell
    from ..node.node_base import NodeBase
    from ..node.node_context import NodeContext

TOUCH_S = 3_600.0
"""Seconds between two marks of the folder of the sockets as in use."""
RESTARTED_CONNECT_S = 0.25
"""Seconds that a restarted worker waits to be connected to the other workers, one of which may be busy."""


def make_worker_manager(
    node: NodeBase, workers: int | Workers, threads: int, slow_handler_s: float | None, strict_wire: bool
) -> WorkerManager:
    """Return the manager of a node's workers; raises ``InvalidOption`` for settings that are wrong, and on Windows."""
    settings = workers if isinstance(workers, Workers) else Workers(workers)
    return WorkerManager(node, settings, threads=threads, slow_handler_s=slow_handler_s, strict_wire=strict_wire)


class WorkerManager(Extension[Workers], name="workers", essential=True, limit_s=inf):
    """Starts, connects and ends the workers of one node; it is the extension ``workers`` of a node that has some.

    settings: their number, limits and time-outs.  threads, slow_handler_s, strict_wire: as those of ``Node``, for the
    nodes in the workers.
    """

    def __init__(
        self, node: NodeBase, settings: Workers, *, threads: int, slow_handler_s: float | None, strict_wire: bool
    ) -> None:
        super().__init__(settings)
        if sys.platform == "win32":
            raise InvalidOption("workers need Unix: on Windows start the nodes yourself, with listen and join")
        self.supervision = OneForOne(settings.intensity, settings.period_s)
        self._node, self._threads, self._slow_handler_s = node, threads, slow_handler_s
        self._strict_wire, self._network_options = strict_wire, NetworkOptions()
        self._folder: SocketFolder | None = None
        self._touch_timer: asyncio.TimerHandle | None = None
        self.failed_restarts: Counter[str] = Counter()
        """How often in a row each worker could not be started again, by its relative name."""
        self._supervisor: Cell | None = None
        self._settings_of: dict[str, Workers] = {}
        self._worker_processes: dict[str, WorkerProcess] = {}
        self._alive: set[WorkerProcess] = set()
        self.addresses: dict[str, WorkerAddress] = {}
        """Where the workers that are connected listen, by their relative names."""

    # --- start and end -----------------------------------------------------------------------------------------------

    def network_options(self, options: NetworkOptions) -> NetworkOptions:
        """Create the folder of the sockets; returns the options of the network with the node's endpoint in it.

        Raises ``InvalidOption`` on a loop of virtual time.
        """
        if is_virtual(asyncio.get_running_loop()):
            raise InvalidOption(
                "worker processes run in real time, and this loop's time is virtual: use several nodes in the test"
            )
        self._folder, self._network_options = SocketFolder(), options
        self._touch()
        return replace(options, listen=(*options.listen, self._folder.endpoint("node")))

    async def start(self, ctx: NodeContext) -> None:
        """Start the workers, and wait until all are connected; raises ``StartFailed`` with the error of one of them."""
        self._supervisor = ctx.__spawn_parent__()
        ctx.shutdown.add(AFTER_STOP, "worker processes", self._end)
        self._node.network.workers.restart_own = lambda: ctx.run_in_background(self._restart())
        try:
            await self.add(self.settings.count, self.settings)
        except StartFailed as error:
            raise StartFailed(f"node {self._node.name} could not start all of its workers: {error}") from error

    def _touch(self) -> None:
        """Mark the folder of the sockets as in use, for programs that remove temporary files by their age."""
        if self._folder is not None:
            self._folder.touch()
            self._touch_timer = self._node.system.loop.call_later(TOUCH_S, self._touch)

    def restart_failed(self, name: str, error: StartFailed) -> None:
        """Count a restart that failed, however long that took; fail the node above ``intensity`` in a row."""
        self.failed_restarts[name] += 1
        if self.failed_restarts[name] > self.settings.intensity:
            self._node.system.escalated(
                ActorFailed(f"{name} could not be started again, {self.failed_restarts[name]} times in a row: {error}")
            )

    async def _end(self) -> None:
        """Kill the processes that are left, which are none after an orderly shutdown, and wait for their end."""
        for process in list(self._alive):
            process.kill()
        while self._alive:
            process = next(iter(self._alive))
            await asyncio.shield(process.ended)
            await process.drained()
            self._alive.discard(process)

    def release(self) -> None:
        """Remove the folder of the sockets."""
        if self._touch_timer is not None:
            self._touch_timer.cancel()
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    # --- the number of workers ---------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """The full names of the workers, the one that is just started again included, by their numbers."""
        return tuple(self.full_name(name) for name in sorted(self._settings_of, key=_number))

    def full_name(self, name: str) -> str:
        """Return the name of the node in the worker of a relative name."""
        return f"{self._node.name}.{name}"

    def has(self, name: str) -> bool:
        """Return whether there is a worker of this relative name."""
        return name in self._settings_of

    def settings_of(self, name: str) -> Workers:
        """Return what the worker of a relative name was started with."""
        return self._settings_of[name]

    async def add(self, wanted: int, settings: Workers) -> tuple[str, ...]:
        """Start so many workers concurrently; returns their full names once all are connected.

        When one cannot start, none of them stays.  Raises ``StartFailed``, and ``InvalidOption`` above ``WORKERS_MAX``.
        """
        supervisor = self._supervisor
        if supervisor is None or supervisor.phase in ("stopping", "gone"):
            raise NodeClosed(f"node {self._node.name} does not run: workers cannot be added to it")
        if wanted < 0 or len(self._settings_of) + wanted > WORKERS_MAX:
            have = len(self._settings_of)
            raise InvalidOption(f"{wanted} more workers: node {self._node.name} has {have}, {WORKERS_MAX} are the most")
        free = (name for number in count(1) if (name := f"worker-{number}") not in self._settings_of)
        names = [next(free) for _ in range(wanted)]
        self._settings_of.update(dict.fromkeys(names, settings))
        starts = [asyncio.ensure_future(start_worker(supervisor, self, name)) for name in names]
        complete = False
        try:
            await asyncio.gather(*starts)
            complete = True
        except StartFailed as error:
            raise _first_cause(error) from None
        finally:
            if not complete:
                for start in starts:
                    start.cancel()
                await asyncio.gather(*starts, return_exceptions=True)
                await self._stop(supervisor, names)
        return tuple(map(self.full_name, names))

    async def remove(self, names: list[str]) -> None:
        """Stop workers by their relative names, concurrently, and wait until they have ended."""
        if self._supervisor is not None:
            await self._stop(self._supervisor, names)

    async def _restart(self) -> None:
        """Stop all workers and start them again, with their names and settings; the node fails when one cannot start.

        Other nodes are told at once that they have ended, so that none is given to them until it runs again.
        """
        supervisor, settings, workers = self._supervisor, dict(self._settings_of), self._node.network.workers
        if supervisor is None:
            return
        for node_id in list(workers.own):
            workers.own_ended(node_id, "it is started again")
        await self._stop(supervisor, list(settings))
        self._settings_of.update(settings)
        try:
            await asyncio.gather(*(start_worker(supervisor, self, name) for name in settings))
        except StartFailed as error:
            self._node.system.escalated(error)

    async def _stop(self, supervisor: Cell, names: list[str]) -> None:
        cells = [cell for name in names if (cell := (supervisor.children or {}).get(name)) is not None]
        for cell in cells:
            request_stop(cell)
        for cell in cells:
            await cell.ref.wait_stopped()
        for name in names:
            self._settings_of.pop(name, None)
            self._worker_processes.pop(name, None)

    # --- for the actors ----------------------------------------------------------------------------------------------

    def make(self, name: str) -> WorkerProcess:
        """Create the next process of a worker, not yet started."""
        process = self._worker_processes[name] = WorkerProcess(name, self._settings_of[name], self._on_process_ended)
        return process

    def setup(self, name: str) -> Setup:
        """Return the setup of a worker that is about to be started."""
        assert self._folder is not None, "network_options() comes before start()"
        node, folder, options = self._node, self._folder, self._network_options
        settings = self._settings_of[name]
        if not folder.exists:
            raise StartFailed(
                f"{name} cannot be started: the folder of its sockets, {folder.path}, was removed, as by a cleaner of "
                "temporary files; exempt it there, or set TMPDIR or XDG_RUNTIME_DIR to a place that is left alone"
            )
        self._alive.add(self._worker_processes[name])
        return Setup(
            node=self.full_name(name),
            listen=(folder.endpoint(name), *_beside(options.listen)),
            parent=node.name,
            parent_pid=os.getpid(),
            parent_endpoint=folder.endpoint("node"),
            folder=str(folder.path),
            program=this_program(),
            ask_timeout_s=node.system.ask_timeout_s,
            shutdown_s=settings.stop_s,
            threads=self._threads,
            slow_handler_s=self._slow_handler_s,
            strict_wire=self._strict_wire,
            journal=self.settings.journal if node.has_given_journal else "memory",
            bulk=options.bulk,
            peer_limits=options.limits,
            shipped_bytes_max=None if options.shipping is None else options.shipping.shipped_bytes_max,
            keys=None if options.keys is None else str(options.keys.absolute()),
            insecure=options.insecure,
            preload=settings.preload,
            limits=settings.limits,
            extensions=node.extensions_for_workers(),
            executors=node.executor_pools,
        )

    async def wait_connected(self, process: WorkerProcess, *, is_restart: bool) -> None:
        """Wait until a worker is connected to this node, and has reported that it is connected to the other workers."""
        network, settings = self._node.network, self._settings_of[process.name]
        peer = await network.wait_for_peer(self.full_name(process.name))
        process.generation = peer.node_id.generation
        endpoints = await asyncio.shield(process.listening)
        address = WorkerAddress(peer.node, process.generation, endpoints)
        network.connector.add_address(peer.node_id, *endpoints)
        others = tuple(self.addresses.values())
        self.addresses[process.name] = address
        process.tell(ConnectPeers(others, RESTARTED_CONNECT_S if is_restart else settings.start_s))
        for name, other in self._worker_processes.items():
            if other is not process and name in self.addresses:  # one that is still starting gets all addresses later
                other.tell(ConnectPeers((address,), 0.0))
        await asyncio.shield(process.ready)
        network.workers.own_connected(peer.node_id, OwnWorker(endpoints, settings.labels))

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
        node = self.full_name(process.name)
        worker_ended = WorkerEnded(node, process.generation, detail)
        for other in self._worker_processes.values():
            if other is not process:
                other.tell(worker_ended)
        self.addresses.pop(process.name, None)
        node_id = NodeId(node, process.generation)
        self._node.network.node_ended(node_id, detail)
        self._node.network.workers.own_ended(node_id, detail)


def _first_cause(error: StartFailed) -> StartFailed:
    while isinstance(error.__cause__, StartFailed):
        error = error.__cause__
    return error


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])


def _beside(listen: tuple[str, ...]) -> list[str]:
    """Return the endpoints of a worker for other hosts: any free port of each address at which its node listens."""
    hosts = [endpoint.rpartition(":")[0] for endpoint in listen if endpoint.startswith("tcp://")]
    return [f"{host}:0" for host in dict.fromkeys(hosts)]
