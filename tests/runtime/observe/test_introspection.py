"""Looking into actors from outside: whatever they are doing, and however much waits for them."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from tests.runtime.stage import (
    Double,
    Fail,
    Hold,
    Note,
    Notes,
    Player,
    Story,
    cell_of,
    letters_of,
    play_on,
    staged,
    told,
)
from trouper import Actor, ActorFailed, ActorStopped, AskTimeout, InvalidOption, Message, Node, OneForOne, handler
from trouper.runtime.observe.introspection import ActorState, ActorStats, ActorTree, MailboxPeek, QueuedMessage
from trouper.testing import settle

MANY = 100_000


class Blob(Message[None]):
    """Something large."""

    data: bytes


class Keeper(Actor):
    """Keeps what it gets, in slots and in attributes."""

    __slots__ = ("slotted",)

    def __init__(self) -> None:
        self.slotted = "in a slot"
        self.blob = b""

    @handler
    def keep(self, msg: Blob) -> None:
        self.blob = msg.data


# --- reading ---------------------------------------------------------------------------------------------------------


@staged
async def test_stats_of_an_actor_that_waits_for_nothing(node: Node) -> None:
    """Counts, phase and uptime are there without a message to the actor."""
    player = await node.spawn(Player, name="player")
    player.tell(Note(1))
    await asyncio.sleep(7)
    assert node.introspection.stats(player) == ActorStats(
        address=str(player.address), actor="Player", phase="live", suspended=False, queued=0, stashed=0, received=1,
        handled=1, restarts=0, uptime_s=7.0, children=0, watchers=0, current_message=None, current_message_s=None,
        oldest=None, waiting_s=None, executor="loop", executor_queued=0,
    )  # fmt: skip


@staged
async def test_stats_of_an_actor_that_is_busy(node: Node) -> None:
    """The running message and its time, and the oldest queued message and its time."""
    gate = asyncio.Event()
    player = await node.spawn(Player, None, gate)
    held = player.ask(Hold(7))
    await asyncio.sleep(2)
    waits = player.ask(Double(21))
    player.tell(Note(1))
    await asyncio.sleep(1)
    stats = node.introspection.stats(player)
    assert (stats.current_message, stats.current_message_s, stats.queued) == ("Hold(n=7)", 3.0, 2)
    assert (stats.oldest, stats.waiting_s) == ("Double(n=21)", 1.0)
    gate.set()
    assert (await held, await waits) == (7, 42)


@staged
async def test_state_is_read_in_the_middle_of_a_handler(node: Node) -> None:
    """Attributes are shown as they are, those of the runtime are not, and the behaviour with them."""
    gate = asyncio.Event()
    player = await node.spawn(Player, Story(["begun"]), gate)
    held = player.ask(Hold(7))
    await settle()
    state = node.introspection.get_state(player)
    assert state.fields["story"] == "['begun', 'start', ('hold', 7)]"
    assert set(state.fields) == {"story", "gate", "noted"}
    assert (state.actor, state.omitted) == ("Player", 0)
    assert {"Hold", "Note", "Down"} <= set(state.handler_table)
    gate.set()
    await held


@staged
async def test_state_is_bounded_and_quick_whatever_is_in_it(node: Node) -> None:
    """100 MB in a field, and in a message in the mailbox, make an answer of a few hundred bytes, in no time."""
    keeper = await node.spawn(Keeper)
    keeper.tell(Blob(bytes(100_000_000)))
    await settle()
    node.introspection.suspend(keeper)
    keeper.tell(Blob(bytes(100_000_000)))
    await settle()
    began = time.perf_counter()
    answers = [node.introspection.get_state(keeper), node.introspection.stats(keeper), node.introspection.peek(keeper)]
    taken_s = time.perf_counter() - began
    assert all(len(msgspec.json.encode(answer)) < 1_000 for answer in answers)
    assert taken_s < 0.1
    fields = node.introspection.get_state(keeper).fields
    assert fields["slotted"] == "'in a slot'"
    assert fields["blob"].endswith("[... 100000000 bytes in all]")


@staged
async def test_peek_shows_the_first_messages_of_a_hundred_thousand(node: Node) -> None:
    """The mailbox is looked at from the front, asks are marked, and nothing is taken."""
    player = await node.spawn(Player)
    node.introspection.suspend(player)
    asked = player.ask(Double(2), timeout_s=1_000)
    for n in range(MANY - 1):
        player.tell(Note(n))
    began = time.perf_counter()
    peek = node.introspection.peek(player, 3)
    taken_s = time.perf_counter() - began
    first = (
        QueuedMessage("Double", "Double(n=2)", True),
        QueuedMessage("Note", "Note(n=0)", False),
        QueuedMessage("Note", "Note(n=1)", False),
    )
    assert peek == MailboxPeek(str(player.address), MANY, first)
    assert taken_s < 0.1
    assert node.introspection.stats(player).queued == MANY
    node.introspection.resume(player)
    assert await asked == 4
    assert len(await player.ask(Notes())) == MANY - 1


class Parent(Actor):
    """Has as many children as it is told, each with one fewer."""

    supervision = OneForOne(intensity=100)

    def __init__(self, children: int) -> None:
        self.count = children

    async def on_start(self) -> None:
        for each in range(self.count):
            await self.spawn(Parent, self.count - 1, name=f"child{each}")


@staged
async def test_a_tree_is_a_picture_of_all_below_a_path(node: Node) -> None:
    """Every actor below with its phase and counts, oldest first; what is beyond the limit is counted."""
    await node.spawn(Parent, 2, name="top")
    top = node.introspection.tree("/user/top")
    assert [child.name for child in top.children] == ["child0", "child1"]
    assert [grandchild.name for grandchild in top.children[1].children] == ["child0"]
    assert (top.actor, top.phase, top.restart, top.restarts, top.omitted) == ("Parent", "live", "transient", 0, 0)
    assert [branch.name for branch in node.introspection.tree().children] == ["system", "user"]
    cut = node.introspection.tree("user/top", actors_max=3)
    assert [(child.name, child.omitted) for child in cut.children] == [("child0", 0)]
    assert cut.omitted == 1
    with pytest.raises(InvalidOption, match=r"^there is no actor 'user/absent': .*/user#3 has no child 'absent'$"):
        node.introspection.tree("user/absent")


@staged
async def test_every_answer_survives_the_way_to_a_console(node: Node) -> None:
    """Each is a frozen struct that msgpack can carry there and back."""
    player = await node.spawn(Player)
    for answer, kind in (
        (node.introspection.stats(player), ActorStats),
        (node.introspection.get_state(player), ActorState),
        (node.introspection.peek(player), MailboxPeek),
        (node.introspection.tree(), ActorTree),
    ):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(answer), type=kind) == answer
        with pytest.raises(AttributeError, match="immutable"):
            setattr(answer, "address", "elsewhere")  # noqa: B010  type checkers would see that it must fail


@staged
async def test_an_actor_that_has_ended_keeps_its_counts(node: Node) -> None:
    """ActorStats say gone, and there is no state any more."""
    player = await node.spawn(Player)
    player.tell(Note(1))
    await player.stop()
    stats = node.introspection.stats(player)
    assert (stats.phase, stats.received) == ("gone", 1)
    with pytest.raises(ActorStopped, match="has no instance: it is gone"):
        node.introspection.get_state(player)


# --- suspend and resume ----------------------------------------------------------------------------------------------


@staged
async def test_a_suspended_actor_handles_nothing_until_it_is_resumed(node: Node) -> None:
    """Mail waits in order, asks inline do not slip through, and the system queue is processed."""
    player = await node.spawn(Player)
    node.introspection.suspend(player)
    player.tell(Note(1))
    asked = player.ask(Double(4), timeout_s=1)
    with pytest.raises(AskTimeout, match="suspended"):
        await asked
    player.tell(Note(2))
    await settle()
    assert node.introspection.stats(player).suspended
    assert node.introspection.get_state(player).fields["noted"] == "[]"
    node.introspection.resume(player)
    assert await player.ask(Notes()) == [1, 2]


@staged
async def test_an_actor_is_suspended_between_two_messages(node: Node) -> None:
    """The handler at work ends as usual; one that suspends its own actor is the last for now."""
    gate = asyncio.Event()
    player = await node.spawn(Player, None, gate)
    held = player.ask(Hold(1))
    player.tell(Note(1))
    await settle()
    node.introspection.suspend(player)
    gate.set()
    assert await held == 1
    await settle()
    assert node.introspection.stats(player).queued == 1
    node.introspection.resume(player)
    assert await player.ask(Notes()) == [1]


@staged
async def test_a_suspended_actor_can_be_stopped(node: Node) -> None:
    """What waited becomes dead letters."""
    letters = letters_of(node)
    player = await node.spawn(Player)
    node.introspection.suspend(player)
    player.tell(Note(1))
    await player.stop()
    assert told(letters) == [(Note(1), "stopped")]


@staged
async def test_an_actor_stays_suspended_over_a_restart(node: Node) -> None:
    """The new instance handles nothing either, until it is resumed."""
    player = await node.spawn(Player)
    node.introspection.suspend(player)
    node.introspection.crash(player)
    player.tell(Note(5))
    await settle()
    stats = node.introspection.stats(player)
    assert (stats.restarts, stats.queued, stats.suspended) == (1, 1, True)
    node.introspection.resume(player)
    assert await player.ask(Notes()) == [5]


# --- replacing state -------------------------------------------------------------------------------------------------


@staged
async def test_state_is_replaced_between_two_messages_and_ahead_of_all(node: Node) -> None:
    """The handler at work sees the old state to its end, the messages that wait see the new one."""
    gate = asyncio.Event()
    player = await node.spawn(Player, None, gate)
    held, notes = player.ask(Hold(1)), player.ask(Notes())
    replacing = asyncio.create_task(node.introspection.replace_state(player, {"noted": [40, 41]}))
    await settle()
    assert not replacing.done()
    gate.set()
    assert (await replacing).fields["noted"] == "[40, 41]"
    assert (await held, await notes) == (1, [40, 41])


@staged
async def test_state_that_cannot_be_replaced_is_the_caller_s_error(node: Node) -> None:
    """An unknown name changes nothing; the actor goes on; one that ends meanwhile says so."""
    gate = asyncio.Event()
    player = await node.spawn(Player, None, gate)
    with pytest.raises(InvalidOption, match=r"has no attribute 'balance'; its attributes: story, gate, noted$"):
        await node.introspection.replace_state(player, {"noted": [1], "balance": 3})
    assert await player.ask(Notes()) == []
    player.tell(Hold(1))
    replacing = asyncio.create_task(node.introspection.replace_state(player, {"noted": [1]}))
    await settle()
    await player.kill()
    with pytest.raises(ActorStopped, match=r"ended \(killed\) before its state was replaced$"):
        await replacing


# --- crash -----------------------------------------------------------------------------------------------------------


@staged
async def test_a_crash_is_a_failure_like_any(node: Node) -> None:
    """The supervisor restarts it, its mail waits, and the report names the reason."""
    crashes: list[BaseException] = []
    node.reports.on_crash.append(lambda _cell, error, _text: crashes.append(error))
    player = await node.spawn(Player)
    node.introspection.crash(player, ValueError("chaos"))
    player.tell(Note(3))
    await settle()
    assert [repr(error) for error in crashes] == ["ValueError('chaos')"]
    assert cell_of(player).restarts == 1
    assert await player.ask(Notes()) == [3]
    node.introspection.crash(player)
    await settle()
    assert [type(error) for error in crashes[1:]] == [ActorFailed]


@staged
async def test_a_crash_cuts_a_handler_short(node: Node) -> None:
    """The message at work is a dead letter and its asker hears of it; the actor is restarted at once."""
    letters = letters_of(node)
    player = await node.spawn(Player)
    held = player.ask(Hold(1))
    await settle()
    node.introspection.crash(player)
    with pytest.raises(ActorStopped):
        await held
    await settle()
    assert (told(letters), cell_of(player).restarts) == ([(Hold(1), "cancelled")], 1)


@staged
async def test_who_is_not_live_is_not_crashed(node: Node) -> None:
    """An actor that has ended is left alone, and so is one that waits for its restart."""
    player = await node.spawn(Player)
    player.tell(Fail())
    await settle()
    await player.stop()
    node.introspection.crash(player)
    await settle()
    assert cell_of(player).restarts == 1


def test_looking_costs_nothing_afterwards() -> None:
    """When a trace has ended, the actor is back on the fast path."""

    async def scene(node: Node) -> None:
        player = await node.spawn(Player)
        table = cell_of(player).table
        trace = node.introspection.trace(player, 1)
        assert cell_of(player).table is not table
        player.tell(Note(1))
        assert [traced.message async for traced in trace] == ["Note(n=1)"]
        await settle()
        assert cell_of(player).table is table
        assert not cell_of(player).slow_path

    play_on(Node(), scene)
