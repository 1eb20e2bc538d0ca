"""The loop watchdog: reports handlers that block the loop, with actor, line and duration.

"/user/etl/7 blocked the loop for 180 ms in ETL.parse (actors/etl.py:41)".  A handler that computes for long, or calls a
blocking function, delays every other actor, timer and socket of the loop.  A thread samples the stack of the loop.
When it finds the loop at work, it sends a heartbeat (a callback) to it and measures the time until that runs.  The
samples taken meanwhile name the handler.  Handlers, hooks, awaits and code outside of actors are found alike.

Costs (measured, see docs/guides/introspection.md): none per message.  While the loop works, the thread samples every
20 ms.  While the loop is idle, it samples ``IDLE_SAMPLES_PER_S`` times a second, and is woken by the first run of the
dispatcher: for this it has the loop put ``_first_run`` into ``Dispatcher.turn_callback``, which is looked up anyway.
Reading the clock for each message instead would cost 43 ns on a message of 215 ns, and could not name a handler in an
endless loop.

Laws of this file:
1. A block of the loop longer than ``slow_s`` + one sample is found if it begins while actors are at work; one that
   begins on an idle loop without a message (an ``await`` that ends by a timer or a socket) is found from
   1 / IDLE_SAMPLES_PER_S s on.
2. A reported duration is never longer than the block was, and at most one sample shorter.
3. The thread only reads what it shares with the loop: each shared attribute is written by the loop alone.  The thread
   calls no user code; it hands its findings to the loop with ``call_soon_threadsafe``, and logs a block that lasts.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from inspect import CO_COROUTINE
from pathlib import PurePath
from types import FrameType

from ..kernel import cell as kernel_cell
from ..kernel.ask import Invocation
from ..kernel.cell import Cell
from ..kernel.logs import get_log
from ..kernel.message import Message
from ..kernel.system import System

SLOW_HANDLER_S = 0.1
"""Seconds for which the loop may be blocked, by default."""
SAMPLES_PER_LIMIT = 5
"""Samples in ``slow_s`` seconds while the loop works."""
IDLE_SAMPLES_PER_S = 4
"""Samples in a second while the loop is idle."""
IDLE_SAMPLES_MAX = 5
"""Samples of an idle loop, one after the other, until the thread samples less often."""
ONGOING_REPORT_S = 5.0
"""Seconds after which a block that is not over is logged."""
REPEAT_LOG_S = 10.0
"""Seconds in which one place is logged once; the event and the counters include every block."""
PLACES_MAX = 1_000
"""Places whose last log line is remembered."""

log = get_log("trouper")

_KERNEL = str(PurePath(kernel_cell.__file__).parent)
_MACHINERY = (selectors.__file__, str(PurePath(asyncio.__file__).parent))


class LoopBlocked(Message[None]):
    """The loop was blocked: nothing else could run for ``blocked_s`` seconds.

    actor: the address, as text; None for code outside of actors, and for many short handlers.
    handler: its qualified name.  place: the file and line, ``actors/etl.py:41``.  Both None for many short handlers.
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


class _Heartbeat:
    """One measurement: the loop alone sets ``returned_at``, the thread alone reads and sets ``ongoing_logged``."""

    __slots__ = ("ongoing_logged", "returned_at", "sent_at")

    def __init__(self) -> None:
        self.sent_at = time.monotonic()
        self.returned_at: float | None = None
        self.ongoing_logged = False

    def on_return(self) -> None:
        """Called in the loop: it is free again."""
        self.returned_at = time.monotonic()


class LoopWatchdog:
    """The watchdog of one loop, as ``node.watchdog``.

    slow_s: seconds for which the loop may be blocked.  on_blocked: called in the loop with each longer block.
    stalls, blocked_s: the number of these blocks, and their seconds in all.
    """

    def __init__(self, system: System, slow_s: float, on_blocked: Callable[[LoopBlocked], None]) -> None:
        self._system, self._slow_s, self._on_blocked = system, slow_s, on_blocked
        self._interval_s = slow_s / SAMPLES_PER_LIMIT
        self._thread_id = threading.get_ident()
        self._base = _frames_around_the_loop()
        self._wakeup = threading.Event()
        self._stopping = False
        self._first: _Heartbeat | None = None
        self._logged: dict[tuple[str, int], float] = {}
        self.stalls = 0
        self.blocked_s = 0.0
        self._thread = threading.Thread(target=self._watch, name=f"trouper-watchdog-{system.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; it has ended when this returns."""
        self._stopping = True
        self._wakeup.set()
        self._thread.join(timeout=1.0)
        self._system.dispatcher.turn_callback = self._system.dispatcher.turn
        self._base.clear()

    # --- in the thread -----------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        idle_samples = 0
        heartbeat: _Heartbeat | None = None
        samples: list[LoopSample | None] = []
        loop = self._system.loop
        while not self._stopping and not loop.is_closed():  # closed: under a node that was not shut down
            if self._wait(idle_samples):
                idle_samples, heartbeat, samples = 0, self._first, []
            self._wakeup.clear()
            sample, idle = self._sample()
            if self._is_over(heartbeat, samples):
                heartbeat = None
            if heartbeat is not None:
                idle_samples = 0
                samples.append(sample)
                self._log_ongoing(heartbeat, sample)
            elif idle:
                idle_samples += 1
            else:
                idle_samples, heartbeat, samples = 0, _Heartbeat(), [sample]
                self._call_in_loop(heartbeat.on_return)
        self._is_over(heartbeat, samples)

    def _wait(self, idle_samples: int) -> bool:
        """Wait until the next sample is due; returns True when the first run after idleness has ended the wait."""
        if idle_samples < IDLE_SAMPLES_MAX:
            self._wakeup.wait(self._interval_s)
            return False
        if idle_samples == IDLE_SAMPLES_MAX:
            self._call_in_loop(self._wake_at_first_run)
        return self._wakeup.wait(1 / IDLE_SAMPLES_PER_S)

    def _is_over(self, heartbeat: _Heartbeat | None, samples: list[LoopSample | None]) -> bool:
        """Return whether a heartbeat has returned, and have the loop report it if that took too long."""
        if heartbeat is None or heartbeat.returned_at is None:
            return False
        blocked_s = heartbeat.returned_at - heartbeat.sent_at
        if blocked_s >= self._slow_s:
            self._call_in_loop(self._report, _main_sample(samples), blocked_s)
        return True

    def _log_ongoing(self, heartbeat: _Heartbeat, sample: LoopSample | None) -> None:
        """Log a block that lasts, once: an endless one would never be reported."""
        if sample is None or heartbeat.ongoing_logged or time.monotonic() - heartbeat.sent_at < ONGOING_REPORT_S:
            return
        heartbeat.ongoing_logged = True
        log.warning(
            "%s has blocked the loop for %.0f s and still does: %s",
            _actor_text(sample), ONGOING_REPORT_S, _location_text(sample),
        )  # fmt: skip

    def _call_in_loop(self, function: Callable[..., None], *args: object) -> None:
        """Call a function in the loop, soon; a closed loop calls nothing."""
        with suppress(RuntimeError):
            self._system.loop.call_soon_threadsafe(function, *args)

    def _sample(self) -> tuple[LoopSample | None, bool]:
        """Return where the loop is, and whether it is idle: then it is nowhere."""
        frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001  the only access to another thread's stack
        if frame is None or self._is_waiting(frame):
            return None, True
        return _sample_of(frame), False

    def _is_waiting(self, innermost: FrameType) -> bool:
        """Return whether the stack has no frames but those of the loop and of the code that runs the loop."""
        frame: FrameType | None = innermost
        while frame is not None and frame.f_code.co_filename.startswith(_MACHINERY):
            frame = frame.f_back
        return frame is None or frame in self._base

    # --- in the loop -------------------------------------------------------------------------------------------------

    def _wake_at_first_run(self) -> None:
        """Have the next run of the dispatcher wake the thread."""
        if not self._stopping:
            self._system.dispatcher.turn_callback = self._first_run

    def _first_run(self) -> None:
        """Run the dispatcher for the first time after the loop was idle, and wake the thread."""
        dispatcher = self._system.dispatcher
        dispatcher.turn_callback = dispatcher.turn
        self._first = _Heartbeat()
        self._system.loop.call_soon(self._first.on_return)
        self._wakeup.set()
        dispatcher.turn()

    def _report(self, found: LoopSample | None, blocked_s: float) -> None:
        """Count, log and report a block of the loop that is over.  found: its handler; None for many short ones."""
        self.stalls += 1
        self.blocked_s += blocked_s
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
        log.warning(
            "%s blocked the loop for %.0f ms in %s", _actor_text(found), blocked_s * 1_000, _location_text(found)
        )


def _frames_around_the_loop() -> list[FrameType]:
    """Return the frames of the code that runs the loop: those outside of the first coroutine."""
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
    """Return the running handler: the kernel has called it, and its frame has the actor's cell."""
    handler: FrameType = innermost
    frame: FrameType | None = innermost
    while frame is not None:
        if frame.f_code.co_filename.startswith(_KERNEL):
            names = frame.f_locals
            invocation, cell = names.get("invocation"), names.get("cell")
            owner = invocation.cell if isinstance(invocation, Invocation) else cell
            if isinstance(owner, Cell):
                return _at(owner, handler)
        else:
            handler = frame
        frame = frame.f_back
    return _at(None, innermost)


def _at(cell: Cell | None, frame: FrameType) -> LoopSample:
    return LoopSample(cell, frame.f_code.co_qualname, frame.f_code.co_filename, frame.f_lineno)


def _main_sample(samples: list[LoopSample | None]) -> LoopSample | None:
    """Return the handler in more than half of the samples, at its most frequent line; None when there is none."""
    seen = [sample for sample in samples if sample is not None]
    if not seen:
        return None
    (cell, handler), times = Counter((sample.cell, sample.handler) for sample in seen).most_common(1)[0]
    if times * 2 <= len(samples):
        return None
    lines = Counter(sample.line for sample in seen if (sample.cell, sample.handler) == (cell, handler))
    line = lines.most_common(1)[0][0]
    return next(sample for sample in seen if (sample.cell, sample.handler, sample.line) == (cell, handler, line))


def _actor_text(sample: LoopSample) -> str:
    return "code outside of any actor" if sample.cell is None else str(sample.cell.address)


def _location_text(sample: LoopSample) -> str:
    return f"{sample.handler} ({_short_location(sample)})"


def _short_location(sample: LoopSample) -> str:
    return f"{'/'.join(PurePath(sample.file).parts[-2:])}:{sample.line}"
