"""``PartitionView``: what one side of a cut knows of the members, and how they are counted (PURE).

Counting follows Apache Pekko's split brain resolver (module ``cluster.sbr``, Apache-2.0), whose behaviour its test
``SplitBrainResolverSpec`` states: members that are joining, weakly up, exiting or down do not count.  Because a change
of a member's status and a cut can come at once, a second count asks what the other side may believe: there a joining
member may be up already, and a leaving one may be exiting already.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import msgspec

from ..reachability import indirectly_connected

MemberPhase = Literal["joining", "weakly_up", "up", "leaving", "exiting", "down"]
JOINING = frozenset({"joining", "weakly_up"})
GONE = frozenset({"exiting", "down"})
_LEADS_BEFORE: dict[MemberPhase, int] = {"up": 0, "leaving": 0, "weakly_up": 1, "joining": 2, "exiting": 3, "down": 4}


class Member(msgspec.Struct, frozen=True):
    """One member, as this side knows it.

    name: unique in the cluster; the order of names is what "lowest" means.  up_number: the how-manieth member it was to
    come up, so that a lower number is an older member; it does not matter while the member is joining or weakly up.
    """

    name: str
    status: MemberPhase = "up"
    up_number: int = 0
    roles: frozenset[str] = frozenset()


class PartitionView(msgspec.Struct, frozen=True, dict=True):
    """What one side knows.

    members: with those that cannot be reached; no two of one name.  observations: (observer, subject) pairs, each a
    member that cannot reach another one; pairs with somebody who is no member are left out of account.
    seen_by: the members known to have this very state, so from which something has come since.
    led: whether only the leader moves members on (joining to up, leaving to exiting), as in Pekko.  False for a
    membership in which each node does so by itself; then ``KeepMajority`` gives away more ties, see ``strategies``.
    """

    members: tuple[Member, ...]
    observations: frozenset[tuple[str, str]] = frozenset()
    seen_by: frozenset[str] = frozenset()
    led: bool = True

    @cached_property
    def pairs(self) -> frozenset[tuple[str, str]]:
        """The observations between members."""
        names = self.names
        return frozenset(pair for pair in self.observations if pair[0] in names and pair[1] in names)

    @cached_property
    def names(self) -> frozenset[str]:
        """Everybody's name."""
        return frozenset(member.name for member in self.members)

    @cached_property
    def unreachable(self) -> frozenset[str]:
        """Members that at least one other cannot reach."""
        return frozenset(subject for _, subject in self.pairs)

    @cached_property
    def indirectly_connected(self) -> frozenset[str]:
        """Members that are out of reach for some and yet in touch through others; never the mark of a clean cut."""
        return indirectly_connected(self.pairs, self.seen_by)

    @cached_property
    def downable(self) -> frozenset[str]:
        """Members that an order to go down is meant for: all but those that are on their way out already."""
        return frozenset(member.name for member in self.members if member.status not in GONE)

    def counted(self, role: str | None, with_joining: bool = False, without_leaving: bool = False) -> list[Member]:
        """Return the members that count, lowest name first.

        role: None for all.  with_joining: as many as may count on the other side.  without_leaving: as few.
        """
        counted = [
            member
            for member in self.members
            if member.status not in GONE
            and (with_joining or member.status not in JOINING)
            and not (without_leaving and member.status == "leaving")
            and (role is None or role in member.roles)
        ]
        return sorted(counted, key=lambda member: member.name)

    def without(self, observations: frozenset[tuple[str, str]]) -> PartitionView:
        """Return the same view without these observations."""
        return PartitionView(self.members, self.pairs - observations, self.seen_by, self.led)


def age(member: Member) -> tuple[bool, int, str]:
    """Return the key that sorts members by age, the oldest first."""
    return (member.status in JOINING, member.up_number, member.name)


def leader_of(view: PartitionView, node: str) -> str | None:
    """Return who gives the orders in the eyes of ``node``: of those in reach the lowest that is up or leaving.

    There may be several leaders in a cluster that is cut, and none when nobody is left.  ``node`` is always in reach
    of itself.
    """
    in_reach = [m for m in view.members if m.status != "down" and (m.name not in view.unreachable or m.name == node)]
    if not in_reach:
        return None
    return min(in_reach, key=lambda member: (_LEADS_BEFORE[member.status], member.name)).name
