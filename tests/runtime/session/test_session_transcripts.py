import os
from pathlib import Path

import pytest

from tests.runtime.session.world import World
from trouper.runtime.session.frames import CONTROL
from trouper.runtime.session.session import SessionClosed
from trouper.runtime.session.settings import SessionSettings
from trouper.runtime.session.transport import FrameTooLarge

FOLDER = Path(__file__).parents[2] / "data" / "links"
SMALL = SessionSettings(
    frame_bytes_max=1_000, window_bytes=4_000, window_frames=50, ack_bytes=1_500, ack_frames=8, jitter=0.0
)


def _perform(world: World, line: str) -> None:
    """Carry out one command of a transcript."""
    verb, *words = line.split()
    match verb:
        case "start":
            world.start(words[0], *words[1:])
        case "alias":
            world.listening[f"alias://{words[0]}"] = world.nodes[words[0]]
        case "dial":
            world.connect(words[0], words[1] if "://" in words[1] else f"test://{words[1]}")
        case "send":
            world.log(f"{world.send(words[0], words[1], int(words[2]), int((words[3:] or ['20'])[0]))} were sent")
        case "control":
            world.log(f"{world.send(words[0], words[1], int(words[2]), stream=CONTROL)} were sent")
        case "cut":
            world.cut.add((f"test://{words[0]}", f"test://{words[1]}"))
        case "heal":
            world.cut.clear()
        case "run":
            world.run(float(words[0]))
        case "crash" | "reset" | "fill" | "empty":
            getattr(world, verb)(*words)
        case _:
            _perform_at(world, verb, words[0], words[1])


def _perform_at(world: World, verb: str, node: str, other: str) -> None:
    """Carry out one command that a node gives to its session manager."""
    node_run = world.nodes[node]
    match verb:
        case "leave":
            world.carry_out(node_run, node_run.manager.leave(other, world.now))
        case "once":
            world.carry_out(node_run, node_run.manager.connect(f"test://{other}", world.now, once=True))
        case "free" | "hold":
            node_run.up[other].in_use = verb == "hold"
        case "part":
            world.carry_out(node_run, node_run.manager.close_idle(node_run.up[other], world.now))
        case _:
            raise AssertionError(f"unknown command: {verb}")


def _play(script: str) -> str:
    """Return the script with what came of each block of commands below its ``----``."""
    world, told = World(7, SMALL), list[str]()
    world.log = lambda line: told.append(f"{world.now - 100:.3f} {line}")
    pieces: list[str] = []
    for block in script.strip().split("\n\n"):
        commands = block.partition("\n----")[0]
        for line in commands.splitlines():
            if line and not line.startswith("#"):
                _perform(world, line)
        if commands.startswith("#") and not any(not line.startswith("#") for line in commands.splitlines()):
            pieces.append(commands)
            continue
        pieces.append("\n".join([commands, "----", *told]))
        told.clear()
    world.check_nothing_lost()
    return "\n\n".join(pieces) + "\n"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_a_transcript_holds(path: Path) -> None:
    """Each scenario in tests/data/links gives exactly the frames and news written below its commands.

    With TROUPER_REWRITE=1 in the environment the files are written anew, to be read as a difference.
    """
    script = path.read_text("utf-8")
    played = _play(script)
    if os.environ.get("TROUPER_REWRITE") == "1":
        path.write_text(played, "utf-8")
    assert played == script


def _two(settings: SessionSettings | None = None) -> World:
    world = World(1, settings or SMALL)
    world.start("a")
    world.start("b")
    world.connect("a", "test://b")
    world.run(1)
    return world


def test_a_link_that_flaps_a_thousand_times_loses_nothing() -> None:
    """A thousand breaks under traffic both ways: every body arrives once and in order, and the session is the same."""
    world = _two()
    a, b = world.nodes["a"], world.nodes["b"]
    session, back, turn = a.up["b"], b.up["a"], 0
    while session.breaks + back.breaks < 1_000:
        world.send("a", "b", 5)
        world.send("b", "a", 5)
        world.run((0.000_5, 0.001_5, 0.2)[turn % 3])
        world.reset(*("a", "b") if turn % 2 else ("b", "a"))
        turn += 1
    world.run(10)
    world.check_all_delivered()
    assert (a.up, b.up) == ({"b": session}, {"a": back})
    assert min(a.sent[session.token], b.sent[back.token]) > 2_000


def test_an_idle_link_says_little() -> None:
    """Two idle nodes exchange a ping and a pong for each ``ping_after_s``, whichever of them asks."""
    world = _two()
    before = world.frames
    world.run(100 * SMALL.ping_after_s)
    assert 200 <= world.frames - before <= 204


def test_a_peer_that_takes_nothing_pushes_back() -> None:
    """Without acknowledgements the normal stream takes one window and no more; the control stream goes on."""
    world = _two()
    world.cut.add(("test://b", "test://a"))
    assert world.send("a", "b", 100, 400) == SMALL.window_bytes // 400
    assert world.send("a", "b", 3, 400, CONTROL) == 3
    world.cut.clear()
    world.run(5)
    assert world.nodes["a"].told("room") == ["room"]
    world.check_all_delivered()


def test_many_small_bodies_push_back_too() -> None:
    """The window has a limit in frames beside the one in bytes."""
    world = _two()
    world.cut.add(("test://b", "test://a"))
    assert world.send("a", "b", 1_000) == SMALL.window_frames


def test_a_body_too_large_for_the_peer_is_refused_at_the_sender() -> None:
    """The smaller of the two nodes' limits holds, header included."""
    world = _two()
    a = world.nodes["a"]
    session = a.up["b"]
    assert session.body_bytes_max == 1_000 - 44
    with pytest.raises(
        FrameTooLarge, match=r"^<Session with b#\d+ at test://b: up>: a body of 957 bytes, it takes 1 to 956$"
    ):
        a.manager.send(session, (bytes(957),), 1, world.now)
    with pytest.raises(FrameTooLarge, match=r"a body of 0 bytes, it takes 1 to 956$"):
        a.manager.send(session, (b"",), 1, world.now)


def test_a_link_takes_nothing_after_its_end() -> None:
    """Who sends after ``SessionDown`` is told so."""
    world = _two()
    a = world.nodes["a"]
    session = a.up["b"]
    world.carry_out(a, a.manager.end_session("b", "its process has ended", world.now))
    assert a.told("down") == ["down b node_lost: its process has ended"]
    with pytest.raises(
        SessionClosed, match=r"^<Session with b#\d+ at test://b: closed>: send only between its SessionUp and"
    ):
        a.manager.send(session, (b"x",), 1, world.now)


def test_a_peer_that_acknowledges_the_future_is_at_fault() -> None:
    """A frame that acknowledges what was never sent is dropped, and the link goes on."""
    world = _two()
    a, b = world.nodes["a"], world.nodes["b"]
    b.up["a"].sequencer.received = 5
    world.send("b", "a", 1)
    world.run(0.01)
    assert a.told("faulty") == ["faulty: the peer acknowledges body 5, only 0 were sent (at byte 28 of the frame)"]
    assert a.up["b"].state == "up"
