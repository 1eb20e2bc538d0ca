"""A child that runs on another node is supervised as any other, behind one ref."""

import asyncio
from collections.abc import Callable

import pytest

from tests.runtime.net.stage import Add, Clerk, Downs, Numbers, Ruin, Sum, Wait, cell_of, check_books, pair, paired
from tests.runtime.stage import letters_of, play
from trouper import (
    Actor,
    ActorRef,
    ActorStopped,
    Child,
    InvalidOption,
    Mailbox,
    Message,
    Node,
    NodeUnreachable,
    OneForAll,
    PriorityQueue,
    StartFailed,
    WireError,
    handler,
)
from trouper.testing import settle


class Born(Message[ActorRef]):
    """The reply is a child, placed where the parent was told to."""

    place: str


class Parent(Actor):
    """Has children on other nodes."""

    @handler
    async def born(self, msg: Born) -> ActorRef:
        return await self.spawn(Clerk, 5, name="kid", place=msg.place)


class Twins(Parent):
    """All restart when one fails."""

    supervision = OneForAll()


class Stillborn(Actor):
    """Cannot start."""

    def on_start(self) -> None:
        raise ConnectionError("no database")


@paired
async def test_a_failure_on_the_other_node_is_a_failure_of_the_child_here(a: Node, b: Node) -> None:
    """The parent's strategy restarts it, its ref stays, and its state is new."""
    ada = await a.spawn(Clerk, name="ada", place="b")
    ada.tell(Add(1))
    with pytest.raises(ValueError, match="no such value"):
        await ada.ask(Ruin("value"))
    assert await ada.ask(Numbers()) == []
    assert (cell_of(ada).restarts, ada.address.path) == (1, "user/ada")
    assert [child.name for child in (b.system.user.children or {}).values()] == ["ada"]


@paired
async def test_too_many_failures_on_the_other_node_are_escalated_here(a: Node, b: Node) -> None:
    """The parent fails as it would by any child; everything ends in order, there too."""
    parent = await a.spawn(Parent, name="parent", restart="temporary")
    kid = await parent.ask(Born("b"))
    for _ in range(4):
        with pytest.raises(ValueError, match="no such value"):
            await kid.ask(Ruin("value"))
        await settle()
    assert await parent.wait_stopped() == "failed"
    await settle()
    assert b.system.user.children in (None, {})


@paired
async def test_the_child_ends_with_its_parent_and_by_itself(a: Node, b: Node) -> None:
    """Neither side is left without the other."""
    parent = await a.spawn(Parent)
    kid = await parent.ask(Born("b"))
    await parent.stop()
    assert await kid.wait_stopped() == "stopped"
    ada = await a.spawn(Clerk, name="ada", place="b")
    there = b.find("user/ada")
    assert there is not None
    await there.stop()
    assert await ada.wait_stopped() == "stopped"
    killed = await a.spawn(Clerk, name="killed", place="b")
    await killed.kill()
    await settle()
    assert b.system.user.children in (None, {})


@paired
async def test_messages_sent_while_it_restarts_wait_and_stay_in_order(a: Node, b: Node) -> None:
    """The mailbox of the proxy survives the restart, as a mailbox does."""
    ada = await a.spawn(Clerk, place="b")
    failing = ada.ask(Ruin("value"))
    with pytest.raises(ValueError, match="no such value"):
        await failing
    for n in range(2_000):
        ada.tell(Add(n))
    assert await ada.ask(Numbers()) == list(range(2_000))


@paired
async def test_an_ask_that_waited_for_the_restart_keeps_its_deadline(a: Node, b: Node) -> None:
    """It is cancelled there when its time is up here."""
    ada = await a.spawn(Clerk, place="b")
    ada.tell(Ruin("value"))
    await settle()
    with pytest.raises(TimeoutError):
        await ada.ask(Wait(9.0), timeout_s=0.5)


@paired
async def test_a_start_that_fails_there_raises_here_as_it_would_here(a: Node, b: Node) -> None:
    """The name is free again on both sides."""
    with pytest.raises(StartFailed, match="no database"):
        await a.spawn(Stillborn, name="ada", place="b")
    assert a.find("user/ada") is None
    await a.spawn(Clerk, name="ada", place="b")
    with pytest.raises(NodeUnreachable, match="not connected to 'c'"):
        await a.spawn(Clerk, place="c")


@paired
async def test_a_function_chooses_the_place_each_time(a: Node, b: Node) -> None:
    """At the start and at each restart; its own node may be chosen too."""
    places = ["b", "a", "b"]
    ada = await a.spawn(Clerk, place=lambda node: places.pop(0) if node is a else "nowhere")
    for _ in range(2):
        with pytest.raises(ValueError, match="no such value"):
            await ada.ask(Ruin("value"))
        assert await ada.ask(Add(1)) == 1
    assert places == []
    await ada.stop()
    assert await (await a.spawn(Clerk, place=lambda _: "a", name="near")).ask(Sum()) == 0


def lose_b(meanwhile: Callable[[Node], object]) -> list[object]:
    """Two nodes, a child of the one on the other, which goes and comes back; returns what was seen."""
    seen: list[object] = []
    a, b = pair()

    async def main() -> None:
        async with a:
            async with b:
                await a.network.wait_for_peer("b")
                parent = await a.spawn(Twins if meanwhile is two_for_one else Parent)
                kid, watcher = await parent.ask(Born("b")), await a.spawn(Clerk)
                kid.watch(watcher)
                assert await kid.ask(Sum()) == 5
            await settle()
            seen.append(meanwhile(a))
            waiting = kid.ask(Sum(), timeout_s=30.0)
            async with Node("b", listen="inprocess://b", join=["inprocess://a"]):
                seen.append(await asyncio.wait({waiting}))
                seen[-1] = waiting.exception() or waiting.result()
                seen.append(await watcher.ask(Downs()))

    play(main)
    check_books(a)
    return seen


def one_for_one(a: Node) -> object:
    """Nothing counts as a failure."""
    return None


def two_for_one(a: Node) -> object:
    """The siblings restart with it."""
    return None


@pytest.mark.parametrize("meanwhile", [one_for_one, two_for_one])
def test_a_lost_node_places_the_child_anew_when_it_is_back(meanwhile: Callable[[Node], object]) -> None:
    """Watchers get no Down, and asks made meanwhile are answered."""
    assert lose_b(meanwhile) == [None, 5, []]


def test_a_temporary_child_ends_with_its_node() -> None:
    """It is not placed anew, and what is sent to it then is a dead letter."""
    a, b = pair()

    async def main() -> None:
        async with a:
            async with b:
                await a.network.wait_for_peer("b")
                ada, watcher = await a.spawn(Clerk, place="b", restart="temporary"), await a.spawn(Clerk)
                ada.watch(watcher)
            assert await ada.wait_stopped() == "failed"
            assert await watcher.ask(Downs()) == ["failed"]
            letters = letters_of(a)
            ada.tell(Add(1))
            with pytest.raises(ActorStopped):
                await ada.ask(Sum())
            await settle()
            assert [letter.reason for letter in letters] == ["stopped", "stopped"]

    play(main)


@paired
async def test_a_placement_function_that_names_no_node_is_named(a: Node, b: Node) -> None:
    """What it returned, and where; also for a node that is not connected, or when it raises."""

    def nobody(node: Node) -> str:
        return None  # type: ignore[return-value]  # pyright: ignore[reportReturnType]  wrong on purpose

    def elsewhere(node: Node) -> str:
        return "atlantis"

    def fails(node: Node) -> str:
        raise LookupError(f"no room on {node.name}")

    with pytest.raises(InvalidOption, match=r"function .*nobody returned None on node a: it must return the name of"):
        a.spawn(Clerk, place=nobody)
    unreachable = r"not connected to 'atlantis'; .*; the placement function .*elsewhere chose it$"
    with pytest.raises(NodeUnreachable, match=unreachable):
        a.spawn(Clerk, place=elsewhere)
    with pytest.raises(LookupError, match="no room on a"):
        a.spawn(Clerk, place=fails)
    assert not a.system.user.children
    assert not b.system.user.children


def test_one_that_waits_for_its_place_stops_at_once() -> None:
    """Nothing runs anywhere, so there is nothing to wait for."""
    a, b = pair()

    async def main() -> None:
        async with a:
            async with b:
                await a.network.wait_for_peer("b")
                ada = await a.spawn(Clerk, place="b")
            await settle()
            before = asyncio.get_running_loop().time()
            ada.tell(Add(1))
            await ada.stop()
            assert await ada.wait_stopped() == "stopped"
            assert asyncio.get_running_loop().time() == before

    play(main)
    check_books(a)


@paired
async def test_a_supervisor_may_have_children_on_other_nodes(a: Node, b: Node) -> None:
    """By their specification; they restart together with their siblings, wherever those are."""
    children = (Child(Clerk, name="here"), Child(Clerk, 5, name="there", place="b"))
    await a.supervise(*children, strategy=OneForAll(), name="tree")
    here, there = a.find("user/tree/here"), a.find("user/tree/there")
    assert here is not None
    assert there is not None
    here.tell(Add(1))
    there.tell(Add(1))
    assert await there.ask(Sum()) == 6
    with pytest.raises(ValueError, match="no such value"):
        await there.ask(Ruin("value"))
    assert (await here.ask(Sum()), await there.ask(Sum())) == (0, 5)


@paired
async def test_children_of_different_parents_may_have_one_name_on_another_node(a: Node, b: Node) -> None:
    """The name is that of the child here; there both are spawned under ``/user``."""
    one, two = await a.spawn(Parent), await a.spawn(Parent)
    kids = [await each.ask(Born("b")) for each in (one, two)]
    assert [kid.name for kid in kids] == ["kid", "kid"]
    assert [await kid.ask(Numbers()) for kid in kids] == [[5], [5]]
    assert b.find("user/kid") is None


@paired
async def test_what_a_spawn_says_in_place_of_the_class_holds_on_the_other_node(a: Node, b: Node) -> None:
    """Its mailbox, its resume and its executor; keywords go to ``__init__`` there."""
    box = Mailbox(high_water=2, limit=3, when_full="drop_oldest", rate_per_s=50.0)
    await a.spawn(Clerk, name="ada", place="b", mailbox=box, resume=(ValueError, ZeroDivisionError))
    there = b.find("user/ada")
    assert there is not None
    assert cell_of(there).spec.mailbox == box
    assert cell_of(there).spec.resume == (ValueError, ZeroDivisionError)
    await a.spawn(ThreadClerk, start=5, name="bob", place="b", executor="loop")
    there = b.find("user/bob")
    assert there is not None
    assert cell_of(there).spec.executor == "loop"
    with pytest.raises(InvalidOption, match="executor='gpu': node b has loop, thread"):
        await a.spawn(ThreadClerk, place="b", executor="gpu")


class ThreadClerk(Actor):
    """Runs in a thread, unless the spawn says otherwise."""

    executor = "thread"

    def __init__(self, start: int = 0) -> None:
        self.start = start


@paired
async def test_what_cannot_be_sent_to_another_node_is_refused_at_the_spawn(a: Node, b: Node) -> None:
    """A queue of the user's own, an error of a function, a limit that the other node does not take."""

    class Hidden(Exception):
        pass

    with pytest.raises(InvalidOption, match="a queue of its own cannot be sent"):
        await a.spawn(Clerk, place="b", mailbox=Mailbox(queue=lambda: PriorityQueue(lambda _: 0)))
    with pytest.raises(InvalidOption, match="cannot be found by name on another node"):
        await a.spawn(Clerk, place="b", resume=(Hidden,))
    with pytest.raises(WireError, match="limit=2000000 of a mailbox from another node must be 1000000 at most"):
        await a.spawn(Clerk, place="b", mailbox=Mailbox(limit=2_000_000))
    assert b.network.placed_actors.total() == 0
