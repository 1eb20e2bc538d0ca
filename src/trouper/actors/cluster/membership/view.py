"""``MembershipView``: what one node holds of every member, and what it makes of what it hears (PURE).

The rules of SWIM (section 4.2) over the order of ``records``: a record holds until one with a higher version comes; a
suspicion or death holds until the member itself refutes it with a higher refutation; left and down hold until another
life.  All that is news here is passed on as news.

Differences from memberlist: death that is heard of in an exchange of views, of somebody who is alive here, is no
suspicion at once: the accused is told, and refutes.  So two healed halves do not suspect each other by the hundred.
An accusation of a record that has not been heard yet waits for it.
"""

from __future__ import annotations

from collections.abc import Callable

from .broadcasts import BroadcastQueue
from .digest import ViewDigest
from .effects import (
    Changed,
    ClusterEvent,
    Down,
    Effect,
    Ended,
    Implausible,
    Joined,
    Left,
    LifeRaised,
    NameConflict,
    ReachableAgain,
    Suspected,
    Unreachable,
    Updated,
)
from .formulas import retransmit_limit
from .probe_schedule import ProbeSchedule
from .records import Accusation, Member, Status, supersedes
from .settings import SwimSettings
from .suspicions import Suspicions

EARLY_MAX = 1_000
"""Accusations that may wait for the record that they are about."""
NUMBER_MAX = 2**63 - 1
"""The largest life or refutation that travels."""


class MembershipView:
    """The members as one node sees them, itself included.

    effects: where it puts what it has to tell; whoever calls takes them out.  gone: who is unreachable or over, and
    since when, oldest first.  doubted: present members of whose death an exchange told, to be told of it, with whose
    word it is.  digest: of all members.  ended: whether this node's own membership is over.
    """

    __slots__ = (
        "_early", "_life_first", "_settings", "_started_at", "broadcasts", "digest", "doubted", "effects", "ended",
        "forgotten", "gone", "me", "members", "schedule", "suspicions",
    )  # fmt: skip

    def __init__(self, me: Member, settings: SwimSettings, chance: Callable[[], float], now: float) -> None:
        self.me = me
        self._settings = settings
        self._life_first, self._started_at = me.life, now
        self.members: dict[str, Member] = {}
        self.digest = ViewDigest()
        self._hold(me)
        self.gone: dict[str, float] = {}
        self.forgotten: dict[str, tuple[int, float]] = {}
        self.doubted: list[tuple[Member, str]] = []
        self._early: dict[str, Accusation] = {}
        self.broadcasts = BroadcastQueue(retransmit_limit(settings.retransmit_mult, 1))
        self.suspicions = Suspicions(settings)
        self.schedule = ProbeSchedule(chance)
        self.effects: list[Effect] = []
        self.ended = False

    @property
    def present(self) -> int:
        """Members that take part, this one included."""
        return len(self.members) - len(self.gone)

    def tell(self, event: ClusterEvent) -> None:
        """Publish something."""
        self.effects.append(Changed(event))

    # -- hearing -------------------------------------------------------------------------------------------------------

    def hear(self, record: Member, source: str, now: float, *, spread: bool = True) -> None:
        """Somebody says this of a member.  spread: whether news is passed on."""
        known = self.members.get(record.name)
        if known is record or (known is not None and not supersedes(record, known)):
            return
        if problem := self._problem(record, known, now):
            self.tell(Implausible(record.name, source, problem))
        elif record.name == self.me.name:
            self._hear_of_me(record, now)
        elif record.status is Status.SUSPECT:
            self.hear(record.become(Status.ALIVE), source, now, spread=spread)
            self.accuse(Accusation(record.name, record.life, record.refutation, source), now)
        elif record.status is Status.UNREACHABLE and known is not None and not known.is_over:
            self.hear(record.become(Status.ALIVE), source, now, spread=spread)
            self.doubted.append((self.members[record.name], source))
            if self.suspicions.confirm(record.name, source):
                self.broadcasts.put(Accusation(record.name, record.life, record.refutation, source))
        elif known is None and not record.is_present and self._is_forgotten(record):
            return
        else:
            self._take(record, known, now)
            if spread:
                self.broadcasts.put(record)
            self._hear_early(record, now)

    def accuse(self, accusation: Accusation, now: float) -> None:
        """Somebody suspects a member, or has given it up."""
        name, known = accusation.name, self.members.get(accusation.name)
        if known is None or accusation.life < known.life or known.is_over:
            return
        if accusation.life > known.life or accusation.refutation > known.refutation:
            self._keep_early(accusation, known)
        elif accusation.refutation == known.refutation:
            if known is self.me:
                self._refute(accusation.refutation)
            elif accusation.dead:
                if known.is_present:
                    self._give_up(known, accusation, now)
            elif known.status is Status.ALIVE:
                self._hold(suspect := known.become(Status.SUSPECT))
                self.suspicions.begin(name, self.present, accusation.by, now)
                self.broadcasts.put(accusation)
                self.tell(Suspected(suspect, accusation.by))
            elif known.status is Status.SUSPECT and self.suspicions.confirm(name, accusation.by):
                self.broadcasts.put(accusation)

    def expire(self, now: float) -> None:
        """Give up the suspects whose time is over, and probe those whom too few others suspect.

        Such a one may have refuted, and the refutation has not come here: it is in the answer to the probe.
        """
        for name in self.suspicions.expired(now):
            known = self.members[name]
            self._give_up(known, Accusation(name, known.life, known.refutation, self.me.name, dead=True), now)
        unconfirmed = self.suspicions.unconfirmed
        while unconfirmed:
            self.schedule.hurry(unconfirmed.pop())

    def take_down(self, name: str, now: float) -> None:
        """Somebody here has decided that this life of a member is over."""
        known = self.members.get(name)
        if known is None or known.is_over:
            return
        record = known.become(Status.DOWN)
        if known is self.me:
            self._hear_of_me(record, now)
        else:
            self._take(record, known, now)
            self.broadcasts.put(record)

    def forget(self, now: float) -> None:
        """Drop who has been gone for long; what is left of them is their life, so that no old record revives them."""
        keep_s = self._settings.tombstone_s
        while self.gone:
            name, since = next(iter(self.gone.items()))
            if since + keep_s > now and len(self.gone) <= self._settings.tombstones_max:
                break
            del self.gone[name]
            record = self.members.pop(name)
            self.digest.replace(record, None)
            self.broadcasts.drop(name)
            self.forgotten[name] = (record.life, now)
            if record.status is Status.UNREACHABLE:
                self.tell(Down(record, "forgotten"))
        while self.forgotten:
            name, (_, since) = next(iter(self.forgotten.items()))
            if since + keep_s > now and len(self.forgotten) <= self._settings.tombstones_max:
                break
            del self.forgotten[name]

    # -- this node itself ----------------------------------------------------------------------------------------------

    def become(self, me: Member) -> None:
        """This node says something new of itself, and spreads it."""
        self.me = me
        self._hold(me)
        self.broadcasts.put(me)

    def _refute(self, accused: int) -> None:
        if self.me.is_over:
            return
        me = self.me
        refutation = max(me.refutation, accused) + 1
        self.become(Member(me.name, me.endpoint, me.life, refutation, Status.ALIVE, me.metadata, me.versions))

    def _hear_of_me(self, record: Member, now: float) -> None:
        """Somebody knows more of this node than it says itself."""
        me = self.me
        if me.is_over or self.ended:
            return
        if record.life == me.life and not record.is_over:
            self._refute(record.refutation)
        elif record.life == me.life and record.status is Status.DOWN:
            self.end(Ended("downed", f"{me.name}: this life was taken down by the cluster; start it anew"))
        elif record.life == me.life or not record.is_present or record.endpoint == me.endpoint:
            # An earlier life of this very node, by a clock that was ahead of today's.
            life = record.life + 1
            self.tell(LifeRaised(me.life, life))
            self.become(Member(me.name, me.endpoint, life, 0, Status.ALIVE, me.metadata, me.versions))
        else:
            self.tell(NameConflict(me.name, record.endpoint, me.endpoint))
            text = f"{me.name}: a later life of this name is at {record.endpoint}; give one of the two another name"
            self.end(Ended("superseded", text))

    def end(self, event: Ended) -> None:
        """This node's membership is over."""
        self.ended = True
        self.tell(event)

    # -- what becomes of a record --------------------------------------------------------------------------------------

    def _hold(self, record: Member) -> None:
        """Put a record in the place of what was known of its name."""
        self.digest.replace(self.members.get(record.name), record)
        self.members[record.name] = record

    def _take(self, record: Member, known: Member | None, now: float) -> None:
        name = record.name
        if known is not None and known.status is Status.SUSPECT:
            self.suspicions.end(name)
        self._hold(record)
        if record.is_present:
            self.gone.pop(name, None)
            self.schedule.insert(name)
        else:
            if known is None or known.is_present:
                self.gone[name] = now
        if known is None or known.is_present != record.is_present:
            self.broadcasts.limit = retransmit_limit(self._settings.retransmit_mult, self.present)
        self._tell_change(record, known)

    def _tell_change(self, record: Member, known: Member | None) -> None:
        if known is not None and known.life < record.life:
            if not known.is_over:
                moved = known.endpoint != record.endpoint
                if moved and known.is_present:
                    self.tell(NameConflict(record.name, record.endpoint, known.endpoint))
                self.tell(Down(known.become(Status.DOWN), "superseded" if moved else "restarted"))
            known = None
        if known is None:
            if record.is_present:
                self.tell(Joined(record))
            return
        if record.status is Status.LEFT:
            self.tell(Left(record))
        elif record.status is Status.DOWN:
            self.tell(Down(record, "downed"))
        elif record.status is Status.ALIVE:
            if known.status is not Status.ALIVE:
                self.tell(ReachableAgain(record, known))
            if (known.endpoint, known.metadata, known.versions) != (record.endpoint, record.metadata, record.versions):
                self.tell(Updated(record, known))

    def _give_up(self, known: Member, accusation: Accusation, now: float) -> None:
        record = known.become(Status.UNREACHABLE)
        self._take(record, known, now)
        self.broadcasts.put(accusation)
        self.tell(Unreachable(record))

    # -- what cannot be true, and what comes too early -----------------------------------------------------------------

    def _problem(self, record: Member, known: Member | None, now: float) -> str:
        """Say why a record cannot be true; empty when it can."""
        settings = self._settings
        life_max = self._life_first + int(max(0.0, now - self._started_at) * settings.life_per_s)
        life_max = min(NUMBER_MAX, life_max + settings.life_ahead_max)
        if not 0 <= record.life <= life_max:
            return f"its life {record.life} is from the future: at most {life_max}; set the clock of that node"
        base = known.refutation if known is not None and known.life == record.life else 0
        refutation_max = min(NUMBER_MAX, base + settings.refutation_ahead_max)
        if not 0 <= record.refutation <= refutation_max:
            return f"its refutation {record.refutation} is from the future: at most {refutation_max}"
        if len(record.metadata) > settings.metadata_bytes_max:
            limit = f"metadata_bytes_max={settings.metadata_bytes_max}"
            return f"its metadata has {len(record.metadata)} bytes, more than {limit}"
        if known is None and len(self.members) >= settings.members_max:
            return f"the view is full: members_max={settings.members_max}"
        return ""

    def _is_forgotten(self, record: Member) -> bool:
        life, _ = self.forgotten.get(record.name, (-1, 0.0))
        return record.life <= life

    def _keep_early(self, accusation: Accusation, known: Member) -> None:
        ahead = accusation.refutation - (known.refutation if known.life == accusation.life else 0)
        if ahead > self._settings.refutation_ahead_max:
            problem = f"the accused refutation {accusation.refutation} is from the future"
            self.tell(Implausible(accusation.name, accusation.by, problem))
        elif known is self.me and accusation.life == known.life:
            self._refute(accusation.refutation)
        elif len(self._early) < EARLY_MAX:
            self._early[accusation.name] = accusation

    def _hear_early(self, record: Member, now: float) -> None:
        accusation = self._early.get(record.name)
        if accusation is not None and (record.life, record.refutation) >= (accusation.life, accusation.refutation):
            del self._early[record.name]
            self.accuse(accusation, now)
