"""``DiscoveryLoop``: when to query the discoveries, which endpoints to dial, how long to wait, what to report (PURE).

``DiscoveryLoop.step(event, now)`` returns effects, and ``wake_at`` is the time of the next ``Tick``.  The loop works in
*rounds*: every source is queried, every endpoint that it returns is dialled once, and the round ends when every query
and every dial has an outcome.  A node without contacts begins the next round after a pause that doubles, with jitter.
A node with contacts begins a round now and then too, so that the parts of a healed partition find each other through
their seeds (memberlist never does: hashicorp/memberlist#243).

Laws of this file:
1. **It never gives up.**  Without contacts there is always a next wake-up until ``StopDiscovery``; each failed round is
   reported, with the outcome of each endpoint.
2. **No endpoint of this node is dialled**, nor one of a known member; an endpoint that turns out to be this node's own
   is never dialled again.
3. **Once at a time.**  An endpoint is dialled once a round, and at most ``dials_max`` at once.
4. **Every dial ends**: with its outcome, or with ``CancelDial``.
5. The same loop, events, times and chances give the same effects.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final, Literal, TypeAlias

import msgspec

from .... import InvalidOption

SHOWN_MAX: Final = 5
"""The most endpoints or sources that one sentence names; it gives the number of the others."""
PROBLEM_CHARS_MAX: Final = 200
"""The longest problem in a sentence."""


@dataclass(frozen=True, slots=True)
class DiscoveryLoopSettings:
    """Times and limits of a discovery loop.

    pause_first_s, pause_max_s, jitter: the pause after the first failed round, doubled after each further one up to the
        maximum, times 1 +- jitter.
    again_s: the pause between two rounds of a node that has contacts; 0 begins no round as long as it has some.
    ask_s: a source that has not answered after this time has failed.
    dial_s: a dial without an outcome after this time is cancelled.
    dials_max: the most endpoints that are dialled at once.
    contacts_wanted: a round that has reached this number of nodes dials no more, since they know the others.
    endpoints_max: the most endpoints that are dialled in one round; further ones are left out.
    """

    pause_first_s: float = 1.0
    pause_max_s: float = 30.0
    jitter: float = 0.2
    again_s: float = 60.0
    ask_s: float = 10.0
    dial_s: float = 5.0
    dials_max: int = 16
    contacts_wanted: int = 3
    endpoints_max: int = 1_000

    def __post_init__(self) -> None:
        if not (0 < self.pause_first_s <= self.pause_max_s and 0 <= self.jitter < 1 and self.again_s >= 0):
            raise InvalidOption(f"{self}: wants 0 < pause_first_s <= pause_max_s, 0 <= jitter < 1 and again_s >= 0")
        if not (self.ask_s > 0 and self.dial_s > 0):
            raise InvalidOption(f"{self}: ask_s and dial_s must be above 0")
        if min(self.dials_max, self.contacts_wanted, self.endpoints_max) < 1:
            raise InvalidOption(f"{self}: dials_max, contacts_wanted and endpoints_max must be 1 or more")

    def pause_s(self, rounds: int, chance: float) -> float:
        """Return the pause after this number of failed rounds, from 1.  chance: a random number in [0, 1)."""
        doubled = self.pause_first_s * 2.0 ** min(rounds - 1, 60)
        return min(self.pause_max_s, doubled) * (1.0 + self.jitter * (2.0 * chance - 1.0))


class Tick(msgspec.Struct, frozen=True):
    """``wake_at`` has come; the first one begins the first round."""


class Found(msgspec.Struct, frozen=True):
    """A source has answered.

    source: as in ``QuerySource``.  endpoints: may be empty.  problem: what failed; empty when nothing did.
    """

    source: str
    endpoints: tuple[str, ...]
    problem: str = ""


class Connected(msgspec.Struct, frozen=True):
    """A node is connected at this endpoint; it is not known to be a member.  node: its name."""

    endpoint: str
    node: str


class Reached(msgspec.Struct, frozen=True):
    """A member answers at this endpoint."""

    endpoint: str


class Unreached(msgspec.Struct, frozen=True):
    """A dial has failed.  problem: the reason, in the words of the node that refused it."""

    endpoint: str
    problem: str


class IsOwnEndpoint(msgspec.Struct, frozen=True):
    """This endpoint leads to this node, under another name."""

    endpoint: str


class MembersChanged(msgspec.Struct, frozen=True):
    """The endpoints of all other members that are alive; none when this node is alone."""

    endpoints: frozenset[str]


class StopDiscovery(msgspec.Struct, frozen=True):
    """The node leaves the cluster or stops: end the search."""


class QuerySource(msgspec.Struct, frozen=True):
    """Query this source; its answer or its failure is a ``Found``."""

    source: str


class Dial(msgspec.Struct, frozen=True):
    """Dial this endpoint until ``CancelDial``; the outcome is ``Reached``, ``Unreached`` or ``IsOwnEndpoint``."""

    endpoint: str


class CancelDial(msgspec.Struct, frozen=True):
    """Stop dialling this endpoint: there was no outcome in time."""

    endpoint: str


class Notify(msgspec.Struct, frozen=True):
    """Publish a notice.  text: one sentence, of bounded length."""

    level: Literal["info", "warning"]
    text: str


Event: TypeAlias = Tick | Found | Connected | Reached | Unreached | IsOwnEndpoint | MembersChanged | StopDiscovery
Effect: TypeAlias = QuerySource | Dial | CancelDial | Notify


class DiscoveryLoop:
    """The discovery loop of one node.

    sources: the names of the discoveries; without any the loop never wakes.  own: the endpoints of this node.
    chance: gives random numbers in [0, 1).  settings: None for the defaults.
    """

    def __init__(
        self,
        sources: Sequence[str],
        own: Iterable[str],
        chance: Callable[[], float],
        settings: DiscoveryLoopSettings | None = None,
    ) -> None:
        self._sources = tuple(dict.fromkeys(sources))
        self._own = set(own)
        self._chance = chance
        self._settings = settings or DiscoveryLoopSettings()
        self._members: frozenset[str] = frozenset()
        self._in_round = False
        self._stopped = not self._sources
        self._failed_rounds = 0
        self._alone_since: float | None = None
        self._next_round_at = -inf
        # The state of the present round:
        self._asked: set[str] = set()
        self._ask_until = inf
        self._queue: list[str] = []
        self._dialled: dict[str, float] = {}
        self._connected: dict[str, str] = {}
        self._outcomes: dict[str, str] = {}
        self._failures: dict[str, str] = {}
        self._contacts = 0

    @property
    def wake_at(self) -> float:
        """The time at which a ``Tick`` is due; infinity when none is."""
        if self._stopped:
            return inf
        if not self._in_round:
            return self._next_round_at
        return min(self._ask_until if self._asked else inf, min(self._dialled.values(), default=inf))

    @property
    def dialled(self) -> Collection[str]:
        """The endpoints that are being dialled."""
        return self._dialled.keys()

    def step(self, event: Event, now: float) -> list[Effect]:
        """Handle an event and return the effects, in order.  now: in seconds."""
        if self._stopped:
            return []
        effects: list[Effect] = []
        match event:
            case Tick():
                self._tick(now, effects)
            case Found(source, endpoints, problem):
                self._found(source, endpoints, problem)
            case Connected(endpoint, node):
                self._connected[endpoint] = node
            case Reached(endpoint):
                self._reached(endpoint, now, effects)
            case Unreached(endpoint, problem):
                self._ended(endpoint, problem)
            case IsOwnEndpoint(endpoint):
                self._own.add(endpoint)
                self._ended(endpoint, "")
            case MembersChanged(endpoints):
                self._members_changed(endpoints, now)
            case StopDiscovery():
                effects.extend(map(CancelDial, self._dialled))
                self._stopped = True
                return effects
        self._advance(now, effects)
        return effects

    def _tick(self, now: float, effects: list[Effect]) -> None:
        if not self._in_round:
            if now >= self._next_round_at:
                self._begin(now, effects)
            return
        if self._asked and now >= self._ask_until:
            for source in self._sources:
                if source in self._asked:
                    self._failures[source] = f"{source}: no answer within {self._settings.ask_s:g} s"
            self._asked.clear()
        for endpoint in [endpoint for endpoint, until in self._dialled.items() if now >= until]:
            node, limit = self._connected.get(endpoint), f"within {self._settings.dial_s:g} s"
            self._ended(endpoint, f"no answer {limit}" if node is None else f"{node} did not take this node in {limit}")
            effects.append(CancelDial(endpoint))

    def _begin(self, now: float, effects: list[Effect]) -> None:
        if self._alone_since is None and not self._members:
            self._alone_since = now
        self._in_round, self._contacts = True, 0
        self._connected.clear()
        self._outcomes.clear()
        self._failures.clear()
        self._asked, self._ask_until = set(self._sources), now + self._settings.ask_s
        effects.extend(map(QuerySource, self._sources))

    def _found(self, source: str, endpoints: Iterable[str], problem: str) -> None:
        if source not in self._asked:
            return  # the answer is too late, or was never requested
        self._asked.discard(source)
        if problem:
            self._failures[source] = problem[:PROBLEM_CHARS_MAX]
        new: dict[str, None] = {}
        for endpoint in endpoints:
            if len(self._outcomes) + len(new) >= self._settings.endpoints_max:
                break
            if endpoint not in self._own and endpoint not in self._members and endpoint not in self._outcomes:
                new[endpoint] = None
        self._outcomes.update(dict.fromkeys(new, ""))
        # In random order, so that many nodes that start at once do not all dial the first seed.
        waiting = list(new)
        while waiting:
            self._queue.append(waiting.pop(int(self._chance() * len(waiting))))

    def _reached(self, endpoint: str, now: float, effects: list[Effect]) -> None:
        if self._failed_rounds and not self._members:
            effects.append(Notify("info", f"reached {endpoint} in round {self._failed_rounds + 1}"))
        self._members_changed(self._members | {endpoint}, now)

    def _ended(self, endpoint: str, problem: str) -> None:
        if self._dialled.pop(endpoint, None) is not None:
            self._outcomes[endpoint] = problem[:PROBLEM_CHARS_MAX]

    def _members_changed(self, members: frozenset[str], now: float) -> None:
        lost = bool(self._members) and not members
        gained = bool(members) and not self._members
        self._members = members
        for endpoint in [endpoint for endpoint in self._dialled if endpoint in members]:
            self._contacts += 1
            self._ended(endpoint, "")  # cancelling the dial would close a session with a member
        if gained:
            self._failed_rounds, self._alone_since = 0, None
        if not self._in_round and gained:
            self._schedule_next_round(now)
        elif not self._in_round and lost:
            # All nodes of a broken cluster begin a round now; each one after a random pause.
            self._next_round_at = now + self._settings.pause_first_s * self._chance()

    def _schedule_next_round(self, now: float) -> None:
        self._next_round_at = now + self._settings.again_s if self._settings.again_s else inf

    def _advance(self, now: float, effects: list[Effect]) -> None:
        """Dial the next endpoints, and end the round when no query and no dial is left."""
        if not self._in_round:
            return
        if self._contacts >= self._settings.contacts_wanted:
            self._queue.clear()
        while self._queue and len(self._dialled) < self._settings.dials_max:
            endpoint = self._queue.pop(0)
            if endpoint not in self._own and endpoint not in self._members:
                self._dialled[endpoint] = now + self._settings.dial_s
                effects.append(Dial(endpoint))
        if self._asked or self._dialled:
            return
        self._in_round = False
        if self._members:
            self._schedule_next_round(now)
            return
        self._failed_rounds += 1
        pause_s = self._settings.pause_s(self._failed_rounds, self._chance())
        self._next_round_at = now + pause_s
        effects.append(self._failed_round(now, pause_s))

    def _failed_round(self, now: float, pause_s: float) -> Notify:
        """Return the notice of a round that reached no other node."""
        tried = [f"{endpoint} ({problem})" for endpoint, problem in self._outcomes.items() if problem]
        again = f"next round in {pause_s:.1f} s (round {self._failed_rounds} failed)"
        if not tried and not self._failures:
            return Notify("info", f"{_some(self._sources)} found no other node; this node is alone, {again}")
        since_s = now - (now if self._alone_since is None else self._alone_since)
        parts = [_some(tried)] if tried else []
        parts += [_some(list(self._failures.values()))] if self._failures else []
        return Notify("warning", f"no other node was reached for {since_s:.0f} s: {'; '.join(parts)}; {again}")


def _some(texts: Sequence[str]) -> str:
    """Return the first few texts, and the number of the others."""
    more = len(texts) - SHOWN_MAX
    named = ", ".join(text[: 2 * PROBLEM_CHARS_MAX] for text in texts[:SHOWN_MAX])
    return f"{named} and {more} more" if more > 0 else named
