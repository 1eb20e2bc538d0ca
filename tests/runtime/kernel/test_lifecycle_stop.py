import asyncio

import pytest

from tests.runtime.stage import (
    Double,
    Fail,
    Family,
    Hold,
    Note,
    Patient,
    Player,
    Story,
    cell_of,
    letters_of,
    staged,
    told,
)
from trouper import (
    Actor,
    ActorRef,
    ActorStopped,
    Down,
    Node,
    handler,
)
from trouper.testing import settle


@staged
async def test_stop_waits_for_the_message_at_work(node: Node) -> None:
    """The handler ends in peace, what is queued becomes dead letters, then `on_stop` is called."""
    gate, story, letters = asyncio.Event(), Story(), letters_of(node)
    ref = await node.spawn(Player, story, gate)
    asked = ref.ask(Hold(1))
    ref.tell(Note(2))
    await settle()
    ending = ref.stop()
    await settle()
    gate.set()
    await ending
    assert await asked == 1
    assert told(letters) == [(Note(2), "stopped")]
    assert story == ["start", ("hold", 1), "stop", ("undelivered", Note(2), "stopped")]


@staged
async def test_stop_kills_after_the_shutdown_time(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """A handler that does not end is cancelled after 5 s by default, and a warning says what it was doing."""
    story, letters = Story(), letters_of(node)
    ref = await node.spawn(Player, story, name="ada")
    asked = ref.ask(Hold(1), timeout_s=60.0)
    await settle()
    began = asyncio.get_running_loop().time()
    await ref.stop()
    assert asyncio.get_running_loop().time() == began + 5.0
    assert story == ["start", ("hold", 1), ("cancelled", 1)]
    assert f"{ref.address} did not end within 5 s (live, 0 queued, at work on Hold): it is killed" in caplog.text
    with pytest.raises(ActorStopped):
        await asked
    assert told(letters) == [(Hold(1), "killed")]


@staged
async def test_kill_cancels_and_calls_no_hook(node: Node) -> None:
    """The handler gets `CancelledError`; `on_stop` is not called; what was queued is dead letters."""
    story, letters = Story(), letters_of(node)
    ref = await node.spawn(Player, story)
    asked = ref.ask(Hold(1))
    ref.tell(Note(2))
    await settle()
    await ref.kill()
    assert story == ["start", ("hold", 1), ("undelivered", Note(2), "killed"), ("cancelled", 1)]
    assert told(letters) == [(Hold(1), "killed"), (Note(2), "killed")]
    with pytest.raises(ActorStopped):
        await asked


@staged
async def test_kill_is_announced_although_a_handler_ignores_it(node: Node) -> None:
    """After a second of grace the end is announced, and what the handler still does changes nothing."""

    class Deaf(Actor):
        @handler
        async def hold(self, msg: Hold) -> int:
            for _ in range(3):
                try:
                    await asyncio.sleep(4.0)
                except asyncio.CancelledError:
                    continue
            return msg.n

    ref = await node.spawn(Deaf)
    ref.tell(Hold(1))
    await settle()
    began = asyncio.get_running_loop().time()
    await ref.kill()
    assert asyncio.get_running_loop().time() == began + 1.0
    await asyncio.sleep(30.0)


@staged
async def test_an_actor_may_kill_itself_from_a_plain_handler(node: Node) -> None:
    """The message counts as handled, and what follows is dead letters."""
    letters = letters_of(node)

    class Suicidal(Player):
        @handler
        def double(self, msg: Double) -> int:
            self.ref.kill()
            return 2 * msg.n

    one, two = await node.spawn(Suicidal), await node.spawn(Suicidal)
    assert await one.ask(Double(1)) == 2
    two.tell(Double(1))
    two.tell(Note(1))
    await asyncio.gather(one.wait_stopped(), two.wait_stopped())
    assert told(letters) == [(Note(1), "killed")]


@staged
async def test_an_actor_may_kill_itself_from_an_async_handler(node: Node) -> None:
    """It is cancelled at its next await: nothing of it goes on behind the runtime's back."""
    reached: list[str] = []

    class Suicidal(Actor):
        @handler
        async def hold(self, msg: Hold) -> int:
            self.ref.kill()
            reached.append("this line")
            await asyncio.sleep(1_000.0)
            reached.append("never this one")
            return 1

    ref = await node.spawn(Suicidal)
    with pytest.raises(ActorStopped):
        await ref.ask(Hold(1))
    assert await ref.wait_stopped() == "killed"
    await settle()
    assert reached == ["this line"]
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("asks", [True, False])
@staged
async def test_a_child_may_kill_its_parent_from_a_plain_handler(node: Node, asks: bool) -> None:
    """Its own message is accounted for although its cell is gone when the handler returns."""
    kids: list[ActorRef] = []

    class Assassin(Actor):
        def __init__(self, parent: ActorRef) -> None:
            self.parent = parent

        @handler
        def double(self, msg: Double) -> int:
            self.parent.kill()
            return 2 * msg.n

    class Parent(Actor):
        def on_start(self) -> None:
            kids.append(self.spawn_nowait(Assassin, self.ref))

    parent = await node.spawn(Parent)
    if asks:
        assert await kids[0].ask(Double(1)) == 2
    else:
        kids[0].tell(Double(1))
    await parent.wait_stopped()
    await settle()
    assert node.accounting().missing == 0


@staged
async def test_stopping_an_actor_that_is_about_to_restart_wins(node: Node) -> None:
    """A stop between the failure and the restart ends the actor in order, once; no new instance is started."""
    story = Story()
    ref = await node.spawn(Patient, story)
    with pytest.raises(ValueError, match="boom"):
        await ref.ask(Fail())
    await ref.stop()
    await asyncio.sleep(10.0)
    assert story == ["starts", "started", "stops", "stopped"]
    assert cell_of(ref).gone


@pytest.mark.parametrize("wait_s", [0.0, 0.5, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("end", ["stop", "kill", "drain"])
@staged
async def test_an_actor_can_be_ended_at_any_moment_of_a_restart(node: Node, end: str, wait_s: float) -> None:
    """While the old instance stops or the new one starts: it ends once, watchers hear once, nobody waits for ever."""
    downs, story, letters = Story(), Story(), letters_of(node)
    watcher = await node.spawn(Player, downs)
    ref = await node.spawn(Patient, story)
    ref.watch(watcher)
    ref.tell(Fail())
    ref.tell(Note(1))
    await settle()
    await asyncio.sleep(wait_s)
    await getattr(ref, end)()
    await asyncio.sleep(10.0)
    assert [entry for entry in downs if isinstance(entry, Down)] == [
        Down(ref, "killed" if end == "kill" else "stopped")
    ]
    handled = 1 in story
    assert (len(letters) == 1) is handled, "the note is handled or a dead letter"
    assert story.count("starts") <= 2


@staged
async def test_an_instance_that_failed_does_not_wait_for_its_handler_for_ever(node: Node) -> None:
    """A failure beside a waiting handler takes effect, at the latest after the shutdown time."""

    class Doomed(Player):
        @handler
        async def hold(self, msg: Hold) -> int:
            async def fails() -> int:
                raise ValueError("in the pipe")

            self.pipe_to_self(fails(), Note)
            await asyncio.Event().wait()
            return 0

    ref = await node.spawn(Doomed, restart="temporary")
    ref.tell(Hold(1))
    await settle()
    began = asyncio.get_running_loop().time()
    assert await ref.wait_stopped() == "failed"
    assert asyncio.get_running_loop().time() <= began + 5.0


@staged
async def test_a_tree_ends_children_first_and_newest_first(node: Node) -> None:
    """The order of the stops is the mirror of the order of the starts."""
    story = Story()
    ref = await node.spawn(Family, story)
    starts = list(story)
    del story[:]
    await ref.stop()
    assert starts == ["start", ("kid starts", 0), ("kid starts", 1), ("kid starts", 2)]
    assert story == [("kid stops", 2), ("kid stops", 1), ("kid stops", 0), "stop"]


@pytest.mark.parametrize("end", ["stop", "kill"])
@staged
async def test_a_deep_tree_ends_without_recursion(node: Node, end: str) -> None:
    """A chain of two thousand generations ends from the bottom up."""
    refs: list[ActorRef] = []

    class Nest(Actor):
        def on_start(self) -> None:
            refs.append(self.ref)

        @handler
        async def note(self, msg: Note) -> None:
            await self.spawn(Nest)

    top = await node.spawn(Nest)
    while len(refs) < 2_000:
        refs[-1].tell(Note(1))
        await settle()
    await getattr(top, end)()
    assert all(cell_of(ref).gone for ref in refs)


@staged
async def test_ten_thousand_children_end_together(node: Node) -> None:
    """A wide tree is no slower than its members; every one of them is gone and its name free."""

    class Crowd(Actor):
        def on_start(self) -> None:
            for index in range(10_000):
                self.spawn_nowait(Player, name=str(index))

    ref = await node.spawn(Crowd)
    kids = list((cell_of(ref).children or {}).values())
    assert len(kids) == 10_000
    await ref.stop()
    assert all(kid.gone for kid in kids)
    assert not cell_of(ref).children
