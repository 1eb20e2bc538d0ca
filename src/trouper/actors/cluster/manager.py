"""``ClusterManager``: the actor ``/system/cluster/manager``, which carries out the effects of the pure ``Membership``.

It sends packets, calls the machine when its alarm is due, and publishes events.  After a restart it continues with the
records that it had.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

from ... import Actor, handler
from ...lowlevel import PeerDown, PeerEvent, SessionRefused
from . import member_info
from .contained import ContainedErrors
from .discovery.discovery_actor import ITSELF
from .events import ClusterNotice
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
    HealthReport,
    JoinRefused,
    MarkDown,
    MembershipRecords,
    OwnEndpointFound,
    PacketFrom,
    Rejoin,
    SessionLost,
    UpdateMetadata,
)

if TYPE_CHECKING:
    from .api import Cluster

WARNING_KINDS = frozenset({"refused", "name_conflict", "other_cluster", "implausible", "seeds_silent", "downed"})
"""The kinds of notices that are logged as warnings."""
NAME_REFUSED = frozenset({"name_taken", "over"})
"""The codes of the refusal of a session that are about the name of this node."""
PINGS_MAX = 256
"""Pings whose times are remembered until they are acknowledged."""


class ClusterManager(Actor):
    """The manager of one node's membership.  cluster: the extension, which outlives the actor."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.ctx = cluster, cluster.ctx
        self._left: asyncio.Future[None] | None = None
        self._pings: dict[int, tuple[str, float]] = {}

    def on_start(self) -> None:
        """Join, or found the cluster."""
        cluster, ctx = self.cluster, self.ctx
        cluster.manager = self.ref
        self._alarm = ctx.clock.alarm(lambda: self.ref.tell(AlarmDue()))
        self.contained = ContainedErrors(ctx.report, ctx.clock.now)
        self.machine = cluster.create_membership(ctx.clock.now())
        self._undo = (ctx.peers.subscribe(self._on_peer), ctx.peers.on_refused(self._on_refused))
        self._lag_monitor = LoopLagMonitor(ctx.loop, self._on_lag)
        self._carry_out(self.machine.start(ctx.clock.now()))

    def on_stop(self) -> None:
        """Stop sending; unless this node has left, the other members detect that it is gone."""
        for undo in self._undo:
            undo()
        self._lag_monitor.close()
        self._alarm.set(inf)

    # --- events ------------------------------------------------------------------------------------------------------

    def _on_peer(self, event: PeerEvent) -> None:
        if isinstance(event, PeerDown):
            self.ref.tell(SessionLost(event.node_id.name))

    def _on_refused(self, event: SessionRefused) -> None:
        if event.code in NAME_REFUSED:
            text = f"{event.endpoint} refuses this node ({event.code}): {event.text}"
            self._notice("refused", text, logged=False)
        if event.code == ITSELF:
            self.ref.tell(OwnEndpointFound(event.endpoint))
        if event.code == "over":
            self.cluster.on_name_lost(event.endpoint, event.text)

    def _on_lag(self, loop_lag_s: float, gc_pause_s: float) -> None:
        queued = self.ctx.node.introspection.stats(self.ref).queued
        self.ref.tell(HealthReport(loop_lag_s, gc_pause_s, queued))

    @handler
    def packet(self, msg: PacketFrom) -> None:
        """Take in a packet of another node's membership."""
        if isinstance(msg.packet, Ack) and msg.by == msg.packet.source:
            self._acknowledged(msg.packet)
        try:
            wanted = self.machine.receive(msg.packet, self.ctx.clock.now(), msg.by)
        except Exception as error:  # noqa: BLE001  a packet of a peer may hold anything; this actor must not fail by it
            self.contained.note(f"a packet of node {msg.packet.source}", error)
            wanted = []
        self._carry_out(wanted)

    @handler
    def due(self, msg: AlarmDue) -> None:
        """Call the machine at the time that it asked for."""
        self._carry_out(self.machine.tick(self.ctx.clock.now()))

    @handler
    def session_lost(self, msg: SessionLost) -> None:
        """Have the machine probe a node whose session has failed."""
        self._carry_out(self.machine.session_lost(msg.node, self.ctx.clock.now()))

    @handler
    def health_report(self, msg: HealthReport) -> None:
        """Pass what the process has measured of itself to the machine."""
        measured = ProcessHealth(msg.loop_lag_s, msg.gc_pause_s, msg.mailbox_depth)
        self._carry_out(self.machine.report_health(measured, self.ctx.clock.now()))

    @handler
    def contact(self, msg: ContactEndpoint) -> None:
        """Contact a node that was found and may be of this cluster."""
        self._carry_out(self.machine.contact(msg.endpoint, self.ctx.clock.now()))

    @handler
    def own_endpoint_found(self, msg: OwnEndpointFound) -> None:
        """Take note that this node has dialled itself: the seeds name it by a host name, or by another address."""
        self._carry_out(self.machine.recognise(msg.endpoint, self.ctx.clock.now()))

    @handler
    def mark_down(self, msg: MarkDown) -> bool:
        """Take a member down; the reply is whether there was one."""
        known = self.machine.record(msg.name)
        found = known is not None and not known.is_over
        if found:
            self._notice("split_brain", f"{msg.name} is taken down: {msg.reason}")
            self._carry_out(self.machine.down(msg.name, msg.reason, self.ctx.clock.now()))
        return found

    @handler(reentrant=True)
    async def begin_leave(self, msg: BeginLeave) -> None:
        """Leave, and reply when the leave has been gossiped."""
        if self.machine.is_over:
            return
        if self._left is None:
            self._left = self.ctx.loop.create_future()
            self._carry_out(self.machine.leave(self.ctx.clock.now()))
        await asyncio.shield(self._left)

    @handler
    def rejoin(self, msg: Rejoin) -> None:
        """Join again as another generation, after this node was taken down and its actors were stopped."""
        now = self.ctx.clock.now()
        self.machine = self.cluster.create_membership(now)
        self.cluster.tell_parts(msg)
        self._carry_out(self.machine.start(now))

    @handler
    def update_metadata(self, msg: UpdateMetadata) -> None:
        """Publish other metadata of this node."""
        self._carry_out(self.machine.update(msg.metadata, self.ctx.clock.now()))

    # --- round trips -------------------------------------------------------------------------------------------------

    def _pinged(self, ping: Ping) -> None:
        """Note when a member was pinged; a second ping of one probe makes its time ambiguous (Karn's rule)."""
        if len(self._pings) >= PINGS_MAX:
            self._pings.clear()
        known = ping.sequence in self._pings
        self._pings[ping.sequence] = ("" if known else ping.target, self.ctx.clock.now())

    def _acknowledged(self, ack: Ack) -> None:
        target, at = self._pings.pop(ack.sequence, ("", 0.0))
        if target == ack.source:
            self.cluster.round_trips.add(target, self.ctx.clock.now() - at)

    # --- effects -----------------------------------------------------------------------------------------------------

    def _carry_out(self, wanted: Sequence[Effect]) -> None:
        changed = False
        records: list[Member] = []
        for effect in wanted:
            try:
                if isinstance(effect, Send):
                    if isinstance(effect.packet, Ping):
                        self._pinged(effect.packet)
                    self.ctx.send_at(effect.to, ClusterPacket(effect.packet), reliable=effect.reliable)
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

    def _publish(self, effect: Publish) -> bool:
        """Publish an event; return whether it is about a member."""
        event = effect.event
        if isinstance(event, effects.MemberChange):
            self.cluster.publish(event)
            return True
        notice = member_info.notice_of(event)
        if notice is not None and isinstance(event, effects.SeedsSilent):
            why_unreached = self.node.network.join_reports.why
            notice = notice[0], f"{'; '.join(dict.fromkeys(map(why_unreached, event.seeds)))}: {notice[1]}"
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
            self.ctx.report(f"cluster {self.cluster.settings.name}: {text}")
        self.ctx.events.publish(ClusterNotice(kind, text))

    def _ended(self, event: Ended) -> None:
        if self._left is not None and not self._left.done():
            self._left.set_result(None)
        if event.reason != "left":
            self.cluster.on_downed(event.detail)
