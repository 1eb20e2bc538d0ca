"""Links in a world that loses, repeats, reorders, cuts, resets, pauses, fills up and crashes.

The world itself checks each body as it comes out, each beginning and end of a session, and the windows; see
``world.py``.  The weather and the numbers come from a seed, what happens from hypothesis, so that a failure shrinks.
"""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from tests.runtime.session.world import ChannelFaults, World
from trouper.runtime.session.frames import CONTROL
from trouper.runtime.session.settings import SessionSettings

SMALL = SessionSettings(frame_bytes_max=1_000, window_bytes=4_000, window_frames=50, ack_bytes=1_500, ack_frames=8)
NAMES = "abc"
Step = tuple[str, str, str, float]

pairs = st.sampled_from([(a, b) for a in NAMES for b in NAMES if a != b])
weathers = st.builds(
    ChannelFaults,
    delay_s=st.sampled_from([0.0, 0.001, 0.03]),
    jitter_s=st.sampled_from([0.0, 0.01, 0.2]),
    loss=st.sampled_from([0.0, 0.02, 0.2]),
    duplication=st.sampled_from([0.0, 0.2]),
    reorder=st.sampled_from([0.0, 0.1, 0.3]),
)
dials = st.lists(st.tuples(pairs, st.booleans()), min_size=1, max_size=4)


def _steps(verbs: list[str], seconds: list[float]) -> st.SearchStrategy[list[Step]]:
    step = st.tuples(st.sampled_from(verbs), pairs, st.sampled_from(seconds))
    return st.lists(st.tuples(step), max_size=60).map(
        lambda steps: [(verb, *pair, number) for ((verb, pair, number),) in steps]
    )


rough_steps = _steps(
    ["send"] * 5 + ["run"] * 6 + ["control", "cut", "heal", "reset", "pause", "fill", "empty", "crash", "move"],
    [0.001, 0.003, 0.01, 0.03, 0.1, 1.0, 3.0, 12.0, 30.0],
)
mild_steps = _steps(
    ["send"] * 5 + ["run"] * 6 + ["control", "brief cut", "reset", "brief pause", "brief fill"],
    [0.001, 0.003, 0.01, 0.03, 0.1, 1.0],
)


def _endpoint(name: str, *, alias: bool) -> str:
    return f"alias://{name}" if alias else f"test://{name}"


def _make(seed: int, channel_faults: ChannelFaults, dialled: list[tuple[tuple[str, str], bool]]) -> World:
    world = World(seed, SMALL)
    for name in NAMES:
        world.listening[f"alias://{name}"] = world.start(name)
    _dial(world, dialled)
    world.run(world.random.choice([0.0, 0.05, 2.0]))
    world.channel_faults = channel_faults
    return world


def _dial(world: World, dialled: list[tuple[tuple[str, str], bool]], only: str | None = None) -> None:
    for (source, target), alias in dialled:
        if only in (None, source):
            world.connect(source, _endpoint(target, alias=alias))


def _perform(world: World, step: Step, dialled: list[tuple[tuple[str, str], bool]]) -> None:
    verb, a, b, seconds = step
    match verb:
        case "send":
            world.send(a, b, world.random.randint(1, 30), world.random.choice([50, 300, 900]))
        case "control":
            world.send(a, b, world.random.randint(1, 10), 50, CONTROL)
        case "run":
            world.run(seconds)
        case "cut" | "brief cut":
            world.cut |= {(world.nodes[a].endpoint, endpoint) for endpoint in (f"test://{b}", f"alias://{b}")}
        case "heal":
            world.cut.clear()
        case "pause" | "brief pause":
            world.pause(a, seconds)
        case "fill" | "brief fill":
            world.fill(a, b)
        case "crash" | "move":
            world.crash(a)
            world.run(seconds)
            where = f"test://{a}{len(world.node_runs)}" if verb == "move" else f"test://{a}"
            world.listening[f"alias://{a}"] = world.listening[f"test://{a}"] = world.start(a, where)
            _dial(world, dialled, a)
        case _:
            getattr(world, verb)(a, b)
    if verb.startswith("brief"):
        world.run(min(seconds, 1.0))
        _clear_up(world)
        world.run(13.0)


def _clear_up(world: World) -> None:
    """End every fault that lasts."""
    world.cut.clear()
    full, world.full = list(world.full), set()
    for node_run in world.nodes.values():
        for source, endpoint in full:
            if source == node_run.endpoint:
                world.carry_out(node_run, node_run.manager.wire_ready(endpoint, world.now))


def _after_event(world: World, dialled: list[tuple[tuple[str, str], bool]]) -> None:
    """After all faults: every dial has led to a link, everything has arrived, and nobody says much."""
    _clear_up(world)
    world.channel_faults = ChannelFaults()
    world.run(70)
    world.check_nothing_lost()
    world.check_all_delivered()
    for (source, target), _ in dialled:
        assert target in world.nodes[source].up, world.nodes[source].story
        assert source in world.nodes[target].up, world.nodes[target].story
    assert not [line for node_run in world.node_runs for line in node_run.told("faulty")]
    before = world.frames
    world.run(10)
    assert world.frames - before <= 60, "three idle links: four rounds in which each end may ask and answer"


@given(st.integers(0, 2**32), weathers, dials, rough_steps)
def test_links_keep_their_promises_in_any_weather(
    seed: int, channel_faults: ChannelFaults, dialled: list[tuple[tuple[str, str], bool]], steps: list[Step]
) -> None:
    """Whatever happens, a session delivers a prefix in order, each body once, and returns or keeps the rest."""
    world = _make(seed, channel_faults, dialled)
    for step in steps:
        _perform(world, step, dialled)
        world.check_nothing_lost()
    _after_event(world, dialled)


@given(st.integers(0, 2**32), weathers, dials, mild_steps)
@example(189, ChannelFaults(0.001, 0.2, 0.02, 0.2, 0.3), [(("a", "b"), True), (("b", "a"), False)], [])
def test_no_session_ends_for_a_fault_that_passes(
    seed: int, channel_faults: ChannelFaults, dialled: list[tuple[tuple[str, str], bool]], steps: list[Step]
) -> None:
    """Breaks shorter than ``give_up_s`` lose no peer: one session from the beginning to the end."""
    channel_faults.loss = min(channel_faults.loss, 0.02)
    world = _make(seed, channel_faults, dialled)
    for step in steps:
        _perform(world, step, dialled)
    _after_event(world, dialled)
    assert not [line for node_run in world.node_runs for line in node_run.told("down")]
