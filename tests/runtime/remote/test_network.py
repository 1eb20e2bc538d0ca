import asyncio

import pytest

from tests.runtime.remote.stage import Add, Clerk, Sum, check_books, paired
from tests.runtime.stage import letters_of, play
from trouper import Node, NodeClosed
from trouper.runtime.remote.network import NodeUnreachable
from trouper.testing import settle


@paired
async def test_a_name_is_looked_up_on_another_node(a: Node, b: Node) -> None:
    """By its registered name, by its path, or not at all."""
    ada = await b.spawn(Clerk, name="ada")
    b.registry.register("clerk", ada)
    for name in ("clerk", "user/ada"):
        found = await a.network.whereis("b", name)
        assert found is not None
        assert await found.ask(Add(1)) >= 1
    assert await a.network.whereis("b", "nobody") is None
    with pytest.raises(NodeUnreachable) as caught:
        await a.network.whereis("c", "nobody")
    assert str(caught.value) == "node a is not linked to 'c'; it is linked to: b"
    assert list(a.network.peers) == ["b"]
    assert a.network.peer("b").describe() == "in reach"


def test_a_node_without_listen_has_no_network() -> None:
    """It says so, and a place is refused in words."""

    async def main() -> None:
        async with Node("a") as a:
            with pytest.raises(NodeClosed, match=r"^node a has no network: give it listen=..., or wait until it has"):
                _ = a.network

    play(main)


def test_a_node_does_not_join_itself() -> None:
    """The dial is refused, and the refusal is kept for whoever wants to know."""
    a = Node("a", listen="inprocess://a", join=["inprocess://a"])

    async def main() -> None:
        async with a:
            await asyncio.sleep(1.0)
            assert a.network.peers == {}
            with pytest.raises(NodeUnreachable) as caught:
                a.network.peer("a")
            assert str(caught.value) == (
                "node a is not linked to 'a'; it is linked to: none; inprocess://a refused: a has dialled itself"
            )

    play(main)
    check_books(a)


def test_two_nodes_of_one_name_are_not_linked() -> None:
    """Each goes on by itself; whoever dialled knows why."""
    one = Node("a", listen="inprocess://one")
    two = Node("a", listen="inprocess://two", join=["inprocess://one"])

    async def main() -> None:
        async with one, two:
            await asyncio.sleep(1.0)
            assert (one.network.peers, two.network.peers) == ({}, {})
            assert list(two.network.refusals.values()) == [
                "this node is called a too; give one of the two another name"
            ]

    play(main)
    check_books(one, two)


def test_a_node_that_closes_lets_nobody_wait_for_a_peer() -> None:
    """The wait ends with an error instead of never."""
    a = Node("a", listen="inprocess://a", join=["inprocess://nobody"])

    async def main() -> None:
        async with a:
            waiting = asyncio.ensure_future(a.network.wait_for_peer("b"))
            await settle()
        with pytest.raises(NodeClosed, match=r"^node a has closed its network: it waits for 'b' no more$"):
            await waiting

    play(main)


def test_what_is_said_last_still_goes_out() -> None:
    """A node that leaves sends what its actors told in their last moments."""
    a, b = Node("a", listen="inprocess://a"), Node("b", listen="inprocess://b", join=["inprocess://a"])

    async def main() -> None:
        async with a:
            async with b:
                await a.network.wait_for_peer("b")
                await b.network.wait_for_peer("a")
                letters = letters_of(a)
                ada = await a.spawn(Clerk, name="ada")
                found = await b.network.whereis("a", "user/ada")
                assert found is not None
                for n in range(700):
                    found.tell(Add(n))
            assert await ada.ask(Sum()) == sum(range(700))
            assert letters == []

    play(main)
    check_books(a, b)


def test_an_endpoint_that_is_taken_fails_the_start() -> None:
    """The error comes out of ``async with``, and nothing stays behind."""

    async def main() -> None:
        async with Node("a", listen="inprocess://a"):
            with pytest.raises(Exception, match=r"^inprocess://a is taken by another node in this loop"):
                await Node("b", listen="inprocess://a").__aenter__()

    play(main)
