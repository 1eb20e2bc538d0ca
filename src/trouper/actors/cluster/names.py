"""``NameTable``: names that are unique in the cluster, and the rule for a name that two nodes claimed.

Each node writes its own claims, so a claim needs no vote and works on both sides of a network partition.  The price is
that both sides may give one name to two actors.  When the partition heals, one rule decides, the same on every node and
for every order of messages: **the claim with the lowest (stamp, node name) stays.**  The stamp is one more than the
highest that the claiming node had seen (a Lamport clock), so a claim made in knowledge of another is younger, and no
wall clock matters; of claims made without knowledge of each other either may have the lower stamp.  The node of the
losing claim withdraws it and gets ``ClaimLost``, so that it can stop the actor or rename it.

A name is free when its holder's node goes down or releases it; it does not pass to another claimant.  A name that must
never have two holders, not even during a partition, needs consensus, which this table does not provide.

A claim of another node has no effect on the stamps here beyond ``STAMPS_AHEAD_MAX``, and stamps end at ``STAMP_MAX``,
where the node names decide: so no stamp keeps later claims from being made.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Annotated, Generic, TypeVar

import msgspec

from ... import NameTaken
from ...lowlevel import ReplicatedTable, RowChanged, TableLimits

Ref = TypeVar("Ref", bound=Hashable)
NAMES_LIMITS = TableLimits(rows_max=100_000, row_bytes_max=1_024)
STAMP_MAX = 2**53
"""The highest stamp of a claim."""
STAMPS_AHEAD_MAX = 2**32
"""How far the stamp of one claim can move the stamps of a node that sees it."""


class Claim(msgspec.Struct, Generic[Ref], frozen=True):
    """A node's claim of a name: its stamp, and the actor that gets the name."""

    stamp: Annotated[int, msgspec.Meta(ge=1, le=STAMP_MAX)]
    ref: Ref


class Holder(msgspec.Struct, Generic[Ref], frozen=True):
    """A claim with the node that makes it."""

    node: str
    stamp: int
    ref: Ref


class ClaimLost(msgspec.Struct, Generic[Ref], frozen=True):
    """An actor of this node has lost its name to an older claim."""

    name: str
    loser: Holder[Ref]
    winner: Holder[Ref]


class NameTable(Generic[Ref]):
    """One node's view of all claims.

    table: the claims of all nodes.  on_lost: called when this node has withdrawn a claim that has lost.
    """

    __slots__ = ("_claims", "_names_of", "_node", "_on_lost", "_stamp", "table")

    def __init__(self, table: ReplicatedTable[str, Claim[Ref]], on_lost: Callable[[ClaimLost[Ref]], None]) -> None:
        self.table, self._on_lost, self._node = table, on_lost, table.copies.node
        self._claims: dict[str, dict[str, Claim[Ref]]] = {}
        self._names_of: dict[Ref, dict[str, None]] = {}
        """The names that each actor of this node has, so that its end costs no search."""
        self._stamp = 0
        table.subscribe(self._changed)

    def holder(self, name: str) -> Holder[Ref] | None:
        """Return the holder of a name, as far as this copy knows; None when it is free."""
        claims = self._claims.get(name)
        return None if claims is None else _first(claims)

    def names(self) -> list[str]:
        """Return all names that have a holder, sorted."""
        return sorted(self._claims)

    def register(self, name: str, ref: Ref) -> None:
        """Claim a name for an actor of this node; nothing happens when the actor has it already.

        Raises ``NameTaken`` when another actor has it, and ``RowFull`` at the limits of the table.
        """
        holder = self.holder(name)
        if holder is None:
            self.table.put(name, Claim(min(self._stamp + 1, STAMP_MAX), ref))
        elif holder.node != self._node or holder.ref != ref:
            raise NameTaken(
                f"the name {name!r} is held by {holder.ref} on node {holder.node}; look it up, or take another"
            )

    def actor_ended(self, ref: Ref) -> None:
        """Withdraw all names of an actor of this node that has ended."""
        for name in tuple(self._names_of.get(ref, ())):
            self.table.remove(name)

    def _changed(self, changes: Sequence[RowChanged[str, Claim[Ref]]]) -> None:
        lost: list[ClaimLost[Ref]] = []
        for change in changes:
            name, claims = change.key, self._claims.setdefault(change.key, {})
            claims.pop(change.owner, None)
            if change.after is not None:
                claims[change.owner] = change.after
                self._stamp = max(self._stamp, min(change.after.stamp, self._stamp + STAMPS_AHEAD_MAX))
            if change.owner == self._node:
                self._note_own(change)
            after = _first(claims)
            if after is None:
                del self._claims[name]
            elif after.node != self._node and self._node in claims:
                own = claims[self._node]
                lost.append(ClaimLost(name, Holder(self._node, own.stamp, own.ref), after))
        for each in lost:
            self.table.remove(each.name)
            self._on_lost(each)

    def _note_own(self, change: RowChanged[str, Claim[Ref]]) -> None:
        """Keep the index of the names of this node's actors."""
        if change.before is not None:
            names = self._names_of[change.before.ref]
            del names[change.key]
            if not names:
                del self._names_of[change.before.ref]
        if change.after is not None:
            self._names_of.setdefault(change.after.ref, {})[change.key] = None


def _first(claims: dict[str, Claim[Ref]]) -> Holder[Ref] | None:
    """Return the claim with the lowest stamp, and of those the one with the lowest node name; None of none."""
    if not claims:
        return None
    node = min(claims, key=lambda node: (claims[node].stamp, node))
    return Holder(node, claims[node].stamp, claims[node].ref)
