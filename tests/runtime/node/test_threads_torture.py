"""Torture by threads: four threads and the loop send to the same actors at once, by seeds; everything must add up.

What the threads do follows from the seed, how they interleave does not: each run tries other interleavings, and the
laws must hold in all of them.
"""

import asyncio
import logging
import os
import random
import sys
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from trouper import (
    Actor,
    ActorRef,
    Mailbox,
    MailboxFull,
    Message,
    Node,
    NodeClosed,
    OneForOne,
    TrouperError,
    handler,
)

THREADS = 4
STEPS = 400
SEEDS = int(os.environ.get("TROUPER_THREAD_SEEDS", "6"))
"""``TROUPER_THREAD_SEEDS=200`` for a long run."""
Seen = dict[int, list[int]]


class Numbered(Message[int]):
    """The n-th message of a sender to this actor."""

    sender: int
    n: int


class Slow(Message[int]):
    """As ``Numbered``, for a handler that waits."""

    sender: int
    n: int


class Fail(Message[int]):
    """The handler raises."""


class Target(Actor):
    """Notes the numbers by sender, in which threads its handlers ran, and whether two ran at once."""

    def __init__(self, seen: Seen, faults: list[str], loop_thread: int) -> None:
        self.seen, self.faults, self.loop_thread = seen, faults, loop_thread
        self.inside = 0

    def note(self, sender: int, n: int) -> int:
        if threading.get_ident() != self.loop_thread:
            self.faults.append("a handler ran in a foreign thread")
        self.inside += 1
        if self.inside > 1:
            self.faults.append("two handlers ran at once")
        self.seen.setdefault(sender, []).append(n)
        for _ in range(10):
            pass  # a place for the interpreter to change the thread
        self.inside -= 1
        return n

    @handler
    def numbered(self, msg: Numbered) -> int:
        return self.note(msg.sender, msg.n)

    @handler
    async def slow(self, msg: Slow) -> int:
        await asyncio.sleep(0)
        return self.note(msg.sender, msg.n)

    @handler
    def fail(self, _: Fail) -> int:
        raise ValueError("on purpose")


class Dropping(Target):
    mailbox = Mailbox(high_water=4, limit=16)


class DroppingOldest(Target):
    mailbox = Mailbox(high_water=4, limit=16, when_full="drop_oldest")


class Raising(Target):
    mailbox = Mailbox(high_water=4, limit=16, when_full="raise_full")


KINDS = (Target, Dropping, DroppingOldest, Raising)


class Sender:
    """One sender: the loop, or a thread.  It counts what it has sent, by what the calls said."""

    def __init__(self, number: int, seed: int, refs: list[ActorRef]) -> None:
        self.number, self.refs = number, refs
        self.random = random.Random(f"{seed}/{number}")
        self.next_n = [0] * len(refs)
        self.sent = 0
        self.did: Counter[str] = Counter()
        self.faults: list[str] = []

    def message(self, target: int) -> Message[int]:
        if self.random.random() < 0.06:
            return Fail()
        self.next_n[target] += 1
        kind = Slow if self.random.random() < 0.1 else Numbered
        return kind(self.number, self.next_n[target])

    def run(self) -> None:
        """Do all steps in this thread."""
        for _ in range(STEPS):
            target = self.random.randrange(len(self.refs))
            ref, message, chance = self.refs[target], self.message(target), self.random.random()
            try:
                if chance < 0.8:
                    self.did["tell"] += 1
                    ref.tell(message)
                elif chance < 0.9:
                    self.did["blocking.tell"] += 1
                    ref.blocking.tell(message)
                else:
                    self.did["blocking.ask"] += 1
                    self.expect(message, ref.blocking.ask(message, timeout_s=60.0))
            except NodeClosed:
                self.did["closed"] += 1
                return
            except MailboxFull:
                self.did["full"] += 1
                self.sent += chance >= 0.9  # an ask that is dropped was sent, a tell that raises was not
            except (ValueError, TrouperError) as error:
                self.did[type(error).__name__] += 1
                self.sent += 1
            else:
                self.sent += 1

    def expect(self, message: Message[int], reply: int) -> None:
        if reply != getattr(message, "n", None):
            self.faults.append(f"{message} was answered {reply}")

    async def run_in_loop(self) -> None:
        """Do the same in the loop's thread."""
        for step in range(STEPS):
            target = self.random.randrange(len(self.refs))
            try:
                self.refs[target].tell(self.message(target))
            except MailboxFull:
                continue
            self.sent += 1
            if step % 10 == 0:
                await asyncio.sleep(0)


def join(threads: list[threading.Thread]) -> None:
    """Wait until all of them have ended."""
    for thread in threads:
        thread.join()


@pytest.fixture(autouse=True)
def switching_often() -> Iterator[None]:
    """Let the interpreter change the thread every few instructions, and log nothing of the failures on purpose."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    logging.disable()
    yield
    logging.disable(logging.NOTSET)
    sys.setswitchinterval(before)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("stops_early", [False, True])
def test_law_17_four_threads_and_the_loop_send_at_once(seed: int, *, stops_early: bool) -> None:
    """One at a time, in order, in the loop's thread; every message is accounted for, also while the node ends."""
    faults: list[str] = []
    seen: list[Seen] = [{} for _ in KINDS]

    async def main() -> tuple[Node, list[Sender]]:
        async with Node(seed=seed, supervision=OneForOne(intensity=10**6), slow_handler_s=None) as node:
            refs = [
                await node.spawn(kind, each, faults, threading.get_ident())
                for kind, each in zip(KINDS, seen, strict=True)
            ]
            senders = [Sender(number, seed, refs) for number in range(THREADS + 1)]
            threads = [threading.Thread(target=sender.run) for sender in senders[1:]]
            for thread in threads:
                thread.start()
            await senders[0].run_in_loop()
            if not stops_early:
                await asyncio.to_thread(join, threads)
                await node.system.thread_inbox.passed()
                for ref in refs:
                    await ref.drain()
        await asyncio.to_thread(join, threads)
        return node, senders

    node, senders = asyncio.run(main())
    faults += [fault for sender in senders for fault in sender.faults]
    assert faults == []
    for each in seen:
        for numbers in each.values():
            assert numbers == sorted(set(numbers)), "one sender's messages came out of order, or twice"
    books = node.accounting()
    assert (books.missing, books.in_flight, books.stashed) == (0, 0, 0)
    assert books.sent == sum(sender.sent for sender in senders)
    if not stops_early:
        did = sum((sender.did for sender in senders[1:]), Counter[str]())
        assert min(did[kind] for kind in ("tell", "blocking.tell", "blocking.ask", "ValueError")) > 0
