"""Worker processes: W10b, how long until the actors of a killed worker answer again; and what an idle node costs.

    python -m benchmarks.workers [--rounds 9] [--idle-s 5]

W10b begins with SIGKILL to a worker and ends with the reply of an actor that is placed there, from its next process;
the asker asks again whenever it hears that the actor is gone.  Idle is a node with two workers and one actor in each,
which get no messages: processor time, and how often the threads of each process were scheduled in
(``/proc/PID/task/*/status``, voluntary switches), which bounds the wake-ups of its loop from above.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import statistics
import time
from pathlib import Path

import trouper
from trouper import Actor, ActorRef, ActorStopped, Message, Node, handler


class Pid(Message[int]):
    """The reply is the number of the process."""


class Clerk(Actor):
    """Says where it is."""

    @handler
    def pid(self, msg: Pid) -> int:
        """Reply."""
        return os.getpid()


async def restart_s(clerk: ActorRef) -> float:
    """Kill the process of an actor; returns the seconds until it answers from another one."""
    old = await clerk.ask(Pid())
    began = time.perf_counter()
    os.kill(old, signal.SIGKILL)
    while True:
        try:
            if await clerk.ask(Pid(), timeout_s=20.0) != old:
                return time.perf_counter() - began
        except ActorStopped:
            pass


def switches(pid: int) -> dict[str, int]:
    """Voluntary context switches so far, by the thread's name and number."""
    found: dict[str, int] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        status = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
        found[f"{status['Name'].strip()} {task.name}"] = int(status["voluntary_ctxt_switches"])
    return found


def processor_s(pid: int) -> float:
    """Seconds of processor time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(rounds: int, idle_s: float) -> None:
    """Print the figures."""
    began = time.perf_counter()
    async with Node(workers=trouper.Workers(2, intensity=10_000)) as node:
        print(f"start of a node with two workers: {time.perf_counter() - began:.3f} s")
        clerks = [await node.spawn(Clerk, place=name) for name in node.workers]
        times = [await restart_s(clerks[0]) for _ in range(rounds)]
        low, median, high = (round(each * 1e3) for each in (min(times), statistics.median(times), max(times)))
        print(f"W10b: median {median} ms of {rounds} ({low} to {high}); the bar is 600 ms")
        pids = {"parent": os.getpid()}
        for name, clerk in zip(node.workers, clerks, strict=True):
            pids[name] = await clerk.ask(Pid())
        await asyncio.sleep(1.0)
        before = {name: (processor_s(pid), switches(pid)) for name, pid in pids.items()}
        await asyncio.sleep(idle_s)
        for name, pid in pids.items():
            cpu = (processor_s(pid) - before[name][0]) / idle_s
            after = switches(pid)
            rates = {each: (n - before[name][1].get(each, 0)) / idle_s for each, n in after.items()}
            busy = ", ".join(f"{each} {rate:.1f}" for each, rate in sorted(rates.items()) if rate)
            print(f"idle {name}: {cpu:.2%} of a core, {sum(rates.values()):.1f} wake-ups/s ({busy})")


def main() -> None:
    """Measure by the command line's arguments."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--idle-s", type=float, default=5.0)
    options = parser.parse_args()
    logging.disable()
    trouper.run(lambda: measure(options.rounds, options.idle_s))


if __name__ == "__main__":
    main()
