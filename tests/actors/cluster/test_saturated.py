"""Failure detection does not wait behind the messages of users (law 3)."""

import asyncio

from tests.actors.cluster.stage import PLAIN
from trouper import Actor, Message, handler
from trouper.cluster import MemberEvent, MemberInfo, MemberSuspected
from trouper.testing import Simulation, simulate
from trouper.transports.network_faults import Quality

TEN_MBIT = Quality(delay_s=0.005, bandwidth_bytes_s=1_250_000.0)
CHUNK_BYTES = 50_000
CHUNKS = 240
"""In all 12 MB, which take ten seconds; a probe times out after half of one."""


class Chunk(Message[None]):
    """A part of what is sent."""

    content: bytes


class Sink(Actor):
    """Counts chunks."""

    def __init__(self) -> None:
        self.count = 0

    @handler
    def chunk(self, msg: Chunk) -> None:
        self.count += 1


class Watcher(Actor):
    """Notes suspicions, and what happens to members."""

    def __init__(self, suspected: list[MemberInfo]) -> None:
        self.suspected = suspected

    def on_start(self) -> None:
        self.node.events.subscribe(MemberEvent, self.ref)

    @handler
    def member(self, msg: MemberEvent) -> None:
        if isinstance(msg, MemberSuspected):
            self.suspected.append(msg.member)


async def _saturate(simulation: Simulation) -> None:
    suspected: list[MemberInfo] = []
    for node in simulation.nodes:
        await node.cluster.wait_for(3)
        await node.spawn(Watcher, suspected)
    simulation.set_quality(TEN_MBIT)
    n1, n2 = simulation["n1"], simulation["n2"]

    await simulation.run_on("n2", lambda node: node.spawn(Sink, name="sink"))
    sink = await n1.network.whereis("n2", "user/sink")
    assert sink is not None
    for _ in range(CHUNKS):
        sink.tell(Chunk(bytes(CHUNK_BYTES)))
    await asyncio.sleep(8.0)
    found = n2.find("user/sink")
    assert found is not None
    assert 0 < n2.introspection.stats(found).handled < CHUNKS, "the connection was not saturated all the time"
    assert n1.cluster.round_trips.smoothed_s()["n2"] < 0.1
    assert not suspected
    await asyncio.sleep(12.0)
    assert n2.introspection.stats(found).handled == CHUNKS
    assert not suspected


def test_a_saturated_connection_raises_no_suspicion() -> None:
    """Pings and their answers are datagrams, and arrive in time while messages wait for many seconds."""
    simulate(
        _saturate,
        seed=1,
        nodes=3,
        joins={"n2": ["n1"], "n3": ["n1"]},
        options=lambda _: {"cluster": PLAIN},
    )
