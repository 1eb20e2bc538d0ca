"""The cluster of a simulation: its machines, and the network between them.

The verbs of a scenario (``verbs.py``) and the faults of a plan are applied here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from ..node import Node
from ..runtime.kernel.errors import CallerError, InvalidOption
from ..transports.network_faults import Quality
from ..transports.simulated import SimulatedNetwork
from . import checks
from .faults import Fault
from .node_loop import WorldLoop
from .schedule import EventTrace
from .simulated_machine import Arguments, Options, SimulatedMachine

CONNECTED_S = 60.0
"""Seconds of virtual time within which the nodes of a cluster must be connected at the start."""


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """What cluster to simulate.

    names: of the nodes; each is at ``sim://NAME``.
    joins: the names that each node dials; None has all dial all.
    options: returns the arguments of ``Node`` for a name, besides those that the simulation gives: ``listen``,
        ``join``, ``seed``, ``journal`` and the two below, each of which it may give instead.
    defaults: arguments of every node.  quality: of the network between all nodes, until a scenario changes it.
    """

    names: Sequence[str]
    joins: Mapping[str, Sequence[str]] | None = None
    options: Options | None = None
    quality: Quality | None = None
    defaults: Arguments = field(default_factory=dict[str, Any])  # Any: as Arguments say

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) < len(self.names):
            raise InvalidOption(f"nodes={self.names}: name one or more, each once")

    def joined_by(self, name: str) -> Sequence[str]:
        """Return the names that a node dials."""
        if self.joins is None:
            return [other for other in self.names if other != name]
        return self.joins.get(name, ())

    def options_of(self, name: str) -> Arguments:
        """Return all arguments of a node."""
        own: Arguments = {} if self.options is None else self.options(name)
        places = {"listen": f"sim://{name}", "join": [f"sim://{other}" for other in self.joined_by(name)]}
        return {**places, **self.defaults, **own}


class SimulatedCluster:
    """The machines and the network of a simulation.  Make it while the world's loop runs."""

    def __init__(self, spec: ClusterSpec, seed: int, world: WorldLoop, trace: EventTrace) -> None:
        self.spec, self._world, self._trace = spec, world, trace
        self.network = SimulatedNetwork(Random(f"{seed}/network"), spec.quality)
        self.machines = {
            name: SimulatedMachine(name, seed, world, trace, self.network, spec.options_of) for name in spec.names
        }
        self._tasks: set[asyncio.Task[None]] = set()
        self.problems: list[str] = []

    def machine(self, name: str) -> SimulatedMachine:
        """Return a machine; raises ``CallerError`` for an unknown name."""
        if name not in self.machines:
            raise CallerError(f"there is no node {name!r} in this simulation; there are: {', '.join(self.machines)}")
        return self.machines[name]

    @property
    def up(self) -> list[SimulatedMachine]:
        """The machines whose nodes run."""
        return [machine for machine in self.machines.values() if machine.is_up]

    @property
    def accountable(self) -> list[Node]:
        """The last node of each machine, if it has not crashed."""
        return [
            machine.node
            for machine in self.machines.values()
            if machine.node is not None and machine.loop is not None and not machine.loop.dead
        ]

    # --- begin and end -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start all nodes, and wait until each is connected to all that it joins."""
        await asyncio.gather(*(machine.start() for machine in self.machines.values()))
        try:
            async with asyncio.timeout(CONNECTED_S):
                for machine in self.machines.values():
                    await self.wait_connected(machine)
        except TimeoutError:
            checks.hold([f"the nodes were not connected within {CONNECTED_S:g} s", *self.check(ended=False)])

    async def wait_connected(self, machine: SimulatedMachine) -> None:
        """Wait until a node is connected to the present generations of all nodes that it dials."""
        for name in self.spec.joined_by(machine.name):
            other = self.machine(name)
            if other.is_up and machine.node is not None:
                await machine.do(partial(_connected, machine.node, other))

    async def stop(self) -> None:
        """Let all nodes shut down in order, at the same time."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.gather(*(machine.stop() for machine in self.machines.values()))

    def check(self, *, ended: bool) -> list[str]:
        """Report the laws that nodes have broken; what crashed nodes held is left out."""
        problems = list(self.problems)
        for machine in self.machines.values():
            problems += machine.problems
        for node in self.accountable:
            problems += [f"node {node.name}: {text}" for text in checks.miscounted(node.accounting(), ended=ended)]
        problems += self.problems_of_loops()
        for loop in self._world.loops:
            if ended and not loop.dead:
                problems += [*checks.forgotten_timers(loop), *checks.failed_tasks(loop.failed_tasks())]
                problems += [f"{task!r} of node {loop.name} still runs" for task in loop.tasks()]
        return problems

    def problems_of_loops(self) -> list[str]:
        """Report what callbacks of the nodes' loops have raised."""
        return [problem for loop in self._world.loops for problem in loop.problems]

    def dispose(self) -> None:
        """Close the coroutines of crashed nodes, and all loops."""
        for loop in self._world.loops:
            loop.dispose()

    # --- faults of a plan --------------------------------------------------------------------------------------------

    def apply_fault(self, fault: Fault) -> None:
        """Apply a fault of a node or of the network; it ends after its time."""
        self._trace.note(f"fault: {fault}")
        names = list(self.machines)
        first = names[int(fault.pick * len(names))]
        second = names[int(fault.other * len(names))]
        if fault.kind in ("node_crash", "node_pause", "node_slow", "node_drift"):
            self._apply_node_fault(fault, self.machines[first])
        elif fault.kind == "partition":
            self._partition_sides(fault, names)
        elif first != second:
            self._apply_link_fault(fault, first, second)

    def _apply_node_fault(self, fault: Fault, machine: SimulatedMachine) -> None:
        loop = machine.loop
        if not machine.is_up or loop is None:
            return
        if fault.kind == "node_crash":
            silently = fault.count % 2 == 0
            if fault.other < 0.3:
                machine.crash_in_operation(fault.count % 9 + 1, silently=silently)
                self._later(fault.for_s / 2, partial(self._crash, machine, silently))
            else:
                machine.crash(torn=True, silently=silently)
            self._later(fault.for_s, partial(self._restart, machine))
        elif fault.kind == "node_pause":
            self.pause(machine)
            self._later(fault.for_s, partial(self.resume, machine))
        elif fault.kind == "node_slow":
            loop.rest_s = fault.for_s / 100
            self._later(fault.for_s, partial(setattr, loop, "rest_s", 0.0))
        else:
            loop.drift((fault.other - 0.5) / 5)
            self._later(fault.for_s, partial(loop.drift, 0.0))

    def _partition_sides(self, fault: Fault, names: list[str]) -> None:
        """Partition the cluster: one node from the rest, or two sides of any size, in both directions or one."""
        chance = Random(f"{fault.pick}")
        chance.shuffle(names)
        size = 1 if chance.random() < 0.5 else chance.randint(1, max(1, len(names) - 1))
        cut = self.network.faults.cut if fault.other < 0.3 else self.network.faults.partition
        pairs = [(one, other) for one in names[:size] for other in names[size:]]
        for one, other in pairs:
            cut(one, other)
        for one, other in pairs:
            self._later(fault.for_s, partial(self.network.faults.repair, one, other))

    def _apply_link_fault(self, fault: Fault, one: str, other: str) -> None:
        faults = self.network.faults
        if fault.kind == "hold":
            faults.hold(one, other)
            self._later(fault.for_s, partial(self.network.release, one, other))
        elif fault.kind == "reset":
            self.network.reset(one, other)
            self.network.reset(other, one)
        elif fault.kind == "degrade":
            chance, before = Random(f"{fault.pick} {fault.other}"), faults.quality(one, other)
            bad = Quality(
                delay_s=chance.choice((0.001, 0.02, 0.2)),
                jitter_s=chance.choice((0.0, 0.01, 0.1)),
                loss=chance.choice((0.0, 0.05, 0.3)),
                duplication=chance.choice((0.0, 0.1)),
                reorder=chance.choice((0.0, 0.3)),
                bandwidth_bytes_s=chance.choice((None, 20_000.0)),
            )
            faults.set_quality(bad, one, other)
            self._later(fault.for_s, partial(faults.set_quality, before, one, other))

    def _later(self, seconds: float, call: Callable[[], object]) -> None:
        self._world.call_later(seconds, call)

    def _crash(self, machine: SimulatedMachine, silently: bool) -> None:
        if machine.is_up:
            machine.crash(torn=True, silently=silently)

    def _restart(self, machine: SimulatedMachine) -> None:
        if not machine.is_up:
            task = self._world.create_task(self._started(machine))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _started(self, machine: SimulatedMachine) -> None:
        try:
            await machine.start()
        except Exception as error:  # noqa: BLE001  nothing awaits it: it is reported at the end
            self.problems.append(f"node {machine.name} did not start again: {error!r}")

    # --- verbs -------------------------------------------------------------------------------------------------------

    def pause(self, machine: SimulatedMachine) -> None:
        """Pause a node."""
        if machine.loop is not None:
            self._trace.note(f"{machine.name} is paused")
            machine.loop.pause()

    def resume(self, machine: SimulatedMachine) -> None:
        """Let a paused node go on."""
        if machine.loop is not None and machine.loop.paused:
            self._trace.note(f"{machine.name} is resumed")
            machine.loop.resume()


async def _connected(node: Node, other: SimulatedMachine) -> None:
    peer = None
    while other.is_up and other.node is not None:
        peer = await node.network.wait_for_peer(other.name, after=peer)
        if peer.node_id == other.node.network.node_id:
            return


def pairs_between(groups: Sequence[str | Iterable[str]], names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pairs of hosts of different groups; a single group is paired with all others."""
    sides = [[group] if isinstance(group, str) else list(group) for group in groups]
    if len(sides) == 1:
        sides.append([name for name in names if name not in sides[0]])
    return [
        (one, other)
        for place, side in enumerate(sides)
        for later in sides[place + 1 :]
        for one in side
        for other in later
        if one != other
    ]
