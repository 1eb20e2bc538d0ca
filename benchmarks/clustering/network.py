"""``Network``: pure memberships, packets with a time of arrival, faults, all from one seed.

Nothing is encoded: packets travel by reference, and their sizes are computed where a case asks for them.  Reliable
packets are not lost, only late, unless a partition or a crash is between the two nodes; a lost segment costs them
``RESEND_S``.  A paused node takes nothing in and does nothing; what arrives waits for it, as in its sockets' buffers.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from math import inf

from trouper.actors.cluster.membership import (
    Effect,
    Member,
    Membership,
    MembershipEvent,
    Packet,
    Publish,
    Send,
    SwimSettings,
    packet_bytes,
)

LATENCY_LEAST_S = 0.001
LATENCY_MOST_S = 0.05
RESEND_S = 0.2
LINKS_MAX = 100
METADATA = b"m" * 64
GENERATION = 1_000_000_000_000_000_000
"""The generation of a node that is not given one."""
Observer = Callable[[float, str, MembershipEvent], None]


class Load:
    """What a case counts of the traffic: packets, bytes, and links that had to be opened under a cap of each node."""

    def __init__(self) -> None:
        self.packets = self.bytes = self.handshakes = 0
        self.links_most = 0
        self._links: dict[str, OrderedDict[str, None]] = {}

    def count(self, source: str, target: str, packet: Packet) -> None:
        """A packet goes from one endpoint to another."""
        self.packets += 1
        self.bytes += packet_bytes(packet)
        opened = self._touch(source, target)
        self._touch(target, source)
        self.handshakes += opened

    def _touch(self, node: str, peer: str) -> bool:
        links = self._links.setdefault(node, OrderedDict())
        if peer in links:
            links.move_to_end(peer)
            return False
        links[peer] = None
        if len(links) > LINKS_MAX:
            oldest, _ = links.popitem(last=False)
            self._links[oldest].pop(node, None)
        self.links_most = max(self.links_most, len(links))
        return True


class Network:
    """All nodes of a run.

    loss: of unreliable packets, one way.  observe: hears every published event.  load: counts traffic when it is given.
    """

    def __init__(self, seed: int, settings: SwimSettings, *, loss: float = 0.0) -> None:
        self.now = 0.0
        self.settings, self.loss = settings, loss
        self.nodes: dict[str, Membership] = {}
        self.crashed: set[str] = set()
        self.observe: Observer = _ignore
        self.load: Load | None = None
        self.events = 0
        self._random = random.Random(seed)
        self._heap: list[tuple[float, int, str, Packet | Callable[[], None] | None]] = []
        self._order = 0
        self._alarm: dict[str, float] = {}
        self._side: dict[str, int] = {}
        self._paused: dict[str, float] = {}
        self._blocked: dict[str, float] = {}

    def add(
        self,
        name: str,
        seeds: Sequence[str] = (),
        *,
        generation: int = GENERATION,
        called: str = "",
        cluster: str = "sim",
    ) -> Membership:
        """Make a node; it does nothing before ``start``.

        name: its endpoint, and what it is called unless ``called`` says otherwise.
        """
        me = Member(called or name, name, generation, metadata=METADATA)
        chance = random.Random(self._random.random()).random
        node = Membership(me, cluster=cluster, seeds=seeds, settings=self.settings, chance=chance, now=self.now)
        self.nodes[name] = node
        self.crashed.discard(name)
        self._alarm[name] = inf
        return node

    def grow(self, count: int) -> list[str]:
        """Add so many nodes that know each other from the beginning, and start them."""
        names = [f"node-{number:04}" for number in range(count)]
        records = [self.add(name).me for name in names]
        for name in names:
            self._acquaint(self.nodes[name], records)
        for name in names:
            self.start(name)
        return names

    def start(self, name: str) -> None:
        """Let a node begin."""
        self._carry_out(name, self.nodes[name].start(self.now))

    def at(self, time_s: float, action: Callable[[], None]) -> None:
        """Do something at this time."""
        self._push(time_s, "", action)

    def act(self, name: str, effects: list[Effect]) -> None:
        """Carry out what an event of a node wants."""
        self._carry_out(name, effects)

    def crash(self, name: str) -> None:
        """A node is gone, and nobody is told."""
        self.crashed.add(name)

    def break_links(self, name: str) -> None:
        """The system that a crashed process ran on resets its connections: each other end hears of it."""
        for other, node in self.nodes.items():
            if other not in self.crashed and self._random.random() < LINKS_MAX / len(self.nodes):
                self._carry_out(other, node.session_lost(name, self.now))

    def pause(self, name: str, time_s: float) -> None:
        """A node stands still for so long."""
        self._paused[name] = self.now + time_s

    def block(self, name: str, time_s: float) -> None:
        """A node sends and receives nothing for so long, then all of it; its timers go on (Lifeguard's experiment)."""
        self._blocked[name] = self.now + time_s

    def partition(self, one: Sequence[str]) -> None:
        """Cut these nodes off from the others."""
        self._side = dict.fromkeys(one, 1)

    def heal(self) -> None:
        """Nobody is cut off."""
        self._side = {}

    def run(self, until: float) -> None:
        """Go on until this time."""
        heap, nodes, alarm, crashed, paused = self._heap, self.nodes, self._alarm, self.crashed, self._paused
        blocked = self._blocked
        while heap and heap[0][0] <= until:
            at, _, name, item = heappop(heap)
            self.now = at
            self.events += 1
            if not name:
                assert callable(item), "only actions have no node"
                item()
                continue
            if name in crashed:
                continue
            if name in paused and not self._is_awake(name, at, item):
                continue
            if name in blocked and item is not None and at < blocked[name]:
                self._push(blocked[name], name, item)
                continue
            node = nodes[name]
            if item is None:
                if at < alarm[name]:
                    continue
                alarm[name] = inf
                if node.wake_at > at:
                    self._set_alarm(name, node)
                    continue
                effects = node.tick(at)
            else:
                effects = node.receive(item, at)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  an action has no name
            if effects:
                self._carry_out(name, effects)
            elif node.wake_at < alarm[name]:
                self._set_alarm(name, node)
        self.now = until

    def _is_awake(self, name: str, at: float, item: Packet | Callable[[], None] | None) -> bool:
        until = self._paused[name]
        if at >= until:
            del self._paused[name]
            return True
        if item is None:
            self._alarm[name] = until
        self._push(until, name, item)
        return False

    def _carry_out(self, name: str, effects: list[Effect]) -> None:
        chance, heap, now = self._random.random, self._heap, self.now
        sent_at = max(now, self._blocked.get(name, now)) if self._blocked else now
        for effect in effects:
            if type(effect) is Publish:
                self.observe(now, name, effect.event)
                continue
            assert type(effect) is Send, "there are two kinds of effects"
            to = effect.to
            if self.load is not None:
                self.load.count(name, to, effect.packet)
            if self._side and self._side.get(name, 0) != self._side.get(to, 0):
                continue
            delay = LATENCY_LEAST_S + (LATENCY_MOST_S - LATENCY_LEAST_S) * chance()
            if effect.reliable:
                while chance() < self.loss:
                    delay += RESEND_S
            elif self.loss and chance() < self.loss:
                continue
            if to in self.nodes:
                self._order += 1
                heappush(heap, (sent_at + delay, self._order, to, effect.packet))
        node = self.nodes[name]
        if node.wake_at < self._alarm[name]:
            self._set_alarm(name, node)

    def _set_alarm(self, name: str, node: Membership) -> None:
        self._alarm[name] = at = max(self.now, node.wake_at)
        self._push(at, name, None)

    def _push(self, at: float, name: str, item: Packet | Callable[[], None] | None) -> None:
        self._order += 1
        heappush(self._heap, (at, self._order, name, item))

    def _acquaint(self, node: Membership, records: Sequence[Member]) -> None:
        """Give a node a view by the way it would get one: an exchange, of which nothing is passed on."""
        node.acquaint(records, self.now)


def _ignore(now: float, name: str, event: MembershipEvent) -> None:
    """Nobody listens."""
