"""Blame: who held the loop.  "/user/etl/7 held the loop for 180 ms in parse (actors/etl.py:41)".

A handler that computes, or calls what blocks, keeps every other actor, timer and socket of the loop waiting.  Nothing
in the loop can see that while it lasts, so a thread watches: it looks at the loop's stack, and when it finds the loop
at work, it sends it a beat and sees how long that takes to come back.  The stack, sampled meanwhile, says whose
handler it was.  Handlers, awaits gone wrong, hooks, and code outside of actors are all found this way.

What it costs (measured, see docs/guides/introspection.md): nothing per message.  While the loop is idle the thread
looks ``IDLE_SAMPLES_PER_S`` times a second and leaves the loop asleep; the first turn of the dispatcher after that wakes
it (it stands in ``Dispatcher.turn_callback``, which is looked up anyway).  While the loop works it looks every 20 ms.

Reading the clock for each message was the other way: 43 ns on a message of 215 ns, and it can name a handler only
when it is over, never in an endless loop.

Laws of this file:
1. A stall longer than ``slow_s`` + one look is found, if it begins while actors are at work; one that begins out of
   idleness with no message (an ``await`` that ends by a timer or a socket) is found from 1 / IDLE_LOOKS_PER_S s on.
2. What is said of a duration is never more than it was, and at most one look less.
3. The thread only reads; it calls nothing of the user's, and no callback of ours runs in it but the log.
"""

from __future__ import annotations

import asyncio
import logging
import selectors
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from inspect import CO_COROUTINE
from pathlib import PurePath
from types import FrameType

from ..kernel import cell as kernel_cell
from ..kernel.ask import Invocation
from ..kernel.cell import Cell
from ..kernel.message import Message
from ..kernel.system import System

SLOW_HANDLER_S = 0.1
"""Seconds for which the loop may be held, unless the node says otherwise."""
SAMPLES_PER_LIMIT = 5
IDLE_SAMPLES_PER_S = 4
IDLE_SAMPLES_MAX = 5
"""Looks at an idle loop until the thread goes to sleep."""
ONGOING_REPORT_S = 5.0
"""Seconds after which a stall that goes on is reported for the first time."""
REPEAT_LOG_S = 10.0
"""Seconds in which one place is logged once; the event and the counter come each time."""
PLACES_MAX = 1_000

log = logging.getLogger("trouper")

_KERNEL = str(PurePath(kernel_cell.__file__).parent)
_MACHINERY = (selectors.__file__, str(PurePath(asyncio.__file__).parent))


class LoopBlocked(Message[None]):
    """Somebody held the loop: nothing else could run for ``blocked_s`` seconds.

    actor: the address, as text; None for code outside of actors, and when many had a short part in it.
    handler: its qualified name; place: the file and line it was at, ``actors/etl.py:41``; both None when it were many.
    """

    actor: str | None
    handler: str | None
    place: str | None
    blocked_s: float


@dataclass(frozen=True, slots=True)
class LoopSample:
    """Where a sample found the loop.  ``cell`` is None outside of actors."""

    cell: Cell | None
    handler: str
    file: str
    line: int


class LoopWatchdog:
    """The watch over one loop, as ``node.blame``.

    slow_s: seconds for which the loop may be held.  heard: called in the loop with each stall.
    stalls, held_s: how often and how long in all the loop was held for longer than that.
    """

    def __init__(self, system: System, slow_s: float, on_blocked: Callable[[LoopBlocked], None]) -> None:
        self._system, self._slow_s, self._on_blocked = system, slow_s, on_blocked
        self._interval_s = slow_s / SAMPLES_PER_LIMIT
        self._thread_id = threading.get_ident()
        self._base = _frames_around_the_loop()
        self._wakeup = threading.Event()
        self._stopping = False
        self._heartbeat_at: float | None = None
        self._samples: list[LoopSample | None] = []
        self._ongoing_reported = False
        self._logged: dict[tuple[str, int], float] = {}
        self.stalls = 0
        self.blocked_s = 0.0
        self._thread = threading.Thread(target=self._watch, name=f"trouper-watchdog-{system.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the watch; the thread is gone when this returns."""
        self._stopping = True
        self._wakeup.set()
        self._thread.join(timeout=1.0)
        self._system.dispatcher.turn_callback = self._system.dispatcher.turn
        self._base.clear()

    # --- in the thread -----------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        idle_samples = 0
        while not self._stopping:
            if idle_samples < IDLE_SAMPLES_MAX:
                self._wakeup.wait(self._interval_s)
            elif self._sleep():
                idle_samples = 0
            self._wakeup.clear()
            place, idle = self._sample()
            if self._heartbeat_at is not None:
                idle_samples = 0
                self._samples.append(place)
                self._report_ongoing(place)
            elif idle:
                idle_samples += 1
            else:
                idle_samples = 0
                self._samples = [place]
                self._send_heartbeat()

    def _sleep(self) -> bool:
        """Look no more until the dispatcher has a turn, or for a while; says whether it had one."""
        dispatcher = self._system.dispatcher
        dispatcher.turn_callback = self._first_run
        woken = dispatcher.armed or self._stopping or self._wakeup.wait(1 / IDLE_SAMPLES_PER_S)
        dispatcher.turn_callback = dispatcher.turn
        return woken

    def _send_heartbeat(self) -> None:
        self._heartbeat_at = time.monotonic()
        try:
            self._system.loop.call_soon_threadsafe(self._heartbeat)
        except RuntimeError:  # the loop has been closed under a node that was not shut down
            self._stopping = True

    def _sample(self) -> tuple[LoopSample | None, bool]:
        """Find out where the loop is; the second is True when it is nowhere, and waits."""
        frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001  the only way to see another thread's stack
        if frame is None or self._is_waiting(frame):
            return None, True
        return _sample_of(frame), False

    def _is_waiting(self, innermost: FrameType) -> bool:
        """Say whether there is nothing on the stack but the loop, and whoever runs the loop."""
        frame: FrameType | None = innermost
        while frame is not None and frame.f_code.co_filename.startswith(_MACHINERY):
            frame = frame.f_back
        return frame is None or frame in self._base

    def _report_ongoing(self, place: LoopSample | None) -> None:
        heartbeat_at = self._heartbeat_at
        if (
            heartbeat_at is not None
            and not self._ongoing_reported
            and time.monotonic() - heartbeat_at >= ONGOING_REPORT_S
            and place is not None
        ):
            self._ongoing_reported = True
            log.warning(
                "%s has held the loop for %.0f s, and still does: %s",
                _actor_text(place),
                ONGOING_REPORT_S,
                _location_text(place),
            )

    # --- in the loop -------------------------------------------------------------------------------------------------

    def _first_run(self) -> None:
        """Stand in for the dispatcher's first turn after idleness, and begin to watch it."""
        dispatcher = self._system.dispatcher
        dispatcher.turn_callback = dispatcher.turn
        if self._heartbeat_at is None:
            self._samples = []
            self._heartbeat_at = time.monotonic()
            self._system.loop.call_soon(self._heartbeat)
        self._wakeup.set()
        dispatcher.turn()

    def _heartbeat(self) -> None:
        """Come back: the loop is free again."""
        heartbeat_at, samples = self._heartbeat_at, self._samples
        self._heartbeat_at, self._ongoing_reported = None, False
        blocked_s = 0.0 if heartbeat_at is None else time.monotonic() - heartbeat_at
        if blocked_s < self._slow_s:
            return
        self.stalls += 1
        self.blocked_s += blocked_s
        found = _main_sample(samples)
        if found is None:
            self._on_blocked(LoopBlocked(None, None, None, blocked_s))
            return
        actor = None if found.cell is None else str(found.cell.address)
        self._log(found, blocked_s)
        self._on_blocked(LoopBlocked(actor, found.handler, _short_location(found), blocked_s))

    def _log(self, found: LoopSample, blocked_s: float) -> None:
        now, key = time.monotonic(), (found.file, found.line)
        if now - self._logged.get(key, -REPEAT_LOG_S) < REPEAT_LOG_S:
            return
        if len(self._logged) >= PLACES_MAX:
            self._logged.clear()
        self._logged[key] = now
        log.warning("%s held the loop for %.0f ms in %s", _actor_text(found), blocked_s * 1_000, _location_text(found))


def _frames_around_the_loop() -> list[FrameType]:
    """Keep the frames from which the loop is run, to know them again: those outside of the first coroutine."""
    frames: list[FrameType] = []
    frame: FrameType | None = sys._getframe()  # noqa: SLF001  the stack is what this file is about
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    around: list[FrameType] = []
    for frame in reversed(frames):
        if frame.f_code.co_flags & CO_COROUTINE:
            break
        if not frame.f_code.co_filename.startswith(_MACHINERY):
            around.append(frame)
    return around


def _sample_of(innermost: FrameType) -> LoopSample:
    """Find the handler that runs: it was called by the kernel, which knows for whom."""
    handler: FrameType = innermost
    frame: FrameType | None = innermost
    while frame is not None:
        if frame.f_code.co_filename.startswith(_KERNEL):
            names = frame.f_locals
            turn, cell = names.get("invocation"), names.get("cell")
            owner = turn.cell if isinstance(turn, Invocation) else cell
            if isinstance(owner, Cell):
                return _at(owner, handler)
        else:
            handler = frame
        frame = frame.f_back
    return _at(None, innermost)


def _at(cell: Cell | None, frame: FrameType) -> LoopSample:
    return LoopSample(cell, frame.f_code.co_qualname, frame.f_code.co_filename, frame.f_lineno)


def _main_sample(samples: list[LoopSample | None]) -> LoopSample | None:
    """Blame whoever was seen most, if that is more than half of the time: else it were many."""
    seen = [sample for sample in samples if sample is not None]
    if not seen:
        return None
    (cell, handler), times = Counter((sample.cell, sample.handler) for sample in seen).most_common(1)[0]
    if times * 2 <= len(samples):
        return None
    lines = Counter(sample.line for sample in seen if (sample.cell, sample.handler) == (cell, handler))
    line = lines.most_common(1)[0][0]
    return next(sample for sample in seen if (sample.cell, sample.handler, sample.line) == (cell, handler, line))


def _actor_text(place: LoopSample) -> str:
    return "code outside of any actor" if place.cell is None else str(place.cell.address)


def _location_text(place: LoopSample) -> str:
    return f"{place.handler} ({_short_location(place)})"


def _short_location(place: LoopSample) -> str:
    return f"{'/'.join(PurePath(place.file).parts[-2:])}:{place.line}"
