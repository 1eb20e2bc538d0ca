"""Mailboxes: how many messages may wait for an actor, and which is dropped when it is full.

``Mailbox`` is the setting on an actor class.  The queue itself is made when the first message waits, and given back
when it is empty, so an idle actor has none.  Below ``high_water`` awaiting ``tell`` returns at once; from there to
``limit`` it waits; at ``limit`` the policy decides.  System signals do not pass through here (law 3).
Queues in other orders than that of arrival are in ``runtime/actor/queues.py``.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, cast, get_args

from .ask import current_invocation, is_from_self
from .clock import CLOCK_S
from .deadlock import begin_wait, check_cycle, end_wait
from .errors import DeadlockError, InternalError, InvalidOption
from .options import check_count, check_number

if TYPE_CHECKING:
    from .ask import Invocation
    from .cell import Cell

WARNED_LIMIT_MIN = 1_000
"""Of a mailbox with a smaller limit no warning comes before the first dropped message, which is warned of."""

CATCH_UP_S = 0.1
"""Of a throttled mailbox whose loop was late, the messages of so many seconds are handled at once."""

Policy = Literal["drop_newest", "drop_oldest", "coalesce", "raise_full"]


class Mail(Protocol):
    """The operations of a queue that the runtime uses; ``collections.deque`` has them."""

    def append(self, item: object, /) -> None: ...
    def appendleft(self, item: object, /) -> None: ...
    def popleft(self) -> object: ...
    def clear(self) -> None: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[object]: ...


class Coalescing(Mail, Protocol):
    """A queue that can replace a queued item by a new one."""

    def replace(self, item: object, /) -> object | None:
        """Return the item that was replaced, or None when there was none to replace, and then nothing was stored."""


class ContainedQueue:
    """A queue of a user's own, which may raise anything, lose items or make some up: each item comes out of it once.

    When it fails to give back what is queued, the items are taken in the order of arrival.  ``append`` and ``replace``
    raise what the queue raises, and have then not queued the item.
    report: called with the error when the queue has failed, at most once.
    """

    __slots__ = ("_arrivals", "_count", "_queue", "_report")

    def __init__(self, queue: Mail, report: Callable[[Exception], None]) -> None:
        self._queue, self._report = queue, report
        self._arrivals: dict[int, tuple[object, int]] = {}  # by id: the item, and how many times it is queued
        self._count = 0

    def append(self, item: object) -> None:
        self._queue.append(item)
        self._add(item)

    def appendleft(self, item: object) -> None:
        try:
            self._queue.appendleft(item)
        except Exception as error:  # noqa: BLE001  a user's queue may raise anything
            self._give_up(error).appendleft(item)
        self._add(item)

    def popleft(self) -> object:
        if not self._count:
            raise IndexError("nothing is queued")
        try:
            item = self._queue.popleft()
            self._remove(item)
        except Exception as error:  # noqa: BLE001  a user's queue may raise anything
            item = self._give_up(error).popleft()
            self._remove(item)
        return item

    def replace(self, item: object) -> object | None:
        """As of a ``Coalescing`` queue; None when the queue has failed before."""
        if isinstance(self._queue, deque):
            return None
        replaced = cast("Coalescing", self._queue).replace(item)
        if replaced is not None:
            self._remove(replaced)
            self._add(item)
        return replaced

    def clear(self) -> None:
        self._give_up(None).clear()
        self._arrivals.clear()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[object]:
        try:
            items = list(self._queue)
        except Exception:  # noqa: BLE001  a user's queue may raise anything
            items = []
        same = Counter(map(id, items)) == {key: times for key, (_, times) in self._arrivals.items()}
        return iter(items if same else self._in_order_of_arrival())

    def _add(self, item: object) -> None:
        self._count += 1
        self._arrivals[id(item)] = (item, self._arrivals.get(id(item), (item, 0))[1] + 1)

    def _remove(self, item: object) -> None:
        _, times = self._arrivals.pop(id(item), (item, 0))
        if not times:
            raise InternalError(f"it returned a {type(item).__qualname__} that is not queued")
        self._count -= 1
        if times > 1:
            self._arrivals[id(item)] = (item, times - 1)

    def _in_order_of_arrival(self) -> deque[object]:
        return deque(item for item, times in self._arrivals.values() for _ in range(times))

    def _give_up(self, error: Exception | None) -> Mail:
        self._queue = self._in_order_of_arrival()
        if error is not None:
            self._report(error)
        return self._queue


@dataclass(frozen=True, slots=True)
class Mailbox:
    """The mailbox of an actor class.

    high_water: messages; ``await tell`` waits while as many or more are queued.
    limit: messages; when as many are queued, ``when_full`` applies to the next one, unless the actor has sent it to
        itself, by ``pipe_to_self``, a timer or its stash.  At a tenth of it a warning names the sender and the actor.
    when_full: ``drop_newest``, ``drop_oldest``, ``raise_full`` (at the sender), or ``coalesce``: the newest message
        replaces the queued one that ``queue`` finds to have the same key; if there is none, the newest is dropped.
    queue: a function that makes the queue; None is a deque, in the order of arrival.
    rate_per_s: messages handled per second at most, evenly spaced to a millisecond; None for no limit.  While messages
        wait, a loop that was late by up to 0.1 s makes up for it.
    Raises ``InvalidOption`` for a setting outside of its range.
    """

    high_water: int = 1_000
    limit: int = 100_000
    when_full: Policy = "drop_newest"
    queue: Callable[[], Mail] | None = None
    rate_per_s: float | None = None

    def __post_init__(self) -> None:
        check_count("high_water", self.high_water)
        check_count("limit", self.limit)
        if self.high_water > self.limit:
            raise InvalidOption(f"high_water={self.high_water} must be at most limit={self.limit}")
        if self.when_full not in get_args(Policy):
            raise InvalidOption(f"when_full={self.when_full!r} must be one of {get_args(Policy)}")
        if self.when_full == "coalesce" and not hasattr(self.open(), "replace"):
            raise InvalidOption("when_full='coalesce' needs a queue that can replace, as CoalescingQueue does")
        if self.when_full == "drop_oldest" and self.queue is not None:
            raise InvalidOption("when_full='drop_oldest' needs the order of arrival: leave out queue")
        check_number("rate_per_s", self.rate_per_s, unit="", none="no throttle")
        if self.queue is not None and not callable(cast("object", self.queue)):
            raise InvalidOption(f"queue={self.queue!r:.100} must be a function that makes a queue, or None for a deque")

    def open(self) -> Mail:
        """Make an empty queue."""
        return deque[object]() if self.queue is None else self.queue()

    @property
    def warns_at(self) -> int:
        """The number of queued messages at which a warning is due: a tenth of ``limit``; 0, for none, below 1,000."""
        return max(self.high_water, self.limit // 10) if self.limit >= WARNED_LIMIT_MIN else 0

    def apply_policy(self, mail: Mail, item: object) -> object | None:
        """Apply ``when_full``: store the item or not; returns the item that is dropped, None for none.

        What the actor has sent to itself is stored in any case; there is no more of it than it has timers, background
        tasks and stashed messages.
        """
        if is_from_self(item):
            mail.append(item)
            return None
        if self.when_full == "coalesce":
            replaced = cast("Coalescing", mail).replace(item)
            if is_from_self(replaced):
                mail.append(replaced)
                return None
            return item if replaced is None else replaced
        if self.when_full == "drop_oldest":
            oldest = _take_oldest(mail)
            if oldest is None:
                return item
            mail.append(item)
            return oldest
        return item


def _take_oldest(mail: Mail) -> object | None:
    """Remove the oldest item that others have sent; None when there is none."""
    own: list[object] = []
    found: object | None = None
    while len(mail) and found is None:
        item = mail.popleft()
        if is_from_self(item):
            own.append(item)
        else:
            found = item
    for item in reversed(own):
        mail.appendleft(item)
    return found


class Throttle:
    """Spaces the messages of one actor: at most ``rate_per_s`` of them a second.  It reads no clock.

    A loop is called late, by up to a millisecond and more.  While messages wait, those whose time has come meanwhile
    are handled at once, so that the rate holds however short its period is; after ``CATCH_UP_S`` no more than that.
    """

    __slots__ = ("_backlog", "_next_at", "_period_s")

    def __init__(self, rate_per_s: float) -> None:
        self._period_s, self._next_at, self._backlog = 1 / rate_per_s, 0.0, False

    def step(self, now: float, queued: int) -> float | None:
        """Let the first of ``queued`` messages be handled at the time ``now``, in seconds: None, or when to ask again.

        That is a millisecond away at least, since the timers of some loops are no finer.
        """
        if now < self._next_at:
            self._backlog = True
            return max(self._next_at, now + CLOCK_S)
        due = max(self._next_at, now - CATCH_UP_S) if self._backlog else now
        self._next_at, self._backlog = due + self._period_s, queued > 1
        return None


class CapacityWaiter:
    """Awaits capacity in a mailbox.  A handler that would wait for itself, also through others, does not wait."""

    __slots__ = ("_high_water", "_waiting", "target")

    def __init__(self, target: Cell) -> None:
        self.target = target
        self._high_water = target.spec.mailbox.high_water
        self._waiting: list[asyncio.Future[None]] = []

    def __await__(self) -> Generator[object, None, None]:
        asker = current_invocation.get()
        if asker is not None and asker.finished:  # a task that its handler has left behind keeps no actor waiting
            asker = None
        wait = _CapacityWait(self.target, asker)
        if asker is not None:
            try:
                check_cycle(asker, self.target)
            except DeadlockError:
                return
            begin_wait(asker, wait)
        try:
            while not self.has_capacity:
                future = self.target.system.loop.create_future()
                self._waiting.append(future)
                yield from future
        finally:
            if asker is not None:
                end_wait(asker, wait)

    @property
    def has_capacity(self) -> bool:
        """Whether a sender may go on."""
        return self.target.mail is None or len(self.target.mail) < self._high_water

    def release(self) -> None:
        """Wake all waiting senders if there is capacity again."""
        if self._waiting and self.has_capacity:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)


class _CapacityWait:
    """The edge of the wait-for graph for one handler that waits for capacity."""

    __slots__ = ("asker", "handler", "target")

    def __init__(self, target: Cell, asker: Invocation | None) -> None:
        self.target, self.asker = target, asker
        self.handler: Invocation | None = None
