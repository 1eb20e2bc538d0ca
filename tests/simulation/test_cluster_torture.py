"""Five nodes, a bad network and crashes: actors all over them do anything to each other, and no law is broken.

The players are in ``cluster_players.py``, the laws that they are held to in ``cluster_witness.py``.
"""

import asyncio
from functools import partial

from tests.simulation.cluster_messages import Meet, Post
from tests.simulation.cluster_players import NODES, PLAYERS_PER_NODE, boot
from tests.simulation.cluster_witness import ClusterWitness
from trouper import Node, OneForOne, TrouperError
from trouper.testing import Risks, Simulation, seeds
from trouper.testing.faults import NODE_KINDS
from trouper.transports.network_faults import Quality

ROUNDS = 8
DEEDS = 400
TOUGH = OneForOne(intensity=1_000_000)
"""A node itself must not give up on its players."""
QUALITY = Quality(delay_s=0.001, jitter_s=0.004)
NETWORK = Risks(
    kinds=("partition", "partition", "hold", "reset", "degrade", "node_pause", "node_slow", "node_drift"),
    faults_max=6,
    within_s=15.0,
    for_s_max=4.0,
)
"""Nothing that a message may be lost by."""
EVERYTHING = Risks(
    kinds=("crash", "kill", "pause", "slow", "flood", *NODE_KINDS, "node_crash", "node_crash", "partition"),
    faults_max=8,
    within_s=15.0,
    for_s_max=4.0,
)
REST_S = 80.0
"""Seconds after which all faults are over, and all that players do has surely come to its end."""


async def torture(sim: Simulation) -> None:
    """Make the players known to each other, provoke them for a while, and let them come to rest."""
    witness = ClusterWitness(sim, DEEDS)
    await sim.boot(boot)
    for _ in range(ROUNDS):
        for name in NODES:
            if sim.is_up(name):
                sim.run_on(name, partial(provoke, witness))  # nobody waits for it: the node may crash meanwhile
        await asyncio.sleep(witness.seconds(4.0))
    witness.deeds_left = 0
    await asyncio.sleep(REST_S)
    await sim.settle()
    witness.at_rest()


async def provoke(witness: ClusterWitness, node: Node) -> None:
    """Introduce players of other nodes to those here, and have the ledger keep something."""
    for _ in range(3):
        name, number = witness.pick(NODES), witness.pick(range(PLAYERS_PER_NODE))
        try:
            found = await node.network.whereis(name, f"user/p{number}") if name != node.name else None
        except TrouperError:
            continue  # that node is not linked just now
        here = node.find(f"user/p{witness.pick(range(PLAYERS_PER_NODE))}")
        if found is not None and here is not None:
            here.tell(Meet(found))
    ledger = node.find("user/ledger")
    if ledger is not None:
        ledger.tell(Post(witness.deeds_left))


@seeds(10, risks=NETWORK, nodes=NODES, quality=QUALITY, supervision=TOUGH)
async def test_the_laws_hold_on_a_bad_network(sim: Simulation) -> None:
    """Whatever the network does for a while, nothing is lost, doubled or put in another order."""
    await torture(sim)


@seeds(10, risks=EVERYTHING, nodes=NODES, quality=QUALITY, supervision=TOUGH)
async def test_the_laws_hold_when_nodes_crash(sim: Simulation) -> None:
    """Nodes that crash and come back are told of once, and nothing else is lost than what they had."""
    await torture(sim)
