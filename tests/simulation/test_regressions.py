"""What the torture has found, each as the smallest scenario that shows it, under many seeds.

The seed that found it is named; it means something only to the torture of that day, the scenario stays.
"""

import asyncio

import pytest

from tests.simulation.witness import cell_of
from trouper import Actor, ActorRef, ActorStopped, Backoff, DeadLetter, Mailbox, Message, OneForAll, handler
from trouper.testing import Probe, Simulation, seeds


class Go(Message[int]):
    pass


class Passed(Message[int]):
    pass


class Tick(Message):
    pass


class Quiet(Actor):
    """Takes a tick now and then."""

    @handler
    def tick(self, msg: Tick) -> None: ...


class Forwarder(Actor):
    """Passes on, and fails."""

    def __init__(self, target: ActorRef) -> None:
        self.target = target

    @handler
    async def go(self, msg: Go) -> int:
        self.forward(self.target, Passed())
        raise RuntimeError("after passing on")


@seeds(20)
async def test_a_handler_that_fails_after_forwarding_loses_its_own_message(sim: Simulation) -> None:
    """The dead letter names the message that the handler was given, and the forwarded one is answered (seed 379)."""
    letters: list[DeadLetter] = []
    sim.node.reports.on_letter.append(letters.append)
    probe = Probe(sim.node)
    forwarder = await sim.node.spawn(Forwarder, probe.ref)
    asked = forwarder.ask(Go())
    await probe.expect(Passed)
    probe.reply(7)
    assert await asked == 7
    assert [(letter.message, letter.reason) for letter in letters] == [(Go(), "failed")]


class Undead(Actor):
    """Kills itself, and goes on."""

    def __init__(self, refused: list[str]) -> None:
        self.refused = refused

    @handler
    async def go(self, msg: Go) -> int:
        self.ref.kill()
        try:
            self.timers.every("tick", 1.0, Tick())
        except ActorStopped:
            self.refused.append("timer")
        try:
            self.stash(msg)
        except ActorStopped:
            self.refused.append("stash")
        return 1


@seeds(20)
async def test_what_is_begun_after_the_end_is_refused(sim: Simulation) -> None:
    """A handler that outlives its actor cannot set timers that would never end, nor stash (seeds 116, 637)."""
    refused: list[str] = []
    undead = await sim.node.spawn(Undead, refused)
    with pytest.raises(ActorStopped):
        await undead.ask(Go())
    await sim.settle()
    assert refused == ["timer", "stash"]


class Keeper(Actor):
    """Keeps its child over a restart."""

    keep_children = True

    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    def on_start(self) -> None:
        if not self.__cell__.children:
            self.probe.watch(self.spawn_nowait(Quiet, name="child"))


class Parent(Actor):
    """Restarts its child late."""

    supervision = OneForAll(backoff=Backoff(1.0, 1.0))

    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    def on_start(self) -> None:
        self.spawn_nowait(Keeper, self.probe, name="keeper")


def _child(parent: ActorRef, name: str) -> ActorRef:
    children = cell_of(parent).children
    assert children is not None
    return children[name].ref


@seeds(20)
async def test_no_orphans_when_a_stop_meets_half_a_restart(sim: Simulation) -> None:
    """Children that are kept over a restart end too when the parent is stopped before the restart is done (seed 2)."""
    probe = Probe(sim.node)
    parent = await sim.node.spawn(Parent, probe)
    keeper = _child(parent, "keeper")
    child = _child(keeper, "child")
    sim.crash(keeper)
    await asyncio.sleep(0.5)
    parent.stop()
    await probe.expect_down(child, "stopped")


class Refusing(Actor):
    """Has room for one message, and refuses more."""

    mailbox = Mailbox(high_water=1, limit=1, when_full="raise_full")

    @handler
    async def go(self, msg: Go) -> int:
        self.pipe_to_self(asyncio.sleep(1.0), lambda _: Tick())
        self.timers.every("tick", 1.0, Tick())
        await asyncio.sleep(4.5)
        return 1

    @handler
    def tick(self, msg: Tick) -> None: ...


@seeds(20)
async def test_what_a_full_actor_tells_itself_is_not_lost_in_silence(sim: Simulation) -> None:
    """The result of a pipe, or a tick, for which there is no room is a dead letter, or left out (seed 1270)."""
    refusing = await sim.node.spawn(Refusing)
    asked = refusing.ask(Go())
    await sim.settle()
    refusing.tell(Tick())
    assert await asked == 1
    await asyncio.sleep(2.0)
    assert set(sim.node.system.dead_letters) <= {"mailbox_full"}


class Born(Message):
    """A tick that knows who set it."""

    instance: int


class Reborn(Actor):
    """Is restarted between a tick's arrival and its turn."""

    def __init__(self, sim: Simulation, instances: list[int], ticks: list[tuple[int, int]]) -> None:
        self.sim, self.ticks = sim, ticks
        self.instance = len(instances)
        instances.append(self.instance)

    @handler
    async def go(self, msg: Go) -> int:
        self.timers.once("born", 1.0, Born(self.instance))
        await asyncio.sleep(2.0)
        asyncio.get_running_loop().call_soon(self.sim.crash, self.ref)
        return 1

    @handler
    def born(self, msg: Born) -> None:
        self.ticks.append((self.instance, msg.instance))


@seeds(20)
async def test_the_tick_of_a_dead_instance_is_not_handled(sim: Simulation) -> None:
    """A tick that was looked at, and put back, dies with the instance whose timer it was (seed 20010)."""
    instances: list[int] = []
    ticks: list[tuple[int, int]] = []
    reborn = await sim.node.spawn(Reborn, sim, instances, ticks)
    await reborn.ask(Go())
    await asyncio.sleep(1.0)
    assert instances == [0, 1]
    assert [pair for pair in ticks if pair[0] != pair[1]] == []


@seeds(5, nodes=2, options=lambda _: {"shutdown_s": 0.5})
async def test_a_shutdown_without_time_left_closes_the_sockets(sim: Simulation) -> None:
    """A peer that is cut off does not confirm the end of the session; the next node can listen at the same endpoint.

    Seed 26 of the torture with workers.
    """
    sim.partition("n1", "n2")
    await sim.stop("n1")
    sim.repair()
    await sim.restart("n1")
    await sim.wait_connected()
