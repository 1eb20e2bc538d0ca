"""``Workers``: the number of worker processes of a node, and their limits and time-outs (PURE)."""

from __future__ import annotations

from dataclasses import dataclass

from ..kernel.errors import InvalidOption
from ..kernel.supervision import OneForOne

WORKERS_MAX = 128
"""The most workers of one node: all are connected to one another, so sessions grow with the square of their number."""


@dataclass(frozen=True, slots=True)
class Workers:
    """The worker processes of a node: ``Node(workers=Workers(4, start_s=60))``, or ``Node(workers=4)``.

    count: how many, 1 to 128, named ``worker-1`` and so on.
    intensity, period_s: a worker that dies is started again; more than ``intensity`` deaths, of all workers together,
        in ``period_s`` seconds fail the node.
    start_s: seconds for the interpreter to start, import the program's script and connect to the other workers.
    stop_s: seconds for a worker to stop its actors and end in order, before it gets SIGTERM.
    terminate_s: seconds after SIGTERM before it gets SIGKILL.
    line_bytes_max: of a line that a worker writes to stdout or stderr; a longer line is shown in parts.
    lines_per_s_max: lines of one worker's stdout, and of its stderr, that are shown; the others are counted, and the
        count is shown.
    Raises ``InvalidOption`` for a value out of range.
    """

    count: int
    intensity: int = 3
    period_s: float = 5.0
    start_s: float = 30.0
    stop_s: float = 2.0
    terminate_s: float = 0.5
    line_bytes_max: int = 8_192
    lines_per_s_max: int = 1_000

    def __post_init__(self) -> None:
        if not 0 < self.count <= WORKERS_MAX:
            raise InvalidOption(f"workers={self.count} must be 0 for none, or up to {WORKERS_MAX}; cores are fewer")
        if not self.start_s > 0 or not (self.stop_s >= 0 and self.terminate_s >= 0):
            raise InvalidOption(f"{self}: start_s must be above 0, stop_s and terminate_s 0 or more")
        if min(self.line_bytes_max, self.lines_per_s_max) < 1:
            raise InvalidOption(f"{self}: line_bytes_max and lines_per_s_max must be 1 or more")
        OneForOne(self.intensity, self.period_s)  # raises InvalidOption for these two

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the workers."""
        return tuple(f"worker-{number}" for number in range(1, self.count + 1))

    @property
    def stop_total_s(self) -> float:
        """Seconds that stopping a worker may take in total."""
        return self.stop_s + self.terminate_s + 1.0
