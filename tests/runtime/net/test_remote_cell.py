import asyncio

import pytest

from tests.runtime.net.stage import (
    Add,
    Anything,
    Cancelled,
    Clerk,
    Downs,
    Meet,
    Numbers,
    Observe,
    Relay,
    Sum,
    Wait,
    cell_of,
    paired,
    remote_of,
    spawn_remote,
)  # fmt: skip
from tests.runtime.stage import letters_of
from trouper import Actor, ActorRef, ActorStopped, AskTimeout, LinkedActorFailed, Mailbox, Node, handler
from trouper.testing import settle


@paired
async def test_tells_arrive_in_order_and_asks_behind_them(a: Node, b: Node) -> None:
    """Also when one loop iteration sends more than one frame, and an ask does not overtake."""
    ada = await spawn_remote(a, "b", Clerk)
    for n in range(1_500):
        ada.tell(Add(n))
    assert await ada.ask(Numbers()) == list(range(1_500))


@paired
async def test_an_ask_that_comes_too_late_is_cancelled_there(a: Node, b: Node) -> None:
    """The asker hears at its deadline, whatever the other node does, and the handler is cancelled."""
    ada = await spawn_remote(a, "b", Clerk, name="ada")
    with pytest.raises(AskTimeout) as caught:
        await ada.ask(Wait(60.0), timeout_s=1.0)
    assert str(caught.value) == (
        f"{ada.address} did not answer Wait within 1 s (on node b, in reach); its handler may have run"
    )
    assert await ada.ask(Cancelled()) == 1


@paired
async def test_an_ask_that_is_cancelled_is_cancelled_there(a: Node, b: Node) -> None:
    """To give up an ask takes its handler away, and a reply that is under way is dropped and counted."""
    ada = await spawn_remote(a, "b", Clerk)
    ask = ada.ask(Wait(60.0))
    await settle()
    ask.cancel()
    assert await ada.ask(Cancelled()) == 1
    quick = ada.ask(Sum())
    await asyncio.sleep(0)
    quick.cancel()
    await settle()
    assert a.system.late_replies in (0, 1)


@paired
async def test_the_deadline_of_an_ask_holds_on_the_other_node(a: Node, b: Node) -> None:
    """A handler that asks further, on its own node, has no more time than it was given itself."""
    ada, ben = await spawn_remote(a, "b", Clerk), await spawn_remote(a, "b", Slow)
    with pytest.raises(AskTimeout):
        await ada.ask(Relay(ben, Add(1)), timeout_s=1.0)
    await settle()
    assert await ben.ask(Cancelled()) == 1


class Slow(Actor):
    """Takes a minute to add."""

    def __init__(self) -> None:
        self.cancelled = 0

    @handler
    async def add(self, msg: Add) -> int:
        try:
            await asyncio.sleep(60.0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return msg.n

    @handler(reentrant=True)
    async def how_many_cancelled(self, msg: Cancelled) -> int:
        return self.cancelled


@pytest.mark.parametrize(("end", "reason"), [("stop", "stopped"), ("drain", "stopped"), ("kill", "killed")])
@paired
async def test_an_actor_is_ended_from_another_node(a: Node, b: Node, end: str, reason: str) -> None:
    """To await the end waits for it; its watcher hears once; what comes later is refused."""
    ada, ben = await spawn_remote(a, "b", Clerk, name="ada"), await a.spawn(Clerk)
    ada.watch(ben)
    for n in range(3):
        ada.tell(Add(n))
    await {"stop": ada.stop, "drain": ada.drain, "kill": ada.kill}[end]()
    assert await ada.wait_stopped() == reason
    assert await ben.ask(Downs()) == [reason]
    assert b.find("user/ada") is None
    with pytest.raises(ActorStopped):
        await ada.ask(Sum())
    assert a.accounting().dead == 1


@paired
async def test_the_node_that_ends_an_actor_knows_why_it_ended(a: Node, b: Node) -> None:
    """Also when it was not watched before."""
    for how, reason in (("stop", "stopped"), ("drain", "stopped"), ("kill", "killed")):
        ada = await spawn_remote(a, "b", Clerk)
        await {"stop": ada.stop, "drain": ada.drain, "kill": ada.kill}[how]()
        assert await ada.wait_stopped() == reason


@paired
async def test_a_drained_actor_has_handled_the_messages_before(a: Node, b: Node) -> None:
    """A drain stays behind the messages of the same sender."""
    ada = await spawn_remote(a, "b", Clerk)
    for n in range(2_000):
        ada.tell(Add(n))
    await ada.drain()
    assert b.accounting().dead == 0


@paired
async def test_a_watch_of_what_has_ended_is_paid_at_once(a: Node, b: Node) -> None:
    """Whether it is known here already or has to be asked for."""
    ada, ben = await spawn_remote(a, "b", Clerk, name="ada"), await a.spawn(Clerk)
    node_id = b.find("user/ada")
    assert node_id is not None
    await node_id.stop()
    ada.watch(ben)
    await settle()
    assert await ben.ask(Downs()) == ["no_such_actor"]
    ada.watch(ben)
    assert await ben.ask(Downs()) == ["no_such_actor", "no_such_actor"]
    assert await ada.wait_stopped() == "no_such_actor"


@paired
async def test_a_watch_that_was_taken_back_is_owed_nothing(a: Node, b: Node) -> None:
    """Also when it is taken back and given again, there is one Down."""
    ada, ben = await spawn_remote(a, "b", Clerk), await a.spawn(Clerk)
    ada.watch(ben)
    ada.unwatch(ben)
    cleo = await a.spawn(Clerk)
    ada.watch(cleo)
    await ada.kill()
    assert await ben.ask(Downs()) == []
    assert await cleo.ask(Downs()) == ["killed"]


@paired
async def test_an_actor_watches_from_the_other_node(a: Node, b: Node) -> None:
    """A remote watcher gets its Down, of an actor here and of one beside it."""
    ada, ben, cleo = await spawn_remote(a, "b", Clerk), await spawn_remote(a, "b", Clerk), await a.spawn(Clerk)
    ben.watch(ada)
    cleo.watch(ada)
    await ben.stop()
    await cleo.kill()
    await settle()
    assert await ada.ask(Downs()) == ["stopped", "killed"]


@paired
async def test_refs_travel_and_come_home(a: Node, b: Node) -> None:
    """A ref stays the same however it travels: by its own node, by a peer, and inside untyped values."""
    ada, ben = await spawn_remote(a, "b", Clerk), await a.spawn(Clerk)
    assert await ada.ask(Meet(ben)) is ben
    assert await ada.ask(Meet(ada)) is ada
    assert await ada.ask(Anything({"refs": [ada, ben], "n": 1})) == {"refs": [ada, ben], "n": 1}
    node_id = b.find(ada.address.path)
    assert node_id is not None
    assert hash(node_id) == hash(ada)
    assert node_id == ada
    assert node_id is not ada


@paired
async def test_a_ref_to_a_third_node_reaches_it_without_a_session_before(a: Node, b: Node) -> None:
    """The address of its node comes with it; once that node has ended, messages are dead letters again."""
    async with Node("c", listen="inprocess://c", join=["inprocess://b"]) as c:
        await c.network.wait_for_peer("b")
        await b.network.wait_for_peer("c")
        yon = await spawn_remote(b, "c", Clerk, name="far")
        near = await b.spawn(Keeper, name="near")
        assert await near.ask(Meet(yon)) is yon
        keeper = await a.network.whereis("b", "user/near")
        assert keeper is not None
        ref = await keeper.ask(Anything(None))
        assert isinstance(ref, ActorRef)
        assert str(ref.address) == str(yon.address)
        assert "c" not in a.network.peers
        ref.tell(Add(1))
        assert await ref.ask(Sum()) == 1
        assert await keeper.ask(Meet(ref)) == ref
        assert await ref.ask(Add(2)) == 3
    letters = letters_of(a)
    ref.tell(Add(1))
    with pytest.raises(ActorStopped):
        await ref.ask(Sum())
    assert [letter.reason for letter in letters] == ["node_lost", "node_lost"]
    await settle()


class Keeper(Actor):
    """Keeps an actor that it was sent."""

    who: ActorRef

    @handler
    def meet(self, msg: Meet) -> ActorRef:
        self.who = msg.who
        return msg.who

    @handler
    def anything(self, msg: Anything) -> object:
        return self.who


@paired
async def test_links_fail_both_ways_across_nodes(a: Node, b: Node) -> None:
    """An actor that is linked to one elsewhere fails when that is killed, and the other way round."""
    crashes: list[str] = []
    for node in (a, b):
        node.reports.on_crash.append(lambda cell, error, text: crashes.append(f"{cell.name} {type(error).__name__}"))
    for victim in ("ada", "ben"):
        ada, ben = await spawn_remote(a, "b", Clerk, name="ada"), await a.spawn(Linker, ada_of(a), name="ben")
        await ben.ask(Meet(ada))
        await (ada if victim == "ada" else ben).kill()
        await settle()
        other = ben if victim == "ada" else ada
        assert crashes.pop() == f"{other.name} {LinkedActorFailed.__name__}"
        await other.kill()


def ada_of(node: Node) -> str:
    """The name of a node; it stands for an argument."""
    return node.name


class Linker(Actor):
    """Links itself to an actor that it is sent."""

    def __init__(self, node: str) -> None:
        self.at = node

    @handler
    def meet(self, msg: Meet) -> ActorRef:
        self.link(msg.who)
        return msg.who


@paired
async def test_await_tell_waits_for_room_at_the_other_node(a: Node, b: Node) -> None:
    """A sender that awaits is held while the mailbox there stands above its high-water mark."""
    busy = await spawn_remote(a, "b", Busy)
    busy.tell(Wait(1.0))
    for n in range(20):
        busy.tell(Add(n))
    await settle()
    before = a.system.loop.time()
    await busy.tell(Add(99))
    assert a.system.loop.time() - before == pytest.approx(1.0)
    assert await busy.ask(Numbers()) == [*range(20), 99]
    assert cell_of(busy).phase == "live"


class Busy(Clerk):
    """A small mailbox."""

    mailbox = Mailbox(high_water=10)


@paired
async def test_what_asks_pass_on_is_answered_by_the_other_node(a: Node, b: Node) -> None:
    """An ask that a local actor forwards to a remote one has its reply from there."""
    ada = await spawn_remote(a, "b", Clerk, 40)
    passer = await a.spawn(Passer, ada)
    assert await passer.ask(Add(2)) == 42
    passer.tell(Add(1))
    assert await passer.ask(Sum()) == 43


class Passer(Actor):
    """Forwards."""

    def __init__(self, to: ActorRef) -> None:
        self.to = to

    @handler
    def add(self, msg: Add) -> int:
        self.forward(self.to, msg)
        return 0

    @handler
    async def sum(self, msg: Sum) -> int:
        return await self.to.ask(msg)


@paired
async def test_an_actor_observes_one_of_the_other_node_itself(a: Node, b: Node) -> None:
    """A ref that came in a message can be watched; the watcher hears when its whole node goes."""
    ada, ben = await spawn_remote(a, "b", Clerk), await a.spawn(Clerk)
    ada.tell(Observe(ben))
    await ada.ask(Sum())
    await ben.kill()
    await settle()
    assert await ada.ask(Downs()) == ["killed"]
    assert remote_of(ada).describe() == "on node b, in reach"
