"""N-queens: how many ways there are to put ``size`` queens on a board so that none attacks another.

It measures work that splits itself: a worker either solves a partial board or hands it back in smaller parts.
"""

from __future__ import annotations

from collections import deque

from trouper import Actor, ActorRef, Message, Node, handler

from . import outcome
from .conductor import Conductor, Outcome

SIZE = 8
WORKERS = 8
SPLIT_ROWS = 2  # boards with fewer queens than this are split, the others solved on the spot
SOLUTIONS = (1, 1, 0, 0, 2, 10, 4, 40, 92, 352, 724)

Columns = tuple[int, ...]


def is_safe(columns: Columns, column: int) -> bool:
    """Say whether a queen may stand in the next row at ``column``."""
    row = len(columns)
    return all(other != column and abs(other - column) != row - place for place, other in enumerate(columns))


def continuations(columns: Columns, size: int) -> list[Columns]:
    """Return the boards with one queen more."""
    return [(*columns, column) for column in range(size) if is_safe(columns, column)]


def solutions(columns: Columns, size: int) -> int:
    """Count the full boards that begin with these queens."""
    if len(columns) == size:
        return 1
    return sum(solutions(board, size) for board in continuations(columns, size))


class Solve(Message):
    """Count the solutions that begin with these queens."""

    columns: Columns


class Solved(Message):
    """What came out of one board: solutions, and boards that are left to be solved."""

    worker: ActorRef
    count: int
    parts: tuple[Columns, ...]


class Begin(Message):
    """Solve an empty board with these workers."""

    workers: tuple[ActorRef, ...]


class Worker(Actor):
    """Solves or splits."""

    def __init__(self, leader: ActorRef, size: int) -> None:
        self.leader = leader
        self.size = size

    @handler
    def solve(self, msg: Solve) -> None:
        """Split a board that is nearly empty, solve any other."""
        if len(msg.columns) < min(SPLIT_ROWS, self.size):
            self.leader.tell(Solved(self.ref, 0, tuple(continuations(msg.columns, self.size))))
        else:
            self.leader.tell(Solved(self.ref, solutions(msg.columns, self.size), ()))


class Leader(Conductor):
    """Hands out boards and adds up."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self.boards: deque[Columns] = deque([()])
        self.idle: list[ActorRef] = []
        self.workers = 0

    @handler
    def begin(self, msg: Begin) -> None:
        """Put the first worker to work."""
        self.idle = list(msg.workers)
        self.workers = len(self.idle)
        self._hand_out()

    @handler
    def add(self, msg: Solved) -> None:
        """Add up, hand out the parts, and end when all idle and nothing is left."""
        self.total += msg.count
        self.boards.extend(msg.parts)
        self.idle.append(msg.worker)
        self._hand_out()
        if len(self.idle) == self.workers:
            self.finish(self.total)

    def _hand_out(self) -> None:
        while self.idle and self.boards:
            self.idle.pop().tell(Solve(self.boards.popleft()))


async def run(node: Node, size: int) -> float:
    """Count the solutions on a board of ``size`` rows."""
    leader = await node.spawn(Leader)
    workers = tuple([await node.spawn(Worker, leader, size) for _ in range(WORKERS)])
    leader.tell(Begin(workers))
    return await outcome(leader, Outcome())


def check(size: int, result: float) -> None:
    """It is the number that is known (sequence A000170 of the encyclopedia of integer sequences)."""
    assert result == SOLUTIONS[size]
