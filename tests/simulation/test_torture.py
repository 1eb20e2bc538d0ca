"""Everything at once: random trees of actors that do anything, under random faults, in random order.

The players are in ``players.py``, the laws that they are held to in ``witness.py``.  What it has found stays found by
``test_regressions.py``.
"""

import asyncio

from tests.simulation.messages import KINDS, RESTARTS
from tests.simulation.troupe import PLAYERS
from tests.simulation.witness import Witness
from trouper import MailboxFull, OneForOne, StartFailed
from trouper.testing import Risks, Simulation, seeds

ROOTS = 6
ROUNDS = 10
PROVOCATIONS = 20
DEEDS = 1_000
RISKS = Risks(faults_max=4, within_s=8.0)
TOUGH = OneForOne(intensity=1_000_000)
"""The node itself must not give up on its players."""
LONGEST_S = 30.0
"""Seconds after which everything that players do has surely come to its end: asks, restarts, patience."""


async def torture(sim: Simulation) -> None:
    """Spawn some players, provoke them for a while, let them come to rest, and end them."""
    witness = Witness(sim, DEEDS)
    for round_ in range(ROUNDS):
        for _ in range(ROOTS if round_ == 0 else 1):
            await spawn_root(sim, witness)
        for _ in range(PROVOCATIONS if witness.refs else 0):
            provoke(sim, witness)
        await asyncio.sleep(witness.seconds(2.0))
        await sim.settle()
        witness.quiet()
    witness.deeds_left = 0
    await asyncio.sleep(LONGEST_S)
    witness.at_rest()
    for child in list((sim.node.system.user.children or {}).values()):
        await child.ref.stop()
    await sim.settle()
    witness.finish()


async def spawn_root(sim: Simulation, witness: Witness) -> None:
    """Start a player under the node; its start may fail."""
    restart = witness.pick(RESTARTS)
    try:
        witness.refs.append(await sim.node.spawn(witness.pick(PLAYERS), witness, 3, restart=restart))
    except StartFailed:
        pass


def provoke(sim: Simulation, witness: Witness) -> None:
    """Tell or ask a player something from outside, or do something to it."""
    target = witness.peer()
    if witness.chance(0.2):
        verb = witness.pick((sim.crash, sim.kill, sim.pause, sim.resume, sim.resume))
        verb(target)
        return
    asked = witness.chance(0.4)
    deed = witness.deed(witness.pick(KINDS), 0, target, asked=asked)
    try:
        if asked:
            witness.asked(deed, target.ask(deed))
        else:
            target.tell(deed)
    except MailboxFull:
        witness.never_sent(deed)


@seeds(1_000, risks=RISKS, supervision=TOUGH)
async def test_the_laws_hold_under_torture(sim: Simulation) -> None:
    """Whatever actors do and whatever happens to them, no law is broken and no message is lost."""
    await torture(sim)
