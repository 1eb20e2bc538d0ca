"""Law 16: what a peer may do is a permission of its identity.  Every message that a peer can send, with every role."""

import asyncio

import msgspec
import pytest

from tests.runtime.net.stage import Add, Clerk, cell_of, paired, remote_of, spawn_remote
from trouper import Actor, ActorRef, DeadLetter, Message, Node, NotPermitted, PeerRefused, handler
from trouper.actors.deadlock.deadlock import DeadlockCheck, DeadlockProbe
from trouper.runtime.actor.registry import ServiceKey
from trouper.runtime.gossip.messages import TableChecksums, TableDeltas, TableDigest
from trouper.runtime.net import control
from trouper.runtime.node.services import introspection
from trouper.runtime.node.services.lookup import FindService
from trouper.runtime.node.services.worker_nodes import WorkerNodeEnded
from trouper.runtime.session.identity import ROLES, Identity, Role
from trouper.testing import settle

ALL = frozenset(ROLES)
ACTING = frozenset({"member", "worker", "developer"})
SENDING = ACTING | {"operator"}
READING = frozenset({"observer", "operator", "developer"})
CHANGING = frozenset({"operator", "developer"})
NONE_UID = 999_999
SEGMENT = control.SegmentInfo(1, 1, 4_096)


def samples(ref: ActorRef) -> list[tuple[Message[object], frozenset[str]]]:
    """Return one of each message that a peer can send to a node, and the roles that may send it.

    ref: an actor of the sender, for the messages that speak of one.
    """
    empty = msgspec.Raw(msgspec.msgpack.encode([]))
    nothing = msgspec.Raw(msgspec.msgpack.encode({}))
    return [
        (control.SpawnActor("tests.runtime.net.stage:Clerk", empty, nothing), ACTING),
        (control.FindActor("nobody"), ALL),
        (control.WatchActor(NONE_UID), ALL),
        (control.WatchedActorEnded(NONE_UID, "stopped"), ALL),
        (control.EndActor(NONE_UID, "kill"), SENDING),
        (control.CancelAsk(NONE_UID), ALL),
        (control.SetBackpressure(NONE_UID, False), ALL),
        (control.LinkedActorEnded(NONE_UID, ref, "failed"), ACTING),
        (control.OfferSharedMemory("elsewhere", 1, SEGMENT), ALL),
        (control.AcceptSharedMemory(), ALL),
        (control.LendSegment(NONE_UID, SEGMENT, 1), ALL),
        (control.ReturnSegments([]), ALL),
        (control.RetireSegments([]), ALL),
        (control.DropBuffers([]), ALL),
        (control.MessageNotRead(NONE_UID, "for the test"), ALL),
        (control.MessagesSettled(0), ALL),
        (introspection.GetStats(NONE_UID), READING),
        (introspection.PeekMailbox(NONE_UID, 1), READING),
        (introspection.GetTree("", 10), READING),
        (introspection.GetState(NONE_UID), CHANGING),
        (introspection.SuspendActor(NONE_UID, False), CHANGING),
        (introspection.CrashActor(NONE_UID), CHANGING),
        (introspection.TraceActor(NONE_UID, 1, ref), CHANGING),
        (FindService(ServiceKey("nothing")), ALL),
        (WorkerNodeEnded("a.worker-1", 1, "for the test"), ACTING),
        (TableDeltas({}), ACTING),
        (TableChecksums({}), ACTING),
        (TableDigest({}, False, {}, ()), ACTING),
        (DeadlockProbe("a", 1, 1, (("b", NONE_UID),), (1.0,), ("x",)), ACTING),
        (DeadlockCheck("a", 1, 1, NONE_UID, ()), ACTING),
    ]


def as_role(b: Node, *roles: Role) -> Identity:
    """Have node b take its peer a for the owner of a key with these roles."""
    identity = Identity("k" * 40, "a", frozenset(roles))
    b.network.peer("a").authenticate(identity)
    return identity


@pytest.mark.parametrize("role", ROLES)
@paired
async def test_a_message_is_handled_or_refused_by_the_role_of_its_sender(a: Node, b: Node, role: Role) -> None:
    """Each message that a peer can send: refused, counted and published for a role that may not, handled for others."""
    ref = await a.spawn(Clerk)
    as_role(b, role)
    events = b.events.stream(PeerRefused)
    for message, allowed in samples(ref):
        name = type(message).__qualname__
        a.network.peer("b").control(message)
        await settle()
        refused = b.network.security.counts.get("a", {}).get(name, 0)
        assert refused == (0 if role in allowed else 1), name
        if role not in allowed:
            event = await anext(events)
            assert (event.node, event.identity, event.what) == ("a", "a", name)
            assert event.reason.startswith(f"node b does not permit a to send {name}: it takes the role ")
    as_role(b, "developer")
    await settle()


@paired
async def test_the_samples_are_all_messages_that_a_node_takes(a: Node, b: Node) -> None:
    """A message that is added to the runtime, or served by it, has to be added to the samples, and so to this test."""
    ref = await a.spawn(Clerk)
    sampled = {type(message) for message, _ in samples(ref)}
    assert sampled == {*control.CONTROLS, *b.network.request_handlers}


@pytest.mark.parametrize("role", ROLES)
@paired
async def test_a_message_to_an_actor_needs_a_role_that_sends(a: Node, b: Node, role: Role) -> None:
    """Told or asked: an observer's is a dead letter with the reason, and its ask raises ``NotPermitted``."""
    ada = await spawn_remote(a, "b", Clerk)
    letters = b.events.stream(DeadLetter)
    as_role(b, role)
    ada.tell(Add(1))
    if role == "observer":
        with pytest.raises(NotPermitted, match=r"node b does not permit a to send a message to actor #\d+"):
            await ada.ask(Add(2))
        assert [(await anext(letters)).reason for _ in range(2)] == ["not_permitted"] * 2
        assert cell_of(await _local(b, ada)).received == 0
    else:
        assert await ada.ask(Add(2)) == 3
    as_role(b, "developer")


@paired
async def test_a_message_to_the_node_that_nothing_serves_is_refused_to_all(a: Node, b: Node) -> None:
    """A class that both nodes know, and that no extension serves."""
    as_role(b, "developer")
    with pytest.raises(Exception, match="node b was itself sent a Add"):
        await a.network.peer("b").control_ref.ask(Add(1))


@paired
async def test_a_peer_speaks_for_its_own_actors_only(a: Node, b: Node) -> None:
    """It cannot let an actor fail in the name of an actor of another node."""
    victim = await spawn_remote(a, "b", Clerk)
    as_role(b, "member")
    a.network.peer("b").control(control.LinkedActorEnded(remote_of(victim).uid, victim, "failed"))
    await settle()
    assert b.network.security.counts == {"a": {"LinkedActorEnded": 1}}
    assert await victim.ask(Add(5)) == 5


class Hidden(Actor):
    """An actor that its class keeps to its node."""

    exported = False

    @handler
    def add(self, msg: Add) -> int:
        return msg.n


class Give(Message[object]):
    """The reply is a ref."""

    what: str


class Giver(Actor):
    """Replies with refs to actors that other nodes may not have."""

    def __init__(self, refs: dict[str, ActorRef]) -> None:
        self.refs = refs

    @handler
    def give(self, msg: Give) -> object:
        return self.refs[msg.what]


@paired
async def test_an_actor_that_is_not_exported_is_out_of_reach(a: Node, b: Node) -> None:
    """Its name, its path, and its ref in a message: none leads there, for any role; nor to an actor of the runtime."""
    hidden = await b.spawn(Hidden, name="hidden")
    b.registry.register("hidden", hidden)
    guardian = b.find("user")
    assert guardian is not None
    giver = await b.spawn(Giver, {"hidden": hidden, "user": guardian}, name="giver")
    assert await a.network.whereis("b", "user/hidden") is None
    assert await a.network.whereis("b", "hidden") is None
    assert await a.network.whereis("b", "user") is None
    assert await a.network.whereis("b", "system") is None
    found = await a.network.whereis("b", "user/giver")
    assert found is not None
    for what in ("hidden", "user"):
        with pytest.raises(Exception, match="is not exported: other nodes get no ref to it"):
            await found.ask(Give(what))
    assert giver.address.uid in b.network.exports
    assert hidden.address.uid not in b.network.exports


@paired
async def test_an_error_in_one_message_is_that_message_s(a: Node, b: Node) -> None:
    """A look-up by a text that is no address fails alone: what came with it in one frame arrives."""
    ada = await spawn_remote(a, "b", Clerk)
    lookups = [a.network.whereis("b", "trouper:x") for _ in range(3)]
    for _ in range(3):
        ada.tell(Add(1))
    results = await asyncio.gather(*lookups, return_exceptions=True)
    assert [type(result).__name__ for result in results] == ["InvalidName"] * 3
    assert await ada.ask(Add(1)) == 4


@paired
async def test_failures_of_a_peer_s_requests_are_logged_at_a_limited_rate(
    a: Node, b: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """A peer that sends what fails writes ten lines a minute, and not a traceback for each."""
    peer = a.network.peer("b")
    for _ in range(200):
        peer.control(control.FindActor("trouper:x"))
    await settle()
    assert 1 <= sum("FindActor from node a failed" in record.getMessage() for record in caplog.records) <= 10


@paired
async def test_refusals_are_logged_at_a_limited_rate(a: Node, b: Node, caplog: pytest.LogCaptureFixture) -> None:
    """Of a thousand refusals one line is logged; all are counted."""
    as_role(b, "observer")
    peer = a.network.peer("b")
    for _ in range(1_000):
        peer.control(control.EndActor(NONE_UID, "kill"))
    await settle()
    assert b.network.security.counts == {"a": {"EndActor": 1_000}}
    assert sum("was refused: node b does not permit" in record.getMessage() for record in caplog.records) == 1
    as_role(b, "developer")


async def _local(node: Node, ref: ActorRef) -> ActorRef:
    """Return the ref on the actor's own node."""
    found = node.find(ref.address.path)
    assert found is not None
    return found
