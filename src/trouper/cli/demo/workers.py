"""The demo's actors: a coordinator who hands out files, and a crew of workers who count them.

With worker processes the workers are spread over them, and the coordinator stays.  Files are handed out on demand: a worker
says ``Ready`` when it starts and ``Counted`` after each file, and gets the next one for either.  The runtime does not
retry a message whose handler failed, so it is the coordinator who makes good for a failure: a worker who says ``Ready``
while a file is out to it was restarted and has lost that file, and a worker whose ``Down`` comes is gone with it.
Either way the file goes back to the front of the queue, to be handed out again.
"""

from __future__ import annotations

import logging
import os
import signal
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from ... import Actor, ActorRef, Down, Message, OneForOne, handler
from .folder import FileCount, count_file

ATTEMPTS_MAX = 2
"""How often a file is handed out; one that fails its workers as often as this is skipped."""

Fault = Literal["none", "stumble", "kill"]

log = logging.getLogger("trouper.demo")


class Ready(Message):
    """A worker has started, for the first time or after a failure, and has nothing to do."""

    worker: ActorRef


class CountFile(Message):
    """Count a file.  fault: what is to go wrong in the middle of it, for the demonstration."""

    number: int
    path: str
    fault: Fault = "none"


class Counted(Message):
    """A worker is done with a file, and free for the next."""

    worker: ActorRef
    number: int
    result: FileCount


class Progress(msgspec.Struct, frozen=True):
    """How far the job is.  reissued: files that were handed out again, because their worker had failed."""

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
    """Ask the coordinator how far the job is."""


class GetTotals(Message[Totals]):
    """Ask the coordinator for the result, complete or not."""


class InjectedFailure(Exception):
    """What a worker raises that was told to stumble."""


class Worker(Actor):
    """Counts one file at a time.  It keeps nothing from one to the next: a restart would lose it."""

    def __init__(self, coordinator: ActorRef) -> None:
        self.coordinator = coordinator

    def on_start(self) -> None:
        """Ask for work; so a restarted worker makes itself heard."""
        self.coordinator.tell(Ready(self.ref))

    @handler
    async def count(self, msg: CountFile) -> None:
        """Read and count in a thread, since a slow disk would hold the loop and everyone on it."""
        result = await self.offload(count_file, Path(msg.path))
        if msg.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if msg.fault == "stumble":
            raise InjectedFailure("tripped over a cable, on purpose (see --no-chaos)")
        self.coordinator.tell(Counted(self.ref, msg.number, result))


class CounterSupervisor(Actor):
    """The workers' supervisor: a worker that fails is restarted, by itself."""

    supervision = OneForOne(intensity=3, period_s=5.0)

    def __init__(self, coordinator: ActorRef, size: int) -> None:
        self.coordinator, self.size = coordinator, size

    async def on_start(self) -> None:
        """Hire everybody, by turns in each of the node's processes when it has some."""
        places = self.node.workers or (None,)
        for number in range(self.size):
            await self.spawn(Worker, self.coordinator, name=f"worker-{number + 1}", place=places[number % len(places)])


class Coordinator(Actor):
    """Hands out files and adds up what comes back; each file counts once, whoever fails on the way."""

    def __init__(self, paths: Sequence[Path], *, chaos: bool, deadly: bool = False) -> None:
        self.paths = paths
        self.queue = deque(range(len(paths)))
        self.fault_at = len(paths) // 2 if chaos else None
        self.fault: Fault = "kill" if deadly else "stumble"
        self.out: dict[ActorRef, int] = {}
        self.crew: set[ActorRef] = set()
        self.idle: list[ActorRef] = []
        self.failures: Counter[int] = Counter()
        self.counts: Counter[str] = Counter()
        self.skipped: dict[str, str] = {}
        self.done = self.size_bytes = self.restarts = self.reissued = 0

    @handler
    def ready(self, msg: Ready) -> None:
        """Greet a new worker, or make good for the failure of a known one; either way give it work."""
        if msg.worker in self.crew:
            self.restarts += 1
            self._take_back(msg.worker)
        else:
            self.crew.add(msg.worker)
            self.watch(msg.worker)
        self._hand_out(msg.worker)

    @handler
    def counted(self, msg: Counted) -> None:
        """Add up a file and hand out the next.  What comes after its sender's ``Down`` has been handed out again."""
        if self.out.get(msg.worker) != msg.number:
            return
        del self.out[msg.worker]
        self._enter(msg.number, msg.result)
        self._hand_out(msg.worker)

    @handler
    def lost(self, msg: Down) -> None:
        """Give the file of a worker that is gone to one that is idle; one in a process comes back as somebody new."""
        self.restarts += msg.reason in ("failed", "node_lost")
        self.crew.discard(msg.ref)
        if msg.ref in self.idle:
            self.idle.remove(msg.ref)
        self._take_back(msg.ref)
        while self.queue and self.idle:
            self._hand_out(self.idle.pop())

    @handler
    def get_progress(self, _msg: GetProgress) -> Progress:
        """Say how far the job is."""
        return Progress(len(self.paths), self.done, self.size_bytes, self.restarts, self.reissued)

    @handler
    def totals(self, _msg: GetTotals) -> Totals:
        """Give the result as it is now."""
        return Totals(self.get_progress(GetProgress()), dict(self.counts), dict(self.skipped))

    def _hand_out(self, worker: ActorRef) -> None:
        if not self.queue:
            self.idle.append(worker)
            return
        number = self.out[worker] = self.queue.popleft()
        due = number == self.fault_at and not self.failures[number]
        worker.tell(CountFile(number, str(self.paths[number]), self.fault if due else "none"))

    def _take_back(self, worker: ActorRef) -> None:
        """Queue the file of a worker that has lost it; a file that fails everybody is skipped."""
        number = self.out.pop(worker, None)
        if number is None:
            return
        self.failures[number] += 1
        if self.failures[number] < ATTEMPTS_MAX:
            self.reissued += 1
            self.queue.appendleft(number)
            log.warning("%r was lost with its worker, and is handed out again", self.paths[number].name)
        else:
            self._enter(number, FileCount({}, 0, f"failed its worker {ATTEMPTS_MAX} times"))

    def _enter(self, number: int, result: FileCount) -> None:
        self.done += 1
        self.size_bytes += result.size_bytes
        self.counts.update(result.counts)
        if result.skipped is not None:
            self.skipped[str(self.paths[number])] = result.skipped
