"""``Membership``: one node's part in SWIM with Lifeguard, as a state machine (PURE).

Each public method is one event: it takes the time in seconds and returns the effects, in order.  ``wake_at`` says when
``tick`` is wanted; a tick that comes too early does nothing.  Chance comes in from outside.

Laws of this file:
1. The same machine, events, times and chance give the same effects.
2. The time may stand still, leap ahead or fall back: no member is declared unreachable for it.
3. A packet makes a bounded number of packets: an answer, what gossip was due anyway, and notices to the accused.
4. After ``Ended`` nothing is sent and nothing is told.

Sources: the SWIM paper, the Lifeguard paper, memberlist; ``docs/internals/membership.md`` says where this differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import cast

from ....runtime.kernel.errors import InvalidOption
from .dissemination import Dissemination
from .effects import (
    ClockLeapt,
    Effect,
    Ended,
    HealthChanged,
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

OTHERS_MAX = 100
"""Nodes of other clusters that are remembered, so that each is told of only once a minute."""
OTHERS_AGAIN_S = 60.0


class Membership:
    """One node's membership of one cluster.  See the top of the file.

    me: this node: name, endpoint, life, metadata, versions.  cluster: its name.  seeds: endpoints to join through; with
    none, or when this node is one of them, it is a cluster by itself until others come.  chance: random numbers in
    [0, 1).  now: the time at which it is made.  rejoins: it was thrown out of the cluster: it founds none, and takes
    nobody in before it has been taken in again, so that those who were thrown out do not make a cluster of their own.
    """

    __slots__ = (
        "_chance",
        "_dissemination",
        "_failure_detector",
        "_leave_at",
        "_now",
        "_on",
        "_others",
        "_push_pull",
        "_score_told",
        "_settings",
        "_view",
        "cluster",
        "health",
        "wake_at",
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
    ) -> None:
        for what, text in (("name", me.name), ("endpoint", me.endpoint), ("cluster", cluster)):
            if not 0 < len(text.encode()) <= TEXT_BYTES_MAX:
                raise InvalidOption(f"{me.name}: {what}={text!r} must have 1 to {TEXT_BYTES_MAX} bytes")
        _check_metadata(me.name, me.metadata, settings)
        self.cluster, self._settings, self._chance = cluster, settings, chance
        self._view = MembershipView(me, settings, chance, now)
        self._push_pull = PushPull(self._view, cluster, seeds, settings, chance, waits=rejoins)
        self.health = LocalHealth(settings)
        self._now, self.wake_at = now, inf
        self._dissemination = Dissemination(self._view, cluster, settings, chance)
        self._failure_detector = FailureDetector(self._view, self._dissemination, self.health, cluster, settings)
        self._score_told, self._leave_at = 0, inf
        self._others: dict[str, float] = {}
        self._on = {
            Ping: self._ping, Ack: self._ack, Nack: self._nack, IndirectPing: self._indirect_ping,
            Gossip: self._gossip_in, Sync: self._push_pull.sync, Refusal: self._push_pull.refused,
            Digest: self._push_pull.compare,
        }  # fmt: skip

    # -- looking -------------------------------------------------------------------------------------------------------

    @property
    def me(self) -> Member:
        """This node's own record."""
        return self._view.me

    @property
    def is_joined(self) -> bool:
        """Whether this node has been taken in, or stands alone by its own will."""
        return self._push_pull.joined

    @property
    def is_over(self) -> bool:
        """Whether ``Ended`` was told."""
        return self._view.ended

    @property
    def present(self) -> int:
        """How many members take part, this one included: alive, or suspected."""
        return self._view.present

    def members(self) -> list[Member]:
        """Everybody who belongs to the cluster, this node too: alive, suspected or unreachable; not who is over."""
        return [member for member in self._view.members.values() if not member.is_over]

    def records(self) -> dict[str, Member]:
        """All that is known, those who are over included."""
        return dict(self._view.members)

    def record(self, name: str) -> Member | None:
        """Return the record of a name, also of a node that is no longer a member; None when there is none."""
        return self._view.members.get(name)

    def suspicion(self, name: str) -> float:
        """How strongly a member is suspected: 0 not at all, below 1 while it may refute, 1 when gone or unknown."""
        member = self._view.members.get(name)
        if member is None or not member.is_present:
            return 1.0
        return self._view.suspicions.level(name, self._now)

    # -- events from this node -----------------------------------------------------------------------------------------

    def start(self, now: float) -> list[Effect]:
        """Join, or stand alone."""
        self._now = now
        self._view.schedule.rest(now + self._chance() * self._settings.probe_interval_s)
        self._push_pull.start(now)
        return self._finish(now)

    def acquaint(self, records: Sequence[Member], now: float) -> list[Effect]:
        """Take in what is known from elsewhere (a file of the last run, a test); it is not gossiped on."""
        for record in records:
            self._view.hear(record, self.me.name, now, spread=False)
        self._push_pull.settled()
        return self._finish(now)

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        if self._view.ended:
            return []
        self._look_at_clock(now)
        view = self._view
        if view.suspicions.wake_at <= now:
            view.expire(now)
        if self._failure_detector.wake_at <= now:
            self._failure_detector.tick(now)
        if self._push_pull.wake_at <= now:
            self._push_pull.tick(now)
        return self._finish(now)

    def update(self, metadata: bytes, now: float) -> list[Effect]:
        """Change this node's metadata and spread it.  Raises ``InvalidOption`` above ``metadata_bytes_max``."""
        _check_metadata(self.me.name, metadata, self._settings)
        me = self._view.me
        if not self._view.ended and not me.is_over and metadata != me.metadata:
            self._view.become(
                Member(me.name, me.endpoint, me.life, me.refutation + 1, Status.ALIVE, metadata, me.versions)
            )
        return self._finish(now)

    def leave(self, now: float) -> list[Effect]:
        """Take leave: no failure.  ``Ended`` follows when the news is out, or after ``leave_s``."""
        view = self._view
        if not view.ended and not view.me.is_over:
            view.become(view.me.become(Status.LEFT))
            self._leave_at = now + self._settings.leave_s
            for endpoint in self._push_pull.asked if not self._push_pull.joined else ():
                view.effects.append(Send(endpoint, Gossip(self.cluster, view.me.name, (view.me,)), reliable=True))
            view.schedule.rest(inf)
            self._push_pull.rest()
        return self._finish(now)

    def down(self, name: str, now: float) -> list[Effect]:
        """Take a member down for good, itself too: somebody has decided so.  Unknown names and the gone are let be."""
        view = self._view
        known = view.members.get(name)
        view.take_down(name, now)
        if known is not None and known.name != view.me.name and not known.is_over:
            notice = Gossip(self.cluster, view.me.name, (view.members[name],))
            view.effects.append(Send(known.endpoint, notice, reliable=True))
        return self._finish(now)

    def strained(self, evidence: ProcessHealth, now: float) -> list[Effect]:
        """The process is not well, or well again: its own probes are trusted less before any of them has failed."""
        self.health.decay(now)
        self.health.strained(evidence, now)
        return self._finish(now)

    def meet(self, endpoint: str, now: float) -> list[Effect]:
        """Somebody may be of this cluster who listens at this endpoint: join through them, or make two clusters one."""
        if not self._view.ended and not self._view.me.is_over and endpoint != self.me.endpoint:
            self._push_pull.meet(endpoint)
        return self._finish(now)

    def session_lost(self, name: str, now: float) -> list[Effect]:
        """A link to a member broke: probe it at once.  It is a hint and no more."""
        schedule = self._view.schedule
        member = self._view.members.get(name)
        if member is not None and member.is_present and name != self.me.name and not self._view.ended:
            schedule.hurry(name)
            if schedule.stage == "idle" and self._leave_at == inf:
                schedule.rest(now)
        return self._finish(now)

    # -- packets -------------------------------------------------------------------------------------------------------

    def receive(self, packet: Packet, now: float) -> list[Effect]:
        """A packet came in, from whoever the link says it is from."""
        if self._view.ended:
            return []
        self._look_at_clock(now)
        if packet.cluster != self.cluster:
            self._other_cluster(packet, now)
        else:
            handle = cast("Callable[[Packet, float], None]", self._on[type(packet)])
            handle(packet, now)
        return self._finish(now)

    def _ping(self, packet: Ping, now: float) -> None:
        view = self._view
        if packet.target != view.me.name:
            return
        self._dissemination.meet(packet.source)
        if packet.updates:
            self._hear(packet.updates, packet.source, now)
        if any(type(update) is Accusation and update.name == view.me.name for update in packet.updates):
            # Whoever pings a suspect has its refutation at once, also one that was gossiped to all others long ago.
            updates: tuple[Update, ...] = (view.me,)
        else:
            updates = self._dissemination.ride(packet.source, packet.endpoint)
        answer = Ack(self.cluster, view.me.name, packet.sequence, updates)
        view.effects.append(Send(packet.endpoint, answer, packet.by_stream))

    def _ack(self, packet: Ack, now: float) -> None:
        if packet.updates:
            self._hear(packet.updates, packet.source, now)
        self._failure_detector.acked(packet)

    def _nack(self, packet: Nack, now: float) -> None:
        self._view.schedule.nacked(packet.sequence)

    def _indirect_ping(self, packet: IndirectPing, now: float) -> None:
        self._dissemination.meet(packet.source)
        if packet.updates:
            self._hear(packet.updates, packet.source, now)
        self._failure_detector.ping_for(packet, now)

    def _gossip_in(self, packet: Gossip, now: float) -> None:
        self._hear(packet.updates, packet.source, now)

    def _hear(self, updates: Sequence[Update], source: str, now: float) -> None:
        view = self._view
        members = view.members
        for update in updates:
            if type(update) is Accusation:
                view.accuse(update, now)
            elif members.get(update.name) is not update:
                view.hear(cast("Member", update), source, now)

    def _other_cluster(self, packet: Packet, now: float) -> None:
        if now >= self._others.get(packet.source, -inf) + OTHERS_AGAIN_S:
            if len(self._others) >= OTHERS_MAX:
                self._others.clear()
            self._others[packet.source] = now
            self._view.tell(OtherCluster(packet.source, packet.cluster))
        if isinstance(packet, Sync) and packet.joining:
            text = f"this is cluster {self.cluster!r}, not {packet.cluster!r}"
            refusal = Refusal(packet.cluster, self._view.me.name, "cluster", text)
            self._view.effects.append(Send(packet.endpoint, refusal))

    def _leave_is_out(self, now: float) -> bool:
        """Whether everybody has been told often enough that this node leaves, or there is no more time for it."""
        view = self._view
        return now >= self._leave_at or view.present <= 1 or not view.broadcasts.holds(view.me.name)

    # -- time ----------------------------------------------------------------------------------------------------------

    def _look_at_clock(self, now: float) -> None:
        """After a pause of this node, or a jump of its clock, what it missed says nothing of the others."""
        leap_s = self._settings.leap_s
        if now > self.wake_at + leap_s or now < self._now - leap_s:
            gap_s = now - (self.wake_at if now > self._now else self._now)
            view, settings = self._view, self._settings
            self.health.strained(ProcessHealth(loop_lag_s=abs(gap_s)), now)
            view.suspicions.restart(now)
            view.gone = dict.fromkeys(view.gone, now)
            self._failure_detector.leapt(now + self._chance() * settings.probe_interval_s)
            self._dissemination.due_after = min(self._dissemination.due_after, now + settings.gossip_interval_s)
            if self._leave_at < inf:
                self._leave_at = now + settings.leave_s
            self._push_pull.leapt(now)
            view.tell(ClockLeapt(gap_s))
        self._now = now

    def _finish(self, now: float) -> list[Effect]:
        """After each event: what is due at once, and when to wake."""
        view, joining, dissemination = self._view, self._push_pull, self._dissemination
        if view.doubted:
            self._dissemination.tell_doubted()
        if not view.ended:
            if view.broadcasts and now >= dissemination.due_after and view.present > 1:
                dissemination.gossip(now)
            if self._leave_at < inf and self._leave_is_out(now):
                view.end(Ended("left", f"{view.me.name} has left the cluster {self.cluster!r}"))
            joining.look_at_growth(now)
            wake_at = min(self._failure_detector.wake_at, view.suspicions.wake_at, joining.wake_at, self._leave_at)
            if view.broadcasts and dissemination.due_after < wake_at and view.present > 1:
                wake_at = dissemination.due_after
            # What is overdue, such as a suspicion that was just confirmed, is due now: that is no leap of the clock.
            self.wake_at = max(now, wake_at)
        if view.ended:
            self.wake_at = inf
        if self.health.score != self._score_told:
            self._score_told = self.health.score
            view.tell(HealthChanged(self.health.score))
        effects, view.effects = view.effects, []
        return effects


def _check_metadata(name: str, metadata: bytes, settings: SwimSettings) -> None:
    if len(metadata) > settings.metadata_bytes_max:
        limit = f"metadata_bytes_max={settings.metadata_bytes_max}"
        raise InvalidOption(f"{name}: metadata of {len(metadata)} bytes is over {limit}; say less, or raise the limit")
