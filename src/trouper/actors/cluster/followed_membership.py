"""``FollowedMembership``: the members of a cluster as a worker knows them, from its parent (PURE).

A worker takes no part in the membership: it is not probed and has no vote.  Its parent, which is a member, sends it the
records of the members and each change of one.  So it has what a ``Membership`` has for reading.
"""

from __future__ import annotations

from collections.abc import Iterable

from .membership import effects
from .membership.effects import MemberChange
from .membership.local_health import LocalHealth
from .membership.records import Member, Status
from .membership.settings import SwimSettings

ENDED_MAX = 1_000
"""The members that are over and remembered, the last ones to end."""


class FollowedMembership:
    """The members, this worker's parent among them.

    me: a record of the worker itself, which no other node has; its generation is that of the worker's own rows.
    """

    is_over = False
    """Never: a worker ends with its node."""

    def __init__(self, me: Member, settings: SwimSettings) -> None:
        self.me, self.health = me, LocalHealth(settings)
        self.is_joined = False
        self._members: dict[str, Member] = {}
        self._ended: dict[tuple[str, int], Member] = {}

    def members(self) -> list[Member]:
        """Return the members that are alive, suspected or unreachable."""
        return [member for member in self._members.values() if not member.is_over]

    def record(self, name: str) -> Member | None:
        """Return the record that holds a name; None for a name that is not known."""
        return self._members.get(name)

    def records(self) -> dict[str, Member]:
        """Return the record that holds each name."""
        return dict(self._members)

    def ended(self) -> list[Member]:
        """Return the records of members that have left or are down, the last to end last."""
        return list(self._ended.values())

    def suspicion(self, name: str) -> float:
        """Return 0 for a member that its parent holds to be alive, else 1."""
        member = self._members.get(name)
        return 0.0 if member is not None and member.status is Status.ALIVE else 1.0

    def update(self, records: Iterable[Member]) -> list[MemberChange]:
        """Take records as the parent has them now; returns what has changed, for the events of members."""
        changes: list[MemberChange] = []
        for record in records:
            before = self._members.get(record.name)
            if before == record or (before is None and record.is_over):
                continue
            if before is not None and before.id != record.id and not before.is_over:
                changes.append(effects.Downed(before.become(Status.DOWN), "another generation has its name"))
            self._members[record.name] = record
            changes.append(_change(record, before if before is not None and before.id == record.id else None))
            if record.is_over:
                del self._members[record.name]
                self._ended[record.id] = record
                if len(self._ended) > ENDED_MAX:
                    del self._ended[next(iter(self._ended))]
        return changes


def _change(record: Member, before: Member | None) -> MemberChange:
    match record.status:
        case Status.LEFT:
            return effects.Departed(record)
        case Status.DOWN:
            return effects.Downed(record, record.reason)
        case Status.SUSPECT:
            return effects.Suspected(record, "") if before is not None else effects.Joined(record)
        case Status.UNREACHABLE:
            return effects.Unreachable(record) if before is not None else effects.Joined(record)
        case Status.ALIVE:
            pass
    if before is None:
        return effects.Joined(record)
    return effects.Updated(record, before) if before.is_present else effects.ReachableAgain(record, before)
