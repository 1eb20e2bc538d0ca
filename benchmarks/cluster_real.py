"""``python -m benchmarks.cluster_real [--nodes N] [--seconds S] [--tcp] [--profile]``: an idle cluster, for real.

Starts so many real nodes in one process, all in one cluster over ipc, or over tcp on the loopback, and leaves them
idle.  Prints how long the joining took until all saw all, what share of one core the process uses when nothing happens,
how often it wakes, its memory, and the links of each node.  What the process uses beside is the same with one node.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import json
import pstats
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

import psutil

import trouper
from trouper import Node
from trouper.cluster import ClusterConfig

SETTLE_S = 40.0
"""Seconds until the news of the joining have died down, and the first exchanges of whole views are over."""
JOIN_S_MAX = 120.0


def _node(number: int, listen: str, seed: str) -> Node:
    config = ClusterConfig(name="real", announce=frozenset(), detect=False)
    insecure = listen.startswith("tcp:")
    if not seed:
        return Node(f"n{number}", listen=listen, cluster=config, insecure=insecure)
    # They share a loop, and a loop is watched by one thread: fifty of them, each awake while the loop works, would cost
    # as much again as all the rest.
    return Node(f"n{number}", listen=listen, join=[seed], cluster=config, insecure=insecure, slow_handler_s=None)


async def _all_see_all(nodes: Sequence[Node]) -> None:
    async with asyncio.timeout(JOIN_S_MAX):
        await asyncio.gather(*(node.cluster.wait_for(len(nodes)) for node in nodes))


async def measure(count: int, seconds: float, settle_s: float, *, tcp: bool, profile: bool) -> dict[str, float]:
    """Run a cluster of so many nodes, leave it idle for so many seconds, and return the figures."""
    process = psutil.Process()
    before_bytes = process.memory_info().rss
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="t-"))
        listen = ["tcp://127.0.0.1:0" if tcp else f"ipc://{folder}/{number}" for number in range(count)]
        first = await stack.enter_async_context(_node(0, listen[0], ""))
        seed = first.network.endpoint
        began = time.perf_counter()
        others = [_node(number, listen[number], seed) for number in range(1, count)]
        await asyncio.gather(*(stack.enter_async_context(node) for node in others))
        started_s = time.perf_counter() - began
        nodes = [first, *others]
        await _all_see_all(nodes)
        joined_s = time.perf_counter() - began
        await asyncio.sleep(settle_s)
        gc.collect()
        profiler = cProfile.Profile() if profile else None
        if profiler is not None:
            profiler.enable()
        links, used = [len(node.network.peers) for node in nodes], resource.getrusage(resource.RUSAGE_SELF)
        at = time.perf_counter()
        await asyncio.sleep(seconds)
        took_s, now = time.perf_counter() - at, resource.getrusage(resource.RUSAGE_SELF)
        if profiler is not None:
            profiler.disable()
            pstats.Stats(profiler).sort_stats("tottime").print_stats(45)
        cpu_s = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
        alive = {sum(member.status == "alive" for member in node.cluster.members()) for node in nodes}
        assert alive == {count}, f"somebody was lost while nothing happened: {alive}"
        return {
            "nodes": count,
            "started_s": started_s,
            "all_see_all_s": joined_s,
            "cpu_percent_of_a_core": 100 * cpu_s / took_s,
            "of_it_in_the_kernel": 100 * (now.ru_stime - used.ru_stime) / took_s,
            "wakeups_per_s": (now.ru_nvcsw - used.ru_nvcsw) / took_s,
            "threads": process.num_threads(),
            "memory_mib": (process.memory_info().rss - before_bytes) / 2**20,
            "links_median": statistics.median(links),
            "links_most": max(links),
        }


def main() -> None:
    """Measure once, and print one line of JSON."""
    parser = argparse.ArgumentParser(description="Run an idle cluster of real nodes in one process.")
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--settle", type=float, default=SETTLE_S)
    parser.add_argument("--tcp", action="store_true", help="tcp on the loopback, in the clear, in place of ipc")
    parser.add_argument("--profile", action="store_true", help="print where the time goes; the figures then mislead")
    given = parser.parse_args()

    async def run() -> dict[str, float]:
        return await measure(given.nodes, given.seconds, given.settle, tcp=given.tcp, profile=given.profile)

    print(json.dumps({name: round(value, 3) for name, value in trouper.run(run).items()}))


if __name__ == "__main__":
    main()
