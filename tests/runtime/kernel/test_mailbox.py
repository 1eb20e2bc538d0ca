"""Mailboxes against a model: a plain list, and the words of the documentation."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.stage import Hold, Note, Player, Story, cell_of, letters_of, play_on, staged, told
from trouper import Actor, CoalescingQueue, InvalidOption, Mailbox, MailboxFull, Message, Node, PriorityQueue, handler
from trouper.runtime.kernel.mailbox import Mail, Policy, Throttle
from trouper.testing import settle


class Item(Message):
    """A message with a key, by which it is coalesced or ranked, and a number that tells it from others."""

    key: int
    number: int


def key_of(message: object) -> int:
    """The key of an item."""
    return cast("Item", message).key


@dataclass
class Model:
    """What is at work and what is queued, what was handled, lost and refused, by the rules as they are documented."""

    policy: Policy
    limit: int
    by_priority: bool
    at_work: Item | None = None
    queued: list[Item] = field(default_factory=list[Item])
    handled: list[Item] = field(default_factory=list[Item])
    lost: list[tuple[Message[object], str]] = field(default_factory=list[tuple[Message[object], str]])
    refused: list[Item] = field(default_factory=list[Item])

    def tell(self, item: Item) -> None:
        """One message comes."""
        if self.at_work is None:
            self.at_work = item
        elif len(self.queued) < self.limit:
            self.queued.append(item)
        elif self.policy == "raise_full":
            self.refused.append(item)
        elif self.policy == "drop_oldest":
            self.lost.append((self.queued.pop(0), "mailbox_full"))
            self.queued.append(item)
        elif self.policy == "coalesce" and any(queued.key == item.key for queued in self.queued):
            place = max(index for index, queued in enumerate(self.queued) if queued.key == item.key)
            self.lost.append((self.queued[place], "coalesced"))
            self.queued[place] = item
        else:
            self.lost.append((item, "mailbox_full"))

    def take_turn(self) -> None:
        """The handler at work ends, and the next one begins."""
        if self.at_work is not None:
            self.handled.append(self.at_work)
        self.at_work = None
        if self.queued:
            rank = key_of if self.by_priority else self.queued.index
            self.at_work = min(self.queued, key=rank)
            self.queued.remove(self.at_work)


QUEUES: dict[str, Callable[[], Mail] | None] = {
    "arrival": None,
    "coalescing": lambda: CoalescingQueue(key_of),
    "priority": lambda: PriorityQueue(key_of),
}
# A number is the key of a message that is told; None is a turn.
happenings = st.lists(st.integers(0, 3) | st.none(), max_size=40)


async def follow(model: Model, node: Node, box: Mailbox, happening: list[int | None]) -> None:
    """Do with an actor what is done with the model, and compare after each step."""
    handled, refused, letters, turns = list[Item](), list[Item](), letters_of(node), asyncio.Semaphore(0)

    class Paced(Actor):
        mailbox = box

        @handler
        async def item(self, msg: Item) -> None:
            await turns.acquire()
            handled.append(msg)

    ref = await node.spawn(Paced)
    for number, key in enumerate([*happening, *[None] * (model.limit + 1)]):
        if key is None:
            if model.at_work is not None:
                turns.release()
            model.take_turn()
        else:
            model.tell(Item(key, number))
            try:
                ref.tell(Item(key, number))
            except MailboxFull:
                refused.append(Item(key, number))
        await settle()
        assert (handled, told(letters), refused) == (model.handled, model.lost, model.refused)
        books = node.accounting()
        assert (books.missing, books.in_flight) == (0, len(model.queued) + (model.at_work is not None))


@pytest.mark.parametrize(
    ("policy", "queue"),
    [
        ("drop_newest", "arrival"),
        ("drop_oldest", "arrival"),
        ("raise_full", "arrival"),
        ("coalesce", "coalescing"),
        ("drop_newest", "coalescing"),
        ("raise_full", "priority"),
    ],
)
@given(limit=st.integers(1, 4), happening=happenings)
def test_every_policy_does_what_the_model_does(
    policy: Policy, queue: str, limit: int, happening: list[int | None]
) -> None:
    """Whatever is told and handled in whatever order, the same is handled, lost and refused, and nothing is missing."""
    box = Mailbox(high_water=1, limit=limit, when_full=policy, queue=QUEUES[queue])
    model = Model(policy, limit, by_priority=queue == "priority")
    play_on(Node(), lambda node: follow(model, node, box, happening))


@staged
async def test_awaiting_tell_waits_above_the_high_water_mark(node: Node) -> None:
    """Below the mark it goes on at once; from the mark on it waits until the mailbox has sunk below it again."""
    gate = asyncio.Event()

    class Small(Player):
        mailbox = Mailbox(high_water=2, limit=100)

    ref = await node.spawn(Small, Story(), gate)
    ref.tell(Hold(0))
    await settle()
    await ref.tell(Note(1))
    await ref.tell(Note(2))
    waiting = asyncio.ensure_future(ref.tell(Note(3)))
    await settle()
    assert not waiting.done()
    assert len(cell_of(ref).mail or ()) == 3
    gate.set()
    await waiting
    await settle()
    assert node.accounting().in_flight == 0


@pytest.mark.parametrize("end", ["stop", "kill", "drain"])
@staged
async def test_the_end_of_an_actor_wakes_the_senders_that_wait_for_room(node: Node, end: str) -> None:
    """Nobody waits for a mailbox that is gone."""

    class Small(Player):
        mailbox = Mailbox(high_water=1, limit=100)

    ref = await node.spawn(Small, shutdown_s=1.0)
    ref.tell(Hold(0))
    await settle()
    waiting = [asyncio.ensure_future(ref.tell(Note(n))) for n in range(3)]
    await settle()
    assert not any(waiter.done() for waiter in waiting[1:])
    getattr(ref, end)()
    if end == "drain":
        ref.kill()
    await asyncio.gather(*waiting)


@staged
async def test_cancelling_a_wait_for_room_takes_nothing_back(node: Node) -> None:
    """The message was sent by the call; only the waiting ends."""
    gate, story = asyncio.Event(), Story()

    class Small(Player):
        mailbox = Mailbox(high_water=1, limit=100)

    ref = await node.spawn(Small, story, gate)
    ref.tell(Hold(0))
    await settle()
    ref.tell(Note(1))
    waiting = asyncio.ensure_future(ref.tell(Note(2)))
    await settle()
    waiting.cancel()
    gate.set()
    await settle()
    assert story == ["start", ("hold", 0), 1, 2]


@staged
async def test_an_actor_that_fills_its_own_mailbox_does_not_wait_for_itself(node: Node) -> None:
    """`await self.ref.tell()` above the mark goes on, since nobody else could make room."""
    done: list[int] = []

    class Filler(Actor):
        mailbox = Mailbox(high_water=1, limit=100)

        @handler
        async def hold(self, msg: Hold) -> int:
            for n in range(5):
                await self.ref.tell(Note(n))
            return msg.n

        @handler
        def note(self, msg: Note) -> None:
            done.append(msg.n)

    assert await (await node.spawn(Filler)).ask(Hold(1)) == 1
    await settle()
    assert done == [0, 1, 2, 3, 4]


@staged
async def test_two_actors_that_fill_each_other_do_not_wait_for_one_another(node: Node) -> None:
    """A cycle of waits for room is no deadlock: the wait that would close it goes on."""

    class Filler(Player):
        mailbox = Mailbox(high_water=1, limit=100)
        other: "Filler"

        @handler
        async def hold(self, msg: Hold) -> int:
            for n in range(5):
                await self.other.ref.tell(Note(n))
            return msg.n

    made: list[Filler] = []

    class Registered(Filler):
        def on_start(self) -> None:
            made.append(self)

    refs = [await node.spawn(Registered) for _ in range(2)]
    made[0].other, made[1].other = made[1], made[0]
    assert await asyncio.gather(*[ref.ask(Hold(7)) for ref in refs]) == [7, 7]


@staged
async def test_an_ask_that_is_dropped_hears_of_it_at_once(node: Node) -> None:
    """The asker gets `MailboxFull`, with `raise_full` too: an ask raises in its future, never at the call."""

    class Small(Player):
        mailbox = Mailbox(high_water=1, limit=1, when_full="raise_full")

    gate = asyncio.Event()
    ref = await node.spawn(Small, Story(), gate)
    first = ref.ask(Hold(0))
    await settle()
    second, third = ref.ask(Hold(1)), ref.ask(Hold(2))
    with pytest.raises(MailboxFull) as caught:
        await third
    assert str(caught.value) == f"{ref.address} was full: Hold was dropped (mailbox_full)"
    gate.set()
    assert [await first, await second] == [0, 1]


@staged
async def test_raise_full_raises_at_the_sender(node: Node) -> None:
    """The error names the actor and how much is queued; nothing was sent."""

    class Small(Player):
        mailbox = Mailbox(high_water=1, limit=1, when_full="raise_full")

    gate = asyncio.Event()
    ref = await node.spawn(Small, Story(), gate)
    ref.tell(Hold(0))
    await settle()
    ref.tell(Note(1))
    sent = node.accounting().sent
    with pytest.raises(MailboxFull) as caught:
        ref.tell(Note(2))
    assert str(caught.value) == f"{ref.address} has 1 messages queued, its limit: await tell()"
    assert node.accounting().sent == sent
    gate.set()


def _refusing_key(message: object) -> int:
    raise LookupError(f"no key for {message!r}")


@pytest.mark.parametrize("queue", [lambda: PriorityQueue(_refusing_key), lambda: CoalescingQueue(_refusing_key)])
@staged
async def test_a_key_that_cannot_be_had_hurts_neither_sender_nor_receiver(
    node: Node, queue: Callable[[], Mail]
) -> None:
    """The receiver's own function is to blame: the message is a dead letter, and the actor goes on."""

    class Broken(Player):
        mailbox = Mailbox(high_water=1, limit=2, queue=queue)

    letters = letters_of(node)
    ref = await node.spawn(Broken)
    ref.tell(Note(1))
    await settle()
    assert [(letter.message, letter.reason, letter.error) for letter in letters] == [
        (Note(1), "failed", "LookupError: no key for Note(n=1)")
    ]
    await ref.stop()


@pytest.mark.parametrize("rate_per_s", [2.0, 0.5])
@staged
async def test_a_throttled_mailbox_spaces_what_it_handles(node: Node, rate_per_s: float) -> None:
    """Messages are handled evenly, 1 / rate apart, however they come, and none is lost."""
    times: list[float] = []

    class Slow(Actor):
        mailbox = Mailbox(rate_per_s=rate_per_s)

        @handler
        def note(self, msg: Note) -> None:
            times.append(asyncio.get_running_loop().time() - began)

    ref, began = await node.spawn(Slow), asyncio.get_running_loop().time()
    for n in range(5):
        ref.tell(Note(n))
    await asyncio.sleep(100.0)
    assert times == [n / rate_per_s for n in range(5)]
    ref.tell(Note(5))
    await settle()
    assert times[-1] == 100.0


@pytest.mark.parametrize("rate_per_s", [333.0, 5_000.0, 100_000.0])
@staged
async def test_a_rate_holds_within_two_percent_whatever_its_period_is(node: Node, rate_per_s: float) -> None:
    """Timers are no finer than a millisecond, so the messages of one millisecond are handled together."""

    class Quick(Actor):
        mailbox = Mailbox(rate_per_s=rate_per_s)

        @handler
        def item(self, msg: Item) -> None:
            times.append(asyncio.get_running_loop().time())

    times: list[float] = []
    ref = await node.spawn(Quick)
    for _ in range(2):  # the second time after a pause, which allows no burst
        began, count = asyncio.get_running_loop().time(), len(times)
        for n in range(3_000):
            ref.tell(Item(0, n))
        await asyncio.sleep(20.0)
        assert times[count] == began
        assert (len(times) - count - 1) / (times[-1] - began) == pytest.approx(rate_per_s, rel=0.02)


def test_a_throttle_makes_up_for_a_loop_that_is_late_and_for_no_more() -> None:
    """While messages wait it allows what the rate allows since; without any, or after a long time, no burst."""
    throttle = Throttle(100.0)
    assert [throttle.step(1.0, queued) for queued in (5, 4)] == [None, 1.01]
    assert [throttle.step(1.035, queued) for queued in (4, 3, 2, 1)] == [None, None, None, pytest.approx(1.04)]
    assert [throttle.step(1.04, 1), throttle.step(9.0, 3), throttle.step(9.0, 2)] == [None, None, pytest.approx(9.01)]
    allowed = 0
    while throttle.step(30.0, 1_000) is None:
        allowed += 1
    assert 10 <= allowed <= 11, "those of the last 0.1 s"


def test_bounds_that_contradict_each_other_are_refused() -> None:
    """The error shows both bounds and what they must be."""
    with pytest.raises(InvalidOption, match=r"^high_water=11 must be at most limit=10$"):
        Mailbox(high_water=11, limit=10)


def test_coalescing_needs_a_queue_that_can() -> None:
    """Without one, the policy would fail at the worst moment: when the mailbox is full."""
    with pytest.raises(InvalidOption, match="coalesce"):
        Mailbox(when_full="coalesce")


def test_a_policy_that_does_not_exist_is_refused() -> None:
    """The error shows the value and the policies there are."""
    with pytest.raises(InvalidOption, match="drop_newest"):
        Mailbox(when_full=cast("Policy", "drop_everything"))


def test_an_urgent_message_is_never_the_one_that_gives_way() -> None:
    """`drop_oldest` of a priority queue would drop its most urgent message; the pair is refused."""
    with pytest.raises(InvalidOption, match="drop_oldest"):
        Mailbox(when_full="drop_oldest", queue=lambda: PriorityQueue(key_of))


def test_the_defaults_are_those_of_the_design() -> None:
    """A high-water mark of 1,000 messages, a limit of 100,000, and the newest gives way."""
    assert Mailbox() == Mailbox(high_water=1_000, limit=100_000, when_full="drop_newest", queue=None, rate_per_s=None)
