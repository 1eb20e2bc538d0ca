"""``FailureDetector``: the pings of a node, its own and those that it makes for others (PURE).

SWIM's failure detector (section 3.1) with Lifeguard's additions: times grow with the health score, helpers without an
answer send a nack, and a node that pings a suspect tells it of the suspicion.

Difference from memberlist: the accuser tells the accused at once, by a reliable packet, and does not leave that to
gossip and to the next ping.
"""

from __future__ import annotations

from collections import deque
from math import inf

from .dissemination import Dissemination
from .effects import Send
from .local_health import LocalHealth
from .packets import Ack, Gossip, IndirectPing, Nack, Ping
from .records import Accusation, Member, Status
from .settings import SwimSettings
from .view import MembershipView

RELAYS_MAX = 1_000
"""The most pings for others that run at a time; further requests are ignored."""


class FailureDetector:
    """The probe of one node, and the pings that it makes for others; the view's ``schedule`` chooses the targets."""

    __slots__ = ("_cluster", "_dissemination", "_health", "_helpers", "_relays", "_sequence", "_settings", "_view")

    def __init__(
        self,
        view: MembershipView,
        dissemination: Dissemination,
        health: LocalHealth,
        cluster: str,
        settings: SwimSettings,
    ) -> None:
        self._view, self._dissemination, self._health = view, dissemination, health
        self._cluster, self._settings = cluster, settings
        self._sequence = 0
        # nack at, target, own sequence, origin, its sequence
        self._relays: deque[tuple[float, str, int, str, int]] = deque()
        self._helpers: frozenset[str] = frozenset()  # those that were asked to ping the target of the present probe

    @property
    def wake_at(self) -> float:
        """When ``tick`` is to be called."""
        relay_at = self._relays[0][0] if self._relays else inf
        return min(self._view.schedule.wake_at, relay_at)

    def tick(self, now: float) -> None:
        """Take the next step of the probe, and send the nacks that are due."""
        if self._view.schedule.wake_at <= now:
            self._step(now)
        while self._relays and self._relays[0][0] <= now:
            _, _, _, origin, sequence = self._relays.popleft()
            if self._settings.lifeguard:
                self._view.effects.append(Send(origin, Nack(self._cluster, self._view.me.name, sequence)))

    def clock_jumped(self, until: float) -> None:
        """Drop the probe and the pings for others: after a pause they prove nothing.  until: the next probe's time."""
        self._relays.clear()
        if self._view.schedule.wake_at < inf:
            self._view.schedule.rest(until)

    def acked(self, packet: Ack, by: str) -> None:
        """Take an answer to the probe, or to a ping for another node, to which it is passed on.

        by: the node that sent it here.  An answer of the target is believed from the target itself, and from the
            helpers that were asked to ping it.
        """
        schedule = self._view.schedule
        believed = by == packet.source or (schedule.stage == "indirect" and by in self._helpers)
        if believed and packet.source == schedule.target and schedule.acked(packet.sequence):
            self._health.probed(-1)
            return
        for place, (_, target, sequence, origin, origin_sequence) in enumerate(self._relays):
            if sequence == packet.sequence and target == packet.source == by:
                del self._relays[place]
                self._view.effects.append(Send(origin, Ack(self._cluster, packet.source, origin_sequence)))
                return

    def nacked(self, packet: Nack) -> None:
        """Take a helper's word that it has no answer yet."""
        if packet.source in self._helpers:
            self._view.schedule.nacked(packet.sequence)

    def ping_for(self, packet: IndirectPing, now: float) -> None:
        """Ping the target in the place of another node."""
        if len(self._relays) >= RELAYS_MAX:
            return
        self._sequence += 1
        nack_at = now + self._settings.nack_fraction * self._settings.probe_timeout_s
        self._relays.append((nack_at, packet.target, self._sequence, packet.endpoint, packet.sequence))
        me = self._view.me
        ping = Ping(self._cluster, me.name, me.endpoint, packet.target, self._sequence)
        self._view.effects.append(Send(packet.target_endpoint, ping))

    def _step(self, now: float) -> None:
        schedule = self._view.schedule
        if schedule.stage == "direct":
            self._probe_indirectly(now)
            return
        if schedule.stage == "indirect":
            self._conclude(now)
        self._health.decay(now)
        interval_s = self._health.scale(self._settings.probe_interval_s)
        target = schedule.next_target(lambda name: self._is_probed(name, now))
        if target is None:
            schedule.rest(now + interval_s)
            return
        self._sequence += 1
        timeout_s = self._health.scale(self._settings.probe_timeout_s)
        self._helpers = frozenset()
        schedule.begin(target, self._sequence, now, timeout_s, interval_s)
        self._dissemination.note_session(target)
        self._send_ping(self._view.members[target], reliable=False)

    def _send_ping(self, member: Member, *, reliable: bool) -> None:
        me = self._view.me
        updates = self._dissemination.piggyback(member.name, member.endpoint)
        if member.status is Status.SUSPECT and self._settings.lifeguard:
            # The buddy system: the suspect learns of the suspicion from the node that pings it (Lifeguard, IV.C).
            updates = (Accusation(member.name, member.generation, member.incarnation, me.name), *updates)
        ping = Ping(self._cluster, me.name, me.endpoint, member.name, self._view.schedule.sequence, updates, reliable)
        self._view.effects.append(Send(member.endpoint, ping, reliable))

    def _probe_indirectly(self, now: float) -> None:
        view, settings = self._view, self._settings
        schedule, members = view.schedule, view.members
        target = members.get(schedule.target)
        if target is None:
            schedule.rest()
            return
        helpers = self._dissemination.sample(settings.indirect_probes, lambda name: self._helps(name, target.name))
        self._helpers = frozenset(helpers)
        schedule.go_indirect(len(helpers) if settings.lifeguard else 0)
        me = view.me
        for name in helpers:
            endpoint = members[name].endpoint
            asked = IndirectPing(
                self._cluster, me.name, me.endpoint, target.name, target.endpoint, schedule.sequence,
                self._dissemination.piggyback(name, endpoint, target.endpoint),
            )  # fmt: skip
            view.effects.append(Send(endpoint, asked))
        if settings.stream_fallback:
            self._send_ping(target, reliable=True)

    def _conclude(self, now: float) -> None:
        """End the probe without an answer: suspect the target."""
        schedule, view = self._view.schedule, self._view
        self._health.probed(schedule.nacks_due - schedule.nacks if schedule.nacks_due else 1)
        target = view.members.get(schedule.target)
        if target is not None and target.is_present:
            accusation = Accusation(target.name, target.generation, target.incarnation, view.me.name)
            view.accuse(accusation, now)
            if self._settings.lifeguard and target.status is Status.ALIVE:
                notice = Gossip(self._cluster, view.me.name, (accusation,))
                view.effects.append(Send(target.endpoint, notice, reliable=True))

    def _is_probed(self, name: str, now: float) -> bool | None:
        member = self._view.members.get(name)
        if member is not None and member.is_present:
            return member is not self._view.me
        # A member that still gets updates stays in the list, from which the receivers of gossip are drawn.
        return False if self._dissemination.gets_updates(name, now) else None

    def _helps(self, name: str, target: str) -> bool:
        member = self._view.members.get(name)
        return member is not None and member.status is Status.ALIVE and name not in (self._view.me.name, target)
