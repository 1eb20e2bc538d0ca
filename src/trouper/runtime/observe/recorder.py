"""The flight recorder: the last notable things that happened on a node, to be read after an accident.

Crashes, restarts, ends, escalations, dead letters and whoever held the loop are kept as short texts, each kind in a
ring of its own, so that a flood of dead letters does not push out the one crash that explains it.  On request it also
keeps the last messages of single actors.  It writes nothing by itself: ``dump`` gives JSON lines.

Laws of this file:
1. A ring holds at most ``entries_max`` entries and ``bytes_max`` bytes of text; each entry at most ``ENTRY_CHARS_MAX``.
2. Of one kind at most ``PER_SECOND_MAX`` are kept in a second; the others are counted and cost no text.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from ..kernel.cell import Cell
from ..kernel.errors import InvalidOption, RestartsExceeded
from ..kernel.ref import ActorRef, DeadLetter
from ..kernel.system import System
from .reports import Reports, bounded, bounded_repr
from .tracing import MessageTracer, Traced, add_observer, remove_observer
from .watchdog import LoopBlocked

Kind = Literal["crash", "escalation", "restart", "end", "dead_letter", "loop_blocked", "note"]

ENTRIES_MAX = 200
"""Entries of each kind, unless the recorder is told otherwise."""
BYTES_MAX = 262_144
"""Bytes of text of each kind."""
ENTRY_CHARS_MAX = 8_200
"""Characters of one entry: a whole crash report."""
PER_SECOND_MAX = 100
"""Entries of one kind within a second of the loop's time."""
RECORDED_ACTORS_MAX = 1_000
"""Actors whose messages are kept."""


class RecorderEntry(msgspec.Struct, frozen=True):
    """One thing that happened.  number: in order over all kinds; at_s: the loop's time; actor: an address, as text."""

    number: int
    at_s: float
    kind: Kind
    actor: str | None
    text: str


class RecorderHeader(msgspec.Struct, frozen=True):
    """The first line of a dump.  now_s: the loop's time; missed: how many of each kind came too fast to be kept."""

    node: str
    now_s: float
    missed: dict[str, int]


class EntryRing:
    """The newest entries of one kind, bounded in number and in bytes of text.  It knows nothing of time."""

    def __init__(self, entries_max: int, bytes_max: int) -> None:
        self.entries: deque[RecorderEntry] = deque()
        self.bytes = 0
        self._entries_max, self._bytes_max = entries_max, bytes_max

    def add(self, entry: RecorderEntry) -> None:
        """Keep an entry; the oldest give way."""
        self.entries.append(entry)
        self.bytes += _bytes_of(entry)
        while len(self.entries) > self._entries_max or self.bytes > self._bytes_max:
            self.bytes -= _bytes_of(self.entries.popleft())


def _bytes_of(entry: RecorderEntry) -> int:
    return len(entry.text.encode(errors="replace")) + len(entry.actor or "")


class _Rate:
    """How many more of one kind are kept until when, and how many were not."""

    __slots__ = ("left", "missed", "until_s")

    def __init__(self) -> None:
        self.left = self.missed = 0
        self.until_s = float("-inf")


class FlightRecorder:
    """The recorder of one node, as ``node.recorder``.

    entries_max, bytes_max: of each kind.  Raises ``InvalidOption`` for less than 1.
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
        """Have something of one's own in the record."""
        if self._admits("note"):
            self._add("note", None if actor is None else str(actor.address), text)

    def on_loop_blocked(self, blocked: LoopBlocked) -> None:
        """Take down who held the loop."""
        if self._admits("loop_blocked"):
            where = (
                f"{blocked.handler} ({blocked.place})" if blocked.handler else "many handlers, none of them for long"
            )
            self._add("loop_blocked", blocked.actor, f"{blocked.blocked_s * 1_000:.0f} ms in {where}")

    # --- the messages of single actors -------------------------------------------------------------------------------

    def record(self, ref: ActorRef, messages: int = 100) -> None:
        """Keep the last messages of one actor from now on, until ``forget`` or its end; see ``messages``.

        messages: 1 to 10,000; what is kept of each is bounded.  What an actor that has ended did last is kept, while
        there are fewer than ``RECORDED_ACTORS_MAX`` of them.  Raises ``InvalidOption``.
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
        """Undo ``record``, and drop what was kept."""
        cell = ref._cell  # noqa: SLF001  a ref is the runtime's own
        tracer, _ = self._tracers.pop(cell, (None, None))
        if tracer is not None:
            remove_observer(cell, tracer)

    def messages(self, ref: ActorRef) -> tuple[Traced, ...]:
        """The last messages of a recorded actor, oldest first."""
        _, kept = self._tracers.get(ref._cell, (None, ()))  # noqa: SLF001  a ref is the runtime's own
        return tuple(kept)

    @property
    def missed(self) -> dict[str, int]:
        """How many of each kind came too fast to be kept."""
        return {kind: rate.missed for kind, rate in self._rates.items() if rate.missed}

    # --- reading -----------------------------------------------------------------------------------------------------

    def entries(self, *kinds: Kind) -> tuple[RecorderEntry, ...]:
        """What is kept of these kinds, or of all when none is named, in the order in which it happened."""
        wanted = kinds or tuple(self._rings)
        found = [entry for kind in wanted if kind in self._rings for entry in self._rings[kind].entries]
        return tuple(sorted(found, key=lambda entry: entry.number))

    def lines(self) -> Iterator[bytes]:
        """Give the record as JSON lines: a ``RecorderHeader``, each ``RecorderEntry``, then what recorded actors did, as ``Traced``."""
        yield msgspec.json.encode(RecorderHeader(self._system.name, self._system.loop.time(), self.missed))
        for entry in self.entries():
            yield msgspec.json.encode(entry)
        for _, kept in self._tracers.values():
            for traced in kept:
                yield msgspec.json.encode(traced)

    def dump(self, path: str | Path) -> int:
        """Write the record to a file, in place of what is there; returns how many lines.  It may be called any time."""
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
        if change == "started":  # the usual case, and nothing to note
            return
        if change == "restarted" and self._admits("restart"):
            self._add("restart", str(cell.address), f"restart number {cell.restarts}")
        elif change == "ended" and self._admits("end"):
            self._add("end", str(cell.address), f"{cell.reason} after {cell.handled} of {cell.received} messages")

    def _admits(self, kind: Kind) -> bool:
        """Count one, and say whether it is to be kept."""
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
