"""``Workers``: the number of worker processes of a node, what each is started with, and their limits (PURE)."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from ..kernel.errors import InvalidOption
from ..kernel.options import check_count, check_number
from ..kernel.supervision import OneForOne

WORKERS_MAX = 128
"""The most workers of one node: all are connected to one another, so sessions grow with the square of their number."""

MEMORY_BYTES_MAX = 2**62
CORES_MAX = 65_535
"""The largest values that a limit of a worker can have."""


class WorkerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker process may use at most; the operating system enforces it.

    memory_bytes: of address space, of which Python needs some hundred MB; more fails with ``MemoryError`` there.
    open_files: files and sockets.  cores: the numbers of the cores that it may run on.
    nice: how much lower its priority is, 0 to 19.  None, and 0 for ``nice``, leave it as the node has it.
    Raises ``InvalidOption`` for a value out of range.
    """

    memory_bytes: int | None = None
    open_files: int | None = None
    cores: tuple[int, ...] | None = None
    nice: int = 0

    def __post_init__(self) -> None:
        check_count("memory_bytes", self.memory_bytes, most=MEMORY_BYTES_MAX, none="no limit")
        check_count("open_files", self.open_files, none="no limit")
        check_count("nice", self.nice, least=0, most=19)
        if self.cores is not None and not self.cores:
            raise InvalidOption("cores=() must name at least one core, by its number from 0; None is all of them")
        for core in self.cores or ():
            check_count("cores", core, least=0, most=CORES_MAX)


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
        check_count("workers", self.count, least=0, most=WORKERS_MAX)
        check_number("start_s", self.start_s)
        check_number("stop_s", self.stop_s, zero=True)
        check_number("terminate_s", self.terminate_s, zero=True)
        check_number("hang_s", self.hang_s, none="to wait for ever")
        check_count("line_bytes_max", self.line_bytes_max)
        check_count("lines_per_s_max", self.lines_per_s_max)
        if self.journal not in get_args(Literal["node", "memory"]):
            raise InvalidOption(f"Workers(journal={self.journal!r}) must be 'node' or 'memory'")
        for name, value in self.env.items():
            if not name or "=" in name or "\0" in name + (value or ""):
                raise InvalidOption(f"env: {name!r} cannot be an environment variable")
        OneForOne(self.intensity, self.period_s)  # raises InvalidOption for these two

    @property
    def stop_total_s(self) -> float:
        """Seconds that stopping a worker may take in total."""
        return self.stop_s + self.terminate_s + 1.0
