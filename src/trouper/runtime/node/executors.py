"""The threads of a node in which the plain handlers and hooks of some actors run: ``Node(executors=...)``.

All books are kept by the loop's thread; a thread only takes calls from a queue, makes them, and says so through the
``ThreadInbox`` of the system, behind what the call has sent.  The threads are daemons: one that never ends keeps
neither the node nor the program from ending.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec

from ..kernel.ask import current_invocation
from ..kernel.blocking import put_or_drop
from ..kernel.errors import ActorFailed, InvalidOption
from ..kernel.executor import LOOP, THREAD, Executor, OffLoopCall
from ..kernel.options import check_count
from ..observe.tracing import is_virtual

if TYPE_CHECKING:
    from ..kernel.cell import Cell
    from ..kernel.system import System

T = TypeVar("T")
THREADS_MAX = 1_000
"""Threads of one pool."""
RESERVED = (LOOP, THREAD, "process")


class Threads(msgspec.Struct, frozen=True):
    """A pool of threads for actors: ``Node(executors={"gpu": Threads(2)})``, and ``executor="gpu"`` at the actor.

    count: threads, 1 to 1,000; each is started when it is first needed.  An actor may run in another of them for each
    message; ``executor="thread"`` gives it one of its own.
    Raises ``InvalidOption`` for another count.
    """

    count: int

    def __post_init__(self) -> None:
        check_count("Threads: count", self.count, most=THREADS_MAX)


class ExecutorInfo(msgspec.Struct, frozen=True):
    """What an executor does now; that of ``thread`` is the sum over all actors that have a thread of their own.

    threads: those that were started.  busy: calls that are made now.  queued: calls that wait for a thread.
    abandoned: threads, besides those, in which a handler goes on that its actor no longer waits for.
    """

    name: str
    threads: int
    busy: int
    queued: int
    abandoned: int


class _Job(Future[T]):
    """One call for a thread.  abandoned: nothing waits for it any more."""

    def __init__(self, function: Callable[[], T]) -> None:
        super().__init__()
        self._function = function
        self.abandoned = False

    def make(self) -> None:
        """Called by a thread; does nothing when the call was cancelled before."""
        if not self.set_running_or_notify_cancel():
            return
        try:
            result = self._function()
        except BaseException as error:  # noqa: BLE001  whatever it is, it is the actor's failure
            self.set_exception(error)
        else:
            self.set_result(result)


class ThreadPool:
    """Up to ``count`` threads, named after ``name``; an ``Executor``."""

    def __init__(self, system: System, name: str, count: int) -> None:
        self._system, self._name, self._count = system, name, count
        self._jobs: SimpleQueue[_Job[object] | None] = SimpleQueue()
        self._threads = self._unfinished = self._started = 0
        self.abandoned = 0
        self.on_idle: Callable[[], object] | None = None
        """Called when no call is made and none waits any more."""

    @property
    def queued(self) -> int:
        """Calls that wait for a thread."""
        return max(0, self._unfinished - self._threads)

    @property
    def is_at_work(self) -> bool:
        """Whether a call is being made, or waits for a thread."""
        return bool(self._unfinished or self.abandoned)

    def info(self, name: str) -> ExecutorInfo:
        """Return what it does now."""
        return ExecutorInfo(name, self._threads, self._unfinished - self.queued, self.queued, self.abandoned)

    async def run(self, call: OffLoopCall, function: Callable[[], T]) -> T:
        """Call a function in a thread; see ``Executor.run``."""
        job, done = _Job(function), self._system.loop.create_future()
        queued = cast("_Job[object]", job)
        job.add_done_callback(lambda _: put_or_drop(self._system, partial(self._on_done, queued, done)))
        self._unfinished += 1
        self._jobs.put(queued)
        try:
            self._start_thread()
        except RuntimeError as error:
            if not self._threads:
                job.cancel()
                name = call.cell.spec.executor
                raise ActorFailed(f"{call.cell.address} needs a thread of executor {name!r}: {error}") from error
        while not done.done():
            try:
                await asyncio.shield(done)
            except asyncio.CancelledError:
                if job.cancel():  # no thread has begun it
                    raise
                if not job.done() and not _is_waited_for(call.cell):
                    self._abandon(call, job)
                    raise
        return job.result()

    def close(self) -> None:
        """End the threads once they have made the calls that wait."""
        for _ in range(self._threads + self.abandoned):
            self._jobs.put(None)

    def _start_thread(self) -> None:
        """Start one more thread when a call waits for it; raises ``RuntimeError`` when the system gives none."""
        if self.queued and self._threads < self._count:
            name = f"trouper-{self._system.name}-{self._name}-{self._started + 1}"
            threading.Thread(target=_serve, args=(self._jobs,), name=name, daemon=True).start()
            self._threads += 1
            self._started += 1

    def _on_done(self, job: _Job[object], done: asyncio.Future[None]) -> None:
        if job.abandoned:
            self.abandoned -= 1
            if self._threads < self._count:
                self._threads += 1  # no other was started in place of the one that is free again
            else:
                self._jobs.put(None)
        else:
            self._unfinished -= 1
            if not done.done():
                done.set_result(None)
        if self.on_idle is not None and not self.is_at_work:
            self.on_idle()

    def _abandon(self, call: OffLoopCall, job: _Job[T]) -> None:
        """Wait for a call no longer; another thread takes the place of the one that makes it."""
        call.abandoned = job.abandoned = True
        self._unfinished -= 1
        self._threads -= 1
        self.abandoned += 1
        self._system.reporter.problem(
            f"{call.cell.address} waits no longer for what it does in a thread of executor "
            f"{call.cell.spec.executor!r}; the thread goes on, and is replaced ({self.abandoned} such threads now)"
        )
        with suppress(RuntimeError):  # the next call tries again, and the thread itself comes back
            self._start_thread()


def _serve(jobs: SimpleQueue[_Job[object] | None]) -> None:
    """Run as a thread: make calls, until None comes."""
    while (job := jobs.get()) is not None:
        job.make()
        del job  # else the last call, with its actor, is kept until the next one


def _is_waited_for(cell: Cell) -> bool:
    """Return whether a task that was cancelled goes on waiting: it is a handler, cancelled by the runtime, of its cell.

    The cell no longer waits once the actor was killed, or has failed and took too long; a hook is only cancelled when
    it has taken too long.
    """
    invocation, task = current_invocation.get(), asyncio.current_task()
    if invocation is None or invocation.task is not task:
        return False
    return invocation.cancel_reason is not None and cell.task is task


class VirtualThreads:
    """The executor of every actor on virtual time: the loop itself makes each call, as one of its next steps."""

    queued = 0

    def __init__(self, system: System) -> None:
        self._system = system

    async def run(self, call: OffLoopCall, function: Callable[[], T]) -> T:  # noqa: ARG002  as of each executor
        """Call a function, in no virtual time."""
        return await self._system.loop.run_in_executor(None, function)


class NodeExecutors:
    """The executors of one node.  pools: those that were given to it, by their names."""

    def __init__(self, system: System, pools: Mapping[str, Threads]) -> None:
        self._system = system
        self._virtual = VirtualThreads(system) if is_virtual(system.loop) else None
        self._pools = {name: ThreadPool(system, name, pool.count) for name, pool in pools.items()}
        self._of_actors: dict[Cell, ThreadPool] = {}
        self._of_ended: set[ThreadPool] = set()
        """Those of actors that have ended while a thread was at work for them."""

    def check(self, name: str) -> None:
        """Raise ``InvalidOption`` for an executor that this node does not have."""
        if name not in self._pools and name != THREAD:
            known = ", ".join(sorted({LOOP, THREAD, *self._pools}))
            raise InvalidOption(
                f"executor={name!r}: node {self._system.name} has {known}; give it Node(executors={{{name!r}: "
                "Threads(4)})"
            )

    def of(self, cell: Cell) -> Executor:
        """Return the executor of an actor; its own thread is made when it is first asked for."""
        if self._virtual is not None:
            return self._virtual
        name = cell.spec.executor
        if name != THREAD:
            return self._pools[name]
        pool = self._of_actors.get(cell)
        if pool is None:
            if not self._of_actors:
                self._system.on_lifecycle = (*self._system.on_lifecycle, self._on_lifecycle)
            pool = self._of_actors[cell] = ThreadPool(self._system, cell.address.path, 1)
        return pool

    def infos(self) -> list[ExecutorInfo]:
        """Return what each does now, that of the actors with a thread of their own last."""
        own = [pool.info(THREAD) for pool in (*self._of_actors.values(), *self._of_ended)]
        sums = (sum(getattr(each, field) for each in own) for field in ("threads", "busy", "queued", "abandoned"))
        return [*(pool.info(name) for name, pool in self._pools.items()), ExecutorInfo(THREAD, *sums)]

    def close(self) -> None:
        """End all threads; one that never ends is left behind."""
        for pool in (*self._pools.values(), *self._of_actors.values()):
            pool.close()

    def _on_lifecycle(self, cell: Cell, event: str) -> None:
        pool = self._of_actors.pop(cell, None) if event == "ended" else None
        if pool is not None:
            pool.close()
            if pool.is_at_work:
                self._of_ended.add(pool)
                pool.on_idle = partial(self._of_ended.discard, pool)
            if not self._of_actors:
                left = (each for each in self._system.on_lifecycle if each != self._on_lifecycle)
                self._system.on_lifecycle = tuple(left)


def checked_pools(executors: Mapping[str, Threads] | None) -> dict[str, Threads]:
    """Return the pools of ``Node(executors=...)``; raises ``InvalidOption`` saying what is wrong."""
    if not isinstance(cast("object", executors), Mapping | None):
        raise InvalidOption(f"executors={executors!r:.100} must map names to pools: {{'gpu': Threads(2)}}")
    pools = cast("Mapping[object, object]", executors or {})
    for name, pool in pools.items():
        if not isinstance(name, str) or not name or name in RESERVED:
            raise InvalidOption(f"executors={{{name!r:.100}: ...}}: a name must be text other than {RESERVED}")
        if not isinstance(pool, Threads):
            raise InvalidOption(f"executors={{{name!r}: {pool!r:.100}}} must be a pool: Threads(2)")
    return dict(executors or {})
