"""``SwimSettings``: the limits and times of the membership (PURE).

The defaults are those of memberlist's ``DefaultLANConfig``; ``wan`` and ``local`` follow its other two presets.
Settings that memberlist does not have are marked (own).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from .... import InvalidOption
from ....lowlevel import check_count, check_number

RECORD_BYTES = 712
"""The bytes that a packet must have for a record, besides its metadata: name, endpoint and reason."""


_TIMES = (
    "probe_interval_s", "probe_timeout_s", "gossip_interval_s", "settle_s", "health_lag_s", "reconnect_s",
    "reconnect_max_s", "join_retry_s", "join_retry_max_s", "leave_s", "tombstone_s",
)  # fmt: skip
_COUNTS = (
    "gossip_nodes", "urgent_nodes", "retransmit_mult", "suspicion_mult", "suspicion_max_mult", "awareness_max",
    "packet_bytes_max", "sync_bytes_max", "health_mailbox", "members_max", "generations_max",
)  # fmt: skip
_COUNTS_FROM_0 = ("indirect_probes", "warm_peers", "metadata_bytes_max", "incarnation_ahead_max", "tombstones_max")


@dataclass(frozen=True, slots=True)
class SwimSettings:
    """How often a node probes and gossips, how long suspicions last, and what it accepts.  Times are in seconds.

    probe_interval_s: time between two probes, times health score + 1.  probe_timeout_s: after this, times health score
        + 1, an unanswered ping is followed by indirect pings and a ping by stream.
    indirect_probes: members asked to ping in this node's place.  0: none.
    nack_fraction: the part of ``probe_timeout_s`` after which a helper without an answer sends a nack (Lifeguard).
    stream_fallback: whether the second ping is sent reliably.
    gossip_interval_s, gossip_nodes: updates go to so many members in each interval, while there are any.
    urgent_nodes (own): accusations go to so many members in their first round, so that both the refutation and the news
        of a death arrive sooner; the number of transmissions in all is the same.
    gossip_to_dead_s: so long after it became unreachable a member still gets updates, so that it can refute.
    retransmit_mult: each update is sent this times ceil(log10(N + 1)) times.
    suspicion_mult: the least time of a suspicion is this times max(1, log10 N) times ``probe_interval_s``.
    suspicion_max_mult: without confirmations a suspicion lasts so many times longer.
    sync_interval_s: time between two exchanges of views; grows with log2 N above 32 members.  0: none.
    settle_s (own): a view that grew by an eighth since its last exchange is exchanged again after about this time.
    awareness_max: the health score is from 0 to this less one.
    packet_bytes_max: of one packet, updates included.  sync_bytes_max: of one packet of an exchange; a large view takes
        several.  metadata_bytes_max: of a member's metadata.
    lifeguard: False switches off the health score, nacks, confirmations and the buddy system: plain SWIM, to compare.
    leap_s (own): an event that comes this much later than the wake-up that was asked for, or earlier than the last
        event by this much, is taken for a pause of this node or a jump of its clock.  inf: never.
    health_lag_s, health_mailbox (own): the loop lag, or the number of waiting messages, for each point of the health
        score.
    reconnect_s, reconnect_max_s (own; serf has 30 s): pause between tries to reach lost members and silent seeds, and
        its largest value.  join_retry_s, join_retry_max_s: the same while this node has not joined.
    leave_s: how long a leaving node gossips its leave at most.
    tombstone_s: how long members that are unreachable or over are remembered (serf's 24 h).  tombstones_max: the most
        records that are remembered so, and the most ids that are remembered after that.
    members_max: the most names in the view; a record of one more is dropped with an event.
    generations_max (own): the most living generations of one name in the view; one is the normal case.
    incarnation_ahead_max: how far an incarnation may lie above the one that is known.
    warm_peers (own): gossip and indirect pings go to so many members that were probed lately, to which sessions are
        established.  0: to any.
    """

    probe_interval_s: float = 1.0
    probe_timeout_s: float = 0.5
    indirect_probes: int = 3
    nack_fraction: float = 0.8
    stream_fallback: bool = True
    gossip_interval_s: float = 0.2
    gossip_nodes: int = 3
    urgent_nodes: int = 6
    gossip_to_dead_s: float = 30.0
    retransmit_mult: int = 4
    suspicion_mult: int = 4
    suspicion_max_mult: int = 6
    sync_interval_s: float = 30.0
    settle_s: float = 2.0
    awareness_max: int = 8
    packet_bytes_max: int = 1_400
    sync_bytes_max: int = 262_144
    metadata_bytes_max: int = 512
    lifeguard: bool = True
    leap_s: float = 0.5
    health_lag_s: float = 0.25
    health_mailbox: int = 10_000
    reconnect_s: float = 5.0
    reconnect_max_s: float = 20.0
    join_retry_s: float = 1.0
    join_retry_max_s: float = 30.0
    leave_s: float = 5.0
    tombstone_s: float = 86_400.0
    tombstones_max: int = 10_000
    members_max: int = 10_000
    generations_max: int = 4
    incarnation_ahead_max: int = 1_000_000
    warm_peers: int = 64

    def __post_init__(self) -> None:
        for name in _TIMES:
            check_number(name, getattr(self, name))
        for name in ("sync_interval_s", "gossip_to_dead_s"):
            check_number(name, getattr(self, name), zero=True)
        check_number("leap_s", self.leap_s, infinite="never")
        check_number("nack_fraction", self.nack_fraction, unit="", most=1)
        for name in _COUNTS:
            check_count(name, getattr(self, name))
        for name in _COUNTS_FROM_0:
            check_count(name, getattr(self, name), least=0)
        if not self.probe_timeout_s < self.probe_interval_s:
            interval = f"probe_interval_s={self.probe_interval_s}"
            raise InvalidOption(f"probe_timeout_s={self.probe_timeout_s} must be above 0 and below {interval}")
        if self.reconnect_s > self.reconnect_max_s or self.join_retry_s > self.join_retry_max_s:
            raise InvalidOption(f"{self}: a first pause must be above 0 and no larger than the largest")
        if (
            self.packet_bytes_max < RECORD_BYTES + self.metadata_bytes_max
            or self.sync_bytes_max < self.packet_bytes_max
        ):
            least = RECORD_BYTES + self.metadata_bytes_max
            raise InvalidOption(
                f"packet_bytes_max={self.packet_bytes_max} must hold a member with its metadata, {least} bytes, and"
                f" sync_bytes_max={self.sync_bytes_max} no less"
            )

    @classmethod
    def lan(cls) -> SwimSettings:
        """Return the settings for one data centre: memberlist's DefaultLANConfig."""
        return cls()

    @classmethod
    def wan(cls) -> SwimSettings:
        """Return the settings between data centres: memberlist's DefaultWANConfig."""
        return cls(
            probe_interval_s=5.0,
            probe_timeout_s=3.0,
            suspicion_mult=6,
            gossip_interval_s=0.5,
            gossip_nodes=4,
            urgent_nodes=8,
            gossip_to_dead_s=60.0,
            sync_interval_s=60.0,
            leap_s=3.0,
        )

    @classmethod
    def local(cls) -> SwimSettings:
        """Return the settings for one host: memberlist's DefaultLocalConfig."""
        return cls(
            probe_timeout_s=0.2,
            indirect_probes=1,
            suspicion_mult=3,
            retransmit_mult=2,
            gossip_interval_s=0.1,
            gossip_to_dead_s=15.0,
            sync_interval_s=15.0,
        )

    def plain(self) -> SwimSettings:
        """Return the same without Lifeguard and without the detection of clock jumps: for comparison only."""
        return replace(self, lifeguard=False, leap_s=inf)
