"""``PushPull``: how a node comes into its cluster, compares views, and finds its way back (PURE).

An exchange of whole views (push-pull) is how a node joins.  Members compare digests of their views, whose size does not
depend on the number of members, and exchange what differs: so views that differ become one, and the halves of a healed
partition meet.  A node that has not joined asks its seeds with a growing pause.  A node that has joined keeps
trying members that are unreachable and seeds that are not members, so seldom that the whole cluster together makes a
few tries for each of them (serf's rule: the chance of a try is lost / present).

Differences from memberlist: a view that grows fast is exchanged again soon, so that a thousand newcomers see each
other in seconds; what a newcomer learns by joining it does not gossip on, since everybody knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import inf

from .digest import ALL_BUCKETS, bucket_of
from .effects import Joined, NameConflict, Refused, SeedsSilent, Send
from .formulas import sync_scale
from .packets import Digest, Refusal, RefusalReason, Sync, update_bytes
from .probe_schedule import sample
from .records import Member
from .settings import SwimSettings
from .view import MembershipView

ASKED_AT_ONCE = 3
"""Seeds that are asked to take a node in, each time."""
GROWTH = 8
"""A view that grew by a part in so many since its last exchange is exchanged again soon."""
SETTLED_AFTER = 3
"""Exchanges in a row that brought no member, after which a view has stopped growing."""
SYNC_HEADER_BYTES = 600


class PushPull:
    """Join, exchange, reconnect; for one node.

    joined: whether this node was taken in, or founded the cluster.  asked: the seeds that were asked so far.
    waits: whether it takes nobody in before it has been taken in itself, and founds nothing.
    """

    __slots__ = (
        "_chance", "_cluster", "_join_at", "_pause_s", "_reconnect_at", "_seeds", "_settings", "_size_synced",
        "_soon", "_sync_at", "_tries", "_view", "_waits", "asked", "joined",
    )  # fmt: skip

    def __init__(
        self,
        view: MembershipView,
        cluster: str,
        seeds: Sequence[str],
        settings: SwimSettings,
        chance: Callable[[], float],
        *,
        waits: bool,
    ) -> None:
        self._view, self._cluster, self._settings, self._chance = view, cluster, settings, chance
        self._seeds = tuple(dict.fromkeys(seed for seed in seeds if seed != view.me.endpoint))
        self._waits = waits
        self.joined = not waits and (not self._seeds or view.me.endpoint in seeds)
        self.asked: dict[str, None] = {}
        self._tries, self._pause_s, self._size_synced = 0, settings.join_retry_s, 1
        self._join_at = self._sync_at = self._reconnect_at = inf
        self._soon = 0

    @property
    def wake_at(self) -> float:
        """When ``tick`` is wanted."""
        return min(self._join_at, self._sync_at, self._reconnect_at)

    def start(self, now: float) -> None:
        """Ask the seeds, or stand alone."""
        if self._seeds:
            self._ask(now)
        if self.joined:
            self._has_joined(now)

    def meet(self, endpoint: str) -> None:
        """Compare views with whoever listens there, or ask to be taken in when this node has not joined yet."""
        self.asked[endpoint] = None
        if self.joined:
            self._send_digest(endpoint)
        else:
            self._send_view(endpoint, joining=True)

    def rest(self) -> None:
        """Nothing more of all this: the node leaves."""
        self._join_at = self._sync_at = self._reconnect_at = inf

    def tick(self, now: float) -> None:
        """Do what is due."""
        if self._join_at <= now:
            self._ask(now)
        if self._sync_at <= now:
            # A view that is growing is exchanged again and again, until several exchanges have brought nothing.
            if self._soon:
                self._soon = SETTLED_AFTER if self._view.present > self._size_synced else self._soon - 1
            self._sync_at = now + (self._jitter(self._settings.settle_s) if self._soon else self._sync_pause_s())
            self._size_synced = self._view.present
            for name in sample(1, 3 * len(self._view.members), self._view.schedule.pick, self._is_present):
                self._send_digest(self._view.members[name].endpoint)
        if self._reconnect_at <= now:
            self._reconnect(now)
        self._forget(now)

    def leapt(self, now: float) -> None:
        """The clock jumped: what was to come within a while comes within that while."""
        if self._join_at < inf:
            self._join_at = now + self._settings.join_retry_s
        if self._sync_at < inf:
            self._sync_at, self._soon = now + self._sync_pause_s(), 0
        if self._reconnect_at < inf:
            self._pause_s = self._settings.reconnect_s
            self._reconnect_at = now + self._jitter(self._pause_s)

    def settled(self) -> None:
        """The view as it stands needs no exchange before its time."""
        self._size_synced = self._view.present

    def look_at_growth(self, now: float) -> None:
        """After each event: a view that grew much is exchanged soon."""
        growth = self._view.present - self._size_synced
        if growth < 0:
            self._size_synced = self._view.present
        elif growth > 1 and growth * GROWTH >= self._size_synced and not self._soon and self._sync_at < inf:
            self._soon = SETTLED_AFTER
            self._sync_at = min(self._sync_at, now + self._jitter(self._settings.settle_s))

    # -- packets -------------------------------------------------------------------------------------------------------

    def sync(self, packet: Sync, now: float) -> None:
        """A view came in, or a part of one."""
        if packet.joining and self._waits and not self.joined:
            return
        if packet.joining and (refusal := self._why_not(packet)):
            reason, text = refusal
            answer = Refusal(self._cluster, self._view.me.name, reason, text)
            self._view.effects.append(Send(packet.endpoint, answer, reliable=True))
            return
        # What a newcomer is told when it joins, everybody else knows already.
        spread = self.joined or not packet.reply
        for record in packet.records:
            self._view.hear(record, packet.source, now, spread=spread)
        if self.joined and not packet.joining:
            self._pause_s = self._settings.reconnect_s
        if packet.reply:
            if not self.joined:
                self.joined = True
                self._has_joined(now)
        elif not packet.more and not self._view.me.is_over:
            self._send_view(packet.endpoint, reply=True, buckets=packet.buckets)

    def compare(self, packet: Digest, now: float) -> None:
        """A digest came in: nothing is to be done where it is that of this view.

        A node that has not joined takes it for the address of somebody who has.
        """
        if self._view.me.is_over:
            return
        if not self.joined:
            self.meet(packet.endpoint)
        elif differing := self._view.digest.differing(packet.count, packet.buckets):
            self._send_view(packet.endpoint, buckets=differing)

    def refused(self, packet: Refusal, now: float) -> None:
        """A node will not take this one in; it is asked again, and others too."""
        if not self.joined:
            self._view.tell(Refused(packet.source, packet.reason, packet.text))

    def _why_not(self, packet: Sync) -> tuple[RefusalReason, str] | None:
        members, me, name = self._view.members, self._view.me, packet.source
        known = members.get(name)
        if known is None:
            if len(members) >= self._settings.members_max:
                return "full", f"the view is full: members_max={self._settings.members_max}"
            return None
        elsewhere = known.endpoint != packet.endpoint
        if known.is_present and elsewhere:
            self._view.tell(NameConflict(name, known.endpoint, packet.endpoint))
            if known is not me:
                self._view.schedule.hurry(name)
            return "name", f"{name!r} is at {known.endpoint}; take another name, or wait until that node is gone"
        if known.is_over and packet.life == known.life and known is not me:
            return "over", f"this life of {name!r} has ended; start the node anew"
        return None

    # -- going out -----------------------------------------------------------------------------------------------------

    def _has_joined(self, now: float) -> None:
        self._join_at = inf
        self._pause_s = self._settings.reconnect_s
        self._reconnect_at = now + self._jitter(self._pause_s)
        self._sync_at = now + self._chance() * self._sync_pause_s() if self._settings.sync_interval_s else inf
        self._view.tell(Joined(self._view.me))

    def _ask(self, now: float) -> None:
        self._tries += 1
        first = int(self._chance() * len(self._seeds))
        for place in range(min(ASKED_AT_ONCE, len(self._seeds))):
            seed = self._seeds[(first + place) % len(self._seeds)]
            self.asked[seed] = None
            self._send_view(seed, joining=True)
        if self.joined:
            return
        if self._tries > 1:
            self._view.tell(SeedsSilent(self._seeds, self._tries - 1, self._pause_s))
        self._join_at = now + self._jitter(self._pause_s)
        self._pause_s = min(2 * self._pause_s, self._settings.join_retry_max_s)

    def _reconnect(self, now: float) -> None:
        """Try one of those who should be there and are not."""
        members, present = self._view.members, self._view.present
        lost = [members[name].endpoint for name in self._view.gone if not members[name].is_over]
        if self._seeds:
            there = {member.endpoint for member in members.values() if member.is_present}
            lost += [seed for seed in self._seeds if seed not in there]
        if lost and self._chance() * present < len(lost):
            self._send_digest(lost[int(self._chance() * len(lost))])
            self._pause_s = min(2 * self._pause_s, self._settings.reconnect_max_s)
        elif not lost:
            self._pause_s = self._settings.reconnect_s
        self._reconnect_at = now + self._jitter(self._pause_s)

    def _send_digest(self, endpoint: str) -> None:
        me, digest = self._view.me, self._view.digest
        packet = Digest(self._cluster, me.name, me.endpoint, digest.count, digest.encoded())
        self._view.effects.append(Send(endpoint, packet, reliable=True))

    def _send_view(
        self, endpoint: str, *, joining: bool = False, reply: bool = False, buckets: int = ALL_BUCKETS
    ) -> None:
        me = self._view.me
        parts = list(self._parts(buckets))
        for place, records in enumerate(parts):
            more = place < len(parts) - 1
            packet = Sync(self._cluster, me.name, me.endpoint, me.life, records, joining, reply, more, buckets)
            self._view.effects.append(Send(endpoint, packet, reliable=True))

    def _parts(self, buckets: int) -> Iterator[tuple[Member, ...]]:
        """The records of these buckets, in pieces that fit into a packet."""
        records = tuple(self._view.members.values())
        if buckets & ALL_BUCKETS != ALL_BUCKETS:
            records = tuple([record for record in records if buckets >> bucket_of(record.name) & 1])
        room = self._settings.sync_bytes_max - SYNC_HEADER_BYTES
        if len(records) * (SYNC_HEADER_BYTES + self._settings.metadata_bytes_max) <= room:
            yield records
            return
        part: list[Member] = []
        left = room
        for record in records:
            size = update_bytes(record)
            if size > left:
                yield tuple(part)
                part, left = [], room
            part.append(record)
            left -= size
        yield tuple(part)

    def _sync_pause_s(self) -> float:
        return self._jitter(self._settings.sync_interval_s * sync_scale(self._view.present))

    def _jitter(self, pause_s: float) -> float:
        return pause_s * (0.75 + 0.5 * self._chance())

    def _is_present(self, name: str) -> bool:
        member = self._view.members.get(name)
        return member is not None and member.is_present and member is not self._view.me

    def _forget(self, now: float) -> None:
        if self._view.gone or self._view.forgotten:
            self._view.forget(now)
