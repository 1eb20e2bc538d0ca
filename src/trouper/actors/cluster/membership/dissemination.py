"""``Dissemination``: which updates a node gossips, and to which members (PURE).

Updates go to a few members in each round while there are any, and are piggybacked on every packet that is sent anyway
(SWIM 4.1).  The first update after a silence is sent at once, the next no sooner than the gossip interval.

Difference from memberlist: gossip and indirect pings go to members that were probed lately, by either side.  Since each
second adds another random one, updates spread as among all members; but sessions to these members are established
already, so a large cluster needs few sessions a node and few handshakes.  A new accusation goes to more members in its
first round; the number of transmissions in all is the same.
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
"""The most members that are told, after one packet, that another node holds them for dead."""


class Dissemination:
    """The gossip of one node.  due_after: no round of gossip starts before this time."""

    __slots__ = ("_bytes_max", "_chance", "_cluster", "_settings", "_view", "_warm", "_warm_place", "due_after")

    def __init__(self, view: MembershipView, cluster: str, settings: SwimSettings, chance: Callable[[], float]) -> None:
        self._view, self._cluster, self._settings, self._chance = view, cluster, settings, chance
        self._warm: list[str] = []
        self._warm_place = 0
        self.due_after = -inf
        fixed = 64 + text_bytes(cluster) + text_bytes(view.me.name) + text_bytes(view.me.endpoint)
        self._bytes_max = settings.packet_bytes_max - fixed

    def gossip(self, now: float) -> None:
        """Send updates to a few members."""
        view, settings = self._view, self._settings
        self.due_after = now + settings.gossip_interval_s
        me = view.me
        nodes = settings.urgent_nodes if view.broadcasts.urgent and settings.lifeguard else settings.gossip_nodes
        view.broadcasts.urgent = False
        for name in self.sample(nodes, lambda name: self.gets_updates(name, now)):
            endpoint = view.members[name].endpoint
            updates = self.piggyback(name, endpoint)
            if not updates:
                return
            view.effects.append(Send(endpoint, Gossip(self._cluster, me.name, updates)))

    def gets_updates(self, name: str, now: float) -> bool:
        """Return whether a member gets updates: it is present, or became unreachable lately and may still refute."""
        member = self._view.members.get(name)
        if member is None or member is self._view.me:
            return False
        if member.is_present:
            return True
        until = self._view.gone.get(member.id, -inf) + self._settings.gossip_to_dead_s
        return member.status is Status.UNREACHABLE and now < until

    def piggyback(self, *texts: str) -> tuple[Update, ...]:
        """Return the updates that fit into a packet besides these texts."""
        broadcasts = self._view.broadcasts
        if not broadcasts:
            return ()
        return broadcasts.take(self._bytes_max - sum(map(text_bytes, texts)))

    def note_session(self, name: str) -> None:
        """Note a member to which a session is established now."""
        if len(self._warm) < self._settings.warm_peers:
            self._warm.append(name)
        elif self._warm:
            self._warm[self._warm_place] = name
            self._warm_place = (self._warm_place + 1) % len(self._warm)

    def sample(self, count: int, fits: Callable[[str], bool]) -> Sequence[str]:
        """Return up to so many fitting members, from those probed lately where there are enough of them."""
        warm, chance, schedule = self._warm, self._chance, self._view.schedule
        if len(warm) >= min(self._settings.warm_peers, self._view.present // 2) > 0:
            found = sample(count, 3 * count, lambda: warm[int(chance() * len(warm))], fits)
            if len(found) == count:
                return found
        return sample(count, 3 * self._view.present, schedule.pick, fits)

    def notify_doubted(self) -> None:
        """Tell members that are alive here that another node holds them for dead, so that they refute."""
        view = self._view
        doubted, view.doubted = view.doubted, []
        skipped = max(0, len(doubted) - NOTICES_MAX)
        first = int(self._chance() * (skipped + 1))
        for member, source in doubted[first : first + NOTICES_MAX]:
            accusation = Accusation(member.name, member.generation, member.incarnation, source)
            view.effects.append(Send(member.endpoint, Gossip(self._cluster, view.me.name, (accusation,))))
            view.schedule.probe_soon(member.name)
