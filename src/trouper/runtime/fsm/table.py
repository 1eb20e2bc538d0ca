"""The table of a state machine: which message does what in which state, checked as a whole (PURE).

Rows are declared by decorators on the methods of a ``StateMachine``; a ``Table`` is made of them once, with the class.
What can be known to be wrong is said then: a state that there is not, two rows for one place, a state that is never
reached.  Complexity: a look-up is one dict access; a subclass of a row's message type is entered at its first arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from ..kernel.errors import InvalidHandler

State = Enum | str
Kind = Literal["message", "enter", "exit", "timeout", "quiet"]


class End:
    """Where a machine goes to stop."""

    def __repr__(self) -> str:
        return "END"


END = End()
Target = State | End


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what happens in ``state``.

    messages: for the kind ``message`` only.  targets: where it may go; none stays.  after_s: seconds, for ``timeout``
    and ``quiet``, or a function of the actor that gives them.
    """

    kind: Kind
    state: State
    function: Callable[..., object]
    messages: tuple[type, ...] = ()
    targets: tuple[Target, ...] = ()
    after_s: float | Callable[[Any], float] | None = None  # Any: the actor, of whatever class the row is in


@dataclass(slots=True)
class Place:
    """All that is said about one state."""

    enter: Row | None = None
    exit: Row | None = None
    timeout: Row | None = None
    quiet: Row | None = None
    rows: dict[type, Row] = field(default_factory=dict[type, Row])
    postponed: frozenset[type] = frozenset()


def name_of(state: Target) -> str:
    """A state as people write it."""
    return state.name if isinstance(state, Enum) else str(state)


class Table:
    """The rows of one machine by state.

    owner: the class's name, for errors.  Raises ``InvalidHandler`` with a sentence for whatever cannot work.
    """

    def __init__(
        self,
        owner: str,
        states: Sequence[State],
        initial: State,
        rows: Iterable[Row],
        postponed: Mapping[State, Iterable[type]],
    ) -> None:
        self.owner, self.initial = owner, initial
        self.places: dict[State, Place] = {state: Place() for state in states}
        self._check_known(initial, "initial")
        for row in rows:
            self._add(row)
        for state, types in postponed.items():
            self._postpone(state, frozenset(types))
        self._check_reach()

    def find(self, state: State, type_: type) -> Row | Literal["postpone"] | None:
        """Return what a message of this type, or of its nearest base that is in the table, meets in a state."""
        place = self.places[state]
        for base in type_.__mro__:
            if base in place.rows:
                row = place.rows[type_] = place.rows[base]
                return row
            if base in place.postponed:
                return "postpone"
        return None

    def message_types(self) -> set[type]:
        """All message types that some state has a row for or postpones."""
        return {type_ for place in self.places.values() for type_ in (*place.rows, *place.postponed)}

    def _check_known(self, state: Target, where: str) -> None:
        if state not in self.places and state is not END:
            known = ", ".join(map(name_of, self.places)) or "none"
            raise InvalidHandler(
                f"{self.owner}: {where} names the state {state!r}, which there is not; there is: {known}"
            )

    def _add(self, row: Row) -> None:
        name = row.function.__qualname__
        for state in (row.state, *row.targets):
            self._check_known(state, name)
        place = self.places[row.state]
        for type_ in row.messages:
            other = place.rows.setdefault(type_, row)
            if other is not row:
                self._raise_twice(row.state, type_.__qualname__, other, row)
        if row.kind == "message":
            return
        if isinstance(row.after_s, (int, float)) and not row.after_s > 0:
            raise InvalidHandler(f"{name}: after_s={row.after_s} must be above 0")
        other_row: Row | None = getattr(place, row.kind)
        if other_row is not None:
            self._raise_twice(row.state, row.kind, other_row, row)
        setattr(place, row.kind, row)

    def _raise_twice(self, state: State, what: str, one: Row, two: Row) -> None:
        raise InvalidHandler(
            f"{self.owner} has two rows for {what} in {name_of(state)}: {one.function.__qualname__} and "
            f"{two.function.__qualname__}; remove one of them"
        )

    def _postpone(self, state: State, types: frozenset[type]) -> None:
        self._check_known(state, "postponed")
        place = self.places[state]
        for type_ in types & place.rows.keys():
            raise InvalidHandler(
                f"{self.owner} postpones {type_.__qualname__} in {name_of(state)} and has a row for it there, "
                f"{place.rows[type_].function.__qualname__}; remove one of them"
            )
        place.postponed = types

    def _check_reach(self) -> None:
        """Walk from the initial state along all rows; a state that is not met can never be in."""
        reached, front = {self.initial}, [self.initial]
        while front:
            for row in self.rows_of(front.pop()):
                for target in row.targets:
                    if not isinstance(target, End) and target not in reached:
                        reached.add(target)
                        front.append(target)
        for state in self.places:
            if state not in reached:
                raise InvalidHandler(
                    f"{self.owner} never reaches {name_of(state)}: no row leads there from {name_of(self.initial)}; "
                    "add one, or remove the state"
                )

    def rows_of(self, state: State) -> list[Row]:
        """The rows of a state that may lead elsewhere, in order of declaration, each once."""
        place = self.places[state]
        late = [row for row in (place.timeout, place.quiet) if row is not None]
        return [*{id(row): row for row in place.rows.values()}.values(), *late]
