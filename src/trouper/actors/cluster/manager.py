"""The cluster manager: the actor ``/system/cluster``, which carries out what the pure ``Membership`` decides.

It sends packets over the node's links, wakes the machine when it asks for it, keeps the directory of the network in
step with the members, and publishes what happens.  When it is restarted it begins with what it knew.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from ...runtime.actor.actor import Actor
from ...runtime.actor.handlers import handler
from ...runtime.kernel.address import NodeId
from ...runtime.kernel.clock import Alarm
from ...runtime.kernel.message import Message
from . import member_info
from .discovery.discovery_actor import DiscoveryActor, announcements
from .events import ClusterNotice, MemberInfo
from .loop_lag import LoopLagMonitor
from .membership import effects
from .membership.effects import Changed, Effect, Ended, ProcessHealth, Send
from .membership.packets import Ack, Ping
from .messages import (
    AlarmDue,
    BeginLeave,
    ClusterPacket,
    ContactEndpoint,
    HealthReport,
    JoinRefused,
    MarkDown,
    Rejoin,
    SessionLost,
    UpdateMetadata,
    ViewChanged,
)
from .replication_actor import Replicator
from .resolver_actor import ResolverActor

if TYPE_CHECKING:
    from ...runtime.net.peer import Peer
    from .api import Cluster

WARNING_KINDS = frozenset(
    {"refused", "name_conflict", "other_cluster", "implausible", "seeds_silent", "downed", "superseded"}
)
"""Kinds of notices that are logged as warnings."""
PINGS_MAX = 256
"""Pings whose time is remembered until they are acknowledged."""


class ClusterManager(Actor):
    """See the top of the file.  cluster: its face, which outlives it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._left: asyncio.Future[None] | None = None
        self._pings: dict[int, tuple[str, float]] = {}

    async def on_start(self) -> None:
        """Join, or found the cluster."""
        cluster, node = self.cluster, self.node
        network, loop = node.network, node.system.loop
        self._loop, self._network = loop, network
        self._alarm = Alarm(loop, lambda: self.ref.tell(AlarmDue()))
        self._chance = random.Random(node.system.random()).random
        self.machine = cluster.create_membership(self._chance, loop.time())
        network.request_handlers[ClusterPacket] = self._hear
        network.on_peer.append(self._linked)
        self._gauge = LoopLagMonitor(loop, self._strained)
        cluster.replicator = await self.spawn(partial(Replicator, cluster), name="replicator", restart="permanent")
        if cluster.config.split_brain is not None:
            await self.spawn(partial(ResolverActor, cluster), name="resolver", restart="permanent")
        if cluster.discoveries or announcements(cluster.config, node.name, network.endpoint):
            make = partial(DiscoveryActor, cluster, cluster.discoveries)
            cluster.discovery = await self.spawn(make, name="discovery", restart="permanent")
        self._carry_out(self.machine.start(loop.time()))

    def on_stop(self) -> None:
        """Let go of the network; the others find out by themselves, unless this node took its leave."""
        self._network.request_handlers.pop(ClusterPacket, None)
        self._network.on_peer.remove(self._linked)
        self._gauge.close()
        self._alarm.set(inf)

    # --- what comes in -----------------------------------------------------------------------------------------------

    def _hear(self, message: Message[object], peer: Peer) -> None:
        self.cluster.failures.heard(peer.node, self._loop.time())
        self.ref.tell(message)

    def _linked(self, peer: Peer, up: bool) -> None:
        if not up:
            self.ref.tell(SessionLost(peer.node))

    def _strained(self, loop_lag_s: float, gc_pause_s: float) -> None:
        self.ref.tell(HealthReport(loop_lag_s, gc_pause_s, len(self.__cell__.mail or ())))

    @handler
    def packet(self, msg: ClusterPacket) -> None:
        """Another node's membership says something."""
        if isinstance(msg.packet, Ack):
            self._acknowledged(msg.packet)
        self._carry_out(self.machine.receive(msg.packet, self._loop.time()))

    @handler
    def due(self, msg: AlarmDue) -> None:
        """The machine asked to be woken."""
        self._carry_out(self.machine.tick(self._loop.time()))

    @handler
    def session_lost(self, msg: SessionLost) -> None:
        """A link broke."""
        self._carry_out(self.machine.session_lost(msg.node, self._loop.time()))

    @handler
    def strain(self, msg: HealthReport) -> None:
        """The process is not well, or well again."""
        evidence = ProcessHealth(msg.loop_lag_s, msg.gc_pause_s, msg.mailbox_depth)
        self._carry_out(self.machine.strained(evidence, self._loop.time()))

    @handler
    def meet(self, msg: ContactEndpoint) -> None:
        """A node was found that may be of this cluster."""
        self._carry_out(self.machine.meet(msg.endpoint, self._loop.time()))

    @handler
    def take_down(self, msg: MarkDown) -> bool:
        """Somebody has decided that a member is down."""
        known = self.machine.records().get(msg.name)
        found = known is not None and not known.is_over
        if found:
            self._notice("split_brain", f"{msg.name} is taken down: {msg.reason}")
            self._carry_out(self.machine.down(msg.name, self._loop.time()))
        return found

    @handler(reentrant=True)
    async def take_leave(self, msg: BeginLeave) -> None:
        """Leave, and wait until the others know."""
        if self.machine.is_over:
            return
        if self._left is None:
            self._left = self._loop.create_future()
            self._carry_out(self.machine.leave(self._loop.time()))
        await asyncio.shield(self._left)

    @handler
    def rejoin(self, msg: Rejoin) -> None:
        """This node was thrown out, and its actors are stopped: come back as a new member."""
        now = self._loop.time()
        self.machine = self.cluster.create_membership(self._chance, now)
        for child in (self.__cell__.children or {}).values():
            child.ref.tell(msg)
        self._carry_out(self.machine.start(now))

    @handler
    def tell_others(self, msg: UpdateMetadata) -> None:
        """This node says something else about itself."""
        self._carry_out(self.machine.update(msg.metadata, self._loop.time()))

    # --- round trips -------------------------------------------------------------------------------------------------

    def _pinged(self, ping: Ping) -> None:
        """Remember when a member was pinged; one that is pinged again tells nothing of the time (Karn's rule)."""
        if len(self._pings) >= PINGS_MAX:
            self._pings.clear()
        known = ping.sequence in self._pings
        self._pings[ping.sequence] = ("" if known else ping.target, self._loop.time())

    def _acknowledged(self, ack: Ack) -> None:
        target, at = self._pings.pop(ack.sequence, ("", 0.0))
        if target == ack.source:
            self.cluster.round_trips.add(target, self._loop.time() - at)

    # --- what is to be done ------------------------------------------------------------------------------------------

    def _carry_out(self, wanted: Sequence[Effect]) -> None:
        connector = self._network.connector
        changed = False
        for effect in wanted:
            if isinstance(effect, Send):
                if isinstance(effect.packet, Ping):
                    self._pinged(effect.packet)
                connector.send(effect.to, ClusterPacket(effect.packet), reliable=effect.reliable)
            else:
                changed |= self._publish(effect)
        self._alarm.set(self.machine.wake_at)
        if changed:
            self.cluster.changed()
            for child in (self.__cell__.children or {}).values():
                child.ref.tell(ViewChanged())

    def _publish(self, effect: Changed) -> bool:
        """Publish an event; returns whether it is about a member."""
        event = effect.event
        if isinstance(event, effects.MemberEvent):
            info = member_info.read(event.member)
            happened = member_info.event_of(event, info)
            self.cluster.failures.member(happened)
            self._keep_directory(event, info)
            self.node.events.publish(happened)
            return True
        said = member_info.notice_of(event)
        if said is not None:
            self._notice(*said)
            if isinstance(event, effects.Refused | effects.OtherCluster) and self.cluster.discovery is not None:
                node = event.by if isinstance(event, effects.Refused) else event.source
                self.cluster.discovery.tell(JoinRefused(node, said[1]))
        if isinstance(event, Ended):
            self._ended(event)
        return False

    def _keep_directory(self, event: effects.MemberEvent, info: MemberInfo) -> None:
        """Have refs reach members wherever they listen, and end all that hung on one that is over."""
        node_id = NodeId(info.name, info.generation)
        if event.member.name == self.node.name:
            return
        if event.member.is_over:
            self._network.connector.forget(node_id)
            why = "took its leave" if isinstance(event, effects.Left) else "was taken down by the cluster"
            peer = self._network.peers.get(info.name)
            if peer is not None and peer.node_id == node_id:
                self._network.end_session(info.name, f"it {why}")
        else:
            self._network.connector.add_address(node_id, info.endpoint)

    def _notice(self, kind: str, text: str) -> None:
        if kind in WARNING_KINDS:
            self.node.system.reporter.problem(f"cluster {self.cluster.config.name}: {text}")
        self.node.events.publish(ClusterNotice(kind, text))

    def _ended(self, event: Ended) -> None:
        if self._left is not None and not self._left.done():
            self._left.set_result(None)
        if event.reason != "left":
            self.cluster.on_downed(event.detail)
