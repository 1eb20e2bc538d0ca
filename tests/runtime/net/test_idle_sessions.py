"""In a cluster with more nodes than sessions, sessions come and go, and no message is lost by it."""

import asyncio
from functools import partial

from msgspec.structs import replace

from tests.actors.cluster.stage import PLAIN, Seen, Witness, play, view
from trouper import Actor, ActorRef, Message, Node, handler
from trouper.lowlevel import declare_header
from trouper.testing import Simulation

FEW = replace(PLAIN, sessions_max=8)
NODES = 20
NUMBER = declare_header("test-number", follows=True)


class Next(Message[None]):
    """One of a row of numbers."""

    number: int


class Row(Message[list[int]]):
    """The reply is the numbers so far."""


class Keeper(Actor):
    """Keeps numbers."""

    def __init__(self) -> None:
        self.row: list[int] = []

    @handler
    def take(self, msg: Next) -> None:
        assert self.headers == {NUMBER: str(msg.number).encode()}, "they wait for the next session with it"
        self.row.append(msg.number)

    @handler
    def reply(self, msg: Row) -> list[int]:
        return self.row


class Sender(Actor):
    """Sends a number to one keeper after the other, with pauses in which sessions may end."""

    def __init__(self, keepers: list[ActorRef]) -> None:
        self.keepers = keepers
        self.number = 0

    def on_start(self) -> None:
        self.timers.every("next", 0.35, Next(0))

    @handler
    def send(self, msg: Next) -> None:
        keeper = self.keepers[self.number % len(self.keepers)]
        keeper.with_headers({NUMBER: str(self.number).encode()}).tell(Next(self.number))
        self.number += 1


async def _find(name: str, node: Node) -> ActorRef | None:
    return await node.network.whereis(name, "user/keeper")


async def _many(sim: Simulation) -> None:
    witnesses = [await node.spawn(Witness) for node in sim.nodes]
    keepers = [await node.spawn(Keeper, name="keeper") for node in sim.nodes[1:]]
    spawn_remote: list[ActorRef] = []
    for node in sim.nodes[1:]:
        ref = await sim.run_on("n1", partial(_find, node.name))
        assert isinstance(ref, ActorRef)
        spawn_remote.append(ref)
    sender = await sim["n1"].spawn(partial(Sender, spawn_remote), name="sender")
    links: list[int] = []
    for _ in range(60):
        await asyncio.sleep(2.0)
        links += [len(node.network.peers) for node in sim.nodes]
    await sender.stop()
    await asyncio.sleep(5.0)
    rows = [await keeper.ask(Row()) for keeper in keepers]
    assert sorted(number for row in rows for number in row) == list(range(max(map(max, rows)) + 1))
    assert all(row == sorted(row) and len(row) > 15 for row in rows)
    assert {view(node) for node in sim.nodes} == {view(sim["n1"])}
    heard = [line for witness in witnesses for line in await witness.ask(Seen())]
    assert not [line for line in heard if line.startswith(("MemberUnreachable", "MemberDown"))]
    assert sum(links) / len(links) < 12


def test_messages_arrive_over_sessions_that_come_and_go() -> None:
    """In order, each once, and no member is taken for lost."""
    play(_many, nodes=NODES, config=FEW)
