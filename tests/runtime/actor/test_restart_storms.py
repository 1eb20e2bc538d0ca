"""What bad supervision gets: storms of restarts, long escalations, mail without an end."""

import asyncio

import pytest

from tests.runtime.stage import (
    Fail,
    Hold,
    Note,
    Player,
    cell_of,
    letters_of,
    play_on,
    staged,
)
from trouper import (
    Actor,
    ActorRef,
    Node,
    NodeFailed,
    OneForAll,
    OneForOne,
    RestartsExceeded,
    handler,
)
from trouper.testing import settle

# --- storms ----------------------------------------------------------------------------------------------------------


def test_a_restart_storm_ends_with_the_node() -> None:
    """An actor that fails at every start takes its supervisors with it, within their intensity, and no longer."""
    starts: list[float] = []

    class Doomed(Actor):
        def on_start(self) -> None:
            starts.append(asyncio.get_running_loop().time())
            if len(starts) > 1:
                raise ValueError("again")

        @handler
        def fail(self, msg: Fail) -> int:
            raise ValueError(msg.why)

    async def scene(node: Node) -> None:
        (await node.spawn(Doomed)).tell(Fail())
        await asyncio.sleep(3_600.0)

    with pytest.raises(NodeFailed) as caught:
        play_on(Node(supervision=OneForOne()), scene)
    assert len(starts) == 4
    assert isinstance(caught.value.__cause__, RestartsExceeded)


@staged
async def test_a_thousand_restarts_are_no_recursion(node: Node) -> None:
    """A generous intensity is used up without growing any stack, and every failing message is a dead letter."""
    letters, kids = letters_of(node), list[ActorRef]()

    class Boss(Actor):
        supervision = OneForAll(intensity=1_000)

        def on_start(self) -> None:
            kids.extend(self.spawn_nowait(Player) for _ in range(2))

    await node.spawn(Boss)
    for _ in range(1_000):
        kids[0].tell(Fail())
    await settle()
    assert cell_of(kids[0]).restarts == 1_000
    assert [cell_of(kid).phase for kid in kids] == ["live", "live"]
    assert len(letters) == 1_000


@staged
async def test_an_escalation_climbs_a_deep_tree_without_recursion(node: Node) -> None:
    """Seven hundred supervisors that allow no restart fail one after the other, up to one that is temporary."""
    refs: list[ActorRef] = []

    class Strict(Player):
        supervision = OneForOne(intensity=0)

        def on_start(self) -> None:
            refs.append(self.ref)

        @handler
        async def hold(self, msg: Hold) -> int:
            await self.spawn(Strict)
            return msg.n

    top = await node.spawn(Strict, restart="temporary")
    while len(refs) < 700:
        await refs[-1].ask(Hold(1))
    refs[-1].tell(Fail())
    assert await top.wait_stopped() == "failed"
    assert all(cell_of(ref).gone for ref in refs)


@staged
async def test_an_actor_that_tells_itself_for_ever_can_be_ended(node: Node) -> None:
    """A loop of messages is a busy actor, and a stop comes ahead of its mail."""

    class Forever(Actor):
        @handler
        def note(self, msg: Note) -> None:
            self.ref.tell(msg)

    ref = await node.spawn(Forever)
    ref.tell(Note(1))
    for _ in range(10):
        await asyncio.sleep(0)
    await ref.stop()
    assert node.accounting().missing == 0
