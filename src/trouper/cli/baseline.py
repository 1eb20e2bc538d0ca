"""The baseline: what a workload costs in Python without an actor system.

A deque of (target, message), one dict look-up on the type of the message and one method call, drained inside one
asyncio callback.  It has no mailbox, no supervision, no limits, no accounting and no fairness, so nothing written in
pure Python with those can be faster; the distance to it is the price of the semantics.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping

import msgspec

from .measurements import Figures, percentile, timer_lateness_ms


class PlainNote(msgspec.Struct, frozen=True):
    """A number and a short text."""

    amount: int
    text: str


class PlainToken(msgspec.Struct, frozen=True):
    """Passed round the ring until none is left."""

    left: int


class Target:
    """An object with a table of methods by message type, and the queue that it sends to."""

    __slots__ = ("balance", "finished", "methods", "next", "queue")

    def __init__(self, queue: deque[tuple[Target, object]]) -> None:
        self.balance = 0
        self.queue = queue
        self.next = self
        self.finished = False
        self.methods: Mapping[type, Callable[..., object]] = {PlainNote: Target.note, PlainToken: Target.token}

    def note(self, msg: PlainNote) -> int:
        """Add to the balance and return it."""
        self.balance += msg.amount
        return self.balance

    def token(self, msg: PlainToken) -> None:
        """Pass the token on, or end."""
        if msg.left:
            self.queue.append((self.next, PlainToken(msg.left - 1)))
        else:
            self.finished = True


def drain(queue: deque[tuple[Target, object]]) -> None:
    """Handle everything that is queued, and what that sends."""
    while queue:
        target, message = queue.popleft()
        target.methods[type(message)](target, message)


async def in_one_callback(work: Callable[[], None]) -> float:
    """Run ``work`` in one callback of the loop and return the seconds it took."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[float] = loop.create_future()

    def callback() -> None:
        started = time.perf_counter()
        work()
        done.set_result(time.perf_counter() - started)

    loop.call_soon(callback)
    return await done


async def tell(count: int) -> Figures:
    """W1: queue and handle ``count`` notes, 500 at a time."""
    queue: deque[tuple[Target, object]] = deque()
    target = Target(queue)

    def work() -> None:
        for first in range(0, count, 500):
            for amount in range(first, min(first + 500, count)):
                queue.append((target, PlainNote(amount, "ada")))
            drain(queue)

    took_s = await in_one_callback(work)
    if target.balance != count * (count - 1) // 2:
        raise AssertionError(f"the baseline lost notes: the balance is {target.balance}")
    return {"value": count / took_s}


async def ask(count: int) -> Figures:
    """W2: look up, call, and hand the answer over in a future that is awaited."""
    loop = asyncio.get_running_loop()
    target = Target(deque())
    started = time.perf_counter()
    for _ in range(count):
        message = PlainNote(1, "ada")
        answer: asyncio.Future[object] = loop.create_future()
        answer.set_result(target.methods[type(message)](target, message))
        await answer
    rate = count / (time.perf_counter() - started)
    return {"value": rate, "p50_us": 1e6 / rate}


async def ring(hops: int) -> Figures:
    """W4: pass a token round 100 targets."""
    queue: deque[tuple[Target, object]] = deque()
    targets = [Target(queue) for _ in range(100)]
    for place, target in enumerate(targets):
        target.next = targets[(place + 1) % len(targets)]
    queue.append((targets[0], PlainToken(hops)))
    took_s = await in_one_callback(lambda: drain(queue))
    if not any(target.finished for target in targets):
        raise AssertionError("the baseline's token did not come to an end")
    return {"value": hops / took_s}


async def fairness(duration_ms: int) -> Figures:
    """How late a 1 ms timer is on a loop where nothing else runs: the share of the machine in the figure."""
    late_ms = await timer_lateness_ms(duration_ms / 1000)
    return {"value": percentile(late_ms, 0.99), "p50_ms": percentile(late_ms, 0.5)}


WORKLOADS: Mapping[str, Callable[[int], Coroutine[object, object, Figures]]] = {
    "tell": tell,
    "ask": ask,
    "ring": ring,
    "fairness": fairness,
}
