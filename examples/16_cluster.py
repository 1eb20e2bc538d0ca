"""A cluster loses a node and goes on: members, a name, a group behind a router, and the events.

Five whole nodes run in one simulated world, on virtual time, so that a minute passes in a moment and always in the same
way.  Without ``simulate``, each node is ``Node("n1", listen=..., join=[...], cluster=ClusterConfig(...))``.
"""

import asyncio
import logging

from trouper import Actor, GroupRouter, InGroup, Message, Node, handler
from trouper.cluster import ClusterConfig, Failure
from trouper.testing import Simulation, simulate


class Where(Message[str]):
    """Where are you?"""


class Worker(Actor):
    """Belongs to the group of workers, and says where it is."""

    def on_start(self) -> None:
        """Join the group."""
        self.node.groups.join("workers", self.ref)

    @handler
    def where(self, msg: Where) -> str:
        """Say on which node this is."""
        return self.node.name


async def begin(node: Node) -> None:
    """What every node does when it starts."""
    await node.spawn(Worker)


def members(node: Node) -> str:
    """Who belongs to the cluster, as this node sees it."""
    return " ".join(member.name for member in node.cluster.members())


def leader(node: Node) -> str:
    """Where the leader is, as this node knows it."""
    found = node.cluster.names.whereis("leader")
    return "nobody" if found is None else found.address.node


async def main(sim: Simulation) -> None:
    """Crash a node that has a name, and bring it back."""
    for node in sim.nodes:
        await node.cluster.wait_for(5)
    await sim.boot(begin)
    await asyncio.sleep(5)
    n1, n5 = sim["n1"], sim["n5"]
    await n5.cluster.names.register("leader", await n5.spawn(Worker))
    router = await n1.spawn(GroupRouter(InGroup("workers")))
    await asyncio.sleep(1)
    print("members:", members(n1))
    print("leader:", leader(n1))
    print("workers:", *sorted([await router.ask(Where()) for _ in range(6)]))

    def failed(failure: Failure) -> None:
        print("failed:", failure.node)

    n1.cluster.on_failure("node", failed)
    sim.crash("n5")
    await asyncio.sleep(30)
    print("members:", members(n1))
    print("leader:", leader(n1))
    print("workers:", *sorted([await router.ask(Where()) for _ in range(4)]))

    await n1.cluster.names.register("leader", await n1.spawn(Worker))
    await sim.restart("n5")
    await asyncio.sleep(5)
    print("members:", members(n1))
    print("leader:", leader(sim["n5"]))
    print("workers:", *sorted([await router.ask(Where()) for _ in range(6)]))


if __name__ == "__main__":
    logging.getLogger("trouper").setLevel(logging.CRITICAL)  # what crashes here crashes on purpose
    names = ["n1", "n2", "n3", "n4", "n5"]
    simulate(
        main,
        nodes=names,
        joins={name: ["n1"] for name in names[1:]},
        options=lambda _: {"cluster": ClusterConfig(name="example", detect=False)},
    )

# Output:
# | members: n1 n2 n3 n4 n5
# | leader: n5
# | workers: n1 n2 n3 n4 n5 n5
# | failed: n5
# | members: n1 n2 n3 n4
# | leader: nobody
# | workers: n1 n2 n3 n4
# | members: n1 n2 n3 n4 n5
# | leader: n1
# | workers: n1 n1 n2 n3 n4 n5
