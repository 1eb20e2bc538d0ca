"""Ray's side of the workloads between processes: one actor in a worker of its own.  Run by ``other_python``."""

from __future__ import annotations

import importlib
import statistics
import sys
import time
from typing import Any

ray: Any = importlib.import_module("ray")  # Any: it is installed in another Python

IN_FLIGHT = 1_000


class Bank:
    """A counter that is told and asked."""

    def __init__(self) -> None:
        self.balance = 0

    def note(self, amount: int, text: str) -> None:
        """Add to the balance."""
        self.balance += amount

    def deposit(self, amount: int) -> int:
        """Add to the balance and return it."""
        self.balance += amount
        return self.balance


def tell(bank: Any, count: int) -> float:  # Any: a handle without types
    """W5; a call returns at once, and the actor handles them in order."""
    started = time.perf_counter()
    for amount in range(count):
        bank.note.remote(amount, "ada")
    assert ray.get(bank.deposit.remote(0)) == count * (count - 1) // 2
    return count / (time.perf_counter() - started)


def ask(bank: Any, count: int) -> float:  # Any: a handle without types
    """W6, the median in us."""
    times_us: list[float] = []
    for _ in range(count):
        before = time.perf_counter_ns()
        ray.get(bank.deposit.remote(1))
        times_us.append((time.perf_counter_ns() - before) / 1000)
    return statistics.median(times_us)


def ask_many(bank: Any, count: int) -> float:  # Any: a handle without types
    """W6b."""
    started = time.perf_counter()
    for _ in range(count // IN_FLIGHT):
        ray.get([bank.deposit.remote(1) for _ in range(IN_FLIGHT)])
    return count / (time.perf_counter() - started)


def main() -> None:
    """Do one work."""
    name, size = sys.argv[1], int(sys.argv[2])
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        bank = ray.remote(Bank).remote()
        ray.get([bank.deposit.remote(0) for _ in range(500)])
        work = {"node_tell": tell, "node_ask": ask, "node_ask_many": ask_many}[name]
        print("figure value", work(bank, size), flush=True)
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
