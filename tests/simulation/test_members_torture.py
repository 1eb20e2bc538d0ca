"""Five whole nodes of one cluster are crashed, paused, cut off, and leave and come back: all end with one right view.

While that goes on, actors on all of them take names, join groups, subscribe to topics and offer services.  At rest all
nodes must agree on who is a member and on what each of them has; and each node's accounts must balance, which every
simulation checks at its end.
"""

import asyncio

from tests.actors.cluster.stage import PLAIN, REJOINING
from trouper import Actor, CallerError, Message, Node, TrouperError, handler
from trouper.actors.cluster.events import ClusterNameLost
from trouper.testing import Simulation, seeds
from trouper.transports.network_faults import Quality

NODES = ("n1", "n2", "n3", "n4", "n5")
NAMES = ("ada", "ben", "cyd")
GROUPS = ("red", "green")
QUALITY = Quality(delay_s=0.001, jitter_s=0.01)
DEEDS = 12
REST_S = 150.0
"""Seconds within which all must have found each other again, after everything is mended."""


class News(Message):
    """What is published."""

    text: str


class Citizen(Actor):
    """Takes part in everything, and stops when it has lost its name."""

    @handler
    def news(self, msg: News) -> None:
        pass

    @handler
    async def lost(self, msg: ClusterNameLost) -> None:
        self.ref.stop()


async def settle_in(node: Node) -> None:
    """Have an actor of this node take part."""
    citizen = await node.spawn(Citizen)
    cluster, chance = node.cluster, node.system.random
    try:
        node.groups.join(GROUPS[int(chance() * len(GROUPS))], citizen)
        cluster.topics.subscribe("news", citizen)
        cluster.services.register("citizen", citizen, {"town": node.name})
        await cluster.names.register(NAMES[int(chance() * len(NAMES))], citizen)
    except CallerError:
        pass  # the name is taken; or the node is going down, and the actor with it


async def visit(sim: Simulation, name: str) -> None:
    """Do something on a node, if it is well; nobody waits for it, since the node may crash meanwhile."""
    if sim.is_up(name) and sim[name].shutdown.reason is None:
        sim.run_on(name, settle_in)
        await asyncio.sleep(0.5)


async def revive(sim: Simulation, name: str) -> None:
    """Bring a node back that crashed, left, or was thrown out."""
    if sim.is_up(name) and (sim[name].shutdown.reason is not None or sim[name].cluster.machine.is_over):
        await sim.stop(name)
    if not sim.is_up(name):
        await sim.restart(name)


async def misfortune(sim: Simulation) -> None:
    """Let something happen to the cluster, drawn from the seed."""
    chance = sim.random
    name = chance.choice(NODES)
    deed = chance.choice(
        ("crash", "crash", "pause", "partition", "partition", "heal", "leave", "stop", "revive", "settle")
    )
    if deed == "crash" and sim.is_up(name):
        sim.crash(name, silently=chance.random() < 0.5)
    elif deed == "pause" and sim.is_up(name):
        sim.pause(name)
        await asyncio.sleep(chance.uniform(0.5, 12.0))
        sim.resume(name)
    elif deed == "partition":
        names = list(NODES)
        chance.shuffle(names)
        size = chance.randint(1, 4)
        sim.partition(names[:size], names[size:])
    elif deed == "heal":
        sim.repair()
    elif deed == "leave" and sim.is_up(name) and sim[name].shutdown.reason is None:
        sim.run_on(name, leave)
    elif deed == "stop" and sim.is_up(name):
        await sim.stop(name)
    elif deed == "revive":
        await revive(sim, name)
    else:
        await visit(sim, name)
    await asyncio.sleep(chance.choice((0.1, 1.0, 5.0, 20.0)))


async def leave(node: Node) -> None:
    """Take leave of the cluster, and stay alone."""
    try:
        await node.cluster.leave()
    except TrouperError:
        pass  # it was thrown out meanwhile, or it goes down


def state(node: Node) -> dict[str, object]:
    """What a node knows of the cluster."""
    cluster = node.cluster
    return {
        "members": [(member.name, member.membership_id, member.status) for member in cluster.members()],
        "names": {name: str(ref.address) for name, ref in cluster.names.all().items()},
        "groups": {group: sorted(str(ref.address) for ref in node.groups.members(group)) for group in GROUPS},
        "topics": sorted((owner, topic) for owner, topic, _ in cluster.shared_state.tables.topics.table.rows()),
        "services": [described.actor for described in cluster.services.describe()],
        "reachability": dict(cluster.reachability().rows),
    }


async def torture(sim: Simulation) -> None:
    """Let things happen, mend everything, and see whether all agree."""
    for name in NODES:
        await sim[name].cluster.wait_for(len(NODES))
    await sim.boot(settle_in)
    await asyncio.sleep(5.0)
    for _ in range(DEEDS):
        await misfortune(sim)
    sim.repair()
    for name in NODES:
        await revive(sim, name)
    for _ in range(5):
        await asyncio.sleep(REST_S / 5)
        for name in NODES:
            await revive(sim, name)  # who was thrown out in the end comes back too
    await asyncio.sleep(REST_S)
    states = {node.name: state(node) for node in sim.nodes}
    first, alive = states["n1"], [(name, "alive") for name in NODES]
    for node in sim.nodes:
        assert [(member.name, member.status) for member in node.cluster.members()] == alive, states
    for name, seen in states.items():
        for what, value in seen.items():
            assert value == first[what], f"{name} and n1 do not agree on {what}: {value} and {first[what]}"
    assert not first["reachability"]
    _check_facts(sim)


def _check_facts(sim: Simulation) -> None:
    """What all agree on is also true: exactly what the actors of each node that live have."""
    entered = sim["n1"].cluster.shared_state.tables
    for node in sim.nodes:
        living = {cell.ref for cell in (node.system.user.children or {}).values()}
        for group in GROUPS:
            shown = {ref for ref in sim["n1"].groups.members(group) if ref.address.node == node.name}
            assert shown == set(node.groups.local_members(group))
            assert shown <= living
        named = {ref for ref in node.cluster.names.all().values() if ref.address.node == node.name}
        assert named <= living
        assert {key[1] for key in entered.services.table.rows_of(node.name)} <= living


def _options(name: str) -> dict[str, object]:
    config = REJOINING if name in ("n2", "n4") else PLAIN
    return {"cluster": config, "join": [f"sim://{seed}" for seed in NODES[:3]]}


@seeds(20, nodes=NODES, joins={}, options=_options, quality=QUALITY)
async def test_all_end_with_one_right_view(sim: Simulation) -> None:
    """Whatever befell them, the nodes are one cluster again in the end, and agree on all that they share."""
    await torture(sim)
