"""Placement: on which node to put an actor, as policies that are put together (PURE).

    choose(labels(gpu="a100") | spread(by="zone") | least_loaded(), candidates, chance)

A policy *narrows* the candidates.  A *condition* (``labels``, ``roles``, ``needs``, ``same_host``) refuses those that
do not meet it, each with a reason; a *preference* (``least_loaded``, ``spread``, ``near``) keeps the best, and all of
them when they are equally good.  ``a | b`` applies b to what a has kept, so the first one counts most, and conditions
come first; ``a.otherwise(b)`` applies b only when a keeps nobody.  Of those that are left, chance takes one.

Laws of this file:
1. Nobody is placed on a node that cannot be reached, whatever the policy.
2. A preference refuses nobody as long as there is one candidate: a placement fails by conditions alone.
   (``near`` and ``same_host`` need to know of a node, and say so when they do not.)
3. The same policy, candidates and chances give the same node; the order of the candidates is not asked for.
4. When nobody fits, the error names each candidate, and why it was refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isnan
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from ...runtime.kernel.errors import InvalidOption, NodeUnreachable
from .metadata import Metadata, is_same_host
from .topology import LEVELS, Level, least_crowded, nearest

if TYPE_CHECKING:
    from ...node import Node

NAMED_MAX: Final = 50
"""Candidates that an error names; of the others it gives the number."""
MARGIN: Final = 0.25
"""A round-trip time that is longer by less than this part of the shortest is as good: so much is noise."""
MARGIN_S: Final = 0.0002
"""And so is one that is longer by less than this many seconds, as on one network they all are."""

Chance: TypeAlias = Callable[[], float]
"""Gives random numbers in [0, 1); ``random.Random(seed).random`` is one."""


class NoNodeFits(NodeUnreachable):
    """No node meets the conditions now.  ``refusals`` holds the reason of each candidate, by its name."""

    def __init__(self, policy: str, refusals: Mapping[str, str]) -> None:
        named = [f"{name} ({reason})" for name, reason in sorted(refusals.items())[:NAMED_MAX]]
        more = f" and {len(refusals) - NAMED_MAX} more" if len(refusals) > NAMED_MAX else ""
        said = f": {', '.join(named)}{more}" if refusals else ": there is no node at all"
        super().__init__(f"no node fits {policy}{said}")
        self.refusals = dict(refusals)


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A node on which an actor may be put, as it is known where the choice is made.

    name: of the node.  load: from 0, less is better, of one meaning for all candidates; None when it is not known.
    round_trips_s: what this node measured to others, in seconds, by their names.
    placed: actors of the group in question that it has already, for ``spread``.
    reachable: whether it can be reached from where the choice is made.
    """

    name: str
    metadata: Metadata = Metadata()
    load: float | None = None
    round_trips_s: Mapping[str, float] = {}
    placed: int = 0
    reachable: bool = True


@dataclass(frozen=True, slots=True)
class PlacementContext:
    """Where a choice is made.

    origin: the name of the node that asks; empty when it is none of the candidates.
    everybody: all candidates, those that cannot be reached among them.
    """

    all_candidates: tuple[Candidate, ...]
    chance: Chance
    origin: str = ""

    def find(self, name: str) -> Candidate | None:
        """The candidate of a name; None when there is none."""
        return next((candidate for candidate in self.all_candidates if candidate.name == name), None)


@dataclass(slots=True)
class Narrowed:
    """What a policy made of the candidates.  refused: reasons, by name; those who were merely not best have none."""

    kept: Sequence[Candidate]
    refused: dict[str, str] = field(default_factory=dict[str, str])


Narrow: TypeAlias = Callable[[Sequence[Candidate], PlacementContext], Narrowed]


@dataclass(frozen=True, slots=True)
class Policy:
    """How to narrow candidates; the functions below make them, and ``|`` puts them together.

    text: how it was written, for errors.
    """

    text: str
    narrow: Narrow

    def __str__(self) -> str:
        return self.text

    def __call__(self, node: Node) -> str:
        """Choose a member of the node's cluster: a policy is what ``spawn`` takes as ``place``.

        Raises ``NoNodeFits``, and ``NodeClosed`` on a node that is in no cluster.
        """
        return node.cluster.choose(self)

    def __or__(self, other: Policy) -> Policy:
        return self.then(other)

    def then(self, other: Policy) -> Policy:
        """This policy, then the other one on those that it keeps; the same as ``self | other``."""

        def narrow(candidates: Sequence[Candidate], context: PlacementContext) -> Narrowed:
            first = self.narrow(candidates, context)
            second = other.narrow(first.kept, context)
            return Narrowed(second.kept, {**first.refused, **second.refused})

        return Policy(f"{self} | {other}", narrow)

    def otherwise(self, other: Policy) -> Policy:
        """This policy, or the other one when this one keeps nobody."""

        def narrow(candidates: Sequence[Candidate], context: PlacementContext) -> Narrowed:
            first = self.narrow(candidates, context)
            if first.kept:
                return first
            second = other.narrow(candidates, context)
            both = {
                name: "; ".join(filter(None, (first.refused.get(name), reason)))
                for name, reason in second.refused.items()
            }
            return Narrowed(second.kept, both)

        return Policy(f"({self}).otherwise({other})", narrow)


def choose(policy: Policy, candidates: Sequence[Candidate], chance: Chance, *, origin: str = "") -> Candidate:
    """Choose a node; raises ``NoNodeFits`` when nobody is left.

    origin: the name of the node that asks, for ``same_host()`` and ``near()``.
    """
    all_candidates = tuple(sorted(candidates, key=lambda candidate: candidate.name))
    reachable = [candidate for candidate in all_candidates if candidate.reachable]
    narrowed = policy.narrow(reachable, PlacementContext(all_candidates, chance, origin))
    if not narrowed.kept:
        # Whoever has no reason met every condition that it came to, but somebody was preferred who met fewer.
        reasons = {
            each.name: "others were preferred" if each.reachable else "cannot be reached" for each in all_candidates
        }
        raise NoNodeFits(policy.text, {**reasons, **narrowed.refused})
    return _one_of(narrowed.kept, chance)


def any_node() -> Policy:
    """Any node, by chance."""
    return Policy("any_node()", lambda candidates, _: Narrowed(candidates))


def least_loaded() -> Policy:
    """The nodes with the least load; those whose load is not known come after all others."""
    return Policy("least_loaded()", lambda candidates, _: Narrowed(_best(candidates, _load)))


def power_of_two_choices() -> Policy:
    """Of two nodes, drawn by chance, the one with less load.

    Nodes that choose at the same time, by loads that are a little old, then do not all come to the same one
    (Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001).
    """

    def narrow(candidates: Sequence[Candidate], context: PlacementContext) -> Narrowed:
        left = list(candidates)
        drawn = [left.pop(int(context.chance() * len(left))) for _ in range(min(2, len(left)))]
        return Narrowed(_best(drawn, _load))

    return Policy("power_of_two_choices()", narrow)


def spread(by: Level = "host") -> Policy:
    """The nodes in those places of a level (``region``, ``zone``, ``rack``, ``host``) that have the fewest so far.

    What counts is ``Candidate.placed``.  A place whose nodes cannot be reached, or were refused, is none to spread to.
    """
    if by not in LEVELS:
        raise InvalidOption(f"spread(by={by!r}): take one of {', '.join(LEVELS)}")
    return Policy(
        f"spread(by={by!r})",
        lambda candidates, _: Narrowed(
            least_crowded(candidates, lambda each: each.metadata.location, lambda each: each.placed, by)
        ),
    )


def labels(**wanted: str) -> Policy:
    """The nodes that have all of these labels, with these values."""

    def problem(candidate: Candidate, _: PlacementContext) -> str:
        has = candidate.metadata.labels
        return ", ".join(
            f"its label {name} is {has[name]!r}" if name in has else f"it has no label {name}"
            for name, value in wanted.items()
            if has.get(name) != value
        )

    said = ", ".join(f"{name}={value!r}" for name, value in wanted.items())
    return Policy(f"labels({said})", _condition(problem))


def roles(*wanted: str) -> Policy:
    """The nodes that have all of these roles."""

    def problem(candidate: Candidate, _: PlacementContext) -> str:
        missing = [role for role in wanted if role not in candidate.metadata.roles]
        return f"it has not the role {', '.join(missing)}" if missing else ""

    return Policy(f"roles({', '.join(map(repr, wanted))})", _condition(problem))


def needs(*, cores: int = 0, memory_bytes: int = 0, gpus: int = 0) -> Policy:
    """The nodes whose host has so much of each, used or not."""

    def problem(candidate: Candidate, _: PlacementContext) -> str:
        facts = candidate.metadata.facts
        has = (
            ("cores", facts.cores, cores),
            ("bytes", facts.memory_bytes, memory_bytes),
            ("GPUs", len(facts.gpus), gpus),
        )
        return ", ".join(f"it has {there} {what} of {wanted}" for what, there, wanted in has if there < wanted)

    said = (("cores", cores), ("memory_bytes", memory_bytes), ("gpus", gpus))
    return Policy(f"needs({', '.join(f'{name}={value}' for name, value in said if value)})", _condition(problem))


def same_host(node: str = "") -> Policy:
    """The nodes on the same host as another one, that one included.  node: empty means the node that asks."""

    def problem(candidate: Candidate, context: PlacementContext) -> str:
        name = node or context.origin
        other = context.find(name)
        if other is None:
            return f"the node {name!r}, whose host is meant, is not known here"
        here = other.metadata.facts
        if candidate.name == name or is_same_host(candidate.metadata.facts, here):
            return ""
        return f"it is on the host {candidate.metadata.facts.host!r}, not on {here.host!r}"

    return Policy(f"same_host({node!r})" if node else "same_host()", _condition(problem))


def near(node: str = "") -> Policy:
    """The nodes with the shortest round trip to another one, as they have measured it; that one itself is the nearest.

    Times within ``MARGIN`` and ``MARGIN_S`` of the shortest are as good.  Where nobody has measured, those count as
    near whose location is; a node that has not measured is refused while others have.
    node: empty means the node that asks.
    """

    def narrow(candidates: Sequence[Candidate], context: PlacementContext) -> Narrowed:
        name = node or context.origin
        times = {each.name: 0.0 if each.name == name else each.round_trips_s.get(name, inf) for each in candidates}
        shortest = min(times.values(), default=inf)
        if shortest < inf:
            bound = max(shortest * (1 + MARGIN), shortest + MARGIN_S)
            unmeasured = {each: f"it has measured no round trip to {name!r}" for each, s in times.items() if s == inf}
            return Narrowed([each for each in candidates if times[each.name] <= bound], unmeasured)
        other = context.find(name)
        if other is None:
            said = f"it has measured no round trip to {name!r}, whose location is not known here"
            return Narrowed((), {each.name: said for each in candidates})
        return Narrowed(nearest(other.metadata.location, candidates, lambda each: each.metadata.location))

    return Policy(f"near({node!r})" if node else "near()", narrow)


def _condition(problem: Callable[[Candidate, PlacementContext], str]) -> Narrow:
    """A condition from what is wrong with a candidate, which is nothing when the text is empty."""

    def narrow(candidates: Sequence[Candidate], context: PlacementContext) -> Narrowed:
        problems = {candidate.name: problem(candidate, context) for candidate in candidates}
        kept = [candidate for candidate in candidates if not problems[candidate.name]]
        return Narrowed(kept, {name: said for name, said in problems.items() if said})

    return narrow


def _best(candidates: Sequence[Candidate], cost: Callable[[Candidate], float]) -> list[Candidate]:
    """The candidates of the least cost; none of none."""
    costs = [cost(candidate) for candidate in candidates]
    least = min(costs, default=inf)
    return [candidate for candidate, its in zip(candidates, costs, strict=True) if its == least]


def _load(candidate: Candidate) -> float:
    load = candidate.load
    return inf if load is None or isnan(load) else load


def _one_of(candidates: Sequence[Candidate], chance: Chance) -> Candidate:
    return candidates[int(chance() * len(candidates))]
