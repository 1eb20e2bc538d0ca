"""A member cannot take the name of another one while that lives, with one key for all: by no greeting."""

import asyncio

import pytest

from tests.runtime.net.intruder import Intruder, attacked, with_keys
from trouper import Node
from trouper.runtime.kernel.address import NodeId
from trouper.runtime.node.services.worker_nodes import WorkerNodeEnded
from trouper.runtime.session.identity import Identity, Role
from trouper.testing import settle, virtual_time

MEMBER = frozenset[Role]({"member"})


@pytest.mark.parametrize("generation", ["the same", "another"])
def test_a_living_peer_keeps_its_session_when_another_node_greets_with_its_name(generation: str) -> None:
    """Its name and its generation are public; what is said to it goes to no other endpoint."""

    @attacked()
    async def scene(node: Node) -> None:
        ada = Intruder(node, "ada")
        await ada.connect()
        before = node.network.peers["ada"]
        told = NodeId("ada", ada.node_id.generation + (generation == "another"))
        eve = Intruder(node, "eve", poses_as=told)
        await eve.dial(10.0)
        assert eve.session is None
        assert node.network.peers["ada"] is before
        assert before.lost is None
        assert ada.session is not None
        await eve.close()
        await ada.close()

    scene()


@virtual_time
async def test_a_node_that_is_dialled_at_two_endpoints_has_one_session() -> None:
    """The second dial finds that the first one leads to the same node, and ends without a refusal that is reported."""
    refused: list[str] = []
    async with (
        Node("a", listen=["inprocess://a", "inprocess://a-again"]) as a,
        Node("b", listen=["inprocess://b"], join=["inprocess://a"]) as b,
    ):
        b.network.on_dial_refused.append(lambda endpoint, code, _: refused.append(f"{endpoint}: {code}"))
        peer = await b.network.wait_for_peer("a")
        b.network.connect("inprocess://a-again")
        await asyncio.sleep(10.0)
        assert b.network.peers == {"a": peer}
        assert set(a.network.peers) == {"b"}
        assert refused == []


@attacked()
async def test_the_end_of_a_worker_is_believed_from_the_node_whose_key_it_has(node: Node) -> None:
    """A peer that is called like the parent, and has another key, ends no session of a worker."""
    with_keys(node, a=Identity("a", "ada", MEMBER), m=Identity("m", "mallory", MEMBER))
    worker, parent = Intruder(node, "ada.worker-1", key="a"), Intruder(node, "ada", key="m")
    ended = WorkerNodeEnded("ada.worker-1", worker.node_id.generation, "for the test")
    for each in (worker, parent):
        await each.connect()
    parent.say(ended)
    await settle()
    assert "ada.worker-1" in node.network.peers
    assert node.network.security.counts == {"mallory": {"WorkerNodeEnded": 1}}
    await parent.close()
    parent = Intruder(node, "ada", key="a")
    await parent.connect()
    parent.say(ended)
    await settle()
    assert "ada.worker-1" not in node.network.peers
    await parent.close()
    await worker.close()
