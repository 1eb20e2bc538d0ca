"""A*: a shortest path through a cube of weighted cells, of ``size`` cells a side, searched by 4 workers.

It measures a leader that hands out the most promising work first, and work whose worth depends on what others find.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush

from trouper import Actor, ActorRef, Message, Node, handler

from . import outcome
from .conductor import Conductor, Outcome

SIZE = 12
WORKERS = 4
STEPS = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))

Place = tuple[int, int, int]


def weight(place: Place) -> int:
    """Return what it costs to enter a cell: 1 to 9, a fixed pattern without a plan."""
    x, y, z = place
    return 1 + (x * 7919 + y * 104729 + z * 1299709 + x * y * 31 + y * z * 17) % 9


def around(place: Place, side: int) -> Iterator[tuple[Place, int]]:
    """Go through the neighbours of a cell with the cost of entering each."""
    for step in STEPS:
        x, y, z = place[0] + step[0], place[1] + step[1], place[2] + step[2]
        if 0 <= x < side and 0 <= y < side and 0 <= z < side:
            yield (x, y, z), weight((x, y, z))


class Expand(Message):
    """Look around from a cell."""

    place: Place
    cost: int


class Expanded(Message):
    """What is around a cell, with the cost from the start."""

    worker: ActorRef
    place: Place
    found: tuple[tuple[Place, int], ...]


class Search(Message):
    """Begin, with these workers."""

    workers: tuple[ActorRef, ...]


class Worker(Actor):
    """Looks around."""

    def __init__(self, leader: ActorRef, side: int) -> None:
        self.leader = leader
        self.side = side

    @handler
    def expand(self, msg: Expand) -> None:
        """Tell the leader what is around."""
        found = tuple([(place, msg.cost + price) for place, price in around(msg.place, self.side)])
        self.leader.tell(Expanded(self.ref, msg.place, found))


class Leader(Conductor):
    """Keeps the open cells by promise, and the cheapest way known to each cell."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.goal: Place = (side - 1, side - 1, side - 1)
        self.cheapest: dict[Place, int] = {(0, 0, 0): 0}
        self.open: list[tuple[int, int, Place]] = []
        self.at_work: dict[ActorRef, int] = {}
        self.idle: list[ActorRef] = []
        self._add((0, 0, 0), 0)

    @handler
    def search(self, msg: Search) -> None:
        """Put the workers to work."""
        self.idle = list(msg.workers)
        self._hand_out()

    @handler
    def learn(self, msg: Expanded) -> None:
        """Keep what is cheaper than what was known, and go on."""
        del self.at_work[msg.worker]
        self.idle.append(msg.worker)
        for place, cost in msg.found:
            if cost < self.cheapest.get(place, cost + 1):
                self.cheapest[place] = cost
                self._add(place, cost)
        self._hand_out()

    def _add(self, place: Place, cost: int) -> None:
        # The estimate is the number of cells that are left at the least; each costs 1 or more, so it never exceeds.
        estimate = sum(self.goal) - sum(place)
        heappush(self.open, (cost + estimate, cost, place))

    def _hand_out(self) -> None:
        """Give work to all who idle.  The end has come when nothing open or at work can beat the way to the goal."""
        best = self.cheapest.get(self.goal)
        while self.idle and self.open:
            promise, cost, place = heappop(self.open)
            if cost > self.cheapest[place] or (best is not None and promise >= best):
                continue
            worker = self.idle.pop()
            self.at_work[worker] = promise
            worker.tell(Expand(place, cost))
        if not self.open and not self.at_work and best is not None:
            self.finish(best)


async def run(node: Node, size: int) -> float:
    """Search a cube of ``size`` cells a side and return the cost of the cheapest way through it."""
    leader = await node.spawn(Leader, size)
    workers = tuple([await node.spawn(Worker, leader, size) for _ in range(WORKERS)])
    leader.tell(Search(workers))
    return await outcome(leader, Outcome())


def check(size: int, result: float) -> None:
    """It is what Dijkstra's algorithm finds."""
    costs: dict[Place, int] = {}
    front: list[tuple[int, Place]] = [(0, (0, 0, 0))]
    while front:
        cost, place = heappop(front)
        if place in costs:
            continue
        costs[place] = cost
        for neighbour, price in around(place, size):
            heappush(front, (cost + price, neighbour))
    assert result == costs[size - 1, size - 1, size - 1]
