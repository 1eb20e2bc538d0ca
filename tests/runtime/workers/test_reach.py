"""Workers of several nodes reach one another by refs alone: each dials the other at its own endpoint on demand."""

from __future__ import annotations

import os

from msgspec.structs import replace

from tests.runtime.workers.stage import GONE_S, QUICK, Clerk, Exit, Myself, Pass, Pid, run
from trouper import ActorRef, ActorStopped, Node
from trouper.runtime.net.peer import Peer

ONE = replace(QUICK, count=1)
HERE = "tcp://127.0.0.1:0"


def _endpoint(node: Node, peer: Peer) -> str:
    session = node.network._sessions.peer(peer.node)  # noqa: SLF001  by which transport a node is reached is tested
    assert session is not None
    return session.endpoint


async def _of_b(a: Node, name: str) -> ActorRef:
    found = await a.network.whereis("b", name)
    assert found is not None
    return found


def test_a_ref_to_an_actor_on_a_worker_is_of_use_on_every_node() -> None:
    """At another node and at its workers: the address of its node travels with the ref."""

    async def scene() -> None:
        async with (
            Node("a", listen=HERE, insecure=True, workers=ONE) as a,
            Node("b", listen=HERE, insecure=True, join=[a.network.endpoint], workers=ONE) as b,
        ):
            await a.network.wait_for_peer("b")
            on_b = await b.spawn(Clerk, place="worker-1")
            pid = await on_b.ask(Pid())
            b.registry.register("placed", await on_b.ask(Myself()))
            known_at_a = await _of_b(a, "placed")
            assert known_at_a.address.node == "b.worker-1"
            assert "b.worker-1" not in a.network.peers, "no session before it is needed"
            assert await known_at_a.ask(Pid()) == pid, "from the other node"
            assert _endpoint(a, a.network.peer("b.worker-1")).startswith("tcp://127.0.0.1:"), "as other hosts reach it"
            assert _endpoint(a, a.network.peer("a.worker-1")).startswith("ipc://")
            on_a = await a.spawn(Clerk, place="worker-1")
            assert await on_a.ask(Pass(known_at_a)) == pid, "from the worker of the other node"
            own = await on_a.ask(Myself())
            assert await known_at_a.ask(Pass(own)) == await own.ask(Pid()), "from worker to worker"
            assert await known_at_a.ask(Pass(await a.spawn(Clerk))) == os.getpid()

    run(scene())


def test_an_actor_on_a_worker_that_has_died_is_known_to_be_lost() -> None:
    """A peer that was connected to the worker fails asks at once; the next generation of the worker is another node."""

    async def scene() -> None:
        async with (
            Node("a", listen=HERE, insecure=True) as a,
            Node("b", listen=HERE, insecure=True, join=[a.network.endpoint], workers=ONE) as b,
        ):
            await a.network.wait_for_peer("b")
            on_b = await b.spawn(Clerk, place="worker-1")
            b.registry.register("placed", await on_b.ask(Myself()))
            known_at_a = await _of_b(a, "placed")
            pid = await known_at_a.ask(Pid())
            on_b.tell(Exit(3))
            while True:
                try:
                    assert await on_b.ask(Pid(), GONE_S) != pid
                    break
                except ActorStopped:
                    pass
            b.registry.unregister("placed")
            b.registry.register("placed", await on_b.ask(Myself()))
            assert await (await _of_b(a, "placed")).ask(Pid()) == await on_b.ask(Pid())
            assert known_at_a != await _of_b(a, "placed")

    run(scene())
