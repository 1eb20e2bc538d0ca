"""``PartitionView``: what one side of a partition knows of the members, and how they are counted (PURE).

Counting follows Apache Pekko's split brain resolver (module ``cluster.sbr``, Apache-2.0), whose behaviour its test
``SplitBrainResolverSpec`` states: members that are joining, weakly up, exiting or down do not count.  Because a
member's status and the network may change at the same time, a second count takes the view that the other side may have:
there a joining member may be up already, and a leaving one may be exiting already.
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


class PartitionMember(msgspec.Struct, frozen=True):
    """One member, as this side knows it.

    name: unique in the cluster; "the lowest" member is the first by name.  status: see the module's docstring.
    up_number: the number with which the member came up; a smaller number is an older member.  It is ignored while the
    member is joining or weakly up.  roles: of the node.
    """

    name: str
    status: MemberPhase = "up"
    up_number: int = 0
    roles: frozenset[str] = frozenset()


class PartitionView(msgspec.Struct, frozen=True, dict=True):
    """What one side knows.

    members: all of them, those that are unreachable too; no two of one name.
    observations: (observer, subject) pairs, each a member that cannot reach another one; pairs with a node that is no
    member are ignored.
    """

    members: tuple[PartitionMember, ...]
    observations: frozenset[tuple[str, str]] = frozenset()

    @cached_property
    def pairs(self) -> frozenset[tuple[str, str]]:
        """The observations between members."""
        names = self.names
        return frozenset(pair for pair in self.observations if pair[0] in names and pair[1] in names)

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of all members."""
        return frozenset(member.name for member in self.members)

    @cached_property
    def unreachable(self) -> frozenset[str]:
        """Members that at least one other member cannot reach."""
        return frozenset(subject for _, subject in self.pairs)

    @cached_property
    def indirectly_connected(self) -> frozenset[str]:
        """Members that are unreachable for some members and connected through others."""
        return indirectly_connected(self.pairs)

    @cached_property
    def downable(self) -> frozenset[str]:
        """Members that can be taken down: all but those that are exiting or down already."""
        return frozenset(member.name for member in self.members if member.status not in GONE)

    def counted(
        self, role: str | None, with_joining: bool = False, without_leaving: bool = False
    ) -> list[PartitionMember]:
        """Return the members that count, lowest name first.

        role: only members with this role; None for all.  with_joining: whether joining members count too.
        without_leaving: whether leaving members do not count.
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
        return PartitionView(self.members, self.pairs - observations)


def age(member: PartitionMember) -> tuple[bool, int, str]:
    """Return the key that sorts members by age, the oldest first."""
    return (member.status in JOINING, member.up_number, member.name)


def leader_of(view: PartitionView, node: str) -> str | None:
    """Return the leader in the view of ``node``: of the reachable members the lowest that is up or leaving.

    In a partition each side has one.  ``node`` can always reach itself.  None when no member is left.
    """
    reachable = [m for m in view.members if m.status != "down" and (m.name not in view.unreachable or m.name == node)]
    if not reachable:
        return None
    return min(reachable, key=lambda member: (_LEADS_BEFORE[member.status], member.name)).name
