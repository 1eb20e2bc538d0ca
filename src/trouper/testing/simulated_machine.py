"""``SimulatedMachine``: what a simulated node runs on; it stays when the node crashes, and so does its disk.

Each generation of a node is a ``ClusterNode`` on a ``NodeLoop`` of its own.  A crash ends it between two steps, and
leaves on the disk what a real one may have kept; the next generation has the same name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import PurePath
from random import Random
from typing import TYPE_CHECKING, Any

from ..node import Node
from ..runtime.journal.file import FileJournal
from ..runtime.journal.simulated import SimulatedDisk, SimulatedPowerLoss
from ..runtime.kernel.address import random_generation
from ..runtime.kernel.dispatcher import Dispatcher
from ..runtime.kernel.errors import CallerError, NodeDowned
from ..runtime.kernel.ref import ActorRef
from ..runtime.node.services.worker_nodes import parent_of
from ..runtime.observe.reports import bounded, trace
from ..transports.simulated import SimulatedNetwork, SimulatedTransport
from . import checks
from .node_loop import NodeCrashed, NodeLoop, WorldLoop
from .schedule import EventTrace, SeededDispatcher

if TYPE_CHECKING:
    from ..runtime.net.network import MakeTransport
    from ..runtime.node.opening import NetworkOptions
    from ..runtime.session.transport import Buffer, Source, TransportOwner, Wire

Arguments = Mapping[str, Any]  # Any: each argument of Node has its own type
Options = Callable[[str], Arguments]
"""Returns the arguments of ``Node`` for a node of this name."""
Boot = Callable[[Node], Awaitable[object]]
"""What a node runs after each start."""


class ClusterNode(Node):
    """A node as it is, with its choices, its wires and its time from the simulation.

    One with the name of a worker, such as ``a.worker-1``, is a worker of the node ``a`` to its own extensions.
    """

    def __init__(self, machine: SimulatedMachine, **options: Any) -> None:  # Any: the arguments of Node
        super().__init__(machine.name, **options)
        self._machine = machine
        self.parent_name = parent_of(machine.name)

    def _make_dispatcher(self, loop: asyncio.AbstractEventLoop) -> Dispatcher:
        assert isinstance(loop, NodeLoop), "a node of a cluster is started by its machine"
        machine = self._machine
        return SeededDispatcher(loop, machine.node_seed, machine.trace, machine.world)

    def _make_transports(self, options: NetworkOptions) -> Sequence[MakeTransport]:  # noqa: ARG002  all is one network
        return [self._machine.make_transport]

    def _make_generation(self) -> int:
        return random_generation(Random(f"{self._machine.node_seed}/generation").getrandbits)

    def spawn(  # type: ignore[override]  # it hands on whatever it gets
        self,
        *args: Any,  # as Node.spawn has them
        **options: Any,  # as above
    ) -> Awaitable[ActorRef]:
        """Start an actor; when the scenario asks for it, it starts in the node's own loop all the same."""
        loop = self._machine.loop
        if loop is None or asyncio.get_running_loop() is loop:
            return super().spawn(*args, **options)
        return self._machine.do(lambda: Node.spawn(self, *args, **options))


class _NodeInput:
    """Passes what the transport receives to the node's network, in the node's own loop."""

    def __init__(self, owner: TransportOwner, machine: SimulatedMachine, loop: NodeLoop) -> None:
        self._owner, self._machine, self._loop = owner, machine, loop

    def frame_received(self, parts: Sequence[Buffer], source: Source) -> None:
        """A frame came in."""
        self._machine.trace.note(f"{self._machine.name} gets a frame of {sum(map(len, parts))} bytes")
        self._loop.call_soon(self._owner.frame_received, parts, source)

    def wire_ready(self, wire: Wire) -> None:
        """A wire has capacity again."""
        self._loop.call_soon(self._owner.wire_ready, wire)

    def wire_lost(self, wire: Wire, reason: str) -> None:
        """A wire's connection broke."""
        self._loop.call_soon(self._owner.wire_lost, wire, reason)


class MachineDisk(SimulatedDisk):
    """The disk of a machine: when it goes down in the middle of an operation, so does the node, and at once."""

    blocks = True  # the node goes on meanwhile, as with a real one

    def __init__(self, went_down: Callable[[], None]) -> None:
        super().__init__()
        self._went_down = went_down

    def operate(self, operation: str, path: PurePath) -> SimulatedPowerLoss | None:
        """Run one operation; returns the crash that happens in it, or None."""
        crashed = super().operate(operation, path)
        if crashed is not None:
            self._went_down()
        return crashed


class SimulatedMachine:
    """One machine of a cluster, and the node that runs on it.

    starts: how many nodes were started here.  problems: what was wrong with them, apart from faults.
    boot: what each node runs after its start; None is nothing.
    drift: the share by which the clocks of its loops are faster.
    """

    def __init__(
        self,
        name: str,
        seed: int,
        world: WorldLoop,
        trace_: EventTrace,
        network: SimulatedNetwork,
        options: Options,
    ) -> None:
        self.name, self.world, self.trace, self.network = name, world, trace_, network
        self._seed, self._options = seed, options
        self.boot: Boot | None = None
        self.disk = MachineDisk(self._went_down)
        self.chance = Random(f"{seed}/{name}/disk")
        self.starts = 0
        self._silently = False
        self.drift = 0.0
        self.node: Node | None = None
        self.loop: NodeLoop | None = None
        self.problems: list[str] = []
        self._leaving: asyncio.Future[None] | None = None
        self._started: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None

    @property
    def is_up(self) -> bool:
        """Whether a node runs here."""
        return self._leaving is not None

    @property
    def node_seed(self) -> str:
        """The seed of the present node; it is another one after each restart."""
        return f"{self._seed}/{self.name}/{self.starts}"

    def make_transport(self, owner: TransportOwner) -> SimulatedTransport:
        """Make the node's transport."""
        assert self.loop is not None, "start() has made it"
        return SimulatedTransport(_NodeInput(owner, self, self.loop), self.network, self.name)

    # --- start and end -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start a node; returns once it has started and ``boot`` is done."""
        if self.is_up:
            raise CallerError(f"node {self.name} runs already: crash or stop it first")
        self.starts += 1
        self.trace.note(f"{self.name} starts for the {self.starts}. time")
        self.loop = loop = NodeLoop(self.world, self.name)
        loop.drift(self.drift)
        given = dict(self._options(self.name))
        given.setdefault("seed", Random(self.node_seed).getrandbits(62))
        if "journal" not in given:
            given["journal"] = FileJournal("journal", disk=self.disk)
        self.node = node = ClusterNode(self, **given)
        self._started, self._ended = self.world.create_future(), self.world.create_future()
        self._leaving = loop.create_future()
        with loop.entered():
            loop.create_task(self._run(node, self._started, self._leaving, self._ended), name=f"node {self.name}")
        await self._started

    async def _run(
        self,
        node: Node,
        started: asyncio.Future[None],
        leaving: asyncio.Future[None],
        ended: asyncio.Future[None],
    ) -> None:
        try:
            async with node:
                node.system.on_lifecycle = (*node.system.on_lifecycle, self.trace.add)
                if self.boot is not None:
                    await self.boot(node)
                started.set_result(None)
                await leaving
        except NodeDowned as error:
            self.trace.note(f"{self.name} is down: {error}")
        except BaseException as error:  # noqa: BLE001  whatever ends a node is reported
            if started.done():
                self.problems.append(f"node {self.name} failed: {bounded(trace(error), 3_000)}")
            else:
                started.set_exception(error)
        finally:
            self._leaving = None
            ended.set_result(None)

    async def stop(self) -> None:
        """Let the node shut down in order."""
        leaving, ended, loop = self._leaving, self._ended, self.loop
        if leaving is None or ended is None or loop is None:
            return
        self.trace.note(f"{self.name} is stopped")
        loop.resume()
        if not leaving.done():
            leaving.set_result(None)
        await ended

    def crash(self, *, torn: bool, silently: bool) -> None:
        """End the node at once, as ``Simulation.crash_node`` says."""
        if self.loop is None or self.node is None or not self.is_up:
            raise CallerError(f"node {self.name} is down already")
        started, self._leaving = self._started, None
        self.trace.note(f"{self.name} crashes")
        if started is not None and not started.done():
            started.set_exception(NodeCrashed(f"node {self.name} crashed while it started"))
        else:
            self.problems += checks.miscounted(self.node.accounting(), ended=False)
        self.loop.die()
        self._fall(torn=torn, silently=silently)

    def _fall(self, *, torn: bool, silently: bool) -> None:
        """Break the connections, and drop from the disk what was not fsynced."""
        self.network.crash(self.name, silently=silently)
        self.disk.crash(self.chance if torn else _NothingTorn())

    def crash_in_operation(self, operation: int, *, silently: bool) -> None:
        """End the node in the middle of this one of its next disk operations, from 1; a restart cancels it."""
        self._silently = silently
        self.disk.crash_at = self.disk.operations + operation

    def _went_down(self) -> None:
        """Crash in the middle of an operation of the disk; what the disk keeps is decided after that operation."""
        assert self.loop is not None, "only a node has operated the disk"
        self.trace.note(f"{self.name} crashes in an operation of its disk")
        self._leaving = None
        if self._started is not None and not self._started.done():
            self._started.set_exception(NodeCrashed(f"node {self.name} crashed while it started"))
        self.world.call_soon(partial(self._fall, torn=True, silently=self._silently))
        self.loop.die()

    def do(self, call: Callable[[], Awaitable[Any]]) -> Awaitable[Any]:  # Any: whatever it gives
        """Have the node run a call as its next step; awaiting returns its result."""
        loop = self.loop
        if loop is None or not self.is_up:
            raise NodeCrashed(f"node {self.name} is down: restart it first")
        given: asyncio.Future[Any] = loop.create_future()  # Any: as above

        async def run() -> None:
            try:
                result = await call()
            except BaseException as error:  # noqa: BLE001  it is raised at the caller
                if not given.done():
                    given.set_exception(error)
            else:
                if not given.done():
                    given.set_result(result)

        task = loop.create_task(run())
        given.add_done_callback(lambda done: task.cancel() if done.cancelled() else None)
        return given


class _NothingTorn(Random):
    """The random source of a crash that tears nothing: exactly what was fsynced is kept."""

    def randint(self, a: int, b: int) -> int:  # noqa: ARG002  the least that there can be
        """Return the least."""
        return a

    def random(self) -> float:
        """Return a number at which no chance comes true."""
        return 1.0
