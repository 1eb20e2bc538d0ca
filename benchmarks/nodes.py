"""What a message to another node costs beside one to this node: a node in the same loop, and one in another process.

In the same loop (``inprocess://``) both nodes share one core, so a figure is the work of both sides together; the other
process is reached over ``ipc://``.  ``python -m benchmarks.nodes``.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
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


async def child(listen: str, join: str) -> None:
    """Be the other process, until standard input ends."""
    async with Node("child", listen=listen, join=[join]):
        await asyncio.to_thread(sys.stdin.read)


async def main() -> None:
    """Measure each place three times; print the best."""
    if len(sys.argv) == 3:
        await child(sys.argv[1], sys.argv[2])
        return
    with tempfile.TemporaryDirectory() as folder:
        near = (
            Node("near", listen="inprocess://near"),
            Node("beside", listen="inprocess://beside", join=["inprocess://near"]),
        )
        here = Node("here", listen=f"ipc://{folder}/here")
        arguments = ["-m", "benchmarks.nodes", f"ipc://{folder}/child", f"ipc://{folder}/here"]
        other = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=asyncio.subprocess.PIPE)
        async with near[0], near[1], here:
            await near[0].network.wait_for_peer("beside")
            await here.network.wait_for_peer("child")
            places = {
                "this node": await near[0].spawn(Counter),
                "same loop": await near[0].spawn(Counter, place="beside"),
                "other process": await here.spawn(Counter, place="child"),
            }
            await table(places)
            await other.communicate()


async def table(places: dict[str, ActorRef]) -> None:
    """Print a line for each kind of work."""
    print(f"{'':28}" + "".join(f"{place:>15}" for place in places))
    for name, work in {
        "tell, us": tells_us,
        "ask, p50 us": ask_us,
        f"{IN_FLIGHT} asks in flight, us": asks_in_flight_us,
    }.items():
        best = [min([await work(ref) for _ in range(3)]) for ref in places.values()]
        print(f"{name:28}" + "".join(f"{value:15.2f}" for value in best))


if __name__ == "__main__":
    trouper.run(main)
