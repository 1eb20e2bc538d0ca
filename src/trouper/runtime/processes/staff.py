"""``Staff``: what a node holds of its worker processes, from before it listens until nothing of them is left."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from ..joining import Joining
from ..kernel.errors import ActorFailed, InvalidOption, StartFailed
from ..kernel.ref import Down
from ..kernel.supervision import OneForOne
from ..observing import is_virtual
from ..spawning import spawn_awaited
from .control import Gone, Meet, Setup
from .folder import SocketFolder
from .process import WorkerProcess
from .program import this_program
from .settings import Processes
from .workers import Workers

if TYPE_CHECKING:
    from ..node import Node

SIBLINGS_AGAIN_S = 0.25
"""Seconds that a restarted worker waits for its links to the others: one of them may be busy."""


def make_staff(
    node: Node, processes: int | Processes, threads: int, slow_handler_s: float | None, strict_wire: bool
) -> Staff:
    """Make what a node holds of its workers; raises ``InvalidOption``."""
    settings = processes if isinstance(processes, Processes) else Processes(processes)
    return Staff(node, settings, threads=threads, slow_handler_s=slow_handler_s, strict_wire=strict_wire)


class Staff:
    """See the top of the file."""

    def __init__(
        self, node: Node, settings: Processes, *, threads: int, slow_handler_s: float | None, strict_wire: bool
    ) -> None:
        if sys.platform == "win32":
            raise InvalidOption("processes needs Unix; on Windows start the nodes by yourself, with listen and join")
        if node.name in settings.names:
            raise InvalidOption(f"the node is called {node.name}, as one of its workers is: give it another name")
        self.settings = settings
        self._node, self._threads, self._slow_handler_s = node, threads, slow_handler_s
        self._strict_wire, self._joining = strict_wire, Joining()
        self._folder: SocketFolder | None = None
        self._processes: dict[str, WorkerProcess] = {}
        self._alive: set[WorkerProcess] = set()

    # --- begin and end -----------------------------------------------------------------------------------------------

    def open(self, joining: Joining) -> Joining:
        """Make the folder of the sockets; returns where the node listens from now on."""
        if is_virtual(self._node.system.loop):
            raise InvalidOption("processes are real, and this loop's time is virtual: give the test several nodes")
        self._folder, self._joining = SocketFolder(), joining
        return replace(joining, listen=(*joining.listen, self._folder.endpoint(self._node.name)))

    async def start(self) -> None:
        """Start the workers, and wait until all are linked; raises ``StartFailed`` with what one of them said."""
        strategy = OneForOne(self.settings.restarts, self.settings.within_s)
        kind = type("Workers", (Workers,), {"supervision": strategy})
        system = self._node.system
        try:
            ref = await spawn_awaited(system.system, kind, (self,), "workers", "temporary", None, significant=False)
        except StartFailed as error:
            first: BaseException = error
            while isinstance(first.__cause__, StartFailed):
                first = first.__cause__
            raise StartFailed(f"node {self._node.name} has not all of its workers: {first}") from first
        ref._cell.add_watcher(self)  # noqa: SLF001  a ref is the runtime's own

    def take_down(self, down: Down) -> None:
        """The workers' supervisor has ended; when it has failed, so does the node."""
        if down.reason == "failed":
            self._node.system.escalated(ActorFailed(down.error or "its workers died"))

    async def end(self) -> None:
        """Wait until no process is left; at this point none should be."""
        for process in list(self._alive):
            process.kill()
        while self._alive:
            process = next(iter(self._alive))
            await asyncio.shield(process.ended)
            await process.drained()
            self._alive.discard(process)

    def close(self) -> None:
        """Leave no file behind."""
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    # --- for the actors ----------------------------------------------------------------------------------------------

    def make(self, name: str) -> WorkerProcess:
        """Make the next process of a worker, yet to be started."""
        process = self._processes[name] = WorkerProcess(name, self.settings, self._ended)
        return process

    def setup(self, name: str) -> Setup:
        """Say to a worker who it is; it is about to be started."""
        assert self._folder is not None, "it is made before any worker is"
        node, folder = self._node, self._folder
        self._alive.add(self._processes[name])
        return Setup(
            node=name,
            endpoint=folder.endpoint(name),
            parent=node.name,
            parent_pid=os.getpid(),
            parent_endpoint=folder.endpoint(node.name),
            folder=str(folder.path),
            program=this_program(),
            ask_timeout_s=node.system.ask_timeout_s,
            shutdown_s=self.settings.goodbye_s,
            threads=self._threads,
            slow_handler_s=self._slow_handler_s,
            strict_wire=self._strict_wire,
            bulk=self._joining.bulk,
            shipped_bytes_max=None if self._joining.shipping is None else self._joining.shipping.shipped_bytes_max,
        )

    async def link(self, process: WorkerProcess, *, again: bool) -> None:
        """Wait until a worker is linked to this node, then until it says that it is to the others."""
        assert self._folder is not None, "it is made before any worker is"
        network = self._node.network
        process.incarnation = (await network.wait_for_peer(process.name)).home.incarnation
        others = {name: self._folder.endpoint(name) for name in self._processes if name in network.peers}
        del others[process.name]
        process.tell(Meet(others, SIBLINGS_AGAIN_S if again else self.settings.start_s))
        await asyncio.shield(process.ready)

    def tell_to_leave(self) -> None:
        """When the node goes down: all workers leave at the same time, though they are stopped one after the other."""
        if self._node.shutdown.reason is not None:
            for process in self._processes.values():
                process.leave(tidy=True)

    def _ended(self, process: WorkerProcess) -> None:
        """A process has ended: whoever is linked to it gives up the link at once."""
        if self._processes.get(process.name) is not process or not process.incarnation:
            return
        detail = f"its process {process.pid} has ended"
        gone = Gone(process.name, process.incarnation, detail)
        for other in self._processes.values():
            if other is not process:
                other.tell(gone)
        if process.name in self._node.network.peers:
            self._node.network.abandon(process.name, detail)
