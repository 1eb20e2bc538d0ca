"""The transition table of a state machine: which method handles which message in which state (PURE).

Decorators on the methods of a ``StateMachine`` declare rows; a ``TransitionTable`` is made of them once, with the
class, and checks them: unknown states, two rows for one message or time-out of a state, states that are never reached.
Complexity: a look-up is one dict access; a subclass of a row's message type is added at its first arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from ...kernel.errors import InvalidHandler

State = Enum | str
Kind = Literal["message", "enter", "exit", "state_timeout", "event_timeout"]


class EndState:
    """The target ``END``, which stops the machine."""

    def __repr__(self) -> str:
        return "END"


END = EndState()
Target = State | EndState


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of the table: ``function`` runs in ``state``.

    messages: the message types, for the kind ``message`` only.  targets: the states it may lead to; without any the
    state stays.  after_s: seconds, or a function that takes the actor and returns them; for the time-outs only.
    """

    kind: Kind
    state: State
    function: Callable[..., object]
    messages: tuple[type, ...] = ()
    targets: tuple[Target, ...] = ()
    after_s: float | Callable[[Any], float] | None = None  # Any: the actor, of whatever class the row is in


@dataclass(slots=True)
class StateRules:
    """The rows of one state, and the message types that it postpones."""

    enter: TableRow | None = None
    exit: TableRow | None = None
    state_timeout: TableRow | None = None
    event_timeout: TableRow | None = None
    rows: dict[type, TableRow] = field(default_factory=dict[type, TableRow])
    postponed: frozenset[type] = frozenset()


def name_of(state: Target) -> str:
    """Return the name of a state."""
    return state.name if isinstance(state, Enum) else str(state)


class TransitionTable:
    """The rows of one machine by state.

    owner: the class's name, for errors.  states: all of them.  initial: the first.  postponed: message types by state.
    any_first: whether the machine can start in every state, so that none is out of reach.
    Raises ``InvalidHandler`` for a table that cannot work.
    """

    def __init__(
        self,
        owner: str,
        states: Sequence[State],
        initial: State,
        rows: Iterable[TableRow],
        postponed: Mapping[State, Iterable[type]],
        *,
        any_first: bool = False,
    ) -> None:
        self.owner, self.initial = owner, initial
        self.states: dict[State, StateRules] = {state: StateRules() for state in states}
        self._check_known(initial, "initial")
        for row in rows:
            self._add(row)
        for state, types in postponed.items():
            self._postpone(state, frozenset(types))
        if not any_first:
            self._check_reach()

    def find(self, state: State, type_: type) -> TableRow | Literal["postpone"] | None:
        """Return the row for a message type, or its nearest base class, in a state; None when there is none."""
        rules = self.states[state]
        for base in type_.__mro__:
            if base in rules.rows:
                row = rules.rows[type_] = rules.rows[base]
                return row
            if base in rules.postponed:
                return "postpone"
        return None

    def message_types(self) -> set[type]:
        """Return the message types that some state handles or postpones."""
        return {type_ for rules in self.states.values() for type_ in (*rules.rows, *rules.postponed)}

    def _check_known(self, state: Target, where: str) -> None:
        if state not in self.states and state is not END:
            known = ", ".join(map(name_of, self.states)) or "none"
            raise InvalidHandler(
                f"{self.owner}: {where} names the state {state!r}, which does not exist; the states are: {known}"
            )

    def _add(self, row: TableRow) -> None:
        name = row.function.__qualname__
        for state in (row.state, *row.targets):
            self._check_known(state, name)
        rules = self.states[row.state]
        for type_ in row.messages:
            other = rules.rows.setdefault(type_, row)
            if other is not row:
                self._raise_twice(row.state, type_.__qualname__, other, row)
        if row.kind == "message":
            return
        if isinstance(row.after_s, (int, float)) and not row.after_s > 0:
            raise InvalidHandler(f"{name}: after_s={row.after_s} must be above 0")
        other_row: TableRow | None = getattr(rules, row.kind)
        if other_row is not None:
            self._raise_twice(row.state, row.kind, other_row, row)
        setattr(rules, row.kind, row)

    def _raise_twice(self, state: State, what: str, one: TableRow, two: TableRow) -> None:
        raise InvalidHandler(
            f"{self.owner} has two rows for {what} in {name_of(state)}: {one.function.__qualname__} and "
            f"{two.function.__qualname__}; remove one of them"
        )

    def _postpone(self, state: State, types: frozenset[type]) -> None:
        self._check_known(state, "postponed")
        rules = self.states[state]
        for type_ in types & rules.rows.keys():
            raise InvalidHandler(
                f"{self.owner} postpones {type_.__qualname__} in {name_of(state)} and has a row for it there, "
                f"{rules.rows[type_].function.__qualname__}; remove one of them"
            )
        rules.postponed = types

    def _check_reach(self) -> None:
        """Raise for a state that no row leads to from the initial state."""
        reached, front = {self.initial}, [self.initial]
        while front:
            for row in self.rows_of(front.pop()):
                for target in row.targets:
                    if not isinstance(target, EndState) and target not in reached:
                        reached.add(target)
                        front.append(target)
        for state in self.states:
            if state not in reached:
                raise InvalidHandler(
                    f"{self.owner} never reaches {name_of(state)}: no row leads there from {name_of(self.initial)}; "
                    "add one, or remove the state"
                )

    def rows_of(self, state: State) -> list[TableRow]:
        """Return the rows of a state that may change it, in order of declaration, each once."""
        rules = self.states[state]
        late = [row for row in (rules.state_timeout, rules.event_timeout) if row is not None]
        return [*{id(row): row for row in rules.rows.values()}.values(), *late]
