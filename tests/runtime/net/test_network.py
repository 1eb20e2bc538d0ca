import asyncio
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from random import Random

import pytest

from tests.runtime.net.stage import Add, Clerk, Downs, Numbers, Observe, Sum, check_books, paired, spawn_remote
from tests.runtime.stage import letters_of, play
from trouper import ActorStopped, InvalidOption, Node, NodeClosed, NodeUnreachable
from trouper.runtime.net import join_reports
from trouper.runtime.net.network import MakeTransport
from trouper.runtime.net.peer import Peer
from trouper.runtime.node.opening import NetworkOptions
from trouper.runtime.session import effects
from trouper.testing import settle, virtual_time
from trouper.transports.network_faults import Quality
from trouper.transports.simulated import SimulatedNetwork, SimulatedTransport


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
    assert str(caught.value) == "node a is not connected to 'c'; it is connected to: b"
    assert list(a.network.peers) == ["b"]
    assert a.network.peer("b").describe() == "in reach"


def test_a_node_without_listen_has_no_network() -> None:
    """It says so, and a place is refused in words."""

    async def main() -> None:
        async with Node("a") as a:
            with pytest.raises(NodeClosed, match=r"^node a has no network: give it listen=..., or start it first$"):
                _ = a.network

    play(main)


def test_a_node_does_not_join_itself() -> None:
    """The dial is refused, and the reason is kept."""
    a = Node("a", listen="inprocess://a", join=["inprocess://a"])

    async def main() -> None:
        async with a:
            await asyncio.sleep(1.0)
            assert a.network.peers == {}
            with pytest.raises(NodeUnreachable) as caught:
                a.network.peer("a")
            assert str(caught.value) == (
                "node a is not connected to 'a'; it is connected to: none; "
                "no session with inprocess://a: a has dialled itself"
            )

    play(main)
    check_books(a)


@virtual_time
async def test_waiting_for_a_peer_ends_with_the_reason_why_none_was_reached() -> None:
    """After ``timeout_s``, for each endpoint of ``join``: nobody is there, or the node there refuses, in its words."""
    async with (
        Node("a", listen="inprocess://other-a"),
        Node("a", listen="inprocess://a", join=["inprocess://nobody", "inprocess://other-a"]) as a,
    ):
        with pytest.raises(NodeUnreachable) as caught:
            await a.network.wait_for_peer("b", timeout_s=20.0)
        text = str(caught.value)
        assert text.startswith("node a has no session with 'b' after 20 s; it is connected to: none; no session with ")
        assert "inprocess://nobody: no node answers there" in text
        assert "inprocess://other-a: " in text
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await a.network.wait_for_peer("b", timeout_s=20.0)


@virtual_time
async def test_a_join_that_reaches_no_node_is_logged_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    """After some seconds, then less and less often; one that reaches a node is not, until that node is lost."""

    def told(endpoint: str) -> int:
        return sum(f"joined no node at inprocess://{endpoint} yet" in record.getMessage() for record in caplog.records)

    async with Node("a", listen="inprocess://a", join=["inprocess://b", "inprocess://nobody"]):
        async with Node("b", listen="inprocess://b"):
            await asyncio.sleep(2.0)
            assert told("nobody") == 0
            await asyncio.sleep(3_600.0)
            assert told("b") == 0
            assert 5 <= told("nobody") <= 12
            assert "no node answers there" in caplog.text
        await asyncio.sleep(10.0)
        assert told("b") == 1


def test_two_nodes_of_one_name_are_not_connected() -> None:
    """Each goes on by itself; the node that dialled knows why."""
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


def test_refusals_are_kept_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """The latest of them, and none of an endpoint that a session was made with since."""
    monkeypatch.setattr(join_reports, "REFUSALS_KEPT", 2)
    one = Node("a", listen=[f"inprocess://one{number}" for number in range(4)])
    two = Node("a", listen="inprocess://two", join=[f"inprocess://one{number}" for number in range(4)])
    other = Node("b", listen="inprocess://one3")

    async def main() -> None:
        async with two:
            async with one:
                await asyncio.sleep(1.0)
                assert len(two.network.refusals) == 2
            two.network.join_reports.refusals["inprocess://one3"] = "no"
            async with other:
                await two.network.wait_for_peer("b")
                assert "inprocess://one3" not in two.network.refusals

    play(main)


def test_a_closing_node_ends_all_waits_for_peers() -> None:
    """The wait ends with an error instead of never."""
    a = Node("a", listen="inprocess://a", join=["inprocess://nobody"])

    async def main() -> None:
        async with a:
            waiting = asyncio.ensure_future(a.network.wait_for_peer("b"))
            await settle()
        with pytest.raises(NodeClosed, match=r"^node a has closed its network: it waits for 'b' no more$"):
            await waiting

    play(main)


def test_a_node_that_shuts_down_in_order_refuses_sessions_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The node that dials it is told the reason; nothing is wrong that a log should tell of."""
    told: list[tuple[str, str, str]] = []
    a, b, c = (Node(name, listen=f"inprocess://{name}") for name in "abc")

    async def main() -> None:
        async with a, b, c:
            a.network.connect("inprocess://b")
            await a.network.wait_for_peer("b")
            c.network.on_dial_refused.append(lambda endpoint, code, text: told.append((endpoint, code, text)))
            closing = asyncio.ensure_future(b.network.close())
            c.network.connect("inprocess://b")
            await closing
            assert told == [("inprocess://b", "closing", "b is shutting down")]

    play(main)
    assert caplog.messages == []


def test_messages_sent_while_a_node_closes_still_go_out() -> None:
    """A node that closes sends the last messages of its actors."""
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


class _Simulated(Node):
    """A node whose transport is a simulated network, which ``between`` holds once the loop runs."""

    between: SimulatedNetwork

    def _make_transports(self, options: NetworkOptions) -> Sequence[MakeTransport]:
        return [lambda owner: SimulatedTransport(owner, self.between, self.name)]


def simulated(scene: Callable[[Node, Node, SimulatedNetwork], Awaitable[None]], seed: int) -> None:
    """Run a scene on two nodes with a network of faults between them."""
    a = _Simulated("a", listen="sim://a", seed=seed)
    b = _Simulated("b", listen="sim://b", join=["sim://a"], seed=seed)

    async def main() -> None:
        a.between = b.between = between = SimulatedNetwork(Random(seed))
        async with a, b:
            await a.network.wait_for_peer("b")
            await b.network.wait_for_peer("a")
            await scene(a, b, between)

    play(main)
    check_books(a, b)


@pytest.mark.parametrize("seed", range(5))
def test_a_link_that_breaks_and_heals_loses_nothing(seed: int) -> None:
    """Loss, repetition, other orders, resets and a short partition: every tell arrives, once, in order."""

    async def scene(a: Node, b: Node, between: SimulatedNetwork) -> None:
        ada = await spawn_remote(a, "b", Clerk)
        between.faults.set_quality(Quality(delay_s=0.01, loss=0.2, duplication=0.2, reorder=0.2))
        for n in range(300):
            ada.tell(Add(n))
            if n % 60 == 0:
                between.reset("a", "b")
            if n == 150:
                between.faults.partition("a", "b")
            if n == 200:
                between.faults.repair("a", "b")
            await asyncio.sleep(0.01)
        # Everything after a lost frame is sent again, so with every fifth one lost it takes a minute and more.
        assert await ada.ask(Numbers(), timeout_s=600.0) == list(range(300))
        between.faults.set_quality(Quality())

    simulated(scene, seed)


def test_a_partition_that_lasts_is_a_lost_node_on_both_sides() -> None:
    """Watchers on both sides get one Down; asks fail; tells are dead letters, and the books balance."""

    async def scene(a: Node, b: Node, between: SimulatedNetwork) -> None:
        ada, ben = await spawn_remote(a, "b", Clerk), await a.spawn(Clerk)
        ada.watch(ben)
        ada.tell(Observe(ben))
        await ada.ask(Sum())
        await asyncio.sleep(1.0)  # until it is told that the message is settled
        node_id = b.find(ada.address.path)
        assert node_id is not None
        letters = letters_of(a)
        between.faults.partition("a", "b")
        ada.tell(Add(1))
        with pytest.raises(ActorStopped, match=r"^node b is lost: "):
            await ada.ask(Sum(), timeout_s=600.0)
        assert await ben.ask(Downs()) == ["node_lost"]
        await asyncio.sleep(60.0)
        assert await node_id.ask(Downs()) == ["node_lost"]
        assert [(letter.reason, letter.asked) for letter in letters] == [("node_lost", False), ("node_lost", True)]
        with pytest.raises(NodeUnreachable):
            await spawn_remote(a, "b", Clerk)
        between.faults.repair("a", "b")
        await a.network.wait_for_peer("b")
        again = await a.network.whereis("b", ada.address.path)
        assert again is not None
        assert await again.ask(Add(1)) == 1

    simulated(scene, 1)


@paired
async def test_an_endpoint_that_no_transport_knows_is_refused_and_leaves_nothing(a: Node, b: Node) -> None:
    """The sessions that exist go on, and the node closes in order."""
    with pytest.raises(InvalidOption, match="no transport of this node knows what://"):
        a.network.connect("what://x")
    assert await (await spawn_remote(a, "b", Clerk)).ask(Add(1)) == 1


@paired
async def test_a_wait_that_is_given_up_leaves_nothing_behind(a: Node, b: Node) -> None:
    """A program that polls with a time-out on a quiet network keeps no future for each poll."""
    for _ in range(50):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await a.network.wait_for_peer("c")
    assert not a.network._change_waiters  # noqa: SLF001  it is what would grow without end


@paired
async def test_a_listener_that_fails_keeps_no_other_from_the_news(
    a: Node, b: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a node that is connected and of one that is lost; the failure is reported, and the next session works."""
    told: list[tuple[str, bool]] = []

    def fails(peer: Peer, up: bool) -> None:
        raise RuntimeError("a listener's own fault")

    a.network.watch_peers(fails)
    a.network.watch_peers(lambda peer, up: told.append((peer.node, up)))
    ada, ben = await spawn_remote(a, "b", Clerk), await a.spawn(Clerk)
    ada.watch(ben)
    lost = ada.ask(Sum())
    a.network.end_session("b", "for the test")
    with pytest.raises(ActorStopped, match=r"^node b is lost: for the test"):
        await lost
    assert await ben.ask(Downs()) == ["node_lost"]
    await a.network.wait_for_peer("b")
    assert told == [("b", False), ("b", True)]
    assert await (await spawn_remote(a, "b", Clerk)).ask(Add(1)) == 1
    reported = [record.message for record in caplog.records if "a listener's own fault" in record.message]
    assert ["was lost" in text for text in reported] == [True, False]


@paired
async def test_an_effect_that_fails_keeps_no_other_back(
    a: Node, b: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The error goes to the caller, or is reported where a timer or a transport is the caller; the alarm is set."""
    network = a.network
    opened, open_wire = list[str](), network._transports.open  # noqa: SLF001  as a broken transport does

    def open_badly(endpoint: str) -> None:
        opened.append(endpoint)
        if endpoint == "inprocess://broken":
            raise OSError("no such device")
        open_wire(endpoint)

    monkeypatch.setattr(network._transports, "open", open_badly)  # noqa: SLF001  see above
    network._alarm.set(inf)  # noqa: SLF001  as if the effects came from an event that changed the next time-out
    broken, good = effects.OpenWire("inprocess://broken"), effects.OpenWire("inprocess://elsewhere")
    with pytest.raises(OSError, match="no such device"):
        network._carry_out([broken, good])  # noqa: SLF001  the order matters here
    assert opened == ["inprocess://broken", "inprocess://elsewhere"]
    assert network._alarm.at == network._sessions.wake_at < inf  # noqa: SLF001  without it all timers stop

    def tick(_: float) -> list[effects.Effect]:
        return [broken]

    monkeypatch.setattr(network._sessions, "tick", tick)  # noqa: SLF001  a timer that meets the error
    network._tick()  # noqa: SLF001  see above
    assert any("no such device" in record.message for record in caplog.records)
    monkeypatch.undo()
    assert await (await spawn_remote(a, "b", Clerk)).ask(Add(1)) == 1
