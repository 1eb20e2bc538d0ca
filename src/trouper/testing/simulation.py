"""Simulations: a scenario with unmodified actors, run on virtual time, in an order drawn from a seed.

The same seed gives the same run, event for event, in every process (of one version of the code): the order in which
actors run, how long turns last, what ``random`` returns and which faults happen are all drawn from it.  What a program
takes from elsewhere is not: the real clock, ``os.urandom``, the order of a set of texts, real threads.

At the end of every simulation ``checks.py`` checks the laws of each node.  Without ``nodes`` there is one node, in the
scenario's own loop and without a network; with them, there is a cluster.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import astuple, dataclass
from typing import Any, overload

from ..node import Node
from ..runtime.kernel.address import random_generation
from ..runtime.kernel.cell import Cell
from ..runtime.kernel.dispatcher import Dispatcher
from ..runtime.kernel.hooks import add_observer, remove_observer
from ..runtime.kernel.lifecycle import REQUEST, SUPERVISION, crash
from ..runtime.kernel.message import Message
from ..runtime.kernel.ref import ActorRef
from ..runtime.kernel.supervision import Strategy
from ..runtime.observe.accounting import Accounting
from ..transports.network_faults import Quality
from . import checks
from .faults import NODE_KINDS, Fault, Plan
from .node_loop import NodeLoop, WorldLoop, asks_awaited_anywhere
from .probe import ProbeActor
from .schedule import EventTrace, SeededDispatcher
from .simulated_cluster import ClusterSpec, SimulatedCluster
from .verbs import ClusterVerbs
from .virtual_time import START_S, STEPS_MAX, VirtualLoop, refuse_inside_a_loop

NO_FAULTS = Plan()


class SimulatedCrash(Exception):
    """The error of an actor that the simulation has crashed."""


class Flood(Message[None]):
    """A message that no actor handles, to fill a mailbox with."""

    number: int


class SimulatedNode(Node):
    """A node whose dispatcher makes its choices from the simulation's seed."""

    def __init__(self, simulation: Simulation, *, supervision: Strategy | None, ask_timeout_s: float) -> None:
        super().__init__(
            "sim", supervision=supervision, ask_timeout_s=ask_timeout_s, strict_wire=True, seed=simulation.seed
        )
        self._simulation = simulation

    def _make_generation(self) -> int:
        return random_generation(random.Random(f"{self._simulation.seed}/generation").getrandbits)

    def _make_dispatcher(self, loop: asyncio.AbstractEventLoop) -> Dispatcher:
        assert isinstance(loop, VirtualLoop), "a simulated node is started by its simulation"
        return SeededDispatcher(loop, self._simulation.seed, self._simulation.trace)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a simulation.

    digest: the hash of its trace, which is the virtual time, path and type of message of each event.
    accounting: of the one node, or of all nodes that ran at the end, added up.
    """

    seed: int
    plan: Plan
    digest: str
    events: int
    virtual_s: float
    accounting: Accounting


class Simulation(ClusterVerbs):
    """What a scenario gets: the nodes, random numbers, and the verbs that cause faults.

    random: the scenario's own source of random numbers, apart from the schedule's.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        seed: int,
        plan: Plan,
        spec: ClusterSpec | None = None,
        *,
        supervision: Strategy | None,
        ask_timeout_s: float,
    ) -> None:
        self.loop, self.seed, self.plan = loop, seed, plan
        self.random = random.Random(f"{seed}/scenario")
        self.trace = EventTrace(loop, several=spec is not None)
        self._spec, self._cluster = spec, None
        self._one = SimulatedNode(self, supervision=supervision, ask_timeout_s=ask_timeout_s)
        self._excluded: set[ActorRef] = set()
        self._slow: dict[Cell, _Slowdown] = {}

    @property
    def node(self) -> Node:
        """The one node; in a cluster, the first."""
        return self._one if self._cluster is None else self[self._cluster.spec.names[0]]

    @property
    def now_s(self) -> float:
        """Seconds of virtual time since the start."""
        return self.loop.time() - START_S

    async def settle(self) -> None:
        """Wait until nothing more can happen without the clock moving."""
        await self.loop.settled()

    # --- faults ---------------------------------------------------------------------------------------------

    @overload
    def crash(self, what: ActorRef) -> None: ...
    @overload
    def crash(
        self, what: str, *, torn: bool = True, silently: bool = False, in_operation: int | None = None
    ) -> None: ...
    def crash(
        self,
        what: ActorRef | str,
        *,
        torn: bool = True,
        silently: bool = False,
        in_operation: int | None = None,
    ) -> None:
        """Fail an actor between two messages, as an exception does; or end a node at once, as ``crash_node`` does."""
        if isinstance(what, str):
            self.crash_node(what, torn=torn, silently=silently, in_operation=in_operation)
        else:
            _cell(what).post(SUPERVISION, _crash)

    def kill(self, ref: ActorRef) -> None:
        """End an actor at once."""
        ref.kill()

    def pause(self, what: ActorRef | str) -> None:
        """Have an actor handle no further messages until ``resume``; it can still be stopped and restarted.

        A node, given by its name, does nothing at all: its clock goes on, and what it receives waits.
        """
        if isinstance(what, str):
            self.cluster.pause(self.cluster.machine(what))
            return
        cell = _cell(what)
        cell.suspended = True
        cell.post(REQUEST, Cell.refresh)

    def resume(self, what: ActorRef | str) -> None:
        """Undo ``pause``."""
        if isinstance(what, str):
            self.cluster.resume(self.cluster.machine(what))
            return
        cell = _cell(what)
        cell.suspended = False
        cell.post(REQUEST, Cell.refresh)

    def slow(self, what: ActorRef | str, seconds: float) -> None:
        """Pause an actor for ``seconds`` after each message, or a node after each turn; 0 ends that."""
        if isinstance(what, str):
            loop = self.cluster.machine(what).loop
            if loop is not None:
                loop.rest_s = seconds
            return
        cell = _cell(what)
        rest = self._slow.pop(cell, None)
        if rest is not None:
            remove_observer(cell, rest)
        if seconds > 0:
            self._slow[cell] = rest = _Slowdown(self, seconds)
            add_observer(cell, rest)

    def flood(self, ref: ActorRef, count: int, message: Message[object] | None = None) -> None:
        """Tell an actor ``count`` messages at once; None sends ``Flood``, which no actor handles."""
        for number in range(count):
            ref.tell(message or Flood(number))

    def leap(self, seconds: float) -> None:
        """Move the clock ahead by ``seconds``: all timers of that time are due together."""
        self.loop.leap(seconds)

    def exclude(self, *refs: ActorRef) -> None:
        """Exclude these actors from the faults of the plan.  Probes are always excluded."""
        self._excluded.update(refs)

    def apply_fault(self, fault: Fault) -> None:
        """Apply one fault of a plan; a fault of nodes is ignored without a cluster."""
        if fault.kind in NODE_KINDS:
            if self._cluster is not None:
                self._cluster.apply_fault(fault)
            return
        victims = self._victims()
        if fault.kind == "leap":
            self.leap(fault.for_s)
        elif victims:
            cell = victims[int(fault.pick * len(victims))]
            if self._cluster is None:
                self._apply_actor_fault(cell.ref, fault)
            else:  # as a step of its own node, which may be paused
                cell.system.loop.call_soon(self._apply_actor_fault, cell.ref, fault)

    def _apply_actor_fault(self, ref: ActorRef, fault: Fault) -> None:
        if fault.kind == "flood":
            self.flood(ref, fault.count)
        elif fault.kind == "slow":
            self.slow(ref, fault.for_s)
        elif fault.kind == "pause":
            self.pause(ref)
            self.loop.call_later(fault.for_s, self.resume, ref)
        elif fault.kind == "crash":
            self.crash(ref)
        else:
            self.kill(ref)

    def _victims(self) -> list[Cell]:
        """The actors of all nodes that run, the oldest of each node first."""
        nodes = [self._one] if self._cluster is None else self.nodes
        return [
            cell for node in nodes for cell in sorted(_living(node), key=lambda cell: cell.uid) if self._is_fair(cell)
        ]

    def _is_fair(self, cell: Cell) -> bool:
        return not isinstance(cell.actor, ProbeActor) and cell.ref not in self._excluded

    # --- the run -----------------------------------------------------------------------------------------------------

    async def play(self, scenario: Callable[[Simulation], Coroutine[object, object, object]]) -> None:
        """Run the scenario with the nodes, and check their laws at the end."""
        await (self._play_with_one(scenario) if self._spec is None else self._play_with_several(scenario, self._spec))
        await self.settle()
        left = asyncio.all_tasks(self.loop) - {asyncio.current_task(self.loop)}
        loops = {cell.system.loop for cell in self.trace.cells}
        gone = {loop for loop in loops if isinstance(loop, NodeLoop) and loop.dead}
        checks.hold(
            [
                *(
                    self._cluster.check(ended=True)
                    if self._cluster
                    else checks.miscounted(self._one.accounting(), ended=True)
                ),
                *checks.leaked(cell for cell in self.trace.cells if cell.system.loop not in gone),
                *checks.forgotten_timers(self.loop),
                *checks.failed_tasks(self.loop.failed_tasks()),
                *(f"{task!r} still runs" for task in sorted(left, key=hash)),
            ]
        )

    async def _play_with_one(self, scenario: Callable[[Simulation], Coroutine[object, object, object]]) -> None:
        node = self._one
        async with node:
            node.system.on_lifecycle = (*node.system.on_lifecycle, self.trace.add)
            await self._play_under_faults(scenario)
            checks.hold(checks.miscounted(node.accounting(), ended=False))

    async def _play_with_several(
        self, scenario: Callable[[Simulation], Coroutine[object, object, object]], spec: ClusterSpec
    ) -> None:
        assert isinstance(self.loop, WorldLoop), "simulate() makes it"
        self._cluster = cluster = SimulatedCluster(spec, self.seed, self.loop, self.trace)
        try:
            await cluster.start()
            await self._play_under_faults(scenario)
            checks.hold(cluster.check(ended=False))
        finally:
            await cluster.stop()

    async def _play_under_faults(self, scenario: Callable[[Simulation], Coroutine[object, object, object]]) -> None:
        timers = [self.loop.call_at(START_S + fault.at_s, self.apply_fault, fault) for fault in self.plan.faults]
        try:
            await scenario(self)
        finally:
            for timer in timers:
                timer.cancel()

    def accounting(self) -> Accounting:
        """Return the accounting of the one node, or of all nodes that run or have shut down in order, added up."""
        nodes = [self._one] if self._cluster is None else self._cluster.accountable
        books = [astuple(node.accounting()) for node in nodes]
        return Accounting(*map(sum, zip(*books, strict=True))) if books else Accounting(0, 0, 0, 0, 0)

    def dispose(self) -> None:
        """Close the loops of the nodes, once all is checked."""
        if self._cluster is not None:
            self._cluster.dispose()

    def describe(self) -> str:
        """Return what was simulated and how it ended, for a failure."""
        tail = "\n".join(f"  {event}" for event in self.trace.tail)
        problems = [] if self._cluster is None else self._cluster.problems_of_loops()
        return "\n".join(problems) + (
            f"simulated with seed {self.seed} and {self.plan}; at {self.now_s:g} s of virtual time, after "
            f"{self.trace.events} events (digest {self.trace.digest}), the last ones:\n{tail}"
        )


def simulate(
    scenario: Callable[[Simulation], Coroutine[object, object, object]],
    *,
    seed: int = 0,
    plan: Plan = NO_FAULTS,
    nodes: int | Sequence[str] | None = None,
    joins: Mapping[str, Sequence[str]] | None = None,
    options: Callable[[str], Mapping[str, Any]] | None = None,  # Any: each argument of Node has its own type
    quality: Quality | None = None,
    supervision: Strategy | None = None,
    ask_timeout_s: float = 5.0,
    steps_max: int = STEPS_MAX,
) -> Outcome:
    """Run ``await scenario(simulation)`` on virtual time, in the order that the seed draws, and return the outcome.

    plan: the faults, besides those that the scenario causes.  supervision, ask_timeout_s: of every node.
    nodes: how many nodes, ``n1`` and so on, or their names; None is one node, without a network.
    joins, options, quality: of these nodes, see ``ClusterSpec``; the scenario begins when they are connected.
    steps_max: turns of the loop, turns of nodes and runs of actors, see ``VirtualLoop``.
    Raises what the scenario raises, ``SimulationFailed`` when a node has not kept its laws, ``Stalled`` and
    ``StepsExceeded``; each has a note with the seed, the plan and the end of the trace.
    """
    refuse_inside_a_loop()
    spec: ClusterSpec | None = None
    if nodes is not None:
        names = [f"n{number}" for number in range(1, nodes + 1)] if isinstance(nodes, int) else list(nodes)
        defaults = {"supervision": supervision, "ask_timeout_s": ask_timeout_s}
        spec = ClusterSpec(names, joins, options, quality, defaults)
    chance = random.Random(f"{seed}/turns")
    loop = VirtualLoop(steps_max=steps_max) if spec is None else WorldLoop(steps_max=steps_max, chance=chance)
    simulation = Simulation(loop, seed, plan, spec, supervision=supervision, ask_timeout_s=ask_timeout_s)
    before = random.getstate()
    random.seed(f"{seed}/program")
    try:
        with nullcontext() if spec is None else asks_awaited_anywhere():
            loop.run_until_complete(simulation.play(scenario))
        trace, books = simulation.trace, simulation.accounting()
        return Outcome(seed, plan, trace.digest, trace.events, simulation.now_s, books)
    except BaseException as error:
        error.add_note(simulation.describe())
        raise
    finally:
        random.setstate(before)
        loop.unwind()
        simulation.dispose()


class _Slowdown:
    """The observer of a slow actor: pauses it after each message."""

    def __init__(self, simulation: Simulation, seconds: float) -> None:
        self._simulation, self._seconds = simulation, seconds

    def on_begin(self, cell: Cell, item: object) -> None:
        """Do nothing."""

    def on_end(self, cell: Cell, item: object, error: BaseException | None) -> None:  # noqa: ARG002  an observer's
        self._simulation.pause(cell.ref)
        self._simulation.loop.call_later(self._seconds, self._simulation.resume, cell.ref)


def _crash(cell: Cell, _: object) -> None:
    if cell.phase == "live":
        crash(cell, SimulatedCrash(f"{cell.address} was crashed by the simulation"), None)


def _living(node: Node) -> list[Cell]:
    """The actors of a node, without its guardians."""
    system = node.system
    return [cell for cell in system.cells() if cell.parent is not None and cell not in (system.user, system.system)]


def _cell(ref: ActorRef) -> Cell:
    return ref._cell  # noqa: SLF001  a fault is applied to the cell
