"""Links that are there only while they are used: how they end, and that nothing is lost when they do."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.session.world import ChannelFaults, World
from trouper.runtime.session.frames import CONTROL
from trouper.runtime.session.sessions import closable
from trouper.runtime.session.settings import SessionSettings

SMALL = SessionSettings(frame_bytes_max=1_000, window_bytes=4_000, window_frames=50, ack_bytes=1_500, ack_frames=8)
IDLE = "idle: neither side had anything to say"


def _dial(world: World, a: str, b: str) -> None:
    node_run = world.nodes[a]
    world.carry_out(node_run, node_run.manager.connect(f"test://{b}", world.now, once=True))


def _linked(*names: str, settings: SessionSettings = SMALL) -> World:
    """The first of the nodes dials the others for once; nobody holds a link."""
    world = World(1, settings)
    for name in names:
        world.start(name)
    for name in names[1:]:
        _dial(world, names[0], name)
        world.run(1)
    for node_run in world.node_runs:
        for session in node_run.up.values():
            session.in_use = False
    return world


def _ask_to_close(world: World, a: str, b: str) -> None:
    node_run = world.nodes[a]
    world.carry_out(node_run, node_run.manager.close_idle(node_run.up[b], world.now))


def test_a_link_that_is_dialled_for_good_does_not_end_for_being_idle() -> None:
    """Neither the side that dialled for good asks, nor does it agree."""
    world = _linked("a", "b")
    world.connect("a", "test://b")
    _ask_to_close(world, "a", "b")
    _ask_to_close(world, "b", "a")
    world.run(2)
    assert [node_run.story for node_run in world.node_runs] == [["up b"], ["up a", "room"]]


def test_what_is_unacknowledged_keeps_a_link() -> None:
    """A side whose last body may be on its way does not ask."""
    world = _linked("a", "b")
    world.send("a", "b", 1)
    _ask_to_close(world, "a", "b")
    assert world.nodes["a"].up["b"].state == "up"
    world.run(1)
    _ask_to_close(world, "a", "b")
    world.run(1)
    assert world.nodes["a"].story == ["up b", f"down b {IDLE}"]
    world.check_nothing_lost()


def test_between_the_question_and_the_answer_nothing_is_taken() -> None:
    """What there is to say waits, and goes when the peer would rather stay."""
    world = _linked("a", "b")
    world.nodes["b"].up["a"].in_use = True
    _ask_to_close(world, "a", "b")
    assert world.send("a", "b", 1) == 0
    world.run(0.1)
    assert world.nodes["a"].story == ["up b", "room"]
    assert world.send("a", "b", 1) == 1
    world.run(1)
    world.check_all_delivered()


def test_a_late_question_ends_nothing() -> None:
    """A question that arrives once more after the answer was no is answered no again, whatever has changed since."""
    world = _linked("a", "b")
    a, b = world.nodes["a"], world.nodes["b"]
    b.up["a"].in_use = True
    question = a.manager.close_idle(a.up["b"], world.now)
    world.carry_out(a, question)
    world.run(1)
    b.up["a"].in_use = False
    world.carry_out(a, question)
    world.run(5)
    assert [node_run.story for node_run in world.node_runs] == [["up b", "room"], ["up a"]]


def test_a_peer_that_is_gone_is_lost_and_not_idle() -> None:
    """A question that nobody answers ends as every silence does."""
    world = _linked("a", "b")
    world.crash("b")
    _ask_to_close(world, "a", "b")
    world.run(30)
    assert world.nodes["a"].told("down") == ["down b node_lost: it stayed out of reach for 20.0 s"]
    assert world.nodes["a"].manager.is_empty


def test_a_node_that_closes_while_it_asks_says_goodbye() -> None:
    """Closing goes before asking."""
    world = _linked("a", "b")
    _ask_to_close(world, "a", "b")
    a = world.nodes["a"]
    world.carry_out(a, a.manager.close(world.now))
    world.run(3)
    assert a.manager.is_empty
    assert world.nodes["b"].manager.is_empty
    assert len(a.told("down")) == len(world.nodes["b"].told("down")) == 1


def test_a_dial_that_is_forgotten_stops() -> None:
    """Nobody is greeted any more; a link that came of it goes on."""
    world = _linked("a", "b")
    a = world.nodes["a"]
    _dial(world, "a", "nobody")
    for endpoint in ("test://nobody", "test://b", "test://never"):
        world.carry_out(a, a.manager.forget(endpoint, world.now))
    world.run(1)
    assert a.wires == {"test://b"}
    assert a.story == ["up b"]


def test_a_dial_for_once_is_not_tried_again_after_a_loss() -> None:
    """When the peer is lost, a node that still wants it dials again."""
    world = _linked("a", "b")
    world.crash("b")
    world.run(60)
    assert world.nodes["a"].manager.is_empty
    assert world.nodes["a"].wires == set()


def test_above_the_cap_the_least_recently_used_link_goes() -> None:
    """Of three links with ``sessions_max=2`` the one that was used last of all longest ago ends, unless it is held."""
    settings = replace(SMALL, sessions_max=2)
    world = _linked("a", "b", "c", "d", settings=settings)
    a = world.nodes["a"]
    world.send("a", "b", 1)
    world.run(1)
    assert [session.peer and session.peer.node for session in closable(a.up.values(), settings, world.now)] == ["c"]
    a.up["c"].in_use = True
    world.carry_out(a, a.manager.close_unused(world.now))
    world.run(1)
    assert list(a.up) == ["b", "c"]
    assert a.told("down") == [f"down d {IDLE}"]
    assert world.nodes["d"].told("down") == [f"down a {IDLE}"]


def test_a_link_unused_for_long_goes() -> None:
    """``idle_after_s`` ends links whether or not there are too many."""
    world = _linked("a", "b", "c", settings=replace(SMALL, idle_after_s=5.0))
    a = world.nodes["a"]
    world.run(4)
    world.send("c", "a", 1)
    world.run(1)
    world.carry_out(a, a.manager.close_unused(world.now))
    world.run(1)
    assert list(a.up) == ["c"]


steps = st.lists(
    st.tuples(
        st.sampled_from(["send", "control", "dial", "part", "free", "hold", "run", "run", "reset", "cut"]),
        st.sampled_from([("a", "b"), ("b", "a")]),
        st.sampled_from([0.0, 0.000_7, 0.003, 0.1, 0.4, 1.5]),
    ),
    max_size=60,
)
weathers = st.builds(
    ChannelFaults,
    delay_s=st.sampled_from([0.0, 0.001, 0.03]),
    jitter_s=st.sampled_from([0.0, 0.2]),
    loss=st.sampled_from([0.0, 0.02, 0.2]),
    duplication=st.sampled_from([0.0, 0.2]),
    reorder=st.sampled_from([0.0, 0.3]),
)


@given(st.integers(0, 2**32), weathers, steps)
def test_sessions_that_end_for_being_idle_lose_nothing(
    seed: int, channel_faults: ChannelFaults, steps: list[tuple[str, tuple[str, str], float]]
) -> None:
    """Questions at any time, in any weather: what a session has taken arrives, and no session is ``node_lost``."""
    world = World(seed, replace(SMALL, give_up_s=600.0))
    world.start("a")
    world.start("b")
    world.channel_faults = channel_faults
    _dial(world, "a", "b")
    for verb, (a, b), seconds in steps:
        node_run, session = world.nodes[a], world.nodes[a].up.get(b)
        match verb:
            case "dial":
                _dial(world, a, b)
            case "send" | "control":
                if session is not None and session.state in ("up", "broken"):
                    world.send(a, b, 3, 300, CONTROL if verb == "control" else 1)
            case "run":
                world.run(seconds)
            case "reset":
                world.reset(a, b)
            case "cut":
                world.cut.add((f"test://{a}", f"test://{b}"))
                world.run(seconds)
                world.cut.clear()
            case _ if session is not None:
                session.in_use = verb == "hold" if verb != "part" else session.in_use
                world.carry_out(node_run, node_run.manager.close_idle(session, world.now) if verb == "part" else [])
            case _:
                pass
        world.check_nothing_lost()
    world.channel_faults = ChannelFaults()
    world.run(30)
    _dial(world, "a", "b")
    world.run(30)
    world.check_all_delivered()
    assert [list(node_run.up) for node_run in world.node_runs] == [["b"], ["a"]]
    ends = [line for node_run in world.node_runs for line in node_run.told("down")]
    assert [line for line in ends if "idle" not in line] == []
