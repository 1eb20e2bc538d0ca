"""Who can reach whom: a matrix of observers and subjects, each row written by its observer alone (PURE).

A cluster in which everybody reaches everybody has no entries.  Rows carry a stamp (incarnation, version) that grows
with each change, so of two copies of a row the newer is known, and copies merge in any order, any number of times:
``merge`` is commutative, associative and idempotent.  Two copies of one stamp differ only in what ``restrict`` has left
out, and merge to both together.  The idea of rows with versions is that of Apache Pekko's ``Reachability`` (module
``cluster``, Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

import msgspec

from ...runtime.kernel.errors import CallerError

Reach = Literal["reachable", "unreachable", "terminated"]


class ReachabilityTooLarge(CallerError):
    """A matrix with more entries than ``entries_max`` was to be taken in."""


class ReachabilityRow(msgspec.Struct, frozen=True):
    """What one observer says.

    subjects: only those that it cannot reach; a subject that is not named is reachable.
    """

    generation: int
    version: int
    subjects: dict[str, Reach]

    @property
    def stamp(self) -> tuple[int, int]:
        """What grows with every change of the row, over restarts of its observer too."""
        return (self.generation, self.version)


class Reachability(msgspec.Struct, frozen=True):
    """The matrix, one row an observer; it never changes, the methods return others.

    entries_max: how many (observer, subject) entries ``merge`` takes at most.
    observers_max: once so many others have said of a subject that they cannot reach it, ``observe`` says it no more.
    Nine observers are what Pekko uses, and they keep a cut through a large cluster from filling the square of its size.
    """

    rows: Mapping[str, ReachabilityRow] = {}
    entries_max: int = 100_000
    observers_max: int = 9

    def observe(self, observer: str, subject: str, reach: Reach, generation: int = 0) -> Reachability:
        """Return the matrix after ``observer``, in this life of it, found ``subject`` so.

        "terminated" is final: this life of the observer says nothing else of the subject any more.  What changes
        nothing, and what enough others say already, returns the same matrix, so say it again at each failed probe.
        A row of an earlier life is dropped; an observation from one is ignored.
        """
        row = self.rows.get(observer)
        if row is None or row.generation < generation:
            if row is None and reach == "reachable":
                return self
            row = ReachabilityRow(generation, 0, {})
        elif generation < row.generation or row.subjects.get(subject, "reachable") in (reach, "terminated"):
            return self
        if reach == "unreachable" and len(self.observers(subject) - {observer}) >= self.observers_max:
            return self
        subjects: dict[str, Reach] = {name: found for name, found in row.subjects.items() if name != subject}
        if reach != "reachable":
            subjects[subject] = reach
        return self._with({**self.rows, observer: ReachabilityRow(generation, row.version + 1, subjects)})

    def merge(self, other: Reachability) -> Reachability:
        """Return what both know.  Raises ``ReachabilityTooLarge`` above this matrix's ``entries_max``."""
        rows = dict(self.rows)
        for observer, row in other.rows.items():
            mine = rows.get(observer)
            rows[observer] = row if mine is None else _newest(mine, row)
        entries = sum(len(row.subjects) for row in rows.values())
        if entries > self.entries_max:
            raise ReachabilityTooLarge(
                f"{entries} entries of who cannot reach whom, at most {self.entries_max} are taken (entries_max);"
                f" restrict both to the members first"
            )
        return self._with(rows)

    def restrict(self, members: Collection[str]) -> Reachability:
        """Return the matrix without rows and entries of others; after each ``merge``, or those who left come back."""
        rows: dict[str, ReachabilityRow] = {}
        for observer, row in self.rows.items():
            if observer in members:
                subjects: dict[str, Reach] = {name: reach for name, reach in row.subjects.items() if name in members}
                rows[observer] = (
                    row if subjects == row.subjects else ReachabilityRow(row.generation, row.version, subjects)
                )
        return self._with(rows)

    def remove(self, names: Collection[str]) -> Reachability:
        """Return the matrix without these members, who are neither observers nor subjects any more."""
        everybody = self.rows.keys() | {subject for row in self.rows.values() for subject in row.subjects}
        return self.restrict(everybody - set(names))

    def reach(self, observer: str, subject: str) -> Reach:
        """Return what one says of another."""
        row = self.rows.get(observer)
        return "reachable" if row is None else row.subjects.get(subject, "reachable")

    def status(self, subject: str) -> Reach:
        """Return the worst that anybody says of this member."""
        return _worst(self.reach(observer, subject) for observer in self.rows)

    @property
    def unreachable(self) -> frozenset[str]:
        """Members that somebody cannot reach, terminated ones too."""
        return frozenset(subject for row in self.rows.values() for subject in row.subjects)

    @property
    def observations(self) -> frozenset[tuple[str, str]]:
        """All pairs of an observer and somebody whom it cannot reach."""
        return frozenset((observer, subject) for observer, row in self.rows.items() for subject in row.subjects)

    def observers(self, subject: str) -> frozenset[str]:
        """Return who cannot reach this member."""
        return frozenset(observer for observer, row in self.rows.items() if subject in row.subjects)

    def _with(self, rows: Mapping[str, ReachabilityRow]) -> Reachability:
        return Reachability(rows, self.entries_max, self.observers_max)


def _newest(one: ReachabilityRow, other: ReachabilityRow) -> ReachabilityRow:
    """Of two copies of a row the newer; of one stamp, everything that either still has."""
    if one.stamp != other.stamp:
        return max(one, other, key=lambda row: row.stamp)
    return ReachabilityRow(one.generation, one.version, {**one.subjects, **other.subjects})


def _worst(found: Iterable[Reach]) -> Reach:
    seen = set(found)
    return "terminated" if "terminated" in seen else "unreachable" if "unreachable" in seen else "reachable"


def indirectly_connected(
    observations: Iterable[tuple[str, str]], seen_by: Collection[str] = frozenset()
) -> frozenset[str]:
    """Return the members that are out of reach for some and in touch through others.

    A member that others cannot reach, and that says so of others itself, has had its word carried here by somebody:
    no crash and no clean cut looks so.  Nor does a member that cannot be reached and is in ``seen_by``, those from whom
    something has come since; then its observer counts as indirectly connected too.
    """
    pairs = list(observations)
    found = {observer for observer, _ in pairs} & {subject for _, subject in pairs}
    for observer, subject in pairs:
        if subject in seen_by:
            found |= {observer, subject}
    return frozenset(found)
