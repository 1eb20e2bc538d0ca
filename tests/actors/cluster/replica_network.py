"""Three replicas and an unreliable network: deltas are late, duplicated, lost, reordered; nodes restart."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar, cast

from trouper.runtime.gossip.versioned_table import Announce, Delta, Resync, VersionedTable

NODES = ("a", "b", "c")


class Machine(Protocol):
    """What the tables of names, groups and topics have in common."""

    table: VersionedTable[object, object]

    def merge(self, delta: Delta[object, object], /) -> Sequence[object]:
        """Apply a delta."""
        ...

    def up(self, node: str, generation: int, /) -> Sequence[object]:
        """Add a member in this generation."""
        ...


M = TypeVar("M")


class Network(Generic[M]):
    """The replicas by node, the deltas in transit, and the other effects of each replica, in ``done``.

    make: makes the replica of a node in a generation.  machine: returns a replica as a ``Machine``.
    """

    def __init__(self, make: Callable[[str, int], M], machine: Callable[[M], Machine], seed: int = 0) -> None:
        self._make, self._machine = make, machine
        self._draw = random.Random(seed)
        self.at: dict[str, M] = {node: make(node, 1) for node in NODES}
        self.done: list[tuple[str, object]] = []
        self._generations: dict[str, int] = dict.fromkeys(NODES, 1)
        self._deltas: list[tuple[str, Delta[object, object]]] = []
        self._ups: list[tuple[str, str, int]] = []
        for node in NODES:
            self._meet(node)

    def do(self, node: str, effects: Sequence[object]) -> None:
        """Carry out the effects of a node: send its deltas, sync after a gap, keep the rest in ``done``."""
        for effect in effects:
            if isinstance(effect, Announce):
                delta = cast("Announce[object, object]", effect).delta
                self._deltas += [(other, delta) for other in NODES if other != node]
            elif isinstance(effect, Resync):
                self.sync(node, effect.node)
            else:
                self.done.append((node, effect))

    def deliver(self, place: int) -> None:
        """Deliver one delta that is in transit; it may arrive once more later, and others before it."""
        if self._deltas:
            place %= len(self._deltas)
            to, delta = self._deltas[place] if self._draw.random() < 0.3 else self._deltas.pop(place)
            self.do(to, self._machine(self.at[to]).merge(delta))

    def lose(self, place: int) -> None:
        """Lose one delta that is in transit."""
        if self._deltas:
            del self._deltas[place % len(self._deltas)]

    def sync(self, node: str, other: str) -> bool:
        """Send a node what another one has and it lacks; return whether there was anything."""
        deltas = self._machine(self.at[other]).table.deltas_for(self._machine(self.at[node]).table.digest())
        for delta in deltas:
            self.do(node, self._machine(self.at[node]).merge(delta))
        return bool(deltas)

    def restart(self, node: str) -> None:
        """Restart a node in a new generation; the others learn of it later, and its old deltas are still in transit."""
        self._generations[node] += 1
        self.at[node] = self._make(node, self._generations[node])
        self._ups = [up for up in self._ups if up[0] != node]  # the restarted node learns all present generations
        self._ups += [(other, node, self._generations[node]) for other in NODES if other != node]
        self._meet(node)

    def hear(self, place: int) -> None:
        """Let one node learn of a new generation of another; of one node it learns them in order."""
        if self._ups:
            to, node, _ = self._ups[place % len(self._ups)]
            first = next(up for up in self._ups if up[:2] == (to, node))
            self._ups.remove(first)
            generation = first[2]
            self.do(to, self._machine(self.at[to]).up(node, generation))

    def heal(self) -> None:
        """Let all learn of all generations, and sync until no replica has more than another."""
        while self._ups:
            self.hear(0)
        self._deltas.clear()
        for _ in range(10):
            pairs = self._draw.sample([(one, other) for one in NODES for other in NODES if one != other], 6)
            moved = [self.sync(one, other) for one, other in pairs]
            if not any(moved):
                return
        raise AssertionError("the replicas do not converge")

    def _meet(self, node: str) -> None:
        for other in NODES:
            if other != node:
                self.do(node, self._machine(self.at[node]).up(other, self._generations[other]))
