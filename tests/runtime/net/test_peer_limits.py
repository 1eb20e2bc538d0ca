"""Law 15 and 16 between nodes: what an admitted peer may cost is limited, by identity and for all peers together."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from tests.runtime.net.intruder import Intruder, attacked, with_keys
from tests.runtime.net.stage import Add, Clerk, Observe, Sum, Wait, cell_of, check_books
from tests.runtime.stage import letters_of
from trouper import Actor, ActorRef, Message, Node, PeerRefused
from trouper.runtime.kernel.address import NodeId
from trouper.runtime.net import control
from trouper.runtime.net.join_reports import REFUSALS_KEPT
from trouper.runtime.net.peer import LETTERS_MAX, LETTERS_S, OMITTED_S
from trouper.runtime.node.services.introspection import GetTree
from trouper.runtime.observe.introspection import ActorTree
from trouper.runtime.session.bulk_chunks import chunk_of
from trouper.runtime.session.codec import ITEMS_MAX
from trouper.runtime.session.effects import DialRefused
from trouper.runtime.session.frames import BULK
from trouper.runtime.session.identity import Identity
from trouper.testing import settle

MALLORY = Identity("m", "mallory", frozenset({"member"}))
ADA = Identity("a", "ada", frozenset({"member"}))
MIB = 1_048_576
RAW = msgspec.msgpack.Encoder().encode
NOTHING: dict[str, object] = {}


def refused(node: Node, what: str, who: str = "mallory") -> int:
    """How often an identity was refused something."""
    return node.network.security.counts.get(who, {}).get(what, 0)


async def intruders(node: Node, key: str, *names: str, acknowledges: bool = True) -> Sequence[Intruder]:
    """Peers of these names, all with one key."""
    with_keys(node, m=MALLORY, a=ADA)
    found = [Intruder(node, name, key=key, acknowledges=acknowledges) for name in names]
    for each in found:
        await each.connect()
    return found


async def leave(node: Node, *peers: Intruder) -> None:
    """Let the peers go; then nothing of theirs is held."""
    for each in peers:
        await each.close()
    await settle()
    assert not any(node.network.budget.usage().values()), node.network.budget.usage()


@attacked(assembly_bytes_max=20 * MIB)
async def test_unfinished_buffers_are_limited_by_identity_whatever_the_names(node: Node) -> None:
    """Chunks of one byte, each the begin of a large buffer: half of the limit for one key, and room for the others."""
    names = ["eve", "eva", "evi"]
    peers = await intruders(node, "m", *names)
    for each in peers:
        for number in range(1, 21):
            each.frame(4, *map(bytes, chunk_of(number, memoryview(bytes(MIB)), 0, 25)), stream=BULK)
    await settle()
    assert node.network.budget.usage()["mallory"] == {"assembly_bytes": 10 * MIB}
    assert refused(node, "a chunk of a large buffer") == 50
    (ada,) = await intruders(node, "a", "ada")
    for number in range(1, 11):
        ada.frame(4, *map(bytes, chunk_of(number, memoryview(bytes(MIB)), 0, 25)), stream=BULK)
    await settle()
    assert node.network.budget.usage()["ada"] == {"assembly_bytes": 10 * MIB}
    assert refused(node, "a chunk of a large buffer", "ada") == 0
    await leave(node, *peers, ada)


@attacked(assembly_bytes_max=20 * MIB)
async def test_a_small_buffer_costs_as_much_as_the_least_that_is_sent_alone(node: Node) -> None:
    """A million buffers of two bytes would cost kilobytes each."""
    (eve,) = await intruders(node, "m", "eve")
    for number in range(1, 200):
        eve.frame(4, *map(bytes, chunk_of(number, memoryview(b"xx"), 0, 25)), stream=BULK)
    await settle()
    assert node.network.budget.held["assembly_bytes"] == 160 * 65_536 == 10 * MIB
    await leave(node, eve)


@attacked(queued_items_max=1_000)
async def test_a_peer_that_acknowledges_nothing_is_answered_no_more(node: Node) -> None:
    """Answers wait up to the limit; further asks are refused and counted, without an answer that would wait too."""
    with_keys(node, m=MALLORY)
    eve = Intruder(node, key="m", acknowledges=False)
    await eve.connect()
    for _ in range(120):
        eve.ask(*[control.FindActor("trouper:" + 900 * "x")] * 100)  # which fails, and the answer says so at length
    await settle()
    held = node.network.budget.usage()["mallory"]["queued_items"]
    assert 500 <= held <= 500 + ITEMS_MAX
    assert refused(node, "FindActor") > 1_000
    assert node.dead_letters.counts["over_limit"] > 1_000
    await leave(node, eve)


@attacked()
async def test_the_session_of_a_peer_that_acknowledges_nothing_ends(node: Node) -> None:
    """It says again and again that it is alive; what waits for it is given up after half a minute."""
    with_keys(node, m=MALLORY)
    eve = Intruder(node, key="m", acknowledges=False)
    await eve.connect()
    peer = node.network.peers["eve"]
    eve.ask(control.FindActor("nobody"))
    await asyncio.sleep(25.0)
    assert node.network.peers == {"eve": peer}
    await asyncio.sleep(10.0)
    assert node.network.peers == {}
    assert peer.lost == "it acknowledged nothing for 30 s"
    await leave(node, eve)


@pytest.mark.parametrize("headers", [(), ((0, {"trace": b"x"}),)], ids=["bare", "with_headers"])
def test_messages_to_actors_that_have_ended_are_letters_at_a_limited_rate(
    headers: Sequence[object], caplog: pytest.LogCaptureFixture
) -> None:
    """All are counted; of a flood few are kept and published, which the log says once in a minute."""

    def lines() -> int:
        return sum("messages of node eve in 1 s are dead letters (no_such_actor)" in line for line in caplog.messages)

    @attacked()
    async def scene(node: Node) -> None:
        (eve,) = await intruders(node, "m", "eve")
        letters, number = letters_of(node), eve.define(Add)
        for seconds, letters_made, lines_made in ((0.0, 1, 1), (LETTERS_S, 2, 1), (OMITTED_S, 3, 2)):
            await asyncio.sleep(seconds)
            for _ in range(2):
                eve.body([[], [], [(77, 0, number, {"n": 1})] * LETTERS_MAX * 2, [], [], headers])
            await settle()
            assert len(letters) == letters_made * LETTERS_MAX
            assert node.dead_letters.counts == {"no_such_actor": letters_made * LETTERS_MAX * 4}
            assert lines() == lines_made
        check_books(node)
        await leave(node, eve)

    scene()


@attacked()
async def test_a_flood_of_one_kind_or_one_peer_hides_no_other_letter(node: Node) -> None:
    """Letters are limited for each peer and each reason."""
    eve, ada = [*await intruders(node, "m", "eve"), *await intruders(node, "a", "ada")]
    letters, ref = letters_of(node), await _exported(node)
    number = eve.define(Add)
    for _ in range(3):
        eve.items(*[(77, 0, number, {"n": 1})] * LETTERS_MAX)
    eve.items((ref.address.uid, 0, number, {"n": "no number"}), (ref.address.uid, 0, number, {"n": 1}))
    ada.items((77, 0, ada.define(Add), {"n": 1}))
    await settle()
    assert [letter.reason for letter in letters[LETTERS_MAX:]] == ["decode_error", "no_such_actor"]
    assert await ref.ask(Sum()) == 1
    for _ in range(3):
        eve.items(*[(ref.address.uid, 0, number, {"n": "no number"})] * LETTERS_MAX)
    await settle()
    assert len(letters) == 2 * LETTERS_MAX + 1
    assert node.dead_letters.counts["decode_error"] == 1 + LETTERS_MAX * 3
    check_books(node)
    await leave(node, eve, ada)


@attacked()
async def test_every_message_that_is_not_permitted_is_counted_as_refused(node: Node) -> None:
    """Of a flood too: the counts of the identity are exact, whatever is published."""
    with_keys(node, m=Identity("m", "mallory", frozenset({"observer"})))
    eve = Intruder(node, "eve", key="m")
    await eve.connect()
    letters, number = letters_of(node), eve.define(Add)
    for _ in range(3):
        eve.items(*[(77, 0, number, {"n": 1})] * LETTERS_MAX)
    await settle()
    assert refused(node, "Add") == node.dead_letters.counts["not_permitted"] == LETTERS_MAX * 3
    assert [letter.reason for letter in letters] == ["not_permitted"] * LETTERS_MAX
    check_books(node)
    await leave(node, eve)


@attacked(asks_max=100)
async def test_asks_without_an_answer_are_limited(node: Node) -> None:
    """One key has half; the actor is asked no more than that, and the end of the session gives all back."""
    peers = await intruders(node, "m", "eve", "eva")
    ref = await _exported(node)
    for each in peers:
        number = each.define(Wait)
        each.items(*[(ref.address.uid, at, number, {"seconds": 50.0}) for at in range(1, 81)], deadlines=[60.0] * 80)
    await settle()
    assert node.network.budget.usage()["mallory"]["asks"] == 50
    assert refused(node, "an ask") == 110
    assert len(cell_of(ref).mail or ()) <= 160
    await leave(node, *peers)


@attacked()
async def test_a_correlation_that_waits_is_not_taken_twice(node: Node) -> None:
    """The first ask goes on, and the second is refused."""
    (eve,) = await intruders(node, "m", "eve")
    ref = await _exported(node)
    number = eve.define(Wait)
    for _ in range(3):
        eve.items((ref.address.uid, 7, number, {"seconds": 50.0}), deadlines=[60.0])
    await settle()
    assert refused(node, "an ask") == 2
    assert node.network.budget.usage()["mallory"]["asks"] == 1
    await leave(node, eve)


@attacked(definitions_max=1_000)
async def test_definitions_of_types_and_refs_are_limited(node: Node) -> None:
    """A body that defines too much is refused as a whole; numbers that are defined anew cost nothing more."""
    peers = await intruders(node, "m", "eve", "eva")
    for each in peers:
        for first in range(0, 1_000, 100):
            each.body([[], [(first + n, "elsewhere", 1, f"user/{first + n}", n, "") for n in range(100)], [], []])
        for _ in range(3):
            each.body([[(100 + n, f"no.such.Type{n}", b"") for n in range(100)], [], [], []])
    await settle()
    assert node.network.budget.usage()["mallory"]["definitions"] == 500
    assert refused(node, "a body") == 10 + 5 + 6 - 0
    await leave(node, *peers)


@attacked()
async def test_a_body_has_no_more_items_than_a_node_sends_in_one(node: Node) -> None:
    """A million items of four bytes are refused before any of them is looked at."""
    (eve,) = await intruders(node, "m", "eve")
    eve.items(*[(0, at, 999, None) for at in range(1, ITEMS_MAX + 2)], deadlines=[1.0] * (ITEMS_MAX + 1))
    await settle()
    assert eve.bodies == []
    eve.items(*[(0, at, 999, None) for at in range(1, ITEMS_MAX + 1)], deadlines=[1.0] * ITEMS_MAX)
    await settle()
    assert len(eve.bodies) > 0
    await leave(node, eve)


@attacked(actors_max=20)
async def test_actors_that_peers_spawn_are_limited_and_given_back_when_they_end(node: Node) -> None:
    """The end of the session does not end them, so they are held after it; their own end gives them back."""
    (eve,) = await intruders(node, "m", "eve")
    empty, nothing = msgspec.Raw(RAW([])), msgspec.Raw(RAW({}))
    spawn = control.SpawnActor("tests.runtime.net.stage:Clerk", empty, nothing)
    eve.ask(*[spawn] * 30)
    await settle()
    assert node.network.budget.usage()["mallory"]["actors"] == 10
    assert b"PeerOverLimit" in b"".join(eve.bodies)
    await eve.close()
    assert node.network.budget.usage() == {"mallory": {"actors": 10}}
    for actor in node.introspection.tree("user").children:
        found = node.find(f"user/{actor.name}")
        assert found is not None
        await found.stop()
    await settle()
    assert not any(node.network.budget.usage().values())


class Plain(Actor):
    """Runs on the loop."""


class Pinned(Actor):
    """Has a thread of its own."""

    executor = "thread"


@pytest.mark.parametrize(("name", "executor"), [("Plain", "thread"), ("Pinned", None)])
def test_threads_of_actors_that_peers_spawn_are_limited(name: str, executor: str | None) -> None:
    """By the request or by the class; without a thread the same actor is still taken, and its end gives all back."""

    @attacked(threads_max=6)
    async def scene(node: Node) -> None:
        (eve,) = await intruders(node, "m", "eve")
        actor, empty, nothing = f"{__name__}:{name}", msgspec.Raw(RAW([])), msgspec.Raw(RAW({}))
        eve.ask(*[control.SpawnActor(actor, empty, nothing, executor=executor)] * 5)
        await settle()
        assert node.network.budget.usage()["mallory"]["threads"] == 3
        assert node.network.budget.usage()["mallory"]["actors"] == 3
        assert b"1 threads more are refused: mallory may have 3" in b"".join(eve.bodies)
        eve.ask(*[control.SpawnActor(actor, empty, nothing, executor="loop")] * 2)
        await settle()
        assert node.network.budget.usage()["mallory"] == {"actors": 5, "threads": 3}
        for each in node.introspection.tree("user").children:
            found = node.find(f"user/{each.name}")
            assert found is not None
            await found.stop()
        await leave(node, eve)

    scene()


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_a_spawn_with_a_time_that_is_none_is_refused(seconds: float) -> None:
    """Found by the fuzzer: a timer at no number had all timers of the loop stand still, of all actors and sessions."""

    @attacked()
    async def scene(node: Node) -> None:
        (eve,) = await intruders(node, "m", "eve")
        empty: list[object] = []
        request = {"actor": "tests.runtime.net.stage:Clerk", "args": empty, "keywords": NOTHING, "shutdown_s": seconds}
        eve.items((0, 1, 2, request), deadlines=[5.0])
        await settle()
        assert node.introspection.tree("user").children == ()
        assert b"shutdown_s" in b"".join(eve.bodies)
        await leave(node, eve)

    scene()


@attacked(watches_max=20)
async def test_watches_of_peers_are_limited(node: Node) -> None:
    """A peer that watches every actor costs no more than the limit; what it watches it still hears of."""
    peers = await intruders(node, "m", "eve", "eva")
    refs = [await _exported(node) for _ in range(15)]
    events = node.events.stream(PeerRefused)
    for each in peers:
        each.tell(*[control.WatchActor(ref.address.uid) for ref in refs])
    await settle()
    assert node.network.budget.usage()["mallory"]["watches"] == 10
    assert refused(node, "WatchActor") == 20
    assert (await anext(events)).reason.startswith("1 watches more are refused: mallory may have 10, and 10 are held")
    for ref in refs:
        await ref.stop()
    await settle()
    await leave(node, *peers)


class Slow(Message[int]):
    """A request that takes long."""


@attacked(requests_max=20)
async def test_requests_in_work_are_limited_by_identity(node: Node) -> None:
    """Two names of one key have no more than one."""
    peers = await intruders(node, "m", "eve", "eva")

    async def slowly(_: Slow, __: object) -> int:
        await node.system.loop.create_future()
        return 1

    node.network.request_handlers.serve(Slow, slowly, owner="test")
    for each in peers:
        number = each.define(Slow)
        each.items(*[(0, at, number, NOTHING) for at in range(1, 16)], deadlines=[60.0] * 15)
    await settle()
    assert node.network.budget.usage()["mallory"] == {"definitions": 2, "requests": 10, "asks": 10}
    assert refused(node, "Slow") == 20
    await leave(node, *peers)


@attacked(asks_max=100, queued_items_max=1_000)
async def test_an_honest_peer_beside_an_attacker_is_served(node: Node) -> None:
    """What one identity has used up is not missing to another."""
    (eve,) = await intruders(node, "m", "eve", acknowledges=False)
    (ada,) = await intruders(node, "a", "ada")
    ref = await _exported(node)
    number = eve.define(Wait)
    eve.items(*[(ref.address.uid, at, number, {"seconds": 50.0}) for at in range(1, 101)], deadlines=[60.0] * 100)
    clerk = await _exported(node)
    add, total = ada.define(Add), ada.define(Sum)
    ada.items(*[(clerk.address.uid, 0, add, {"n": n}) for n in range(100)])
    ada.items((clerk.address.uid, 1, total, NOTHING), deadlines=[5.0])
    await settle()
    assert RAW(4_950) in ada.bodies[-1]
    await leave(node, eve, ada)


async def _exported(node: Node) -> ActorRef:
    """An actor that peers may send to."""
    ref = await node.spawn(Clerk)
    node.network.exports[ref.address.uid] = cell_of(ref)
    return ref


@attacked(handshakes_max=20)
async def test_handshakes_that_are_begun_and_not_completed_are_limited(node: Node) -> None:
    """Each has a connection to an endpoint that the greeting names: a peer does not have the node dial the world."""
    (eve,) = await intruders(node, "m", "eve")
    for n in range(100):
        eve.greet(f"eve-{n}", f"inprocess://nowhere-{n}")
    await settle()
    assert node.network.budget.usage()["mallory"]["handshakes"] == 10
    assert refused(node, "a frame") == 90
    (ada,) = await intruders(node, "a", "ada")
    await asyncio.sleep(60.0)
    assert node.network.budget.held["handshakes"] == 0
    await leave(node, eve, ada)


@attacked(addresses_max=20)
async def test_addresses_that_peers_tell_are_limited(node: Node) -> None:
    """Of one identity the oldest is forgotten; those that another one has told stay."""
    (eve,), (ada,) = await intruders(node, "m", "eve"), await intruders(node, "a", "ada")
    for peer in (ada, eve):
        for first in range(0, 100, 50):
            numbers = range(first, first + 50)
            peer.body([[], [(n, f"{peer.name}-{n}", 1, "user/x", 1, f"inprocess://x-{n}") for n in numbers], [], []])
    await settle()
    usage = node.network.budget.usage()
    assert usage["mallory"]["addresses"] == usage["ada"]["addresses"] == 10
    find = node.network.connector.endpoints_of
    assert find(NodeId("eve-99", 1)) == ("inprocess://x-99",)
    assert find(NodeId("eve-89", 1)) == ()
    assert find(NodeId("ada-99", 1)) == ("inprocess://x-99",)
    eve.node.network.connector.close()
    await leave(node, eve, ada)


@attacked(dials_max=20)
async def test_dials_that_peers_cause_are_limited(node: Node) -> None:
    """A peer has an actor send to refs of nodes that do not answer: half of the dials at most are for one identity."""
    (eve,) = await intruders(node, "m", "eve")
    watcher = await _exported(node)
    observe = eve.define(Observe)
    for n in range(50):
        eve.body([[], [(n, f"no-{n}", 1, "user/x", 1, f"inprocess://no-{n}")], [], []])
        ref = msgspec.msgpack.Ext(1, n.to_bytes(4, "big"))
        eve.items((watcher.address.uid, 0, observe, {"target": ref}))
    await settle()
    assert node.network.budget.usage()["mallory"]["dials"] == 10
    await asyncio.sleep(60.0)
    assert node.network.budget.held["dials"] == 0
    node.network.connector.close()
    await leave(node, eve)


@attacked(requests_max=600)
async def test_trees_of_actors_are_shown_one_at_a_time_and_to_a_peer_that_takes_them(node: Node) -> None:
    """512 questions of 30 bytes: a tree in an iteration of the loop, and none above what the session takes."""
    watcher = Identity("m", "mallory", frozenset({"observer"}))
    with_keys(node, m=watcher)
    eve = Intruder(node, key="m", acknowledges=False)
    await eve.connect()
    for _ in range(1_000):
        await node.spawn(Clerk)
    trees: list[int] = []
    made = node.introspection.tree

    def tree(path: str = "", *, actors_max: int = 1_000) -> ActorTree:
        trees.append(iterations)
        return made(path, actors_max=actors_max)

    setattr(node.introspection, "tree", tree)  # noqa: B010  a method
    number = eve.define(GetTree)
    eve.items(*[(0, at, number, {"path": "", "actors_max": 10_000}) for at in range(1, 301)], deadlines=[60.0] * 300)
    iterations = 0
    for iterations in range(2_000):  # noqa: B007  what `tree` notes
        await asyncio.sleep(0)
    assert len(set(trees)) == len(trees) < 100
    assert node.network.budget.usage()["mallory"]["requests"] > 200
    await leave(node, eve)


def test_a_refusal_of_a_dial_is_kept_for_the_last_endpoints_only() -> None:
    """A peer that greets from many endpoints, and refuses each answer, has its last words kept, and not all."""

    @attacked()
    async def scene(node: Node) -> None:
        network = node.network
        for n in range(REFUSALS_KEPT + 50):
            network._on_session_event(DialRefused(f"inprocess://x-{n}", "name_taken", "for the test"))  # noqa: SLF001  as a session would
        assert len(network.refusals) == REFUSALS_KEPT
        assert f"inprocess://x-{REFUSALS_KEPT + 49}" in network.refusals

    scene()
