"""Whole nodes, cut in two at random: never do two sides survive, whatever the strategy."""

import asyncio

import pytest
from msgspec.structs import replace

from tests.actors.cluster.stage import PLAIN
from trouper.actors.cluster.splitbrain.resolver import SplitBrainSettings
from trouper.actors.cluster.splitbrain.strategies import (
    DownAll,
    KeepMajority,
    KeepOldest,
    LeaseMajority,
    StaticQuorum,
    Strategy,
)
from trouper.testing import Simulation, seeds
from trouper.transports.network_faults import Quality

from .test_resolver_actor import OneLease

NODES = tuple(f"n{number}" for number in range(1, 7))
QUALITY = Quality(delay_s=0.001, jitter_s=0.02)
CUT_S = 70.0
STRATEGIES: dict[str, Strategy] = {
    "keep_majority": KeepMajority(),
    "static_quorum": StaticQuorum(4),
    "keep_oldest": KeepOldest(),
    "keep_oldest_alone": KeepOldest(down_if_alone=False),
    "lease_majority": LeaseMajority(),
    "down_all": DownAll(),
}
LEASE = OneLease()


def _survivors(sim: Simulation) -> set[str]:
    return {node.name for node in sim.nodes if node.shutdown.reason is None and node.cluster.is_joined}


async def _cut(sim: Simulation, strategy: str) -> None:
    LEASE.holder = None
    late = [name for name in NODES[1:] if sim.random.random() < 0.2]
    for name in late:
        await sim.stop(name)
    await asyncio.gather(*(sim[name].cluster.wait_for(len(NODES) - len(late)) for name in NODES if name not in late))
    await asyncio.sleep(sim.random.uniform(0.0, 15.0))
    await asyncio.gather(*(sim.restart(name) for name in late))
    await asyncio.sleep(sim.random.choice((0.0, 0.1, 0.5, 1.0, 3.0, 8.0)))
    names = list(NODES)
    sim.random.shuffle(names)
    size = sim.random.randint(1, len(names) - 1)
    one, other = names[:size], names[size:]
    sim.partition(one, other)
    await asyncio.sleep(CUT_S)
    left = _survivors(sim)
    assert not (left & set(one) and left & set(other)), f"{sorted(one)} | {sorted(other)}: {sorted(left)}, late {late}"
    if strategy == "down_all":
        assert not left
    if not late:
        _check_the_usual(strategy, one, other, left)


def _check_the_usual(strategy: str, one: list[str], other: list[str], left: set[str]) -> None:
    """Where nobody has just come, one side goes on as a whole, but for the ties and quorums that are documented."""
    larger = set(one if len(one) > len(other) else other)
    if strategy == "keep_majority" and len(one) != len(other):
        assert left <= larger
    if strategy == "static_quorum" and len(larger) >= 4:
        assert left <= larger


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_never_two_sides_survive_a_clean_cut(strategy: str) -> None:
    """Six nodes, some of which have come a moment before, cut at a random moment into two random sides."""

    @seeds(
        8,
        nodes=NODES,
        joins={name: [NODES[0]] for name in NODES[1:]},
        options=lambda name: {
            "cluster": replace(PLAIN, split_brain=SplitBrainSettings(STRATEGIES[strategy]), lease=LEASE.of(name))
        },
        quality=QUALITY,
    )
    async def scene(sim: Simulation) -> None:
        await _cut(sim, strategy)

    scene()
