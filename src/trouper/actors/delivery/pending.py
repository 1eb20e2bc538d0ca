"""``PendingDeliveries``: which messages a sender still has to deliver, and when it tries each of them next (PURE).

Laws of this file:
1. A message is pending from its acceptance until it is settled, and is tried again until then.
2. Only the numbers from the oldest pending one on, ``window`` of them, are tried: a receiver need not remember more.
3. With ``window=1`` a message is tried only after all before it are settled.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from math import inf

import msgspec

from ... import InvalidOption

WINDOW_MAX = 1_000
"""The largest window; receivers refuse numbers that are further ahead."""


class DeliverySettings(msgspec.Struct, frozen=True):
    """How a delivery tries.  Raises ``InvalidOption`` for settings that cannot work.

    timeout_s: seconds that the receiver has for one attempt, from its sending to its reply.
    retry_first_s, retry_max_s: seconds between an attempt that failed and the next one; it doubles from the first to
        the largest, with a jitter of a fifth.
    window: messages that are on their way at one time, at most 1,000; with 1 they are handled in order.
    pending_max: messages that wait; more are refused with ``Unavailable``.
    attempts_max: attempts after which a message is given up; None tries without end.
    """

    timeout_s: float = 5.0
    retry_first_s: float = 0.2
    retry_max_s: float = 30.0
    window: int = 1
    pending_max: int = 10_000
    attempts_max: int | None = None

    def __post_init__(self) -> None:
        times = (self.timeout_s, self.retry_first_s, self.retry_max_s)
        if not all(0 < seconds < inf for seconds in times) or self.retry_max_s < self.retry_first_s:
            raise InvalidOption(f"{self}: the times must be above 0 s, and retry_max_s at least retry_first_s")
        if not 1 <= self.window <= WINDOW_MAX or self.pending_max < 1:
            raise InvalidOption(f"{self}: window must be 1 to {WINDOW_MAX}, pending_max 1 or more")
        if self.attempts_max is not None and self.attempts_max < 1:
            raise InvalidOption(f"{self}: attempts_max must be 1 or more, or None")


@dataclass(slots=True)
class _Pending:
    attempts: int = 0
    due_at: float = 0.0
    sent: bool = False


class PendingDeliveries:
    """The pending messages of one sender by number; each method is one event.

    last: the number of the message that was accepted last.
    """

    def __init__(self, settings: DeliverySettings, last: int = 0) -> None:
        self._settings = settings
        self.last = last
        self._pending: dict[int, _Pending] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, number: int) -> bool:
        return number in self._pending

    @property
    def floor(self) -> int:
        """All numbers below this one are settled."""
        return next(iter(self._pending), self.last + 1)

    @property
    def is_full(self) -> bool:
        """Whether no further message is accepted."""
        return len(self._pending) >= self._settings.pending_max

    def accept(self, number: int | None = None) -> int:
        """Add a message, and return its number.  number: in a recovery, the one it has; None takes the next."""
        self.last = self.last + 1 if number is None else number
        self._pending[self.last] = _Pending()
        return self.last

    def take_due(self, now: float) -> list[int]:
        """Return the numbers to be tried now, and count an attempt of each."""
        due = [number for number, each in self._in_window() if not each.sent and each.due_at <= now]
        for number in due:
            pending = self._pending[number]
            pending.sent, pending.attempts = True, pending.attempts + 1
        return due

    def failed(self, number: int, now: float, chance: float) -> bool:
        """Take note that an attempt failed; returns whether the message is to be given up.

        chance: a random number from 0 to 1, for the jitter.
        """
        settings, pending = self._settings, self._pending.get(number)
        if pending is None:
            return False
        exponent = min(pending.attempts - 1, 60)
        pause_s = min(settings.retry_max_s, settings.retry_first_s * 2.0**exponent)
        pending.sent, pending.due_at = False, now + pause_s * (0.8 + 0.4 * chance)
        return settings.attempts_max is not None and pending.attempts >= settings.attempts_max

    def settled(self, number: int) -> None:
        """Take note that a message is handled, refused or given up."""
        self._pending.pop(number, None)

    def wake_at(self) -> float:
        """When ``take_due`` is wanted; inf for not before another event."""
        return min((each.due_at for _, each in self._in_window() if not each.sent), default=inf)

    def _in_window(self) -> list[tuple[int, _Pending]]:
        end = self.floor + self._settings.window
        return [(number, each) for number, each in islice(self._pending.items(), self._settings.window) if number < end]
