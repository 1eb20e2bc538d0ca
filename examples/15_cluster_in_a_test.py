"""A cluster in a test: three unmodified nodes in one process, a partition and a crash, from a seed."""

import asyncio

from trouper import AskTimeout, Down, EventSourcedActor, Message, Node, applies, handler
from trouper.testing import Probe, Simulation, simulate


class Deposit(Message[int]):
    """The reply is the balance, once it is on the disk."""

    cents: int


class Deposited(Message):
    """An event."""

    cents: int


class Account(EventSourcedActor):
    """Nothing in it knows of tests, networks or disks."""

    cents = 0

    @handler
    async def deposit(self, msg: Deposit) -> int:
        """Keep it."""
        await self.persist(Deposited(msg.cents))
        return self.cents

    @applies
    def on_deposited(self, event: Deposited) -> None:
        """Live, and at each recovery."""
        self.cents += event.cents


async def begin(node: Node) -> None:
    """What every node does when it starts, and when it comes back."""
    await node.spawn(Account, name="account")


async def scenario(sim: Simulation) -> None:
    """What a test of a cluster looks like."""
    await sim.boot(begin)
    account = await sim["n1"].network.whereis("n2", "user/account")
    assert account is not None
    probe = Probe(sim["n1"])
    probe.watch(account)
    print("deposited on n2:", await account.ask(Deposit(100)))

    sim.partition("n1", ["n2", "n3"])
    try:
        await account.ask(Deposit(20))
    except AskTimeout:
        print(f"no answer across the partition, after {sim.now_s:.1f} s")
    sim.repair()
    print("repaired, and asked again:", await account.ask(Deposit(3)))

    sim.crash("n2")
    await asyncio.sleep(1)
    await sim.restart("n2")
    await sim.wait_connected()
    down: Down = await probe.expect_down(account, "node_lost")
    print("n1 was told of the crash once:", down.reason)

    account = await sim["n1"].network.whereis("n2", "user/account")
    assert account is not None
    print("n2 is back, with what its disk had:", await account.ask(Deposit(0)))


outcome = simulate(scenario, seed=7, nodes=3)
print("the same seed gives the same run:", simulate(scenario, seed=7, nodes=3).digest == outcome.digest)

# Output:
# | deposited on n2: 100
# | no answer across the partition, after 5.0 s
# | repaired, and asked again: 103
# | n1 was told of the crash once: node_lost
# | n2 is back, with what its disk had: 103
# | deposited on n2: 100
# | no answer across the partition, after 5.0 s
# | repaired, and asked again: 103
# | n1 was told of the crash once: node_lost
# | n2 is back, with what its disk had: 103
# | the same seed gives the same run: True
