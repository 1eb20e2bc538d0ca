"""Calls from other threads: they wait in one queue, and the loop's thread makes them in the order in which they came.

A node belongs to the thread that runs its loop; no lock guards an actor, a mailbox or the run queue.  So another thread
only appends to this queue and wakes the loop.  What one thread has handed over is done in its order: messages that it
told, asks, and the result of the function that was offloaded to it.

It needs no lock, so that a finalizer that sends may run in the midst of ``put``.  ``deque.append`` and ``popleft`` are
atomic, and each flag is written before what it answers for is read:
1. ``put`` appends, then reads ``_armed``; a run clears ``_armed``, then looks for calls once more.  One of the two sees
   the other.
2. ``put`` appends, then reads ``_closed``; ``close`` sets it, then makes what is there.  A call that neither saw is
   taken back.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING

from .errors import MailboxFull, NodeClosed

if TYPE_CHECKING:
    from .clock import Counter

Call = Callable[[], object]
CALLS_MAX = 100_000
"""Calls that may wait; with more of them, a thread gets ``MailboxFull``."""
RUN_S = 0.0015
"""Seconds after which the loop has an iteration before further calls are made."""
CALLS_PER_READING = 64
"""Calls between two readings of the clock."""


class ThreadInbox:
    """The queue of one system.

    name: of the node, for errors.  loop: makes the calls, without the context variables of the threads.
    counter: seconds, to measure how long a run has lasted.
    problem: called with a text and the error when a call raises.
    """

    def __init__(
        self,
        name: str,
        loop: asyncio.AbstractEventLoop,
        counter: Counter,
        problem: Callable[[str, BaseException], None],
    ) -> None:
        self._name, self._loop, self._context = name, loop, Context()
        self._counter, self._problem = counter, problem
        self._calls: deque[Call] = deque()
        self._armed = self._closed = False

    def __len__(self) -> int:
        return len(self._calls)

    def put(self, call: Call, *, limited: bool = True) -> None:
        """Have ``call`` made in the loop's thread soon, after what was put before.  Any thread may do so.

        limited: False for what must not be refused, and is limited otherwise: the results of threads.
        Raises ``NodeClosed`` when nothing will make the call any more, ``MailboxFull`` when ``CALLS_MAX`` wait.
        """
        if limited and len(self._calls) >= CALLS_MAX:
            raise MailboxFull(
                f"{CALLS_MAX} calls of other threads wait for the loop of node {self._name}, the limit: "
                "use ref.blocking.tell(message), which waits"
            )
        self._calls.append(call)
        if not self._armed and not self._closed:
            self._armed = True
            try:
                self._loop.call_soon_threadsafe(self._run, context=self._context)
            except RuntimeError:  # the loop was closed under the node
                self._closed = True
        if self._closed:
            self._take_back(call)

    async def passed(self) -> None:
        """Wait until all calls that wait now have been made; at once when there are none."""
        if self._calls and not self._closed:
            reached: asyncio.Future[None] = self._loop.create_future()
            self.put(lambda: None if reached.done() else reached.set_result(None), limited=False)
            await reached

    def close(self) -> None:
        """Make all calls that wait, and refuse later ones.  It is called in the loop's thread."""
        self._closed = True
        while self._calls:
            self._make(self._calls.popleft())

    def _take_back(self, call: Call) -> None:
        try:
            self._calls.remove(call)
        except ValueError:
            return  # `close` has made it
        raise NodeClosed(f"node {self._name} has shut down: nothing can be sent by it from another thread")

    def _run(self) -> None:
        """Make the calls that wait, until the time is up."""
        until = self._counter() + RUN_S
        made = 0
        while self._is_left():
            self._make(self._calls.popleft())
            made += 1
            if made % CALLS_PER_READING == 0 and self._counter() >= until:
                self._loop.call_soon(self._run, context=self._context)
                return

    def _is_left(self) -> bool:
        """Return whether a call waits; if not, the next ``put`` wakes the loop."""
        if self._calls:
            return True
        self._armed = False
        if not self._calls:
            return False
        self._armed = True
        return True

    def _make(self, call: Call) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001  one call must not keep the others from being made
            self._problem(f"node {self._name}: a call from another thread failed", error)


def thread_name() -> str:
    """Return the name of the current thread, for errors."""
    return repr(threading.current_thread().name)
