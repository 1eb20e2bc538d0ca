"""``Cluster``: what a program sees of the cluster, as ``node.cluster``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ...runtime.actor.spawning import spawn_awaited
from ...runtime.kernel.errors import NodeClosed
from ...runtime.kernel.message import Message
from ...runtime.kernel.ref import ActorRef
from ...runtime.net.placement import placed_by
from ...runtime.node.shutdown import BEFORE_STOP
from . import member_info
from .admin_service import serve_admin
from .config import ClusterConfig
from .detectors.failures import Kind
from .discovery.factory import open_discoveries
from .discovery.port import Discovery
from .discovery.specification import Seed, parse
from .events import MemberEvent, MemberInfo, MemberJoined
from .facts import detect
from .failure_monitor import FailureMonitor, Handle
from .manager import ClusterManager
from .membership.machine import Membership
from .membership.records import Member
from .messages import BeginLeave, MarkDown, Rejoin, UpdateMetadata
from .metadata import Facts, Location, Metadata, make_metadata
from .metrics_poller import MetricsPoller
from .names_api import ClusterNames
from .node_metrics import NodeMetrics
from .placement import Candidate, Policy, choose
from .reachability import Reachability
from .round_trip_times import RoundTripTimes
from .services_api import ClusterServices
from .shared_state import SharedState, check_text
from .topics_api import ClusterTopics

if TYPE_CHECKING:
    from ...runtime.node.node import Node

ASK_S = 30.0
"""Seconds within which the manager must have taken leave, or a member down."""


class Cluster:
    """See the top of the file.  It is made by ``open_cluster``.

    machine: the membership, which others only read.  manager: the actor that keeps it.
    """

    machine: Membership
    manager: ActorRef
    replicator: ActorRef
    """The actor that carries what the members share."""
    discovery: ActorRef | None = None
    """The actor that looks for other nodes and announces this one; None where it has nothing to do."""

    def __init__(
        self,
        node: Node,
        config: ClusterConfig,
        seeds: tuple[str, ...],
        metadata: Metadata,
        discoveries: Sequence[Discovery],
    ) -> None:
        self.discoveries = discoveries
        self.round_trips = RoundTripTimes()
        """What this node has measured to other members, by their acknowledgements."""
        self.metrics_poller = MetricsPoller(self)
        self.node, self.config, self._seeds = node, config, seeds
        self._metadata = metadata
        self._began = False
        self._began_at = node.system.loop.time()
        self._life = node.network.node_id.generation
        self._changed: list[asyncio.Future[None]] = []
        self._settings = config.settings()
        self._card(metadata)  # which raises for too much of it, before anything is started
        self.failures = FailureMonitor(node, self._settings.probe_interval_s)
        self.shared_state = SharedState(node, self.failures, config.replication)
        self.names, self.topics, self.services = ClusterNames(self), ClusterTopics(self), ClusterServices(self)

    # --- looking -----------------------------------------------------------------------------------------------------

    def members(self) -> list[MemberInfo]:
        """All members, this node included, by name: alive, suspected or unreachable, and not those who are over."""
        return sorted(map(member_info.read, self.machine.members()), key=lambda member: member.name)

    def member(self, name: str) -> MemberInfo | None:
        """The member of this name; None when there is none."""
        record = self.machine.records().get(name)
        return None if record is None or record.is_over else member_info.read(record)

    @property
    def is_joined(self) -> bool:
        """Whether this node was taken in, or stands alone by its own will."""
        return self.machine.is_joined

    @property
    def metadata(self) -> Metadata:
        """What this node tells the others about itself."""
        return self._metadata

    def suspicion(self, name: str) -> float:
        """How strongly a member is suspected: 0 not at all, below 1 while it may refute, 1 when gone or unknown."""
        return self.machine.suspicion(name)

    def session_suspicion(self, name: str) -> float:
        """Phi of the silence of a node, see ``PhiAccrual``: 8 is what a link fails at; 0 when it was never heard."""
        return self.failures.suspicion(name, self.node.system.loop.time())

    def reachability(self) -> Reachability:
        """Who cannot reach whom, as far as all members have said."""
        return self.shared_state.tables.reachability()

    async def watch(self) -> AsyncIterator[MemberEvent]:
        """Go through what befalls members: first one ``MemberJoined`` for each member of now, then what happens."""
        with self.node.events.stream(MemberEvent) as stream:
            for member in self.members():
                yield MemberJoined(member)
            async for event in stream:
                yield event

    async def wait_for(self, members: int | None = None) -> list[MemberInfo]:
        """Wait until so many members are alive, this node among them, and return the members.

        members: None is the least number of ``ClusterConfig.nodes``.  Use ``asyncio.timeout`` to wait no longer than
        that.  Raises ``NodeClosed`` when this node's membership ends meanwhile.
        """
        wanted = self.config.nodes[0] if members is None else members
        while sum(member.status == "alive" for member in self.members()) < wanted or not self.is_joined:
            await self.wait_changed()
        return self.members()

    async def wait_changed(self) -> None:
        """Wait until something befalls a member; raises ``NodeClosed`` when this node's membership ends."""
        if self.machine.is_over:
            raise NodeClosed(f"node {self.node.name} is no member of the cluster {self.config.name!r} any more")
        future: asyncio.Future[None] = self.node.system.loop.create_future()
        self._changed.append(future)
        await future

    # --- acting ------------------------------------------------------------------------------------------------------

    async def leave(self) -> None:
        """Take leave of the cluster, and wait until the others know; the node itself goes on, alone."""
        await self.manager.ask(BeginLeave(), ASK_S)

    async def down(self, name: str, reason: str = "somebody decided so") -> bool:
        """Take a member down for good, everywhere; False when there is none of this name.

        It is for a node that is known to be dead: one that lives stops its actors when it hears of it.
        """
        return await self.manager.ask(MarkDown(name, reason), ASK_S)

    async def update(
        self,
        *,
        labels: Mapping[str, str] | None = None,
        roles: frozenset[str] | None = None,
        location: Location | None = None,
        versions: Mapping[str, str] | None = None,
    ) -> None:
        """Tell the others something else about this node; what is None stays.  Raises ``MetadataInvalid``."""
        now = self._metadata
        changed = make_metadata(
            now.facts,
            location=location or now.location,
            roles=now.roles if roles is None else roles,
            labels=now.labels if labels is None else labels,
            versions=now.versions if versions is None else versions,
        )
        card = self._card(changed)
        self._metadata = changed
        await self.manager.ask(UpdateMetadata(card), ASK_S)

    def choose(self, policy: Policy) -> str:
        """Choose a member for an actor; raises ``NoNodeFits``.  ``spawn(..., place=policy)`` does it.

        It goes by what the members have told last of their load and round trips, and has them asked anew for the next
        time: the first choice of a node goes without, unless ``poll_metrics`` was awaited before.
        """
        me = self.node.name
        self.metrics_poller.poll()
        round_trips_s = self.round_trips.smoothed_s()
        placed = placed_by(self.node.system)
        candidates: list[Candidate] = []
        for member in self.members():
            metrics = self.metrics_poller.of(member.name)
            measured = {**metrics.round_trips_s}
            if member.name in round_trips_s:  # a round trip is as long from here to there as the other way round
                measured[me] = round_trips_s[member.name]
            candidates.append(
                Candidate(
                    name=member.name,
                    metadata=member.metadata,
                    load=metrics.load,
                    round_trips_s=measured,
                    placed=placed[member.name],
                    reachable=member.status == "alive",
                )
            )
        return choose(policy, candidates, self.node.system.random, origin=me).name

    async def poll_metrics(self, timeout_s: float = 1.0) -> Mapping[str, NodeMetrics]:
        """Ask the members for their load and round trips, and wait for the answers at most so many seconds.

        Only those are asked whose last answers are older than 5 s, at most 32 at a time.  Returns what each member said
        last, by name, this one included; who has never answered is not among them.
        """
        return await self.metrics_poller.poll_all(timeout_s)

    # --- failures ----------------------------------------------------------------------------------------------------

    def on_failure(self, kind: Kind, handle: Handle) -> Callable[[], None]:
        """Have a function called with each failure of a ``node``, ``link`` or ``device``; returns what undoes it.

        It is called in this node's loop and should be quick; what it raises is reported.  The same is published as
        ``ClusterFailure``.
        """
        return self.failures.on_failure(kind, handle)

    def report_device_failure(self, device: str, text: str) -> None:
        """Say that a device of this node, such as a GPU, has failed: all members are told, those who come later too.

        device, text: at most 256 bytes each.  Raises ``CallerError``, and ``RowFull`` for too many.
        """
        check_text("the device", device)
        check_text("the failure", text)
        self.shared_state.apply_own("devices", self.shared_state.tables.devices.put(device, text))

    def report_device_repair(self, device: str) -> None:
        """Say that a device of this node works again; nothing happens when it had not failed."""
        self.shared_state.apply_own("devices", self.shared_state.tables.devices.put(device, None))

    # --- for the manager ---------------------------------------------------------------------------------------------

    def create_membership(self, chance: Callable[[], float], now: float) -> Membership:
        """Make the machine; after a restart of the manager, or when this node was thrown out, with what was known."""
        network = self.node.network
        old = self.machine if self._began else None
        refutation = 0
        if old is not None and old.is_over:
            since_ns = round((now - self._began_at) * 1e9)  # so that who joins later has the larger number
            self._life = max(self._life, old.me.life, network.node_id.generation + since_ns) + 1
        elif old is not None:
            self._life, refutation = old.me.life, old.me.refutation + 1
        thrown_out = old is not None and old.is_over
        me = Member(self.node.name, network.endpoint, self._life, refutation, metadata=self._card(self._metadata))
        known = [] if old is None else [record for record in old.records().values() if record.name != me.name]
        seeds = (*self._seeds, *(record.endpoint for record in known if not record.is_over))
        machine = Membership(
            me,
            cluster=self.config.name,
            seeds=seeds,
            settings=self._settings,
            chance=chance,
            now=now,
            rejoins=thrown_out,
        )
        self.machine, self._began = machine, True
        if known and not thrown_out:
            machine.acquaint(known, now)
        return machine

    def send(self, name: str, message: Message[object]) -> None:
        """Tell another member's node something, by a link that sends again what was lost; nobody is told nothing."""
        record = self.machine.records().get(name)
        if record is not None and not record.is_over:
            self.node.network.connector.send(record.endpoint, message, reliable=True)

    def changed(self) -> None:
        """Something has befallen a member."""
        self.shared_state.sync_members(self.machine)
        waiting, self._changed = self._changed, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def thrown_out(self, why: str) -> None:
        """The cluster has taken this node down: stop its actors, and go, or come back as another life."""
        node = self.node
        if self.config.when_downed == "shut_down":
            node.shutdown.begin(f"thrown out of the cluster {self.config.name!r}: {why}")
            return
        for cell in list((node.system.user.children or {}).values()):
            cell.request_stop()
        self.manager.tell(Rejoin())

    def _card(self, metadata: Metadata) -> bytes:
        return member_info.write(self.node.network.node_id.generation, metadata, self._settings.metadata_bytes_max)


async def open_cluster(node: Node, config: ClusterConfig, join: tuple[str, ...]) -> Cluster:
    """Start a node's part of the cluster.  Returns at once: ``Cluster.wait_for`` waits for the others.

    join: endpoints of members, and texts that say how to find some, see ``discovery.specification``.
    """
    seeds = tuple(text for text in join if isinstance(parse(text), Seed))
    discoveries = open_discoveries([text for text in join if text not in seeds], config.name)
    facts = await detect() if config.detect else Facts()
    metadata = make_metadata(
        facts, location=config.location, roles=config.roles, labels=config.labels, versions=config.versions
    )
    cluster = Cluster(node, config, seeds, metadata, discoveries)
    make = partial(ClusterManager, cluster)
    system = node.system.system
    cluster.manager = await spawn_awaited(system, make, (), "cluster", "permanent", 5.0, significant=False)
    serve_admin(cluster)
    node.shutdown.add(BEFORE_STOP, "leave the cluster", cluster.leave)
    return cluster
