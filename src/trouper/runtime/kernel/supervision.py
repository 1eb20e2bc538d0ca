"""Supervision: OTP's rules as a pure machine (PURE).

``SupervisorState.step(event, now)`` decides what happens to the children when one of them ends; ``restart.py`` carries
it out.  The rules are those of Erlang/OTP's ``supervisor`` (its module documentation): three strategies, three restart
types, a supervisor that fails itself after more than ``intensity`` restarts within ``period_s`` seconds, children that
start oldest first and stop newest first, and ``auto_shutdown`` by significant children.  Unlike OTP's, a restart keeps
the ref and the mailbox, and can be delayed by a backoff.

Law of this file: the same state, event, time and random number give the same plan.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from .errors import InvalidOption
from .executor import LOOP, check_executor, table_off_loop
from .options import check_count, check_number

if TYPE_CHECKING:
    from .bare_actor import BareActor
    from .handler_table import HandlerTable
    from .mailbox import Mailbox

Restart = Literal["permanent", "transient", "temporary"]
AutoShutdown = Literal["never", "any_significant", "all_significant"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delay before a restart: ``first_s``, doubled at each failure in the period up to ``max_s``, times 1 +- jitter.

    first_s, max_s: seconds.  jitter: a share in [0, 1).  at_once: how many restarts of the period have no delay, before
    the one after ``first_s``.
    Raises ``InvalidOption`` unless 0 < first_s <= max_s, 0 <= jitter < 1 and at_once >= 0.
    """

    first_s: float = 0.1
    max_s: float = 30.0
    jitter: float = 0.2
    at_once: int = 0

    def __post_init__(self) -> None:
        check_number("first_s", self.first_s)
        check_number("max_s", self.max_s)
        check_number("jitter", self.jitter, unit="", zero=True, most=1)
        check_count("at_once", self.at_once, least=0)
        if not (self.first_s <= self.max_s and self.jitter < 1):
            raise InvalidOption(f"{self}: wants first_s <= max_s and jitter < 1")

    def delay_s(self, failures: int, chance: float) -> float:
        """Return the delay in seconds after the n-th failure, from 1; ``chance`` is a random number in [0, 1)."""
        if failures <= self.at_once:
            return 0.0
        doubled = self.first_s * 2.0 ** min(failures - self.at_once - 1, 60)
        return min(self.max_s, doubled) * (1.0 + self.jitter * (2.0 * chance - 1.0))


@dataclass(frozen=True, slots=True)
class Strategy:
    """What a supervisor does when a child fails; use one of the three subclasses.

    intensity, period_s: more than ``intensity`` restarts in ``period_s`` seconds fail the supervisor; 0 allows none.
        None never fails it: each child's failures count for the child alone, and are forgotten when the child has not
        failed for ``period_s`` seconds.
    backoff: the delay before a restart; None restarts at once.
    auto_shutdown: ``any_significant`` stops the supervisor when a significant child ends by itself,
        ``all_significant`` when the last one does.
    Raises ``InvalidOption`` for a setting outside of its range.
    """

    intensity: int | None = 3
    period_s: float = 5.0
    backoff: Backoff | None = None
    auto_shutdown: AutoShutdown = "never"

    def __post_init__(self) -> None:
        if type(self) is Strategy:
            raise InvalidOption("Strategy is abstract: use OneForOne, OneForAll or RestForOne")
        check_count("intensity", self.intensity, least=0, none="no limit")
        check_number("period_s", self.period_s)

    def affected(self, children: Iterable[str], failed: str) -> Sequence[str]:
        """Return the names that restart together, oldest first, the failed one among them."""
        raise NotImplementedError  # Strategy itself cannot be made


class OneForOne(Strategy):
    """Only the failed child restarts."""

    __slots__ = ()

    def affected(self, children: Iterable[str], failed: str) -> Sequence[str]:  # noqa: ARG002  as the base class
        """Return the failed child alone."""
        return (failed,)


class OneForAll(Strategy):
    """All children restart when one fails."""

    __slots__ = ()

    def affected(self, children: Iterable[str], failed: str) -> Sequence[str]:  # noqa: ARG002  as the base class
        """Return all children."""
        return tuple(children)


class RestForOne(Strategy):
    """The failed child and those started after it restart."""

    __slots__ = ()

    def affected(self, children: Iterable[str], failed: str) -> Sequence[str]:
        """Return the failed child and the later ones."""
        names = tuple(children)
        return names[names.index(failed) :]


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a spawn says in place of the actor's class; None is what the class says.

    mailbox, resume, executor: as the attributes of ``BareActor``.
    by_peer: whether another node has asked for the actor, so that what it needs of this node is not taken for granted.
    """

    mailbox: Mailbox | None = None
    resume: tuple[type[Exception], ...] | None = None
    executor: str | None = None
    by_peer: bool = False


NO_OVERRIDES = Overrides()


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How a child is made, restarted and stopped.

    restart: ``permanent`` restarts whenever it ends by itself, ``transient`` when it fails, ``temporary`` never.
    shutdown_s: seconds that the current message, and then ``on_stop``, may take when the child is stopped, before it is
        killed; None waits for ever.
    significant: its end may end the supervisor (``Strategy.auto_shutdown``); a permanent child cannot be.
    keywords: keyword arguments of the actor's ``__init__``; None for none.
    overrides: what the spawn says in place of the class.
    mailbox, resume, executor: what holds.  off_loop: whether ``executor`` is another one than the loop.
    start_waits, hooks_wait: whether the start of an instance, or its start or end, may have to wait.
    Raises ``InvalidOption`` for a setting outside of its range, and for an executor that the class cannot have.
    """

    actor: type[BareActor]
    restart: Restart = "transient"
    shutdown_s: float | None = 5.0
    significant: bool = False
    keywords: Mapping[str, object] | None = None
    overrides: Overrides = NO_OVERRIDES
    mailbox: Mailbox = field(init=False)
    resume: tuple[type[Exception], ...] = field(init=False)
    executor: str = field(init=False)
    handler_table: HandlerTable = field(init=False, compare=False)
    off_loop: bool = field(init=False)
    start_waits: bool = field(init=False)
    hooks_wait: bool = field(init=False)

    def __post_init__(self) -> None:
        actor, overrides = self.actor, self.overrides
        executor = actor.executor if overrides.executor is None else overrides.executor
        if executor != LOOP:
            check_executor(actor, executor)
        off_loop, table = executor != LOOP, actor.__handler_table__
        for name, value in {
            "mailbox": overrides.mailbox or actor.mailbox,
            "resume": actor.resume if overrides.resume is None else overrides.resume,
            "executor": executor,
            "handler_table": table_off_loop(table) if off_loop else table,
            "off_loop": off_loop,
            "start_waits": off_loop or actor.__async_start__,
            "hooks_wait": off_loop or actor.__async_hooks__,
        }.items():
            object.__setattr__(self, name, value)
        if self.significant and self.restart == "permanent":
            raise InvalidOption(f"{self.actor.__qualname__}: a permanent child never ends, so it cannot be significant")
        if self.restart not in get_args(Restart):
            raise InvalidOption(
                f"{self.actor.__qualname__}: restart={self.restart!r} must be one of {get_args(Restart)}"
            )
        if self.shutdown_s is not None and not self.shutdown_s >= 0:
            raise InvalidOption(f"{self.actor.__qualname__}: shutdown_s={self.shutdown_s} must be 0 or more, or None")


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """The event: a child's instance ended.  ``failed`` is False when it stopped itself (a normal end).

    children: the restart type of every living child by name, oldest first, with the one that ended; it may be a view of
        changing data, since only one_for_all and rest_for_one iterate over it.
    significant: whether the child that ended is.  other_significant: how many other living children are.
    chance: a random number in [0, 1), for the jitter.
    """

    name: str
    failed: bool
    children: Mapping[str, Restart]
    significant: bool = False
    other_significant: int = 0
    chance: float = 0.5


@dataclass(frozen=True, slots=True)
class RestartPlan:
    """The effects of one step.

    end: children to stop for good, in this order.  restart: children to restart after that, oldest first; they are
        stopped in the reverse order, and started after ``delay_s`` seconds.
    escalate: the supervisor fails.  shut_down: the supervisor stops normally.
    """

    end: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    delay_s: float = 0.0
    escalate: bool = False
    shut_down: bool = False


@dataclass(slots=True)
class SupervisorState:
    """The state of one supervisor: its strategy, and the times, in seconds, of the restarts in the current period.

    Where the strategy has no ``intensity``, the state is the number of failures of each child, and the time of the
    last one, the child that has not failed for the longest time first.
    """

    strategy: Strategy
    _restarts: deque[float] = field(default_factory=deque[float])
    _failures_of: dict[str, tuple[int, float]] = field(default_factory=dict[str, tuple[int, float]])

    def step(self, event: ChildEnded, now: float) -> RestartPlan:
        """Decide what happens to the children now that one has ended.  now: seconds."""
        types = event.children
        restart = types[event.name]
        if restart == "temporary" or (restart == "transient" and not event.failed):
            return RestartPlan(end=(event.name,), shut_down=self._shuts_down(event))
        failures = self._count(event.name, now)
        if failures is None:
            return RestartPlan(end=(event.name,), escalate=True)
        together = self.strategy.affected(types, event.name)
        backoff = self.strategy.backoff
        return RestartPlan(
            end=tuple(name for name in reversed(together) if types[name] == "temporary"),
            restart=tuple(name for name in together if types[name] != "temporary"),
            delay_s=backoff.delay_s(failures, event.chance) if backoff else 0.0,
        )

    def _count(self, name: str, now: float) -> int | None:
        """Count this restart; returns how many it makes in the period, None when that is too many."""
        intensity = self.strategy.intensity
        if intensity is None:
            return self._count_child(name, now)
        while self._restarts and self._restarts[0] < now - self.strategy.period_s:
            self._restarts.popleft()
        self._restarts.append(now)
        return len(self._restarts) if len(self._restarts) <= intensity else None

    def _count_child(self, name: str, now: float) -> int:
        """Count a failure of one child, and forget the children that have not failed for a period."""
        oldest = now - self.strategy.period_s
        while self._failures_of and next(iter(self._failures_of.values()))[1] < oldest:
            del self._failures_of[next(iter(self._failures_of))]
        failures = self._failures_of.pop(name, (0, now))[0] + 1
        self._failures_of[name] = failures, now
        return failures

    def _shuts_down(self, event: ChildEnded) -> bool:
        if not event.significant or self.strategy.auto_shutdown == "never":
            return False
        return self.strategy.auto_shutdown == "any_significant" or event.other_significant == 0
