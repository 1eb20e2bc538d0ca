"""``PushPull``: joining the cluster, exchanging views, and reconnecting to lost members (PURE).

A node joins by an exchange of whole views (memberlist's push-pull).  Members compare digests of their views, whose size
does not depend on the number of members, and exchange the records that differ; so views converge, and the halves of a
healed partition meet.  A node that has not joined asks its seeds with a growing pause.  A node that has joined keeps
trying to reach members that are unreachable and seeds that are no members, so seldom that the cluster as a whole makes
a few tries for each of them (serf's rule: the chance of a try is lost / present).

Differences from memberlist: a view that grows fast is exchanged again soon, so that a thousand newcomers know each
other within seconds; what a newcomer learns when it joins it does not gossip on, since every other member knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import inf

from .digest import ALL_BUCKETS, bucket_of
from .effects import AdmissionRefused, Joined, NameConflict, SeedsSilent, Send
from .formulas import sync_scale
from .packets import Digest, Refusal, RefusalReason, Sync, update_bytes
from .probe_schedule import sample
from .records import Member
from .settings import SwimSettings
from .view import MembershipView

ASKED_AT_ONCE = 3
"""Seeds that are asked in each try to join."""
GROWTH = 8
"""A view that grew by one part in so many since its last exchange is exchanged again soon."""
SETTLED_AFTER = 3
"""Exchanges in a row that brought no member, after which a view is held to be complete."""
SYNC_HEADER_BYTES = 600


class PushPull:
    """Join, exchange, reconnect, for one node.

    asked: the endpoints that were asked to admit this node, or to compare views.
    rejoins: whether this node admits no newcomer before it has been admitted itself, and founds no cluster.
    """

    __slots__ = (
        "_chance", "_cluster", "_join_at", "_pause_s", "_reconnect_at", "_rejoins", "_seeds", "_settings",
        "_size_synced", "_soon", "_sync_at", "_tries", "_view", "asked",
    )  # fmt: skip

    def __init__(
        self,
        view: MembershipView,
        cluster: str,
        seeds: Sequence[str],
        settings: SwimSettings,
        chance: Callable[[], float],
        *,
        rejoins: bool,
    ) -> None:
        self._view, self._cluster, self._settings, self._chance = view, cluster, settings, chance
        self._seeds = tuple(dict.fromkeys(seed for seed in seeds if seed != view.me.endpoint))
        self._rejoins = rejoins
        view.joined = not rejoins and (not self._seeds or view.me.endpoint in seeds)
        self.asked: dict[str, None] = {}
        self._tries, self._pause_s, self._size_synced = 0, settings.join_retry_s, 1
        self._join_at = self._sync_at = self._reconnect_at = inf
        self._soon = 0

    @property
    def wake_at(self) -> float:
        """When ``tick`` is to be called."""
        return min(self._join_at, self._sync_at, self._reconnect_at)

    def start(self, now: float) -> None:
        """Ask the seeds, or found a cluster."""
        if self._seeds:
            self._ask(now)
        if self._view.joined:
            self._has_joined(now)

    def contact(self, endpoint: str) -> None:
        """Compare views with the node at an endpoint, or ask it to admit this node, which has not joined yet."""
        self.asked[endpoint] = None
        if self._view.joined:
            self._send_digest(endpoint)
        else:
            self._send_view(endpoint, joining=True)

    def recognise(self, endpoint: str, now: float) -> None:
        """Take note that this node itself listens at an endpoint: as a seed it makes this node found the cluster."""
        if endpoint not in self._seeds:
            return
        self._seeds = tuple(seed for seed in self._seeds if seed != endpoint)
        if not (self._view.joined or self._view.ended or self._rejoins):
            self._view.joined = True
            self._has_joined(now)

    def stop(self) -> None:
        """Send nothing more on its own: this node leaves."""
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
        if self._view.gone or self._view.forgotten:
            self._view.forget(now)

    def clock_jumped(self, now: float) -> None:
        """Restart the pauses that run: their times were set before the clock jumped."""
        if self._join_at < inf:
            self._join_at = now + self._settings.join_retry_s
        if self._sync_at < inf:
            self._sync_at, self._soon = now + self._sync_pause_s(), 0
        if self._reconnect_at < inf:
            self._pause_s = self._settings.reconnect_s
            self._reconnect_at = now + self._jitter(self._pause_s)

    def settled(self) -> None:
        """Note that the view as it is needs no exchange before its time."""
        self._size_synced = self._view.present

    def check_growth(self, now: float) -> None:
        """Schedule an exchange soon where the view has grown much; called after each event."""
        growth = self._view.present - self._size_synced
        if growth < 0:
            self._size_synced = self._view.present
        elif growth > 1 and growth * GROWTH >= self._size_synced and not self._soon and self._sync_at < inf:
            self._soon = SETTLED_AFTER
            self._sync_at = min(self._sync_at, now + self._jitter(self._settings.settle_s))

    # -- packets -------------------------------------------------------------------------------------------------------

    def sync(self, packet: Sync, now: float) -> None:
        """Take in a view, or a part of one."""
        view = self._view
        if packet.joining and self._rejoins and not view.joined:
            return
        if packet.joining and (refusal := self._admit(packet, now)):
            reason, text = refusal
            answer = Refusal(self._cluster, view.me.name, reason, text)
            view.effects.append(Send(packet.endpoint, answer, reliable=True))
            return
        # What this node learns when it joins, every other member knows already.
        spread = view.joined or not packet.reply
        for record in packet.records:
            view.receive(record, packet.source, now, spread=spread)
        if view.joined and not packet.joining:
            self._pause_s = self._settings.reconnect_s
        if packet.reply:
            if not view.joined and not view.ended:
                view.joined = True
                self._has_joined(now)
        elif not packet.more and not view.me.is_over:
            self._send_view(packet.endpoint, reply=True, buckets=packet.buckets)

    def compare(self, packet: Digest, now: float) -> None:
        """Compare a digest with this view, and send the records that differ.

        A node that has not joined asks the sender to admit it instead.
        """
        if self._view.me.is_over:
            return
        if not self._view.joined:
            self.contact(packet.endpoint)
        elif differing := self._view.digest.differing(packet.count, packet.buckets):
            self._send_view(packet.endpoint, buckets=differing)

    def refused(self, packet: Refusal, now: float) -> None:
        """Publish that a node does not admit this one; it is asked again, and others too."""
        if not self._view.joined:
            self._view.publish(AdmissionRefused(packet.source, packet.reason, packet.text))

    def _admit(self, packet: Sync, now: float) -> tuple[RefusalReason, str] | None:
        """Return why a newcomer is refused; None admits it, after an earlier generation of its name was ended."""
        view, name = self._view, packet.source
        own = view.get((name, packet.generation))
        if own is view.me:
            return None
        if own is not None and own.is_over:
            return "over", f"this generation of {name!r} has ended; it has to join as another one"
        if name not in view.members and len(view.members) >= self._settings.members_max:
            return "full", f"the view is full: members_max={self._settings.members_max}"
        living = [other for other in view.generations(name) if not other.is_over and other is not own]
        for other in living:
            if other.is_present and other.endpoint != packet.endpoint:
                view.publish(NameConflict(name, other.endpoint, packet.endpoint))
                if other is not view.me:
                    view.schedule.probe_soon(name)
                text = f"{name!r} is in use by the node at {other.endpoint}; take another name, or wait until it ends"
                return "name", text
        for other in living:
            if other.endpoint == packet.endpoint:
                reason = f"it has restarted: another generation joins from the same endpoint {packet.endpoint}"
            else:
                reason = f"the node at {packet.endpoint} took its name while it was unreachable"
            view.end_generation(other, reason, now)
        return None

    # -- sending -------------------------------------------------------------------------------------------------------

    def _has_joined(self, now: float) -> None:
        self._join_at = inf
        self._pause_s = self._settings.reconnect_s
        self._reconnect_at = now + self._jitter(self._pause_s)
        self._sync_at = now + self._chance() * self._sync_pause_s() if self._settings.sync_interval_s else inf
        self._view.publish(Joined(self._view.me))
        self._view.check_own_name(now)

    def _ask(self, now: float) -> None:
        self._tries += 1
        first = int(self._chance() * len(self._seeds))
        for place in range(min(ASKED_AT_ONCE, len(self._seeds))):
            seed = self._seeds[(first + place) % len(self._seeds)]
            self.asked[seed] = None
            self._send_view(seed, joining=True)
        if self._view.joined:
            return
        if self._tries > 1:
            self._view.publish(SeedsSilent(self._seeds, self._tries - 1, self._pause_s))
        self._join_at = now + self._jitter(self._pause_s)
        self._pause_s = min(2 * self._pause_s, self._settings.join_retry_max_s)

    def _reconnect(self, now: float) -> None:
        """Send a digest to one of the unreachable members and of the seeds that are no members, now and then."""
        view = self._view
        members, present = view.members, view.present
        lost = [record.endpoint for record in map(view.get, view.gone) if record is not None and not record.is_over]
        if self._seeds:
            known = {member.endpoint for member in members.values() if member.is_present}
            lost += [seed for seed in self._seeds if seed not in known]
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
            packet = Sync(self._cluster, me.name, me.endpoint, me.generation, records, joining, reply, more, buckets)
            self._view.effects.append(Send(endpoint, packet, reliable=True))

    def _parts(self, buckets: int) -> Iterator[tuple[Member, ...]]:
        """Go through the records of these buckets, in parts that fit into a packet."""
        records = tuple(self._view.all_records())
        if buckets & ALL_BUCKETS != ALL_BUCKETS:
            records = tuple([record for record in records if buckets >> bucket_of(record.name) & 1])
        bytes_max = self._settings.sync_bytes_max - SYNC_HEADER_BYTES
        if len(records) * (SYNC_HEADER_BYTES + self._settings.metadata_bytes_max) <= bytes_max:
            yield records
            return
        part: list[Member] = []
        left = bytes_max
        for record in records:
            size = update_bytes(record)
            if size > left:
                yield tuple(part)
                part, left = [], bytes_max
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
