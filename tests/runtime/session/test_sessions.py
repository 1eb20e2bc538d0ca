import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.session.vectors import Vector, read_vectors
from tests.runtime.session.world import ChannelFaults, NodeRun, World
from trouper import PeerLimits
from trouper.runtime.session import frames
from trouper.runtime.session.budget import Budget
from trouper.runtime.session.effects import CloseWire, FrameRejected, OpenWire, Refuse, Transmit
from trouper.runtime.session.handshake import LocalNode
from trouper.runtime.session.sessions import SessionManager, TooManyPeers
from trouper.runtime.session.settings import SessionSettings
from trouper.runtime.session.transport import Source

STRANGER = Source("stranger")


def _hello(name: str = "z", endpoint: str = "test://z", **fields: object) -> bytes:
    greeting = {"node": name, "generation": 1, "endpoint": endpoint, "token": 99, "frame_bytes_max": 1_000}
    greeting |= {"protocol_min": frames.PROTOCOL_MIN, "protocol_max": frames.PROTOCOL_MAX}
    body = msgspec.msgpack.encode({**greeting, "attempt": 1, **fields})
    return bytes(frames.build(frames.HELLO, 0, 0, 0, 0, (body,))[0])


def _linked(*names: str, settings: SessionSettings | None = None) -> World:
    """The first of the nodes dials the others."""
    world = World(1, settings)
    for name in names:
        world.start(name)
    for name in names[1:]:
        world.connect(names[0], f"test://{name}")
    world.run(1)
    return world


def _refusals(node_run: NodeRun) -> list[str]:
    return list(dict.fromkeys(node_run.told("refused")))


def test_a_node_that_dials_itself_is_told_and_stops() -> None:
    """A node reached by any of its own endpoints is no peer; the dial ends."""
    world = _linked("a")
    world.connect("a", "test://a")
    world.run(10)
    a = world.nodes["a"]
    assert a.story == ["refused test://a itself: a has dialled itself"]
    assert a.manager.is_empty
    assert a.wires == set()


def test_another_node_of_the_own_name_is_refused() -> None:
    """Two nodes of one name open no session, whichever dials."""
    world = _linked("a")
    first = world.nodes["a"]
    second = world.start("a", "test://a2")
    world.carry_out(second, second.manager.connect("test://a", world.now))
    world.run(10)
    text = "this node is called a too; give one of the two another name"
    assert _refusals(second) == [f"refused test://a name_taken: {text}"]
    assert first.up == {}


def test_another_node_of_a_peers_name_is_refused_while_the_peer_lives() -> None:
    """The peer shows that it is alive, so the newcomer of its name is refused and the session goes on."""
    world = _linked("a", "b")
    old = world.nodes["b"]
    newcomer = world.start("b", "test://b2")
    world.carry_out(newcomer, newcomer.manager.connect("test://a", world.now))
    world.run(20)
    text = "another b has a session already, and is alive at test://b"
    assert _refusals(newcomer) == [f"refused test://a name_taken: {text}"]
    assert world.nodes["a"].story == ["up b"]
    assert old.story == ["up a"]


def test_a_dial_that_leads_to_a_second_node_of_a_peers_name_is_refused() -> None:
    """It is the same when the second one is dialled by the node that has a peer of this name."""
    world = _linked("a", "b")
    newcomer = world.start("b", "test://b2")
    world.connect("a", "test://b2")
    world.run(20)
    text = "another b has a session already, and is alive at test://b"
    assert _refusals(world.nodes["a"]) == [f"refused test://b2 name_taken: {text}"]
    assert newcomer.up == {}


def test_the_next_life_of_a_silent_peer_is_taken_at_once_at_another_endpoint() -> None:
    """A peer that does not answer for ``name_check_s`` makes way for the newcomer of its name."""
    world = _linked("a", "b")
    world.crash("b")
    world.start("b", "test://b2")
    world.connect("b", "test://a")
    world.run(3)
    assert world.nodes["a"].story == ["up b", "down b node_lost: it came back without this session", "up b"]


def test_versions_that_do_not_overlap_are_refused_with_both_named() -> None:
    """A node that speaks only version 1, where generations were times, is told which versions are spoken here."""
    world = _linked("a")
    effects = world.nodes["a"].manager.receive([_hello(protocol_min=1, protocol_max=1)], STRANGER, world.now)
    assert [type(effect) for effect in effects] == [Refuse]
    assert isinstance(effects[0], Refuse)
    refusal = frames.read_refusal(frames.parse(effects[0].parts, 1_000))
    assert (refusal.code, refusal.text) == (
        "protocol", "z speaks the protocol versions 1 to 1, a 2 to 2: upgrade the older one",
    )  # fmt: skip


def test_versions_that_overlap_are_linked() -> None:
    """A node that speaks this version among others is greeted."""
    world = _linked("a")
    effects = world.nodes["a"].manager.receive([_hello(protocol_min=1, protocol_max=9)], STRANGER, world.now)
    assert [type(effect) for effect in effects] == [OpenWire, Transmit]


def test_a_refused_dial_is_tried_again_slowly() -> None:
    """After a refusal that may pass, the dial goes on with the longest pause: here until the node of that name goes."""
    world = _linked("a", "b")
    newcomer = world.start("b", "test://b2")
    world.carry_out(newcomer, newcomer.manager.connect("test://a", world.now))
    world.run(60)
    refusals = newcomer.told("refused")
    assert 8 <= len(refusals) <= 16
    old = world.node_runs[1]
    world.carry_out(old, old.manager.close(world.now))
    world.run(8)
    assert world.nodes["a"].up["b"].peer is not None
    assert world.nodes["a"].up["b"].endpoint == "test://b2"


def test_frames_of_a_peer_under_another_key_are_dropped() -> None:
    """Who knows the token of a session but not the peer's key is not heard."""
    world = World(1)
    world.start("a")
    world.start("b", identity="key-of-b")
    world.connect("a", "test://b")
    world.run(1)
    a = world.nodes["a"]
    session = a.up["b"]
    frame = frames.build(frames.BYE, session.token, 0, 0, 0)
    thief = Source("thief", "key-of-t")
    effects = a.manager.receive(frame, thief, world.now)
    text = f"a frame for {session} from key-of-t, it is with key-of-b (at byte 12 of the frame)"
    assert effects == [FrameRejected(thief, text)]
    greeting = a.manager.receive([_hello("b", "test://b")], thief, world.now)
    assert [type(effect) for effect in greeting] == [Refuse]
    assert session.state == "up"


def test_frames_of_no_session_are_counted_and_dropped() -> None:
    """A frame with a token that nobody has, or has any more, does nothing."""
    world = _linked("a", "b")
    manager = world.nodes["a"].manager
    assert manager.receive(frames.build(frames.PING, 12345, 0, 0, 0), STRANGER, world.now) == []
    assert manager.unknown_session_frames == 1


def test_more_peers_than_allowed_are_refused() -> None:
    """``peers_max`` holds for those who dial here and for those who are dialled."""
    world = _linked("a", "b", "c", settings=SessionSettings(peers_max=2))
    world.start("d")
    world.connect("d", "test://a")
    world.run(1)
    assert _refusals(world.nodes["d"]) == ["refused test://a full: a has peers_max=2 sessions already"]
    with pytest.raises(TooManyPeers, match=r"^test://d is not dialled: peers_max=2 endpoints are$"):
        world.connect("a", "test://d")


def test_a_handshake_that_does_not_end_is_forgotten() -> None:
    """A HELLO from somebody who then says nothing leaves no trace after ``handshake_s``."""
    world = _linked("a")
    a = world.nodes["a"]
    world.carry_out(a, a.manager.receive([_hello()], STRANGER, world.now))
    assert a.wires == {"test://z"}
    world.run(world.settings.handshake_s + 1)
    assert a.manager.is_empty
    assert a.wires == set()
    assert a.story == []


def test_closing_says_goodbye_to_all_and_takes_nobody() -> None:
    """After ``close`` the peers know, the links are gone, and a newcomer is refused."""
    world = _linked("a", "b", "c")
    a = world.nodes["a"]
    world.carry_out(a, a.manager.close(world.now))
    world.connect("c", "test://a")
    world.run(2)
    assert a.manager.is_empty
    assert a.wires == set()
    assert sorted(a.told("down")) == [
        "down b closed: this node took its leave", "down c closed: this node took its leave",
    ]  # fmt: skip
    assert world.nodes["b"].story == ["up a", "down a goodbye: it took its leave"]
    assert _refusals(world.nodes["c"]) == ["refused test://a closing: a is shutting down"]


def test_a_goodbye_that_nobody_hears_ends_after_the_linger() -> None:
    """A peer that is out of reach does not keep a node from closing."""
    world = _linked("a", "b")
    world.cut = {("test://a", "test://b")}
    world.send("a", "b", 2)
    a = world.nodes["a"]
    world.carry_out(a, a.manager.close(world.now))
    world.run(world.settings.linger_s)
    assert a.manager.is_empty
    assert a.told("down") == [
        "down b closed: this node took its leave; the peer did not confirm it, 2 bodies come back"
    ]


def test_an_endpoint_that_is_disconnected_is_dialled_no_more() -> None:
    """``disconnect`` takes leave of the peer and does not come back, whether it was linked or still being dialled."""
    world = _linked("a", "b")
    world.connect("a", "test://nobody")
    a = world.nodes["a"]
    for endpoint in ("test://b", "test://nobody"):
        world.carry_out(a, a.manager.disconnect(endpoint, world.now))
    world.run(30)
    assert a.manager.is_empty
    assert a.story == ["up b", "down b closed: this node took its leave"]


def test_two_endpoints_of_one_node_are_one_link() -> None:
    """A second dial that leads to a linked node has done its work."""
    world = _linked("a", "b")
    world.listening["alias://b"] = world.nodes["b"]
    world.connect("a", "alias://b")
    world.run(60)
    assert world.nodes["a"].story == ["up b"]
    assert world.nodes["b"].story == ["up a"]
    assert world.nodes["a"].wires == {"test://b"}


def test_a_peer_that_was_dialled_is_dialled_again_when_it_is_lost() -> None:
    """A dial outlives the session: once the peer is back, so is the link."""
    world = _linked("a", "b")
    world.crash("b")
    world.run(40)
    assert world.nodes["a"].told("down") == ["down b node_lost: it stayed out of reach for 20.0 s"]
    world.start("b")
    world.run(7)
    assert list(world.nodes["a"].up) == ["b"]


def test_a_silly_greeting_is_at_fault() -> None:
    """A HELLO that wants no answer is dropped with words."""
    world = _linked("a")
    effects = world.nodes["a"].manager.receive([_hello(attempt=0)], STRANGER, world.now)
    assert effects == [FrameRejected(STRANGER, "z greets with attempt 0 and echo 0 (at byte 3 of the frame)")]
    assert world.nodes["a"].manager.rejected_frames == 1


def _objections(endpoints: list[str], settings: SessionSettings) -> list[list[Refuse]]:
    """What the node ``a`` sends when nodes of its own name greet from these endpoints, 50 ms apart."""
    world = _linked("a", settings=settings)
    manager, refused = world.nodes["a"].manager, list[list[Refuse]]()
    for number, endpoint in enumerate(endpoints):
        effects = manager.receive([_hello("a", endpoint, token=9)], STRANGER, world.now + 0.05 * number)
        refused.append([effect for effect in effects if isinstance(effect, Refuse)])
    assert len(vars(manager)["_refused_at"]) <= settings.peers_max
    return refused


@pytest.mark.parametrize("endpoint", ["bad1", "tcp://a.example:1", "tcp://1.2.3.4:" + "1" * 450, "test://z\n"])
def test_a_greeting_with_an_endpoint_that_must_not_be_dialled_is_at_fault(endpoint: str) -> None:
    """No session is made, no wire is opened and no name looked up; the next greeting of the node is taken."""
    world = _linked("a")
    a = world.nodes["a"]
    effects = a.manager.receive([_hello(endpoint=endpoint)], STRANGER, world.now)
    assert [type(effect) for effect in effects] == [FrameRejected]
    assert a.manager.is_empty
    assert [type(e) for e in a.manager.receive([_hello()], STRANGER, world.now)] == [OpenWire, Transmit]


def test_an_endpoint_is_refused_at_the_pace_of_greetings() -> None:
    """A node that greets without pause is sent one REFUSE in ``greet_first_s``, with its own token."""
    refused = _objections(["x://z"] * 3, SessionSettings(greet_first_s=0.1))
    assert [len(effects) for effects in refused] == [1, 0, 1]
    frame = frames.parse(refused[0][0].parts, 1_000)
    assert (frame.session, frames.read_refusal(frame).code) == (9, "name_taken")


def test_the_table_of_refused_endpoints_is_bounded() -> None:
    """Greetings from ever new endpoints are all refused, and make no table grow."""
    refused = _objections([f"x://{number}" for number in range(1_000)], SessionSettings(peers_max=10))
    assert all(refused)


def test_a_node_that_shuts_down_refuses_new_sessions() -> None:
    """The refusal says why, and the dial is tried again."""
    world = _linked("a")
    manager = world.nodes["a"].manager
    manager.close(world.now)
    (refuse,) = [e for e in manager.receive([_hello()], STRANGER, world.now) if isinstance(e, Refuse)]
    refusal = frames.read_refusal(frames.parse(refuse.parts, 1_000))
    assert (refusal.code, refusal.text) == ("closing", "a is shutting down")


def test_a_dial_once_does_not_weaken_a_lasting_one() -> None:
    """An endpoint that is dialled once and until ``disconnect`` is dialled again after the session is lost."""
    world = _linked("a")
    world.start("b")
    node_run = world.nodes["a"]
    for once in (True, False, True):
        world.carry_out(node_run, node_run.manager.connect("test://b", world.now, once=once))
    world.run(1)
    world.crash("b")
    world.run(40)
    world.start("b")
    world.run(10)
    assert "b" in node_run.up


@given(st.lists(st.sampled_from(read_vectors("frames.txt") + read_vectors("faults.txt")), max_size=20), st.data())
def test_whatever_comes_in_other_links_go_on(vectors: list[Vector], data: st.DataObject) -> None:
    """Frames of all kinds, whole and damaged, for sessions that exist and others, hurt no session of others."""
    world = _linked("a", "b")
    a = world.nodes["a"]
    tokens = [a.up["b"].token, 7]
    for vector in vectors:
        buffers = [bytearray(buffer) for buffer in vector.buffers]
        if buffers and len(buffers[0]) >= frames.HEADER_BYTES and buffers[0][3] > frames.REFUSE:
            buffers[0][12:20] = data.draw(st.sampled_from(tokens)).to_bytes(8, "big")
        source = data.draw(st.sampled_from([STRANGER, Source("x", "key")]))
        world.carry_out(a, a.manager.receive([bytes(buffer) for buffer in buffers], source, world.now))
    world.channel_faults = ChannelFaults()
    world.run(60)
    assert "b" in a.up


def test_a_rejected_greeting_leaves_no_wire_of_the_session_that_it_has_ended() -> None:
    """A node greets from elsewhere, by an identity that has too many handshakes: the wire to its first place closes."""
    budget = Budget(PeerLimits(handshakes_max=10, identity_share=0.1))
    manager = SessionManager(
        LocalNode("a", 1, "test://a"),
        token=itertools.count(1).__next__,
        chance=lambda: 0.5,
        account=lambda identity: budget.account(identity, str(identity), shared=False),
    )
    wires: set[str] = set()
    rejected: list[str] = []
    for name, endpoint, identity in (("z", "test://z", "one"), ("y", "test://y", "two"), ("z", "test://z2", "two")):
        for effect in manager.receive((_hello(name, endpoint),), Source(identity=identity), 0.0):
            if isinstance(effect, OpenWire):
                wires.add(effect.endpoint)
            elif isinstance(effect, CloseWire):
                wires.remove(effect.endpoint)
            elif isinstance(effect, FrameRejected):
                rejected.append(effect.problem)
    assert wires == {"test://y"}
    assert len(rejected) == manager.rejected_frames == 1
    assert rejected[0].startswith("1 handshakes more are refused: two may have 1")
    assert manager.peer("z") is None
