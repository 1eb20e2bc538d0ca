"""Workers in a cluster are crashed, paused, cut off and started again, with their nodes or alone: all find them again.

A simulated node that is named like a worker stands for one; ``Managers`` does what the manager of the processes does on
its node, which is the runtime's own interface: it reports a worker that is connected, and at once one that has ended.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from tests.actors.cluster.stage import PLAIN, REJOINING
from trouper import Actor, ActorRef, CallerError, Down, Message, Node, TrouperError, handler
from trouper.actors.cluster.events import ClusterNameLost, MemberDown, MemberSuspected, MemberUnreachable
from trouper.cluster import any_node
from trouper.lowlevel import NodeId, parent_of
from trouper.runtime.node.services.worker_nodes import OwnWorker
from trouper.testing import Simulation, seeds, simulate
from trouper.testing.node_loop import NodeCrashed
from trouper.transports.network_faults import Quality

if TYPE_CHECKING:
    from trouper.runtime.net.peer import Peer

MEMBERS = ("a", "b", "c")
WORKERS = ("a.worker-1", "a.worker-2", "b.worker-1", "c.worker-1")
NODES = (*MEMBERS, *WORKERS)
QUALITY = Quality(delay_s=0.001, jitter_s=0.01)
SLOW = Quality(delay_s=0.15, jitter_s=0.1)
HANG_S = 8.0
"""Seconds after which a worker that does nothing is killed and started again."""
FAULTS_OF_WORKERS = ("worker_crash", "worker_restart", "worker_pause", "worker_hang", "worker_cut_off", "worker_slow")
FAULTS = (*FAULTS_OF_WORKERS, "node_crash", "node_pause", "host_cut_off", "node_cut_off", "links_slow", "leave", "stop")
TOLD_S = 0.5
"""Seconds within which a node has been told that a process of its own has ended."""
DEEDS = 10
REST_S = 60.0
"""Seconds within which all must have found each other again, after everything is mended."""


class Introduce(Message[None]):
    """Watch this actor."""

    ref: ActorRef


class GetPlace(Message[tuple[str, int]]):
    """The reply is the name and the generation of the node that the actor is on."""


class Retry(Message[None]):
    """Register again, if the name is lost."""


class Citizen(Actor):
    """Has a name in the cluster, which it takes again whenever it has lost it, and watches others."""

    def __init__(self, records: Records) -> None:
        self.records, self.has_name = records, False

    def on_start(self) -> None:
        self.timers.every("retry", 2.0, Retry())
        self.ref.tell(Retry())

    @handler
    async def retry(self, msg: Retry) -> None:
        if not self.has_name:
            try:
                await self.node.cluster.names.register(name_of(self.node.name), self.ref)
            except TrouperError:
                return  # the name is still that of the former generation
            self.has_name = True

    @handler
    def lost(self, msg: ClusterNameLost) -> None:
        self.has_name = False

    @handler
    def get_place(self, msg: GetPlace) -> tuple[str, int]:
        return self.node.name, self.node.network.node_id.generation

    @handler
    def introduce(self, msg: Introduce) -> None:
        if (self.ref, msg.ref) not in self.records.watched:
            self.records.watched.add((self.ref, msg.ref))
            self.watch(msg.ref)

    @handler
    def down(self, msg: Down) -> None:
        self.records.downs[self.ref, msg.ref] += 1


class Placed(Actor):
    """An actor that is placed anywhere."""

    @handler
    def get_place(self, msg: GetPlace) -> tuple[str, int]:
        return self.node.name, self.node.network.node_id.generation


class Suspicions(Actor):
    """Takes note of members that are suspected."""

    def __init__(self, records: Records) -> None:
        self.records = records

    def on_start(self) -> None:
        for event in (MemberSuspected, MemberUnreachable, MemberDown):
            self.node.events.subscribe(event, self.ref)

    @handler
    def suspected(self, msg: MemberSuspected) -> None:
        self.records.suspicions.append(f"{self.node.name} suspects {msg.member.name}")

    @handler
    def unreachable(self, msg: MemberUnreachable) -> None:
        self.records.suspicions.append(f"{self.node.name} cannot reach {msg.member.name}")

    @handler
    def down(self, msg: MemberDown) -> None:
        self.records.suspicions.append(f"{self.node.name} has {msg.member.name} down")


class Records:
    """What has happened in one run.

    watched, downs: pairs of a watcher and what it watches, and the ``Down`` messages that it got.
    ended_at: when the last process of each worker has ended.  suspicions: of members.
    """

    def __init__(self) -> None:
        self.watched: set[tuple[ActorRef, ActorRef]] = set()
        self.downs: Counter[tuple[ActorRef, ActorRef]] = Counter()
        self.ended_at: dict[str, float] = {}
        self.suspicions: list[str] = []


def name_of(node: str) -> str:
    """Return the name in the cluster of the citizen on a node."""
    return f"citizen@{node}"


class Managers:
    """The managers of the workers of all nodes: a worker that has ended is started again, as long as its node runs."""

    def __init__(self, sim: Simulation, records: Records) -> None:
        self.sim, self.records = sim, records
        self._workers = [name for name in sim.cluster.machines if parent_of(name)]
        self._chance = random.Random(f"{sim.seed}/managers")
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._restart_at: dict[str, float] = {}
        self._keeper = asyncio.ensure_future(self._keep())

    async def boot(self, node: Node) -> None:
        """Begin on a node that has started."""
        if not node.parent_name:
            node.network.workers.restart_own = partial(self._restart_all, node.name)
            node.network.watch_peers(partial(self._on_peer, node))
            for peer in node.network.peers.values():
                self._on_peer(node, peer, up=True)
            await node.spawn(Suspicions, self.records)
        await settle_in(self.records, node)

    def _on_peer(self, node: Node, peer: Peer, up: bool) -> None:
        if up and parent_of(peer.node) == node.name and peer.node_id not in node.network.workers.own:
            endpoints = (f"sim://{peer.node}",)
            node.network.connector.add_address(peer.node_id, *endpoints)
            node.network.workers.own_connected(peer.node_id, OwnWorker(endpoints, {}))

    def crash(self, worker: str) -> None:
        """End the process of a worker; its node sees that at once, and tells its other workers."""
        node_id = self._node_id(worker)
        self.sim.crash(worker)
        self._has_ended(worker, node_id)

    async def restart(self, worker: str) -> None:
        """End a worker in order; it is started again."""
        node_id = self._node_id(worker)
        await self.sim.stop(worker)
        self._has_ended(worker, node_id)

    def _restart_all(self, member: str) -> None:
        for worker in self._workers:
            if is_of_host(worker, member) and self.sim.is_up(worker):
                self.crash(worker)

    def _node_id(self, name: str) -> NodeId | None:
        try:
            return self.sim[name].network.node_id
        except TrouperError:
            return None  # it is about to start

    def _has_ended(self, worker: str, node_id: NodeId | None) -> None:
        if node_id is None:
            return
        self.records.ended_at[worker] = self.sim.now_s
        for other in (parent_of(worker), *self._workers):
            if other != worker and (parent_of(other) or other) == parent_of(worker) and self.sim.is_up(other):
                self.sim.run_on(other, partial(self._tell_ended, node_id))

    async def _tell_ended(self, node_id: NodeId, node: Node) -> None:
        try:
            node.network.node_ended(node_id, "its process has ended")
            if not node.parent_name:
                node.network.workers.own_ended(node_id, "its process has ended")
        except TrouperError:
            pass  # this node shuts down

    def is_well(self, node: str) -> bool:
        """Whether a node runs, and does not shut down."""
        return self.sim.is_up(node) and self._node_id(node) is not None and self.sim[node].shutdown.reason is None

    async def _keep(self) -> None:
        """Start workers that have ended, and end those whose node has."""
        while True:
            for worker in self._workers:
                has_parent = self.is_well(parent_of(worker))
                if not has_parent and self.sim.is_up(worker):
                    self.crash(worker)
                elif has_parent and not self.sim.is_up(worker) and worker not in self._starting:
                    if self.sim.now_s < self._restart_at.setdefault(
                        worker, self.sim.now_s + self._chance.uniform(0, 6)
                    ):
                        continue  # as long as an interpreter may take to start
                    del self._restart_at[worker]
                    self._starting[worker] = asyncio.ensure_future(self._start(worker))
            await asyncio.sleep(0.2)

    async def _start(self, worker: str) -> None:
        try:
            await self.sim.restart(worker)
        except (NodeCrashed, TrouperError):
            pass  # it was crashed meanwhile, or its node was
        finally:
            del self._starting[worker]

    async def close(self) -> None:
        """Let the workers that start have started, and start no more."""
        self._keeper.cancel()
        await asyncio.wait([self._keeper, *self._starting.values()])


async def settle_in(records: Records, node: Node) -> None:
    """Have a citizen on a node."""
    if node.find("user/citizen") is None:
        await node.spawn(Citizen, records, name="citizen")


class Torture:
    """One run: its faults are drawn from the seed, and counted in ``fired``."""

    def __init__(self, sim: Simulation, fired: Counter[str]) -> None:
        self.sim, self.fired, self.records = sim, fired, Records()
        self.managers = Managers(sim, self.records)
        self._later: list[asyncio.Task[None]] = []

    async def run(self, faults: tuple[str, ...]) -> None:
        """Let things happen, mend everything, and check what must hold."""
        sim, chance = self.sim, self.sim.random
        await sim.boot(self.managers.boot)
        await asyncio.sleep(10.0)
        before = len(self.records.suspicions)
        assert not before, self.records.suspicions
        for _ in range(DEEDS):
            await getattr(self, f"_{chance.choice(faults)}")()
            self._visit()
            self._check_votes()
            await asyncio.sleep(chance.choice((0.1, 1.0, 4.0, 12.0)))
        await self._mend()
        await self.managers.close()
        self._check_votes()
        for node in sim.nodes:
            self._check_view(node)
            await sim.run_on(node.name, check_names)
        self._check_watches()

    # --- faults ------------------------------------------------------------------------------------------------------

    def _worker(self) -> str | None:
        worker = self.sim.random.choice(WORKERS)
        return worker if self.managers.is_well(worker) and self.managers.is_well(parent_of(worker)) else None

    def _member(self) -> str | None:
        member = self.sim.random.choice(MEMBERS)
        return member if self.managers.is_well(member) else None

    async def _worker_crash(self) -> None:
        if (worker := self._worker()) is not None:
            self.fired["worker_crash"] += 1
            self.managers.crash(worker)

    async def _worker_restart(self) -> None:
        if (worker := self._worker()) is not None:
            self.fired["worker_restart"] += 1
            await self.managers.restart(worker)

    async def _worker_pause(self) -> None:
        if (worker := self._worker()) is not None:
            self.fired["worker_pause"] += 1
            self.sim.pause(worker)
            await asyncio.sleep(self.sim.random.uniform(0.5, HANG_S))
            self.sim.resume(worker)

    async def _worker_hang(self) -> None:
        if (worker := self._worker()) is not None:
            self.fired["worker_hang"] += 1
            self.sim.pause(worker)
            await asyncio.sleep(HANG_S)
            if self.sim.is_up(worker):
                self.managers.crash(worker)

    async def _worker_cut_off(self) -> None:
        """Partition a worker from all but its host."""
        if (worker := self._worker()) is not None:
            self.fired["worker_cut_off"] += 1
            await self._cut([worker], [name for name in NODES if not is_of_host(name, parent_of(worker))])

    async def _worker_slow(self) -> None:
        if (worker := self._worker()) is not None:
            self.fired["worker_slow"] += 1
            await self._slow_links([worker], [name for name in NODES if name != worker])

    async def _node_crash(self) -> None:
        """Crash a node with its workers; it is started again later."""
        if (member := self._member()) is not None:
            self.fired["node_crash"] += 1
            silently = self.sim.random.random() < 0.5
            for name in NODES:
                if is_of_host(name, member) and self.sim.is_up(name):
                    self.sim.crash(name, silently=silently)
            self._restart_later(member)

    async def _node_pause(self) -> None:
        if (member := self._member()) is not None:
            self.fired["node_pause"] += 1
            self.sim.pause(member)
            await asyncio.sleep(self.sim.random.uniform(0.5, 12.0))
            self.sim.resume(member)

    async def _host_cut_off(self) -> None:
        """Partition a node and its workers from all others."""
        if (member := self._member()) is not None:
            self.fired["host_cut_off"] += 1
            host = [name for name in NODES if is_of_host(name, member)]
            await self._cut(host, [name for name in NODES if name not in host])

    async def _node_cut_off(self) -> None:
        """Partition a node alone from the other hosts, which its workers still reach."""
        if (member := self._member()) is not None:
            self.fired["node_cut_off"] += 1
            await self._cut([member], [name for name in NODES if not is_of_host(name, member)])

    async def _links_slow(self) -> None:
        if (member := self._member()) is not None:
            self.fired["links_slow"] += 1
            await self._slow_links([member], [name for name in NODES if name != member])

    async def _leave(self) -> None:
        """Have a node leave the cluster; it is started again later."""
        if (member := self._member()) is not None:
            self.fired["leave"] += 1
            self.sim.run_on(member, leave)
            self._restart_later(member)

    async def _stop(self) -> None:
        """Stop a node and its workers in order; it is started again later."""
        if (member := self._member()) is not None:
            self.fired["stop"] += 1
            await self._stop_host(member)
            self._restart_later(member)

    async def _cut(self, side: list[str], others: list[str]) -> None:
        self.sim.partition(side, others)
        await asyncio.sleep(self.sim.random.uniform(1.0, 30.0))
        self.sim.repair()

    async def _slow_links(self, names: list[str], others: list[str]) -> None:
        for quality in (SLOW, QUALITY):
            for name in names:
                for other in others:
                    self.sim.set_quality(quality, name, other)
            await asyncio.sleep(self.sim.random.uniform(1.0, 10.0) if quality is SLOW else 0.0)

    async def _stop_host(self, member: str) -> None:
        await asyncio.gather(*(self.sim.stop(name) for name in WORKERS if is_of_host(name, member)))
        await self.sim.stop(member)

    def _restart_later(self, member: str) -> None:
        self._later.append(asyncio.ensure_future(self._revive(member, self.sim.random.uniform(0.5, 25.0))))

    async def _revive(self, member: str, after_s: float = 0.0) -> None:
        await asyncio.sleep(after_s)
        sim = self.sim
        if sim.is_up(member) and (sim[member].shutdown.reason is not None or sim[member].cluster.machine.is_over):
            await self._stop_host(member)
        if not sim.is_up(member):
            try:
                await sim.restart(member)
            except (NodeCrashed, CallerError):
                pass  # it was crashed, or started, meanwhile

    async def _mend(self) -> None:
        """End all faults, have all nodes run, and wait until all have found each other."""
        if self._later:
            await asyncio.wait(self._later)
        self.sim.repair()
        for _ in range(6):
            for member in MEMBERS:
                await self._revive(member)
            await asyncio.sleep(REST_S / 6)
            for node in self.sim.nodes:
                if node.shutdown.reason is None:  # a node that has joined again has stopped its actors
                    await self.sim.run_on(node.name, partial(settle_in, self.records))
        await asyncio.sleep(REST_S)

    # --- what must hold ----------------------------------------------------------------------------------------------

    def _visit(self) -> None:
        """Introduce citizens to each other, and place an actor anywhere; nobody waits for it, since nodes crash."""
        name = self.sim.random.choice(NODES)
        if self.managers.is_well(name):
            other = self.sim.random.choice(NODES)
            self.sim.run_on(name, partial(self._place_and_meet, other))

    async def _place_and_meet(self, other: str, node: Node) -> None:
        citizen, found = node.find("user/citizen"), node.cluster.names.whereis(name_of(other))
        if citizen is not None and found is not None and found != citizen:
            citizen.tell(Introduce(found))
        try:
            chosen = node.cluster.choose(any_node())
            if parent_of(chosen) == node.name and not self.sim.is_up(chosen):
                ago_s = self.sim.now_s - self.records.ended_at.get(chosen, 0.0)
                assert ago_s < TOLD_S, f"{node.name} has chosen its worker {chosen}, which has ended {ago_s:g} s ago"
            placed = await node.spawn(Placed, place=chosen)
            assert (await placed.ask(GetPlace()))[0] == chosen
        except TrouperError:
            return  # the chosen place was just lost, or this node shuts down

    def _check_votes(self) -> None:
        """No worker is a member, nor a number among those that count in a partition, wherever one looks."""
        for node in self.sim.nodes:
            if self.managers.is_well(node.name):
                assert not set(node.cluster.machine.records()) & set(WORKERS)
                assert all(node.cluster.shared_state.tables.up_number(worker) is None for worker in WORKERS)
                assert (node.cluster.resolver is None) == bool(node.parent_name)

    def _check_view(self, node: Node) -> None:
        """A node knows all members and all workers as they are, and chooses no other place."""
        cluster = node.cluster
        assert [(member.name, member.status) for member in cluster.members()] == [(name, "alive") for name in MEMBERS]
        parents = {worker: parent_of(worker) for worker in WORKERS}
        assert cluster.workers() == parents, f"{node.name} knows the workers {cluster.workers()}"
        generations = cluster.shared_state.tables.worker_generations(MEMBERS)
        assert generations == {worker: self.sim[worker].network.node_id.generation for worker in WORKERS}, node.name
        assert {cluster.choose(any_node()) for _ in range(200)} == set(NODES), node.name

    def _check_watches(self) -> None:
        """Each watcher that still runs has got one ``Down`` of what has ended, and none of what runs."""
        running = {ref for node in self.sim.nodes if (ref := node.find("user/citizen")) is not None}
        for pair in self.records.watched:
            watcher, target = pair
            downs = self.records.downs[pair]
            assert downs <= 1, f"{watcher} got {downs} Downs of {target}"
            if watcher in running and target not in running:
                assert downs == 1, f"{watcher} got no Down of {target}"


def is_of_host(name: str, member: str) -> bool:
    """Whether a node is a member or one of its workers."""
    return (parent_of(name) or name) == member


async def leave(node: Node) -> None:
    """Leave the cluster, and stay alone."""
    try:
        await node.cluster.leave()
    except TrouperError:
        pass  # it was taken down meanwhile, or it shuts down


async def check_names(node: Node) -> None:
    """The citizens of all nodes are found by name, and are those of the present generations."""
    for name in NODES:
        ref = node.cluster.names.whereis(name_of(name))
        assert ref is not None, f"{node.name} does not find {name_of(name)}"
        assert (await ref.ask(GetPlace()))[0] == name


def _plain(name: str) -> dict[str, object]:
    if parent_of(name):
        return {"cluster": PLAIN.for_worker(), "join": [f"sim://{parent_of(name)}"]}
    return {"cluster": PLAIN, "join": [f"sim://{seed}" for seed in MEMBERS]}


def _options(name: str) -> dict[str, object]:
    return {**_plain(name), "cluster": REJOINING} if name == "b" else _plain(name)


JOINS = {worker: [parent_of(worker)] for worker in WORKERS}


def check_fired(fired: Counter[str], faults: tuple[str, ...]) -> None:
    """Print how often each fault has fired; all must have, unless one seed is replayed."""
    print("faults:", ", ".join(f"{fault} {fired[fault]}" for fault in faults))  # noqa: T201  shown with pytest -s
    if "TROUPER_SEED" not in os.environ and "TROUPER_SEEDS" not in os.environ:
        assert set(fired) == set(faults)


def test_workers_are_found_again_after_all_faults() -> None:
    """Workers and their nodes crash, hang, leave, and are cut off: in the end all are found from everywhere."""
    fired: Counter[str] = Counter()

    @seeds(10, nodes=NODES, joins=JOINS, options=_options, quality=QUALITY)
    async def run(sim: Simulation) -> None:
        await Torture(sim, fired).run(FAULTS)

    run()
    check_fired(fired, FAULTS)


def test_workers_have_no_vote_in_a_partition() -> None:
    """A node with four workers is one against two: it goes down, though its side has more nodes."""
    nodes = (*MEMBERS, *(f"a.worker-{number}" for number in range(1, 5)))

    async def scene(sim: Simulation) -> None:
        managers = Managers(sim, Records())
        await sim.boot(managers.boot)
        await asyncio.sleep(10.0)
        assert [len(sim[name].cluster.workers()) for name in MEMBERS] == [4, 4, 4]
        sim.partition([name for name in nodes if is_of_host(name, "a")], ["b", "c"])
        await asyncio.sleep(60.0)
        assert [node.name for node in sim.nodes] == ["b", "c"]
        assert [member.name for member in sim["b"].cluster.members()] == ["b", "c"]
        assert sim["b"].cluster.workers() == {}
        await managers.close()

    simulate(scene, seed=1, nodes=nodes, joins={name: ["a"] for name in nodes[3:]}, options=_plain, quality=QUALITY)


def test_no_member_is_suspected_because_of_its_workers() -> None:
    """Whatever happens to workers alone, no member suspects another."""
    fired: Counter[str] = Counter()

    @seeds(5, nodes=NODES, joins=JOINS, options=_options, quality=QUALITY)
    async def run(sim: Simulation) -> None:
        torture = Torture(sim, fired)
        await torture.run(FAULTS_OF_WORKERS)
        assert not torture.records.suspicions

    run()
    check_fired(fired, FAULTS_OF_WORKERS)
