"""``ClusterManager``: the actor ``/system/cluster``, which carries out the effects of the pure ``Membership``.

It sends packets, calls the machine when its alarm is due, keeps the addresses of the network in step with the members,
and publishes events.  After a restart it continues with the records that it had.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from ... import Actor, NotPermitted, handler
from ...lowlevel import Alarm, NodeId, parent_of
from . import member_info
from .contained import ContainedErrors
from .discovery.discovery_actor import ITSELF, DiscoveryActor, announcements
from .events import ClusterNotice, MemberInfo
from .loop_lag import LoopLagMonitor
from .membership import effects
from .membership.effects import Effect, Ended, ProcessHealth, Publish, Send
from .membership.packets import Ack, Ping
from .membership.records import Member
from .messages import (
    AlarmDue,
    BeginLeave,
    ClusterPacket,
    ContactEndpoint,
    FollowMembership,
    HealthReport,
    JoinRefused,
    MarkDown,
    MembershipRecords,
    OwnEndpointFound,
    Rejoin,
    SessionLost,
    UpdateMetadata,
    ViewChanged,
)
from .replication_actor import Replicator
from .resolver_actor import ResolverActor

if TYPE_CHECKING:
    from ... import Node
    from ...runtime.net.peer import Peer
    from .api import Cluster

WARNING_KINDS = frozenset({"refused", "name_conflict", "other_cluster", "implausible", "seeds_silent", "downed"})
"""The kinds of notices that are logged as warnings."""
NAME_REFUSED = frozenset({"name_taken", "over"})
"""The codes of the refusal of a session that are about the name of this node."""
RECORDS_MAX = 200
"""Records in one message to a worker: with the largest metadata they fit into a frame."""
PINGS_MAX = 256
"""Pings whose times are remembered until they are acknowledged."""


class ClusterManager(Actor):
    """The manager of one node's membership.  cluster: the API object, which outlives the actor."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._left: asyncio.Future[None] | None = None
        self._pings: dict[int, tuple[str, float]] = {}

    async def on_start(self) -> None:
        """Join, or found the cluster."""
        cluster, node = self.cluster, self.node
        cluster.manager = self.ref  # before the discovery starts, which may find a node at once
        network, loop = node.network, node.system.loop
        self._loop, self._network = loop, network
        self._alarm = Alarm(loop, lambda: self.ref.tell(AlarmDue()))
        self._rng = random.Random(node.system.random())
        self.contained = ContainedErrors(node.reports.problem, loop.time)
        self.machine = cluster.create_membership(self._rng, loop.time())
        network.request_handlers.serve(ClusterPacket, self._on_packet, owner="cluster")
        network.request_handlers.serve(FollowMembership, self._on_follow, owner="cluster")
        self._unwatch_peers = network.watch_peers(self._on_peer)
        network.on_dial_refused.append(self._on_dial_refused)
        network.known_node = cluster.known_node
        self._lag_monitor = LoopLagMonitor(loop, self._on_lag)
        cluster.replicator = await self.spawn(partial(Replicator, cluster), name="replicator", restart="permanent")
        if cluster.config.split_brain is not None:
            await self.spawn(partial(ResolverActor, cluster), name="resolver", restart="permanent")
        if cluster.discoveries or announcements(cluster.config, node.name, network.endpoint):
            make = partial(DiscoveryActor, cluster, cluster.discoveries)
            cluster.discovery = await self.spawn(make, name="discovery", restart="permanent")
        self._carry_out(self.machine.start(loop.time()))

    def on_stop(self) -> None:
        """Stop receiving and sending; unless this node has left, the other members detect that it is gone."""
        self._network.request_handlers.unserve(ClusterPacket, FollowMembership, owner="cluster")
        self._unwatch_peers()
        self._network.on_dial_refused.remove(self._on_dial_refused)
        self._network.known_node = None
        self._lag_monitor.close()
        self._alarm.set(inf)

    # --- events ------------------------------------------------------------------------------------------------------

    def _on_follow(self, _: FollowMembership, peer: Peer) -> None:
        """Send all members to a worker of this node, which follows from now on."""
        if parent_of(peer.node) != self.node.name:
            return
        self.cluster.followers.add(peer.node)
        records = self.machine.members()
        for begin in range(0, max(1, len(records)), RECORDS_MAX):
            part = tuple(records[begin : begin + RECORDS_MAX])
            peer.control(MembershipRecords(part, complete=begin + RECORDS_MAX >= len(records)))

    def _on_packet(self, message: ClusterPacket, peer: Peer) -> None:
        source = message.packet.source
        if source != peer.node and not isinstance(message.packet, Ack):  # a helper passes on the answer of another node
            raise NotPermitted(f"node {peer.node} sent a packet in the name of node {source}: each speaks for itself")
        self.cluster.failures.heard(peer.node, self._loop.time())
        self.ref.tell(message)

    def _on_peer(self, peer: Peer, up: bool) -> None:
        if not up:
            self.ref.tell(SessionLost(peer.node))

    def _on_dial_refused(self, endpoint: str, code: str, text: str) -> None:
        if code in NAME_REFUSED:
            self._notice("refused", f"{endpoint} refuses this node ({code}): {text}", logged=False)
        if code == ITSELF:
            self.ref.tell(OwnEndpointFound(endpoint))
        if code == "over":
            self.cluster.on_name_lost(endpoint, text)

    def _on_lag(self, loop_lag_s: float, gc_pause_s: float) -> None:
        self.ref.tell(HealthReport(loop_lag_s, gc_pause_s, len(self.__cell__.mail or ())))

    @handler
    def packet(self, msg: ClusterPacket) -> None:
        """Take in a packet of another node's membership."""
        if isinstance(msg.packet, Ack):
            self._acknowledged(msg.packet)
        try:
            wanted = self.machine.receive(msg.packet, self._loop.time())
        except Exception as error:  # noqa: BLE001  a packet of a peer may hold anything; this actor must not fail by it
            self.contained.note(f"a packet of node {msg.packet.source}", error)
            wanted = []
        self._carry_out(wanted)

    @handler
    def due(self, msg: AlarmDue) -> None:
        """Call the machine at the time that it asked for."""
        self._carry_out(self.machine.tick(self._loop.time()))

    @handler
    def session_lost(self, msg: SessionLost) -> None:
        """Have the machine probe a node whose session has failed."""
        self._carry_out(self.machine.session_lost(msg.node, self._loop.time()))

    @handler
    def health_report(self, msg: HealthReport) -> None:
        """Pass what the process has measured of itself to the machine."""
        measured = ProcessHealth(msg.loop_lag_s, msg.gc_pause_s, msg.mailbox_depth)
        self._carry_out(self.machine.report_health(measured, self._loop.time()))

    @handler
    def contact(self, msg: ContactEndpoint) -> None:
        """Contact a node that was found and may be of this cluster."""
        self._carry_out(self.machine.contact(msg.endpoint, self._loop.time()))

    @handler
    def own_endpoint_found(self, msg: OwnEndpointFound) -> None:
        """Take note that this node has dialled itself: the seeds name it by a host name, or by another address."""
        self._carry_out(self.machine.recognise(msg.endpoint, self._loop.time()))

    @handler
    def mark_down(self, msg: MarkDown) -> bool:
        """Take a member down; the reply is whether there was one."""
        known = self.machine.record(msg.name)
        found = known is not None and not known.is_over
        if found:
            self._notice("split_brain", f"{msg.name} is taken down: {msg.reason}")
            self._carry_out(self.machine.down(msg.name, msg.reason, self._loop.time()))
        return found

    @handler(reentrant=True)
    async def begin_leave(self, msg: BeginLeave) -> None:
        """Leave, and reply when the leave has been gossiped."""
        if self.machine.is_over:
            return
        if self._left is None:
            self._left = self._loop.create_future()
            self._carry_out(self.machine.leave(self._loop.time()))
        await asyncio.shield(self._left)

    @handler
    def rejoin(self, msg: Rejoin) -> None:
        """Join again as another generation, after this node was taken down and its actors were stopped."""
        now = self._loop.time()
        self.machine = self.cluster.create_membership(self._rng, now)
        for child in (self.__cell__.children or {}).values():
            child.ref.tell(msg)
        self._carry_out(self.machine.start(now))

    @handler
    def update_metadata(self, msg: UpdateMetadata) -> None:
        """Publish other metadata of this node."""
        self._carry_out(self.machine.update(msg.metadata, self._loop.time()))

    # --- round trips -------------------------------------------------------------------------------------------------

    def _pinged(self, ping: Ping) -> None:
        """Note when a member was pinged; a second ping of one probe makes its time ambiguous (Karn's rule)."""
        if len(self._pings) >= PINGS_MAX:
            self._pings.clear()
        known = ping.sequence in self._pings
        self._pings[ping.sequence] = ("" if known else ping.target, self._loop.time())

    def _acknowledged(self, ack: Ack) -> None:
        target, at = self._pings.pop(ack.sequence, ("", 0.0))
        if target == ack.source:
            self.cluster.round_trips.add(target, self._loop.time() - at)

    # --- effects -----------------------------------------------------------------------------------------------------

    def _carry_out(self, wanted: Sequence[Effect]) -> None:
        connector = self._network.connector
        changed = False
        records: list[Member] = []
        for effect in wanted:
            try:
                if isinstance(effect, Send):
                    if isinstance(effect.packet, Ping):
                        self._pinged(effect.packet)
                    connector.send(effect.to, ClusterPacket(effect.packet), reliable=effect.reliable)
                else:
                    if isinstance(effect.event, effects.MemberChange):
                        records.append(effect.event.member)
                    changed |= self._publish(effect)
            except Exception as error:  # noqa: BLE001  the other effects of the step are carried out all the same
                self.contained.note(f"the effect {type(effect).__qualname__} of the membership", error)
        self._alarm.set(self.machine.wake_at)
        if changed:
            self.cluster.tell_workers(MembershipRecords(tuple(records)))
            self.cluster.changed()
            for child in (self.__cell__.children or {}).values():
                child.ref.tell(ViewChanged())

    def _publish(self, effect: Publish) -> bool:
        """Publish an event; return whether it is about a member."""
        event = effect.event
        if isinstance(event, effects.MemberChange):
            publish_change(self.cluster, event)
            return True
        notice = member_info.notice_of(event)
        if notice is not None:
            self._notice(*notice)
            discovery = self.cluster.discovery
            if isinstance(event, effects.AdmissionRefused | effects.OtherCluster) and discovery is not None:
                node = event.by if isinstance(event, effects.AdmissionRefused) else event.source
                discovery.tell(JoinRefused(node, notice[1]))
        if isinstance(event, Ended):
            self._ended(event)
        return False

    def _notice(self, kind: str, text: str, *, logged: bool = True) -> None:
        """Publish a notice.  logged: whether a warning is to be logged too, which the network has done otherwise."""
        if logged and kind in WARNING_KINDS:
            self.node.system.reporter.problem(f"cluster {self.cluster.config.name}: {text}")
        self.node.events.publish(ClusterNotice(kind, text))

    def _ended(self, event: Ended) -> None:
        if self._left is not None and not self._left.done():
            self._left.set_result(None)
        if event.reason != "left":
            self.cluster.on_downed(event.detail)


def publish_change(cluster: Cluster, event: effects.MemberChange) -> None:
    """Publish the event of a member on this node, and keep the addresses of the network in step with the members."""
    info = member_info.read(event.member)
    published = member_info.event_of(event, info)
    cluster.failures.member(published)
    _update_addresses(cluster.node, event, info)
    cluster.node.events.publish(published)


def _update_addresses(node: Node, event: effects.MemberChange, info: MemberInfo) -> None:
    """Make a member's endpoint known to the network; end the session to one that is over."""
    node_id = NodeId(info.name, info.generation)
    if event.member.name == node.name:
        return
    if event.member.is_over:
        node.network.connector.forget(node_id)
        reason = "it has left" if isinstance(event, effects.Left) else f"the cluster has taken it down: {info.reason}"
        peer = node.network.peers.get(info.name)
        if peer is not None and peer.node_id == node_id:
            node.network.end_session(info.name, reason)
    else:
        node.network.connector.add_address(node_id, info.endpoint)
