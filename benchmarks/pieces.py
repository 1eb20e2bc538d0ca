"""``python -m benchmarks.pieces``: what the pieces cost that every message is made of, in ns on this machine.

They are the steps of a tell, a hop and an ask that no design can leave out, and some that one would rather leave out.
Medians over short runs, the empty loop taken off; they explain the table of the workloads, and have no bar.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import cast

from trouper.cli.bench_actors import Note

REPEATS, LOOPS = 9, 100_000


class Queued(asyncio.Future[int]):
    """A future with a slot, as an ask in a mailbox is."""

    __slots__ = ("message",)


class Target:
    """Something with a method and a slot."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def take(self, message: object) -> None:
        """Do nothing."""

    def add(self) -> None:
        """Count."""
        self.count += 1


def pieces(loop: asyncio.AbstractEventLoop, thing: object) -> dict[str, Callable[[], object]]:
    """Name each piece; each is timed with the call of a lambda around it, which `calling` times alone."""
    queue: deque[object] = deque([None] * 10)
    target, note = Target(), Note(1, "ada")
    table = {Note: Target.take}
    return {
        "calling": lambda: None,
        "building a message of two fields": lambda: Note(1, "ada"),
        "putting into and taking out of a deque": lambda: queue.append(queue.popleft()),
        "looking the handler up by type": lambda: table.get(type(note)),
        "calling a method with a message": lambda: target.take(note),
        "counting in a slot, and a call for it": target.add,
        "a future made, set and read": lambda: _answered(loop.create_future()),
        "the same for a subclass with a slot": lambda: _answered(Queued(loop=loop)),
        "reading the loop's time": loop.time,
        "reading perf_counter": time.perf_counter,
        "isinstance with an abstract class": lambda: isinstance(note, Awaitable),
        "hasattr for what is not there": lambda: hasattr(note, "__await__"),
        "typing.cast": lambda: cast("Note", thing),
        "an empty set": _empty_set,
    }


def _empty_set() -> set[int]:
    return set()


def _answered(future: asyncio.Future[int]) -> int:
    future.set_result(1)
    return future.result()


def nanoseconds(piece: Callable[[], object]) -> float:
    """Return the median time of one call."""
    times: list[float] = []
    for _ in range(REPEATS):
        started = time.perf_counter_ns()
        for _ in range(LOOPS):
            piece()
        times.append((time.perf_counter_ns() - started) / LOOPS)
    return statistics.median(times)


async def main() -> None:
    """Time every piece and print it."""
    timed = {name: nanoseconds(piece) for name, piece in pieces(asyncio.get_running_loop(), Note(1, "ada")).items()}
    calling = timed.pop("calling")
    for name, value in timed.items():
        print(f"{name:45} {value - calling:7.0f} ns")


if __name__ == "__main__":
    asyncio.run(main())
