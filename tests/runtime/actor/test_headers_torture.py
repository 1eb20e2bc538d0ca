"""Headers under torture: actors that send to one another in every way, at random, with failures and full mailboxes.

Each message says in its fields what it descends from, and each handler holds that against its headers.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from tests.runtime.stage import play_on
from trouper import Actor, ActorRef, Mailbox, Message, Node, OneForOne, Reject, handler
from trouper.lowlevel import Headers, Instrument, declare_header
from trouper.testing import settle

ROOT = declare_header("test-root", follows=True)
OWN = declare_header("test-own", follows=False)
WAYS = (
    "tell", "tell", "own", "ask", "await", "forward", "stash", "timer", "pipe", "task", "fail", "reject", "nothing",
)  # fmt: skip
TOTAL: Counter[str] = Counter()
ROOTS, ACTORS, HOPS_MAX = 40, 6, 6


class Step(Message[int]):
    """What it descends from (0: from a message without headers), its own header (0: none), and how far it has come."""

    root: int
    own: int
    hops: int
    plain: bool


class AsyncStep(Message[int]):
    """The same for an async handler."""

    root: int
    own: int
    hops: int
    plain: bool


class Book:
    """What the scene found."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.wrong: list[str] = []
        self.ways: Counter[str] = Counter()
        self.checked = 0


class Walker(Actor):
    """Checks the headers of each message, and sends more of them."""

    mailbox = Mailbox(high_water=4, limit=8)

    def __init__(self, book: Book, others: list[ActorRef]) -> None:
        self.book, self.others = book, others
        self.stashed = 0

    @handler
    def step(self, msg: Step) -> int:
        self.check(msg)
        self.act(msg, self.book.random.choice(WAYS))
        return msg.root

    @handler
    async def step_async(self, msg: AsyncStep) -> int:
        self.check(msg)
        await asyncio.sleep(self.book.random.choice((0, 0.01)))
        self.check(msg)
        way = self.book.random.choice(WAYS)
        if way == "await" and msg.hops < HOPS_MAX:
            self.book.ways[way] += 1
            try:
                await self.other().ask(self.next(msg), timeout_s=0.5)
            except Exception:  # noqa: BLE001  deadlocks, full mailboxes, failures: all of it happens here
                self.check(msg)
        else:
            self.act(msg, way)
        self.check(msg)
        return msg.root

    def check(self, msg: Step | AsyncStep) -> None:
        """Hold the headers against the fields."""
        expected: dict[str, bytes] = {}
        if msg.root:
            expected[ROOT] = str(msg.root).encode()
        if msg.own:
            expected[OWN] = str(msg.own).encode()
        self.book.checked += 1
        if dict(self.headers) != expected:
            self.book.wrong.append(f"{msg}: {dict(self.headers)}")

    def other(self) -> ActorRef:
        return self.book.random.choice(self.others)

    def next(self, msg: Step | AsyncStep, own: int = 0) -> Step | AsyncStep:
        kind = self.book.random.choice((Step, AsyncStep))
        return kind(msg.root, own, msg.hops + 1, plain=kind is Step)

    async def later(self, msg: Step | AsyncStep) -> Step | AsyncStep:
        await asyncio.sleep(0.01)
        self.other().tell(self.next(msg))
        return self.next(msg)

    def act(self, msg: Step | AsyncStep, way: str) -> None:  # noqa: C901  one branch for each way to send
        if msg.hops >= HOPS_MAX and way not in ("fail", "reject"):
            return
        self.book.ways[way] += 1
        if way == "tell":
            self.other().tell(self.next(msg))
        elif way == "own":
            self.other().with_headers({OWN: b"7"}).tell(self.next(msg, own=7))
        elif way == "ask":
            self.other().ask(self.next(msg), timeout_s=0.5).add_done_callback(_look_at)
        elif way == "forward":
            self.forward(self.other(), self.next(msg, own=msg.own))
        elif way == "stash" and self.stashed < 5:
            self.stashed += 1
            self.stash(msg)
            if self.stashed == 5 or not msg.plain:
                self.stashed = 0
                self.unstash_all()
        elif way == "timer":
            self.timers.once(self.book.random.random(), 0.02, self.next(msg))
        elif way == "pipe":
            self.pipe_to_self(self.later(msg), lambda step: step)
        elif way == "task" and not msg.plain:
            self.__cell__.run_in_background(_tell(self.other(), self.next(msg)))
        elif way == "fail" and self.book.random.random() < 0.2:
            raise ValueError("as chance wants it")
        elif way == "reject":
            raise Reject("as chance wants it")


async def _tell(ref: ActorRef, message: Message[int]) -> None:
    ref.tell(message)


def _look_at(future: asyncio.Future[int]) -> None:
    if not future.cancelled():
        future.exception()


class Pairs(Instrument):
    """Counts, to see whether each begin has one end."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def on_send(self, target: ActorRef, message: Message[object], headers: Headers) -> None:
        self.counts["send"] += 1

    def on_receive(self, actor: ActorRef, message: Message[object], headers: Headers) -> None:
        self.counts["begin"] += 1

    def on_handled(self, actor: ActorRef, message: Message[object], headers: Headers) -> None:
        self.counts["end"] += 1

    def on_failed(self, actor: ActorRef, message: Message[object], headers: Headers, error: BaseException) -> None:
        self.counts["end"] += 1


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("observed", [False, True])
def test_every_message_has_the_headers_of_what_it_descends_from(seed: int, observed: bool) -> None:
    """And no others, whatever way it took; an instrument sees one end of each begin, and each message sent once."""
    book, pairs = Book(seed), Pairs()

    async def scene(node: Node) -> None:
        if observed:
            node.instruments.add(pairs)
        others: list[ActorRef] = []
        for _ in range(ACTORS):
            others.append(await node.spawn(Walker, book, others))
        sent_before = node.accounting().sent
        for root in range(ROOTS):
            target = book.random.choice(others)
            kind = book.random.choice((Step, AsyncStep))
            if root % 4 == 0:
                target.tell(kind(0, 0, 0, plain=kind is Step))
            else:
                headers = {ROOT: str(root).encode(), OWN: b"1"}
                target.with_headers(headers).tell(kind(root, 1, 0, plain=kind is Step))
            await asyncio.sleep(0.005)
        await asyncio.sleep(5.0)
        await settle()
        assert not book.wrong, "\n".join(book.wrong[:10])
        if observed:
            books = node.accounting()
            assert pairs.counts["begin"] == pairs.counts["end"]
            assert pairs.counts["send"] == books.sent - sent_before

    play_on(Node(supervision=OneForOne(intensity=10_000, period_s=1.0)), scene)
    assert book.checked > ROOTS
    TOTAL.update(book.ways)


def test_every_way_was_taken() -> None:
    """The torture above proves nothing of a way that chance never chose."""
    if sum(TOTAL.values()) > 1_000:  # else only a part of the seeds was run
        assert not set(WAYS) - set(TOTAL)
