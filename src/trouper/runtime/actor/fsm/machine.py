"""The transition machine: returns the effects of an event, by the rules of Erlang's ``gen_statem`` (PURE).

``step(event)`` returns effects, to be carried out in their order.  The actor shell carries them out, runs the user's
methods, and reports the chosen state with ``Finished``.  No clock is needed: a time-out is an event.

Laws of this file (``gen_statem``'s documentation, "State Time-Outs", "Event Time-Outs", "Postponing Events"):
1. A state time-out runs from the entry into the state and ends with it.
2. An event time-out runs from the last event of any kind, and ends with the state.
3. Postponed messages come again after the next change of state, in order of arrival, ahead of all newer messages.
4. A row that leads to its own state exits and enters it; that is no change of state, so postponed messages stay so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...kernel.errors import InternalError
from .table import EndState, State, TableRow, Target, TransitionTable

# --- events ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The actor has started, in this state."""

    state: State


@dataclass(frozen=True, slots=True)
class Arrived:
    """The next message has this type."""

    message_type: type


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The timer that was set with this number has fired."""

    kind: Literal["state_timeout", "event_timeout"]
    number: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The method of ``row`` has returned (None: a ``@handler``).  target: the chosen state; None without a choice."""

    row: TableRow | None
    target: Target | None = None


Event = Started | Arrived | TimedOut | Finished

# --- effects ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Run:
    """Run the method of a row, then report ``Finished``."""

    row: TableRow


@dataclass(frozen=True, slots=True)
class RunFallback:
    """Run the ``@handler`` for the message, then report ``Finished(None)``."""


@dataclass(frozen=True, slots=True)
class PostponeMessage:
    """Stash the message."""


@dataclass(frozen=True, slots=True)
class RejectMessage:
    """Reject the message, since ``postponed_max`` messages are postponed."""


@dataclass(frozen=True, slots=True)
class RunAction:
    """Run an enter or exit action; ``self.state`` is the state that is entered or left."""

    row: TableRow


@dataclass(frozen=True, slots=True)
class SetState:
    """Set ``self.state``."""

    state: State


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Set or replace the timer of the row's kind; it is reported as ``TimedOut`` with this number."""

    row: TableRow
    number: int


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Cancel the timer of this kind."""

    kind: Literal["state_timeout", "event_timeout"]


@dataclass(frozen=True, slots=True)
class ReplayPostponed:
    """Unstash the postponed messages, ahead of all others."""


@dataclass(frozen=True, slots=True)
class StopActor:
    """End the actor."""


Effect = (
    Run
    | RunFallback
    | PostponeMessage
    | RejectMessage
    | RunAction
    | SetState
    | SetTimer
    | CancelTimer
    | ReplayPostponed
    | StopActor
)


class TransitionMachine:
    """The state of one machine, changed by ``step``.

    postponed_max: messages; one more is refused.
    """

    def __init__(self, table: TransitionTable, postponed_max: int) -> None:
        self.table = table
        self.state: State = table.initial
        self.postponed = 0
        self.ended = False
        self._postponed_max = postponed_max
        self._number = 0
        self._current = {"state_timeout": 0, "event_timeout": 0}

    def step(self, event: Event) -> list[Effect]:
        """Return what follows from an event."""
        if isinstance(event, Arrived):
            return self._arrived(event.message_type)
        if isinstance(event, Finished):
            return self._finished(event)
        if isinstance(event, TimedOut):
            rules = self.table.states[self.state]
            row = rules.state_timeout if event.kind == "state_timeout" else rules.event_timeout
            return [] if row is None or event.number != self._current[event.kind] else [Run(row)]
        self.state = event.state
        return self._enter(event.state)

    def _arrived(self, message_type: type) -> list[Effect]:
        found = self.table.find(self.state, message_type)
        if found is None:
            return [RunFallback()]
        if isinstance(found, TableRow):
            return [Run(found)]
        if self.postponed >= self._postponed_max:
            return [*self._restart_event_timeout(), RejectMessage()]
        self.postponed += 1
        return [*self._restart_event_timeout(), PostponeMessage()]

    def _finished(self, event: Finished) -> list[Effect]:
        row, target = event.row, event.target
        if target is None and row is not None and len(row.targets) == 1:
            target = row.targets[0]
        if target is None:
            return self._restart_event_timeout()
        if row is None or target not in row.targets:
            raise InternalError(f"{self.table.owner}: a row that does not lead to {target!r} went there")
        effects: list[Effect] = [CancelTimer("state_timeout"), CancelTimer("event_timeout")]
        self._current = {"state_timeout": 0, "event_timeout": 0}
        leaving = self.table.states[self.state].exit
        if leaving is not None:
            effects.append(RunAction(leaving))
        if isinstance(target, EndState):
            self.ended = True
            return [*effects, StopActor()]
        changed, self.state = target != self.state, target
        effects += self._enter(target)
        if changed:
            self.postponed = 0
            effects.append(ReplayPostponed())
        return effects

    def _enter(self, state: State) -> list[Effect]:
        rules = self.table.states[state]
        effects: list[Effect] = [SetState(state)]
        if rules.enter is not None:
            effects.append(RunAction(rules.enter))
        if rules.state_timeout is not None:
            effects.append(self._timer(rules.state_timeout))
        return [*effects, *self._restart_event_timeout()]

    def _restart_event_timeout(self) -> list[Effect]:
        """Restart the event time-out, unless the machine has ended."""
        row = self.table.states[self.state].event_timeout
        return [] if row is None or self.ended else [self._timer(row)]

    def _timer(self, row: TableRow) -> SetTimer:
        self._number += 1
        self._current[row.kind] = self._number
        return SetTimer(row, self._number)
