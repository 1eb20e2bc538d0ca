"""Dead letters: keeps, counts and shows the messages that no handler took, and warns of them in the log.

The kernel makes a dead letter of every message that it cannot give to a handler, with a reason.  This file keeps the
last ones, calls subscribers, and logs warnings, but only of losses that are reported nowhere else: an asker gets an
error, a failure has its own report, and coalesced and rejected messages were dropped by a decision of the program.

Laws of this file:
1. A dead letter never causes another one by itself, however its subscribers behave.
2. The kept letters are bounded in number and in bytes, warnings per reason and actor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, cast

import msgspec

from ..kernel.confined import confine
from ..kernel.errors import InvalidOption
from ..kernel.ref import ActorRef, DeadLetter, Down, deliver, tell_with_headers

if TYPE_CHECKING:
    from ..kernel.system import System
    from .reports import Reports

KEEP = 1_000
"""Letters that ``recent`` keeps, by default."""
KEEP_BYTES = 16 * 1024 * 1024
"""Bytes of the messages that ``recent`` keeps, by default."""
WARNINGS_MAX = 10
"""Warnings for one reason and actor before the silence, by default."""
SILENCE_S = 300.0
"""Seconds in which letters are only counted, after ``WARNINGS_MAX`` warnings, by default."""
ACTORS_MAX = 100
"""Actors that have a warning limit of their own for a reason; all others share one."""
SILENT_REASONS = frozenset({"failed", "rejected", "coalesced", "expired", "cancelled"})
"""Reasons that are not logged."""
WARNED_REASONS = frozenset(
    {
        "unhandled",
        "mailbox_full",
        "stash_full",
        "stopped",
        "killed",
        "no_such_actor",
        "unsendable",
        "decode_error",
        "node_lost",
        "outcome_unknown",
        "refused",
        "not_permitted",
        "over_limit",
    }
)
"""Reasons that are logged for messages that were told."""
REASONS = WARNED_REASONS | SILENT_REASONS
"""All reasons of the runtime's own.  An admission hook may have further ones, which are logged as ``refused`` is."""
SAMPLED_MAX = 50
"""Items of a container whose sizes are measured; the rest is taken to be as large."""
MEASURED_MAX = 1_000
"""Values of one message that are measured at most."""

_PLAIN = frozenset({int, float, bool})

Callback = Callable[[DeadLetter], None]


@dataclass(frozen=True, slots=True)
class WarningDecision:
    """Whether to warn.  omitted: warnings left out since the last one.  last: silence follows this warning."""

    warn: bool
    omitted: int = 0
    last: bool = False


_OMIT = WarningDecision(warn=False)


class WarningLimit:
    """Rate limit: allows ``warnings_max`` warnings, then none for ``silence_s`` seconds, and counts the omitted ones.

    A pause of ``silence_s`` resets the count, so that rare letters are always warned of.  After Pekko's
    ``log-dead-letters`` and ``log-dead-letters-suspend-duration``.  It reads no clock.
    """

    __slots__ = ("_fresh_at", "_omitted", "_silence_s", "_warned", "_warnings_max")

    def __init__(self, warnings_max: int, silence_s: float) -> None:
        self._warnings_max, self._silence_s = warnings_max, silence_s
        self._warned = self._omitted = 0
        self._fresh_at = 0.0

    def step(self, now: float) -> WarningDecision:
        """Decide about a letter at the time ``now``, in seconds."""
        if now >= self._fresh_at:
            self._warned = 0
        if self._warned >= self._warnings_max:
            self._omitted += 1
            return _OMIT
        self._warned += 1
        self._fresh_at = now + self._silence_s
        omitted, self._omitted = self._omitted, 0
        return WarningDecision(warn=True, omitted=omitted, last=self._warned == self._warnings_max)

    def is_fresh(self, now: float) -> bool:
        """Return whether it is as good as a new one: the silence is over, and nothing is left to be told."""
        return now >= self._fresh_at and not self._omitted


class WarningLimits:
    """The warning limits of all reasons and actors; it reads no clock.

    For each reason the first ``ACTORS_MAX`` actors have a limit each, so that one actor's flood does not hide another
    actor's first loss; all further actors share one limit, so that the log stays bounded.
    """

    def __init__(self, warnings_max: int, silence_s: float) -> None:
        self._warnings_max, self._silence_s = warnings_max, silence_s
        self._by_actor: dict[str, dict[object, WarningLimit]] = {}
        self._shared: dict[str, WarningLimit] = {}
        self._tidy_at: dict[str, float] = {}

    def step(self, reason: str, actor: object, now: float) -> WarningDecision:
        """Decide about a letter to ``actor`` (any hashable value) at the time ``now``, in seconds."""
        limits = self._by_actor.setdefault(reason, {})
        limit = limits.get(actor)
        if limit is None and len(limits) >= ACTORS_MAX and now >= self._tidy_at.get(reason, 0.0):
            self._tidy_at[reason] = now + max(self._silence_s, 1.0)  # at most so often: it costs ACTORS_MAX steps
            for key in [key for key, each in limits.items() if each.is_fresh(now)]:
                del limits[key]
        if limit is None and len(limits) < ACTORS_MAX:
            limit = limits[actor] = WarningLimit(self._warnings_max, self._silence_s)
        elif limit is None:
            limit = self._shared.setdefault(reason, WarningLimit(self._warnings_max, self._silence_s))
        return limit.step(now)


def bytes_of(message: object) -> int:
    """Estimate the memory of a message, in bytes, in bounded time: large containers are sampled."""
    small = 16
    for name in getattr(message, "__struct_fields__", ("",)):  # the usual message has a few plain fields
        field: object = getattr(message, name, None)
        if type(field) in _PLAIN:
            small += 40
        elif isinstance(field, str | bytes):
            small += 57 + len(field)
        else:
            break
    else:
        return small
    total, measured = 0.0, 0
    open_: list[tuple[object, float]] = [(message, 1.0)]
    while open_ and measured < MEASURED_MAX:
        value, weight = open_.pop()
        measured += 1
        size, parts, count = _size_of(value)
        total += weight * size
        if count:
            sampled = list(islice(parts, SAMPLED_MAX))
            open_ += [(part, weight * count / len(sampled)) for part in sampled]
    return round(total)


def _size_of(value: object) -> tuple[int, Iterable[object], int]:
    """Return the bytes of a value itself, what it contains, and how many that is."""
    if isinstance(value, str | bytes | bytearray):
        return 49 + len(value), (), 0
    if isinstance(value, msgspec.Struct):
        names = value.__struct_fields__
        return 16 + 8 * len(names), (getattr(value, name) for name in names), len(names)
    if isinstance(value, Mapping):
        mapping = cast("Mapping[object, object]", value)
        return 64 + 100 * len(mapping), (part for pair in mapping.items() for part in pair), 2 * len(mapping)
    if isinstance(value, list | tuple | set | frozenset):
        items = cast("list[object]", value)
        return 56 + 8 * len(items), items, len(items)
    size: object = getattr(value, "nbytes", 0)  # memoryview, numpy and what is like it
    attributes: object = getattr(value, "__dict__", None)
    own = 32 + (size if isinstance(size, int) else 0)
    if isinstance(attributes, dict) and not isinstance(value, type):
        return own, cast("dict[str, object]", attributes).values(), len(cast("dict[str, object]", attributes))
    return own, (), 0


@confine("_system")
class DeadLetters:
    """The dead letters of one node; use ``node.dead_letters``."""

    def __init__(self, system: System, reports: Reports) -> None:
        self._system, self._reports = system, reports
        self._kept: deque[tuple[DeadLetter, int]] = deque()
        self._kept_bytes = 0
        self._keep, self._keep_bytes = KEEP, KEEP_BYTES
        self._subscribers: dict[ActorRef | Callback, None] = {}
        self._silence_s = SILENCE_S
        self._limits = WarningLimits(WARNINGS_MAX, SILENCE_S)
        self._calling = False
        reports.on_letter.append(self._on_letter)

    def configure(
        self,
        *,
        keep: int = KEEP,
        keep_bytes: int = KEEP_BYTES,
        warnings_max: int = WARNINGS_MAX,
        silence_s: float = SILENCE_S,
    ) -> None:
        """Set the limits; those that are not given return to their defaults.

        keep: letters in ``recent``; 0 keeps none.
        keep_bytes: bytes of their messages, estimated; the oldest letters make room, and a larger one is not kept.
        warnings_max: warnings in the log for each reason and actor before the silence; 0 logs none.
        silence_s: seconds of silence, in which letters are counted and not logged; 0 is no silence.
        Raises ``InvalidOption`` for a negative number.
        """
        if keep < 0 or keep_bytes < 0 or warnings_max < 0 or silence_s < 0:
            raise InvalidOption(
                f"keep={keep}, keep_bytes={keep_bytes}, warnings_max={warnings_max} and silence_s={silence_s} must be "
                "0 or more"
            )
        self._keep, self._keep_bytes, self._silence_s = keep, keep_bytes, silence_s
        self._limits = WarningLimits(warnings_max, silence_s)
        self._drop_excess()

    @property
    def counts(self) -> dict[str, int]:
        """Letters by reason since the node started; ``REASONS`` are all reasons."""
        return dict(self._system.dead_letters)

    @property
    def recent(self) -> list[DeadLetter]:
        """The last letters, oldest first."""
        return [letter for letter, _ in self._kept]

    @property
    def kept_bytes(self) -> int:
        """Bytes of the messages in ``recent``, estimated."""
        return self._kept_bytes

    def subscribe(self, subscriber: ActorRef | Callback) -> None:
        """Show every further dead letter to an actor, until it ends, or to a function.

        An actor is sent the ``DeadLetter``; when that is lost itself, it is shown to no subscriber.  A function is
        called at once, on the stack that lost the message, so it must be quick; messages that it loses are not shown.
        """
        if isinstance(subscriber, ActorRef):
            cell = subscriber._cell  # noqa: SLF001  a ref is the runtime's own
            if cell.gone:
                return
            cell.add_watcher(self)
        self._subscribers[subscriber] = None

    def unsubscribe(self, subscriber: ActorRef | Callback) -> bool:
        """Remove a subscriber; returns False when it was not subscribed."""
        if subscriber not in self._subscribers:
            return False
        del self._subscribers[subscriber]
        if isinstance(subscriber, ActorRef):
            subscriber._cell.remove_watcher(self)  # noqa: SLF001  a ref is the runtime's own
        return True

    def replay(self, letter: DeadLetter, to: ActorRef | None = None) -> Awaitable[None]:
        """Send the message of a letter again, with its headers, as ``tell`` does; returns what ``tell`` returns.

        to: the actor to send it to; None is the original target.  The message of an ask is told, since its asker has
        been answered.  Raises what ``tell`` raises.
        """
        target = letter.target if to is None else to
        if letter.headers is None:
            return target.tell(letter.message)
        return tell_with_headers(target, letter.message, letter.headers)

    def on_down(self, down: Down) -> None:
        """Remove a subscriber that has ended."""
        self._subscribers.pop(down.ref, None)

    def _on_letter(self, letter: DeadLetter) -> None:
        if self._keep:
            headers = (letter.headers or {}).items()
            size = bytes_of(letter.message) + sum(len(name) + len(value) for name, value in headers)
            self._kept.append((letter, size))
            self._kept_bytes += size
            self._drop_excess()
        if letter.reason not in SILENT_REASONS and not letter.asked and not self._system.closing:
            self._warn(letter)
        if self._subscribers and not self._calling and not isinstance(letter.message, DeadLetter):
            self._calling = True
            try:
                self._show(letter)
            finally:
                self._calling = False

    def _drop_excess(self) -> None:
        while self._kept and (len(self._kept) > self._keep or self._kept_bytes > self._keep_bytes):
            self._kept_bytes -= self._kept.popleft()[1]

    def _show(self, letter: DeadLetter) -> None:
        for subscriber in list(self._subscribers):
            if isinstance(subscriber, ActorRef):
                deliver(subscriber, letter)
                continue
            try:
                subscriber(letter)
            except Exception as error:  # noqa: BLE001  the failure is the subscriber's, not of the stack it runs on
                self._reports.problem(f"{subscriber!r}, called with a dead letter, failed; it stays subscribed", error)

    def _warn(self, letter: DeadLetter) -> None:
        decision = self._limits.step(letter.reason, letter.target, self._system.loop.time())
        if decision.warn:
            cell = letter.target._cell  # noqa: SLF001  a ref is the runtime's own
            omitted = f"; {decision.omitted} more since the last warning" if decision.omitted else ""
            last = f"; silence for {self._silence_s:g} s" if decision.last and self._silence_s else ""
            text = str(cell.loss(letter.message, letter.reason))
            if letter.error is not None:
                is_sentence = letter.reason in ("unhandled", "outcome_unknown")
                text = letter.error.partition(": ")[2] if is_sentence else _named(letter)
            self._reports.problem(f"dead letter ({letter.reason}{omitted}{last}): {text}")


def _named(letter: DeadLetter) -> str:
    """Return the target of a letter and its error: the error of a codec does not name the actor."""
    return f"{letter.target.address} does not get {type(letter.message).__qualname__}: {letter.error}"
