"""Coordinated shutdown: a node goes down in named phases, one after the other, under one deadline.

Each phase names the phases that it comes after.  The tasks of one phase run concurrently.  A task that fails or hangs
is reported and does not stop the others; when the deadline has passed, actors and tasks that remain are killed.  A node
shuts down once: a second call waits for the shutdown that is under way.

The phases that every node has, in their order (``add_phase`` puts others between them):

1. ``before_stop``: everything still works; finish what has begun, notify others.
2. ``stop_user_actors``: no actor can be spawned any more; all actors under ``/user`` stop, the newest first.
3. ``stop_extensions``: the extensions stop, each before those that it requires.
4. ``stop_system``: all actors under ``/system`` and the root stop.
5. ``after_stop``: there are no actors; close files and connections.  It gets a second even when no time is left.

The idea is Akka's ``CoordinatedShutdown``, with one deadline for all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import Literal

import msgspec

from ..kernel.ask import current_invocation
from ..kernel.cell import Cell
from ..kernel.confined import confine
from ..kernel.errors import CallerError, InvalidOption, NodeClosed
from ..kernel.lifecycle import kill, request_stop
from ..kernel.system import System

Work = Callable[[], Coroutine[object, object, object]]
Outcome = Literal["done", "failed", "timed_out", "skipped"]

BEFORE_STOP, STOP_USER_ACTORS, STOP_EXTENSIONS = "before_stop", "stop_user_actors", "stop_extensions"
STOP_SYSTEM, AFTER_STOP = "stop_system", "after_stop"
PHASE_TIMEOUT_S = 5.0
"""Default time-out of a phase, in seconds."""
UNWIND_S = 1.0
"""Seconds that cancelled or killed tasks may take to unwind before the shutdown goes on without them."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A step of the shutdown.

    after: names of the phases that end before this one begins.
    timeout_s: seconds for its tasks, at most half of the time that is left before the deadline; None is all of it.
    recover: False skips the tasks that were added to later phases when a task of this phase failed; actors are stopped
        in any case.
    """

    name: str
    after: frozenset[str] = frozenset()
    timeout_s: float | None = PHASE_TIMEOUT_S
    recover: bool = True

    def __post_init__(self) -> None:
        if self.timeout_s is not None and self.timeout_s < 0:
            raise InvalidOption(f"phase {self.name}: timeout_s={self.timeout_s} must be 0 or more, or None")


class TaskReport(msgspec.Struct, frozen=True):
    """The result of one shutdown task.  duration_s: seconds of the loop's time.  error: one line, for ``failed``."""

    phase: str
    name: str
    outcome: Outcome
    duration_s: float
    error: str | None = None


STANDARD = (
    Phase(BEFORE_STOP),
    Phase(STOP_USER_ACTORS, frozenset({BEFORE_STOP}), None),
    Phase(STOP_EXTENSIONS, frozenset({STOP_USER_ACTORS}), None),
    Phase(STOP_SYSTEM, frozenset({STOP_EXTENSIONS}), None),
    Phase(AFTER_STOP, frozenset({STOP_SYSTEM})),
)


def in_order(phases: Iterable[Phase]) -> tuple[Phase, ...]:
    """Sort phases so that each comes after those it names; raises ``InvalidOption`` for a cycle or an unknown name."""
    by_name = {phase.name: phase for phase in phases}
    for phase in by_name.values():
        unknown = phase.after - by_name.keys()
        if unknown:
            raise InvalidOption(f"phase {phase.name} comes after {', '.join(sorted(unknown))}, which is not a phase")
    try:
        names = TopologicalSorter({name: sorted(phase.after) for name, phase in by_name.items()}).static_order()
        return tuple(by_name[name] for name in names)
    except CycleError as error:
        raise InvalidOption(f"the phases come after one another in a cycle: {' -> '.join(error.args[1])}") from error


@confine("_system_under_way", "wait", "kill_remaining")
class Shutdown:
    """The shutdown of one node, as ``node.shutdown``.

    system: returns the running system.  deadline_s: seconds for all phases; None has no deadline.
    on_finished: called when all phases have ended.
    reason: why the node shuts down; None until it does.  reports: the results of the tasks that have ended.
    """

    def __init__(
        self, system: Callable[[], System], deadline_s: float | None, on_finished: Callable[[], None] = lambda: None
    ) -> None:
        self._system = system
        self._on_finished = on_finished
        self._deadline_s = deadline_s
        self._phases = {phase.name: phase for phase in STANDARD}
        self._work: dict[str, dict[str, Work]] = {}
        self._begun = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._until: float | None = None
        self._aborted = False
        self.reason: str | None = None
        self.reports: list[TaskReport] = []

    # --- registration ------------------------------------------------------------------------------------------------

    def add(self, phase: str, name: str, work: Work) -> None:
        """Call a coroutine function in a phase.

        phase: the name of a phase.  name: unique within the phase, for reports.  work: called without arguments.
        Raises ``InvalidOption`` for an unknown phase or a name that is taken, ``NodeClosed`` once the
        shutdown has begun.
        """
        self._check_open()
        if phase not in self._phases:
            raise InvalidOption(f"there is no phase {phase!r}; the phases: {', '.join(self.phases())}")
        if name in self._work.setdefault(phase, {}):
            raise InvalidOption(f"phase {phase} has a task {name!r} already: choose another name")
        self._work[phase][name] = work

    def remove(self, phase: str, name: str) -> None:
        """Remove the task of this name from a phase; does nothing when there is none."""
        self._work.get(phase, {}).pop(name, None)

    def add_phase(
        self,
        name: str,
        *,
        after: Iterable[str] = (),
        before: Iterable[str] = (),
        timeout_s: float | None = PHASE_TIMEOUT_S,
        recover: bool = True,
    ) -> None:
        """Add a phase between others.

        name: a new name.  after, before: names of phases.  timeout_s, recover: as those of ``Phase``.
        Raises ``InvalidOption`` for a name that is taken, an unknown phase or a cycle, ``NodeClosed`` once the shutdown
        has begun.
        """
        self._check_open()
        if name in self._phases:
            raise InvalidOption(f"there is a phase {name!r} already: choose another name")
        phases = {**self._phases, name: Phase(name, frozenset(after), timeout_s, recover)}
        for later in before:
            if later not in phases:
                raise InvalidOption(f"phase {name} comes before {later}, which is not a phase")
            phases[later] = replace(phases[later], after=phases[later].after | {name})
        in_order(phases.values())
        self._phases = phases

    def phases(self) -> tuple[str, ...]:
        """Return the names of all phases, in their order."""
        return tuple(phase.name for phase in in_order(self._phases.values()))

    @property
    def _system_under_way(self) -> System | None:
        """The system that shuts down; None before that."""
        return None if self.reason is None else self._system()

    def _check_open(self) -> None:
        if self.reason is not None:
            raise NodeClosed(f"the shutdown has begun ({self.reason}): nothing can be added to it")

    # --- running -----------------------------------------------------------------------------------------------------

    def begin(self, reason: str) -> None:
        """Begin the shutdown and return at once, also in a handler.  A second call changes nothing.

        reason: for reports and for ``node.shutdown.reason``.
        """
        if self._running is None:
            self.reason = reason
            self._running = self._system().loop.create_task(self._go_down(), name="trouper-shutdown")
            self._begun.set()

    async def run(self, reason: str) -> None:
        """Begin the shutdown, unless it has begun, and wait until it has ended.  Cancelling the wait does not stop it.

        Raises ``CallerError`` in a handler of this node, which would wait for its own end.
        """
        invocation = current_invocation.get()
        if (
            invocation is not None
            and invocation.cell.invocation is invocation
            and invocation.cell.system is self._system()
        ):
            raise CallerError(
                f"{invocation.cell.address}: a handler that waits for the shutdown waits for its own end; "
                "call node.shutdown.begin(reason) and return"
            )
        self.begin(reason)
        await self.wait()

    async def wait(self) -> None:
        """Wait until the shutdown has begun and ended."""
        await self._begun.wait()
        assert self._running is not None, "begin() sets both"
        await asyncio.shield(self._running)

    def kill_remaining(self) -> None:
        """Kill at once what has not ended; does nothing before the shutdown has begun."""
        if self._running is not None:
            self._running.cancel()

    async def _go_down(self) -> None:
        current_invocation.set(None)  # an ask of a shutdown task is not an ask of the handler that called begin()
        loop = self._system().loop
        self._until = None if self._deadline_s is None else loop.time() + self._deadline_s
        for phase in in_order(self._phases.values()):
            try:
                await self._run_phase(phase)
                if phase.name == STOP_SYSTEM:
                    await self._kill_rest()
            except asyncio.CancelledError:
                self._problem("was cut short: what has not ended is killed")
                self._until = loop.time()
        self._system().closing = True
        kill(self._system().root)
        self._on_finished()

    async def _run_phase(self, phase: Phase) -> None:
        work = {} if self._aborted else dict(self._work.get(phase.name, {}))
        if self._aborted:
            self._skip(phase, self._work.get(phase.name, {}), "a task of an earlier phase failed")
        if phase.name == STOP_USER_ACTORS:
            self._system().closing = True
            work["actors under /user"] = lambda: self._stop(self._system().user)
        elif phase.name == STOP_SYSTEM:
            work["actors under /system"] = lambda: self._stop(self._system().system, self._system().root)
        limit_s = self._limit_s(phase)
        if limit_s == 0:
            self._skip(phase, work, "no time is left")
        elif work and not await self._run_together(phase, work, limit_s) and not phase.recover:
            self._aborted = True

    async def _run_together(self, phase: Phase, work: dict[str, Work], limit_s: float | None) -> bool:
        """Run the tasks of a phase; returns whether all of them ended without an error and in time."""
        loop = self._system().loop
        tasks = [loop.create_task(self._run_work(phase.name, name, each), name=name) for name, each in work.items()]
        try:
            await asyncio.wait(tasks, timeout=limit_s)
        finally:
            overdue = {task for task in tasks if not task.done()}
            await self._cancel(phase, overdue)
        return not overdue and all(task.result() for task in tasks)

    def _skip(self, phase: Phase, work: Iterable[str], why: str) -> None:
        for name in work:
            self.reports.append(TaskReport(phase.name, name, "skipped", 0.0))
            self._problem(f"phase {phase.name}: {name} was skipped, since {why}")

    def _limit_s(self, phase: Phase) -> float | None:
        if self._until is None:
            return phase.timeout_s
        left_s = max(0.0, self._until - self._system().loop.time())
        if phase.name == AFTER_STOP:
            return max(UNWIND_S, left_s if phase.timeout_s is None else min(phase.timeout_s, left_s))
        return left_s if phase.timeout_s is None else min(phase.timeout_s, left_s / 2)

    async def _cancel(self, phase: Phase, overdue: set[asyncio.Task[bool]]) -> None:
        """Cancel the tasks that did not end in time; one that ignores its cancellation is left behind."""
        for task in overdue:
            task.cancel()
            self._problem(f"phase {phase.name}: {task.get_name()} did not end in time and was cancelled")
        if overdue:
            _, unresponsive = await asyncio.wait(overdue, timeout=UNWIND_S)
            for task in unresponsive:
                self._problem(f"phase {phase.name}: {task.get_name()} ignores its cancellation and is left behind")

    async def _run_work(self, phase: str, name: str, work: Work) -> bool:
        """Run one task and report its result; returns whether it ended without an error."""
        loop = self._system().loop
        began = loop.time()
        outcome: Outcome = "timed_out"
        text: str | None = None
        try:
            await work()
            outcome = "done"
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            outcome, text = "failed", "what it awaited was cancelled"
            self._problem(f"phase {phase}: {name} failed, since {text}, and the rest goes on")
        except BaseException as error:  # noqa: BLE001  one task must not stop the others
            outcome, text = "failed", self._system().reporter.brief(error)
            self._problem(f"phase {phase}: {name} failed, and the rest goes on", error)
        finally:
            self.reports.append(TaskReport(phase, name, outcome, loop.time() - began, text))
        return outcome == "done"

    async def _stop(self, *cells: Cell) -> None:
        for cell in cells:
            request_stop(cell)
            await cell.ref.wait_stopped()

    async def _kill_rest(self) -> None:
        """Kill the actors that are left and wait for all tasks to unwind, so that none of them outlives the node."""
        system = self._system()
        if not system.root.gone:
            self._problem("did not stop all actors in time: the rest is killed")
            kill(system.root)
        for task in list(system.tasks):
            task.cancel()
        if system.tasks:
            await asyncio.wait(list(system.tasks), timeout=UNWIND_S)

    def _problem(self, text: str, error: BaseException | None = None) -> None:
        system = self._system()
        system.reporter.problem(f"shutdown of node {system.name} ({self.reason}) {text}", error)
