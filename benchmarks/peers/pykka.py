"""Pykka as a peer: an actor is a thread and a queue.  It has no supervision, so there is no restart to time."""

from __future__ import annotations

import gc
import importlib
import sys
import threading
import time
from typing import Any, NamedTuple

from trouper.cli.measurements import percentile, resident_bytes

from ..cold import milliseconds
from . import Figures, Workloads

pykka: Any = importlib.import_module("pykka")  # Any: it is optional, so type checkers may not find it


class Note(NamedTuple):
    """A number and a short text."""

    amount: int
    text: str


class Deposit(NamedTuple):
    """A number; the reply is the balance."""

    amount: int


class Bank(pykka.ThreadingActor):  # type: ignore[misc]  # the base class is an Any, see above
    """A counter that is told and asked."""

    def __init__(self) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]  the base class is an Any
        self.balance = 0

    def on_receive(self, message: Any) -> Any:  # Any: the signature is pykka's
        """Add to the balance; answer a deposit with it."""
        self.balance += message.amount
        return self.balance if type(message) is Deposit else None


class Link(pykka.ThreadingActor):  # type: ignore[misc]  # the base class is an Any, see above
    """One of the ring; a message is the next link's ref, or how many hops are left."""

    def __init__(self, finished: threading.Event) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]  the base class is an Any
        self.finished = finished
        self.next: Any = None  # Any: a ref of pykka's, known only once the ring is closed

    def on_receive(self, message: Any) -> None:  # Any: the signature is pykka's
        """Learn who is next, pass on, or end."""
        if not isinstance(message, int):
            self.next = message
        elif message:
            self.next.tell(message - 1)
        else:
            self.finished.set()


def tell(count: int) -> Figures:
    """W1."""
    bank = Bank.start()
    started = time.perf_counter()
    for amount in range(count):
        bank.tell(Note(amount, "ada"))
    assert bank.ask(Deposit(0)) == count * (count - 1) // 2
    rate = count / (time.perf_counter() - started)
    bank.stop()
    return {"value": rate}


def ask(count: int) -> Figures:
    """W2."""
    bank = Bank.start()
    times_us: list[float] = []
    started = time.perf_counter()
    for _ in range(count):
        bank.ask(Deposit(1))
    rate = count / (time.perf_counter() - started)
    for _ in range(count):
        before = time.perf_counter_ns()
        bank.ask(Deposit(1))
        times_us.append((time.perf_counter_ns() - before) / 1000)
    bank.stop()
    return {"value": rate, "p50_us": percentile(times_us, 0.5)}


def ask_many(count: int) -> Figures:
    """W2b."""
    bank = Bank.start()
    started = time.perf_counter()
    for _ in range(count // 1000):
        for answer in [bank.ask(Deposit(1), block=False) for _ in range(1000)]:
            answer.get()
    rate = count / (time.perf_counter() - started)
    bank.stop()
    return {"value": rate}


def spawn(count: int) -> Figures:
    """W3: a thread each, so the number is kept small."""
    gc.collect()
    before = resident_bytes()
    started = time.perf_counter()
    refs = [Bank.start() for _ in range(count)]
    rate = count / (time.perf_counter() - started)
    gc.collect()
    after = resident_bytes()
    for ref in refs:
        ref.stop(block=False)
    pykka.ActorRegistry.stop_all()
    return {"value": rate, "bytes_each": (after - before) / count, "resident_bytes": after}


def ring(hops: int) -> Figures:
    """W4."""
    finished = threading.Event()
    links = [Link.start(finished) for _ in range(100)]
    for place, link in enumerate(links):
        link.tell(links[(place + 1) % len(links)])
    started = time.perf_counter()
    links[0].tell(hops)
    finished.wait()
    rate = hops / (time.perf_counter() - started)
    pykka.ActorRegistry.stop_all()
    return {"value": rate}


def start(repeats: int) -> Figures:
    """How long ``import pykka`` takes."""
    return {"value": milliseconds([sys.executable, "-c", "import pykka"], repeats)}


WORKLOADS: Workloads = {"tell": tell, "ask": ask, "ask_many": ask_many, "spawn": spawn, "ring": ring, "start": start}
