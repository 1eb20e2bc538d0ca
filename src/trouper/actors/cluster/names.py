"""``NameTable``: names that one actor of the whole cluster has, with a rule for those that two claimed (PURE).

Each node owns its claims, so claiming a name needs no vote and works on both sides of a cut.  The price is that two
sides may give one name to two actors.  The rule that settles it when they meet, the same everywhere and on every
order of messages: **the claim with the lowest (stamp, node name) stays.**  The stamp is one more than the highest that
the claiming node had seen (a Lamport clock), so a claim made in knowledge of another is younger, and no wall clock
matters; of claims made without knowledge of each other either may have the lower one.  The node of the loser takes its
claim back and gets ``ClaimLost``, so that it can stop the actor or rename it.

A name is free when its holder's node goes down or lets it go; nobody inherits it.  For names that must never be held
twice, not even during a cut, an agreement is needed, and this is none.

Each public method is one event and returns the effects, to be carried out in order.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeAlias, TypeVar

import msgspec

from ...runtime.gossip.versioned_table import Announce, Change, Delta, DeltaRefused, Resync, VersionedTable
from ...runtime.kernel.errors import NameTaken

Ref = TypeVar("Ref", bound=Hashable)


class Claim(msgspec.Struct, Generic[Ref], frozen=True):
    """What a node says of a name: when it took it, in the order of stamps, and for whom."""

    stamp: int
    ref: Ref


class Holder(msgspec.Struct, Generic[Ref], frozen=True):
    """A claim with the node that makes it."""

    node: str
    stamp: int
    ref: Ref


class HolderChanged(msgspec.Struct, Generic[Ref], frozen=True):
    """The name is held by somebody else than before, as seen here; None is nobody."""

    name: str
    holder: Holder[Ref] | None


class ClaimLost(msgspec.Struct, Generic[Ref], frozen=True):
    """An actor of this node has lost its name to an older claim, and is to be told."""

    name: str
    loser: Holder[Ref]
    winner: Holder[Ref]


Effect: TypeAlias = Announce[str, Claim[Ref]] | HolderChanged[Ref] | ClaimLost[Ref] | Resync | DeltaRefused


class NameTable(Generic[Ref]):
    """One node's copy of all claims.

    rows: for the exchange with others (``digest``, ``deltas_for``).  names_max: the most that one node may claim.
    """

    __slots__ = ("_claims", "_stamp", "table")

    def __init__(self, node: str, generation: int, names_max: int = 100_000) -> None:
        self.table: VersionedTable[str, Claim[Ref]] = VersionedTable(node, generation, entries_max=names_max)
        self._claims: dict[str, dict[str, Claim[Ref]]] = {}
        self._stamp = 0

    def holder(self, name: str) -> Holder[Ref] | None:
        """Return who has the name, as seen here; None for nobody."""
        claims = self._claims.get(name)
        return None if claims is None else _first(claims)

    def register(self, name: str, ref: Ref) -> list[Effect[Ref]]:
        """Claim a name for an actor of this node; nothing happens when it has it.

        Raises ``NameTaken`` when another one has it, and ``RowFull`` at ``names_max``.
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
        """Let go of a name that an actor of this node has; nothing happens when none has it."""
        return self._write(name, None)

    def gone(self, ref: Ref) -> list[Effect[Ref]]:
        """Let go of all names of an actor of this node, which has ended."""
        names = [name for name, claim in self.table.row(self.table.node).items() if claim.ref == ref]
        return [effect for name in names for effect in self.release(name)]

    def merge(self, delta: Delta[str, Claim[Ref]]) -> list[Effect[Ref]]:
        """Take in what another node claims, from it or from anybody who knows."""
        applied = self.table.apply(delta)
        return [*self.table.effects_of(delta, applied), *self._changed(applied.changes)]

    def up(self, node: str, generation: int) -> list[Effect[Ref]]:
        """Note a member, so that its claims are taken in; those of its earlier life are gone."""
        return self._changed(self.table.up(node, generation))

    def down(self, node: str) -> list[Effect[Ref]]:
        """Note that a node is no member any more; its names are free."""
        return self._changed(self.table.down(node))

    def _write(self, name: str, claim: Claim[Ref] | None) -> list[Effect[Ref]]:
        before = self.table.row(self.table.node).get(name)
        delta = self.table.put(name, claim)
        if delta is None:
            return []
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
    """The rule: the lowest stamp, and of those the lowest name of a node."""
    if not claims:
        return None
    node = min(claims, key=lambda node: (claims[node].stamp, node))
    return Holder(node, claims[node].stamp, claims[node].ref)
