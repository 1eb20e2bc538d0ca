"""The demo's actors: a coordinator hands out files, and file counters count them.

With worker processes the counters are spread over them, and the coordinator stays in the first process.  Files are
handed out on demand: a counter sends ``CounterReady`` when it starts and ``Counted`` after each file, and gets the next
file for either.  The runtime does not retry a message whose handler failed, so the coordinator does: a counter that
sends ``CounterReady`` while a file is assigned to it was restarted and has lost that file; when its ``Down`` comes, the
counter and its file are lost.  In both cases the file goes back to the front of the queue.
"""

from __future__ import annotations

import os
import signal
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from ... import Actor, ActorRef, Down, Message, OneForOne, handler
from ...runtime.kernel.logs import get_log
from .folder import FileCount, count_file

ATTEMPTS_MAX = 2
"""How often a file is handed out; a file whose counters failed this often is skipped."""

Fault = Literal["none", "stumble", "kill"]

log = get_log("trouper.demo")


class CounterReady(Message):
    """A counter has started, for the first time or after a failure, and has no file."""

    counter: ActorRef


class CountFile(Message):
    """Count a file.  fault: the failure to cause in the middle of it, for the demonstration."""

    number: int
    path: str
    fault: Fault = "none"


class Counted(Message):
    """A counter has counted a file, and is free for the next."""

    counter: ActorRef
    number: int
    result: FileCount


class Progress(msgspec.Struct, frozen=True):
    """The progress of the job.  reissued: files that were handed out again, because their counter had failed."""

    files: int
    done: int
    size_bytes: int
    restarts: int
    reissued: int


class Totals(msgspec.Struct, frozen=True):
    """The result so far.  skipped: the reason for each path that was not counted."""

    progress: Progress
    counts: dict[str, int]
    skipped: dict[str, str]


class GetProgress(Message[Progress]):
    """Ask the coordinator for the progress of the job."""


class GetTotals(Message[Totals]):
    """Ask the coordinator for the result, complete or not."""


class InjectedFailure(Exception):
    """Raised by a counter whose file has the fault ``stumble``."""


class FileCounter(Actor):
    """Counts one file at a time.  It keeps no state between files, since a restart would lose it."""

    def __init__(self, coordinator: ActorRef) -> None:
        self.coordinator = coordinator

    def on_start(self) -> None:
        """Report to the coordinator, also after a restart."""
        self.coordinator.tell(CounterReady(self.ref))

    @handler
    async def count(self, msg: CountFile) -> None:
        """Read and count in a thread, since a slow disk would block the loop and all actors on it."""
        result = await self.offload(count_file, Path(msg.path))
        if msg.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if msg.fault == "stumble":
            raise InjectedFailure("a failure on purpose (see --no-chaos)")
        self.coordinator.tell(Counted(self.ref, msg.number, result))


class CounterSupervisor(Actor):
    """The supervisor of the counters: a counter that fails is restarted, the others are not."""

    supervision = OneForOne(intensity=3, period_s=5.0)

    def __init__(self, coordinator: ActorRef, size: int) -> None:
        self.coordinator, self.size = coordinator, size

    async def on_start(self) -> None:
        """Spawn the counters, in turn on each worker process when the node has any."""
        places = self.node.workers.names or (None,)
        for number in range(self.size):
            await self.spawn(
                FileCounter, self.coordinator, name=f"counter-{number + 1}", place=places[number % len(places)]
            )


class Coordinator(Actor):
    """Hands out files and adds up the results; each file counts once, whichever counter fails."""

    def __init__(self, paths: Sequence[Path], *, chaos: bool, deadly: bool = False) -> None:
        self.paths = paths
        self.queue = deque(range(len(paths)))
        self.fault_at = len(paths) // 2 if chaos else None
        self.fault: Fault = "kill" if deadly else "stumble"
        self.out: dict[ActorRef, int] = {}
        self.counters: set[ActorRef] = set()
        self.idle: list[ActorRef] = []
        self.failures: Counter[int] = Counter()
        self.counts: Counter[str] = Counter()
        self.skipped: dict[str, str] = {}
        self.done = self.size_bytes = self.restarts = self.reissued = 0

    @handler
    def ready(self, msg: CounterReady) -> None:
        """Register a new counter, or take back the file of a restarted one; then hand out a file."""
        if msg.counter in self.counters:
            self.restarts += 1
            self._take_back(msg.counter)
        else:
            self.counters.add(msg.counter)
            self.watch(msg.counter)
        self._hand_out(msg.counter)

    @handler
    def counted(self, msg: Counted) -> None:
        """Add up a file and hand out the next.  A result that comes after the sender's ``Down`` is ignored."""
        if self.out.get(msg.counter) != msg.number:
            return
        del self.out[msg.counter]
        self._enter(msg.number, msg.result)
        self._hand_out(msg.counter)

    @handler
    def lost(self, msg: Down) -> None:
        """Give the file of a counter that has ended to an idle one; a counter in a new process has a new ref."""
        self.restarts += msg.reason in ("failed", "node_lost")
        self.counters.discard(msg.ref)
        if msg.ref in self.idle:
            self.idle.remove(msg.ref)
        self._take_back(msg.ref)
        while self.queue and self.idle:
            self._hand_out(self.idle.pop())

    @handler
    def get_progress(self, _msg: GetProgress) -> Progress:
        """Return the progress of the job."""
        return Progress(len(self.paths), self.done, self.size_bytes, self.restarts, self.reissued)

    @handler
    def totals(self, _msg: GetTotals) -> Totals:
        """Return the present result."""
        return Totals(self.get_progress(GetProgress()), dict(self.counts), dict(self.skipped))

    def _hand_out(self, counter: ActorRef) -> None:
        if not self.queue:
            self.idle.append(counter)
            return
        number = self.out[counter] = self.queue.popleft()
        due = number == self.fault_at and not self.failures[number]
        counter.tell(CountFile(number, str(self.paths[number]), self.fault if due else "none"))

    def _take_back(self, counter: ActorRef) -> None:
        """Queue the file of a counter that has lost it; a file that failed too often is skipped."""
        number = self.out.pop(counter, None)
        if number is None:
            return
        self.failures[number] += 1
        if self.failures[number] < ATTEMPTS_MAX:
            self.reissued += 1
            self.queue.appendleft(number)
            log.warning("%r was lost with its counter, and is handed out again", self.paths[number].name)
        else:
            self._enter(number, FileCount({}, 0, f"its counters failed {ATTEMPTS_MAX} times"))

    def _enter(self, number: int, result: FileCount) -> None:
        self.done += 1
        self.size_bytes += result.size_bytes
        self.counts.update(result.counts)
        if result.skipped is not None:
            self.skipped[str(self.paths[number])] = result.skipped
