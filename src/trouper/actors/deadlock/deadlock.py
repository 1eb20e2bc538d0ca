"""Finds handlers on several nodes that wait for one another's asks, so that one ask can be refused (PURE).

Edge-chasing after Chandy, Misra and Haas, "Distributed Deadlock Detection" (ACM TOCS 1(2), 1983), for processes that
wait for all that they have asked (their AND model).  The wait-for graph has two kinds of edge: a handler waits for an
ask, and an ask waits for the handler that works on it or is in its way.  A probe starts at an ask to another node and
follows both kinds; each node follows its own edges by itself, and only an ask to yet another node is a message.

Laws of this file:
1. No ask is refused that was in no cycle.  The edges that a probe has followed need not have held at one time, so a
   probe that comes back to its start is only a guess.  It is followed by a check, which goes the same path and has each
   node see whether the very edges that it followed hold still.  An edge that has ended does not begin again (asks and
   handlers are used once), so edges that held before and after held all at once when the probe came back.
2. Of one cycle one ask is refused: the youngest, as on one node, where it is the one that would close the cycle.  A
   probe goes no further where it meets an ask younger than its start, for that one sends a probe of its own.  Ages are
   known no better than how long a probe took; in doubt the younger goes first, for ``YIELD_S``.  Where two asks are
   checked for one cycle all the same, their checks meet, and the one with the smaller name yields.
3. A cycle that lasts is found: a probe that came to nothing is followed by another one after ``AGAIN_S``.
4. No message is sent for asks that are answered within ``PROBE_AFTER_S``, nor for one in a handler that no other node
   waits for: that can be in no such cycle.

Not seen is waiting other than by asks (for capacity in a mailbox, for an actor's start or end elsewhere), and by code
that asks outside of a handler.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple, Protocol

from ... import Message

PROBE_AFTER_S = 0.25
"""Seconds that an ask must have waited before a probe is sent for it."""
AGAIN_S = 0.5
"""Seconds between two probes for one ask."""
YIELD_S = 0.2
"""Seconds that a check waits where another ask of the cycle seems to be younger."""
KEPT_S = 3.0
"""Seconds that a node remembers what it has followed for a probe; a cycle whose messages take longer is not found."""
STARTS_MAX = 16
"""Probes that a node starts at one scan; more asks than that take turns."""
PROBES_KEPT_MAX = 4_096
"""Probes that a node remembers; more are dropped, and start again later."""
HANDLERS_MAX = 2_000
"""Handlers that a node follows for one probe."""
LOOK_MAX = 250
"""Asks of other nodes, and handlers, that a node follows at one scan; the next one goes on where this one ended."""
REMOTE_EDGES_MAX = 64
"""Asks to other nodes along which a node sends one probe on."""
RING_MAX = 256
"""Handlers in the longest cycle that is found, and nodes that it passes."""

RemoteEdge = tuple[str, int]
"""An ask to an actor elsewhere: the name of the node, and the correlation of the session with it."""


class DeadlockProbe(Message[None], tag="trouper.DeadlockProbe"):
    """Asks whether the handler which keeps this ask waiting waits for the start.

    origin, generation, number: the start: a node with its generation, and its number of the probe.  remote_edges: the
    asks from node to node that the probe came along, the start first, the one in question last.  waited_s: for how long
    each of these had waited when the probe came by; inf for one that was forwarded, and so is no handler's.  actors:
    the addresses of the handlers on the path.
    """

    origin: str
    generation: int
    number: int
    remote_edges: tuple[RemoteEdge, ...]
    waited_s: tuple[float, ...]
    actors: tuple[str, ...]


class DeadlockCheck(Message[None], tag="trouper.DeadlockCheck"):
    """Asks, after a probe came back to its start, whether all edges that it followed hold still.

    correlation: of the ask that it came along.  remote_edges: the rest of the path.
    """

    origin: str
    generation: int
    number: int
    correlation: int
    remote_edges: tuple[RemoteEdge, ...]


class WaitForGraph(Protocol):
    """The wait-for graph of one node, at this moment.  Asks and handlers are any values that can be compared."""

    def unanswered(self, node: str, correlation: int, /) -> Hashable | None:
        """Return the ask of another node that has this correlation; None when it has ended."""
        ...

    def remote_edge(self, ask: Hashable, /) -> RemoteEdge | None:
        """Return where an ask went that has left for another node; None for one that has not, or has ended."""
        ...

    def blocker(self, ask: Hashable, /) -> Hashable | None:
        """Return the handler that must end before an ask on this node can; None when it need not wait for one."""
        ...

    def waits_of(self, handler: Hashable, /) -> Sequence[Hashable]:
        """Return the asks that a handler waits for, in an order that does not depend on chance."""
        ...

    def address(self, handler: Hashable, /) -> str:
        """Return the address of a handler's actor."""
        ...

    def waited_s(self, ask: Hashable, /) -> float:
        """Return for how long an ask has waited on this node, in seconds."""
        ...


class SendToNode(NamedTuple):
    """Send a message to a node."""

    node: str
    message: DeadlockProbe | DeadlockCheck


class RefuseAsk(NamedTuple):
    """Refuse an ask, for this cycle of addresses, from the asker around to the asker again."""

    ask: Hashable
    cycle: tuple[str, ...]


Effect = SendToNode | RefuseAsk
ProbeName = tuple[str, int, int]


class _Start:
    """An ask that a probe was sent for.

    cycle, remote_edges: the cycle and its path, once the probe has come back.  check_at: when the check is sent.
    checked: whether it was sent.
    """

    __slots__ = ("ask", "check_at", "checked", "cycle", "handler", "remote_edge", "remote_edges", "until")

    def __init__(self, handler: Hashable, ask: Hashable, edge: RemoteEdge, until: float) -> None:
        self.handler, self.ask, self.remote_edge, self.until = handler, ask, edge, until
        self.cycle: tuple[str, ...] = ()
        self.remote_edges: tuple[RemoteEdge, ...] = ()
        self.check_at = 0.0
        self.checked = False


class _Path(NamedTuple):
    """Edges of this node that a probe has followed: an ask, then each handler with the ask that it waits for."""

    entry: Hashable
    steps: tuple[tuple[Hashable, Hashable], ...] = ()

    @property
    def last(self) -> Hashable:
        """The ask where it ends."""
        return self.steps[-1][1] if self.steps else self.entry


class _Trail:
    """What one probe has followed on this node: the handlers it saw, and its paths by where they begin and end."""

    __slots__ = ("handlers", "paths", "until")

    def __init__(self, until: float) -> None:
        self.until = until
        self.handlers: set[Hashable] = set()
        self.paths: dict[tuple[str, int, RemoteEdge], _Path] = {}


class DeadlockSearch:
    """The search of one node.  node, generation: of this node; all times are in seconds of its own clock."""

    def __init__(self, node: str, generation: int, waits: WaitForGraph) -> None:
        self._node, self._incarnation, self._graph = node, generation, waits
        self._number = 0
        self._starts: dict[int, _Start] = {}
        self._trails: dict[ProbeName, _Trail] = {}
        self._probed: dict[Hashable, float] = {}
        self._first = 0

    @property
    def kept(self) -> int:
        """How many probes are remembered."""
        return len(self._starts) + len(self._trails)

    # --- starting -------------------------------------------------------------------------------------------------

    def scan(self, entries: Sequence[Hashable], now: float) -> list[Effect]:
        """Send probes for the asks that could be in a cycle.  entries: the unanswered asks of other nodes."""
        self._forget(now)
        due = [
            (self._probed.get(ask, -math.inf), handler, ask)
            for handler, ask in self._crossing(entries)
            if self._graph.waited_s(ask) >= PROBE_AFTER_S
        ]
        due = [found for found in due if found[0] + AGAIN_S <= now]
        due.sort(key=lambda found: found[0])
        checks = [number for number, start in self._starts.items() if start.cycle and not start.checked]
        effects: list[Effect] = [self._check(number) for number in checks if self._starts[number].check_at <= now]
        for _, handler, ask in due[:STARTS_MAX]:
            effects += self._start_probe(handler, ask, now)
        return effects

    def _crossing(self, entries: Sequence[Hashable]) -> Iterator[tuple[Hashable, Hashable]]:
        """Go through the asks to other nodes that other nodes wait for, with the handlers that wait for them."""
        seen: set[Hashable] = set()
        first, count = self._first, len(entries)
        for offset in range(min(count, LOOK_MAX)):
            if len(seen) >= LOOK_MAX:
                return
            at = (first + offset) % count
            self._first = at + 1
            for path in self._paths(entries[at], seen):
                if path.steps and self._graph.remote_edge(path.last) is not None:
                    yield path.steps[-1]

    def _start_probe(self, handler: Hashable, ask: Hashable, now: float) -> list[Effect]:
        edge = self._graph.remote_edge(ask)
        if edge is None or len(self._starts) >= PROBES_KEPT_MAX:
            return []
        self._probed[ask] = now
        self._number += 1
        self._starts[self._number] = _Start(handler, ask, edge, now + KEPT_S)
        waited_s, address = self._graph.waited_s(ask), self._graph.address(handler)
        probe = DeadlockProbe(self._node, self._incarnation, self._number, (edge,), (waited_s,), (address,))
        return [SendToNode(edge[0], probe)]

    def _forget(self, now: float) -> None:
        self._starts = {number: start for number, start in self._starts.items() if start.until > now}
        self._trails = {name: trail for name, trail in self._trails.items() if trail.until > now}
        self._probed = {ask: at for ask, at in self._probed.items() if at + KEPT_S > now}

    # --- following ---------------------------------------------------------------------------------------------------

    def on_probe(self, probe: DeadlockProbe, sender: str, now: float) -> list[Effect]:
        """Follow a probe that came from a node, and send it on."""
        hops = len(probe.remote_edges)
        if not 0 < hops == len(probe.waited_s) < RING_MAX or len(probe.actors) >= RING_MAX:
            return []
        correlation = probe.remote_edges[-1][1]
        entry = self._graph.unanswered(sender, correlation)
        start = self._start_of(probe)
        if entry is None or (start is None and self._is_own(probe)):
            return []
        trail = self._trail((probe.origin, probe.generation, probe.number), now)
        if trail is None:
            return []
        effects: list[Effect] = []
        for path in self._paths(entry, trail.handlers, start):
            edge = self._graph.remote_edge(path.last)
            actors = (*probe.actors, *(self._graph.address(handler) for handler, _ in path.steps))
            if edge is None or len(effects) == REMOTE_EDGES_MAX or len(actors) > RING_MAX:
                continue
            if start is not None and path.last == start.ask:
                if not start.cycle:  # the first path that comes back is checked
                    trail.paths[sender, correlation, edge] = path
                    start.cycle, start.remote_edges = actors, probe.remote_edges
                    effects += self._on_return(probe, start, now)
                continue
            waited_s = self._graph.waited_s(path.last) if path.steps else math.inf
            if waited_s >= probe.waited_s[0]:
                trail.paths[sender, correlation, edge] = path
                further, ages = (*probe.remote_edges, edge), (*probe.waited_s, waited_s)
                name = (probe.origin, probe.generation, probe.number)
                effects.append(SendToNode(edge[0], DeadlockProbe(*name, further, ages, actors)))
        return effects

    def _paths(self, entry: Hashable, seen: set[Hashable], start: _Start | None = None) -> Iterator[_Path]:
        """Go along all edges from an ask, to each handler once, and give each path to an ask that has left this node.

        start: its handler is visited again and again, and followed no further than to the start's own ask.
        """
        front = [_Path(entry)]
        while front:
            path = front.pop()
            if self._graph.remote_edge(path.last) is not None:
                yield path
                continue
            handler = self._graph.blocker(path.last)
            if handler is None or handler in seen or len(seen) >= HANDLERS_MAX or len(path.steps) >= RING_MAX:
                continue
            waits = self._graph.waits_of(handler)
            if start is not None and handler == start.handler:
                waits = [ask for ask in waits if ask == start.ask]
            else:
                seen.add(handler)
            front.extend(_Path(entry, (*path.steps, (handler, ask))) for ask in reversed(waits))

    # --- checking ----------------------------------------------------------------------------------------------------

    def _on_return(self, probe: DeadlockProbe, start: _Start, now: float) -> list[Effect]:
        """Send the check of a probe that came back: at once if its start is the youngest, assuming equal delays of all
        hops.
        """
        mine_s = probe.waited_s[0]
        hop_s = (self._graph.waited_s(start.ask) - mine_s) / len(probe.remote_edges)
        if all(waited_s - hops * hop_s >= mine_s for hops, waited_s in enumerate(probe.waited_s)):
            start.check_at = now
            return [self._check(probe.number)]
        start.check_at = now + YIELD_S
        return []

    def _check(self, number: int) -> SendToNode:
        start = self._starts[number]
        start.checked = True
        node, correlation = start.remote_edges[0]
        return SendToNode(node, DeadlockCheck(*self._own(number), correlation, start.remote_edges[1:]))

    def on_check(self, check: DeadlockCheck, sender: str, now: float) -> list[Effect]:
        """Check whether what a probe followed here holds still; send the check on, or refuse the ask it is about."""
        start = self._start_of(check)
        trail = self._trails.get((check.origin, check.generation, check.number))
        edge = check.remote_edges[0] if check.remote_edges else (None if start is None else start.remote_edge)
        path = None if trail is None or edge is None else trail.paths.get((sender, check.correlation, edge))
        if path is None or edge is None or not self._holds(path, sender, check.correlation, edge):
            return []
        if check.remote_edges:
            rest = check.remote_edges[1:]
            sent = DeadlockCheck(check.origin, check.generation, check.number, edge[1], rest)
            return [SendToNode(edge[0], sent)] if self._yields(path.last, check, now) else []
        if start is None or not start.checked:
            return []
        del self._starts[check.number]
        return [RefuseAsk(start.ask, start.cycle)]

    def _holds(self, path: _Path, sender: str, correlation: int, edge: RemoteEdge) -> bool:
        waits = self._graph
        ask = path.entry
        if waits.unanswered(sender, correlation) != ask:
            return False
        for handler, further in path.steps:
            if waits.blocker(ask) != handler or further not in waits.waits_of(handler):
                return False
            ask = further
        return waits.remote_edge(ask) == edge

    def _yields(self, ask: Hashable, check: DeadlockCheck, now: float) -> bool:
        """Let the check of another start pass, unless an ask on its path is being checked under a greater name.

        A start that yields is checked no further, so that one cycle costs one ask; one that was checked long ago yields
        too.
        """
        name = (check.origin, check.generation, check.number)
        rivals = {
            self._own(number): start for number, start in self._starts.items() if start.checked and start.ask == ask
        }
        if any(rival > name and now < start.check_at + AGAIN_S for rival, start in rivals.items()):
            return False
        for _, _, number in rivals:
            del self._starts[number]
        return True

    # --- memory ------------------------------------------------------------------------------------------

    def _own(self, number: int) -> ProbeName:
        return self._node, self._incarnation, number

    def _is_own(self, message: DeadlockProbe | DeadlockCheck) -> bool:
        return (message.origin, message.generation) == (self._node, self._incarnation)

    def _start_of(self, message: DeadlockProbe | DeadlockCheck) -> _Start | None:
        return self._starts.get(message.number) if self._is_own(message) else None

    def _trail(self, name: ProbeName, now: float) -> _Trail | None:
        trail = self._trails.get(name)
        if trail is None and len(self._trails) < PROBES_KEPT_MAX:
            trail = self._trails[name] = _Trail(now + KEPT_S)
        return trail
