import asyncio

import pytest

from tests.runtime.stage import Double, Fail, Hold, Note, Player, Story, cell_of, letters_of, play, staged, told
from trouper import Actor, ActorRef, DeadLetter, Down, Mailbox, Node, OneForAll, OneForOne, handler
from trouper.runtime.kernel.bare_actor import BareActor
from trouper.runtime.kernel.supervision import Restart
from trouper.testing import settle


@staged
async def test_an_actor_knows_its_ref_while_it_is_made(node: Node) -> None:
    """`self.ref` and `self.node` work in `__init__`, so an actor can hand itself around from the start."""
    seen: list[object] = []

    class Early(Actor):
        def __init__(self) -> None:
            seen.extend([self.ref, self.node])

    ref = await node.spawn(Early)
    assert seen == [ref, node]


def test_an_actor_that_was_not_spawned_says_so() -> None:
    """Calling the class by hand makes a plain object; its repr tells what it is not."""
    assert repr(Player()) == "<Player not spawned>"


@staged
async def test_an_actors_repr_is_its_class_and_address(node: Node) -> None:
    """Enough to find it in a log, and never its state."""
    seen: list[str] = []

    class Shy(Actor):
        def on_start(self) -> None:
            seen.append(repr(self))

    ref = await node.spawn(Shy, name="shy")
    assert seen == [f"<{Shy.__qualname__} {ref.address}>"]


def test_the_defaults_of_an_actor() -> None:
    """One for one, three restarts in five seconds; a mailbox of 1,000 and 100,000; children die with a restart."""
    assert BareActor.supervision == OneForOne(intensity=3, period_s=5.0)
    assert BareActor.mailbox == Mailbox()
    assert BareActor.keep_children is False
    assert BareActor.resume == ()


@staged
async def test_a_down_goes_to_its_handler_or_to_on_terminated(node: Node) -> None:
    """A handler for `Down` takes the place of the hook, plain or async."""
    story = Story()

    class Hooked(Actor):
        async def on_terminated(self, down: Down) -> None:
            await asyncio.sleep(1.0)
            story.append(("hook", down.reason))

    class HandlerEntry(Hooked):
        @handler
        def down(self, msg: Down) -> None:
            story.append(("handler", msg.reason))

    other = await node.spawn(Player)
    for ref in (await node.spawn(Hooked), await node.spawn(HandlerEntry)):
        other.watch(ref)
    await other.kill()
    await asyncio.sleep(5.0)
    assert sorted(map(str, story)) == ["('handler', 'killed')", "('hook', 'killed')"]


@staged
async def test_a_down_is_heard_in_every_behaviour(node: Node) -> None:
    """`become` replaces the handlers of messages, not what the runtime tells."""
    story = Story()
    other = await node.spawn(Player)

    class Becoming(Player):
        def on_start(self) -> None:
            self.become(self.double)
            self.watch(other)

    await node.spawn(Becoming, story)
    await other.stop()
    await settle()
    assert story == [Down(other, "stopped")]


@pytest.mark.parametrize("restart", ["transient", "temporary", "permanent"])
@staged
async def test_an_actor_may_leave_by_its_own_decision(node: Node, restart: Restart) -> None:
    """A permanent one is restarted, any other is gone, with the reason `stopped` and its hook called."""
    story, letters = Story(), letters_of(node)

    class Leaver(Player):
        @handler
        def double(self, msg: Double) -> int:
            self.stop()
            return 2 * msg.n

    ref = await node.spawn(Leaver, story, restart=restart)
    asked = ref.ask(Double(1))
    ref.tell(Note(1))
    assert await asked == 2
    await settle()
    if restart == "permanent":
        assert story == ["start", "stop", "start", 1]
    else:
        assert story == ["start", "stop", ("undelivered", Note(1), "stopped")]
        assert told(letters) == [(Note(1), "stopped")]
        assert await ref.wait_stopped() == "stopped"


@staged
async def test_leaving_twice_is_leaving_once(node: Node) -> None:
    """Nor does a failure after `stop()` make two ends of one."""

    class Leaver(Player):
        @handler
        def double(self, msg: Double) -> int:
            self.stop()
            self.stop()
            raise ValueError(msg.n)

    story = Story()
    ref = await node.spawn(Leaver, story, restart="temporary")
    ref.tell(Double(1))
    assert await ref.wait_stopped() in ("stopped", "failed")
    assert story == ["start", "stop"]


@staged
async def test_on_undelivered_hears_of_each_message_once(node: Node) -> None:
    """As the actor ends, in order; a hook that raises keeps nothing from ending."""
    heard: list[DeadLetter] = []

    class Careful(Player):
        def on_undelivered(self, letter: DeadLetter) -> None:
            heard.append(letter)
            raise LookupError("in the hook")

    ref = await node.spawn(Careful)
    ref.tell(Hold(0))
    await settle()
    for n in range(3):
        ref.tell(Note(n))
    await ref.kill()
    assert [(letter.message, letter.target, letter.reason) for letter in heard] == [
        (Note(n), ref, "killed") for n in range(3)
    ]


@staged
async def test_watching_and_unwatching_from_inside(node: Node) -> None:
    """`self.watch(ref)` is `ref.watch(self.ref)`."""
    story = Story()
    others = [await node.spawn(Player) for _ in range(2)]

    class Watcher(Player):
        def on_start(self) -> None:
            for other in others:
                self.watch(other)
            self.unwatch(others[0])

    await node.spawn(Watcher, story)
    await asyncio.gather(*[other.stop() for other in others])
    await settle()
    assert story == [Down(others[1], "stopped")]


@staged
async def test_an_actors_own_strategy_is_for_its_children(node: Node) -> None:
    """`supervision` on a plain actor makes it a supervisor of what it spawns."""
    story = Story()
    kids: list[ActorRef] = []

    class Boss(Actor):
        supervision = OneForAll()

        def on_start(self) -> None:
            kids.extend(self.spawn_nowait(Player, story) for _ in range(2))

    await node.spawn(Boss)
    kids[0].tell(Fail())
    await settle()
    assert [cell_of(kid).restarts for kid in kids] == [1, 1]
    assert story == ["start", "start", "stop", "stop", "start", "start"]


def test_an_actor_class_can_be_made_and_its_instances_tested_without_a_node() -> None:
    """Handlers are plain methods: a unit test may call them."""

    async def main() -> None:
        player = Player()
        player.note(Note(3))
        assert player.noted == [3]
        assert player.double(Double(4)) == 8

    play(main)
