"""``Dissemination``: what a node tells on its own accord, and to whom (PURE).

News go to a few members at a time while there are any, and ride on every packet that goes out anyway (SWIM 4.1).  The
first news after a silence go at once, the next no sooner than the gossip interval.

Difference from memberlist: gossip and indirect pings go to members met lately, by a probe from either side.  As every
second brings another random one, news spread as among all; but links to those members stand already, so that a large
cluster needs few links a node and few handshakes.  A new accusation goes to more members in its first round, and to as
many in all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from .effects import Send
from .packets import Gossip, text_bytes
from .probe_schedule import sample
from .records import Accusation, Status, Update
from .settings import SwimSettings
from .view import MembershipView

NOTICES_MAX = 64
"""Accused members that are told of it after one packet."""


class Dissemination:
    """Gossip of one node.  due_after: before this it does not gossip again."""

    __slots__ = ("_chance", "_cluster", "_room", "_settings", "_view", "_warm", "_warm_place", "due_after")

    def __init__(self, view: MembershipView, cluster: str, settings: SwimSettings, chance: Callable[[], float]) -> None:
        self._view, self._cluster, self._settings, self._chance = view, cluster, settings, chance
        self._warm: list[str] = []
        self._warm_place = 0
        self.due_after = -inf
        fixed = 64 + text_bytes(cluster) + text_bytes(view.me.name) + text_bytes(view.me.endpoint)
        self._room = settings.packet_bytes_max - fixed

    def gossip(self, now: float) -> None:
        """Send news to a few members."""
        view, settings = self._view, self._settings
        self.due_after = now + settings.gossip_interval_s
        me = view.me
        nodes = settings.urgent_nodes if view.broadcasts.urgent and settings.lifeguard else settings.gossip_nodes
        view.broadcasts.urgent = False
        for name in self.sample(nodes, lambda name: self.is_told(name, now)):
            endpoint = view.members[name].endpoint
            updates = self.ride(name, endpoint)
            if not updates:
                return
            view.effects.append(Send(endpoint, Gossip(self._cluster, me.name, updates)))

    def is_told(self, name: str, now: float) -> bool:
        """Whether a member gets news: it is present, or became unreachable lately and may refute."""
        member = self._view.members.get(name)
        if member is None or member is self._view.me:
            return False
        if member.is_present:
            return True
        return member.status is Status.UNREACHABLE and now < self._view.gone[name] + self._settings.gossip_to_dead_s

    def ride(self, *texts: str) -> tuple[Update, ...]:
        """News that fit into a packet besides these texts."""
        broadcasts = self._view.broadcasts
        if not broadcasts:
            return ()
        return broadcasts.take(self._room - sum(map(text_bytes, texts)))

    def meet(self, name: str) -> None:
        """A member with whom a link stands now."""
        if len(self._warm) < self._settings.warm_peers:
            self._warm.append(name)
        elif self._warm:
            self._warm[self._warm_place] = name
            self._warm_place = (self._warm_place + 1) % len(self._warm)

    def sample(self, count: int, fits: Callable[[str], bool]) -> Sequence[str]:
        """Up to so many fitting members, from those met lately where that gives enough."""
        warm, chance, schedule = self._warm, self._chance, self._view.schedule
        if len(warm) >= min(self._settings.warm_peers, self._view.present // 2) > 0:
            found = sample(count, 3 * count, lambda: warm[int(chance() * len(warm))], fits)
            if len(found) == count:
                return found
        return sample(count, 3 * self._view.present, schedule.pick, fits)

    def tell_doubted(self) -> None:
        """Whoever is held to be dead elsewhere, and not here, is told of it and refutes."""
        view = self._view
        doubted, view.doubted = view.doubted, []
        skipped = max(0, len(doubted) - NOTICES_MAX)
        first = int(self._chance() * (skipped + 1))
        for member, source in doubted[first : first + NOTICES_MAX]:
            accusation = Accusation(member.name, member.life, member.refutation, source)
            view.effects.append(Send(member.endpoint, Gossip(self._cluster, view.me.name, (accusation,))))
            view.schedule.hurry(member.name)
