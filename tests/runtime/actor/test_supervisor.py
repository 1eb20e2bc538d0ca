"""Supervisors: lists of children, what may be done with them, and how a tree stands or falls as a whole.

What becomes of the tree when children fail is in ``test_supervisor_model.py``.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

import pytest

from tests.runtime.stage import Double, Fail, Hold, Note, Player, Story, cell_of, letters_of, play, staged, told
from trouper import (
    Actor,
    ActorRef,
    Backoff,
    Child,
    ChildCounts,
    ChildInfo,
    ChildRefused,
    InvalidName,
    InvalidOption,
    Message,
    Node,
    NodeFailed,
    OneForAll,
    OneForOne,
    RestForOne,
    StartFailed,
    Supervisor,
    SupervisorHandle,
    WhichChildren,
    handler,
)
from trouper.testing import settle


class Named(Actor):
    """Appends its starts and stops, with its name, to a list."""

    def __init__(self, story: Story) -> None:
        self.story = story

    def on_start(self) -> None:
        self.story.append(f"+{self.ref.name}")

    def on_stop(self) -> None:
        self.story.append(f"-{self.ref.name}")


class Broken(Actor):
    def on_start(self) -> None:
        raise ValueError("cannot start")


class Late(Named):
    """Takes its time to start and to stop."""

    async def on_start(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  a hook may be either
        await asyncio.sleep(1)
        super().on_start()

    async def on_stop(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  a hook may be either
        await asyncio.sleep(1)
        super().on_stop()


def child(ref: ActorRef, name: str) -> ActorRef:
    """The living child of that name."""
    return (cell_of(ref).children or {})[name].ref


def echo(msg: Double) -> int:
    """A function as an actor."""
    return msg.n


# --- the list --------------------------------------------------------------------------------------------------------


@staged
async def test_children_start_oldest_first_and_stop_newest_first(node: Node) -> None:
    """One after the other, also those that take their time, and supervisors among them."""
    story = Story()
    bank = await node.supervise(
        Child(Late, story, name="a"),
        Child(Supervisor, Child(Named, story, name="b1"), Child(Late, story, name="b2"), name="b"),
        Child(Named, story, name="c"),
        name="bank",
    )
    assert story == ["+a", "+b1", "+b2", "+c"]
    story.clear()
    await bank.stop()
    assert story == ["-c", "-b2", "-b1", "-a"]


@staged
async def test_a_tree_stands_whole_or_not_at_all(node: Node) -> None:
    """When a child cannot start, those before it are stopped, the spawner gets the reason, and the name is free."""
    story = Story()
    with pytest.raises(StartFailed) as raised:
        await node.supervise(
            Child(Named, story, name="a"),
            Child(Late, story, name="b"),
            Child(Supervisor, Child(Named, story, name="c"), Child(Broken)),
            Child(Named, story, name="never"),
            name="bank",
        )
    assert story == ["+a", "+b", "+c", "-c", "-b", "-a"]
    causes: list[str] = []
    error: BaseException | None = raised.value
    while error is not None:
        causes.append(type(error).__name__)
        error = error.__cause__
    assert causes == ["StartFailed", "StartFailed", "StartFailed", "ValueError"]
    assert node.find("user/bank") is None
    await node.supervise(Child(Named, story), name="bank")


class Bank(Supervisor):
    """A tree as a class."""

    supervision = OneForAll(intensity=1, period_s=60)
    children = (Child(Player, name="vault"), Child(echo))


@staged
async def test_a_tree_is_a_class_with_its_list_and_its_strategy(node: Node) -> None:
    """Class attributes say what the arguments would; a function is a child too, with its own name."""
    bank = await node.spawn(Bank)
    assert await child(bank, "echo").ask(Double(4)) == 4
    child(bank, "vault").tell(Fail())
    await settle()
    assert [info.restarts for info in await bank.ask(WhichChildren())] == [1, 1]


@staged
async def test_each_instance_has_its_own_strategy(node: Node) -> None:
    """``strategy=`` is of the instance, not of the class, and is in force after a restart of the supervisor too."""
    alone = await node.supervise(Child(Player, name="a"), Child(Player, name="b"), strategy=OneForOne())
    chained = await node.supervise(Child(Player, name="a"), Child(Player, name="b"), strategy=RestForOne())
    for supervisor, restarts in ((alone, [1, 0]), (chained, [1, 1])):
        child(supervisor, "a").tell(Fail())
        await settle()
        assert [info.restarts for info in await supervisor.ask(WhichChildren())] == restarts
    node.introspection.crash(chained)
    await settle()
    child(chained, "a").tell(Fail())
    await settle()
    assert [info.restarts for info in await chained.ask(WhichChildren())] == [1, 1]


@staged
async def test_a_supervisor_waits_for_its_children_and_a_worker_is_killed(node: Node) -> None:
    """Five seconds for a worker by default; a supervisor has all the time that its children take."""
    story = Story()
    slow = Child(Player, story, name="slow", shutdown_s=30)
    usual = Child(Player, story, name="usual")
    tree = await node.supervise(Child(Supervisor, slow, usual, name="inner"))
    inner = child(tree, "inner")
    for name in ("slow", "usual"):
        child(inner, name).tell(Hold(len(name)))
    await settle()
    began = node.system.loop.time()
    await tree.stop()
    assert node.system.loop.time() - began == 35
    assert [(made.shutdown_s, made.restart) for made in (Child(Supervisor), usual, slow)] == [
        (None, "permanent"),
        (5.0, "permanent"),
        (30, "permanent"),
    ]


def test_what_is_wrong_with_a_child_is_said_when_it_is_written() -> None:
    """Bad names, and a permanent child that would be significant."""
    with pytest.raises(InvalidName):
        Child(Player, name="no/slash")
    with pytest.raises(
        InvalidOption, match=r"^child player: a permanent child is always restarted, so it cannot be sign"
    ):
        Child(Player, significant=True)
    assert repr(Child(partial(Player, None), restart="transient")) == "<Child player: Player, transient>"


@staged
async def test_what_is_wrong_with_a_list_fails_its_supervisor(node: Node) -> None:
    """Two children of one name, and a significant child while `auto_shutdown` is never."""
    for children, why in (
        ([Child(Player), Child(Player)], r"two children have the name 'player': pass name=...$"),
        (
            [Child(Player, restart="transient", significant=True)],
            r"is significant, but the strategy's auto_shutdown is 'never'",
        ),
    ):
        with pytest.raises(StartFailed) as raised:
            await node.supervise(*children)
        with pytest.raises(InvalidOption, match=why):
            raise raised.value.__cause__ or raised.value


# --- dynamic children ------------------------------------------------------------------------------------------------


@staged
async def test_children_come_and_go(node: Node) -> None:
    """Start, terminate, restart in the old place, delete; and what the list says at each step."""
    story = Story()
    bank = await node.supervise(Child(Named, story, name="a"), Child(Named, story, name="b"))
    handle = SupervisorHandle(bank)
    c = await handle.start_child(Child(Supervisor, name="c", restart="transient"))
    assert await handle.count_children() == ChildCounts(specs=3, active=3, supervisors=1, workers=2)
    await handle.terminate_child("a")
    assert await handle.which_children() == (
        ChildInfo("a", None, "gone", "worker", "permanent"),
        ChildInfo("b", child(bank, "b"), "live", "worker", "permanent"),
        ChildInfo("c", c, "live", "supervisor", "transient"),
    )
    assert await handle.restart_child("a") == child(bank, "a")
    assert list(cell_of(bank).children or ()) == ["a", "b", "c"]
    await handle.terminate_child("b")
    await handle.delete_child("b")
    assert [info.name for info in await handle.which_children()] == ["a", "c"]
    assert story == ["+a", "+b", "-a", "+a", "-b"]


@staged
async def test_what_cannot_be_done_is_refused_and_harms_nobody(node: Node) -> None:
    """Each refusal has its reason; the supervisor goes on with the instance that it is."""
    bank = await node.supervise(Child(Player, name="a"), Child(Player, name="gone"), Child(echo))
    handle = SupervisorHandle(bank)
    await handle.terminate_child("gone")
    for doing, reason, text in (
        (handle.start_child(Child(Player, name="a")), "already_running", r"already has a child 'a', which runs$"),
        (
            handle.start_child(Child(Player, name="gone")),
            "already_present",
            r"already has a child 'gone', which has ended$",
        ),
        (handle.start_child(Child(Player, restart="temporary", significant=True)), "not_allowed", r"is significant"),
        (handle.start_child(Child(Broken)), "start_failed", r"did not start: ValueError: cannot start$"),
        (handle.restart_child("a"), "running", r"runs: terminate it first$"),
        (handle.delete_child("a"), "running", r"runs: terminate it first$"),
        (handle.restart_child("absent"), "not_found", r"has no child 'absent'; its children: a, gone, echo$"),
        (handle.delete_child("absent"), "not_found", r"has no child 'absent'"),
        (handle.terminate_child("absent"), "not_found", r"has no child 'absent'"),
    ):
        with pytest.raises(ChildRefused, match=text) as raised:
            await doing
        assert raised.value.reason == reason
    assert [info.name for info in await handle.which_children()] == ["a", "gone", "echo"]
    assert cell_of(bank).restarts == 0


@staged
async def test_a_temporary_child_leaves_the_list_when_it_has_ended(node: Node) -> None:
    """Its name may be used again."""
    bank = await node.supervise(Child(Player, name="once", restart="temporary"), Child(Player, name="a"))
    handle = SupervisorHandle(bank)
    child(bank, "once").tell(Fail())
    await settle()
    assert [info.name for info in await handle.which_children()] == ["a"]
    await handle.start_child(Child(Player, name="once", restart="temporary"))
    await handle.terminate_child("once")
    assert await handle.count_children() == ChildCounts(1, 1, 0, 1)


@staged
async def test_a_restarted_supervisor_begins_with_its_first_list(node: Node) -> None:
    """What was started later is gone, as in OTP; what was terminated is back."""
    bank = await node.supervise(Child(Player, name="a"))
    handle = SupervisorHandle(bank)
    await handle.start_child(Child(Player, name="later"))
    await handle.terminate_child("a")
    node.introspection.crash(bank)
    await settle()
    assert [(info.name, info.phase) for info in await handle.which_children()] == [("a", "live")]


@staged
async def test_a_child_fails_while_its_supervisor_is_busy_with_another(node: Node) -> None:
    """The restart does not wait for the start of a slow one."""
    story = Story()
    bank = await node.supervise(Child(Player, name="a"))
    starting = asyncio.create_task(SupervisorHandle(bank).start_child(Child(Late, story, name="late")))
    await settle()
    child(bank, "a").tell(Fail())
    await settle()
    assert cell_of(child(bank, "a")).restarts == 1
    assert story == []
    await starting
    assert story == ["+late"]


# --- significant children --------------------------------------------------------------------------------------------


class Leave(Message[None]):
    """The actor stops itself."""


class Leaves(Player):
    """An actor that can stop itself."""

    @handler
    def leave(self, _: Leave) -> None:
        self.stop()


def significant(name: str) -> Child:
    """A significant child."""
    return Child(Leaves, name=name, restart="transient", significant=True)


@staged
async def test_a_supervisor_ends_with_its_significant_children(node: Node) -> None:
    """With the first, or with the last of them, when they end by themselves; one that is stopped does not count."""
    first = await node.supervise(
        significant("a"), significant("b"), Child(Player), strategy=OneForOne(auto_shutdown="any_significant")
    )
    child(first, "b").tell(Leave())
    assert await first.wait_stopped() == "stopped"
    last = await node.supervise(
        significant("a"), significant("b"), Child(Player), strategy=OneForOne(auto_shutdown="all_significant")
    )
    await child(last, "a").stop()
    assert node.introspection.stats(last).phase == "live"
    child(last, "b").tell(Leave())
    assert await last.wait_stopped() == "stopped"


# --- bad input -------------------------------------------------------------------------------------------------------


def test_a_restart_storm_ends_at_the_root(caplog: pytest.LogCaptureFixture) -> None:
    """A child that can never run fails its supervisors, level by level, in bounded time, and the node reports why."""
    caplog.set_level(logging.CRITICAL, "trouper")

    async def storm(node: Node) -> None:
        async with node:
            deep = Child(Supervisor, Child(Player, name="w"), name="inner")
            top = await node.supervise(deep, Child(Player), name="top")
            while True:
                inner = child(top, "inner")
                child(inner, "w").tell(Fail("storm"))
                await settle()

    async def main() -> Node:
        node = Node(supervision=OneForOne())
        with pytest.raises(
            NodeFailed, match=r"^node local was shut down: RestartsExceeded: .* was escalated to its root$"
        ):
            await storm(node)
        return node

    node = play(main)
    assert node.accounting().missing == 0
    assert len(node.recorder.entries("escalation")) >= 3


@staged
async def test_a_backoff_calms_a_storm(node: Node) -> None:
    """With a backoff the restarts wait longer and longer, and the window empties meanwhile."""
    tree = await node.supervise(
        Child(Player, name="w"), strategy=OneForOne(intensity=3, period_s=5, backoff=Backoff(2, 60, jitter=0))
    )
    worker = child(tree, "w")
    for _ in range(6):
        worker.tell(Fail())
        worker.tell(Note(1))
        await asyncio.sleep(61)
    assert (cell_of(worker).restarts, node.introspection.stats(worker).phase) == (6, "live")


class BadEnd(Actor):
    """Its hook raises."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_stop(self) -> None:
        raise self.error


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_exception_in_on_stop_keeps_nobody_from_ending(error: BaseException) -> None:
    """It is reported, and the actor, its siblings and its supervisor end all the same."""
    story = Story()

    @staged
    async def scene(node: Node) -> None:
        letters = letters_of(node)
        tree = await node.supervise(Child(Named, story, name="a"), Child(BadEnd, error), Child(Named, story, name="c"))
        node.introspection.suspend(child(tree, "a"))
        child(tree, "a").tell(Note(1))
        await tree.stop()
        assert story == ["+a", "+c", "-c", "-a"]
        assert told(letters) == [(Note(1), "stopped")]

    scene()
