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

from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import cast

from ....runtime.kernel.errors import InvalidOption
from .effects import (
    ClockLeapt,
    Effect,
    Ended,
    HealthChanged,
    OtherCluster,
    Send,
    Strained,
)
from .health import Health
from .joining import Joining
from .packets import TEXT_BYTES_MAX, Ack, Gossip, IndirectPing, Nack, Packet, Ping, Refusal, Sync, text_bytes
from .prober import sample
from .records import Accusation, Member, Status, Update
from .settings import SwimSettings
from .view import View

NOTICES_MAX = 64
"""Accused members that are told of it after one packet."""
OTHERS_MAX = 100
"""Nodes of other clusters that are remembered, so that each is told of only once a minute."""
OTHERS_AGAIN_S = 60.0


class Membership:
    """One node's membership of one cluster.  See the top of the file.

    me: this node: name, endpoint, life, metadata, versions.  cluster: its name.  seeds: endpoints to join through; with
    none, or when this node is one of them, it is a cluster by itself until others come.  chance: random numbers in
    [0, 1).  now: the time at which it is made.
    """

    __slots__ = (
        "_chance", "_gossip_after", "_joining", "_leave_at", "_next_probe_at", "_now", "_on", "_others", "_relays",
        "_room", "_score_told", "_sequence", "_settings", "_view", "_warm", "_warm_place", "cluster", "health",
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
    ) -> None:
        for what, text in (("name", me.name), ("endpoint", me.endpoint), ("cluster", cluster)):
            if not 0 < len(text.encode()) <= TEXT_BYTES_MAX:
                raise InvalidOption(f"{me.name}: {what}={text!r} must have 1 to {TEXT_BYTES_MAX} bytes")
        _check_metadata(me.name, me.metadata, settings)
        self.cluster, self._settings, self._chance = cluster, settings, chance
        self._view = View(me, settings, chance, now)
        self._joining = Joining(self._view, cluster, seeds, settings, chance)
        self.health = Health(settings)
        self._now, self.wake_at = now, inf
        self._sequence = self._score_told = 0
        self._gossip_after, self._leave_at = -inf, inf
        self._relays: deque[tuple[float, int, str, int]] = deque()
        self._others: dict[str, float] = {}
        self._warm: list[str] = []
        self._warm_place = 0
        fixed = 64 + text_bytes(cluster) + text_bytes(me.name) + text_bytes(me.endpoint)
        self._room = settings.packet_bytes_max - fixed
        self._on = {
            Ping: self._ping, Ack: self._ack, Nack: self._nack, IndirectPing: self._indirect_ping,
            Gossip: self._gossip_in, Sync: self._joining.sync, Refusal: self._joining.refused,
        }  # fmt: skip

    # -- looking -------------------------------------------------------------------------------------------------------

    @property
    def me(self) -> Member:
        """This node's own record."""
        return self._view.me

    @property
    def is_joined(self) -> bool:
        """Whether this node has been taken in, or stands alone by its own will."""
        return self._joining.joined

    @property
    def is_over(self) -> bool:
        """Whether ``Ended`` was told."""
        return self._view.ended

    def members(self) -> list[Member]:
        """Everybody who belongs to the cluster, this node included: alive, suspected or unreachable; not who is over."""
        return [member for member in self._view.members.values() if not member.is_over]

    def records(self) -> dict[str, Member]:
        """All that is known, those who are over included."""
        return dict(self._view.members)

    def suspicion(self, name: str) -> float:
        """How strongly a member is suspected: 0 not at all, below 1 while it may refute, 1 when it is gone or unknown."""
        member = self._view.members.get(name)
        if member is None or not member.is_present:
            return 1.0
        return self._view.suspicions.level(name, self._now)

    # -- events from this node -----------------------------------------------------------------------------------------

    def start(self, now: float) -> list[Effect]:
        """Join, or stand alone."""
        self._now = now
        self._view.prober.rest(now + self._chance() * self._settings.probe_interval_s)
        self._joining.start(now)
        return self._finish(now)

    def acquaint(self, records: Sequence[Member], now: float) -> list[Effect]:
        """Take in what is known from elsewhere (a file of the last run, a test); it is not gossiped on."""
        for record in records:
            self._view.hear(record, self.me.name, now, spread=False)
        self._joining.settled()
        return self._finish(now)

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        if self._view.ended:
            return []
        self._look_at_clock(now)
        view = self._view
        if view.suspicions.wake_at <= now:
            view.expire(now)
        if view.prober.wake_at <= now:
            self._step_probe(now)
        while self._relays and self._relays[0][0] <= now:
            _, _, origin, sequence = self._relays.popleft()
            if self._settings.lifeguard:
                view.effects.append(Send(origin, Nack(self.cluster, view.me.name, sequence)))
        if self._joining.wake_at <= now:
            self._joining.tick(now)
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
            for endpoint in self._joining.asked if not self._joining.joined else ():
                view.effects.append(Send(endpoint, Gossip(self.cluster, view.me.name, (view.me,)), reliable=True))
            view.prober.rest(inf)
            self._joining.rest()
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

    def strained(self, evidence: Strained, now: float) -> list[Effect]:
        """The process is not well, or well again: its own probes are trusted less before any of them has failed."""
        self.health.wear(now)
        self.health.strained(evidence, now)
        return self._finish(now)

    def link_lost(self, name: str, now: float) -> list[Effect]:
        """A link to a member broke: probe it at once.  It is a hint and no more."""
        prober = self._view.prober
        member = self._view.members.get(name)
        if member is not None and member.is_present and name != self.me.name and not self._view.ended:
            prober.hurry(name)
            if prober.stage == "idle" and self._leave_at == inf:
                prober.rest(now)
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
        self._meet(packet.source)
        if packet.updates:
            self._hear(packet.updates, packet.source, now)
        answer = Ack(self.cluster, view.me.name, packet.sequence, self._ride(packet.source, packet.endpoint))
        view.effects.append(Send(packet.endpoint, answer))

    def _ack(self, packet: Ack, now: float) -> None:
        if packet.updates:
            self._hear(packet.updates, packet.source, now)
        if self._view.prober.acked(packet.sequence):
            self.health.probed(-1)
            return
        for place, (_, sequence, origin, origin_sequence) in enumerate(self._relays):
            if sequence == packet.sequence:
                del self._relays[place]
                self._view.effects.append(Send(origin, Ack(self.cluster, packet.source, origin_sequence)))
                return

    def _nack(self, packet: Nack, now: float) -> None:
        self._view.prober.nacked(packet.sequence)

    def _indirect_ping(self, packet: IndirectPing, now: float) -> None:
        self._meet(packet.source)
        if packet.updates:
            self._hear(packet.updates, packet.source, now)
        self._sequence += 1
        nack_at = now + self._settings.nack_fraction * self._settings.probe_timeout_s
        self._relays.append((nack_at, self._sequence, packet.endpoint, packet.sequence))
        me = self._view.me
        ping = Ping(self.cluster, me.name, me.endpoint, packet.target, self._sequence)
        self._view.effects.append(Send(packet.target_endpoint, ping))

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

    # -- probing -------------------------------------------------------------------------------------------------------

    def _step_probe(self, now: float) -> None:
        prober = self._view.prober
        if prober.stage == "direct":
            self._probe_indirectly(now)
            return
        if prober.stage == "indirect":
            self._verdict(now)
        self.health.wear(now)
        interval_s = self.health.scale(self._settings.probe_interval_s)
        target = prober.next_target(self._is_probed)
        if target is None:
            prober.rest(now + interval_s)
            return
        self._sequence += 1
        timeout_s = self.health.scale(self._settings.probe_timeout_s)
        prober.begin(target, self._sequence, now, timeout_s, interval_s)
        self._meet(target)
        self._send_ping(self._view.members[target], reliable=False)

    def _send_ping(self, member: Member, *, reliable: bool) -> None:
        me = self._view.me
        updates = self._ride(member.name, member.endpoint)
        if member.status is Status.SUSPECT and self._settings.lifeguard:
            # The buddy system: the suspect hears of it first, from whoever pings it (Lifeguard, IV.C).
            updates = (Accusation(member.name, member.life, member.refutation, me.name), *updates)
        ping = Ping(self.cluster, me.name, me.endpoint, member.name, self._view.prober.sequence, updates)
        self._view.effects.append(Send(member.endpoint, ping, reliable))

    def _probe_indirectly(self, now: float) -> None:
        view, settings = self._view, self._settings
        prober, members = view.prober, view.members
        target = members.get(prober.target)
        if target is None:
            prober.rest()
            return
        helpers = self._sample(settings.indirect_probes, lambda name: self._helps(name, target.name))
        prober.go_indirect(len(helpers) if settings.lifeguard else 0)
        me = view.me
        for name in helpers:
            endpoint = members[name].endpoint
            asked = IndirectPing(
                self.cluster, me.name, me.endpoint, target.name, target.endpoint, prober.sequence,
                self._ride(name, endpoint, target.endpoint),
            )  # fmt: skip
            view.effects.append(Send(endpoint, asked))
        if settings.stream_fallback:
            self._send_ping(target, reliable=True)

    def _verdict(self, now: float) -> None:
        """Nobody has heard of the target within the interval."""
        prober, view = self._view.prober, self._view
        self.health.probed(prober.nacks_due - prober.nacks if prober.nacks_due else 1)
        target = view.members.get(prober.target)
        if target is not None and target.is_present:
            # It has been silent since before its first ping timed out, and its time to refute counts from there.
            silent_s = self._settings.probe_interval_s - self._settings.probe_timeout_s
            accusation = Accusation(target.name, target.life, target.refutation, view.me.name)
            view.accuse(accusation, now, silent_s=silent_s)

    def _is_probed(self, name: str) -> bool | None:
        member = self._view.members.get(name)
        if member is None or not member.is_present:
            return None
        return member is not self._view.me

    def _helps(self, name: str, target: str) -> bool:
        member = self._view.members.get(name)
        return member is not None and member.status is Status.ALIVE and name not in (self._view.me.name, target)

    # -- gossip --------------------------------------------------------------------------------------------------------

    def _gossip(self, now: float) -> None:
        view, settings = self._view, self._settings
        self._gossip_after = now + settings.gossip_interval_s
        me = view.me
        for name in self._sample(settings.gossip_nodes, lambda name: self._is_told(name, now)):
            endpoint = view.members[name].endpoint
            updates = self._ride(name, endpoint)
            if not updates:
                return
            view.effects.append(Send(endpoint, Gossip(self.cluster, me.name, updates)))

    def _is_told(self, name: str, now: float) -> bool:
        member = self._view.members.get(name)
        if member is None or member is self._view.me:
            return False
        if member.is_present:
            return True
        return member.status is Status.UNREACHABLE and now < self._view.gone[name] + self._settings.gossip_to_dead_s

    def _ride(self, *texts: str) -> tuple[Update, ...]:
        """News that fit into a packet besides these texts."""
        broadcasts = self._view.broadcasts
        if not broadcasts:
            return ()
        return broadcasts.take(self._room - sum(map(text_bytes, texts)))

    def _meet(self, name: str) -> None:
        """A member with whom a link stands now."""
        if len(self._warm) < self._settings.warm_peers:
            self._warm.append(name)
        elif self._warm:
            self._warm[self._warm_place] = name
            self._warm_place = (self._warm_place + 1) % len(self._warm)

    def _sample(self, count: int, fits: Callable[[str], bool]) -> Sequence[str]:
        """Up to so many fitting members, from those met lately where that gives enough."""
        warm, chance, prober = self._warm, self._chance, self._view.prober
        if len(warm) >= min(self._settings.warm_peers, self._view.present // 2) > 0:
            found = sample(count, 3 * count, lambda: warm[int(chance() * len(warm))], fits)
            if len(found) == count:
                return found
        return sample(count, 3 * self._view.present, prober.pick, fits)

    def _tell_doubted(self) -> None:
        """Whoever is held to be dead elsewhere, and not here, is told of it and refutes."""
        view = self._view
        doubted, view.doubted = view.doubted, []
        skipped = max(0, len(doubted) - NOTICES_MAX)
        first = int(self._chance() * (skipped + 1))
        for member, source in doubted[first : first + NOTICES_MAX]:
            accusation = Accusation(member.name, member.life, member.refutation, source)
            view.effects.append(Send(member.endpoint, Gossip(self.cluster, view.me.name, (accusation,))))
            view.prober.hurry(member.name)

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
            self.health.strained(Strained(loop_lag_s=abs(gap_s)), now)
            view.suspicions.restart(now)
            self._relays.clear()
            view.gone = dict.fromkeys(view.gone, now)
            if view.prober.wake_at < inf:
                view.prober.rest(now + self._chance() * settings.probe_interval_s)
            self._gossip_after = min(self._gossip_after, now + settings.gossip_interval_s)
            self._leave_at = min(self._leave_at, now + settings.leave_s)
            self._joining.leapt(now)
            view.tell(ClockLeapt(gap_s))
        self._now = now

    def _finish(self, now: float) -> list[Effect]:
        """After each event: what is due at once, and when to wake."""
        view, joining = self._view, self._joining
        if view.doubted:
            self._tell_doubted()
        if view.ended:
            self.wake_at = inf
        else:
            if view.broadcasts and now >= self._gossip_after and view.present > 1:
                self._gossip(now)
            if self._leave_at < inf and self._leave_is_out(now):
                view.end(Ended("left", f"{view.me.name} has left the cluster {self.cluster!r}"))
            joining.look_at_growth(now)
            wake_at = min(view.prober.wake_at, view.suspicions.wake_at, joining.wake_at, self._leave_at)
            if self._relays and self._relays[0][0] < wake_at:
                wake_at = self._relays[0][0]
            if view.broadcasts and self._gossip_after < wake_at and view.present > 1:
                wake_at = max(now, self._gossip_after)
            self.wake_at = wake_at
        if self.health.score != self._score_told:
            self._score_told = self.health.score
            view.tell(HealthChanged(self.health.score))
        effects, view.effects = view.effects, []
        return effects


def _check_metadata(name: str, metadata: bytes, settings: SwimSettings) -> None:
    if len(metadata) > settings.metadata_bytes_max:
        limit = f"metadata_bytes_max={settings.metadata_bytes_max}"
        raise InvalidOption(f"{name}: metadata of {len(metadata)} bytes is over {limit}; say less, or raise the limit")
