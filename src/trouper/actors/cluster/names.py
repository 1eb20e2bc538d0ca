"""``NameTable``: names that are unique in the cluster, and the rule for a name that two nodes claimed (PURE).

Each node writes its own claims, so a claim needs no vote and works on both sides of a network partition.  The price is
that both sides may give one name to two actors.  When the partition heals, one rule decides, the same on every node and
for every order of messages: **the claim with the lowest (stamp, node name) stays.**  The stamp is one more than the
highest that the claiming node had seen (a Lamport clock), so a claim made in knowledge of another is younger, and no
wall clock matters; of claims made without knowledge of each other either may have the lower stamp.  The node of the
losing claim withdraws it and gets ``ClaimLost``, so that it can stop the actor or rename it.

A name is free when its holder's node goes down or releases it; it does not pass to another claimant.  A name that must
never have two holders, not even during a partition, needs consensus, which this table does not provide.

Each public method is one event and returns the effects, to be carried out in order.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeAlias, TypeVar

import msgspec

from ... import NameTaken
from ...lowlevel import Announce, Change, Delta, DeltaRefused, Resync, VersionedTable

Ref = TypeVar("Ref", bound=Hashable)


class Claim(msgspec.Struct, Generic[Ref], frozen=True):
    """A node's claim of a name: its stamp, and the actor that gets the name."""

    stamp: int
    ref: Ref


class Holder(msgspec.Struct, Generic[Ref], frozen=True):
    """A claim with the node that makes it."""

    node: str
    stamp: int
    ref: Ref


class HolderChanged(msgspec.Struct, Generic[Ref], frozen=True):
    """The name has another holder in this copy; None when it is free."""

    name: str
    holder: Holder[Ref] | None


class ClaimLost(msgspec.Struct, Generic[Ref], frozen=True):
    """An actor of this node has lost its name to an older claim."""

    name: str
    loser: Holder[Ref]
    winner: Holder[Ref]


Effect: TypeAlias = Announce[str, Claim[Ref]] | HolderChanged[Ref] | ClaimLost[Ref] | Resync | DeltaRefused


class NameTable(Generic[Ref]):
    """One node's copy of all claims.

    table: for the exchange with other nodes.  names_max: the most names that one node may claim.
    """

    __slots__ = ("_claims", "_names_of", "_stamp", "table")

    def __init__(self, node: str, generation: int, names_max: int = 100_000) -> None:
        self.table: VersionedTable[str, Claim[Ref]] = VersionedTable(node, generation, entries_max=names_max)
        self._claims: dict[str, dict[str, Claim[Ref]]] = {}
        self._names_of: dict[Ref, dict[str, None]] = {}
        """The names that each actor of this node has, so that its end costs no search."""
        self._stamp = 0

    def holder(self, name: str) -> Holder[Ref] | None:
        """Return the holder of a name, as far as this copy knows; None when it is free."""
        claims = self._claims.get(name)
        return None if claims is None else _first(claims)

    def register(self, name: str, ref: Ref) -> list[Effect[Ref]]:
        """Claim a name for an actor of this node; nothing happens when the actor has it already.

        Raises ``NameTaken`` when another actor has it, and ``RowFull`` at ``names_max``.
        """
        holder = self.holder(name)
        if holder is not None:
            if holder.node == self.table.node and holder.ref == ref:
                return []
            raise NameTaken(
                f"the name {name!r} is held by {holder.ref} on node {holder.node}; look it up, or take another"
            )
        return self._write(name, Claim(self._stamp + 1, ref))

    def release(self, name: str) -> list[Effect[Ref]]:
        """Withdraw this node's claim of a name; nothing happens when there is none."""
        return self._write(name, None)

    def actor_ended(self, ref: Ref) -> list[Effect[Ref]]:
        """Withdraw all names of an actor of this node that has ended."""
        return [effect for name in tuple(self._names_of.get(ref, ())) for effect in self.release(name)]

    def merge(self, delta: Delta[str, Claim[Ref]]) -> list[Effect[Ref]]:
        """Apply a delta of another node's row, from that node or from any other one."""
        applied = self.table.apply(delta)
        return [*self.table.effects_of(delta, applied), *self._changed(applied.changes)]

    def up(self, node: str, generation: int) -> list[Effect[Ref]]:
        """Add a member in this generation; the claims of any other generation of it are removed."""
        return self._changed(self.table.up(node, generation))

    def down(self, node: str) -> list[Effect[Ref]]:
        """Remove a node that is no longer a member; its names are free."""
        return self._changed(self.table.down(node))

    def _write(self, name: str, claim: Claim[Ref] | None) -> list[Effect[Ref]]:
        before = self.table.row(self.table.node).get(name)
        delta = self.table.put(name, claim)
        if delta is None:
            return []
        if before is not None:
            names = self._names_of[before.ref]
            del names[name]
            if not names:
                del self._names_of[before.ref]
        if claim is not None:
            self._names_of.setdefault(claim.ref, {})[name] = None
        return [Announce(delta), *self._changed([Change(self.table.node, name, before, claim)])]

    def _changed(self, changes: Iterable[Change[str, Claim[Ref]]]) -> list[Effect[Ref]]:
        effects: list[Effect[Ref]] = []
        for change in changes:
            name, claims = change.key, self._claims.setdefault(change.key, {})
            before = _first(claims)
            claims.pop(change.owner, None)
            if change.after is not None:
                claims[change.owner] = change.after
                self._stamp = max(self._stamp, change.after.stamp)
            after = _first(claims)
            if not claims:
                del self._claims[name]
            if before != after:
                effects.append(HolderChanged(name, after))
            if after is not None and after.node != self.table.node and self.table.node in claims:
                lost = claims[self.table.node]
                effects.append(ClaimLost(name, Holder(self.table.node, lost.stamp, lost.ref), after))
                effects += self._write(name, None)
        return effects


def _first(claims: dict[str, Claim[Ref]]) -> Holder[Ref] | None:
    """Return the claim with the lowest stamp, and of those the one with the lowest node name; None of none."""
    if not claims:
        return None
    node = min(claims, key=lambda node: (claims[node].stamp, node))
    return Holder(node, claims[node].stamp, claims[node].ref)
