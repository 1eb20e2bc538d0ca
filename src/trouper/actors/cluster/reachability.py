"""``Reachability``: which members cannot reach which others, as all members have published it (PURE).

In a cluster in which every member reaches every other one it is empty.  The idea is that of Apache Pekko's
``Reachability`` (module ``cluster``, Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final, Literal

import msgspec

Reach = Literal["unreachable"]
"""The value that a member publishes for each other one that it cannot reach."""
OBSERVERS_MAX: Final = 9
"""Once so many others have published that they cannot reach a member, a node does not publish it too.

Nine is what Pekko uses.  It keeps the number of entries from growing with the square of the cluster's size.
"""


class Reachability(msgspec.Struct, frozen=True):
    """The unreachable members by observer.  rows: observers without any are left out."""

    rows: Mapping[str, frozenset[str]] = {}

    def restrict(self, members: Collection[str]) -> Reachability:
        """Return the same without observers and subjects that are not among these members."""
        kept = {observer: subjects.intersection(members) for observer, subjects in self.rows.items()}
        return Reachability({name: subjects for name, subjects in kept.items() if subjects and name in members})

    @property
    def unreachable(self) -> frozenset[str]:
        """The members that at least one other cannot reach."""
        return frozenset(subject for subjects in self.rows.values() for subject in subjects)

    @property
    def observations(self) -> frozenset[tuple[str, str]]:
        """All pairs of an observer and a member that it cannot reach."""
        return frozenset((observer, subject) for observer, subjects in self.rows.items() for subject in subjects)

    def observers(self, subject: str) -> frozenset[str]:
        """Return the members that cannot reach this one."""
        return frozenset(observer for observer, subjects in self.rows.items() if subject in subjects)


def indirectly_connected(observations: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Return the members that are unreachable for some members and connected through others.

    A member that others cannot reach, and that has itself published which members it cannot reach, is one:
    another member has forwarded what it published.  Neither a crash nor a clean partition looks so.
    """
    pairs = list(observations)
    return frozenset(observer for observer, _ in pairs) & frozenset(subject for _, subject in pairs)
