"""What was told to another node is handled there, a dead letter, or counted as unknown: law 11 between nodes."""

import asyncio
from collections.abc import Callable

import pytest

from tests.runtime.net.stage import Add, Clerk, Sum, Wait, check_books, paired, peer_of, spawn_remote
from trouper import Actor, ActorStopped, Mailbox, Message, Node, PriorityQueue, handler
from trouper.runtime.net.control import MessagesSettled
from trouper.runtime.net.settled import REPORT_S, REPORT_S_MAX
from trouper.testing import Simulation, settle, simulate, virtual_time


class Work(Message):
    """Takes a while."""

    n: int


class Put(Message):
    """Goes into the stash until ``Take``."""


class Take(Message):
    """Ends the stash."""


HANDLED: list[int] = []


class Worker(Actor):
    """Handles a message in 10 ms, and writes it down where a crash does not take it."""

    @handler
    async def work(self, msg: Work) -> None:
        await asyncio.sleep(0.01)
        HANDLED.append(msg.n)


class Sorting(Worker):
    """Handles the highest number first."""

    mailbox = Mailbox(queue=lambda: PriorityQueue(lambda message: -getattr(message, "n", 0)))


class Stashing(Actor):
    """Puts messages aside."""

    open = False

    @handler
    def put(self, msg: Put) -> None:
        if not self.open:
            self.stash(msg)

    @handler
    def take(self, msg: Take) -> None:
        self.open = True
        self.unstash_all()


async def _lost(sim: Simulation, told: int, after_s: float, worker: type[Worker]) -> None:
    """Tell messages to an actor of a node that crashes; hold the books of the sender against what was handled."""
    HANDLED.clear()
    a = sim["n1"]
    far = await a.spawn(worker, place="n2", name="far")
    before = a.dead_letters.counts
    for n in range(told):
        far.tell(Work(n))
    asked = far.ask(Wait(1.0), 60.0) if worker is Worker else None
    await asyncio.sleep(after_s)
    handled_before = len(HANDLED)
    sim.crash("n2")
    await asyncio.sleep(60)
    if asked is not None:
        with pytest.raises(ActorStopped):
            await asked
    counts = a.dead_letters.counts
    unknown = counts.get("outcome_unknown", 0) - before.get("outcome_unknown", 0)
    lost = counts.get("node_lost", 0) - before.get("node_lost", 0)
    reported = told + (asked is not None) - unknown - lost
    assert a.accounting().missing == 0
    assert reported <= handled_before, "nothing counts as handled that was not"
    assert handled_before - reported <= 100 * (2 * REPORT_S_MAX if worker is Sorting else 2 * REPORT_S) + 10
    await sim.restart("n2")


@pytest.mark.parametrize("worker", [Worker, Sorting])
@pytest.mark.parametrize("seed", range(4))
def test_law_11_a_crash_leaves_no_message_uncounted(seed: int, worker: type[Worker]) -> None:
    """What a node had taken when it crashed is counted as unknown by its sender, what it had reported as handled."""

    async def scenario(sim: Simulation) -> None:
        await sim.boot(_nothing)
        await _lost(sim, 30 * (seed + 1), 0.3 * seed, worker)

    simulate(scenario, seed=seed, nodes=2)


async def _nothing(node: Node) -> None:
    """Begin with no actors."""


@virtual_time
async def test_law_11_after_an_orderly_end_nothing_is_unknown() -> None:
    """The actors' mailboxes end as dead letters over there, which is reported before the session ends."""
    async with Node("a", listen="inprocess://a") as a:
        async with Node("b", listen="inprocess://b", join=["inprocess://a"], shutdown_s=2.0) as b:
            await a.network.wait_for_peer("b")
            far = await spawn_remote(a, "b", Worker)
            for n in range(500):
                far.tell(Work(n))
            await asyncio.sleep(1)
        assert b.accounting().missing == 0
        assert b.accounting().in_flight == 0
        assert sum(b.dead_letters.counts.values()) > 100
        assert "outcome_unknown" not in a.dead_letters.counts
        assert a.accounting().missing == 0


@paired
async def test_the_peer_is_told_how_many_messages_are_settled(a: Node, b: Node) -> None:
    """Handled ones and those that no actor takes; not those in a mailbox or in the stash; asks are not counted."""
    reports = _reports(b, a)
    quick, slow, stashing = [await spawn_remote(a, "b", each) for each in (Clerk, Worker, Stashing)]
    for _ in range(5):
        quick.tell(Add(1))
    assert await quick.ask(Sum()) == 5
    for n in range(10):
        slow.tell(Work(n))
    stashing.tell(Put())
    await asyncio.sleep(0.06)
    assert 5 <= reports[-1] < 16
    await asyncio.sleep(10)
    assert reports[-1] == 15, "all but the one in the stash"
    stashing.tell(Take())
    await asyncio.sleep(10)
    assert reports[-1] == 17
    await quick.stop()
    quick.tell(Add(1))
    await asyncio.sleep(10)
    assert reports[-1] == 17, "the sender knows that it has ended"
    assert reports == sorted(set(reports)), "it rises, and is told when it has risen"


def _reports(sender: Node, receiver: Node, may_come: Callable[[], bool] = lambda: True) -> list[int]:
    """Collect what a node reports to another one, which it may do when ``may_come`` says so."""
    found: list[int] = []
    peer = receiver.network.peers[sender.name]
    take = peer.on_settled

    def on_settled(count: int) -> None:
        assert may_come()
        found.append(count)
        take(count)

    peer.on_settled = on_settled  # type: ignore[method-assign]  # its calls are to be seen
    return found


@paired
async def test_messages_of_others_do_not_keep_those_of_a_peer_unsettled(a: Node, b: Node) -> None:
    """An actor that is never idle has handled what came before the messages that it has left to do."""
    HANDLED.clear()
    reports = _reports(b, a, lambda: 100 in HANDLED)
    far = await spawn_remote(a, "b", Worker)
    near = b.find(far.address.path)
    assert near is not None
    for n in range(20):
        near.tell(Work(n))
    far.tell(Work(100))
    for n in range(300):
        near.tell(Work(n))
        await asyncio.sleep(0.01)
    assert reports == [1]
    await far.drain()


@paired
async def test_a_peer_can_say_nothing_false_of_what_is_settled(a: Node, b: Node) -> None:
    """A number above what it was told, or below the last one, changes nothing for the worse."""
    far = await spawn_remote(a, "b", Worker)
    for n in range(10):
        far.tell(Work(n))
    await settle()
    peer = peer_of(far)
    b.network.peers["a"].control(MessagesSettled(2**60))
    b.network.peers["a"].control(MessagesSettled(0))
    await settle()
    peer.lose("it was unplugged", [])
    await settle()
    assert "outcome_unknown" not in a.dead_letters.counts
    assert a.accounting().missing == 0
    check_books(a)


@paired
async def test_a_session_ends_as_idle_once_all_is_settled(a: Node, b: Node) -> None:
    """While an actor over there has messages left to do, the session is needed."""
    far = await spawn_remote(a, "b", Worker)
    for n in range(100):
        far.tell(Work(n))
    await asyncio.sleep(0.5)
    assert peer_of(far).is_needed
    await asyncio.sleep(5)
    assert not peer_of(far).is_needed
