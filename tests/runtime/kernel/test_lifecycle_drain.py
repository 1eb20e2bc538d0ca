import asyncio

from tests.runtime.stage import (
    Double,
    Fail,
    Hold,
    Note,
    Player,
    Story,
    letters_of,
    staged,
    told,
)
from trouper import (
    Node,
    handler,
)
from trouper.testing import settle


@staged
async def test_drain_handles_what_is_queued_and_no_more(node: Node) -> None:
    """What is told after the call is a dead letter."""
    story, letters = Story(), letters_of(node)
    ref = await node.spawn(Player, story)
    for n in range(3):
        ref.tell(Note(n))
    ending = ref.drain()
    ref.tell(Note(3))
    await ending
    assert [entry for entry in story if isinstance(entry, int)] == [0, 1, 2]
    assert told(letters) == [(Note(3), "stopped")]


@staged
async def test_drain_of_a_busy_actor_lets_the_handler_end(node: Node) -> None:
    """Plain and async handlers alike: the one at work, then all that are queued."""
    gate, story = asyncio.Event(), Story()
    ref = await node.spawn(Player, story, gate)
    asks = [ref.ask(Hold(n)) for n in range(3)]
    ref.tell(Note(4))
    await settle()
    ending = ref.drain()
    await settle()
    assert story == ["start", ("hold", 0)]
    gate.set()
    await ending
    assert [await ask for ask in asks] == [0, 1, 2]
    assert story[-2:] == [4, "stop"]


@staged
async def test_drain_counts_what_comes_back_from_the_stash(node: Node) -> None:
    """Unstashed messages do not take the place of those that were queued."""
    story = Story()

    class Stasher(Player):
        opened = False

        @handler
        def note(self, msg: Note) -> None:
            if self.opened:
                self.story.append(msg.n)
            else:
                self.stash(msg)

        @handler
        def double(self, msg: Double) -> int:
            self.opened = True
            self.unstash_all()
            return msg.n

    ref = await node.spawn(Stasher, story)
    for message in (Note(1), Note(2), Double(0), Note(3), Note(4)):
        ref.tell(message)
    await ref.drain()
    assert story == ["start", 1, 2, 3, 4, "stop"]


@staged
async def test_a_failure_while_draining_does_not_stop_the_drain(node: Node) -> None:
    """The actor is restarted, handles the rest and ends."""
    story = Story()
    ref = await node.spawn(Player, story)
    for message in (Note(1), Fail(), Note(2)):
        ref.tell(message)
    await ref.drain()
    assert story == ["start", 1, "stop", "start", 2, "stop"]
