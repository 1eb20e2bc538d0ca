"""Simulations: a scenario with unmodified actors, run on virtual time, in an order drawn from a seed.

The same seed gives the same run, event for event, in every process (of one version of the code): the order in which
actors run, how long turns last, what ``random`` says and which faults strike are all drawn from it.  What a program
takes from elsewhere is not: the real clock, ``os.urandom``, the order of a set of texts, real threads.

At the end of every simulation ``checks.py`` holds the node to its laws.  There is one node; a cluster of them, over a
simulated network, will have the same face.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from ..runtime.accounting import Accounting
from ..runtime.kernel.cell import Cell
from ..runtime.kernel.dispatcher import Dispatcher
from ..runtime.kernel.lifecycle import REQUEST, SUPERVISION, crash
from ..runtime.kernel.messages import Message
from ..runtime.kernel.ref import ActorRef
from ..runtime.kernel.supervision import Strategy
from ..runtime.node import Node
from ..runtime.observing import observe, unobserve
from . import checks
from .faults import Fault, Plan
from .probe import ProbeActor
from .schedule import SeededDispatcher, Trace
from .virtual_time import START_S, STEPS_MAX, VirtualLoop, refuse_inside_a_loop

NO_FAULTS = Plan()


class SimulatedCrash(Exception):
    """What a crashed actor is said to have raised; it is the simulation's doing, not the actor's."""


class Flood(Message[None]):
    """A message that no actor knows, to fill a mailbox with."""

    number: int


class SimulatedNode(Node):
    """A node whose dispatcher takes its choices from the simulation's seed."""

    def __init__(self, simulation: Simulation, *, supervision: Strategy | None, ask_timeout_s: float) -> None:
        super().__init__("sim", supervision=supervision, ask_timeout_s=ask_timeout_s, seed=simulation.seed)
        self._simulation = simulation

    def _make_dispatcher(self, loop: asyncio.AbstractEventLoop) -> Dispatcher:
        assert isinstance(loop, VirtualLoop), "a simulated node is started by its simulation"
        return SeededDispatcher(loop, self._simulation.seed, self._simulation.trace)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a simulation came to.

    digest: the hash of its trace, which is the virtual time, path and type of message of each event.
    """

    seed: int
    plan: Plan
    digest: str
    events: int
    virtual_s: float
    accounting: Accounting


class Simulation:
    """What a scenario gets: the node, chance, and the verbs that make things go wrong.

    random: the scenario's own source of chance; it shares no number with the schedule's.
    """

    def __init__(
        self, loop: VirtualLoop, seed: int, plan: Plan, *, supervision: Strategy | None, ask_timeout_s: float
    ) -> None:
        self.loop, self.seed, self.plan = loop, seed, plan
        self.random = random.Random(f"{seed}/scenario")
        self.trace = Trace(loop)
        self.node = SimulatedNode(self, supervision=supervision, ask_timeout_s=ask_timeout_s)
        self._spared: set[ActorRef] = set()
        self._slow: dict[Cell, _Rest] = {}

    @property
    def now_s(self) -> float:
        """Seconds of virtual time since the start."""
        return self.loop.time() - START_S

    async def settle(self) -> None:
        """Wait until nothing more can happen without the clock moving."""
        await self.loop.settled()

    # --- what goes wrong ---------------------------------------------------------------------------------------------

    def crash(self, ref: ActorRef) -> None:
        """Fail an actor between two messages, as an exception does; its supervisor decides."""
        _cell(ref).post(SUPERVISION, _crash)

    def kill(self, ref: ActorRef) -> None:
        """End an actor at once."""
        ref.kill()

    def pause(self, ref: ActorRef) -> None:
        """Let an actor handle no further messages until ``resume``; it can still be stopped and restarted."""
        cell = _cell(ref)
        cell.suspended = True
        cell.post(REQUEST, Cell.refresh)

    def resume(self, ref: ActorRef) -> None:
        """Undo ``pause``."""
        cell = _cell(ref)
        cell.suspended = False
        cell.post(REQUEST, Cell.refresh)

    def slow(self, ref: ActorRef, seconds: float) -> None:
        """Let an actor rest so long after each message; 0 makes it as quick as before."""
        cell = _cell(ref)
        rest = self._slow.pop(cell, None)
        if rest is not None:
            unobserve(cell, rest)
        if seconds > 0:
            self._slow[cell] = rest = _Rest(self, seconds)
            observe(cell, rest)

    def flood(self, ref: ActorRef, count: int, message: Message[object] | None = None) -> None:
        """Tell an actor so many messages at once; None sends such as it does not know."""
        for number in range(count):
            ref.tell(message or Flood(number))

    def leap(self, seconds: float) -> None:
        """Move the clock ahead: all timers of that time are due together."""
        self.loop.leap(seconds)

    def spare(self, *refs: ActorRef) -> None:
        """Leave these actors out of the faults of the plan.  Probes are left out by themselves."""
        self._spared.update(refs)

    def strike(self, fault: Fault) -> None:
        """Carry out one fault of a plan."""
        victims = self._victims()
        if fault.kind == "leap":
            self.leap(fault.for_s)
        elif victims:
            ref = victims[int(fault.pick * len(victims))].ref
            if fault.kind == "flood":
                self.flood(ref, fault.count)
            elif fault.kind == "slow":
                self.slow(ref, fault.for_s)
            elif fault.kind == "pause":
                self.pause(ref)
                self.loop.call_later(fault.for_s, self.resume, ref)
            else:
                {"crash": self.crash, "kill": self.kill}[fault.kind](ref)

    def _victims(self) -> list[Cell]:
        user = self.node.system.user
        living = [cell for cell in self.node.system.cells() if cell.parent is not None and cell is not user]
        system = self.node.system.system
        return sorted(
            (
                cell
                for cell in living
                if cell is not system and not isinstance(cell.actor, ProbeActor) and cell.ref not in self._spared
            ),
            key=lambda cell: cell.uid,
        )

    # --- the run -----------------------------------------------------------------------------------------------------

    async def play(self, scenario: Callable[[Simulation], Coroutine[object, object, object]]) -> None:
        """Run the scenario inside the node, and hold the node to its laws at the end."""
        async with self.node:
            self.node.system.on_life = (*self.node.system.on_life, self.trace.add)
            strikes = [self.loop.call_at(START_S + fault.at_s, self.strike, fault) for fault in self.plan.faults]
            try:
                await scenario(self)
            finally:
                for strike in strikes:
                    strike.cancel()
            checks.hold(checks.miscounted(self.node.accounting(), ended=False))
        await self.settle()
        left = asyncio.all_tasks(self.loop) - {asyncio.current_task(self.loop)}
        checks.hold(
            [
                *checks.miscounted(self.node.accounting(), ended=True),
                *checks.leaked(self.trace.cells.values()),
                *checks.forgotten_timers(self.loop),
                *checks.failed_tasks(self.loop.failed_tasks()),
                *(f"{task!r} still runs" for task in sorted(left, key=hash)),
            ]
        )

    def describe(self) -> str:
        """Say what was simulated and how it ended, for a failure."""
        tail = "\n".join(f"  {event}" for event in self.trace.tail)
        return (
            f"simulated with seed {self.seed} and {self.plan}; at {self.now_s:g} s of virtual time, after "
            f"{self.trace.events} events (digest {self.trace.digest}), the last ones:\n{tail}"
        )


def simulate(
    scenario: Callable[[Simulation], Coroutine[object, object, object]],
    *,
    seed: int = 0,
    plan: Plan = NO_FAULTS,
    supervision: Strategy | None = None,
    ask_timeout_s: float = 5.0,
    steps_max: int = STEPS_MAX,
) -> Outcome:
    """Run ``await scenario(simulation)`` on virtual time, in the order that the seed draws, and return what it came to.

    plan: what goes wrong, besides what the scenario does.  supervision, ask_timeout_s: of the node.
    steps_max: turns of the loop and runs of actors, see ``VirtualLoop``.
    Raises what the scenario raises, ``SimulationFailed`` when the node has not kept its laws, ``Stalled`` and
    ``StepsExceeded``; each has a note with the seed, the plan and the end of the trace.
    """
    refuse_inside_a_loop()
    loop = VirtualLoop(steps_max=steps_max)
    simulation = Simulation(loop, seed, plan, supervision=supervision, ask_timeout_s=ask_timeout_s)
    before = random.getstate()
    random.seed(f"{seed}/program")
    try:
        loop.run_until_complete(simulation.play(scenario))
    except BaseException as error:
        error.add_note(simulation.describe())
        raise
    finally:
        random.setstate(before)
        loop.unwind()
    trace = simulation.trace
    return Outcome(seed, plan, trace.digest, trace.events, simulation.now_s, simulation.node.accounting())


class _Rest:
    """Watches a slow actor: pauses it after each message, for a time."""

    def __init__(self, simulation: Simulation, seconds: float) -> None:
        self._simulation, self._seconds = simulation, seconds

    def began(self, cell: Cell, message: object) -> None:
        """Let it begin."""

    def saw(self, cell: Cell, message: object, error: BaseException | None) -> None:  # noqa: ARG002  an observer's
        self._simulation.pause(cell.ref)
        self._simulation.loop.call_later(self._seconds, self._simulation.resume, cell.ref)


def _crash(cell: Cell, _: object) -> None:
    if cell.phase == "live":
        crash(cell, SimulatedCrash(f"{cell.address} was crashed by the simulation"), None)


def _cell(ref: ActorRef) -> Cell:
    return ref._cell  # noqa: SLF001  a fault strikes below the public face
