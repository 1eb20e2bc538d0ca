"""The laws of the runtime (docs/laws.md) that concern one process: laws 5 to 8.

Each law has a test or more named for it, in the plainest scene there is; details are in the tests of the modules.
"""

import asyncio
from typing import cast

import pytest

from tests.runtime.stage import (
    Double,
    Fail,
    Hold,
    Note,
    Player,
    Story,
    cell_of,
    letters_of,
    staged,
)
from trouper import (
    Actor,
    ActorRef,
    ActorStopped,
    AskTimeout,
    DeadlockError,
    Message,
    Node,
    Reject,
    StartFailed,
    handler,
)
from trouper.testing import settle


class Chain(Message[int]):
    """Ask the next one of these, and so on; the last one replies with how many there were."""

    rest: tuple[ActorRef, ...]
    length: int = 0


class Link(Actor):
    @handler
    async def chain(self, msg: Chain) -> int:
        if not msg.rest:
            return msg.length
        return await msg.rest[0].ask(Chain(msg.rest[1:], msg.length + 1))


# --- 5. Ask ----------------------------------------------------------------------------------------------------------


@staged
async def test_law_05_an_ask_has_a_deadline_that_the_chain_inherits(node: Node) -> None:
    """5 s without a word; a chain of asks ends with its first, wherever it is stuck."""
    stuck, middle = await node.spawn(Player), await node.spawn(Link)
    began = asyncio.get_running_loop().time()
    with pytest.raises(AskTimeout):
        await stuck.ask(Hold(1))
    assert asyncio.get_running_loop().time() - began == 5.0

    class Last(Actor):
        @handler
        async def chain(self, msg: Chain) -> int:
            return await stuck.ask(Hold(msg.length), timeout_s=100.0)

    began = asyncio.get_running_loop().time()
    with pytest.raises(AskTimeout):
        await middle.ask(Chain((await node.spawn(Last),)), timeout_s=2.0)
    await settle()
    assert cell_of(stuck).invocation is None
    assert asyncio.get_running_loop().time() - began == 2.0


@staged
async def test_law_05_a_dead_target_fails_an_ask_at_once(node: Node) -> None:
    """Dead before the ask, or dying on it: `ActorStopped`, and not by waiting."""
    ref = await node.spawn(Player)
    asks = [ref.ask(Hold(1)), ref.ask(Double(2))]
    await settle()
    began = asyncio.get_running_loop().time()
    ref.kill()
    for ask in (*asks, ref.ask(Double(3))):
        with pytest.raises(ActorStopped):
            await ask
    assert asyncio.get_running_loop().time() == began


@staged
async def test_law_05_an_exception_reaches_the_asker_typed(node: Node) -> None:
    """The very exception of the handler; and a rejection is no crash."""

    class Picky(Player):
        @handler
        def double(self, msg: Double) -> int:
            raise Reject(f"not {msg.n}")

    ref = await node.spawn(Picky)
    with pytest.raises(ValueError, match=r"^why$"):
        await ref.ask(Fail("why"))
    with pytest.raises(Reject, match=r"^not 3$"):
        await ref.ask(Double(3))
    assert cell_of(ref).restarts == 1


@pytest.mark.parametrize("reentrant", [False, True])
@staged
async def test_law_05_time_out_and_cancellation_cancel_the_handler(node: Node, reentrant: bool) -> None:
    """Cooperatively, with `CancelledError` at its await; the actor is none the worse for it."""
    story = Story()

    class Worker(Actor):
        @handler(reentrant=reentrant)
        async def hold(self, msg: Hold) -> int:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                story.append(msg.n)
                raise
            return msg.n

    ref = await node.spawn(Worker)
    with pytest.raises(AskTimeout):
        await ref.ask(Hold(1), timeout_s=1.0)
    ask = ref.ask(Hold(2))
    await settle()
    ask.cancel()
    await settle()
    assert story == [1, 2]
    assert cell_of(ref).restarts == 0


@staged
async def test_law_05_late_replies_are_dropped_and_counted(node: Node) -> None:
    """A reply that nobody waits for any more is not delivered to anybody else."""

    class Stubborn(Actor):
        @handler
        async def hold(self, msg: Hold) -> int:
            try:
                await asyncio.sleep(60.0)
            except asyncio.CancelledError:
                return msg.n
            return 0

    ref = await node.spawn(Stubborn)
    with pytest.raises(AskTimeout):
        await ref.ask(Hold(1), timeout_s=1.0)
    await settle()
    assert node.system.late_replies == 1


# --- 6. No silent deadlock -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, 3, 20])
@staged
async def test_law_06_a_ring_of_asks_is_named_at_once(node: Node, length: int) -> None:
    """However long the ring, a self-ask included: the ask that would close it raises, and names all of it."""
    # Each of them lets the error through and so fails itself; a temporary actor does so without being restarted.
    refs = [await node.spawn(Link, name=f"link-{index}", restart="temporary") for index in range(length)]
    began = asyncio.get_running_loop().time()
    with pytest.raises(DeadlockError) as caught:
        await refs[0].ask(Chain((*refs[1:], refs[0])))
    assert asyncio.get_running_loop().time() == began
    names = [address.rpartition("/")[2].partition("#")[0] for address in caught.value.cycle]
    assert names == [f"link-{length - 1}", *[f"link-{index}" for index in range(length)]]


@staged
async def test_law_06_a_ring_through_a_forward_is_named(node: Node) -> None:
    """An ask that is forwarded back to its asker does not leave it waiting for itself."""

    class Boomerang(Actor):
        def __init__(self, target: ActorRef | None = None) -> None:
            self.target = target

        @handler
        async def hold(self, msg: Hold) -> int:
            return await cast("ActorRef", self.target).ask(Double(msg.n))

        @handler
        def double(self, msg: Double) -> int:
            self.forward(thrower)
            return 0

    thrower = await node.spawn(Boomerang, await node.spawn(Boomerang))
    began = asyncio.get_running_loop().time()
    with pytest.raises(DeadlockError):
        await thrower.ask(Hold(1))
    assert asyncio.get_running_loop().time() == began


@staged
async def test_law_06_a_child_that_asks_the_parent_that_waits_for_its_start(node: Node) -> None:
    """Awaiting a spawn is waiting too."""
    failures: list[BaseException | None] = []

    class Kid(Actor):
        def __init__(self, parent: ActorRef) -> None:
            self.parent = parent

        async def on_start(self) -> None:
            await self.parent.ask(Double(1))

    class Parent(Player):
        @handler
        async def hold(self, msg: Hold) -> int:
            try:
                await self.spawn(Kid, self.ref)
            except StartFailed as error:
                failures.append(error.__cause__)
            return msg.n

    assert await (await node.spawn(Parent)).ask(Hold(1)) == 1
    assert [type(failure) for failure in failures] == [DeadlockError]


@staged
async def test_law_06_a_ring_through_a_reentrant_handler_is_named(node: Node) -> None:
    """The first asker waits for the second, which waits for a reentrant handler of the first, which asks the second."""
    refs: list[ActorRef] = []

    class Both(Actor):
        @handler
        async def hold(self, msg: Hold) -> int:
            return await refs[1 - msg.n].ask(Hold(1) if msg.n == 0 else Fail())

        @handler(reentrant=True)
        async def fail(self, msg: Fail) -> int:
            try:
                return await refs[1].ask(Hold(1))
            except DeadlockError as error:
                return len(error.cycle)

    refs.extend([await node.spawn(Both), await node.spawn(Both)])
    began = asyncio.get_running_loop().time()
    assert await refs[0].ask(Hold(0)) >= 2
    assert asyncio.get_running_loop().time() == began


@pytest.mark.parametrize("wait", ["stop", "drain", "wait_stopped"])
@staged
async def test_law_06_an_actor_that_awaits_its_own_end_is_named(node: Node, wait: str) -> None:
    """Its handler would have to end first; `self.stop()` and not awaiting are the ways to do it."""
    errors: list[str] = []

    class Selfish(Player):
        @handler
        async def hold(self, msg: Hold) -> int:
            try:
                await getattr(self.ref, wait)()
            except DeadlockError:
                errors.append(wait)
            return msg.n

    assert await (await node.spawn(Selfish)).ask(Hold(1)) == 1
    assert errors == [wait]


@staged
async def test_law_06_a_reentrant_handler_breaks_the_ring(node: Node) -> None:
    """What the error advises helps: the reentrant handler answers its own actor, which is at work."""

    class Selfish(Actor):
        @handler
        async def hold(self, msg: Hold) -> int:
            return await self.ref.ask(Double(msg.n))

        @handler(reentrant=True)
        async def double(self, msg: Double) -> int:
            return 2 * msg.n

    assert await (await node.spawn(Selfish)).ask(Hold(4)) == 8


# --- 7. Spawn --------------------------------------------------------------------------------------------------------


@staged
async def test_law_07_spawn_resolves_after_on_start_and_raises_its_failure(node: Node) -> None:
    """By the time the spawner hears of a failure the name is free again."""
    story = Story()

    class Slow(Actor):
        def __init__(self, luck: bool) -> None:
            self.luck = luck

        async def on_start(self) -> None:
            await asyncio.sleep(3.0)
            story.append("on_start")
            if not self.luck:
                raise ValueError("no luck")

    with pytest.raises(StartFailed) as caught:
        await node.spawn(Slow, False, name="slow")
    assert isinstance(caught.value.__cause__, ValueError)
    await node.spawn(Slow, True, name="slow")
    assert story == ["on_start", "on_start"]


# --- 8. Failure ------------------------------------------------------------------------------------------------------


@staged
async def test_law_08_the_failing_message_is_not_retried(node: Node) -> None:
    """It goes to the dead letters with its exception, and the new instance goes on with the next one."""
    letters, story = letters_of(node), Story()
    ref = await node.spawn(Player, story)
    for message in (Note(1), Fail("once"), Note(2)):
        ref.tell(message)
    await settle()
    assert story == ["start", 1, "stop", "start", 2]
    assert [(letter.message, letter.reason, letter.error) for letter in letters] == [
        (Fail("once"), "failed", "ValueError: once")
    ]


@staged
async def test_law_08_the_stash_returns_to_the_front_in_order(node: Node) -> None:
    """What the old instance had put aside comes before everything in the mailbox."""
    story = Story()
    opened: list[bool] = []

    class Stasher(Player):
        @handler
        def note(self, msg: Note) -> None:
            if opened:
                self.story.append(msg.n)
            else:
                self.stash(msg)

        @handler
        def fail(self, msg: Fail) -> int:
            opened.append(True)
            raise ValueError(msg.why)

    ref = await node.spawn(Stasher, story)
    for message in (Note(1), Note(2), Fail(), Note(3)):
        ref.tell(message)
    await settle()
    assert story == ["start", "stop", "start", 1, 2, 3]


@staged
async def test_law_08_timers_and_asks_of_the_old_instance_are_cancelled(node: Node) -> None:
    """Nothing that the failed instance began reaches the new one, and nobody works for it any more."""
    story, asks = Story(), list[asyncio.Future[int]]()
    other_story = Story()
    other = await node.spawn(Player, other_story)

    class Busy(Player):
        @handler
        async def hold(self, msg: Hold) -> int:
            self.timers.once("late", 1.0, Note(99))
            self.timers.every("often", 1.0, Note(98))
            asks.append(other.ask(Hold(5), timeout_s=100.0))
            await settle()
            raise ValueError(msg.n)

    ref = await node.spawn(Busy, story)
    ref.tell(Hold(1))
    await asyncio.sleep(10.0)
    assert story == ["start", "stop", "start"]
    assert asks[0].cancelled()
    assert other_story == ["start", ("hold", 5), ("cancelled", 5)]


@staged
async def test_law_08_children_are_stopped_first(node: Node) -> None:
    """Before the failed instance is replaced its children end, and `keep_children` opts out."""
    story = Story()

    class Parent(Player):
        def on_start(self) -> None:
            super().on_start()
            if not cell_of(self.ref).children:
                self.spawn_nowait(Player, story, name="kid")

    class Keeper(Parent):
        keep_children = True

    parent = await node.spawn(Parent, story)
    parent.tell(Fail())
    await settle()
    assert story == ["start", "start", "stop", "stop", "start", "start"]
    del story[:]
    keeper = await node.spawn(Keeper, story)
    keeper.tell(Fail())
    await settle()
    assert story == ["start", "start", "stop", "start"]
