"""``MembershipView``: the members as one node knows them, and the rules by which it takes in what it receives (PURE).

The rules of SWIM (section 4.2) over the order of ``records``: a record holds until one of the same generation with a
higher version arrives; a suspicion or a death holds until the member itself refutes it with a higher incarnation; left
and down are final.  Everything that is new here is gossiped on.

Rules for a name that is used again, by another generation of a node (Akka's unique addresses):

1. A generation is ended only by a record of its end, never because the number of another generation is larger.
2. The node through which a newcomer joins ends an earlier generation first: one at the same endpoint has restarted; one
   that is unreachable has lost its name.  While a member of this name is present elsewhere, the newcomer is refused.
3. A node that hears of another generation at its own endpoint ends it: only one process listens at an endpoint.
4. A node that knows one present generation of a name and an unreachable one ends the unreachable one.
5. Two present generations at different endpoints are a conflict, which arises where both joined before either was known
   to the other's side.  Each tells the other of itself.  One that is known to be over is told so.  Otherwise the node
   at the higher endpoint ends itself, with the reason; nobody else decides.
6. What has ended is remembered for ``tombstone_s`` as a record, and as long again by its id, so that no old record
   revives it.

Differences from memberlist: a death that an exchange of views tells of a member that is alive here is not a suspicion
at once; the member is told and refutes, so two healed halves do not suspect each other by the hundred.  An accusation
of a record that has not arrived yet waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .broadcasts import BroadcastQueue
from .digest import ViewDigest
from .effects import (
    Departed,
    Downed,
    Effect,
    Ended,
    Implausible,
    Joined,
    MembershipEvent,
    NameConflict,
    Publish,
    ReachableAgain,
    Suspected,
    Unreachable,
    Updated,
)
from .formulas import retransmit_limit
from .packets import REASON_BYTES_MAX, TEXT_BYTES_MAX
from .probe_schedule import ProbeSchedule
from .records import Accusation, Member, MemberId, Status, Update, holder_rank, supersedes
from .settings import SwimSettings
from .suspicions import Suspicions

EARLY_MAX = 1_000
"""The most accusations that wait for the record that they are about."""
GENERATION_MAX = 2**64 - 1
INCARNATION_MAX = 2**63 - 1
"""The largest generation and the largest incarnation that are accepted."""


class MembershipView:
    """The members as one node sees them, itself included.

    members: the holder of each name.  others: further generations by name and generation, where there are any.
    present: the number of members that take part, this one included.
    joined: whether this node has been admitted, or founded the cluster.
    effects: what is to be done; the caller takes them out.
    gone: since when each generation has been unreachable or over, oldest first.
    forgotten: ids that are remembered without a record: whether the member was over, and since when.
    doubted: present members that another node holds for dead, with the name of that node; they are to be told.
    notices: updates that are to be sent reliably to an endpoint.
    digest: of all records.  ended: whether this node's own membership is over.
    """

    __slots__ = (
        "_early", "_node_problem", "_settings", "broadcasts", "digest", "doubted", "effects", "ended", "forgotten",
        "gone", "joined", "me", "members", "notices", "others", "present", "schedule", "suspicions",
    )  # fmt: skip

    def __init__(
        self,
        me: Member,
        settings: SwimSettings,
        chance: Callable[[], float],
        node_problem: Callable[[str, str], str] = lambda _name, _endpoint: "",
    ) -> None:
        self.me = me
        self._settings, self._node_problem = settings, node_problem
        self.members: dict[str, Member] = {me.name: me}
        self.others: dict[str, dict[int, Member]] = {}
        self.present = 1
        self.joined = False
        self.digest = ViewDigest()
        self.digest.replace(None, me)
        self.gone: dict[MemberId, float] = {}
        self.forgotten: dict[MemberId, tuple[bool, float]] = {}
        self.doubted: list[tuple[Member, str]] = []
        self.notices: list[tuple[str, Update]] = []
        self._early: dict[MemberId, Accusation] = {}
        self.broadcasts = BroadcastQueue(retransmit_limit(settings.retransmit_mult, 1))
        self.suspicions = Suspicions(settings)
        self.schedule = ProbeSchedule(chance)
        self.effects: list[Effect] = []
        self.ended = False

    def publish(self, event: MembershipEvent) -> None:
        """Publish an event."""
        self.effects.append(Publish(event))

    def get(self, member: MemberId) -> Member | None:
        """Return the record of a generation; None for one that is not known."""
        name, generation = member
        holder = self.members.get(name)
        if holder is not None and holder.generation == generation:
            return holder
        others = self.others.get(name)
        return None if others is None else others.get(generation)

    def generations(self, name: str) -> Iterator[Member]:
        """Go through all records of a name, the holder first."""
        holder = self.members.get(name)
        if holder is not None:
            yield holder
            yield from self.others.get(name, {}).values()

    def all_records(self) -> Iterator[Member]:
        """Go through all records, those of members that are over included."""
        yield from self.members.values()
        for others in self.others.values():
            yield from others.values()

    # -- receiving -----------------------------------------------------------------------------------------------------

    def receive(self, record: Member, source: str, now: float, *, spread: bool = True) -> None:
        """Take in a record.  source: the name of the sender.  spread: whether what is new is gossiped on."""
        known = self.get(record.id)
        if known is not None and (known is record or not supersedes(record, known)):
            # A stale record of this node itself, which has left or is down, needs no answer.
            if known.is_over and known is not self.me and record.name == self.me.name and not record.is_over:
                self.notices.append((record.endpoint, known))  # a node of this name does not know that it is over
            return
        if problem := self._problem(record, known):
            self.publish(Implausible(record.name, source, problem))
        elif known is self.me:
            self._receive_about_me(record)
        elif record.status is Status.SUSPECT:
            self.receive(record.become(Status.ALIVE), source, now, spread=spread)
            self.accuse(Accusation(record.name, record.generation, record.incarnation, source), now)
        elif record.status is Status.UNREACHABLE and known is not None and not known.is_over:
            self._receive_of_death(record, source, now, spread=spread)
        elif known is not None or not self._is_forgotten(record):
            self._store(record, now)
            if spread:
                self.broadcasts.put(self.get(record.id) or record)  # a rule above may have ended it
            self._apply_early(record, now)

    def accuse(self, accusation: Accusation, now: float) -> None:
        """Take in that a node suspects a member, or holds it for dead.  Only the holder of a name is suspected."""
        name, holder = accusation.name, self.members.get(accusation.name)
        known = self.get(accusation.id)
        if holder is None or (known is not None and known.is_over) or accusation.id in self.forgotten:
            return
        if known is None or accusation.incarnation > known.incarnation:
            self._keep_early(accusation, known)
        elif accusation.incarnation == known.incarnation and known is holder:
            if known is self.me:
                self._refute(accusation.incarnation)
            elif accusation.dead:
                if known.is_present:
                    self._give_up(known, accusation, now)
            elif known.status is Status.ALIVE:
                self._store(suspect := known.become(Status.SUSPECT), now)
                self.suspicions.begin(name, self.present, accusation.by, now)
                self.broadcasts.put(accusation)
                self.publish(Suspected(suspect, accusation.by))
            elif known.status is Status.SUSPECT and self.suspicions.confirm(name, accusation.by):
                self.broadcasts.put(accusation)

    def expire(self, now: float) -> None:
        """Give up the suspects whose time is over, and probe those that too few other nodes suspect.

        Such a member may have refuted without the refutation having arrived here; the answer to the probe brings it.
        """
        for name in self.suspicions.expired(now):
            known = self.members[name]
            self._give_up(known, Accusation(name, known.generation, known.incarnation, self.me.name, dead=True), now)
        unconfirmed = self.suspicions.unconfirmed
        while unconfirmed:
            self.schedule.probe_soon(unconfirmed.pop())

    def take_down(self, name: str, reason: str, now: float) -> Member | None:
        """End the present generation of a member by a decision made here; return its record, None for no such one."""
        known = self.members.get(name)
        if known is None or known.is_over:
            return None
        record = known.become(Status.DOWN, _cut(reason))
        if known is self.me:
            self._receive_about_me(record)
        else:
            self.end_generation(known, reason, now)
        return record

    def end_generation(self, record: Member, reason: str, now: float) -> None:
        """Mark a generation down, and gossip it.  reason: one sentence, which every member publishes."""
        over = record.become(Status.DOWN, _cut(reason))
        self._store(over, now)
        self.broadcasts.put(over)

    def forget(self, now: float) -> None:
        """Drop the records of members that have been gone for ``tombstone_s``; only their ids stay, as long again."""
        keep_s = self._settings.tombstone_s
        while self.gone:
            key, since = next(iter(self.gone.items()))
            if since + keep_s > now and len(self.gone) <= self._settings.tombstones_max:
                break
            del self.gone[key]
            self._drop(key, now)
        while self.forgotten:
            key, (_, since) = next(iter(self.forgotten.items()))
            if since + keep_s > now and len(self.forgotten) <= self._settings.tombstones_max:
                break
            del self.forgotten[key]

    # -- this node itself ----------------------------------------------------------------------------------------------

    def become(self, me: Member) -> None:
        """Replace this node's own record, and gossip it."""
        self.digest.replace(self.me, me)
        self.me = self.members[me.name] = me
        self.broadcasts.put(me)

    def end(self, event: Ended) -> None:
        """End this node's membership."""
        self.ended = True
        self.publish(event)

    def check_own_name(self, now: float) -> None:
        """End other generations of this node's name, by rules 3 and 5; called when one is heard of, and at the join."""
        me = self.me
        if me.is_over or self.ended:
            return
        for other in [other for other in self.others.get(me.name, {}).values() if not other.is_over]:
            if other.endpoint == me.endpoint:
                self.end_generation(other, f"another generation of it joined from the same endpoint {me.endpoint}", now)
            elif self.joined and other.is_present:
                lower, higher = sorted((me.endpoint, other.endpoint))
                self.publish(NameConflict(me.name, lower, higher))
                if me.endpoint == higher:
                    self._end_self(f"the node at {lower} has the same name; rename one of the two")
                    self.notices.append((other.endpoint, self.me))
                    return
                self.notices.append((other.endpoint, me))

    def _end_self(self, reason: str) -> None:
        self.become(self.me.become(Status.DOWN, _cut(reason)))
        self.end(Ended("downed", f"{self.me.name}: {reason}"))

    def _refute(self, accused: int) -> None:
        if not self.me.is_over:
            self.become(self.me.next_incarnation(accused))

    def _receive_about_me(self, record: Member) -> None:
        """Take in a record of this node's own generation that this node has not made."""
        me = self.me
        if me.is_over or self.ended:
            return
        if record.status is Status.DOWN:
            self.end(Ended("downed", f"{me.name}: {record.reason or 'the cluster has taken this node down'}"))
        elif record.status is Status.LEFT:
            self.end(Ended("downed", f"{me.name}: the other members hold that this node has left"))
        else:
            self._refute(record.incarnation)

    # -- what becomes of a record --------------------------------------------------------------------------------------

    def _store(self, record: Member, now: float) -> None:
        """Store a record, find the holder of its name, and publish what has changed of it."""
        name = record.name
        before, old = self.get(record.id), self.members.get(name)
        self.digest.replace(before, record)
        if record.is_present:
            self.gone.pop(record.id, None)
        elif before is None or before.is_present:
            self.gone[record.id] = now
        if old is None or old.generation == record.generation:
            new = self._choose(record)
        else:
            self.others.setdefault(name, {})[record.generation] = record
            new = self._choose(old)
        self.members[name] = new
        if name in self.others:
            self._end_unreachable(new)
            if before is None and name == self.me.name:
                self.check_own_name(now)
        still_suspected = old is not None and new.generation == old.generation and new.status is Status.SUSPECT
        if old is not None and old.status is Status.SUSPECT and not still_suspected:
            self.suspicions.end(name)
        if new.is_present:
            self.schedule.insert(name)
        was_present = old is not None and old.is_present
        if was_present != new.is_present:
            self.present += 1 if new.is_present else -1
            self.broadcasts.limit = retransmit_limit(self._settings.retransmit_mult, self.present)
        self._publish_change(new, old)

    def _choose(self, held: Member) -> Member:
        """Return the holder of a name, of this record and the other generations; this node always holds its own."""
        others = self.others.get(held.name)
        if not others or held is self.me:
            return held
        best = min((held, *others.values()), key=holder_rank)
        if best is not held:
            del others[best.generation]
            others[held.generation] = held
        return best

    def _end_unreachable(self, holder: Member) -> None:
        """End the unreachable generations of a name that has a present holder (rule 4)."""
        if not holder.is_present:
            return
        others = self.others[holder.name]
        for other in [other for other in others.values() if other.status is Status.UNREACHABLE]:
            over = other.become(
                Status.DOWN, _cut(f"the node at {holder.endpoint} took its name while it was unreachable")
            )
            self.digest.replace(other, over)
            others[other.generation] = over
            self.broadcasts.put(over)

    def _publish_change(self, new: Member, old: Member | None) -> None:
        if old is None:
            if new.is_present:
                self.publish(Joined(new))
        elif new.generation != old.generation:
            if not old.is_over:
                self._publish_end(self.get(old.id) or old, f"the node at {new.endpoint} holds its name")
            if new.is_present:
                self.publish(Joined(new))
        elif new.is_over:
            if not old.is_over:
                self._publish_end(new, "")
        elif new.status is Status.ALIVE and new is not old:
            if old.status is not Status.ALIVE:
                self.publish(ReachableAgain(new, old))
            if (old.endpoint, old.metadata, old.versions) != (new.endpoint, new.metadata, new.versions):
                self.publish(Updated(new, old))

    def _publish_end(self, record: Member, otherwise: str) -> None:
        if record.status is Status.LEFT:
            self.publish(Departed(record))
        else:
            reason = record.reason or otherwise or "it was taken down"
            self.publish(Downed(record.become(Status.DOWN, reason), reason))

    def _give_up(self, known: Member, accusation: Accusation, now: float) -> None:
        record = known.become(Status.UNREACHABLE)
        self.broadcasts.put(accusation)
        self._store(record, now)
        if self.members[known.name] is record:
            self.publish(Unreachable(record))

    def _receive_of_death(self, record: Member, source: str, now: float, *, spread: bool) -> None:
        """Another node holds a member for dead that is not over here: let the member refute it."""
        self.receive(record.become(Status.ALIVE), source, now, spread=spread)
        known = self.get(record.id)
        if known is None or known is not self.members.get(record.name):
            return
        self.doubted.append((known, source))
        if self.suspicions.confirm(record.name, source):
            self.broadcasts.put(Accusation(record.name, record.generation, record.incarnation, source))

    def _drop(self, member: MemberId, now: float) -> None:
        """Forget the record of a generation that is not present, but not its id."""
        record = self.get(member)
        if record is None:
            return
        name, generation = member
        self.digest.replace(record, None)
        self.broadcasts.drop(member)
        self.forgotten[member] = (record.is_over, now)
        others = self.others.get(name, {})
        if self.members[name] is not record:
            del others[generation]
        elif others:
            best = min(others.values(), key=holder_rank)
            self.members[name] = others.pop(best.generation)
        else:
            del self.members[name]
        if not others:
            self.others.pop(name, None)
        if record.status is Status.UNREACHABLE:
            reason = f"it was unreachable for {self._settings.tombstone_s:g} s"
            self.publish(Downed(record.become(Status.DOWN, reason), reason))

    # -- limits, and accusations that come too early -------------------------------------------------------------------

    def _problem(self, record: Member, known: Member | None) -> str:
        """Return which limit a record breaks; empty for none."""
        settings = self._settings
        if problem := self.text_problem(record.name, record.endpoint):
            return problem
        if not 0 <= record.generation <= GENERATION_MAX:
            return f"its generation {record.generation} is not between 0 and {GENERATION_MAX}"
        base = 0 if known is None else known.incarnation
        incarnation_max = min(INCARNATION_MAX, base + settings.incarnation_ahead_max)
        if not 0 <= record.incarnation <= incarnation_max:
            return f"its incarnation {record.incarnation} is not between 0 and {incarnation_max}"
        if len(record.metadata) > settings.metadata_bytes_max:
            limit = f"metadata_bytes_max={settings.metadata_bytes_max}"
            return f"its metadata has {len(record.metadata)} bytes, more than {limit}"
        if len(record.reason.encode()) > REASON_BYTES_MAX:
            return f"its reason has more than {REASON_BYTES_MAX} bytes"
        if record.name not in self.members:
            full = len(self.members) >= settings.members_max
            return f"the view is full: members_max={settings.members_max}" if full else ""
        if known is None and not record.is_over:
            living = sum(not other.is_over for other in self.generations(record.name))
            if living >= settings.generations_max:
                return f"{living} living nodes have this name already: generations_max={settings.generations_max}"
        return ""

    def text_problem(self, name: str, endpoint: str) -> str:
        """Return why this name and this endpoint are those of no node, in one clause; empty when they may be."""
        longest = max(len(name.encode()), len(endpoint.encode()))
        if not name or not endpoint or longest > TEXT_BYTES_MAX:
            return f"its name or endpoint has {longest} bytes, 1 to {TEXT_BYTES_MAX} are allowed"
        return self._node_problem(name, endpoint)

    def _is_forgotten(self, record: Member) -> bool:
        """Return whether a record is of a generation that ended, or tells nothing new of one that was unreachable."""
        was_over, _ = self.forgotten.get(record.id, (False, 0.0))
        if was_over:
            return True
        return not record.is_present and record.id in self.forgotten

    def _keep_early(self, accusation: Accusation, known: Member | None) -> None:
        ahead = accusation.incarnation - (0 if known is None else known.incarnation)
        if ahead > self._settings.incarnation_ahead_max:
            problem = f"the accused incarnation {accusation.incarnation} is too far ahead"
            self.publish(Implausible(accusation.name, accusation.by, problem))
        elif known is self.me:
            self._refute(accusation.incarnation)
        elif len(self._early) < EARLY_MAX:
            self._early[accusation.id] = accusation

    def _apply_early(self, record: Member, now: float) -> None:
        accusation = self._early.get(record.id)
        if accusation is not None and record.incarnation >= accusation.incarnation:
            del self._early[record.id]
            self.accuse(accusation, now)


def _cut(reason: str) -> str:
    """Return a reason that fits into a record."""
    return reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
