"""``Membership``: SWIM with Lifeguard for one node, as a state machine (PURE).

Each public method is one event: it takes the time in seconds and returns the effects, in order.  ``wake_at`` is the
time at which ``tick`` is to be called; a tick that comes too early does nothing.  Random numbers are passed in.

Invariants:
1. The same machine, events, times and random numbers give the same effects.
2. The time may stand still, jump ahead or fall back: no member is declared unreachable for it.
3. A packet causes a bounded number of packets: an answer, a round of gossip that was due, and notices to the accused.
4. After the event that published ``Ended`` the machine sends and publishes nothing.

Sources: the SWIM paper, the Lifeguard paper, memberlist; ``docs/internals/membership.md`` says where this differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import cast

from .... import InvalidOption
from .dissemination import Dissemination
from .effects import (
    ClockJumped,
    Effect,
    Ended,
    HealthChanged,
    Implausible,
    OtherCluster,
    ProcessHealth,
    Send,
)
from .failure_detector import FailureDetector
from .local_health import LocalHealth
from .packets import TEXT_BYTES_MAX, Ack, Digest, Gossip, IndirectPing, Nack, Packet, Ping, Refusal, Sync
from .push_pull import PushPull
from .records import Accusation, Member, Status, Update
from .settings import SwimSettings
from .view import MembershipView

STRANGERS_MAX = 100
"""Nodes of other clusters whose names are remembered, so that each is reported once a minute."""
REPORT_AGAIN_S = 60.0
"""Seconds until a node of another cluster is reported again."""


class Membership:
    """One node's membership of one cluster.

    me: this node's record: name, endpoint, generation, metadata, versions.  cluster: the name of the cluster.
    seeds: endpoints to join through; with none, or when this node is one of them, it founds the cluster.
    chance: returns random numbers in [0, 1).  now: the time at which the machine is made, in seconds.
    rejoins: whether this node was taken down before; then it founds no cluster, and admits no newcomer before it has
        been admitted itself, so that nodes that were taken down do not form a cluster of their own.
    node_problem: returns why a name and an endpoint that a packet or a record tells are those of no node, in one
        clause, and an empty text when they may be; nothing is sent to an endpoint before this check.
    Raises ``InvalidOption`` for a name, an endpoint or a cluster name that is empty or over ``TEXT_BYTES_MAX``, and for
    metadata over ``metadata_bytes_max``.
    """

    __slots__ = (
        "_chance", "_dissemination", "_failure_detector", "_leave_at", "_now", "_on", "_push_pull", "_reported_at",
        "_score_published", "_sent_by", "_settings", "_view", "cluster", "health", "wake_at",
    )  # fmt: skip

    def __init__(
        self,
        me: Member,
        *,
        cluster: str,
        seeds: Sequence[str] = (),
        settings: SwimSettings,
        chance: Callable[[], float],
        now: float = 0.0,
        rejoins: bool = False,
        node_problem: Callable[[str, str], str] = lambda _name, _endpoint: "",
    ) -> None:
        for what, text in (("name", me.name), ("endpoint", me.endpoint), ("cluster", cluster)):
            if not 0 < len(text.encode()) <= TEXT_BYTES_MAX:
                raise InvalidOption(f"{me.name}: {what}={text!r} must have 1 to {TEXT_BYTES_MAX} bytes")
        _check_metadata(me.name, me.metadata, settings)
        self.cluster, self._settings, self._chance = cluster, settings, chance
        self._view = MembershipView(me, settings, chance, node_problem)
        self._push_pull = PushPull(self._view, cluster, seeds, settings, chance, rejoins=rejoins)
        self.health = LocalHealth(settings)
        self._now, self.wake_at = now, inf
        self._dissemination = Dissemination(self._view, cluster, settings, chance)
        self._failure_detector = FailureDetector(self._view, self._dissemination, self.health, cluster, settings)
        self._score_published, self._leave_at = 0, inf
        self._sent_by = ""  # the node whose packet is being taken in
        self._reported_at: dict[str, float] = {}  # by the names of nodes of other clusters
        self._on = {
            Ping: self._ping, Ack: self._ack, Nack: self._nack, IndirectPing: self._indirect_ping,
            Gossip: self._gossip_in, Sync: self._push_pull.sync, Refusal: self._push_pull.refused,
            Digest: self._push_pull.compare,
        }  # fmt: skip

    # -- reading -------------------------------------------------------------------------------------------------------

    @property
    def me(self) -> Member:
        """This node's own record."""
        return self._view.me

    @property
    def is_joined(self) -> bool:
        """Whether this node has been admitted, or founded the cluster."""
        return self._view.joined

    @property
    def is_over(self) -> bool:
        """Whether ``Ended`` was published."""
        return self._view.ended

    @property
    def present(self) -> int:
        """The number of members that are alive or suspected, this one included."""
        return self._view.present

    def members(self) -> list[Member]:
        """Return the members that are alive, suspected or unreachable, this node too; one for each name."""
        return [member for member in self._view.members.values() if not member.is_over]

    def record(self, name: str) -> Member | None:
        """Return the record that holds a name, perhaps of a member that is over; None for a name that is not known."""
        return self._view.members.get(name)

    def records(self) -> dict[str, Member]:
        """Return the record that holds each name, those of members that are over included."""
        return dict(self._view.members)

    def all_records(self) -> list[Member]:
        """Return all records: of a name that was used again, those of its earlier generations too."""
        return list(self._view.all_records())

    def ended(self) -> list[Member]:
        """Return the records of members that have left or are down, the last to end last."""
        records = [self._view.get(key) for key in self._view.gone]
        return [record for record in records if record is not None and record.is_over]

    def suspicion(self, name: str) -> float:
        """Return the suspicion of a member: 0 for none, below 1 while it may refute, 1 when it is gone or unknown."""
        member = self._view.members.get(name)
        if member is None or not member.is_present:
            return 1.0
        return self._view.suspicions.level(name, self._now)

    # -- events from this node -----------------------------------------------------------------------------------------

    def start(self, now: float) -> list[Effect]:
        """Join, or found a cluster."""
        self._now = now
        self._view.schedule.rest(now + self._chance() * self._settings.probe_interval_s)
        self._push_pull.start(now)
        return self._finish(now)

    def acquaint(self, records: Sequence[Member], now: float) -> list[Effect]:
        """Take in records from another source (a restarted manager, a test); they are not gossiped on."""
        for record in records:
            self._view.receive(record, self.me.name, now, spread=False)
        self._push_pull.settled()
        return self._finish(now)

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        if self._view.ended:
            return []
        self._check_clock(now)
        view = self._view
        if view.suspicions.wake_at <= now:
            view.expire(now)
        if self._failure_detector.wake_at <= now:
            self._failure_detector.tick(now)
        if self._push_pull.wake_at <= now:
            self._push_pull.tick(now)
        return self._finish(now)

    def update(self, metadata: bytes, now: float) -> list[Effect]:
        """Change this node's metadata and gossip it.  Raises ``InvalidOption`` above ``metadata_bytes_max``."""
        _check_metadata(self.me.name, metadata, self._settings)
        me = self._view.me
        if not self._view.ended and not me.is_over and metadata != me.metadata:
            self._view.become(me.next_incarnation(me.incarnation, metadata))
        return self._finish(now)

    def leave(self, now: float) -> list[Effect]:
        """Leave in order.  ``Ended`` follows when the leave has been gossiped, or after ``leave_s``."""
        view = self._view
        if not view.ended and not view.me.is_over:
            view.become(view.me.become(Status.LEFT))
            self._leave_at = now + self._settings.leave_s
            for endpoint in self._push_pull.asked if not view.joined else ():
                view.effects.append(Send(endpoint, Gossip(self.cluster, view.me.name, (view.me,)), reliable=True))
            view.schedule.rest(inf)
            self._push_pull.stop()
        return self._finish(now)

    def down(self, name: str, reason: str, now: float) -> list[Effect]:
        """Take a member down for good; it may be this node.  A name that is unknown or over is ignored.

        reason: one sentence, which all members publish; cut to ``REASON_BYTES_MAX``.
        """
        view = self._view
        record = view.take_down(name, reason, now)
        if record is not None and name != view.me.name:
            view.notices.append((record.endpoint, record))
        return self._finish(now)

    def report_health(self, measured: ProcessHealth, now: float) -> list[Effect]:
        """Take in what the process has measured of itself: the node trusts its own probes less, or more again."""
        self.health.decay(now)
        self.health.report(measured, now)
        return self._finish(now)

    def contact(self, endpoint: str, now: float) -> list[Effect]:
        """Join through the node at this endpoint, or compare views with it; it may turn out to be no member."""
        if not self._view.ended and not self._view.me.is_over and endpoint != self.me.endpoint:
            self._push_pull.contact(endpoint)
        return self._finish(now)

    def recognise(self, endpoint: str, now: float) -> list[Effect]:
        """Take note that this node itself listens at an endpoint, under another name or address than its own."""
        self._push_pull.recognise(endpoint, now)
        return self._finish(now)

    def session_lost(self, name: str, now: float) -> list[Effect]:
        """The session to a member has failed: probe it at once."""
        schedule = self._view.schedule
        member = self._view.members.get(name)
        if member is not None and member.is_present and name != self.me.name and not self._view.ended:
            schedule.probe_soon(name)
            if schedule.stage == "idle" and self._leave_at == inf:
                schedule.rest(now)
        return self._finish(now)

    # -- packets -------------------------------------------------------------------------------------------------------

    def receive(self, packet: Packet, now: float, by: str | None = None) -> list[Effect]:
        """Take in a packet.

        by: the name of the node that sent it here, where that is not its source, as with an answer that a helper passes
            on; None for the source.
        """
        if self._view.ended:
            return []
        self._check_clock(now)
        if problem := self._packet_problem(packet):
            self._view.publish(Implausible(packet.source[:TEXT_BYTES_MAX], packet.source[:TEXT_BYTES_MAX], problem))
        elif packet.cluster != self.cluster:
            self._other_cluster(packet, now)
        else:
            handle = cast("Callable[[Packet, float], None]", self._on[type(packet)])
            self._sent_by = packet.source if by is None else by
            handle(packet, now)
        return self._finish(now)

    def _packet_problem(self, packet: Packet) -> str:
        """Return why a packet is dropped, for the names and endpoints that it tells; empty when it is not."""
        view, me = self._view, self._view.me
        if problem := view.text_problem(packet.source, getattr(packet, "endpoint", me.endpoint)):
            return problem
        if isinstance(packet, Ping):
            return view.text_problem(packet.target, me.endpoint)
        return view.text_problem(packet.target, packet.target_endpoint) if isinstance(packet, IndirectPing) else ""

    def _ping(self, packet: Ping, now: float) -> None:
        view = self._view
        if packet.target != view.me.name:
            return
        self._dissemination.note_session(packet.source)
        if packet.updates:
            self._receive(packet.updates, packet.source, now)
        if any(type(update) is Accusation and update.name == view.me.name for update in packet.updates):
            # A node that pings a suspect gets the refutation at once, even if it was gossiped to all others long ago.
            updates: tuple[Update, ...] = (view.me,)
        else:
            updates = self._dissemination.piggyback(packet.source, packet.endpoint)
        answer = Ack(self.cluster, view.me.name, packet.sequence, updates)
        view.effects.append(Send(packet.endpoint, answer, packet.by_stream))

    def _ack(self, packet: Ack, now: float) -> None:
        if packet.updates and self._sent_by == packet.source:
            self._receive(packet.updates, packet.source, now)
        self._failure_detector.acked(packet, self._sent_by)

    def _nack(self, packet: Nack, now: float) -> None:
        self._failure_detector.nacked(packet)

    def _indirect_ping(self, packet: IndirectPing, now: float) -> None:
        self._dissemination.note_session(packet.source)
        if packet.updates:
            self._receive(packet.updates, packet.source, now)
        self._failure_detector.ping_for(packet, now)

    def _gossip_in(self, packet: Gossip, now: float) -> None:
        self._receive(packet.updates, packet.source, now)

    def _receive(self, updates: Sequence[Update], source: str, now: float) -> None:
        view = self._view
        members = view.members
        for update in updates:
            if type(update) is Accusation:
                view.accuse(update, now)
            elif members.get(update.name) is not update:
                view.receive(cast("Member", update), source, now)

    def _other_cluster(self, packet: Packet, now: float) -> None:
        if now >= self._reported_at.get(packet.source, -inf) + REPORT_AGAIN_S:
            if len(self._reported_at) >= STRANGERS_MAX:
                self._reported_at.clear()
            self._reported_at[packet.source] = now
            self._view.publish(OtherCluster(packet.source, packet.cluster))
        if isinstance(packet, Sync) and packet.joining:
            text = f"this is cluster {self.cluster!r}, not {packet.cluster!r}"
            refusal = Refusal(packet.cluster, self._view.me.name, "cluster", text)
            self._view.effects.append(Send(packet.endpoint, refusal))

    def _leave_is_out(self, now: float) -> bool:
        """Return whether the leave was gossiped often enough, or its time is over."""
        view = self._view
        return now >= self._leave_at or view.present <= 1 or not view.broadcasts.holds(view.me.id)

    # -- time ----------------------------------------------------------------------------------------------------------

    def _check_clock(self, now: float) -> None:
        """Detect a pause of this node or a jump of its clock, in which the silence of others proves nothing."""
        leap_s = self._settings.leap_s
        if now > self.wake_at + leap_s or now < self._now - leap_s:
            gap_s = now - (self.wake_at if now > self._now else self._now)
            view, settings = self._view, self._settings
            self.health.report(ProcessHealth(loop_lag_s=abs(gap_s)), now)
            view.suspicions.restart(now)
            view.gone = dict.fromkeys(view.gone, now)
            self._failure_detector.clock_jumped(now + self._chance() * settings.probe_interval_s)
            self._dissemination.due_after = min(self._dissemination.due_after, now + settings.gossip_interval_s)
            if self._leave_at < inf:
                self._leave_at = now + settings.leave_s
            self._push_pull.clock_jumped(now)
            view.publish(ClockJumped(gap_s))
        self._now = now

    def _finish(self, now: float) -> list[Effect]:
        """Do what every event ends with: gossip and notices that are due, the next wake-up; return the effects."""
        view, push_pull, dissemination = self._view, self._push_pull, self._dissemination
        if view.doubted:
            dissemination.notify_doubted()
        for endpoint, update in view.notices:
            view.effects.append(Send(endpoint, Gossip(self.cluster, view.me.name, (update,)), reliable=True))
        view.notices.clear()
        if not view.ended:
            if view.broadcasts and now >= dissemination.due_after and view.present > 1:
                dissemination.gossip(now)
            if self._leave_at < inf and self._leave_is_out(now):
                view.end(Ended("left", f"{view.me.name} has left the cluster {self.cluster!r}"))
            push_pull.check_growth(now)
            wake_at = min(self._failure_detector.wake_at, view.suspicions.wake_at, push_pull.wake_at, self._leave_at)
            if view.broadcasts and dissemination.due_after < wake_at and view.present > 1:
                wake_at = dissemination.due_after
            # What is overdue, such as a suspicion that was just confirmed, is due now; that is no jump of the clock.
            self.wake_at = max(now, wake_at)
        if view.ended:
            self.wake_at = inf
        if self.health.score != self._score_published:
            self._score_published = self.health.score
            view.publish(HealthChanged(self.health.score))
        effects, view.effects = view.effects, []
        return effects


def _check_metadata(name: str, metadata: bytes, settings: SwimSettings) -> None:
    if len(metadata) > settings.metadata_bytes_max:
        limit = f"metadata_bytes_max={settings.metadata_bytes_max}"
        raise InvalidOption(
            f"{name}: metadata of {len(metadata)} bytes is over {limit}; shorten it, or raise the limit"
        )
