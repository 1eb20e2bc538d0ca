"""Faults as data: what fails in a simulation, when, and where (PURE).

A ``Plan`` is drawn from a seed before the run, so a run can be repeated with some of its faults left out; ``shrink``
finds a small set of them that still makes it fail.  ``simulation.py`` and ``simulated_cluster.py`` apply them.

The shrinker is delta debugging: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

FaultKind = Literal[
    "crash", "kill", "pause", "slow", "flood", "leap",
    "node_crash", "node_pause", "node_slow", "node_drift", "partition", "hold", "reset", "degrade",
]  # fmt: skip
KINDS: tuple[FaultKind, ...] = ("crash", "kill", "pause", "slow", "flood", "leap")
"""Faults of actors, and of the clock of all."""
NODE_KINDS: tuple[FaultKind, ...] = (
    "node_crash", "node_pause", "node_slow", "node_drift", "partition", "hold", "reset", "degrade",
)  # fmt: skip
"""Faults of nodes and of the network between them; they need a cluster."""
SHRINK_RUNS_MAX = 200
"""Runs of the scenario that a shrinker may spend."""


class Chance(Protocol):
    """The part of ``random.Random`` that drawing needs."""

    def random(self) -> float:
        """Return a number in [0, 1)."""
        ...

    def randint(self, a: int, b: int, /) -> int:
        """Return a number in [a, b]."""
        ...

    def choice(self, seq: Sequence[FaultKind], /) -> FaultKind:
        """Return one of these."""
        ...


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    at_s: seconds of virtual time after the start.
    kind: ``crash`` fails the actor as by an exception, ``kill`` ends it, ``pause`` lets it handle nothing for ``for_s``
        seconds, ``slow`` makes it pause that long after each message, ``flood`` sends it ``count`` messages that it
        does not handle, ``leap`` moves the clock ahead by ``for_s`` seconds, as after a suspended host wakes. Of
        nodes: ``node_crash`` ends one at once and starts it again after ``for_s`` seconds, ``node_pause`` lets it
        stand still so long, ``node_slow`` lets it rest after each turn, ``node_drift`` lets its clock go wrong. Of the
        network, for ``for_s`` seconds: ``partition`` parts the cluster, ``hold`` keeps what is between two nodes,
        ``degrade`` makes the path between them slow or lossy, which shows as delay and as broken connections;
        ``reset`` breaks it once.
    pick: which actor, as a share in [0, 1) of the list of those that live at that time, oldest first; or which node.
    other: which other node; or how a node or the network is struck.
    """

    at_s: float
    kind: FaultKind
    pick: float = 0.0
    for_s: float = 0.0
    count: int = 0
    other: float = 0.0

    def __str__(self) -> str:
        if self.kind in NODE_KINDS:
            return f"at {self.at_s:.3g} s {self.kind} of {self.pick:.0%}, {self.other:.0%} for {self.for_s:.3g} s"
        target = "" if self.kind == "leap" else f" the actor at {self.pick:.0%} of the list"
        duration = f" for {self.for_s:.3g} s" if self.kind in ("pause", "slow", "leap") else ""
        amount = f" with {self.count} messages" if self.kind == "flood" else ""
        return f"at {self.at_s:.3g} s {self.kind}{target}{duration}{amount}"


@dataclass(frozen=True, slots=True)
class Plan:
    """All faults of a run; their place in ``faults`` is their name in a replay."""

    faults: tuple[Fault, ...] = ()

    def only(self, places: Sequence[int]) -> Plan:
        """Return the plan with the faults at these places alone."""
        return Plan(tuple(self.faults[place] for place in places))

    def __str__(self) -> str:
        return "; ".join(f"[{place}] {fault}" for place, fault in enumerate(self.faults)) or "no faults"


@dataclass(frozen=True, slots=True)
class Risks:
    """Which faults may happen: a seed draws up to ``faults_max`` of them within the first ``within_s`` seconds.

    kinds: a kind that is there twice is drawn twice as often.
    for_s_max: the longest pause, slowness (a tenth of it), leap, or trouble of a node or the network.
    flood_max: messages of the largest flood.
    """

    kinds: tuple[FaultKind, ...] = KINDS
    faults_max: int = 4
    within_s: float = 10.0
    for_s_max: float = 5.0
    flood_max: int = 100

    def draw(self, chance: Chance) -> Plan:
        """Draw a plan."""
        faults = [self._draw_one(chance) for _ in range(chance.randint(0, self.faults_max))]
        return Plan(tuple(sorted(faults, key=lambda fault: fault.at_s)))

    def _draw_one(self, chance: Chance) -> Fault:
        kind = chance.choice(self.kinds)
        longest_s = self.for_s_max / 10 if kind == "slow" else self.for_s_max
        return Fault(
            at_s=round(chance.random() * self.within_s, 3),
            kind=kind,
            pick=chance.random(),
            for_s=round(chance.random() * longest_s, 3),
            count=chance.randint(1, self.flood_max),
            # Only these faults draw it: the seeds of a single node keep their meaning.
            other=chance.random() if kind in NODE_KINDS else 0.0,
        )


def shrink(count: int, fails: Callable[[tuple[int, ...]], bool], runs_max: int = SHRINK_RUNS_MAX) -> tuple[int, ...]:
    """Return few of the places 0 .. ``count`` - 1 with which it still fails: none of them can be left out alone.

    fails: runs with these places only; called at most ``runs_max`` times, after which the best set so far is returned.
    """
    kept = tuple(range(count))
    parts = 2
    while kept and runs_max > 0:
        size = -(-len(kept) // parts)
        for start in range(0, len(kept), size):
            fewer = kept[:start] + kept[start + size :]
            runs_max -= 1
            if fails(fewer):
                kept, parts = fewer, max(parts - 1, 2)
                break
            if runs_max == 0:
                break
        else:
            if size == 1:
                return kept
            parts = min(len(kept), parts * 2)
    return kept
