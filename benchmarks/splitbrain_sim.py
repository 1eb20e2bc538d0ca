"""``python -m benchmarks.splitbrain_sim``: random cuts of random clusters, and how many sides each strategy leaves.

A cut divides the members into two or more sides that know the same and cannot reach each other; every side decides for
itself.  A side survives when its own decision leaves at least one of its members.

At the moment of the cut members may have been moved on (those that were joining to up, those that were leaving to
exiting) which others have not seen: by nobody, by the leader, so that its side knows, or by each side for itself some
of them.  In the latter two cases there are never more members than a static quorum allows, twice its size less one, so
that no side can count past it alone, and in the last one some member with the role was up before.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from itertools import pairwise
from math import inf
from typing import Literal

import msgspec

from trouper.actors.cluster.splitbrain.decision import Decision, decide
from trouper.actors.cluster.splitbrain.strategies import (
    DownAll,
    KeepMajority,
    KeepOldest,
    LeaseMajority,
    StaticQuorum,
    Strategy,
)
from trouper.actors.cluster.splitbrain.view import MemberPhase, PartitionMember, PartitionView

Movers = Literal["nobody", "the leader", "each side"]
MOVERS: tuple[Movers, ...] = ("nobody", "the leader", "each side")
STRATEGIES = ("keep_majority", "static_quorum", "keep_oldest", "lease_majority", "down_all")
ROLE = "data"
STATUSES: tuple[MemberPhase, ...] = ("joining", "weakly_up", "leaving", "exiting", "down")
CHANGES: dict[MemberPhase, MemberPhase] = {"joining": "up", "weakly_up": "up", "leaving": "exiting"}
YOUNGEST = 1_000_000


class Outcome(msgspec.Struct, frozen=True):
    """What came of one cut: its sides, which of them survive, and the members kept of those who counted."""

    sides: tuple[tuple[PartitionMember, ...], ...]
    survivors: tuple[int, ...]
    kept_share: float


def cut(seed: int, name: str, movers: Movers = "nobody") -> Outcome:
    """Cut the cluster of this seed in two to four, and let each side decide by the strategy of this name.

    movers: who has moved members on at the moment of the cut.
    """
    draw = random.Random(f"{seed}/cut")
    size = draw.choice((2, 3, 4, 5, 6, 7, 10, 20, 50))
    members = _members(draw, size)
    if movers == "each side":
        members[0] = PartitionMember(members[0].name, "up", members[0].up_number, frozenset({ROLE}))
    strategy = _strategy(draw, name, size, movers != "nobody")
    sides = _sides(draw, members)
    leading = _side_of_the_leader(sides)
    chances = {"nobody": 0.0, "the leader": 1.0, "each side": 0.5}
    views = [
        _view(sides, own, draw, chances[movers] if movers != "the leader" or own == leading else 0.0)
        for own in range(len(sides))
    ]
    decisions = [decide(view, strategy) for view in views]
    downs = _after_the_lease(draw, decisions)
    left = [
        [m.name for m in view.members if m.name not in view.unreachable | down and m.name in view.downable]
        for view, down in zip(views, downs, strict=True)
    ]
    survivors = tuple(own for own, names in enumerate(left) if names)
    kept = max(len(names) for names in left) if survivors else 0
    return Outcome(tuple(map(tuple, sides)), survivors, kept / size)


def _members(draw: random.Random, size: int) -> list[PartitionMember]:
    calm = draw.random() < 0.5
    ages = draw.sample(range(size * 3), size)
    members: list[PartitionMember] = []
    for number, age in enumerate(ages):
        status: MemberPhase = "up" if calm or draw.random() < 0.7 else draw.choice(STATUSES)
        roles = frozenset({ROLE}) if draw.random() < 0.6 else frozenset[str]()
        members.append(PartitionMember(f"node-{number:02}", status, age, roles))
    return members


def _strategy(draw: random.Random, name: str, size: int, enough: bool) -> Strategy:
    role = draw.choice((None, None, ROLE))
    match name:
        case "keep_majority":
            return KeepMajority(role)
        case "static_quorum":
            return StaticQuorum(draw.randint(size // 2 + 1 if enough else 1, size // 2 + 1), role)
        case "keep_oldest":
            return KeepOldest(draw.random() < 0.7, role)
        case "lease_majority":
            return LeaseMajority(role)
        case _:
            return DownAll()


def _sides(draw: random.Random, members: list[PartitionMember]) -> list[list[PartitionMember]]:
    count = min(len(members), draw.choice((2, 2, 2, 3, 4)))
    shuffled = draw.sample(members, len(members))
    marks = [0, *sorted(draw.sample(range(1, len(members)), count - 1)), len(members)]
    return [shuffled[begin:end] for begin, end in pairwise(marks)]


def _side_of_the_leader(sides: list[list[PartitionMember]]) -> int | None:
    """Return who may have moved members on: the side of the lowest member that is up or leaving."""
    leaders = [(m.name, own) for own, side in enumerate(sides) for m in side if m.status in ("up", "leaving")]
    return min(leaders)[1] if leaders else None


def _view(sides: list[list[PartitionMember]], own: int, draw: random.Random, moved_share: float) -> PartitionView:
    here = sides[own]
    there = [member for index, side in enumerate(sides) if index != own for member in side]
    members = tuple(_moved_on(m) if draw.random() < moved_share else m for m in here + there)
    pairs = frozenset((here[index % len(here)].name, member.name) for index, member in enumerate(there))
    return PartitionView(members, pairs)


def _moved_on(member: PartitionMember) -> PartitionMember:
    """A member that comes up now is the youngest of all."""
    up_number = YOUNGEST if member.status in ("joining", "weakly_up") else member.up_number
    return PartitionMember(member.name, CHANGES.get(member.status, member.status), up_number, member.roles)


def _after_the_lease(draw: random.Random, decisions: list[Decision]) -> list[frozenset[str]]:
    """Give the lease to the side that asks first; with equal delays to any of them."""
    delays = [inf if each.lease_delay_s is None else each.lease_delay_s for each in decisions]
    order = sorted(range(len(decisions)), key=lambda own: (delays[own], draw.random()))
    winner = order[0]
    return [
        each.down if each.lease_delay_s is None or own == winner else each.down_without_lease
        for own, each in enumerate(decisions)
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.splitbrain_sim", description=__doc__)
    parser.add_argument("--cuts", type=int, default=10_000, help="how many cuts for each strategy")
    cuts = parser.parse_args().cuts
    print(f"| strategy | cuts | moved on by | none survives | one | two or more | mean share kept |\n|{'---|' * 7}")
    for name in STRATEGIES:
        for movers in MOVERS:
            found: Counter[int] = Counter()
            kept = 0.0
            for seed in range(cuts):
                outcome = cut(seed, name, movers)
                found[min(2, len(outcome.survivors))] += 1
                kept += outcome.kept_share
            print(f"| {name} | {cuts} | {movers} | {found[0]} | {found[1]} | {found[2]} | {kept / cuts:.0%} |")


if __name__ == "__main__":
    main()
