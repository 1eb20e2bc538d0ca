"""One scene in all placements: one loop, another node in it, another process.  What comes of it is the same."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from tests.layout.sources import ROOT
from tests.runtime.net.stage import (
    Add,
    Anything,
    Cancelled,
    Clerk,
    Custom,
    Downs,
    Meet,
    Numbers,
    Ruin,
    Sum,
    Wait,
    check_books,
    pair,
)
from tests.runtime.stage import letters_of, play
from trouper import Actor, ActorRef, Message, NameTaken, Node, Reject, StartFailed
from trouper.testing import settle

Spawn = Callable[..., Awaitable[ActorRef]]
Scene = Callable[[Node, Spawn], Awaitable[object]]


class Unheard(Message[int]):
    """No actor knows it."""


class Unwilling(Actor):
    """Does not start."""

    def on_start(self) -> None:
        raise ConnectionError("no database")


async def outcome(work: Awaitable[object]) -> object:
    """A reply, or the type of an error and its text without the address of the actor."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001  whatever it is, the other placement must do it too
        return type(error).__name__, str(error).split("trouper://")[0]


async def started(spawn: Spawn, actor: type[Actor], name: str) -> ActorRef:
    """Spawn, whether the error comes from the call or from the await."""
    return await spawn(actor, name=name)


async def replies(node: Node, spawn: Spawn) -> object:
    """Order of tells, values of asks."""
    ada = await spawn(Clerk, 5)
    for n in range(600):
        ada.tell(Add(n))
    both = [await ada.ask(Sum()), await ada.ask(Numbers())]
    return [*both, await ada.ask(Anything({"a": [1, None, 2.5, "x", b"y", True]})), await ada.ask(Wait(2.0))]


async def errors(node: Node, spawn: Spawn) -> object:
    """What handlers raise, what nobody handles, what takes too long; the state after each failure."""
    found: list[object] = []
    for kind in ("value", "key", "reject", "custom"):
        ada = await spawn(Clerk)
        ada.tell(Add(1))
        found += [await outcome(ada.ask(Ruin(kind))), await ada.ask(Numbers())]
    ada = await spawn(Clerk)
    found += [await outcome(ada.ask(Unheard())), await outcome(ada.ask(Wait(9.0), timeout_s=0.5))]
    return [*found, await ada.ask(Cancelled())]


async def starts(node: Node, spawn: Spawn) -> object:
    """Names that are taken, starts that fail."""
    await spawn(Clerk, name="ada")
    found = [await outcome(started(spawn, Clerk, "ada")), await outcome(started(spawn, Unwilling, "ben"))]
    ben = await spawn(Clerk, name="ben")
    return [*found, ben.name, ben.address.path]


async def ends(node: Node, spawn: Spawn) -> object:
    """Why actors ended, as their watchers and waiters hear; what is left for those who come too late."""
    found: list[object] = []
    for how in ("stop", "drain", "kill"):
        watcher, ada = await node.spawn(Clerk), await spawn(Clerk)
        ada.watch(watcher)
        for n in range(3):
            ada.tell(Add(n))
        await {"stop": ada.stop, "drain": ada.drain, "kill": ada.kill}[how]()
        found += [await ada.wait_stopped(), await watcher.ask(Downs()), await outcome(ada.ask(Sum()))]
        ada.watch(watcher)
        found.append(await watcher.ask(Downs()))
    return found


async def refs(node: Node, spawn: Spawn) -> object:
    """A ref that went out comes back as the same one."""
    ada, ben = await spawn(partial(Clerk, start=3)), await node.spawn(Clerk)
    return [await ada.ask(Meet(ben)) is ben, await ada.ask(Meet(ada)) is ada, {ada: 1}[await ada.ask(Meet(ada))]]


def reasons(*nodes: Node) -> Callable[[], list[str]]:
    """Why messages were lost, over all nodes."""
    letters = [letters_of(node) for node in nodes]
    return lambda: sorted(letter.reason for each in letters for letter in each)


def play_here(scene: Scene) -> object:
    """The scene on one node."""
    node = Node("a")

    async def main() -> object:
        async with node:
            lost = reasons(node)
            found = await scene(node, node.spawn)
            await settle()
            return found, lost()

    found = play(main)
    check_books(node)
    return found


def play_there(scene: Scene) -> object:
    """The scene on one node, its actors on another one."""
    a, b = pair()

    async def main() -> object:
        async with a, b:
            await a.network.wait_for_peer("b")
            lost = reasons(a, b)
            found = await scene(a, partial(a.spawn, place="b"))
            await settle()
            return found, lost()

    found = play(main)
    check_books(a, b)
    return found


def be_loaded(node: Node) -> None:
    """What `trouper node --app` calls there, so that all types of this file are known."""
    assert node.name == "b"


def play_in_processes(scene: Scene, folder: Path) -> object:
    """The scene on one node, its actors in another process, over ipc and on real time."""
    command = [sys.executable, "-m", "trouper", "node", "run", "--name", "b", "--listen", f"ipc://{folder}/b"]
    command += ["--app", f"{__name__}:be_loaded"]
    node = Node("a", listen=f"ipc://{folder}/a", join=[f"ipc://{folder}/b"])

    async def main() -> object:
        async with asyncio.timeout(60), node:
            await node.network.wait_for_peer("b")
            return await scene(node, partial(node.spawn, place="b"))

    folder.chmod(0o700)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as other:
        try:
            found = asyncio.run(main())
        finally:
            other.terminate()
    assert other.returncode == 143
    check_books(node)
    return found


@pytest.mark.parametrize("scene", [replies, errors, starts, ends, refs])
def test_a_scene_comes_to_the_same_in_both_placements(scene: Scene) -> None:
    """Replies, errors, order, reasons of ends and of dead letters; and the books of every node balance."""
    assert play_here(scene) == play_there(scene)


@pytest.mark.parametrize("scene", [replies, errors, starts, ends, refs])
def test_a_scene_comes_to_the_same_in_another_process(scene: Scene, tmp_path: Path) -> None:
    """What the scene finds; what was lost over there is counted over there."""
    found = play_here(scene)
    assert isinstance(found, tuple)
    assert play_in_processes(scene, tmp_path) == found[0]


def test_the_errors_of_a_scene_are_of_their_own_class_in_both_placements() -> None:
    """The caller that catches one need not know where the actor is."""

    async def scene(node: Node, spawn: Spawn) -> object:
        for kind, type_ in {"value": ValueError, "reject": Reject, "custom": Custom}.items():
            ada = await spawn(Clerk)
            with pytest.raises(type_):
                await ada.ask(Ruin(kind))
        with pytest.raises(StartFailed):
            await spawn(Unwilling)
        await spawn(Clerk, name="ada")
        with pytest.raises(NameTaken):
            await spawn(Clerk, name="ada")
        return None

    assert play_here(scene) == play_there(scene)
