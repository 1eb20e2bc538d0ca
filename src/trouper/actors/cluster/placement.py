"""Placement policies: on which node to start an actor (PURE).

    choose(labels(gpu="a100") | spread(by="zone") | least_loaded(), candidates, chance)

A policy *narrows* the candidates. A *condition* (``labels``, ``roles``, ``needs``, ``same_host``) refuses the
candidates that do not meet it, each with a reason; a *preference* (``least_loaded``, ``spread``, ``near``) keeps the
best ones, all of them when they are equally good. ``a | b`` applies b to the candidates that a keeps, so the first
policy has priority, and conditions come first; ``a.otherwise(b)`` applies b only when a keeps none. One of the rest is
taken at random.

Laws of this file:
1. No actor is placed on a node that cannot be reached, whatever the policy.
2. A preference keeps at least one candidate if there is one: a placement fails by conditions alone.
   (``near`` and ``same_host`` refer to a node, and refuse all candidates when it is not known.)
3. The same policy, candidates and chances give the same node, in whichever order the candidates come.
4. When no node fits, the error names each candidate, and why it was refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isnan
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from ... import InvalidOption, NodeUnreachable
from .metadata import Metadata, is_same_host
from .topology import LEVELS, Level, least_occupied, nearest

if TYPE_CHECKING:
    from ... import Node

NAMED_MAX: Final = 50
"""The most candidates that an error names; it gives the number of the others."""
MARGIN: Final = 0.25
"""A round-trip time that exceeds the shortest by less than this fraction of it counts as equal: it is noise."""
MARGIN_S: Final = 0.0002
"""A round-trip time that exceeds the shortest by fewer seconds than this counts as equal, as within one network."""

Chance: TypeAlias = Callable[[], float]
"""Returns random numbers in [0, 1), such as ``random.Random(seed).random``."""


class NoNodeFits(NodeUnreachable):
    """No node meets the conditions of a policy.  refusals: the reason of each candidate, by name."""

    def __init__(self, policy: str, refusals: Mapping[str, str]) -> None:
        named = [f"{name} ({reason})" for name, reason in sorted(refusals.items())[:NAMED_MAX]]
        more = f" and {len(refusals) - NAMED_MAX} more" if len(refusals) > NAMED_MAX else ""
        said = f": {', '.join(named)}{more}" if refusals else ": there is no node at all"
        super().__init__(f"no node fits {policy}{said}")
        self.refusals = dict(refusals)


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A node that an actor may be placed on, as the choosing node knows it.

    name: of the node.  load: from 0, smaller is better, in one unit for all candidates; None when it is not known.
    round_trips_s: the round-trip times that the candidate has measured to other nodes, in seconds, by name.
    placed: how many actors the choosing node has placed there that still run, of whatever class; for ``spread``.
    reachable: whether the choosing node can reach it.
    """

    name: str
    metadata: Metadata = Metadata()
    load: float | None = None
    round_trips_s: Mapping[str, float] = {}
    placed: int = 0
    reachable: bool = True


@dataclass(frozen=True, slots=True)
class PlacementContext:
    """What a policy needs to know beside the candidates.

    origin: the name of the choosing node; empty when it is not one of the candidates.
    all_candidates: all candidates, including those that cannot be reached.
    """

    all_candidates: tuple[Candidate, ...]
    chance: Chance
    origin: str = ""

    def find(self, name: str) -> Candidate | None:
        """Return the candidate of a name; None when there is none."""
        return next((candidate for candidate in self.all_candidates if candidate.name == name), None)


@dataclass(slots=True)
class Narrowed:
    """The result of a policy.  refused: reasons by name, without the candidates that were only not the best."""

    kept: Sequence[Candidate]
    refused: dict[str, str] = field(default_factory=dict[str, str])


Narrow: TypeAlias = Callable[[Sequence[Candidate], PlacementContext], Narrowed]


@dataclass(frozen=True, slots=True)
class Policy:
    """A function that narrows candidates; the functions of this file make policies, and ``|`` combines them.

    text: the policy as it was written, for errors.
    """

    text: str
    narrow: Narrow

    def __str__(self) -> str:
        return self.text

    def __call__(self, node: Node) -> str:
        """Return the name of a node to start an actor on: ``spawn(place=policy)`` calls this.

        The candidates are the members of the node's cluster and their workers; on a node that is in no cluster, the
        node and its own workers.  Raises ``NoNodeFits``.
        """
        if node.is_in_cluster:
            return node.cluster.choose(self)
        return choose(self, _own_candidates(node), node.system.random, origin=node.name).name

    def __or__(self, other: Policy) -> Policy:
        return self.then(other)

    def then(self, other: Policy) -> Policy:
        """Return a policy that applies the other one to what this one keeps; the same as ``self | other``."""

        def narrow(candidates: Sequence[Candidate], context: PlacementContext) -> Narrowed:
            first = self.narrow(candidates, context)
            second = other.narrow(first.kept, context)
            return Narrowed(second.kept, {**first.refused, **second.refused})

        return Policy(f"{self} | {other}", narrow)

    def otherwise(self, other: Policy) -> Policy:
        """Return a policy that applies the other one when this one keeps no candidate."""

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
    """Choose one candidate; raises ``NoNodeFits`` when the policy keeps none.

    origin: the name of the choosing node, for ``same_host()`` and ``near()``.
    """
    all_candidates = tuple(sorted(candidates, key=attrgetter("name")))
    reachable = [candidate for candidate in all_candidates if candidate.reachable]
    narrowed = policy.narrow(reachable, PlacementContext(all_candidates, chance, origin))
    if not narrowed.kept:
        # A candidate without a reason met each condition applied to it, but a preference dropped it before a later one.
        reasons = {
            each.name: "others were preferred" if each.reachable else "cannot be reached" for each in all_candidates
        }
        raise NoNodeFits(policy.text, {**reasons, **narrowed.refused})
    return _one_of(narrowed.kept, chance)


def _own_candidates(node: Node) -> list[Candidate]:
    """Return a node that is in no cluster, and its workers, as candidates."""
    placed: Mapping[str, int] = node.network.placed_actors if node.has_network else {}
    workers = [
        Candidate(
            name=name,
            metadata=Metadata(labels=node.workers.labels_of(name)),
            placed=placed.get(name, 0),
            reachable=name in node.network.peers,
        )
        for name in node.workers
    ]
    return [Candidate(name=node.name, placed=placed.get(node.name, 0)), *workers]


def any_node() -> Policy:
    """Keep all nodes."""
    return Policy("any_node()", lambda candidates, _: Narrowed(candidates))


def least_loaded() -> Policy:
    """Keep the nodes with the least load; a node whose load is not known comes after all others."""
    return Policy("least_loaded()", lambda candidates, _: Narrowed(_best(candidates, _load)))


def power_of_two_choices() -> Policy:
    """Draw two nodes at random, and keep the one with less load.

    So nodes that choose at the same time, by loads that are a little old, do not all choose the same node
    (Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001).
    """

    def narrow(candidates: Sequence[Candidate], context: PlacementContext) -> Narrowed:
        left = list(candidates)
        drawn = [left.pop(int(context.chance() * len(left))) for _ in range(min(2, len(left)))]
        return Narrowed(_best(drawn, _load))

    return Policy("power_of_two_choices()", narrow)


def spread(by: Level = "host") -> Policy:
    """Keep the nodes in those places of a level that have the fewest actors of the choosing node.

    by: the level: ``region``, ``zone``, ``rack`` or ``host``.  The actors are counted by ``Candidate.placed``.  Nodes
    that cannot be reached, or were refused before, do not count.  Raises ``InvalidOption`` for another level.
    """
    if by not in LEVELS:
        raise InvalidOption(f"spread(by={by!r}): use one of {', '.join(LEVELS)}")
    return Policy(
        f"spread(by={by!r})",
        lambda candidates, _: Narrowed(
            least_occupied(candidates, lambda each: each.metadata.location, lambda each: each.placed, by)
        ),
    )


def labels(**wanted: str) -> Policy:
    """Keep the nodes that have all of these labels, with these values."""

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
    """Keep the nodes that have all of these roles."""

    def problem(candidate: Candidate, _: PlacementContext) -> str:
        missing = [role for role in wanted if role not in candidate.metadata.roles]
        return f"it does not have the role {', '.join(missing)}" if missing else ""

    return Policy(f"roles({', '.join(map(repr, wanted))})", _condition(problem))


def needs(*, cores: int = 0, memory_bytes: int = 0, gpus: int = 0) -> Policy:
    """Keep the nodes that have at least this many cores, bytes of memory and GPUs, in use or not."""

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
    """Keep the nodes on the same host as another node, which included.  node: its name; empty for the choosing node."""

    def problem(candidate: Candidate, context: PlacementContext) -> str:
        name = node or context.origin
        other = context.find(name)
        if other is None:
            return f"the node {name!r}, whose host is wanted, is not known here"
        here = other.metadata.facts
        if candidate.name == name or is_same_host(candidate.metadata.facts, here):
            return ""
        return f"it is on the host {candidate.metadata.facts.host!r}, not on {here.host!r}"

    return Policy(f"same_host({node!r})" if node else "same_host()", _condition(problem))


def near(node: str = "") -> Policy:
    """Keep the nodes with the shortest round-trip time to another node; that node itself has time 0.

    Times within ``MARGIN`` or ``MARGIN_S`` of the shortest count as equal.  A node that has not measured is refused if
    others have; if none has, the nodes with the nearest location are kept.
    node: the name of the other node; empty for the choosing node.
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
    """Return a condition.  problem: returns why a candidate is refused; empty when it is not."""

    def narrow(candidates: Sequence[Candidate], context: PlacementContext) -> Narrowed:
        problems = {candidate.name: problem(candidate, context) for candidate in candidates}
        kept = [candidate for candidate in candidates if not problems[candidate.name]]
        return Narrowed(kept, {name: said for name, said in problems.items() if said})

    return narrow


def _best(candidates: Sequence[Candidate], cost: Callable[[Candidate], float]) -> list[Candidate]:
    """Return the candidates with the least cost."""
    costs = [cost(candidate) for candidate in candidates]
    least = min(costs, default=inf)
    return [candidate for candidate, its in zip(candidates, costs, strict=True) if its == least]


def _load(candidate: Candidate) -> float:
    load = candidate.load
    return inf if load is None or isnan(load) else load


def _one_of(candidates: Sequence[Candidate], chance: Chance) -> Candidate:
    return candidates[int(chance() * len(candidates))]
