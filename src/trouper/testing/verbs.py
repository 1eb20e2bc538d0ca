"""The verbs of a cluster, by name: what a scenario does to nodes and to the network between them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..node import Node
from ..runtime.kernel.errors import CallerError
from ..transports.network_faults import Quality

if TYPE_CHECKING:
    from .simulated_cluster import SimulatedCluster


class ClusterVerbs:
    """The part of ``Simulation`` that is about several nodes.  Nodes are given by name; None is every node."""

    _cluster: SimulatedCluster | None

    @property
    def cluster(self) -> SimulatedCluster:
        """The machines and the network; raises ``CallerError`` in a simulation of one node."""
        if self._cluster is None:
            raise CallerError("this simulation has one node and no network: give simulate(..., nodes=5)")
        return self._cluster

    def __getitem__(self, name: str) -> Node:
        """Return the node of this name: the one that runs, or, while it is down, the last one."""
        node = self.cluster.machine(name).node
        if node is None:
            raise CallerError(f"node {name} has not started yet")
        return node

    @property
    def nodes(self) -> list[Node]:
        """The nodes that run, in the order of their names as given."""
        return [machine.node for machine in self.cluster.up if machine.node is not None]

    def is_up(self, name: str) -> bool:
        """Whether the node runs."""
        return self.cluster.machine(name).is_up

    async def boot(self, begin: Callable[[Node], Awaitable[object]]) -> None:
        """Have every node run ``await begin(node)``, now and after each restart."""
        for machine in self.cluster.machines.values():
            machine.boot = begin
        await asyncio.gather(*(self.run_on(machine.name, begin) for machine in self.cluster.up))

    # --- nodes -------------------------------------------------------------------------------------------------------

    def crash_node(
        self, name: str, *, torn: bool = True, silently: bool = False, in_operation: int | None = None
    ) -> None:
        """End a node at once; nothing of it runs any more.

        torn: of what was written and not fsynced the disk keeps a part, drawn at random; False keeps none of it.
        silently: its connections are not reset, as when a machine loses power.
        in_operation: not now, but in the middle of this one of the disk operations to come, from 1; None is now.
        """
        machine = self.cluster.machine(name)
        if in_operation is None:
            machine.crash(torn=torn, silently=silently)
        else:
            machine.crash_in_operation(in_operation, silently=silently)

    async def restart(self, name: str) -> Node:
        """Start a node that is down, with the same name, a new generation, and what its disk has kept."""
        await self.cluster.machine(name).start()
        return self[name]

    async def stop(self, name: str) -> None:
        """Let a node shut down in order; ``restart`` brings it back."""
        await self.cluster.machine(name).stop()

    def run_on(self, name: str, call: Callable[[Node], Awaitable[Any]]) -> Awaitable[Any]:  # Any: whatever it gives
        """Have a node run ``await call(node)`` in its own loop; awaiting returns its result."""
        return self.cluster.machine(name).do(partial(call, self[name]))

    def skew(self, name: str, *, drift: float) -> None:
        """Set the clock of a machine wrong.

        drift: the share by which the loop's clock is faster, or slower if negative; timers and deadlines follow it,
            and it stays after a crash.  0.01 gains 36 s in an hour.
        """
        machine = self.cluster.machine(name)
        machine.drift = drift
        if machine.loop is not None:
            machine.loop.drift(drift)

    async def wait_connected(self) -> None:
        """Wait until the nodes that run are connected to all that they join."""
        for machine in self.cluster.up:
            await self.cluster.wait_connected(machine)

    # --- the network -------------------------------------------------------------------------------------------------

    def partition(self, *groups: str | Iterable[str], one_way: bool = False) -> None:
        """Lose everything between these groups of nodes; a single group is cut off from all others.

        one_way: only what a group sends to the groups named after it; the other direction stays as it is.
        """
        from .simulated_cluster import pairs_between  # noqa: PLC0415  it would wait for this file

        faults = self.cluster.network.faults
        for one, other in pairs_between(groups, self.cluster.machines):
            (faults.cut if one_way else faults.partition)(one, other)

    def repair(self, a: str | None = None, b: str | None = None) -> None:
        """End partitions between two nodes, of one node, or all of them."""
        self.cluster.network.faults.repair(a, b)

    def hold(self, a: str | None = None, b: str | None = None) -> None:
        """Keep everything between two nodes, in order, until ``release``."""
        self.cluster.network.faults.hold(a, b)

    def release(self, a: str | None = None, b: str | None = None) -> None:
        """Deliver what is held between two nodes, of one node, or everything."""
        self.cluster.network.release(a, b)

    def reset(self, a: str, b: str) -> None:
        """Break the connections between two nodes: what is on its way is lost, and both are told."""
        self.cluster.network.reset(a, b)
        self.cluster.network.reset(b, a)

    def set_quality(self, quality: Quality, a: str | None = None, b: str | None = None) -> None:
        """Set delay, jitter, loss, duplication, reordering and bandwidth between two nodes, of one node, or of all."""
        self.cluster.network.faults.set_quality(quality, a, b)
