"""``Workers``: the number of worker processes of a node, what each is started with, and their limits (PURE)."""

from __future__ import annotations

from typing import Literal, cast, get_args

import msgspec

from ..kernel.errors import InvalidOption
from ..kernel.supervision import OneForOne

WORKERS_MAX = 128
"""The most workers of one node: all are connected to one another, so sessions grow with the square of their number."""


class WorkerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker process may use at most; the operating system enforces it.

    memory_bytes: of address space, of which Python needs some hundred MB; more fails with ``MemoryError`` there.
    open_files: files and sockets.  cores: the numbers of the cores that it may run on.
    nice: how much lower its priority is, 0 to 19.  None, and 0 for ``nice``, leave it as the node has it.
    """

    memory_bytes: int | None = None
    open_files: int | None = None
    cores: tuple[int, ...] | None = None
    nice: int = 0


class Workers(msgspec.Struct, frozen=True):
    """The worker processes of a node: ``Node(workers=Workers(4, start_s=60))``, or ``Node(workers=4)``.

    count: how many are started with the node, 0 to 128, named ``NODE.worker-1`` and so on; ``node.workers``
        adds others.
    intensity, period_s: a worker that dies is started again; more than ``intensity`` deaths, of all workers together,
        in ``period_s`` seconds fail the node.
    start_s: seconds for the interpreter to start, import the program's script and connect to the other workers.
    stop_s: seconds for a worker to stop its actors and end in order, before it gets SIGTERM.
    terminate_s: seconds after SIGTERM before it gets SIGKILL.
    hang_s: seconds after which a process that runs no Python code any more (it is stopped, or C code keeps the
        interpreter) is killed and started again; None waits for ever.  A handler that runs long is no hang.
    line_bytes_max: of a line that a worker writes to stdout or stderr; a longer line is shown in parts.
    lines_per_s_max: lines of one worker's stdout, and of its stderr, that are shown; the others are counted, and the
        count is shown.
    env: environment variables of the workers, beside those of the node; None for a value removes the variable.
    python: the interpreter, such as that of another virtual environment, which needs Trouper too; None is the node's.
    labels: of the workers, for placement.  limits: what each may use at most.
    preload: modules that a worker imports before it takes actors.
    journal: where the event-sourced actors of the workers keep their events: ``node`` is the journal that the node was
        given, which it serves to its workers, and from which an actor recovers on any of them; ``memory`` is the
        worker's memory, which ends with its process.  A node that was given no journal has ``memory`` in any case.
    Raises ``InvalidOption`` for a value out of range.
    """

    count: int
    intensity: int = 3
    period_s: float = 5.0
    start_s: float = 30.0
    stop_s: float = 2.0
    terminate_s: float = 0.5
    hang_s: float | None = 30.0
    line_bytes_max: int = 8_192
    lines_per_s_max: int = 1_000
    env: dict[str, str | None] = {}
    python: str | None = None
    labels: dict[str, str] = {}
    limits: WorkerLimits = WorkerLimits()
    preload: tuple[str, ...] = ()
    journal: Literal["node", "memory"] = "node"

    def __post_init__(self) -> None:
        given = cast("object", self.count)  # whatever its annotation says
        if not isinstance(given, int) or not 0 <= given <= WORKERS_MAX:
            raise InvalidOption(f"workers={given!r} must be 0 for none, or up to {WORKERS_MAX}; cores are fewer")
        if not self.start_s > 0 or not (self.stop_s >= 0 and self.terminate_s >= 0):
            raise InvalidOption(f"{self}: start_s must be above 0, stop_s and terminate_s 0 or more")
        if self.hang_s is not None and not self.hang_s > 0:
            raise InvalidOption(f"hang_s={self.hang_s} must be above 0, or None to wait for ever")
        if self.journal not in get_args(Literal["node", "memory"]):
            raise InvalidOption(f"Workers(journal={self.journal!r}) must be 'node' or 'memory'")
        if min(self.line_bytes_max, self.lines_per_s_max) < 1:
            raise InvalidOption(f"{self}: line_bytes_max and lines_per_s_max must be 1 or more")
        for name, value in self.env.items():
            if not name or "=" in name or "\0" in name + (value or ""):
                raise InvalidOption(f"env: {name!r} cannot be an environment variable")
        limits = self.limits
        if min(limits.memory_bytes or 1, limits.open_files or 1) < 1 or not 0 <= limits.nice <= 19:
            raise InvalidOption(f"{limits}: memory_bytes and open_files must be 1 or more, nice 0 to 19")
        if limits.cores is not None and (not limits.cores or min(limits.cores) < 0):
            raise InvalidOption(f"{limits}: cores must name at least one core, by its number from 0")
        OneForOne(self.intensity, self.period_s)  # raises InvalidOption for these two

    @property
    def stop_total_s(self) -> float:
        """Seconds that stopping a worker may take in total."""
        return self.stop_s + self.terminate_s + 1.0
