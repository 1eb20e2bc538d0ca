"""Whole clusters of resolvers through a cut, in time: news trickles in, orders spread, a lease is slow to answer."""

import heapq
import os
import random
from collections.abc import Callable
from math import inf

import msgspec
import pytest

from trouper.actors.cluster.splitbrain.resolver import (
    AcquireLease,
    DownMembers,
    DownSelf,
    Effect,
    Event,
    LeaseResult,
    NewView,
    ReleaseLease,
    SplitBrainResolver,
    SplitBrainSettings,
    TimePassed,
)
from trouper.actors.cluster.splitbrain.strategies import (
    DownAll,
    KeepMajority,
    KeepOldest,
    LeaseMajority,
    StaticQuorum,
    Strategy,
)
from trouper.actors.cluster.splitbrain.view import PartitionMember, PartitionView
from trouper.testing.seeds import SOAK_FACTOR

SEEDS = 60 * (SOAK_FACTOR if os.environ.get("TROUPER_SOAK") == "1" else 1)
END_S = 200.0
REMOVED_AFTER_S = 5.0
"""How long after it went down a member is removed by its side."""
STRATEGIES: tuple[Strategy, ...] = (KeepMajority(), StaticQuorum(3), KeepOldest(), LeaseMajority(), DownAll())


class _Node:
    """One node: its resolver, and what it has heard of so far."""

    def __init__(self, name: str, members: dict[str, PartitionMember], settings: SplitBrainSettings) -> None:
        self.name, self.members = name, dict(members)
        self.pairs: set[tuple[str, str]] = set()
        self.resolver = SplitBrainResolver(name, settings, 0.0)
        self.running = True

    def view(self, side: frozenset[str]) -> PartitionView:
        return PartitionView(tuple(self.members.values()), frozenset(self.pairs))


class _World:
    """The nodes, who is on which side, one lease, and what happens when."""

    def __init__(self, seed: int, strategy: Strategy) -> None:
        self.draw = random.Random(f"{seed}/cuts")
        names = [f"n{number}" for number in range(self.draw.randint(2, 5))]
        ages = self.draw.sample(range(9), len(names))
        members = {name: PartitionMember(name, "up", age) for name, age in zip(names, ages, strict=True)}
        settings = SplitBrainSettings(strategy)
        self.nodes = {name: _Node(name, members, settings) for name in names}
        first = frozenset(self.draw.sample(names, self.draw.randint(1, len(names) - 1)))
        self.sides = (first, frozenset(names) - first)
        self.lease_of: str | None = None
        self.scheduled = 0
        self.queue: list[tuple[float, int, Callable[[float], None]]] = []
        for name in names:
            self.after(0.0, 0.0, lambda now, name=name: self.see(name, now))  # type: ignore[misc]  # bound at once
        self.cut()

    def after(self, now: float, pause_s: float, act: Callable[[float], None]) -> None:
        self.scheduled += 1
        heapq.heappush(self.queue, (now + pause_s, self.scheduled, act))

    def side_of(self, name: str) -> frozenset[str]:
        return self.sides[0] if name in self.sides[0] else self.sides[1]

    def cut(self) -> None:
        """Each member is missed by one of the other side within a few seconds, and that side hears of it."""
        for subject in self.nodes:
            other = self.sides[1] if subject in self.sides[0] else self.sides[0]
            pair = (self.draw.choice(sorted(other)), subject)
            found_at = 1.0 + self.draw.uniform(0, 3)
            for name in sorted(other):

                def hear(now: float, name: str = name, pair: tuple[str, str] = pair) -> None:
                    self.nodes[name].pairs.add(pair)
                    self.see(name, now)

                self.after(found_at, self.draw.uniform(0, 0.5), hear)

    def see(self, name: str, now: float) -> None:
        """Show a node what it has heard of."""
        self.step(name, NewView(self.nodes[name].view(self.side_of(name))), now)

    def step(self, name: str, event: Event, now: float) -> None:
        node = self.nodes[name]
        for effect in node.resolver.step(event, now):
            self.carry_out(name, effect, now)
        if node.resolver.wake_at < inf:
            pause_s = max(0.0, node.resolver.wake_at - now)
            self.after(now, pause_s, lambda at: self.step(name, TimePassed(), at))

    def carry_out(self, name: str, effect: Effect, now: float) -> None:
        match effect:
            case DownMembers():
                for subject in effect.names:
                    self.spread_down(name, subject, now)
            case DownSelf():
                self.nodes[name].running = False
                self.spread_down(name, name, now)
            case AcquireLease():
                there_s, back_s = self.draw.uniform(0, 4), self.draw.uniform(0, 4)
                self.after(now, there_s, lambda at: self.ask_lease(name, at, back_s))
            case ReleaseLease():
                self.lease_of = None if self.lease_of == name else self.lease_of

    def ask_lease(self, name: str, now: float, back_s: float) -> None:
        """The lease is given to the first that asks, and to its holder again."""
        acquired = self.lease_of in (None, name)
        if acquired:
            self.lease_of = name
        self.after(now, back_s, lambda at: self.step(name, LeaseResult(acquired), at))

    def spread_down(self, source: str, subject: str, now: float) -> None:
        """The side of the source hears that a member is down, and some time later that it is removed."""
        for name in sorted(self.side_of(source)):

            def hear(at: float, name: str = name) -> None:
                members = self.nodes[name].members
                if subject in members and members[subject].status != "down":
                    members[subject] = msgspec.structs.replace(members[subject], status="down")
                    self.see(name, at)

            def forget(at: float, name: str = name) -> None:
                if name != subject and self.nodes[name].members.pop(subject, None) is not None:
                    self.see(name, at)

            pause_s = self.draw.uniform(0, 0.5)
            self.after(now, pause_s, hear)
            self.after(now, pause_s + REMOVED_AFTER_S, forget)

    def run(self) -> None:
        while self.queue and self.queue[0][0] < END_S:
            now, _, act = heapq.heappop(self.queue)
            act(now)

    @property
    def survivors(self) -> list[frozenset[str]]:
        """The sides that still have a node that runs."""
        return [side for side in self.sides if any(self.nodes[name].running for name in side)]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: type(strategy).__name__)
def test_one_side_at_most_runs_in_the_end(strategy: Strategy) -> None:
    """However news trickles in and however slow the lease, two sides never go on, and a side goes on as a whole."""
    outcomes: list[int] = []
    for seed in range(SEEDS):
        world = _World(seed, strategy)
        world.run()
        outcomes.append(len(world.survivors))
        assert len(world.survivors) <= 1, f"seed {seed}: {world.survivors}"
        for side in world.survivors:
            assert all(world.nodes[name].running for name in side), f"seed {seed}: a part of {side}"
            assert world.lease_of is None, f"seed {seed}: the lease is still held"
    if isinstance(strategy, (KeepMajority, KeepOldest)):
        assert outcomes == [1] * SEEDS
    assert any(outcomes) == (not isinstance(strategy, DownAll))
