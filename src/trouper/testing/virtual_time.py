"""Virtual time: an asyncio loop whose clock jumps, so that a test of an hour takes a millisecond.

``asyncio.sleep``, ``asyncio.timeout``, ``call_later`` and the timers and deadlines of unmodified actors obey it, since
all of them ask the loop for the time.  It does not change ``time.monotonic()``, nor what else reads a real clock.

Laws of this file:
1. The loop never waits for real.  When nothing is ready, the clock jumps to the next timer.
2. When nothing is ready and there is no timer, nothing can ever happen again: ``Stalled`` is raised, with all that
   waits.
3. No run is endless: ``StepsExceeded`` after ``steps_max`` turns of the loop.
4. The same program takes the same steps.  Work for threads runs in the loop, one piece after the other, and takes no
   virtual time; tasks and futures hash by their number, so that asyncio's own sets have one order in every process.
5. There are no sockets, processes or signals: ``NotVirtual``.

A clock that jumps to the next timer is trio's idea (``autojump_clock``).
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import itertools
import math
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, ParamSpec, TypeVar, TypeVarTuple, cast, overload

from ..runtime.kernel.errors import CallerError
from .waiting import describe_waiting

T = TypeVar("T")
P = ParamSpec("P")
Ts = TypeVarTuple("Ts")

START_S = 1_000.0
"""The loop's time at the start: not 0, which careless code takes for "never"."""
STEPS_MAX = 1_000_000
"""Turns of the loop in one run, where the caller names no other limit."""
_UNWIND_STEPS_MAX = 100_000


class Stalled(CallerError):
    """Nothing is ready and no timer is set, but the program has not ended: it would wait for ever."""


class StepsExceeded(CallerError):
    """The program took more steps than allowed: most likely a loop in it never waits."""


class NotVirtual(CallerError):
    """Something of the real world was asked of a virtual loop, or something of a virtual loop asked of another one."""


class _Task(asyncio.Task[T]):
    """A task whose place in a set does not depend on its address in memory."""

    def __init__(
        self,
        coroutine: Coroutine[object, object, T],
        number: int,
        **options: Any,  # asyncio.Task's own, which are not the same in all versions of Python
    ) -> None:
        self.number = number
        options["name"] = options.get("name") or f"Task-{number}"  # asyncio's own numbers go on from loop to loop
        super().__init__(coroutine, **options)

    def set_name(self, value: object) -> None:
        """Take a name; some versions of Python give None to every task that was made without one."""
        if value is not None:
            super().set_name(value)

    def __hash__(self) -> int:
        return self.number


class _Future(asyncio.Future[T]):
    """A future whose place in a set does not depend on its address in memory."""

    def __init__(self, loop: VirtualLoop, number: int) -> None:
        self.number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number


class _Jump:
    """Replaces the selector of a loop: instead of waiting for I/O it moves the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout_s: float | None) -> list[object]:
        """Called once in each turn: 0 when something is ready, None when there is no timer."""
        self._loop.advance(timeout_s)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop.  Most programs use ``run_virtual`` or ``@virtual_time`` instead of making one.

    steps_max: turns of the loop until ``StepsExceeded``.  start_s: what ``time()`` says at first.
    """

    virtual = True
    """Has the runtime measure no real time on this loop."""

    def __init__(self, *, steps_max: int = STEPS_MAX, start_s: float = START_S) -> None:
        super().__init__()
        self._selector = _Jump(self)  # where BaseEventLoop looks for it, as it does in all its subclasses
        self._go_to(start_s)
        self._numbers = itertools.count(1)
        self._settling: list[asyncio.Future[None]] = []
        self._failed: list[asyncio.Task[object]] = []
        self.steps_max = steps_max
        self.steps = 0
        """Turns of the loop so far."""
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  the stubs know no coroutine of generators

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def leap(self, seconds: float) -> None:
        """Move the clock ahead at once, as after a suspended host wakes: all timers of that time are due together."""
        if seconds < 0:
            raise NotVirtual(f"leap({seconds}): the clock of a loop cannot go back")
        self._go_to(self._now + seconds)

    def _go_to(self, now: float) -> None:
        self._now = now
        # BaseEventLoop runs timers early, by as much as it takes for the clock's resolution.  Two callbacks that see
        # that it is too early, and set their timers again, would keep a virtual clock from ever getting on.
        self._clock_resolution = math.ulp(now)

    def advance(self, timeout_s: float | None) -> None:
        """End a turn: count it, and jump to the next timer, which is ``timeout_s`` ahead, if nothing is ready."""
        self.steps += 1
        if self.steps > self.steps_max:
            self.steps_max += _UNWIND_STEPS_MAX  # so that the program can be taken down
            raise StepsExceeded(
                f"no end after {self.steps - 1} steps, at {self._now - START_S:g} s of virtual time: look for a loop "
                f"that never waits, or give steps_max a higher value\n{describe_waiting(self)}"
            )
        if timeout_s == 0:
            return
        if self._settling:
            settling, self._settling = self._settling, []
            for future in settling:
                if not future.done():
                    future.set_result(None)
        elif timeout_s is None:
            raise Stalled(
                "everything waits and no timer is set, so nothing can happen any more (a virtual loop never waits for "
                f"threads: use offload or run_in_executor)\n{describe_waiting(self)}"
            )
        else:
            self._go_to(self._now + timeout_s)

    async def settled(self) -> None:
        """Wait until nothing more can happen without the clock moving."""
        future: asyncio.Future[None] = self.create_future()
        self._settling.append(future)
        await future

    def pending_timers(self) -> list[asyncio.TimerHandle]:
        """Return the timers that will still fire."""
        scheduled = cast("list[asyncio.TimerHandle]", self._scheduled)  # type: ignore[attr-defined]  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]  BaseEventLoop's own, as the selector is
        return [handle for handle in scheduled if not handle.cancelled()]

    def failed_tasks(self) -> list[asyncio.Task[object]]:
        """Return the tasks that have failed and whose exception was not retrieved."""
        return [task for task in self._failed if task._log_traceback]  # noqa: SLF001  only looking would mark it as seen

    def _note_end(self, task: asyncio.Task[object]) -> None:
        if task._log_traceback:  # noqa: SLF001  as above
            self._failed.append(task)

    def create_future(self) -> asyncio.Future[Any]:  # Any, as asyncio declares it
        """Make a future of this loop."""
        return _Future(self, next(self._numbers))

    def run_in_executor(
        self,
        executor: object,  # noqa: ARG002  every executor is this loop itself
        func: Callable[[*Ts], T],
        *args: *Ts,
    ) -> asyncio.Future[T]:
        """Run a blocking function in the loop, as one of its next steps: in order, in no virtual time, in no thread."""
        future: asyncio.Future[T] = self.create_future()
        self.call_soon(_run_inline, future, functools.partial(func, *args))
        return future

    def unwind(self) -> None:
        """Cancel all tasks, run them to their end, and close the loop."""
        self.steps_max = self.steps + _UNWIND_STEPS_MAX
        left = sorted(asyncio.all_tasks(self), key=hash)
        for task in left:
            task.cancel()
        try:
            if left:
                self.run_until_complete(asyncio.wait(left))
            self.run_until_complete(self.shutdown_asyncgens())
        except (Stalled, StepsExceeded) as error:
            self.call_exception_handler({"message": "tasks did not end when they were cancelled", "exception": error})
        for task in left:
            if task.done() and not task.cancelled() and task.exception() is not None:
                context = {
                    "message": "a task failed when it was cancelled",
                    "exception": task.exception(),
                    "task": task,
                }
                self.call_exception_handler(context)
        self.close()

    def _make_task(
        self,
        _: object,
        coroutine: Coroutine[object, object, T],
        **options: Any,  # as above
    ) -> _Task[T]:
        task = _Task(coroutine, next(self._numbers), loop=self, **options)
        task.add_done_callback(self._note_end)
        return task

    def _process_events(self, event_list: list[object]) -> None:
        """Take what the selector found: nothing, ever."""

    def _write_to_self(self) -> None:
        """Wake the loop for another thread: it never sleeps."""


def _run_inline(future: asyncio.Future[T], function: Callable[[], T]) -> None:
    if future.done():
        return
    try:
        result = function()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  whatever it raises is its caller's, as from a thread
        future.set_exception(error)
    else:
        future.set_result(result)


_REAL = (
    "add_reader", "add_signal_handler", "add_writer", "connect_accepted_socket", "connect_read_pipe",
    "connect_write_pipe", "create_connection", "create_datagram_endpoint", "create_server", "create_unix_connection",
    "create_unix_server", "getaddrinfo", "getnameinfo", "sendfile", "sock_accept", "sock_connect", "sock_recv",
    "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into", "sock_sendall", "sock_sendfile", "sock_sendto",
    "start_tls", "subprocess_exec", "subprocess_shell",
)  # fmt: skip
"""Methods of a loop that need sockets, processes or signals."""


def _refusal(name: str) -> Callable[..., NoReturn]:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise NotVirtual(f"loop.{name}(): a virtual loop has no sockets, processes or signals; run this for real")

    return refuse


for _name in _REAL:
    setattr(VirtualLoop, _name, _refusal(_name))


def run_virtual(main: Callable[[], Coroutine[object, object, T]], *, steps_max: int = STEPS_MAX) -> T:
    """Run ``main()`` on virtual time until it returns, and return what it returned.

    Tasks that it leaves behind are cancelled, as by ``asyncio.run``.  Raises ``Stalled`` when it can never end,
    ``StepsExceeded`` after ``steps_max`` turns of the loop, and what ``main`` raises.
    """
    refuse_inside_a_loop()
    loop = VirtualLoop(steps_max=steps_max)
    try:
        return loop.run_until_complete(main())
    finally:
        loop.unwind()


def refuse_inside_a_loop() -> None:
    """Raise ``NotVirtual`` where a loop runs already, before a coroutine is made that would never be awaited."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise NotVirtual("a virtual loop cannot be run inside a running loop: call this from plain code")


@overload
def virtual_time(test: Callable[P, Coroutine[object, object, T]], /) -> Callable[P, T]: ...
@overload
def virtual_time(
    *, steps_max: int = STEPS_MAX
) -> Callable[[Callable[P, Coroutine[object, object, T]]], Callable[P, T]]: ...
def virtual_time(
    test: Callable[P, Coroutine[object, object, T]] | None = None, /, *, steps_max: int = STEPS_MAX
) -> Callable[P, T] | Callable[[Callable[P, Coroutine[object, object, T]]], Callable[P, T]]:
    """Make a plain function of a coroutine function: it runs on a virtual loop of its own, as by ``run_virtual``.

    For tests, with no plugin of pytest: fixtures and parameters are passed on.  Write ``@virtual_time`` or
    ``@virtual_time(steps_max=...)``.
    """

    def decorate(function: Callable[P, Coroutine[object, object, T]]) -> Callable[P, T]:
        if not inspect.iscoroutinefunction(function):
            raise NotVirtual(f"@virtual_time wants an `async def`, and {function!r} is none")

        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            return run_virtual(lambda: function(*args, **kwargs), steps_max=steps_max)

        return run

    return decorate if test is None else decorate(test)


async def settle() -> None:
    """Wait, on a virtual loop, until nothing more can happen without the clock moving.

    Every message in flight has then been handled, and every task waits for a timer or for the caller.
    """
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise NotVirtual(f"settle() cannot tell when {loop!r} has nothing to do: use run_virtual or @virtual_time")
    await loop.settled()
