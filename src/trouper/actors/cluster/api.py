"""``Cluster``: the API of the cluster, as ``node.cluster``."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from ... import ActorRef, InvalidName, Message, NodeClosed, NodeUnreachable
from ...lowlevel import KnownNode, checked_name, endpoint_problem, random_generation
from ...runtime.actor.spawning import spawn_awaited
from ...runtime.node.shutdown import BEFORE_STOP
from . import member_info
from .admin_service import serve_admin
from .config import ClusterConfig
from .detectors.failures import Kind
from .discovery.factory import is_endpoint, open_discoveries
from .discovery.port import Discovery
from .events import MemberEvent, MemberInfo, MemberJoined
from .facts import detect
from .failure_monitor import FailureMonitor, Handle
from .followed_membership import FollowedMembership
from .follower_actor import Follower
from .manager import ClusterManager
from .member_info import MemberInfoCache
from .membership.machine import Membership
from .membership.records import Member
from .messages import BeginLeave, MarkDown, Rejoin, UpdateMetadata
from .metadata import Facts, Location, Metadata, make_metadata
from .metrics_poller import MetricsPoller
from .names_api import ClusterNames
from .node_metrics import NodeMetrics
from .placement import Candidate, Policy, choose
from .reachability import Reachability
from .replication_messages import WorkerRow
from .round_trip_times import RoundTripTimes
from .services_api import ClusterServices
from .shared_state import SharedState, check_text
from .topics_api import ClusterTopics

if TYPE_CHECKING:
    from ... import Node

MANAGER_TIMEOUT_S = 30.0
"""Seconds until a request to the cluster's manager fails."""


class Cluster:
    """A node's view of its cluster, and its part in it; a node with ``cluster=`` makes it.

    discoveries: sources of endpoints from ``join``.  round_trips: round-trip times measured by the probes.
    metrics_poller, failures, shared_state: parts that the actors of the cluster use.  names, topics, services: the APIs
    of these names.  node, config: as given.
    """

    machine: Membership | FollowedMembership
    """The membership, for reading; the manager changes it.  On a worker it is that of its node."""
    manager: ActorRef
    """The actor that runs the membership."""
    replicator: ActorRef
    """The actor that exchanges the replicated tables with other members."""
    discovery: ActorRef | None = None
    """The actor that searches for other nodes and announces this one; None where neither is configured."""

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
        self.metrics_poller = MetricsPoller(self)
        self.node, self.config, self._seeds = node, config, seeds
        self._metadata = metadata
        self._infos = MemberInfoCache()
        self._candidates: list[Candidate] = []
        self._candidates_of: tuple[Sequence[MemberInfo], int, Mapping[str, float]] | None = None
        self._has_started = False
        self.followers: set[str] = set()
        """The workers of this node that have asked for the members."""
        self._generation = node.network.node_id.generation
        self._waiting: set[asyncio.Future[None]] = set()
        self._settings = config.settings()
        self._payload(metadata)  # raises MetadataInvalid before anything is started
        self.failures = FailureMonitor(node, self._settings.probe_interval_s, self._is_member)
        self.shared_state = SharedState(node, self.failures, config.replication)
        self.names, self.topics, self.services = ClusterNames(self), ClusterTopics(self), ClusterServices(self)

    # --- reading -----------------------------------------------------------------------------------------------------

    def members(self) -> list[MemberInfo]:
        """Return all members, this node included, sorted by name: alive, suspected or unreachable, not left or down."""
        return list(self.member_infos())

    def member_infos(self) -> Sequence[MemberInfo]:
        """Return ``members()`` without a copy: the same sequence, not to be changed, until a member changes."""
        return self._infos.read(list(self.machine.records().values()))

    def member(self, name: str) -> MemberInfo | None:
        """Return the member of this name; None when there is none."""
        record = self.machine.record(name)
        return None if record is None or record.is_over else member_info.read(record)

    def ended_members(self) -> list[MemberInfo]:
        """Return the nodes that have left or are down, the last to end last; each is remembered for ``tombstone_s``."""
        return [member_info.read(record) for record in self.machine.ended()]

    @property
    def is_joined(self) -> bool:
        """Whether this node is a member of its cluster, or has founded it alone because it has no seeds."""
        return self.machine.is_joined

    @property
    def metadata(self) -> Metadata:
        """This node's metadata, as the other members see it."""
        return self._metadata

    def suspicion(self, name: str) -> float:
        """Return how strongly a member is suspected: 0 not at all, below 1 while it may refute, else 1."""
        return self.machine.suspicion(name)

    def session_suspicion(self, name: str) -> float:
        """Return phi of the silence of a node, as in ``PhiAccrual``: a session fails at 8; 0 if it was never heard."""
        return self.failures.suspicion(name, self.node.system.loop.time())

    def reachability(self) -> Reachability:
        """Return which member cannot reach which, as far as all members have reported."""
        return self.shared_state.tables.reachability()

    async def watch(self) -> AsyncIterator[MemberEvent]:
        """Yield the events of members: first a ``MemberJoined`` for each present member, then each event."""
        with self.node.events.stream(MemberEvent) as stream:
            for member in self.members():
                yield MemberJoined(member)
            async for event in stream:
                yield event

    async def wait_for(self, members: int | None = None) -> list[MemberInfo]:
        """Wait until a number of members are alive, this node among them, and return all members.

        members: how many; None for the smallest number in ``ClusterConfig.nodes``.  There is no time limit: use
        ``asyncio.timeout``.  Raises ``NodeClosed`` when this node's membership ends meanwhile.
        """
        wanted = self.config.nodes[0] if members is None else members
        while sum(member.status == "alive" for member in self.member_infos()) < wanted or not self.is_joined:
            await self.wait_changed()
        return self.members()

    async def wait_changed(self) -> None:
        """Wait until the state of a member changes; raises ``NodeClosed`` when this node's membership ends."""
        if self.machine.is_over:
            raise NodeClosed(f"node {self.node.name} is no member of the cluster {self.config.name!r} any more")
        future: asyncio.Future[None] = self.node.system.loop.create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)

    # --- acting ------------------------------------------------------------------------------------------------------

    async def leave(self) -> None:
        """Leave the cluster, and wait until the other members know; the node itself goes on alone."""
        await self.manager.ask(BeginLeave(), MANAGER_TIMEOUT_S)

    async def down(self, name: str, reason: str = "requested by a program") -> bool:
        """Declare a member dead for good, on all nodes; return False when there is no member of this name.

        name: of the member.  reason: for the log and the events of all members.  Use it for a node that is known to be
        dead: a living node stops its actors when it learns of it.
        """
        return await self.manager.ask(MarkDown(name, reason), MANAGER_TIMEOUT_S)

    async def update(
        self,
        *,
        labels: Mapping[str, str] | None = None,
        roles: frozenset[str] | None = None,
        location: Location | None = None,
        versions: Mapping[str, str] | None = None,
    ) -> None:
        """Change this node's metadata on all members.  labels, roles, location, versions: None keeps the present value.

        Raises ``MetadataInvalid`` for metadata over its limits.
        """
        now = self._metadata
        changed = make_metadata(
            now.facts,
            location=location or now.location,
            roles=now.roles if roles is None else roles,
            labels=now.labels if labels is None else labels,
            versions=now.versions if versions is None else versions,
        )
        payload = self._payload(changed)
        self._metadata = changed
        await self.manager.ask(UpdateMetadata(payload), MANAGER_TIMEOUT_S)

    def choose(self, policy: Policy) -> str:
        """Return the name of the member that a policy chooses for an actor; ``spawn(..., place=policy)`` calls this.

        The choice goes by the last reports of load and round-trip times, and requests new ones for the next choice: the
        first choice of a node has none, unless ``poll_metrics`` was awaited before.  Raises ``NoNodeFits``.
        """
        self.metrics_poller.poll()
        return choose(policy, self._current_candidates(), self.node.system.random, origin=self.node.name).name

    def _current_candidates(self) -> Sequence[Candidate]:
        """Return the members as candidates, by name; they are made again only after a change of what they hold."""
        me, placed = self.node.name, self.node.network.placed_actors
        infos, reports, round_trips_s = self.member_infos(), self.metrics_poller.version, self.round_trips.smoothed_s()
        before = self._candidates_of
        if before is None or before[0] is not infos or before[1:] != (reports, round_trips_s):
            self._candidates_of = (infos, reports, round_trips_s)
            self._candidates = [self._candidate(info, round_trips_s) for info in infos]
        own = self.metrics_poller.of(me)
        self._candidates = [
            candidate
            if candidate.placed == placed.get(candidate.name, 0) and candidate.name != me
            else msgspec.structs.replace(
                candidate,
                placed=placed.get(candidate.name, 0),
                load=own.load if candidate.name == me else candidate.load,
                round_trips_s=own.round_trips_s if candidate.name == me else candidate.round_trips_s,
            )
            for candidate in self._candidates
        ]
        return self._candidates

    def _candidate(self, member: MemberInfo, round_trips_s: Mapping[str, float]) -> Candidate:
        metrics = self.metrics_poller.of(member.name)
        measured = dict(metrics.round_trips_s)
        if member.name in round_trips_s:  # a round trip takes as long from here to there as from there to here
            measured[self.node.name] = round_trips_s[member.name]
        return Candidate(
            name=member.name,
            metadata=member.metadata,
            load=metrics.load,
            round_trips_s=measured,
            reachable=member.status == "alive",
        )

    async def poll_metrics(self, timeout_s: float = 1.0) -> Mapping[str, NodeMetrics]:
        """Request the load and the round-trip times of the members, and wait ``timeout_s`` at most for the replies.

        Only members whose last report is older than 5 s are asked, 32 at a time at most.  Returns the last report of
        each member, by name, this node included; a member that has never reported is left out.
        """
        return await self.metrics_poller.poll_all(timeout_s)

    # --- failures ----------------------------------------------------------------------------------------------------

    def on_failure(self, kind: Kind, handle: Handle) -> Callable[[], None]:
        """Register a function for the failures of a ``node``, ``link`` or ``device``; return a function that undoes it.

        handle: called in this node's loop with each ``Failure``, so it should be quick; an exception in it is reported.
        The same failures are published as ``ClusterFailure``.
        """
        return self.failures.on_failure(kind, handle)

    def report_device_failure(self, device: str, text: str) -> None:
        """Report that a device of this node, such as a GPU, has failed, to all present and future members.

        device, text: its name and what is wrong, at most 256 bytes each.  Raises ``CallerError`` for a longer text, and
        ``RowFull`` for more than 1,000 failed devices of this node.
        """
        check_text("the device", device)
        check_text("the failure", text)
        self.shared_state.tables.devices.put(device, text)

    def report_device_repair(self, device: str) -> None:
        """Report that a device of this node works again; nothing happens when it had not failed."""
        self.shared_state.tables.devices.remove(device)

    # --- for the manager ---------------------------------------------------------------------------------------------

    def create_membership(self, rng: random.Random, now: float) -> Membership:
        """Make the membership; a restarted manager, and a node that was taken down and rejoins, keep the known members.

        rng: source of its random choices, and of the generation of a node that rejoins.
        now: the loop's time, in seconds.
        """
        network = self.node.network
        old = self.machine if self._has_started else None
        assert not isinstance(old, FollowedMembership), "a member's manager makes a Membership only"
        incarnation, was_downed = 0, old is not None and old.is_over
        if was_downed:
            self._generation = random_generation(rng.getrandbits)  # another membership of the same process
        elif old is not None:
            incarnation = old.me.incarnation + 1
        payload = self._payload(self._metadata)
        me = Member(self.node.name, network.endpoint, self._generation, incarnation, metadata=payload)
        known = [] if old is None else [record for record in old.all_records() if record.id != old.me.id]
        own = tuple(network.endpoint if network.is_own(seed) else seed for seed in self._seeds)
        seeds = (*own, *(record.endpoint for record in known if not record.is_over))
        machine = Membership(
            me,
            cluster=self.config.name,
            seeds=seeds,
            settings=self._settings,
            chance=rng.random,
            now=now,
            rejoins=was_downed,
            node_problem=node_problem,
        )
        self.machine, self._has_started = machine, True
        if known and not was_downed:
            machine.acquaint(known, now)
        return machine

    def follow_membership(self) -> FollowedMembership:
        """Make the view of a worker; a restarted follower begins with no members, which its parent sends again."""
        network = self.node.network
        me = Member(self.node.name, network.endpoint, network.node_id.generation)
        self.machine = machine = FollowedMembership(me, self._settings)
        return machine

    def known_node(self, name: str) -> KnownNode | None:
        """Return the member of this name, unless it is this node, or unreachable; None for none.

        Another node that greets by the name of such a member is refused, unless it listens at the same endpoint.
        """
        record = self.machine.record(name)
        if record is None or not record.is_present or name == self.node.name or self.machine.is_over:
            return None
        return KnownNode(member_info.read(record).generation, record.endpoint)

    def on_name_lost(self, endpoint: str, why: str) -> None:
        """The member at this endpoint holds this generation of the node for over: shut the node down."""
        if any(member.endpoint == endpoint for member in self.member_infos()):
            self.node.shutdown.begin(f"the cluster {self.config.name!r} holds this node for over: {why}")

    def _is_member(self, name: str) -> bool:
        record = self.machine.record(name)
        return record is not None and not record.is_over

    def send(self, name: str, message: Message[object]) -> None:
        """Send a message to another member's node over a session, which is opened if there is none.

        Nothing is sent, and nothing raised, when there is no member of this name.
        """
        record, network = self.machine.record(name), self.node.network
        if name == self.node.parent_name or self.shared_state.worker_row(name) is not None:
            try:
                network.peer(name).control(message)  # the endpoint of its record is not the one that it is reached by
            except NodeUnreachable:
                pass  # it has just ended
        elif record is not None and not record.is_over:
            network.connector.send(record.endpoint, message, reliable=True)

    # --- workers -----------------------------------------------------------------------------------------------------

    def workers(self) -> dict[str, str]:
        """Return the workers of all members, sorted by name, each with the name of its node.

        A worker is a place for ``spawn``, and its actors have names, groups, topics and services as those of members
        have.  It is no member: it has no vote, is not probed, and ends with its node.
        """
        rows = self.shared_state.tables.workers.rows()
        found = {worker: owner for owner, worker, _ in rows if self._is_member(owner)}
        return dict(sorted(found.items()))

    def own_workers(self) -> AbstractSet[str]:
        """Return the names of the workers of this node that take part."""
        return self.shared_state.tables.workers.own.keys()

    def worker_changed(self, name: str, row: WorkerRow | None) -> None:
        """Tell all members of a worker of this node: where it listens, or None for one that has ended."""
        workers = self.shared_state.tables.workers
        workers.put(name, row) if row is not None else workers.remove(name)

    def tell_workers(self, message: Message[object]) -> None:
        """Send a message to the workers of this node that follow its membership."""
        peers = self.node.network.peers if self.followers else {}
        for name in self.followers & peers.keys():
            peers[name].control(message)

    def changed(self) -> None:
        """The state of a member has changed: update the tables, and wake the tasks in ``wait_changed``."""
        self.shared_state.sync_members(self.machine)
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    def on_downed(self, why: str) -> None:
        """The cluster has taken this node down: shut the node down, or stop its actors and rejoin, as configured."""
        node = self.node
        if self.config.when_downed == "shut_down":
            node.shutdown.begin(f"taken down by the cluster {self.config.name!r}: {why}")
            return
        for cell in list((node.system.user.children or {}).values()):
            cell.request_stop()
        self.manager.tell(Rejoin())

    def _payload(self, metadata: Metadata) -> bytes:
        return member_info.write(self.node.network.node_id.generation, metadata, self._settings.metadata_bytes_max)


def node_problem(name: str, endpoint: str) -> str:
    """Return why this name and this endpoint, which a member told, are those of no node; empty when they may be."""
    try:
        checked_name(name)
    except InvalidName as error:
        return str(error)
    return endpoint_problem(endpoint)


async def open_cluster(node: Node, config: ClusterConfig, join: Sequence[str | Discovery]) -> Cluster:
    """Start the cluster's actors on a node.  It does not wait for other members: ``Cluster.wait_for`` does.

    join: endpoints of members, texts that name discoveries, and discoveries.
    Raises ``DiscoveryInvalid`` for an entry of ``join`` that is none of them, ``MetadataInvalid`` for metadata over a
    limit.
    """
    seeds = tuple(entry for entry in join if isinstance(entry, str) and is_endpoint(entry))
    discoveries = open_discoveries([entry for entry in join if entry not in seeds], config.name)
    facts = await detect() if config.detect else Facts()
    metadata = make_metadata(
        facts, location=config.location, roles=config.roles, labels=config.labels, versions=config.versions
    )
    cluster = Cluster(node, config, seeds, metadata, discoveries)
    make = partial(Follower if node.parent_name else ClusterManager, cluster)
    system = node.system.system
    await spawn_awaited(system, make, (), "cluster", "permanent", 5.0, significant=False)
    if node.parent_name:
        return cluster
    serve_admin(cluster)
    node.shutdown.add(BEFORE_STOP, "leave the cluster", cluster.leave)
    return cluster
