"""Two nodes in one loop, over the in-process transport: what a message to another node costs beside one to this node.

Both nodes share one core, so a figure is the work of both sides together.  ``python -m benchmarks.nodes``.
"""

from __future__ import annotations

import asyncio
import statistics
import time

import trouper
from trouper import Actor, ActorRef, Message, Node, handler

TELLS, ASKS, ROUNDS, IN_FLIGHT = 100_000, 2_000, 20, 1_000


class Tick(Message):
    """A small message."""

    n: int


class Count(Message[int]):
    """The reply is how many ticks were handled."""


class Counter(Actor):
    """Counts."""

    def __init__(self) -> None:
        self.count = 0

    @handler
    def tick(self, msg: Tick) -> None:
        """One more."""
        self.count += 1

    @handler
    def how_many(self, msg: Count) -> int:
        """So many."""
        return self.count


async def tells_us(ref: ActorRef) -> float:
    """Microseconds for each tell, until the last is handled; a sender that awaits every 500th."""
    tick, begun = Tick(1), time.perf_counter()
    before = await ref.ask(Count())
    for _ in range(TELLS // 500):
        for _ in range(499):
            ref.tell(tick)
        await ref.tell(tick)
    assert await ref.ask(Count(), timeout_s=60.0) == before + TELLS, "an ask stays behind the tells before it"
    return (time.perf_counter() - begun) / TELLS * 1e6


async def ask_us(ref: ActorRef) -> float:
    """Microseconds for one ask after the other, the median."""
    count, times = Count(), list[float]()
    for _ in range(ASKS):
        begun = time.perf_counter()
        await ref.ask(count)
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e6


async def asks_in_flight_us(ref: ActorRef) -> float:
    """Microseconds for each ask with a thousand in flight."""
    count, begun = Count(), time.perf_counter()
    for _ in range(ROUNDS):
        await asyncio.gather(*[ref.ask(count) for _ in range(IN_FLIGHT)])
    return (time.perf_counter() - begun) / (ROUNDS * IN_FLIGHT) * 1e6


async def main() -> None:
    """Measure both placements, one after the other, three times; print the best of each."""
    a = Node("a", listen="inprocess://a")
    b = Node("b", listen="inprocess://b", join=["inprocess://a"])
    async with a, b:
        await a.network.wait_for_peer("b")
        places = {"this node": await a.spawn(Counter), "another node": await a.spawn(Counter, place="b")}
        print(f"{'':24}{'this node':>14}{'another node':>14}")
        for name, measure in {
            "tell, us": tells_us,
            "ask, p50 us": ask_us,
            f"{IN_FLIGHT} asks in flight, us": asks_in_flight_us,
        }.items():
            best = {place: min([await measure(ref) for _ in range(3)]) for place, ref in places.items()}
            print(f"{name:24}{best['this node']:14.2f}{best['another node']:14.2f}")


if __name__ == "__main__":
    trouper.run(main)
