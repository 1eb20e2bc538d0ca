"""The laws of the runtime (docs/laws.md) that concern one process: laws 1 to 4.

Each law has a test or more named for it, in the plainest scene there is; details are in the tests of the modules.
The half of law 2 that needs two nodes is proved with the wire.
"""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.stage import (
    Double,
    Fail,
    Hold,
    Note,
    Notes,
    Patient,
    Player,
    Story,
    letters_of,
    play_on,
    staged,
    told,
)
from trouper import (
    Actor,
    ActorRef,
    Down,
    Mailbox,
    MailboxFull,
    Node,
    handler,
)
from trouper.runtime.kernel.mailbox import Policy
from trouper.testing import settle

# --- 1. One at a time ------------------------------------------------------------------------------------------------


@staged
async def test_law_01_one_message_at_a_time_across_awaits(node: Node) -> None:
    """While a handler awaits, the next message waits: no handler ever sees another one half done."""
    at_work: list[int] = []
    most: list[int] = []

    class Teller(Actor):
        @handler
        async def hold(self, msg: Hold) -> int:
            at_work.append(msg.n)
            most.append(len(at_work))
            await asyncio.sleep(1.0)
            at_work.remove(msg.n)
            return msg.n

        @handler
        def note(self, msg: Note) -> None:
            most.append(len(at_work) + 1)

    ref = await node.spawn(Teller)
    asks = [ref.ask(Hold(n), timeout_s=60.0) for n in range(5)]
    ref.tell(Note(1))
    assert await asyncio.gather(*asks) == [0, 1, 2, 3, 4]
    await settle()
    assert set(most) == {1}


@staged
async def test_law_01_reentrancy_is_asked_for_and_not_inferred(node: Node) -> None:
    """Only `@handler(reentrant=True)` lets other messages run during its awaits."""
    gate, story = asyncio.Event(), Story()

    class Open(Player):
        @handler(reentrant=True)
        async def hold(self, msg: Hold) -> int:
            await gate.wait()
            self.story.append(("held", msg.n))
            return msg.n

    ref = await node.spawn(Open, story)
    asks = [ref.ask(Hold(n)) for n in range(2)]
    ref.tell(Note(7))
    await settle()
    assert story == ["start", 7]
    gate.set()
    assert await asyncio.gather(*asks) == [0, 1]


@staged
async def test_law_01_holds_for_hooks_too(node: Node) -> None:
    """No message is handled while an async `on_start` or `on_stop` waits."""
    story = Story()
    spawning = node.spawn(Patient, story, name="patient")
    (node.system.user.children or {})["patient"].ref.tell(Note(1))
    ref = await spawning
    await ref.ask(Notes())
    ending = ref.stop()
    ref.tell(Note(2))
    await ending
    assert story == ["starts", "started", 1, "stops", "stopped", ("undelivered", Note(2), "stopped")]


# --- 2. Order --------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["tell", "ask", "hold"]), min_size=1, max_size=60), st.integers(1, 3))
def test_law_02_order_of_one_sender(kinds: list[str], senders: int) -> None:
    """Told and asked, handled plainly or with awaits: what one sender sends is handled in the order of its sending."""

    class Witness(Actor):
        def __init__(self, seen: list[int]) -> None:
            self.seen = seen

        @handler
        def note(self, msg: Note) -> None:
            self.seen.append(msg.n)

        @handler
        def double(self, msg: Double) -> int:
            self.seen.append(msg.n)
            return msg.n

        @handler
        async def hold(self, msg: Hold) -> int:
            await asyncio.sleep(0)
            self.seen.append(msg.n)
            return msg.n

    async def send(ref: ActorRef, sender: int) -> None:
        for index, kind in enumerate(kinds):
            number = 1_000 * sender + index
            if kind == "tell":
                await ref.tell(Note(number))
            else:
                await ref.ask(Double(number) if kind == "ask" else Hold(number))

    async def scene(node: Node) -> None:
        seen: list[int] = []
        ref = await node.spawn(Witness, seen)
        await asyncio.gather(*[send(ref, sender) for sender in range(senders)])
        await settle()
        for sender in range(senders):
            assert [n for n in seen if n // 1_000 == sender] == [1_000 * sender + i for i in range(len(kinds))]

    play_on(Node(), scene)


@staged
async def test_law_02_order_survives_a_restart(node: Node) -> None:
    """What was queued behind a failing message is handled by the new instance, in order, and nothing twice."""
    story = Story()
    ref = await node.spawn(Player, story)
    for message in (Note(1), Note(2), Fail(), Note(3), Note(4)):
        ref.tell(message)
    await settle()
    assert [entry for entry in story if isinstance(entry, int)] == [1, 2, 3, 4]


# --- 3. Two queues ---------------------------------------------------------------------------------------------------


@staged
async def test_law_03_stop_does_not_wait_behind_messages(node: Node) -> None:
    """A stop takes effect after the message at work, however many are queued before it."""
    gate, letters = asyncio.Event(), letters_of(node)
    ref = await node.spawn(Player, Story(), gate)
    ref.tell(Hold(0))
    for n in range(1_000):
        ref.tell(Note(n))
    await settle()
    ending = ref.stop()
    gate.set()
    await ending
    assert len(letters) == 1_000


@staged
async def test_law_03_kill_goes_before_stop(node: Node) -> None:
    """A kill does not wait for the handler that a stop waits for."""
    ref = await node.spawn(Player, shutdown_s=None)
    ref.tell(Hold(0))
    await settle()
    ref.stop()
    await ref.kill()
    assert await ref.wait_stopped() == "killed"


@staged
async def test_law_03_a_down_goes_before_messages(node: Node) -> None:
    """News of an end comes by the system queue, past a full mailbox."""

    class Tiny(Player):
        mailbox = Mailbox(high_water=1, limit=2)

    gate, story = asyncio.Event(), Story()
    watcher, other = await node.spawn(Tiny, story, gate), await node.spawn(Player)
    other.watch(watcher)
    for message in (Hold(0), Note(1), Note(2)):
        watcher.tell(message)
        await settle()
    await other.kill()
    gate.set()
    await settle()
    assert story == ["start", ("hold", 0), Down(other, "killed"), 1, 2]


# --- 4. Bounded by default -------------------------------------------------------------------------------------------


@staged
async def test_law_04_tell_never_blocks_and_awaiting_it_is_the_back_pressure(node: Node) -> None:
    """A thousand tells go through at once; awaiting the next one waits until the mailbox has sunk below the mark."""
    gate = asyncio.Event()
    ref = await node.spawn(Player, Story(), gate)
    ref.tell(Hold(0))
    await settle()
    for n in range(1_000):
        await ref.tell(Note(n))
    waiting = asyncio.ensure_future(ref.tell(Note(1_000)))
    await asyncio.sleep(100.0)
    assert not waiting.done()
    gate.set()
    await waiting
    assert await ref.ask(Notes()) == list(range(1_001))


@pytest.mark.parametrize("policy", ["drop_newest", "drop_oldest", "raise_full"])
@staged
async def test_law_04_at_the_limit_the_policy_decides_and_every_drop_is_a_dead_letter(
    node: Node, policy: Policy
) -> None:
    """Only `raise_full` raises at the sender; whatever is dropped is a dead letter with its reason."""

    class Small(Player):
        mailbox = Mailbox(high_water=1, limit=2, when_full=policy)

    gate, letters = asyncio.Event(), letters_of(node)
    ref = await node.spawn(Small, Story(), gate)
    ref.tell(Hold(0))
    await settle()
    ref.tell(Note(1))
    ref.tell(Note(2))
    if policy == "raise_full":
        with pytest.raises(MailboxFull):
            ref.tell(Note(3))
    else:
        ref.tell(Note(3))
    gate.set()
    await settle()
    kept, lost = {
        "drop_newest": ([1, 2], [(Note(3), "mailbox_full")]),
        "drop_oldest": ([2, 3], [(Note(1), "mailbox_full")]),
        "raise_full": ([1, 2], []),
    }[policy]
    assert await ref.ask(Notes()) == kept
    assert told(letters) == lost
