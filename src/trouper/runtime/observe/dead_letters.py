"""Dead letters: the messages that no handler took, to be counted, seen, warned of and sent again.

The kernel makes a dead letter of every message that it cannot give to a handler, with its reason.  Here the last ones
are kept, subscribers are told, and the log is warned, but only of what is a loss that nobody has chosen or heard of: an
asker has had an error, a failure has its own report, coalescing and rejecting are decisions.

Law of this file: a dead letter never makes another one of itself, however its subscribers behave.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..kernel.delivery import deliver
from ..kernel.errors import InvalidOption
from ..kernel.ref import ActorRef, DeadLetter, Down

if TYPE_CHECKING:
    from ..kernel.system import System
    from .reports import Reports

KEEP = 1_000
"""Letters that are kept for ``recent``."""
WARNINGS_MAX = 10
"""Warnings for one reason, after which there is silence."""
SILENCE_S = 300.0
"""Seconds of silence, in which letters are only counted."""
WARNED_REASONS = frozenset({"unhandled", "mailbox_full", "stash_full", "stopped", "killed", "no_such_actor"})

Callback = Callable[[DeadLetter], None]


@dataclass(frozen=True, slots=True)
class WarningDecision:
    """Whether to warn.  ``omitted``: how many warnings were kept back since the last one; ``last``: silence follows."""

    warn: bool
    omitted: int = 0
    last: bool = False


class WarningLimit:
    """Let some warnings through, then be silent for a while and count.  It decides only; it reads no clock.

    A pause as long as the silence begins a new count, so that rare letters are always warned of.  After Pekko's
    ``log-dead-letters`` and ``log-dead-letters-suspend-duration``.
    """

    def __init__(self, warnings_max: int, silence_s: float) -> None:
        self._warnings_max, self._silence_s = warnings_max, silence_s
        self._warned = self._omitted = 0
        self._fresh_at = 0.0

    def step(self, now: float) -> WarningDecision:
        """Decide about a letter that comes at ``now``, in seconds."""
        if now >= self._fresh_at:
            self._warned = 0
        if self._warned >= self._warnings_max:
            self._omitted += 1
            return WarningDecision(warn=False)
        self._warned += 1
        self._fresh_at = now + self._silence_s
        omitted, self._omitted = self._omitted, 0
        return WarningDecision(warn=True, omitted=omitted, last=self._warned == self._warnings_max)


class DeadLetters:
    """The dead letters of one node; use ``node.dead_letters``."""

    def __init__(self, system: System, reports: Reports) -> None:
        self._system, self._reports = system, reports
        self._recent: deque[DeadLetter] = deque(maxlen=KEEP)
        self._subscribers: dict[ActorRef | Callback, None] = {}
        self._limits: dict[str, WarningLimit] = {}
        self._warnings_max, self._silence_s = WARNINGS_MAX, SILENCE_S
        self._calling = False
        reports.on_letter.append(self._take)

    def configure(self, *, keep: int = KEEP, warnings_max: int = WARNINGS_MAX, silence_s: float = SILENCE_S) -> None:
        """Set the limits anew.

        keep: letters that ``recent`` gives, and so messages that are held in memory; 0 keeps none.
        warnings_max: warnings in the log for each reason before the silence; 0 warns never.
        silence_s: seconds of silence, in which letters are counted and not logged; 0 is never silent.
        Raises ``InvalidOption`` for a negative number.
        """
        if keep < 0 or warnings_max < 0 or silence_s < 0:
            raise InvalidOption(f"keep={keep}, warnings_max={warnings_max} and silence_s={silence_s} must be 0 or more")
        self._recent = deque(self._recent, maxlen=keep)
        self._warnings_max, self._silence_s = warnings_max, silence_s
        self._limits.clear()

    @property
    def counts(self) -> dict[str, int]:
        """How many letters there were for each reason, since the node started."""
        return dict(self._system.dead_letters)

    @property
    def recent(self) -> list[DeadLetter]:
        """The last letters, oldest first."""
        return list(self._recent)

    def subscribe(self, subscriber: ActorRef | Callback) -> None:
        """Show every dead letter from now on to an actor, until it ends, or to a function.

        An actor is told the ``DeadLetter``; one that it cannot take is not shown to anybody.  A function is called at
        once, on the stack of whoever lost the message, so it must be quick; what it loses itself is not shown.
        """
        if isinstance(subscriber, ActorRef):
            cell = subscriber._cell  # noqa: SLF001  a ref is the runtime's own
            if cell.gone:
                return
            cell.add_watcher(self)
        self._subscribers[subscriber] = None

    def unsubscribe(self, subscriber: ActorRef | Callback) -> bool:
        """Show nothing more to a subscriber; False when it was none."""
        if subscriber not in self._subscribers:
            return False
        del self._subscribers[subscriber]
        if isinstance(subscriber, ActorRef):
            subscriber._cell.remove_watcher(self)  # noqa: SLF001  a ref is the runtime's own
        return True

    def replay(self, letter: DeadLetter, to: ActorRef | None = None) -> Awaitable[None]:
        """Tell the message again, to the actor that missed it or to another one; awaiting waits as ``tell`` does.

        It is a new send.  The message of an ask is told, since its asker has been answered already.
        """
        return (letter.target if to is None else to).tell(letter.message)

    def on_down(self, down: Down) -> None:
        """Forget a subscriber that has ended."""
        self._subscribers.pop(down.ref, None)

    def _take(self, letter: DeadLetter) -> None:
        self._recent.append(letter)
        if letter.reason in WARNED_REASONS and not letter.asked and not self._system.closing:
            self._warn(letter)
        if self._subscribers and not self._calling and not isinstance(letter.message, DeadLetter):
            self._calling = True
            try:
                self._show(letter)
            finally:
                self._calling = False

    def _show(self, letter: DeadLetter) -> None:
        for subscriber in list(self._subscribers):
            if isinstance(subscriber, ActorRef):
                deliver(subscriber, letter)
                continue
            try:
                subscriber(letter)
            except Exception as error:  # noqa: BLE001  whoever lost the message has nothing to do with this failure
                self._reports.problem(f"{subscriber!r}, called with a dead letter, failed; it stays subscribed", error)

    def _warn(self, letter: DeadLetter) -> None:
        limit = self._limits.get(letter.reason)
        if limit is None:
            limit = self._limits[letter.reason] = WarningLimit(self._warnings_max, self._silence_s)
        verdict = limit.step(self._system.loop.time())
        if verdict.warn:
            cell = letter.target._cell  # noqa: SLF001  a ref is the runtime's own
            omitted = f"; {verdict.omitted} more since the last warning" if verdict.omitted else ""
            last = f"; silence for {self._silence_s:g} s" if verdict.last and self._silence_s else ""
            known = letter.error if letter.reason == "unhandled" else None
            text = known.partition(": ")[2] if known else cell.loss(letter.message, letter.reason)
            self._reports.problem(f"dead letter ({letter.reason}{omitted}{last}): {text}")
