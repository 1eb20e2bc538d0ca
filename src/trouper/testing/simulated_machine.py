"""``SimulatedMachine``: where a simulated node lives; it outlives its node, and so does its disk.

A life of a node is a ``ClusterNode`` on a ``NodeLoop`` of its own.  A crash ends the life between two steps, and leaves
on the disk what a real one may have kept; the next life has the same name and a later incarnation.
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
from ..runtime.journal.simulated import SimulatedCrash, SimulatedDisk
from ..runtime.kernel.dispatcher import Dispatcher
from ..runtime.kernel.errors import CallerError
from ..runtime.kernel.ref import ActorRef
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
"""What a node does at the begin of each of its lives."""
EPOCH_NS = 1_700_000_000_000_000_000
"""What the clocks on the walls said, in nanoseconds, when the clock of the loop said 0."""


class ClusterNode(Node):
    """A node as it is, with its choices, its wires and its time from the simulation."""

    def __init__(self, machine: SimulatedMachine, **options: Any) -> None:  # Any: the arguments of Node
        super().__init__(machine.name, **options)
        self._machine = machine

    def _make_dispatcher(self, loop: asyncio.AbstractEventLoop) -> Dispatcher:
        assert isinstance(loop, NodeLoop), "a node of a cluster is started by its machine"
        machine = self._machine
        return SeededDispatcher(loop, machine.seed_of_life, machine.trace, machine.world)

    def _make_transports(self, options: NetworkOptions) -> Sequence[MakeTransport]:  # noqa: ARG002  all is one network
        return [self._machine.make_transport]

    def _make_generation(self) -> int:
        return self._machine.wall_time_ns()

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


class _Doorstep:
    """Stands before a node's network: what comes in waits here until the node has a turn."""

    def __init__(self, owner: TransportOwner, machine: SimulatedMachine, loop: NodeLoop) -> None:
        self._owner, self._machine, self._loop = owner, machine, loop

    def frame_received(self, parts: Sequence[Buffer], source: Source) -> None:
        """A frame came in."""
        self._machine.trace.note(f"{self._machine.name} gets a frame of {sum(map(len, parts))} bytes")
        self._loop.call_soon(self._owner.frame_received, parts, source)

    def wire_ready(self, wire: Wire) -> None:
        """A wire has room again."""
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

    def operate(self, operation: str, path: PurePath) -> SimulatedCrash | None:
        """See ``SimulatedDisk``."""
        crashed = super().operate(operation, path)
        if crashed is not None:
            self._went_down()
        return crashed


class SimulatedMachine:
    """See the top of the file.

    life: how many nodes have begun here.  problems: what was wrong with them, apart from what they did on purpose.
    boot: what each life begins with; None is nothing.
    clock_off_s: how wrong the clock on its wall is; incarnations come from it.
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
        self.life = 0
        self._silently = False
        self.clock_off_s = self.drift = 0.0
        self.node: Node | None = None
        self.loop: NodeLoop | None = None
        self.problems: list[str] = []
        self._leaving: asyncio.Future[None] | None = None
        self._started: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None

    @property
    def is_up(self) -> bool:
        """Whether a node lives here."""
        return self._leaving is not None

    @property
    def seed_of_life(self) -> str:
        """The seed of this life of the node; no two lives have the same chance."""
        return f"{self._seed}/{self.name}/{self.life}"

    def wall_time_ns(self) -> int:
        """What the clock on the wall says: nanoseconds."""
        return EPOCH_NS + round((self.world.time() + self.clock_off_s) * 1e9)

    def make_transport(self, owner: TransportOwner) -> SimulatedTransport:
        """Make the node's transport."""
        assert self.loop is not None, "start() has made it"
        return SimulatedTransport(_Doorstep(owner, self, self.loop), self.network, self.name)

    # --- lives -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin a life; returns once the node has started, with all that it boots."""
        if self.is_up:
            raise CallerError(f"node {self.name} runs already: crash or stop it first")
        self.life += 1
        self.trace.note(f"{self.name} starts, life {self.life}")
        self.loop = loop = NodeLoop(self.world, self.name)
        loop.drift(self.drift)
        given = dict(self._options(self.name))
        given.setdefault("seed", Random(self.seed_of_life).getrandbits(62))
        if "journal" not in given:
            given["journal"] = FileJournal("journal", disk=self.disk)
        self.node = node = ClusterNode(self, **given)
        self._started, self._ended = self.world.create_future(), self.world.create_future()
        self._leaving = loop.create_future()
        with loop.entered():
            loop.create_task(self._live(node, self._started, self._leaving, self._ended), name=f"life of {self.name}")
        await self._started

    async def _live(
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
        except BaseException as error:  # noqa: BLE001  whatever ends a node, the simulation tells of it
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
        """End the life at once; see ``Simulation.crash_node``."""
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
        """Take from network and disk what a crash takes."""
        self.network.crash(self.name, silently=silently)
        self.disk.crash(self.chance if torn else _Whole())

    def crash_in_operation(self, operation: int, *, silently: bool) -> None:
        """End the life in the middle of this one of the disk operations to come, from 1; a restart calls it off."""
        self._silently = silently
        self.disk.crash_at = self.disk.operations + operation

    def _went_down(self) -> None:
        """The disk is down, in the middle of an operation: what it keeps is seen to when that has left off."""
        assert self.loop is not None, "only a node has operated the disk"
        self.trace.note(f"{self.name} crashes in an operation of its disk")
        self._leaving = None
        if self._started is not None and not self._started.done():
            self._started.set_exception(NodeCrashed(f"node {self.name} crashed while it started"))
        self.world.call_soon(partial(self._fall, torn=True, silently=self._silently))
        self.loop.die()

    def do(self, call: Callable[[], Awaitable[Any]]) -> Awaitable[Any]:  # Any: whatever it gives
        """Have the node do something, as its next step; awaiting gives what comes of it."""
        loop = self.loop
        if loop is None or not self.is_up:
            raise NodeCrashed(f"node {self.name} is down: restart it first")
        given: asyncio.Future[Any] = loop.create_future()  # Any: as above

        async def run() -> None:
            try:
                result = await call()
            except BaseException as error:  # noqa: BLE001  it is for whoever waits
                if not given.done():
                    given.set_exception(error)
            else:
                if not given.done():
                    given.set_result(result)

        task = loop.create_task(run())
        given.add_done_callback(lambda done: task.cancel() if done.cancelled() else None)
        return given


class _Whole(Random):
    """The chance of a crash that tears nothing: exactly what was fsynced is kept."""

    def randint(self, a: int, b: int) -> int:  # noqa: ARG002  the least that there can be
        """Return the least."""
        return a

    def random(self) -> float:
        """Return what makes nothing happen."""
        return 1.0
