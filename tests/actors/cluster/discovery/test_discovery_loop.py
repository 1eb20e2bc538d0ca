from math import inf

import pytest

from trouper.actors.cluster.discovery.discovery_loop import (
    CancelDial,
    Connected,
    Dial,
    DiscoveryLoop,
    DiscoveryLoopSettings,
    Effect,
    Found,
    IsOwnEndpoint,
    MembersChanged,
    Notify,
    QuerySource,
    Reached,
    StopDiscovery,
    Tick,
    Unreached,
)
from trouper.runtime.kernel.errors import InvalidOption

OWN = "tcp://me:1"


def make_loop(*sources: str, chance: float = 0.5, **settings: float) -> DiscoveryLoop:
    """A loop that always draws the same number; at 0.5 a pause has no jitter."""
    return DiscoveryLoop(
        sources or ("seeds",),
        [OWN],
        lambda: chance,
        DiscoveryLoopSettings(**settings),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  a table of both kinds
    )


def texts(effects: list[Effect]) -> list[str]:
    """What is said."""
    return [effect.text for effect in effects if isinstance(effect, Notify)]


def failed(loop: DiscoveryLoop, now: float, *endpoints: str) -> tuple[list[Effect], float]:
    """Play a round in which every endpoint refuses; returns the last effects, and the time of the next round."""
    assert loop.step(Tick(), now) == [QuerySource("seeds")]
    effects = loop.step(Found("seeds", endpoints), now)
    for endpoint in endpoints:
        effects = loop.step(Unreached(endpoint, "refused"), now)
    return effects, loop.wake_at


def test_every_source_is_asked_and_every_endpoint_dialled_once() -> None:
    """Two sources may name the same endpoint, and the node's own."""
    loop = make_loop("file", "dns")
    assert loop.wake_at == -inf
    assert loop.step(Tick(), 0.0) == [QuerySource("file"), QuerySource("dns")]
    assert loop.step(Found("file", ("tcp://a:1", OWN)), 0.1) == [Dial("tcp://a:1")]
    assert loop.step(Found("dns", ("tcp://b:1", "tcp://a:1")), 0.2) == [Dial("tcp://b:1")]


def test_dead_seeds_are_dialled_again_and_again_and_it_is_said() -> None:
    """The pause doubles up to its largest; each round names the endpoints, what became of them, and for how long."""
    loop, now, pauses, said = make_loop(), 0.0, list[float](), list[str]()
    for _ in range(7):
        effects, at = failed(loop, now, "tcp://a:1", "tcp://b:1")
        said += texts(effects)
        pauses.append(at - now)
        now = at
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert said[6] == (
        "no other node was reached for 61 s: tcp://a:1 (refused), tcp://b:1 (refused);"
        " next round in 30.0 s (round 7 failed)"
    )


@pytest.mark.parametrize(("chance", "pause_s"), [(0.0, 0.8), (0.5, 1.0), (0.999999, 1.2)])
def test_pauses_have_jitter(chance: float, pause_s: float) -> None:
    """Nodes that start together do not come back together."""
    _, at = failed(make_loop(chance=chance), 0.0, "tcp://a:1")
    assert at == pytest.approx(pause_s, abs=1e-5)


def test_a_node_that_finds_nobody_says_that_it_is_alone() -> None:
    """The first node of a cluster is no warning; a source that fails is."""
    loop = make_loop("seeds", "dns")
    loop.step(Tick(), 0.0)
    loop.step(Found("seeds", (OWN,)), 0.0)
    assert loop.step(Found("dns", ()), 0.0) == [
        Notify("info", "seeds, dns found no other node; this node is alone, next round in 1.0 s (round 1 failed)")
    ]
    loop.step(Tick(), 1.0)
    loop.step(Found("seeds", ()), 1.0)
    assert loop.step(Found("dns", (), "dns: no such name"), 1.0) == [
        Notify("warning", "no other node was reached for 1 s: dns: no such name; next round in 2.0 s (round 2 failed)")
    ]


def test_a_source_that_does_not_answer_is_given_up_for_the_round() -> None:
    """The others go on; a late answer is passed over."""
    loop = make_loop("file", "dns", ask_s=10)
    loop.step(Tick(), 0.0)
    loop.step(Found("file", ()), 0.0)
    assert loop.wake_at == 10.0
    assert loop.step(Tick(), 10.0) == [
        Notify(
            "warning",
            "no other node was reached for 10 s: dns: no answer within 10 s; next round in 1.0 s (round 1 failed)",
        )
    ]
    assert loop.step(Found("dns", ("tcp://a:1",)), 10.5) == []


def test_a_dial_without_an_outcome_is_hung_up() -> None:
    """A seed that swallows packets costs its time and no more."""
    loop = make_loop(dial_s=5)
    loop.step(Tick(), 0.0)
    loop.step(Found("seeds", ("tcp://a:1",)), 1.0)
    assert loop.wake_at == 6.0
    effects = loop.step(Tick(), 6.0)
    assert effects[0] == CancelDial("tcp://a:1")
    assert texts(effects) == [
        "no other node was reached for 6 s: tcp://a:1 (no answer within 5 s); next round in 1.0 s (round 1 failed)"
    ]


def test_a_connected_node_that_is_no_member_is_named() -> None:
    """The report tells it from a node that does not answer at all."""
    loop = make_loop(dial_s=5)
    loop.step(Tick(), 0.0)
    loop.step(Found("seeds", ("tcp://a:1",)), 1.0)
    assert loop.step(Connected("tcp://a:1", "ada"), 2.0) == []
    assert "tcp://a:1 (ada did not take this node in within 5 s);" in texts(loop.step(Tick(), 6.0))[0]


def test_who_is_reached_ends_the_search() -> None:
    """The backoff begins anew when all contacts are lost, after a moment of the node's own."""
    loop = make_loop(again_s=60)
    _, at = failed(loop, 0.0, "tcp://a:1")
    loop.step(Tick(), at)
    loop.step(Found("seeds", ("tcp://a:1",)), at)
    assert loop.step(Reached("tcp://a:1"), at) == [Notify("info", "reached tcp://a:1 in round 2")]
    assert loop.wake_at == at + 60
    assert loop.step(MembersChanged(frozenset()), 20.0) == []
    assert loop.wake_at == 20.5
    assert failed(loop, 20.5, "tcp://a:1")[1] == 21.5


def test_a_node_with_contacts_looks_again_now_and_then() -> None:
    """Seeds of the other half of a healed partition are dialled, members are not."""
    loop = make_loop(again_s=60)
    loop.step(MembersChanged(frozenset({"tcp://a:1"})), 0.0)
    assert loop.wake_at == 60.0
    assert loop.step(Tick(), 60.0) == [QuerySource("seeds")]
    assert loop.step(Found("seeds", ("tcp://a:1", "tcp://b:1")), 60.0) == [Dial("tcp://b:1")]
    assert loop.step(Unreached("tcp://b:1", "refused"), 60.0) == []
    assert loop.wake_at == 120.0
    never = make_loop(again_s=0)
    never.step(MembersChanged(frozenset({"tcp://a:1"})), 0.0)
    assert never.wake_at == inf


def test_an_endpoint_that_becomes_a_member_is_not_hung_up() -> None:
    """It came to this node before its own dial had an outcome; the link is used by now."""
    loop = make_loop()
    loop.step(Tick(), 0.0)
    loop.step(Found("seeds", ("tcp://a:1",)), 0.0)
    assert loop.step(MembersChanged(frozenset({"tcp://a:1"})), 1.0) == []
    assert loop.step(StopDiscovery(), 2.0) == []


def test_an_endpoint_that_is_this_node_is_never_dialled_again() -> None:
    """A name for this host leads back to it."""
    loop = make_loop()
    loop.step(Tick(), 0.0)
    assert loop.step(Found("seeds", ("tcp://localhost:1",)), 0.0) == [Dial("tcp://localhost:1")]
    (said,) = loop.step(IsOwnEndpoint("tcp://localhost:1"), 0.0)
    assert isinstance(said, Notify)
    assert said.text.startswith("seeds found no other node")
    loop.step(Tick(), 1.0)
    assert [type(effect) for effect in loop.step(Found("seeds", ("tcp://localhost:1",)), 1.0)] == [Notify]


def test_few_contacts_are_enough() -> None:
    """The others are known by those who were reached, so the rest of a long list is left alone."""
    loop = make_loop(dials_max=2, contacts_wanted=2)
    loop.step(Tick(), 0.0)
    dialled = [effect.endpoint for effect in loop.step(
        Found("seeds", tuple(f"tcp://n{number}:1" for number in range(9))), 0.0
    ) if isinstance(effect, Dial)]  # fmt: skip
    assert len(dialled) == 2
    assert [type(effect) for effect in loop.step(Reached(dialled[0]), 0.0)] == [Dial]
    assert loop.step(Reached(dialled[1]), 0.0) == []


def test_a_loop_that_was_stopped_does_nothing_more() -> None:
    """Dials under way are hung up."""
    loop = make_loop()
    loop.step(Tick(), 0.0)
    loop.step(Found("seeds", ("tcp://a:1",)), 0.0)
    assert loop.step(StopDiscovery(), 0.0) == [CancelDial("tcp://a:1")]
    assert loop.wake_at == inf
    assert loop.step(Tick(), 100.0) == []


def test_a_node_without_sources_waits_to_be_found() -> None:
    """There is nobody to ask."""
    loop = DiscoveryLoop([], [OWN], lambda: 0.5)
    assert loop.wake_at == inf
    assert loop.step(Tick(), 0.0) == []


def test_what_is_said_is_bounded() -> None:
    """A thousand seeds with long problems do not fill the log."""
    loop = make_loop(dials_max=1_000)
    loop.step(Tick(), 0.0)
    endpoints = tuple(f"tcp://{'n' * 200}{number}:1" for number in range(2_000))
    assert len(loop.step(Found("seeds", endpoints), 0.0)) == 1_000
    effects: list[Effect] = []
    for endpoint in endpoints[:1_000]:
        effects += loop.step(Unreached(endpoint, "x" * 10_000), 0.0)
    (said,) = texts(effects)
    assert len(said) < 3_000
    assert " and 995 more; next round" in said


@pytest.mark.parametrize(
    "wrong",
    [
        {"pause_first_s": 0.0},
        {"pause_max_s": 0.5},
        {"jitter": 1.0},
        {"again_s": -1.0},
        {"ask_s": 0.0},
        {"dial_s": float("nan")},
        {"dials_max": 0},
        {"contacts_wanted": 0},
        {"endpoints_max": 0},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    """The error shows the settings and the range."""
    with pytest.raises(InvalidOption):
        DiscoveryLoopSettings(**wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  a table of both kinds
