import asyncio
from contextvars import ContextVar

import pytest

from tests.runtime.stage import Double, Fail, Hold, Note, Player, Story, letters_of, play, play_on, staged, told
from trouper import Actor, InvalidName, NameTaken, Node, NodeClosed, NodeFailed, OneForOne, handler
from trouper.testing import settle

SPOTLIGHT: ContextVar[str] = ContextVar("spotlight", default="nobody")


@staged
async def test_a_system_begins_with_three_guardians(node: Node) -> None:
    """The root, `/system` and `/user`; what users spawn is under `/user`."""
    await node.spawn(Player, name="ada")
    assert [str(cell.address).split("#", maxsplit=1)[0] for cell in node.system.cells()] == [
        "trouper://local/",
        "trouper://local/user",
        "trouper://local/user/ada",
        "trouper://local/system",
    ]


@pytest.mark.parametrize("name", ["a/b", "", "a b", "ä"])
@staged
async def test_a_name_that_no_address_can_carry_is_refused(node: Node, name: str) -> None:
    """The call raises, and nothing was begun."""
    with pytest.raises(InvalidName):
        node.spawn(Player, name=name)
    assert not node.system.user.children


@staged
async def test_a_name_is_taken_while_its_actor_lives(node: Node) -> None:
    """The error names the parent and the name; after the end the name is free, before anybody hears of the end."""
    first = await node.spawn(Player, name="ada")
    with pytest.raises(NameTaken) as caught:
        node.spawn(Player, name="ada")
    assert str(caught.value) == (
        f"{node.system.user.address} has a child 'ada': choose another name, or stop that one first"
    )
    ending = first.stop()
    second = await node.spawn(Player, name="ada")
    await ending
    assert first != second


@staged
async def test_a_name_is_still_taken_while_its_actor_stops(node: Node) -> None:
    """An actor that needs time to end keeps its name until it has ended."""
    gate = asyncio.Event()
    first = await node.spawn(Player, Story(), gate, name="ada")
    first.tell(Hold(1))
    await settle()
    ending = first.stop()
    with pytest.raises(NameTaken):
        node.spawn(Player, name="ada")
    gate.set()
    await ending
    await node.spawn(Player, name="ada")


@staged
async def test_names_are_of_one_parent(node: Node) -> None:
    """Two parents may each have a child of the same name."""
    paths: list[str] = []

    class Parent(Actor):
        def on_start(self) -> None:
            paths.append(self.spawn_nowait(Player, name="kid").address.path)

    await node.spawn(Parent, name="a")
    await node.spawn(Parent, name="b")
    assert paths == ["user/a/kid", "user/b/kid"]


def test_a_closed_system_takes_no_actors() -> None:
    """A spawn during or after the shutdown raises at the call."""
    late: list[str] = []

    class Late(Player):
        def on_stop(self) -> None:
            try:
                self.node.spawn(Player)
            except NodeClosed as error:
                late.append(str(error))

    async def main() -> None:
        async with Node() as node:
            await node.spawn(Late)
        with pytest.raises(NodeClosed) as caught:
            node.spawn(Player)
        assert str(caught.value) == f"{node.system.user.address} takes no new actors: it is closing"
        assert late == [str(caught.value)]

    play(main)


@staged
async def test_every_dead_letter_is_counted_by_its_reason(node: Node) -> None:
    """Whether or not anybody subscribed."""
    ref = await node.spawn(Player)
    ref.tell(Fail())
    await settle()
    await ref.stop()
    ref.tell(Note(1))
    ref.tell(Note(2))
    assert node.system.dead_letters == {"failed": 1, "stopped": 2}
    letters = letters_of(node)
    ref.tell(Note(3))
    assert told(letters) == [(Note(3), "stopped")]


def test_a_seed_makes_chance_repeatable() -> None:
    """The node's only source of chance gives the same numbers for the same seed, and others without one."""

    async def drawn(seed: int | None) -> list[float]:
        async with Node(seed=seed) as node:
            return [node.system.random() for _ in range(5)]

    assert play(lambda: drawn(7)) == play(lambda: drawn(7))
    assert play(lambda: drawn(None)) != play(lambda: drawn(None))


def test_a_failure_that_reaches_the_root_fails_the_node() -> None:
    """One failure more than the node's strategy allows: the block is cancelled and `NodeFailed` says why."""
    reached: list[str] = []

    async def main() -> None:
        async with Node("stage", supervision=OneForOne(intensity=1)) as node:
            ref = await node.spawn(Player)
            ref.tell(Fail("first"))
            await settle()
            assert await ref.ask(Double(1)) == 2
            ref.tell(Fail("second"))
            await asyncio.sleep(1_000.0)
            reached.append("the end of the block")

    with pytest.raises(NodeFailed, match=r"^node stage was shut down: ") as caught:
        play(main)
    assert "second" in str(caught.value)
    assert reached == []


def test_a_node_without_restarts_fails_at_the_first_failure() -> None:
    """`intensity=0` allows no restart."""

    async def scene(node: Node) -> None:
        (await node.spawn(Player)).tell(Fail())
        await asyncio.sleep(1.0)

    with pytest.raises(NodeFailed):
        play_on(Node(supervision=OneForOne(intensity=0)), scene)


def test_a_temporary_actor_never_fails_its_node() -> None:
    """It is not restarted, so its failures do not count."""

    async def scene(node: Node) -> None:
        refs = [await node.spawn(Player, restart="temporary") for _ in range(10)]
        for ref in refs:
            ref.tell(Fail())
        await asyncio.gather(*[ref.wait_stopped() for ref in refs])
        assert not node.system.user.children

    play_on(Node(supervision=OneForOne(intensity=0)), scene)


@staged
async def test_handlers_do_not_see_the_context_of_the_sender(node: Node) -> None:
    """What a sender keeps in a context variable is no message: plain, async and hooks alike see the node's own."""
    seen: list[str] = []

    class Looker(Actor):
        async def on_start(self) -> None:
            seen.append(SPOTLIGHT.get())

        @handler
        def double(self, msg: Double) -> int:
            seen.append(SPOTLIGHT.get())
            SPOTLIGHT.set("the handler")
            return msg.n

        @handler
        async def hold(self, msg: Hold) -> int:
            seen.append(SPOTLIGHT.get())
            return msg.n

    SPOTLIGHT.set("the sender")
    ref = await node.spawn(Looker)
    ref.tell(Hold(1))
    await ref.ask(Hold(1))
    ref.tell(Double(1))
    await settle()
    await ref.ask(Double(1))
    assert "the sender" not in seen
    assert SPOTLIGHT.get() == "the sender"
