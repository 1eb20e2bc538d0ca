"""The loops of a simulated cluster: one for the world, and one for each generation of a node.

A node has an event loop of its own, as it has on a machine of its own, so that it can be paused, be slow, have a
wrong clock, or crash at any moment.  ``NodeLoop`` runs only when the world's loop gives it a turn; the order
in which nodes get their turns is drawn from the seed.  The scenario runs in the world, and may await what nodes have.

Laws of this file:
1. A loop that has died runs nothing any more, not even a ``finally``; its tasks are kept until ``dispose``, since
   Python would run that when it collects them.
2. A task is woken in its own loop, whichever loop the future that it awaited is of.
3. A paused loop loses nothing: what is due meanwhile is done afterwards, and its clock goes on.
"""

from __future__ import annotations

import asyncio
import math
import warnings
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable
from contextlib import contextmanager, suppress
from contextvars import Context
from heapq import heapify, heappop
from random import Random
from typing import Any, TypeVar, TypeVarTuple, cast

from ..runtime.kernel.ask import Ask
from ..runtime.kernel.errors import ActorError
from ..runtime.observe.reports import bounded, trace
from .virtual_time import VirtualLoop, _Future, _Task

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_Callback = Callable[..., object]
_Arguments = Iterable[Any]  # Any: as the callback takes them
_TIMERS_SWEPT_FROM = 200
"""Timers from which on cancelled ones are looked for."""
_WAITS_SWEPT_FROM = 100
_TRACE_CHARS_MAX = 3_000


class NodeCrashed(ActorError):
    """A simulated node went down, so what was awaited of it will never come."""


class _SharedLoop(VirtualLoop):
    """A virtual loop that knows of others: it wakes a task in the loop that the task is of."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def create_future(self) -> asyncio.Future[Any]:  # Any, as asyncio declares it
        """Make a future of this loop, which may be awaited in the others too."""
        return SharedFuture(self, next(self._numbers))

    def take(self, callback: _Callback, args: _Arguments, context: Context | None) -> asyncio.Handle:
        """Call something soon, for another loop."""
        return self._call_soon(callback, args, context)

    def _call_soon(self, callback: _Callback, args: _Arguments, context: Context | None) -> asyncio.Handle:
        task = _task_of(callback)
        if task is not None:
            own_loop = _loop_of(task)
            if own_loop is not self and isinstance(own_loop, _SharedLoop):
                return own_loop.take(callback, args, context)
        return cast("asyncio.Handle", super()._call_soon(callback, args, context))  # type: ignore[misc]  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]  BaseEventLoop's own


class WorldLoop(_SharedLoop):
    """The loop that has the clock, runs the network and the scenario, and gives the nodes their turns."""

    def __init__(self, *, steps_max: int, chance: Random) -> None:
        super().__init__(steps_max=steps_max)
        self._chance = chance
        self._waiting: list[NodeLoop] = []
        self.loops: list[NodeLoop] = []
        """All loops that nodes ever had, in the order in which they began."""

    def give_turn(self, loop: NodeLoop) -> None:
        """Have a loop that has something to do run soon."""
        if not self._waiting:
            self.call_soon(self._give_turns)
        self._waiting.append(loop)

    def _give_turns(self) -> None:
        waiting, self._waiting = self._waiting, []
        if len(waiting) > 1:
            self._chance.shuffle(waiting)
        self.steps += len(waiting)
        for loop in waiting:
            loop.turn()


class NodeLoop(_SharedLoop):
    """The loop of one generation of a node.

    rest_s: seconds that it pauses after each turn, as on a slow machine.
    """

    def __init__(self, world: WorldLoop, name: str) -> None:
        self.world, self.name = world, name
        self._rate, self._shift = 1.0, 0.0
        self.dead = self.paused = self._dying = self._armed = self._in_turn = False
        self.rest_s = 0.0
        self._not_before = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self.problems: list[str] = []
        """What callbacks of this loop raised."""
        self._awaited_outside: list[asyncio.Future[Any]] = []  # Any: of whatever result
        self._dead_tasks: list[asyncio.Task[Any]] = []  # Any, as asyncio declares it
        super().__init__()
        self._numbers = world._numbers  # noqa: SLF001  tasks of all loops have numbers of one row
        world.loops.append(self)
        self.set_exception_handler(self._note_problem)

    # --- time --------------------------------------------------------------------------------------------------------

    def time(self) -> float:
        """Return the time by the clock of this machine."""
        return self.world.time() * self._rate + self._shift

    def drift(self, share: float) -> None:
        """Make the clock run faster by this share, or slower if it is negative, from now on; it never jumps."""
        now, world = self.time(), self.world.time()
        self._rate = 1.0 + share
        self._shift = now - world * self._rate
        self._wake_for_timers()

    def _world_time(self, when: float) -> float:
        """Return the first moment of the world at which this clock says ``when`` or more."""
        at = max(self.world.time(), (when - self._shift) / self._rate)
        while at * self._rate + self._shift < when:
            at = math.nextafter(at, math.inf)
        return at

    # --- running -----------------------------------------------------------------------------------------------------

    def _call_soon(self, callback: _Callback, args: _Arguments, context: Context | None) -> asyncio.Handle:
        if self.dead:
            return self._pass_over(callback, args, context)
        handle = super()._call_soon(callback, args, context)
        if not self._armed and not self._in_turn:
            self._arm()
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Set a timer, by this loop's clock."""
        timer = super().call_at(when, callback, *args, context=context)
        if not self._armed and not self._in_turn:
            self._wake_for_timers()
        return timer

    def advance(self, timeout_s: float | None) -> None:
        """Do nothing: only the world's loop moves the clock."""

    @contextmanager
    def entered(self) -> Generator[None, None, None]:
        """Be the running loop inside the block, for calls from outside."""
        before = asyncio._get_running_loop()  # noqa: SLF001  the public way raises where there is none
        asyncio._set_running_loop(self)  # noqa: SLF001  as run_forever does
        try:
            yield
        finally:
            asyncio._set_running_loop(before)  # noqa: SLF001  see above

    def turn(self) -> None:
        """Run what is ready, once."""
        self._armed = False
        if self.dead or self.paused:
            return
        ready, self._in_turn = self._ready, True
        with self.entered():
            self._take_due_timers()
            try:
                for _ in range(len(ready)):
                    handle = ready.popleft()
                    if not handle.cancelled():
                        handle._run()  # noqa: SLF001  as run_forever does
                        if self._has_died():
                            break
            finally:
                self._in_turn = False
        self._not_before = self.world.time() + self.rest_s
        if ready:
            self._arm()
        else:
            self._wake_for_timers()

    def _has_died(self) -> bool:
        return self.dead  # what runs may end it, which type checkers cannot see

    def _take_due_timers(self) -> None:
        now, timers = self.time(), self._scheduled
        until = now + 4 * math.ulp(now)  # as far as the clock of the world and the way to it may be off
        while timers and (timers[0].cancelled() or timers[0].when() <= until):
            timer = heappop(timers)
            setattr(timer, "_scheduled", False)  # noqa: B010  as run_forever does; the stubs do not know it
            if not timer.cancelled():
                self._ready.append(timer)
        if len(timers) > _TIMERS_SWEPT_FROM and sum(timer.cancelled() for timer in timers) * 2 > len(timers):
            timers[:] = [timer for timer in timers if not timer.cancelled()]
            heapify(timers)

    def _arm(self) -> None:
        if self.dead or self.paused or self._armed:
            return
        self._armed = True
        if self.world.time() < self._not_before:
            self.world.call_at(self._not_before, self.world.give_turn, self)
        else:
            self.world.give_turn(self)

    def _wake_for_timers(self) -> None:
        """Have the world's loop give this one a turn when its first timer is due."""
        timers = self._scheduled
        while timers and timers[0].cancelled():
            setattr(heappop(timers), "_scheduled", False)  # noqa: B010  see above
        if self.dead or self.paused or not timers:
            return
        at = self._world_time(timers[0].when())
        if self._alarm is not None:
            if self._alarm.when() == at:
                return
            self._alarm.cancel()
        self._alarm = self.world.call_at(at, self._on_alarm)

    def _on_alarm(self) -> None:
        self._alarm = None
        self._arm()

    def pause(self) -> None:
        """Run nothing until ``resume``."""
        self.paused = True

    def resume(self) -> None:
        """Go on, and do what has become due meanwhile."""
        self.paused = False
        if self._ready:
            self._arm()
        self._wake_for_timers()

    # --- the end -----------------------------------------------------------------------------------------------------

    def note_awaited_outside(self, future: asyncio.Future[Any]) -> None:  # Any: of whatever result
        """Note that a task of another loop awaits this future of the node."""
        waits = self._awaited_outside
        if len(waits) >= _WAITS_SWEPT_FROM:
            waits[:] = [each for each in waits if not each.done()]
        waits.append(future)

    def die(self) -> None:
        """Run nothing any more.  Tasks of other loops that await something of this one get ``NodeCrashed``."""
        self.dead = self._dying = True
        if self._alarm is not None:
            self._alarm.cancel()
        for future in self._awaited_outside:
            if not future.done():
                self.fail_waiter(future)
        self._awaited_outside.clear()
        self._dying = False
        self._dead_tasks = self.tasks()

    def fail_waiter(self, future: asyncio.Future[Any]) -> None:  # Any: of whatever result
        """Raise ``NodeCrashed`` in what awaits this future, without its own methods: they may act on the node."""
        error = NodeCrashed(f"node {self.name} crashed, and this was awaited of it")
        cast("Callable[[object, Exception], None]", getattr(asyncio.Future, "set_exception"))(future, error)  # noqa: B009  its type says nothing

    def timers(self) -> list[asyncio.TimerHandle]:
        """All timers that are kept, cancelled ones too."""
        return list(self._scheduled)

    def tasks(self) -> list[asyncio.Task[Any]]:  # Any, as asyncio declares it
        """All tasks of this loop that have not ended."""
        return sorted(asyncio.all_tasks(self), key=hash)

    def _pass_over(self, callback: _Callback, args: _Arguments, context: Context | None) -> asyncio.Handle:
        """Drop a callback of a dead loop, unless it is for a task of another loop, or tells one of the crash."""
        task = _task_of(callback)
        own_loop = _loop_of(task) if task is not None else self.world if self._dying else self
        if own_loop is not self and isinstance(own_loop, _SharedLoop):
            return own_loop.take(callback, args, context)
        handle = asyncio.Handle(callback, list(args), self, context)
        handle.cancel()
        return handle

    def _make_task(
        self,
        _: object,
        coroutine: Coroutine[object, object, T],
        **options: Any,  # asyncio.Task's own
    ) -> _Task[T]:
        if self.dead:  # the coroutine would warn that it was never awaited
            coroutine.close()
            raise NodeCrashed(f"node {self.name} crashed: it begins nothing any more")
        return super()._make_task(None, coroutine, **options)

    def dispose(self) -> None:
        """Close the coroutines that the dead loop kept, and the loop; nothing that is left can observe it."""
        if not self.dead:
            self.die()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of coroutines that are made meanwhile and never awaited
            for task in self._dead_tasks:
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # noqa: SLF001  it is known
                with suppress(BaseException):  # whatever they raise, they are closed
                    cast("Coroutine[object, object, object]", task.get_coro()).close()
        self._dead_tasks = []
        self._ready.clear()
        self._scheduled.clear()
        self.close()

    def _note_problem(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:  # Any: asyncio's own
        if not self.dead:
            error = context.get("exception")
            text = context["message"] if error is None else f"{context['message']}: {trace(error)}"
            self.problems.append(f"a callback of node {self.name} failed: {bounded(text, _TRACE_CHARS_MAX)}")


class SharedFuture(_Future[T]):
    """A future that may be awaited in every loop of its simulation."""

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the task that awaits it."""
        return _loop_of_awaiter(self)


def _loop_of_awaiter(future: asyncio.Future[Any]) -> asyncio.AbstractEventLoop:  # Any: of whatever result
    """Return the loop that runs, when it and the future's are of one simulation: a task awaits only its own loop's."""
    own_loop, running = _loop_of(future), asyncio._get_running_loop()  # noqa: SLF001  the public way raises where there is none
    if running is own_loop or not (isinstance(own_loop, _SharedLoop) and isinstance(running, _SharedLoop)):
        return own_loop
    if isinstance(own_loop, NodeLoop):
        own_loop.note_awaited_outside(future)
        if own_loop.dead and not future.done():
            own_loop.fail_waiter(future)
    return running


def _loop_of(future: asyncio.Future[Any]) -> asyncio.AbstractEventLoop:  # Any: of whatever result
    return future._loop  # noqa: SLF001  get_loop may say otherwise


def _task_of(callback: _Callback) -> asyncio.Task[Any] | None:  # Any: of whatever result
    """Return the task that a callback is a step of; None when it is none of a task's own."""
    owner: object = getattr(callback, "__self__", None)
    return owner if isinstance(owner, asyncio.Task) else None  # pyright: ignore[reportUnknownVariableType]  its result is nobody's concern


@contextmanager
def asks_awaited_anywhere() -> Generator[None, None, None]:
    """Let the asks of a node be awaited in the world, which the kernel's own do not know."""
    setattr(Ask, "get_loop", _loop_of_awaiter)  # noqa: B010  type checkers would take it for a mistake
    try:
        yield
    finally:
        delattr(Ask, "get_loop")
