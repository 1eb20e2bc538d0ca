"""A network of seeds that come and go, sources that fail, and a loop in it: its laws hold at each step."""

import random
from dataclasses import dataclass, field
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper.actors.cluster.discovery.discovery_loop import (
    CancelDial,
    Dial,
    DiscoveryLoop,
    DiscoveryLoopSettings,
    Effect,
    Event,
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

SETTINGS = DiscoveryLoopSettings(dials_max=3, contacts_wanted=2, endpoints_max=8, again_s=20, ask_s=4, dial_s=3)
ENDPOINTS = tuple(f"tcp://n{number}:1" for number in range(12))
OWN, ALIAS = ENDPOINTS[0], ENDPOINTS[1]
SOURCES = ("file", "dns", "mdns")


@dataclass
class World:
    """Carries effects out, and holds the loop to its laws."""

    loop: DiscoveryLoop
    rng: random.Random
    now: float = 0.0
    asked: list[str] = field(default_factory=list[str])
    dialled: set[str] = field(default_factory=set[str])
    members: frozenset[str] = frozenset()
    own: set[str] = field(default_factory=lambda: {OWN})
    said: int = 0
    this_round: list[str] = field(default_factory=list[str])

    def step(self, event: Event) -> list[Effect]:
        """Hand an event over, and check what comes back."""
        match event:
            case Reached(endpoint):
                self.dialled.discard(endpoint)
                self.members |= {endpoint}
            case Unreached(endpoint) | IsOwnEndpoint(endpoint):
                self.dialled.discard(endpoint)
                self.own |= {endpoint} if isinstance(event, IsOwnEndpoint) else set()
            case MembersChanged(endpoints):
                self.members = endpoints
                self.dialled -= endpoints
            case Found(source):
                if source in self.asked:
                    self.asked.remove(source)
            case _:
                pass
        effects = self.loop.step(event, self.now)
        for effect in effects:
            self._check(effect)
        assert len(self.dialled) <= SETTINGS.dials_max
        return effects

    def _check(self, effect: Effect) -> None:
        match effect:
            case QuerySource(source):
                if not self.asked or source == SOURCES[0]:
                    self.asked, self.this_round = [], []
                self.asked.append(source)
            case Dial(endpoint):
                assert endpoint not in self.own
                assert endpoint not in self.members
                assert endpoint not in self.this_round, "once a round"
                assert endpoint not in self.dialled, "once at a time"
                self.dialled.add(endpoint)
                self.this_round.append(endpoint)
                assert len(self.this_round) <= SETTINGS.endpoints_max
            case CancelDial(endpoint):
                assert endpoint in self.dialled, "every dial ends once"
                self.dialled.remove(endpoint)
            case Notify(_, text):
                self.said += 1
                assert len(text) < 3_000


@pytest.mark.parametrize("first", [-5.0, 0.0, 1e9])
@given(st.lists(st.integers(0, 9), max_size=80), st.integers(0, 2**32 - 1))
def test_the_laws_hold_whatever_happens(first: float, steps: list[int], seed: int) -> None:
    """No order of answers, failures, losses and times breaks a law; and in the end the loop still loop."""
    rng = random.Random(seed)
    world = World(DiscoveryLoop(SOURCES, [OWN], rng.random, SETTINGS), random.Random(seed + 1), now=first)
    for kind in steps:
        _do(world, kind)
        if not world.members:
            assert world.loop.wake_at < inf, "it never gives up"
    world.step(MembersChanged(frozenset()))
    said = world.said
    for _ in range(8):  # of nothing but time: each round ends by its deadlines, and is said
        world.now = max(world.now, world.loop.wake_at)
        world.step(Tick())
    assert world.said > said
    world.step(StopDiscovery())
    assert world.dialled == set(), "every dial has ended"
    assert world.loop.wake_at == inf


def _do(world: World, kind: int) -> None:
    rng = world.rng
    dialled = sorted(world.dialled)
    match kind:
        case 0 | 1:
            world.now = max(world.now, min(world.loop.wake_at, world.now + 1e6))
            world.step(Tick())
        case 2 | 3:
            endpoints = tuple(rng.choices(ENDPOINTS, k=rng.randrange(10)))
            world.step(Found(rng.choice(SOURCES), endpoints, rng.choice(["", "half of it"])))
        case 4 | 5 if dialled:
            endpoint = rng.choice(dialled)
            world.step(IsOwnEndpoint(endpoint) if endpoint == ALIAS else Unreached(endpoint, "refused"))
        case 6 if dialled:
            world.step(Reached(rng.choice(dialled)))
        case 7:
            world.step(MembersChanged(frozenset(rng.sample(ENDPOINTS[2:], rng.randrange(4)))))
        case 8:
            world.now += rng.random() * 5
            world.step(Tick())
        case _:
            world.step(Unreached(rng.choice(ENDPOINTS[2:]), "late") if not dialled else Tick())


def test_the_same_events_give_the_same_effects() -> None:
    """A run can be replayed from its seed."""

    def run() -> list[list[Effect]]:
        loop = DiscoveryLoop(SOURCES, [OWN], random.Random(7).random, SETTINGS)
        effects = [loop.step(Tick(), 0.0)]
        effects += [loop.step(Found(source, ENDPOINTS), 0.0) for source in SOURCES]
        effects += [loop.step(Tick(), loop.wake_at) for _ in range(50)]
        return effects

    assert run() == run()


def test_many_nodes_do_not_all_begin_with_the_first_seed() -> None:
    """Of 500 nodes that start at once with ten seeds, each seed is the first of some and of not too many."""
    first = dict.fromkeys(ENDPOINTS[2:], 0)
    for seed in range(500):
        loop = DiscoveryLoop(["seeds"], [OWN], random.Random(seed).random, DiscoveryLoopSettings(dials_max=1))
        loop.step(Tick(), 0.0)
        (dial,) = loop.step(Found("seeds", ENDPOINTS[2:]), 0.0)
        assert isinstance(dial, Dial)
        first[dial.endpoint] += 1
    assert 25 <= min(first.values()) <= max(first.values()) <= 100
