"""Trapezoid: the area under a curve from 1 to 5 in ``size`` pieces, added up by 100 workers.

It measures one round of parallel work with little talk.
"""

from __future__ import annotations

import math

from trouper import Actor, Message, Node, handler

SIZE = 100_000
WORKERS = 100
LEFT, RIGHT = 1.0, 5.0


def curve(x: float) -> float:
    """Return the height at ``x``."""
    return math.sqrt(1 + math.exp(math.sqrt(2 * x))) * math.sin(x**3 - 1) / (x + 1)


def area(first: int, last: int, pieces: int) -> float:
    """Return the area of the trapezoids from number ``first`` up to, not including, ``last``."""
    width = (RIGHT - LEFT) / pieces
    heights = [curve(LEFT + number * width) for number in range(first, last + 1)]
    return width * (sum(heights) - (heights[0] + heights[-1]) / 2)


class Area(Message[float]):
    """The reply is the area of the trapezoids from ``first`` up to, not including, ``last``, of ``pieces`` in all."""

    first: int
    last: int
    pieces: int


class Worker(Actor):
    """Adds up its part."""

    @handler
    def compute(self, msg: Area) -> float:
        """Return the area."""
        return area(msg.first, msg.last, msg.pieces)


async def run(node: Node, size: int) -> float:
    """Share ``size`` pieces among the workers and return the whole area."""
    workers = [await node.spawn(Worker) for _ in range(WORKERS)]
    bounds = [size * number // WORKERS for number in range(WORKERS + 1)]
    answers = [
        worker.ask(Area(bounds[number], bounds[number + 1], size))
        for number, worker in enumerate(workers)
        if bounds[number] < bounds[number + 1]
    ]
    return math.fsum([await answer for answer in answers])


def check(size: int, result: float) -> None:
    """It is the area that one loop finds."""
    assert math.isclose(result, area(0, size, size), rel_tol=1e-9, abs_tol=1e-12)
