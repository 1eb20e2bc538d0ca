import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from tests.runtime.stage import (
    Double,
    Kid,
    Note,
    Notes,
    Patient,
    Performer,
    Player,
    Story,
    letters_of,
    staged,
    told,
)
from trouper import (
    Actor,
    ActorStopped,
    Node,
    StartFailed,
)
from trouper.testing import settle


@staged
async def test_spawn_resolves_after_on_start(node: Node) -> None:
    """A ref from a spawn says that the start succeeded; messages that came before the start are handled after it."""
    story = Story()
    spawning = node.spawn(Patient, story, name="ada")
    (node.system.user.children or {})["ada"].ref.tell(Note(1))
    await settle()
    assert story == ["starts"]
    ref = await spawning
    await settle()
    assert story == ["starts", "started", 1]
    assert await ref.ask(Notes()) == [1]


@pytest.mark.parametrize("waits", [True, False])
@staged
async def test_a_start_that_fails_is_raised_at_the_spawner(node: Node, waits: bool) -> None:
    """The error has the cause; the name is free again by then, and mail that had come is dead letters."""

    class Plain(Actor):
        def on_start(self) -> None:
            raise ValueError("no luck")

    class Waiting(Actor):
        async def on_start(self) -> None:
            await asyncio.sleep(1.0)
            raise ValueError("no luck")

    with pytest.raises(StartFailed) as caught:
        await node.spawn(Waiting if waits else Plain, name="ada")
    assert str(caught.value).endswith(" did not start: ValueError: no luck")
    assert str(caught.value).startswith("trouper://local/user/ada#")
    assert isinstance(caught.value.__cause__, ValueError)
    assert await (await node.spawn(Player, name="ada")).ask(Double(1)) == 2


@staged
async def test_init_may_fail_as_a_start_may(node: Node) -> None:
    """An exception in `__init__`, wrong arguments among them, is a failed start."""

    class Picky(Actor):
        def __init__(self, owner: str) -> None:
            raise LookupError(owner)

    with pytest.raises(StartFailed) as caught:
        await node.spawn(Picky, "ada")
    assert isinstance(caught.value.__cause__, LookupError)
    with pytest.raises(StartFailed) as caught:
        await node.spawn(cast("Callable[[], Actor]", Picky))
    assert isinstance(caught.value.__cause__, TypeError)


@staged
async def test_mail_of_an_actor_that_did_not_start_is_dead_letters(node: Node) -> None:
    """Nobody waits for an answer that cannot come."""

    class Waiting(Actor):
        async def on_start(self) -> None:
            await asyncio.sleep(1.0)
            raise ValueError("no luck")

    letters = letters_of(node)
    spawning = node.spawn(Waiting, name="ada")
    ref = (node.system.user.children or {})["ada"].ref
    ref.tell(Note(1))
    asked = ref.ask(Double(1))
    with pytest.raises(StartFailed):
        await spawning
    with pytest.raises(ActorStopped):
        await asked
    assert told(letters) == [(Note(1), "stopped"), (Double(1), "stopped")]


@staged
async def test_children_of_a_start_that_fails_do_not_outlive_it(node: Node) -> None:
    """They are stopped, the newest first, before the spawner hears of it: there are no orphans."""
    story = Story()

    class Careless(Performer):
        async def on_start(self) -> None:
            for index in range(3):
                await self.spawn(Kid, self.story, index)
            await asyncio.sleep(1.0)
            raise ValueError("no luck")

    with pytest.raises(StartFailed):
        await node.spawn(Careless, story)
    assert story[3:] == [("kid stops", 2), ("kid stops", 1), ("kid stops", 0)]
    assert [cell.name for cell in node.system.cells()] == ["", "user", "system"]


@staged
async def test_cancelling_a_spawn_kills_what_is_starting(node: Node) -> None:
    """The name is free at once: nobody will ever have the ref."""
    story = Story()
    spawning = asyncio.ensure_future(node.spawn(Patient, story, name="ada"))
    await settle()
    spawning.cancel()
    await settle()
    assert not node.system.user.children
    assert story == ["starts"]
    await node.spawn(Player, name="ada")


@pytest.mark.parametrize("steps", [0, 1, 2])
@staged
async def test_killing_an_actor_that_starts_fails_its_spawn(node: Node, steps: int) -> None:
    """The spawner hears of it at once, even if `on_start` had not taken its first step."""
    story = Story()
    spawning = asyncio.ensure_future(node.spawn(Patient, story, name="ada"))
    for _ in range(steps):
        await asyncio.sleep(0)
    if node.system.user.children:
        node.system.user.children["ada"].ref.kill()
        with pytest.raises(StartFailed):
            await asyncio.wait_for(spawning, 1.0)
    else:
        await (await spawning).kill()
    assert "stops" not in story


@staged
async def test_stopping_an_actor_that_starts_waits_for_its_start(node: Node) -> None:
    """The spawner gets its ref, and then the actor stops in order: what was begun is ended."""
    story = Story()
    spawning = node.spawn(Patient, story, name="ada")
    ref = (node.system.user.children or {})["ada"].ref
    ending = ref.stop()
    assert await spawning == ref
    await ending
    assert story == ["starts", "started", "stops", "stopped"]


@staged
async def test_an_on_start_that_never_ends_is_killed_with_its_node(node: Node) -> None:
    """Stopping gives it its shutdown time, 5 s; then it is killed and the spawner is told."""

    class Never(Actor):
        async def on_start(self) -> None:
            await asyncio.Event().wait()

    spawning = asyncio.ensure_future(node.spawn(Never, name="ada"))
    await settle()
    began = asyncio.get_running_loop().time()
    await (node.system.user.children or {})["ada"].ref.stop()
    assert asyncio.get_running_loop().time() == began + 5.0
    with pytest.raises(StartFailed):
        await spawning
