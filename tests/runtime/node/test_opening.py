import asyncio
from pathlib import Path

import pytest

from tests.runtime.net.stage import Add, Clerk, Downs, Numbers, Ruin, check_books, paired
from tests.runtime.stage import play
from trouper import (
    Actor,
    EventSourcedActor,
    InvalidOption,
    Journal,
    MemoryJournal,
    Message,
    Node,
    StartFailed,
    TrouperError,
    applies,
    handler,
)
from trouper.actors.deadlock.deadlock import DeadlockCheck, DeadlockProbe
from trouper.runtime.gossip.messages import TableDeltas
from trouper.runtime.node.opening import NetworkOptions
from trouper.runtime.node.services.introspection import RemoteIntrospection
from trouper.runtime.node.services.lookup import RegistryLookup
from trouper.transports.keys import KeysInvalid, KeysMissing, make_cluster_keys


def test_join_needs_listen() -> None:
    """Peers connect back to an endpoint of the node."""
    with pytest.raises(InvalidOption) as caught:
        NetworkOptions((), ("inprocess://b",))
    assert str(caught.value) == (
        "join=('inprocess://b',) needs listen: peers send to this node at an endpoint of its own"
    )


def test_an_endpoint_of_an_unknown_transport_is_refused() -> None:
    """The error lists the known schemes."""

    async def main() -> None:
        with pytest.raises(
            InvalidOption, match=r"^no transport knows 'carrier-pigeon://a'; known are tcp://, ipc://, inprocess://"
        ):
            await Node("a", listen="carrier-pigeon://a").__aenter__()

    play(main)


def test_a_node_may_listen_at_several_endpoints() -> None:
    """The first is the one that peers connect back to."""
    a = Node("a", listen=["inprocess://one", "inprocess://two"])
    b = Node("b", listen="inprocess://b", join=["inprocess://two"])

    async def main() -> None:
        async with a, b:
            await b.network.wait_for_peer("a")
            assert a.network.endpoint == "inprocess://one"

    play(main)


def test_nodes_connect_by_sockets_of_the_host(tmp_path: Path) -> None:
    """Over ``ipc://``, on a real loop: spawn, order, a typed error, a watch, and no task is left behind."""
    folder = tmp_path / "sockets"
    folder.mkdir(mode=0o700)
    a = Node("a", listen=f"ipc://{folder}/a")
    b = Node("b", listen=f"ipc://{folder}/b", join=[f"ipc://{folder}/a"])

    async def main() -> None:
        async with a, b:
            await a.network.wait_for_peer("b")
            ada, ben = await a.spawn(Clerk, place="b"), await a.spawn(Clerk)
            ada.watch(ben)
            for n in range(1_000):
                ada.tell(Add(n))
            assert await ada.ask(Numbers()) == list(range(1_000))
            with pytest.raises(ValueError, match=r"^no such value"):
                await ada.ask(Ruin("value"))
            await ada.stop()
            assert await ben.ask(Downs()) == ["stopped"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    check_books(a, b)


def test_tcp_without_keys_is_refused() -> None:
    """A node does not listen on an open port by accident."""

    async def main() -> None:
        with pytest.raises(TrouperError, match=r"^tcp://127\.0\.0\.1:0: tcp wants keys"):
            await Node("a", listen="tcp://127.0.0.1:0").__aenter__()

    asyncio.run(main())


def test_nodes_of_one_cluster_talk_over_encrypted_tcp(tmp_path: Path) -> None:
    """Nodes with the same keys connect over loopback; a node with other keys is refused by both."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    make_cluster_keys(ours)
    make_cluster_keys(theirs)

    async def main() -> None:
        async with Node("a", listen="tcp://127.0.0.1:0", keys=ours) as a:
            endpoint = a.network.endpoint
            async with (
                Node("b", listen="tcp://127.0.0.1:0", join=[endpoint], keys=str(ours)) as b,
                Node("stranger", listen="tcp://127.0.0.1:0", join=[endpoint], keys=theirs),
            ):
                async with asyncio.timeout(20):
                    await b.network.wait_for_peer("a")
                ada = await b.spawn(Clerk, place="a")
                ada.tell(Add(7))
                assert await ada.ask(Numbers()) == [7]
                assert list(a.network.peers) == ["b"]

    asyncio.run(main())


def test_tcp_without_keys_has_to_be_asked_for(tmp_path: Path) -> None:
    """The error says what to do, and so does that for a folder without keys."""

    async def main() -> None:
        with pytest.raises(KeysMissing):
            await Node("a", listen="tcp://127.0.0.1:0").__aenter__()
        with pytest.raises(KeysInvalid):
            await Node("a", listen="tcp://127.0.0.1:0", keys=tmp_path / "none").__aenter__()
        async with Node("a", listen="tcp://127.0.0.1:0", insecure=True) as a:
            assert a.network.endpoint.startswith("tcp://127.0.0.1:")

    asyncio.run(main())


class Deposited(Message[None]):
    """An amount was added."""

    amount: int


class Deposit(Message[int]):
    """Add an amount; the reply is the balance."""

    amount: int


class Account(EventSourcedActor):
    """Keeps its events in the node's journal."""

    def __init__(self) -> None:
        self.balance = 0

    @applies
    def deposited(self, event: Deposited) -> None:
        self.balance += event.amount

    @handler
    async def deposit(self, msg: Deposit) -> int:
        await self.persist(Deposited(msg.amount))
        return self.balance


class CachedAccount(Account):
    """Keeps its events in a journal of its own choice."""

    own = MemoryJournal()

    @property
    def journal(self) -> Journal:
        """A journal of the class."""
        return self.own


def test_an_event_sourced_actor_is_not_placed_where_its_events_would_be_lost() -> None:
    """A peer that was given no journal refuses it with what to do, whatever journal the spawner has."""
    a = Node("a", listen="inprocess://a", journal=MemoryJournal())
    b = Node("b", listen="inprocess://b", join=["inprocess://a"])

    async def main() -> None:
        async with a, b:
            await a.network.wait_for_peer("b")
            with pytest.raises(
                InvalidOption, match=r"Account keeps its events in the journal of node b, which was given"
            ):
                await a.spawn(Account, name="ada", place="b")
            cached = await a.spawn(CachedAccount, name="ben", place="b")
            assert await cached.ask(Deposit(7)) == 7
            assert await (await b.spawn(Account, name="cy", place="a")).ask(Deposit(5)) == 5

    play(main)


class Open(Message[int]):
    """Open an account with 7; the reply is its balance."""


class Branch(Actor):
    """Opens an account below itself, at its start or when it is asked to."""

    def __init__(self, at_start: bool) -> None:
        self.at_start = at_start

    async def on_start(self) -> None:
        if self.at_start:
            await self.spawn(Account, name="first")

    @handler
    async def open(self, msg: Open) -> int:
        account = await self.spawn(Account, name="second")
        return await account.ask(Deposit(7))


def test_what_a_placed_actor_spawns_keeps_its_events_too_or_is_refused() -> None:
    """A child of it, on the node where it was placed: the events would be lost there as its own would be."""
    a = Node("a", listen="inprocess://a", journal=MemoryJournal())
    b = Node("b", listen="inprocess://b", join=["inprocess://a"])

    async def main() -> None:
        async with a, b:
            await a.network.wait_for_peer("b")
            branch = await a.spawn(Branch, False, name="branch", place="b")
            with pytest.raises(StartFailed):
                await branch.ask(Open())
            assert b.dead_letters.counts["failed"] == 1
            with pytest.raises(StartFailed):
                await a.spawn(Branch, True, name="early", place="b")
            own = await b.spawn(Branch, True, name="own")
            assert await own.ask(Open()) == 7
            elsewhere = await b.spawn(Branch, True, name="elsewhere", place="a")
            assert await elsewhere.ask(Open()) == 7

    play(main)


@paired
async def test_a_network_serves_its_peers(a: Node, b: Node) -> None:
    """Tables, look-ups, introspection and the search for deadlocks are installed when it opens."""
    assert isinstance(a.network.lookups, RegistryLookup)
    assert isinstance(b.network.introspection, RemoteIntrospection)
    assert {TableDeltas, DeadlockProbe, DeadlockCheck} <= set(a.network.request_handlers)
