"""The flight recorder: keeps the last notable events of a node in memory, for a diagnosis afterwards.

Crashes, restarts, ends, escalations, dead letters and blocked loops are kept as short texts, each kind in a ring buffer
of its own, so that a flood of dead letters does not replace the crash that caused it.  On request it also keeps the
last messages of single actors.  ``dump`` writes JSON lines to a file; nothing is written otherwise.

Laws of this file:
1. A ring buffer holds at most ``entries_max`` entries and ``bytes_max`` bytes of text, an entry ``ENTRY_CHARS_MAX``.
2. At most ``PER_SECOND_MAX`` entries of one kind are kept in a second; more are counted, and their text is not built.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from ..kernel.cell import Cell
from ..kernel.confined import confine
from ..kernel.errors import InvalidOption, RestartsExceeded
from ..kernel.hooks import add_observer, remove_observer
from ..kernel.ref import ActorRef, DeadLetter
from ..kernel.system import System
from .reports import Reports, bounded, bounded_repr
from .tracing import MessageTracer, Traced
from .watchdog import LoopBlocked

Kind = Literal["crash", "escalation", "restart", "end", "dead_letter", "loop_blocked", "note"]

ENTRIES_MAX = 200
"""Entries of each kind, by default."""
BYTES_MAX = 262_144
"""Bytes of text of each kind, by default."""
ENTRY_CHARS_MAX = 8_200
"""Characters of one entry: a whole crash report."""
PER_SECOND_MAX = 100
"""Entries of one kind within a second of the loop's time."""
RECORDED_ACTORS_MAX = 1_000
"""Actors whose messages may be recorded at a time."""


class RecorderEntry(msgspec.Struct, frozen=True):
    """One recorded event.

    number: counts the entries of all kinds.  at_s: the loop's time.  actor: an address, as text; None for the node.
    """

    number: int
    at_s: float
    kind: Kind
    actor: str | None
    text: str


class RecorderHeader(msgspec.Struct, frozen=True):
    """The first line of a dump.  now_s: the loop's time.  missed: events by kind that came too fast to be kept."""

    node: str
    now_s: float
    missed: dict[str, int]


class EntryRing:
    """A ring buffer of the newest entries of one kind, bounded in number and in bytes of text."""

    def __init__(self, entries_max: int, bytes_max: int) -> None:
        self.entries: deque[RecorderEntry] = deque()
        self.bytes = 0
        self._entries_max, self._bytes_max = entries_max, bytes_max

    def add(self, entry: RecorderEntry) -> None:
        """Add an entry; it replaces the oldest ones beyond the limits."""
        self.entries.append(entry)
        self.bytes += _bytes_of(entry)
        while len(self.entries) > self._entries_max or self.bytes > self._bytes_max:
            self.bytes -= _bytes_of(self.entries.popleft())


def _bytes_of(entry: RecorderEntry) -> int:
    return len(entry.text.encode(errors="replace")) + len(entry.actor or "")


class _Rate:
    """The rate limit of one kind: ``left`` more may be kept until ``until_s``; ``missed`` were not kept."""

    __slots__ = ("left", "missed", "until_s")

    def __init__(self) -> None:
        self.left = self.missed = 0
        self.until_s = float("-inf")


@confine("_system")
class FlightRecorder:
    """The recorder of one node, as ``node.recorder``.

    entries_max, bytes_max: the limits of each kind, in entries and in bytes of text.  Raises ``InvalidOption`` below 1.
    """

    def __init__(
        self, system: System, reports: Reports, *, entries_max: int = ENTRIES_MAX, bytes_max: int = BYTES_MAX
    ) -> None:
        if entries_max < 1 or bytes_max < 1:
            raise InvalidOption(f"entries_max={entries_max} and bytes_max={bytes_max} must be 1 or more")
        self._system, self._reports = system, reports
        self._entries_max, self._bytes_max = entries_max, bytes_max
        self._rings: dict[Kind, EntryRing] = {}
        self._tracers: dict[Cell, tuple[MessageTracer, deque[Traced]]] = {}
        self._rates: defaultdict[Kind, _Rate] = defaultdict(_Rate)
        self._numbers = 0
        reports.on_crash.append(self._on_crash)
        reports.on_letter.append(self._on_letter)
        system.on_lifecycle += (self._on_life,)

    def note(self, text: str, actor: ActorRef | None = None) -> None:
        """Record a text of the user, about an actor or (None) about the node."""
        if self._admits("note"):
            self._add("note", None if actor is None else str(actor.address), text)

    def on_loop_blocked(self, blocked: LoopBlocked) -> None:
        """Record a blocked loop."""
        if self._admits("loop_blocked"):
            where = f"{blocked.handler} ({blocked.place})" if blocked.handler else "many short handlers"
            self._add("loop_blocked", blocked.actor, f"{blocked.blocked_s * 1_000:.0f} ms in {where}")

    # --- the messages of single actors -------------------------------------------------------------------------------

    def record(self, ref: ActorRef, messages: int = 100) -> None:
        """Record the last messages of one actor from now on, until ``forget``; read them with ``messages``.

        messages: how many to keep, 1 to 10,000.  The messages of an actor that has ended are kept until there are
        ``RECORDED_ACTORS_MAX`` recorded actors.  Raises ``InvalidOption`` for a number out of range, and when so many
        living actors are recorded.
        """
        if not 1 <= messages <= 10_000:
            raise InvalidOption(f"a record of {messages} messages of {ref.address}: it must be 1 to 10,000")
        self.forget(ref)
        if len(self._tracers) >= RECORDED_ACTORS_MAX:
            ended = next((cell for cell in self._tracers if cell.gone), None)
            if ended is None:
                raise InvalidOption(f"{RECORDED_ACTORS_MAX} actors are recorded already: forget one of them")
            del self._tracers[ended]
        cell = ref._cell  # noqa: SLF001  a ref is the runtime's own
        kept: deque[Traced] = deque(maxlen=messages)
        tracer = MessageTracer(lambda _, traced: kept.append(traced))
        self._tracers[cell] = (tracer, kept)
        add_observer(cell, tracer)

    def forget(self, ref: ActorRef) -> None:
        """Undo ``record`` and drop the messages of the actor."""
        cell = ref._cell  # noqa: SLF001  a ref is the runtime's own
        tracer, _ = self._tracers.pop(cell, (None, None))
        if tracer is not None:
            remove_observer(cell, tracer)

    def messages(self, ref: ActorRef) -> tuple[Traced, ...]:
        """Return the last messages of a recorded actor, oldest first; empty for one that is not recorded."""
        _, kept = self._tracers.get(ref._cell, (None, ()))  # noqa: SLF001  a ref is the runtime's own
        return tuple(kept)

    @property
    def missed(self) -> dict[str, int]:
        """Events by kind that came too fast to be kept."""
        return {kind: rate.missed for kind, rate in self._rates.items() if rate.missed}

    # --- reading -----------------------------------------------------------------------------------------------------

    def entries(self, *kinds: Kind) -> tuple[RecorderEntry, ...]:
        """Return the entries of these kinds, or without any of all kinds, in order."""
        wanted = kinds or tuple(self._rings)
        found = [entry for kind in wanted if kind in self._rings for entry in self._rings[kind].entries]
        return tuple(sorted(found, key=lambda entry: entry.number))

    def lines(self) -> Iterator[bytes]:
        """Yield JSON lines: a ``RecorderHeader``, the ``RecorderEntry`` lines, then the ``Traced`` messages."""
        yield msgspec.json.encode(RecorderHeader(self._system.name, self._system.loop.time(), self.missed))
        for entry in self.entries():
            yield msgspec.json.encode(entry)
        for _, kept in self._tracers.values():
            for traced in kept:
                yield msgspec.json.encode(traced)

    def dump(self, path: str | Path) -> int:
        """Write all to a file, replacing it; returns the number of lines.  Raises ``OSError``."""
        lines = list(self.lines())
        Path(path).write_bytes(b"".join(line + b"\n" for line in lines))
        return len(lines)

    # --- what happens ------------------------------------------------------------------------------------------------

    def _on_crash(self, cell: Cell, error: BaseException, text: str) -> None:
        kind: Kind = "escalation" if isinstance(error, RestartsExceeded) else "crash"
        if self._admits(kind):
            self._add(kind, str(cell.address), text)

    def _on_letter(self, letter: DeadLetter) -> None:
        if self._admits("dead_letter"):
            why = letter.reason if letter.error is None else f"{letter.reason}, {letter.error}"
            self._add("dead_letter", str(letter.target.address), f"{bounded_repr(letter.message)}: {why}")

    def _on_life(self, cell: Cell, change: str) -> None:
        if change == "started":  # frequent, and not notable
            return
        if change == "restarted" and self._admits("restart"):
            self._add("restart", str(cell.address), f"restart number {cell.restarts}")
        elif change == "ended" and self._admits("end"):
            self._add("end", str(cell.address), f"{cell.reason} after {cell.handled} of {cell.received} messages")

    def _admits(self, kind: Kind) -> bool:
        """Count an event; returns False when there were too many of its kind in this second."""
        rate = self._rates[kind]
        now = self._system.loop.time()
        if now >= rate.until_s:
            rate.until_s, rate.left = now + 1.0, PER_SECOND_MAX
        if rate.left:
            rate.left -= 1
            return True
        rate.missed += 1
        return False

    def _add(self, kind: Kind, actor: str | None, text: str) -> None:
        self._numbers += 1
        ring = self._rings.get(kind)
        if ring is None:
            ring = self._rings[kind] = EntryRing(self._entries_max, self._bytes_max)
        ring.add(RecorderEntry(self._numbers, self._system.loop.time(), kind, actor, bounded(text, ENTRY_CHARS_MAX)))
