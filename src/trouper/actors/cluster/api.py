"""``Cluster``: the API of the cluster, as ``node.cluster``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import cast

import msgspec

from ... import ActorRef, InvalidName, InvalidOption, Message, NodeClosed, NodeDowned, NodeUnreachable, NotPermitted
from ...lowlevel import (
    Extension,
    KnownNode,
    NetworkOptions,
    NodeContext,
    NodeId,
    PeerInfo,
    Stream,
    WorkerDown,
    WorkerEvent,
    checked_name,
    endpoint_problem,
    parent_of,
    random_generation,
)
from . import member_info
from .admin_service import AdminService
from .config import ClusterConfig
from .detectors.failures import Kind
from .discovery.discovery_actor import DiscoveryActor, announcements
from .discovery.factory import is_endpoint, open_discoveries
from .discovery.port import Discovery
from .events import MemberEvent, MemberInfo, MemberJoined
from .facts import detect
from .failure_monitor import FailureMonitor, Handle
from .followed_membership import FollowedMembership
from .follower_actor import Follower
from .manager import ClusterManager
from .member_info import MemberInfoCache
from .membership import effects
from .membership.machine import Membership
from .membership.packets import Ack
from .membership.records import Member
from .messages import (
    BeginLeave,
    ClusterPacket,
    FollowMembership,
    GetKnownMembers,
    KnownByMember,
    KnownMembers,
    MarkDown,
    MembershipRecords,
    PacketFrom,
    Rejoin,
    UpdateMetadata,
    ViewChanged,
)
from .metadata import Facts, Location, Metadata, make_metadata
from .metrics_poller import MetricsPoller
from .names_api import ClusterNames
from .node_metrics import NodeMetrics
from .placement import Candidate, Policy, choose
from .reachability import Reachability
from .replication_actor import Replicator
from .replication_messages import (
    GetNodeMetrics,
    NodeMetricsReply,
    TopicMessage,
    WorkerRow,
)
from .resolver_actor import ResolverActor
from .round_trip_times import RoundTripTimes
from .services_api import ClusterServices
from .shared_state import SharedState, check_text
from .topics_api import ClusterTopics

FIRST_MEMBERS_S = 10.0
"""Seconds that the start of a worker waits for the members; after that they come when they come."""
MANAGER_TIMEOUT_S = 30.0
"""Seconds until a request to the cluster's manager fails."""
RECORDS_MAX = 200
"""Records in one message to a worker: with the largest metadata they fit into a frame."""


class Cluster(Extension[ClusterConfig], name="cluster", on_workers=True, limit_s=30.0):
    """A node's view of its cluster, and its part in it, as ``node.cluster``; a node with ``cluster=`` has it.

    settings: as given.  round_trips: round-trip times measured by the probes.
    metrics_poller, failures, shared_state: parts that the actors of the cluster use.  names, topics, services: the APIs
    of these names.
    """

    ctx: NodeContext
    """What the cluster can do on its node."""
    machine: Membership | FollowedMembership
    """The membership, for reading; the manager changes it.  On a worker it is that of its node."""
    manager: ActorRef
    """The actor that runs the membership."""
    replicator: ActorRef
    """The actor that exchanges the replicated tables with other members."""
    discovery: ActorRef | None = None
    """The actor that searches for other nodes and announces this one; None where neither is configured."""
    resolver: ActorRef | None = None
    """The actor that resolves partitions; None where none are."""
    failures: FailureMonitor
    shared_state: SharedState
    has_started = False
    """Whether the cluster has been started on a node."""

    def __init__(self, settings: ClusterConfig | None = None) -> None:
        super().__init__(settings)
        self._join: tuple[object, ...] = ()
        self._swim = self.settings.settings()
        self._metadata = Metadata()
        self.round_trips = RoundTripTimes()
        self.metrics_poller = MetricsPoller(self)
        self._infos = MemberInfoCache()
        self._candidates: list[Candidate] = []
        self._candidates_of: tuple[Sequence[MemberInfo], int, Mapping[str, float], int] | None = None
        self._generation = 0
        self._followers: dict[str, NodeId] = {}
        self._parts: list[ActorRef] = []
        self._waiting: set[asyncio.Future[None]] = set()
        self.names, self.topics, self.services = ClusterNames(self), ClusterTopics(self), ClusterServices(self)

    def settings_for_workers(self) -> ClusterConfig:
        """Return the configuration of a worker, which follows the membership of its node."""
        return self.settings.for_worker()

    # --- start -------------------------------------------------------------------------------------------------------

    def network_options(self, options: NetworkOptions) -> NetworkOptions:
        """Have the network dial no endpoint by itself, and close sessions beyond the cluster's limit.

        Raises ``InvalidOption`` for a node that does not listen.
        """
        if not options.listen:
            raise InvalidOption(
                f"cluster={self.settings.name!r} needs listen: members reach a node at its own endpoint"
            )
        options = replace(options, sessions_max=self.settings.sessions_max)
        if options.parent:  # a worker follows its node, which it dials
            return options
        self._join = options.join
        return replace(options, join=())

    async def start(self, ctx: NodeContext) -> None:
        """Start the cluster's actors.  It does not wait for other members: ``wait_for`` does; only a worker waits, for
        those that its node knows.

        Raises ``DiscoveryInvalid`` for an entry of ``join`` that is neither an endpoint nor a discovery, and
        ``MetadataInvalid`` for metadata over a limit.
        """
        self.ctx, self._parts, self.discovery, self.resolver = ctx, [], None, None
        if self.has_started:
            self.failures.ctx = ctx
            self.shared_state.begin(ctx)
        else:
            await self._prepare(ctx)
        if ctx.parent_name:
            ctx.serve(MembershipRecords, self._on_records)
            await ctx.spawn(Follower, self, name="manager", restart="permanent")
        else:
            await ctx.spawn(ClusterManager, self, name="manager", restart="permanent")
            ctx.serve(ClusterPacket, self._on_packet)
            ctx.serve(FollowMembership, self._on_follow, allow="worker")
            ctx.serve(GetKnownMembers, self._on_get_known)
            ctx.serve(KnownMembers, self._on_known)
            ctx.peers.protect_names(self.known_node)
        self.replicator = await ctx.spawn(Replicator, self, name="replicator", restart="permanent")
        self._parts.append(self.replicator)
        ctx.serve(TopicMessage, self._on_topic)
        ctx.serve(GetNodeMetrics, self.metrics_poller.on_request)
        ctx.serve(NodeMetricsReply, self.metrics_poller.on_reply)
        ctx.peers.on_worker(self._on_worker)
        if ctx.parent_name:
            await self._wait_first_members()
            return
        if self.settings.split_brain is not None:
            self.resolver = await ctx.spawn(ResolverActor, self, name="resolver", restart="permanent")
            self._parts.append(self.resolver)
        if self._discoveries or announcements(self.settings, ctx.node_id.name, ctx.endpoint):
            make = partial(DiscoveryActor, self, self._discoveries)
            self.discovery = await ctx.spawn(make, name="discovery", restart="permanent")
            self._parts.append(self.discovery)
        AdminService(self)

    async def _wait_first_members(self) -> None:
        """On a worker: wait until the parent has sent all members."""
        try:
            async with asyncio.timeout(FIRST_MEMBERS_S):
                while not self.is_joined:
                    await self.wait_changed()
        except TimeoutError:
            pass

    async def stop(self) -> None:
        """Leave the cluster when the node shuts down, whose actors have ended by now, also those placed elsewhere."""
        if self.ctx.shutdown.reason is not None and not self.ctx.parent_name:
            await self.leave()

    async def _prepare(self, ctx: NodeContext) -> None:
        """Make what outlives a restart of the cluster on its node."""
        settings = self.settings
        self._seeds = tuple(entry for entry in self._join if isinstance(entry, str) and is_endpoint(entry))
        others = [cast("str | Discovery", entry) for entry in self._join if entry not in self._seeds]
        self._discoveries: Sequence[Discovery] = open_discoveries(others, settings.name)
        facts = await detect() if settings.detect else Facts()
        self._metadata = make_metadata(
            facts, location=settings.location, roles=settings.roles, labels=settings.labels, versions=settings.versions
        )
        self._payload(self._metadata)  # raises MetadataInvalid before anything is started
        self._generation = ctx.node_id.generation
        self.failures = FailureMonitor(ctx, self._swim.probe_interval_s, self._is_member)
        self.shared_state = SharedState(ctx, self.failures, settings.replication)
        self.shared_state.on_reachability_change.append(self._wake)

    # --- requests of other nodes -------------------------------------------------------------------------------------

    def _on_packet(self, message: ClusterPacket, peer: PeerInfo) -> None:
        node, source = peer.node_id.name, message.packet.source
        if source != node and not isinstance(message.packet, Ack):  # a helper passes on the answer of another node
            raise NotPermitted(f"node {node} sent a packet in the name of node {source}: each speaks for itself")
        self.heard(node)
        self.manager.tell(PacketFrom(message.packet, node))

    def heard(self, node: str) -> None:
        """Take note that something came from a node."""
        self.failures.heard(node, self.ctx.clock.now())

    def _on_topic(self, message: TopicMessage, peer: PeerInfo) -> None:
        self.heard(peer.node_id.name)
        self.topics.deliver(message)

    def _on_records(self, message: MembershipRecords, peer: PeerInfo) -> None:
        if peer.node_id.name == self.ctx.parent_name:  # only the parent knows
            self.manager.tell(message)

    def _on_follow(self, _: FollowMembership, peer: PeerInfo) -> None:
        """Send all members to a worker of this node, which follows from now on."""
        if parent_of(peer.node_id.name) != self.ctx.node_id.name:
            return
        self._followers[peer.node_id.name] = peer.node_id
        records = self.machine.members()
        for begin in range(0, max(1, len(records)), RECORDS_MAX):
            part = tuple(records[begin : begin + RECORDS_MAX])
            self.ctx.send(peer.node_id, MembershipRecords(part, complete=begin + RECORDS_MAX >= len(records)))

    def _on_get_known(self, _: GetKnownMembers, peer: PeerInfo) -> None:
        members = self.machine.members()
        if len(members) <= self.settings.replication.direct_max:
            self.ctx.send(peer.node_id, KnownMembers({member.name: member.generation for member in members}))

    def _on_known(self, message: KnownMembers, peer: PeerInfo) -> None:
        if self.resolver is not None and len(message.members) <= self.settings.replication.direct_max:
            self.resolver.tell(KnownByMember(peer.node_id.name, message.members))

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
        return self.failures.suspicion(name, self.ctx.clock.now())

    def reachability(self) -> Reachability:
        """Return which member cannot reach which, as far as all members have reported."""
        return self.shared_state.tables.reachability()

    async def watch(self) -> AsyncIterator[MemberEvent]:
        """Yield the events of members: first a ``MemberJoined`` for each present member, then each event."""
        with self.ctx.events.stream(MemberEvent) as stream:
            for member in self.members():
                yield MemberJoined(member)
            async for event in stream:
                yield event

    async def wait_for(self, members: int | None = None) -> list[MemberInfo]:
        """Wait until a number of members are alive and count, this node among them, and return all members.

        A member counts once all others know it, which takes a round trip or two after it has joined: from then on the
        members that are left go on when one of them fails, if they are the majority.
        members: how many; None for the smallest number in ``ClusterConfig.nodes``.  There is no time limit: use
        ``asyncio.timeout``.  Raises ``NodeClosed`` when this node's membership ends meanwhile.
        """
        wanted = self.settings.nodes[0] if members is None else members
        while sum(map(self._counts, self.member_infos())) < wanted or not self.is_joined:
            await self.wait_changed()
        return self.members()

    async def wait_changed(self) -> None:
        """Wait until a member changes, or counts; raises ``NodeClosed`` when this node's membership ends."""
        if self.machine.is_over:
            name = self.ctx.node_id.name
            raise NodeClosed(f"node {name} is no member of the cluster {self.settings.name!r} any more")
        future: asyncio.Future[None] = self.ctx.loop.create_future()
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
        """Return the member, or the worker of one, that a policy chooses; ``spawn(..., place=policy)`` calls this.

        The choice goes by the last reports of load and round-trip times, and requests new ones for the next choice: the
        first choice of a node has none, unless ``poll_metrics`` was awaited before.  Raises ``NoNodeFits``.
        """
        self.metrics_poller.poll()
        return choose(policy, self._current_candidates(), self.ctx.random.random, origin=self.ctx.node_id.name).name

    def _current_candidates(self) -> Sequence[Candidate]:
        """Return the members and their workers as candidates; they are made again only after a change of those."""
        me, placed = self.ctx.node_id.name, self.ctx.placed_actors
        infos, reports, round_trips_s = self.member_infos(), self.metrics_poller.version, self.round_trips.smoothed_s()
        before = self._candidates_of
        workers = self.shared_state.workers_version
        if before is None or before[0] is not infos or before[1:] != (reports, round_trips_s, workers):
            self._candidates_of = (infos, reports, round_trips_s, workers)
            self._candidates = [self._candidate(info, round_trips_s) for info in infos]
            self._candidates += self._worker_candidates(self._candidates)
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
            measured[self.ctx.node_id.name] = round_trips_s[member.name]
        return Candidate(
            name=member.name,
            metadata=member.metadata,
            load=metrics.load,
            round_trips_s=measured,
            reachable=member.status == "alive",
        )

    def _worker_candidates(self, members: Sequence[Candidate]) -> list[Candidate]:
        """Return the workers of the members as candidates: where their members are, with labels of their own."""
        of = {member.name: member for member in members}
        return [
            Candidate(
                name=worker,
                metadata=msgspec.structs.replace(there.metadata, labels={**there.metadata.labels, **row.labels}),
                reachable=there.reachable,
            )
            for owner, worker, row in self.shared_state.tables.workers.rows()
            if (there := of.get(owner)) is not None
        ]

    async def poll_metrics(self, timeout_s: float = 1.0) -> Mapping[str, NodeMetrics]:
        """Request the load and the round-trip times of the members, and wait ``timeout_s`` at most for the replies.

        Only members whose last report is older than 5 s are asked, 32 at a time at most.  Returns the last report of
        each member, by name, this node included; a member that has never reported is left out.
        """
        return await self.metrics_poller.poll_all(timeout_s)

    # --- failures ----------------------------------------------------------------------------------------------------

    def on_failure(self, kind: Kind, handle: Handle) -> Callable[[], None]:
        """Register a function for the failures of a ``node``, ``session`` or ``device``; return one that undoes it.

        handle: called in this node's loop with each ``Failure``, so it should be quick; an exception in it is reported.
        The same failures are published as ``ClusterFailure``.  Raises ``InvalidOption`` for another kind, and
        ``CallerError`` for more than 1,000 handlers of one kind.
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

    def create_membership(self, now: float) -> Membership:
        """Make the membership; a restarted manager, and a node that was taken down and rejoins, keep the known members.

        now: the loop's time, in seconds.
        """
        ctx = self.ctx
        old = self.machine if self.has_started else None
        assert not isinstance(old, FollowedMembership), "a member's manager makes a Membership only"
        incarnation, was_downed = 0, old is not None and old.is_over
        if was_downed:
            # Another membership of the same process; a seeded source alone may repeat itself in the next process.
            source = Random(f"{self._generation}/{ctx.random.random()}")
            self._generation = random_generation(source.getrandbits)
        elif old is not None:
            incarnation = old.me.incarnation + 1
        payload = self._payload(self._metadata)
        me = Member(ctx.node_id.name, ctx.endpoint, self._generation, incarnation, metadata=payload)
        known = [] if old is None else [record for record in old.all_records() if record.id != old.me.id]
        own = tuple(ctx.endpoint if ctx.is_own_endpoint(seed) else seed for seed in self._seeds)
        seeds = (*own, *(record.endpoint for record in known if not record.is_over))
        machine = Membership(
            me,
            cluster=self.settings.name,
            seeds=seeds,
            settings=self._swim,
            chance=ctx.random.random,
            now=now,
            rejoins=was_downed,
            node_problem=node_problem,
        )
        self.machine, self.has_started = machine, True
        if known and not was_downed:
            machine.acquaint(known, now)
        return machine

    def follow_membership(self) -> FollowedMembership:
        """Make the view of a worker; a restarted follower begins with no members, which its parent sends again."""
        me = Member(self.ctx.node_id.name, self.ctx.endpoint, self.ctx.node_id.generation)
        self.machine = machine = FollowedMembership(me, self._swim)
        self.has_started = True
        return machine

    def known_node(self, name: str) -> KnownNode | None:
        """Return the member of this name, unless it is this node, or unreachable; None for none.

        Another node that greets by the name of such a member is refused, unless it listens at the same endpoint.
        """
        record = self.machine.record(name)
        if record is None or not record.is_present or name == self.ctx.node_id.name or self.machine.is_over:
            return None
        return KnownNode(member_info.read(record).generation, record.endpoint)

    def on_name_lost(self, endpoint: str, why: str) -> None:
        """The member at this endpoint holds this generation of the node for over: shut the node down."""
        if any(member.endpoint == endpoint for member in self.member_infos()):
            name, cluster = self.ctx.node_id.name, self.settings.name
            self.ctx.node.system.escalated(NodeDowned(f"the cluster {cluster!r} holds node {name} for over: {why}"))

    def _counts(self, member: MemberInfo) -> bool:
        """Return whether a member is alive and, where partitions are resolved, counts in that."""
        up_number = self.shared_state.tables.up_number
        return member.status == "alive" and (self.settings.split_brain is None or up_number(member.name) is not None)

    def _is_member(self, name: str) -> bool:
        record = self.machine.record(name)
        return record is not None and not record.is_over

    def send(self, name: str, message: Message[object], stream: Stream = "control") -> None:
        """Send a message to another member's node, or a worker, over a session, which is opened if there is none.

        Nothing is sent, and nothing raised, when there is no member of this name.
        """
        record, row = self.machine.record(name), self.shared_state.worker_row(name)
        if name == self.ctx.parent_name:  # the endpoint of its record is not the one that it is reached by
            parent = self.ctx.peers.get(name)
            if parent is not None:
                self._send_to(parent.node_id, message, stream)
        elif row is not None:
            self._send_to(NodeId(name, row.generation), message, stream)
        elif record is not None and not record.is_over:
            self.ctx.send_at(record.endpoint, message, stream=stream)

    def _send_to(self, node_id: NodeId, message: Message[object], stream: Stream = "control") -> None:
        try:
            self.ctx.send(node_id, message, stream=stream)
        except NodeUnreachable:
            pass  # it has just ended

    def publish(self, change: effects.MemberChange) -> None:
        """Publish the event of a member on this node, and keep the addresses of nodes in step with the members."""
        info = member_info.read(change.member)
        event = member_info.event_of(change, info)
        self.failures.member(event)
        node_id = NodeId(info.name, info.generation)
        if info.name == self.ctx.node_id.name:
            pass
        elif change.member.is_over:
            left = isinstance(change, effects.Departed)
            self.ctx.peers.forget(node_id, "it has left" if left else f"the cluster has taken it down: {info.reason}")
        else:
            self.ctx.peers.add_address(node_id, info.endpoint)
        self.ctx.events.publish(event)

    # --- workers -----------------------------------------------------------------------------------------------------

    def workers(self) -> dict[str, str]:
        """Return the workers of all members, sorted by name, each with the name of its node.

        A worker is a place for ``spawn``, and its actors have names, groups, topics and services as those of members
        have.  It is no member: it has no vote, is not probed, and ends with its node.
        """
        rows = self.shared_state.tables.workers.rows()
        found = {worker: owner for owner, worker, _ in rows if self._is_member(owner)}
        return dict(sorted(found.items()))

    def _on_worker(self, event: WorkerEvent) -> None:
        """Tell all members of a worker of this node, or of its end."""
        node_id, workers = event.node_id, self.shared_state.tables.workers
        if isinstance(event, WorkerDown):
            if self._followers.get(node_id.name) == node_id:
                del self._followers[node_id.name]
            workers.remove(node_id.name)
        else:
            workers.put(node_id.name, WorkerRow(node_id.generation, event.endpoints, event.labels))

    def tell_workers(self, message: Message[object]) -> None:
        """Send a message to the workers of this node that follow its membership."""
        for node_id in self._followers.values():
            self._send_to(node_id, message)

    def tell_parts(self, message: Message[None]) -> None:
        """Send a message to the actors that follow the membership on this node."""
        for part in self._parts:
            part.tell(message)

    def changed(self) -> None:
        """The state of a member has changed: update the tables, tell the actors, wake the tasks in ``wait_changed``."""
        self.shared_state.sync_members(self.machine)
        self.tell_parts(ViewChanged())
        self._wake()

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    def on_downed(self, why: str) -> None:
        """The cluster has taken this node down: shut the node down, or stop its actors and rejoin, as configured."""
        if self.settings.when_downed == "shut_down":
            name, cluster = self.ctx.node_id.name, self.settings.name
            self.ctx.node.system.escalated(NodeDowned(f"node {name} was taken down by the cluster {cluster!r}: {why}"))
            return
        self.ctx.stop_user_actors()
        self.manager.tell(Rejoin())

    def _payload(self, metadata: Metadata) -> bytes:
        return member_info.write(self.ctx.node_id.generation, metadata, self._swim.metadata_bytes_max)


def node_problem(name: str, endpoint: str) -> str:
    """Return why this name and this endpoint, which a member told, are those of no node; empty when they may be."""
    try:
        checked_name(name)
    except InvalidName as error:
        return str(error)
    return endpoint_problem(endpoint)
