"""Monarch's side of the workloads between processes: one actor in a process of its own.  Run by ``other_python``."""

import importlib
import os
import statistics
import sys
import time
from typing import Any

monarch: Any = importlib.import_module("monarch.actor")  # Any: it is installed in another Python

IN_FLIGHT = 1_000


class Bank(monarch.Actor):  # type: ignore[misc]  # the base class has no types
    """A counter that is told and asked."""

    def __init__(self) -> None:
        self.balance = 0

    @monarch.endpoint  # type: ignore[untyped-decorator]  # as above
    async def note(self, amount: int, text: str) -> None:
        """Add to the balance."""
        self.balance += amount

    @monarch.endpoint  # type: ignore[untyped-decorator]  # as above
    async def deposit(self, amount: int) -> int:
        """Add to the balance and return it."""
        self.balance += amount
        return self.balance


def tell(bank: Any, count: int) -> float:  # Any: a handle without types
    """W5."""
    started = time.perf_counter()
    for amount in range(count):
        bank.note.broadcast(amount, "ada")
    while bank.deposit.call_one(0).get() != count * (count - 1) // 2:
        time.sleep(0.001)
    return count / (time.perf_counter() - started)


def ask(bank: Any, count: int) -> float:  # Any: a handle without types
    """W6, the median in us."""
    times_us: list[float] = []
    for _ in range(count):
        before = time.perf_counter_ns()
        bank.deposit.call_one(1).get()
        times_us.append((time.perf_counter_ns() - before) / 1000)
    return statistics.median(times_us)


def ask_many(bank: Any, count: int) -> float:  # Any: a handle without types
    """W6b."""
    started = time.perf_counter()
    for _ in range(count // IN_FLIGHT):
        for answer in [bank.deposit.call_one(1) for _ in range(IN_FLIGHT)]:
            answer.get()
    return count / (time.perf_counter() - started)


def main() -> None:
    """Do one work."""
    name, size = sys.argv[1], int(sys.argv[2])
    procs = monarch.this_host().spawn_procs(per_host={"procs": 1})
    bank = procs.spawn("bank", Bank)
    for _ in range(500):
        bank.deposit.call_one(0).get()
    work = {"node_tell": tell, "node_ask": ask, "node_ask_many": ask_many}[name]
    print("figure value", work(bank, size), flush=True)
    procs.stop().get()
    os._exit(0)  # its own threads abort a process that ends in the usual way


if __name__ == "__main__":
    main()
