"""Timers against a model in virtual time."""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.stage import Double, Fail, Hold, Note, Player, Story, cell_of, letters_of, play_on, staged, told
from trouper import Actor, Mailbox, Message, Node, handler
from trouper.testing import settle


class Act(Message[bool]):
    """Do this with the timer of a key; the reply is what cancelling said."""

    what: str
    key: int
    delay_s: float
    number: int


class Active(Message[list[bool]]):
    """Say of the first three keys whether each is active."""


class Clockmaker(Actor):
    """Does to its timers what it is told, and notes when which message came."""

    def __init__(self, seen: list[tuple[float, int]]) -> None:
        self.seen = seen
        self.began = asyncio.get_running_loop().time()

    @handler
    def act(self, msg: Act) -> bool:
        if msg.what == "cancel":
            return self.timers.cancel(msg.key)
        begin = self.timers.once if msg.what == "once" else self.timers.every
        begin(msg.key, msg.delay_s, Note(msg.number))
        return True

    @handler
    def active(self, _: Active) -> list[bool]:
        return [self.timers.is_active(key) for key in range(3)]

    @handler
    def note(self, msg: Note) -> None:
        self.seen.append((asyncio.get_running_loop().time() - self.began, msg.n))


@dataclass
class Model:
    """At most one timer a key; each is due at a time, and again after its period if it has one."""

    due: dict[int, tuple[float, float | None, int]] = field(default_factory=dict[int, tuple[float, float | None, int]])
    seen: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])

    def run_until(self, now: float) -> None:
        """Fire what is due before a time, the earliest first."""
        while self.due:
            key = min(self.due, key=lambda key: self.due[key][0])
            at, period_s, number = self.due[key]
            if at >= now:
                return
            self.seen.append((at, number))
            if period_s is None:
                del self.due[key]
            else:
                self.due[key] = (at + period_s, period_s, number)


# What is done stands at whole seconds and no delay does, nor any multiple that comes to pass: a timer never fires in
# the very moment in which something is done to it.  (A 1,024th of a second is exact in binary.)
doings = st.lists(
    st.tuples(
        st.integers(1, 5),
        st.sampled_from(["once", "every", "cancel"]),
        st.integers(0, 2),
        st.integers(1, 6).map(lambda seconds: seconds + 1 / 1_024),
    ),
    max_size=15,
)


@given(doings)
def test_timers_do_what_the_model_does(happening: list[tuple[int, str, int, float]]) -> None:
    """Set, set anew and cancelled in any order: the same messages come at the same times, and none else."""

    async def scene(node: Node) -> None:
        model, seen, now = Model(), list[tuple[float, int]](), 0.0
        ref = await node.spawn(Clockmaker, seen)
        for number, (pause_s, what, key, delay_s) in enumerate(happening):
            await asyncio.sleep(pause_s)
            now += pause_s
            model.run_until(now)
            was = model.due.pop(key, None)
            if what != "cancel":
                model.due[key] = (now + delay_s, delay_s if what == "every" else None, number)
            assert await ref.ask(Act(what, key, delay_s, number)) is (what != "cancel" or was is not None)
            assert await ref.ask(Active()) == [key in model.due for key in range(3)]
        await asyncio.sleep(20.25)
        model.run_until(now + 20.25)
        assert sorted(seen) == sorted(model.seen)

    play_on(Node(), scene)


@staged
async def test_a_cancelled_timer_is_never_handled_although_it_has_fired(node: Node) -> None:
    """Its message waits in the mailbox of a busy actor: cancelling the key, or setting it anew, takes it back."""
    story, letters = Story(), letters_of(node)

    class Busy(Player):
        @handler
        async def hold(self, msg: Hold) -> int:
            self.timers.once("cancelled", 1.0, Note(1))
            self.timers.once("anew", 1.0, Note(2))
            self.timers.every("often", 1.0, Note(3))
            await asyncio.sleep(5.0)
            assert self.timers.cancel("cancelled")
            assert self.timers.cancel("often")
            self.timers.once("anew", 1.0, Note(4))
            assert not self.timers.cancel("unknown")
            return msg.n

    ref = await node.spawn(Busy, story)
    ref.tell(Hold(0))
    await asyncio.sleep(60.0)
    assert story == ["start", 4]
    assert sorted(map(str, told(letters))) == sorted(str((Note(n), "expired")) for n in (1, 2, 3))


@staged
async def test_a_slow_actor_is_not_buried_in_ticks(node: Node) -> None:
    """While the message of one period waits, the next ones are left out."""
    story = Story()

    class Slow(Player):
        @handler
        async def hold(self, msg: Hold) -> int:
            self.timers.every("tick", 1.0, Note(1))
            await asyncio.sleep(100.5)
            return msg.n

    ref = await node.spawn(Slow, story)
    ref.tell(Hold(0))
    await asyncio.sleep(100.75)
    assert story == ["start", 1]
    await asyncio.sleep(2.0)
    assert story == ["start", 1, 1, 1]


@pytest.mark.parametrize("end", ["fail", "stop", "kill", "leave"])
@staged
async def test_timers_die_with_their_instance(node: Node, end: str) -> None:
    """Whatever ends the instance: no message of its timers is handled after it, nor by the next one."""
    story = Story()

    class Timed(Player):
        @handler
        def double(self, msg: Double) -> int:
            self.timers.every("tick", 1.0, Note(1))
            self.timers.once("late", 1.5, Note(2))
            return msg.n

        @handler
        async def hold(self, msg: Hold) -> int:
            self.stop()
            return msg.n

    ref = await node.spawn(Timed, story)
    await ref.ask(Double(1))
    await asyncio.sleep(1.25)
    if end in ("fail", "leave"):
        ref.tell(Fail() if end == "fail" else Hold(1))
    else:
        getattr(ref, end)()
    await asyncio.sleep(10.0)
    assert [entry for entry in story if isinstance(entry, int)] == [1]
    assert node.accounting().missing == 0


@staged
async def test_the_timers_of_an_old_instance_cannot_be_set_any_more(node: Node) -> None:
    """Work that outlives its instance does not reach into the next one."""
    story, errors = Story(), list[str]()

    class Restless(Player):
        @handler
        async def hold(self, msg: Hold) -> int:
            timers = self.timers

            async def later() -> None:
                await asyncio.sleep(5.0)
                try:
                    timers.once("late", 1.0, Note(9))
                except Exception as error:  # noqa: BLE001  whatever it is, it is written down
                    errors.append(type(error).__name__)

            self.task = asyncio.create_task(later())
            raise ValueError(msg.n)

    ref = await node.spawn(Restless, story)
    ref.tell(Hold(1))
    await asyncio.sleep(60.0)
    assert errors == ["ActorStopped"]
    assert 9 not in story


@staged
async def test_a_timer_may_be_set_while_the_actor_is_made(node: Node) -> None:
    """In `__init__`, in `on_start`, and for no time at all."""
    story = Story()

    class Early(Player):
        def __init__(self) -> None:
            super().__init__(story)
            self.timers.once("init", 0.0, Note(1))

        def on_start(self) -> None:
            self.timers.once("start", 0.0, Note(2))

    await node.spawn(Early)
    await settle()
    await asyncio.sleep(0.0)
    assert story == [1, 2]


@staged
async def test_a_tick_that_finds_the_mailbox_full_is_queued_all_the_same(node: Node) -> None:
    """With `raise_full` too: no policy is for what an actor sends to itself."""

    class Small(Player):
        mailbox = Mailbox(high_water=1, limit=1, when_full="raise_full")

        def on_start(self) -> None:
            self.timers.every("tick", 1.0, Note(1))

    story, gate, letters = Story(), asyncio.Event(), letters_of(node)
    ref = await node.spawn(Small, story, gate)
    ref.tell(Hold(0))
    await settle()
    ref.tell(Double(0))
    await asyncio.sleep(2.5)
    gate.set()
    await asyncio.sleep(2.0)
    assert told(letters) == []
    assert story == [("hold", 0), 1, 1, 1]
    assert cell_of(ref).phase == "live"


@staged
async def test_keys_may_be_anything_hashable(node: Node) -> None:
    """Each key is one timer, equal keys are the same one."""
    seen: list[tuple[float, int]] = []

    class Many(Clockmaker):
        def on_start(self) -> None:
            for index, key in enumerate([("a", 1), ("a", 1), 2, 2.0, "2", None, Clockmaker]):
                self.timers.once(key, 1.0, Note(index))

    await node.spawn(Many, seen)
    await asyncio.sleep(2.0)
    assert sorted(number for _, number in seen) == [1, 3, 4, 5, 6]


class _NeverScanned(deque[object]):
    def __iter__(self) -> Iterator[object]:
        raise AssertionError("a timer scans the mailbox")


@staged
async def test_a_period_does_not_scan_the_mailbox(node: Node) -> None:
    """Each period costs O(1), however many messages are queued; one message of the timer waits, no more."""
    unscanned = True

    def queue() -> deque[object]:
        return _NeverScanned() if unscanned else deque()

    class Busy(Player):
        mailbox = Mailbox(queue=queue)

        def on_start(self) -> None:
            self.timers.every("tick", 1.0, Note(1))

    story, gate, complaints = Story(), asyncio.Event(), list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    ref = await node.spawn(Busy, story, gate)
    ref.tell(Hold(0))
    await settle()
    for number in range(100):
        ref.tell(Note(100 + number))
    await asyncio.sleep(10.5)
    assert complaints == []
    assert len(cell_of(ref).mail or ()) == 101
    unscanned = False
    gate.set()
    await asyncio.sleep(1.0)
    assert story.count(1) == 2
    ref.kill()


@staged
async def test_the_message_of_a_timer_does_not_make_room_for_a_newer_one(node: Node) -> None:
    """With `drop_oldest` what others send is dropped; when nothing else waits, it is the newcomer."""

    class Small(Player):
        mailbox = Mailbox(high_water=1, limit=1, when_full="drop_oldest")

        def on_start(self) -> None:
            self.timers.every("tick", 1.0, Note(1))

    story, gate, letters = Story(), asyncio.Event(), letters_of(node)
    ref = await node.spawn(Small, story, gate)
    ref.tell(Hold(0))
    await asyncio.sleep(1.5)
    ref.tell(Note(2))
    assert told(letters) == [(Note(2), "mailbox_full")]
    await asyncio.sleep(1.0)
    gate.set()
    await settle()
    assert story == [("hold", 0), 1]
    ref.kill()
