"""What no other file of the kernel states: cells that are observed, let go of, addressed and described."""

import asyncio
import gc
import weakref

import pytest

from tests.runtime.stage import Fail, Hold, Note, Player, Story, cell_of, staged
from trouper import Actor, Message, Node, handler
from trouper.runtime.kernel.ask import content
from trouper.runtime.kernel.cell import Cell
from trouper.runtime.kernel.hooks import add_observer
from trouper.testing import settle


class Watching:
    """An observer that writes down what it sees."""

    def __init__(self) -> None:
        self.story = Story()

    def on_begin(self, cell: Cell, item: object) -> None:
        self.story.append(("began", content(item)))

    def on_end(self, cell: Cell, item: object, error: BaseException | None) -> None:
        self.story.append(("saw", content(item), repr(error)))


@staged
async def test_an_observer_sees_each_message_before_and_after(node: Node) -> None:
    """Plain and async, told and asked, failing or not; without an observer nothing of it is there."""
    gate, watching = asyncio.Event(), Watching()
    gate.set()
    ref = await node.spawn(Player, Story(), gate)
    add_observer(cell_of(ref), watching)
    ref.tell(Note(1))
    assert await ref.ask(Hold(2)) == 2
    ref.tell(Fail("seen"))
    await settle()
    assert watching.story == [
        ("began", Note(1)),
        ("saw", Note(1), "None"),
        ("began", Hold(2)),
        ("saw", Hold(2), "None"),
        ("began", Fail("seen")),
        ("saw", Fail("seen"), "ValueError('seen')"),
    ]


@staged
async def test_an_ended_actor_is_released(node: Node) -> None:
    """A ref that is kept does not keep the instance, its arguments, nor its watchers."""

    class Heavy:
        pass

    class Keeper(Player):
        def __init__(self, heavy: Heavy) -> None:
            super().__init__()
            self.heavy = heavy
            kept.append(weakref.ref(self))

    kept: list[weakref.ref[object]] = []
    heavy = Heavy()
    kept.append(weakref.ref(heavy))
    failed, stopped = await node.spawn(Keeper, heavy, restart="temporary"), await node.spawn(Keeper, heavy)
    watcher = await node.spawn(Player)
    for ref in (failed, stopped):
        ref.watch(watcher)
        watcher.watch(ref)
    failed.tell(Fail())
    await failed.wait_stopped()
    await stopped.stop()
    await watcher.stop()
    del heavy
    await asyncio.sleep(60.0)
    gc.collect()
    assert [each() for each in kept] == [None] * 3
    for cell in map(cell_of, (failed, stopped, watcher)):
        left = (cell.watchers, cell.watching, cell.downs, cell.children, cell.args)
        assert not any(left)


@staged
async def test_an_ask_that_is_over_keeps_nothing(node: Node) -> None:
    """Neither the books of deadlines nor the turn of the handler hold a message longer than its ask lasts."""

    class Heavy(Message[int]):
        load: object

    class Load:
        pass

    class Carrier(Actor):
        @handler
        async def heavy(self, msg: Heavy) -> int:
            return 1

    ref, load = await node.spawn(Carrier), Load()
    seen = weakref.ref(load)
    assert await ref.ask(Heavy(load)) == 1
    del load
    await settle()
    gc.collect()
    assert seen() is None


@staged
async def test_the_address_is_the_path_of_names(node: Node) -> None:
    """From `/user` down, with the uid that tells this actor from a later one of the same name."""
    names: list[str] = []

    class Parent(Player):
        def on_start(self) -> None:
            kid = self.spawn_nowait(Player, name="kid")
            names.extend([str(kid.address), str(self.ref.address)])

    parent = await node.spawn(Parent, name="parent")
    assert names == [
        f"trouper://local/user/parent/kid#{parent.address.uid + 1}",
        f"trouper://local/user/parent#{parent.address.uid}",
    ]
    anonymous = await node.spawn(Player)
    assert anonymous.name == f"${anonymous.address.uid}"


@pytest.mark.parametrize("suspended", [False, True])
@staged
async def test_a_cell_says_what_it_is_doing(node: Node, suspended: bool) -> None:
    """One clause for error messages: the phase, what is queued, and what is being handled."""
    ref = await node.spawn(Player)
    assert cell_of(ref).describe() == "live, 0 queued"
    ref.tell(Hold(1))
    ref.tell(Note(1))
    await settle()
    cell_of(ref).suspended = suspended
    assert cell_of(ref).describe() == ("suspended" if suspended else "live, 1 queued, at work on Hold")
    await ref.kill()
