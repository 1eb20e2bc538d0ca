"""Three replicas and a bad network between them: news is late, doubled, lost, out of order; nodes begin new lives."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar, cast

from trouper.runtime.gossip.versioned_table import Announce, Delta, Resync, VersionedTable

NODES = ("a", "b", "c")


class Machine(Protocol):
    """What names, groups and topics have in common."""

    table: VersionedTable[object, object]

    def merge(self, delta: Delta[object, object], /) -> Sequence[object]:
        """Take in news."""
        ...

    def up(self, node: str, generation: int, /) -> Sequence[object]:
        """Note a member."""
        ...


M = TypeVar("M")


class Network(Generic[M]):
    """The replicas by node, what is on the way between them, and what each had to be done besides.

    Deltas are merged as ``machine`` says; what it returns besides news to send is put into ``done``.
    """

    def __init__(self, make: Callable[[str, int], M], machine: Callable[[M], Machine], seed: int = 0) -> None:
        self._make, self._machine = make, machine
        self._draw = random.Random(seed)
        self.at: dict[str, M] = {node: make(node, 1) for node in NODES}
        self.done: list[tuple[str, object]] = []
        self._lives: dict[str, int] = dict.fromkeys(NODES, 1)
        self._news: list[tuple[str, Delta[object, object]]] = []
        self._ups: list[tuple[str, str, int]] = []
        for node in NODES:
            self._meet(node)

    def do(self, node: str, effects: Sequence[object]) -> None:
        """Carry out effects of a node: send its news, ask where something is missing, keep the rest."""
        for effect in effects:
            if isinstance(effect, Announce):
                delta = cast("Announce[object, object]", effect).delta
                self._news += [(other, delta) for other in NODES if other != node]
            elif isinstance(effect, Resync):
                self.sync(node, effect.node)
            else:
                self.done.append((node, effect))

    def deliver(self, place: int) -> None:
        """Deliver one piece of news that is on the way; it may come once more later, and others before it."""
        if self._news:
            place %= len(self._news)
            to, delta = self._news[place] if self._draw.random() < 0.3 else self._news.pop(place)
            self.do(to, self._machine(self.at[to]).merge(delta))

    def lose(self, place: int) -> None:
        """Lose one piece of news that is on the way."""
        if self._news:
            del self._news[place % len(self._news)]

    def sync(self, node: str, other: str) -> bool:
        """Let a node have what another one knows and it does not; say whether there was anything."""
        deltas = self._machine(self.at[other]).table.deltas_for(self._machine(self.at[node]).table.digest())
        for delta in deltas:
            self.do(node, self._machine(self.at[node]).merge(delta))
        return bool(deltas)

    def restart(self, node: str) -> None:
        """Begin a new life of a node; the others hear of it some time later, and old news is still on the way."""
        self._lives[node] += 1
        self.at[node] = self._make(node, self._lives[node])
        self._ups += [(other, node, self._lives[node]) for other in NODES if other != node]
        self._meet(node)

    def hear(self, place: int) -> None:
        """Let one node hear of a new life of another."""
        if self._ups:
            to, node, generation = self._ups.pop(place % len(self._ups))
            self.do(to, self._machine(self.at[to]).up(node, generation))

    def heal(self) -> None:
        """Let all hear of all lives, and exchange what they know until nobody knows more than another."""
        while self._ups:
            self.hear(0)
        self._news.clear()
        for _ in range(10):
            pairs = self._draw.sample([(one, other) for one in NODES for other in NODES if one != other], 6)
            moved = [self.sync(one, other) for one, other in pairs]
            if not any(moved):
                return
        raise AssertionError("the replicas do not come to an end")

    def _meet(self, node: str) -> None:
        for other in NODES:
            if other != node:
                self.do(node, self._machine(self.at[node]).up(other, self._lives[other]))
