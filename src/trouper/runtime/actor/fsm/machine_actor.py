"""``StateMachine``: an actor with a transition table, after Erlang's ``gen_statem``.

The pure ``machine.py`` decides; this file runs the user's methods, sets timers, stashes and unstashes messages.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, NoReturn, TypeVar, cast

from ...kernel.ask import is_ask
from ...kernel.errors import CallerError, InvalidHandler, InvalidOption, Reject, Unavailable, Unhandled
from ...kernel.executor import in_loop
from ...kernel.handler_table import HandlerEntry
from ...kernel.message import Message
from ..actor import Actor
from ..forwarding import detach_reply
from . import diagram
from .decorators import rows_of
from .machine import (
    Arrived,
    CancelTimer,
    Effect,
    Event,
    Finished,
    PostponeMessage,
    RejectMessage,
    ReplayPostponed,
    Run,
    RunAction,
    RunFallback,
    SetState,
    SetTimer,
    Started,
    TimedOut,
    TransitionMachine,
)
from .table import State, TableRow, Target, TransitionTable, name_of

if TYPE_CHECKING:
    from ...kernel.cell import Cell

S = TypeVar("S", bound=Enum | str)
_KEYS = {"state_timeout": ("trouper.fsm", "state_timeout"), "event_timeout": ("trouper.fsm", "event_timeout")}


class _Alarm(Message[None], tag="trouper.fsm.alarm", local=True):
    """A timer of a state machine has fired.  number: of the ``SetTimer`` that set it."""

    kind: Literal["state_timeout", "event_timeout"]
    number: int


class StateMachine(Actor, Generic[S]):
    """An actor with states: ``class Turnstile(StateMachine[Phase])``, with rows declared by ``@on`` and the like.

    initial: the first state: a member of an ``Enum``, whose members are the states, or a str; ``first_state`` can
        choose another one for an instance.
    states: all states, where they are str.
    postponed: by state, the message types that wait until the state changes.
    postponed_max: messages that may be postponed; more are refused with ``Unavailable``.

    A ``@handler`` handles its message in the states without a row for it.  A message without a row and a handler is a
    dead letter ``unhandled``.  An override of ``on_start`` calls ``super().on_start()``, which enters the first state.
    """

    initial: ClassVar[State]
    states: ClassVar[Sequence[State]] = ()
    postponed: ClassVar[Mapping[State, Iterable[type[Message[object]]]]] = {}
    postponed_max: ClassVar[int] = 1_000
    __table__: ClassVar[TransitionTable]
    __everywhere__: ClassVar[dict[type, HandlerEntry]] = {}
    __records__: ClassVar[bool] = False
    """Whether each change of state is recorded before it is made; then all rows are handled as ``async def`` ones."""

    state: S
    __machine: TransitionMachine | None = None
    __row: TableRow | None = None
    __choice: Target | None = None

    @classmethod
    def __collect_handlers__(cls) -> dict[type, HandlerEntry]:
        everywhere = super().__collect_handlers__()
        if not hasattr(cls, "initial"):
            return everywhere  # a base class without a table of its own
        if cls.postponed_max < 1:
            raise InvalidOption(f"{cls.__qualname__}.postponed_max={cls.postponed_max} must be 1 or more")
        rows = rows_of(cls)
        any_first = vars(StateMachine)["first_state"] is not cls.first_state
        cls.__table__ = TransitionTable(
            cls.__qualname__, _states_of(cls), cls.initial, rows, cls.postponed, any_first=any_first
        )
        cls.__everywhere__ = everywhere
        one_by_one = {type_ for type_, entry in everywhere.items() if not entry.reentrant}
        entries = {type_: cls.__handling(type_) for type_ in one_by_one | cls.__table__.message_types()}
        late = [row for row in rows if row.kind in ("state_timeout", "event_timeout")]
        waits = cls.__records__ or any(inspect.iscoroutinefunction(row.function) for row in late)
        alarm = cls.__alarm_async if waits else cls.__alarm
        return {**everywhere, **entries, _Alarm: HandlerEntry(_call(alarm), alarm, waits, reentrant=False)}

    @classmethod
    def __handling(cls, type_: type) -> HandlerEntry:
        """Return the handler entry of a message type: async when the row of some state is, else plain."""
        found = [cls.__table__.find(state, type_) for state in cls.__table__.states]
        functions = [row.function for row in found if isinstance(row, TableRow)]
        functions += [cls.__everywhere__[base].function for base in type_.__mro__ if base in cls.__everywhere__]
        waits = cls.__records__ or any(map(inspect.iscoroutinefunction, functions))
        handle = cls.__handle_async if waits else cls.__handle
        return HandlerEntry(_call(handle), functions[0] if functions else handle, waits, reentrant=False)

    @classmethod
    def diagram(cls, form: Literal["mermaid", "text"] = "mermaid") -> str:
        """Return the table as text. form: ``mermaid`` is a Mermaid ``stateDiagram-v2``, ``text`` is for terminals."""
        return diagram.mermaid(cls.__table__) if form == "mermaid" else diagram.text(cls.__table__)

    def first_state(self) -> S:
        """Return the state in which this instance starts: ``initial``, unless overridden."""
        return cast("S", self.initial)

    def on_start(self) -> None:
        """Enter the first state; raises ``InvalidOption`` when there is no such state."""
        self.__start__(self.first_state())

    def __start__(self, state: State) -> None:
        if state not in self.__table__.states:
            known = ", ".join(map(name_of, self.__table__.states))
            raise InvalidOption(
                f"{self.ref.address} cannot start in the state {state!r}, which does not exist; the states are: {known}"
            )
        self.__machine = TransitionMachine(self.__table__, self.postponed_max)
        self.__step(Started(state))

    def __next_state__(self) -> Target | None:
        """The state that the row at work leads to, as far as is known; None when it stays."""
        row = self.__row
        if self.__choice is None and row is not None and len(row.targets) == 1:
            return row.targets[0]
        return self.__choice

    def __is_recorded__(self) -> bool:
        """Whether the change of state of the row at work is recorded, so that it must be made."""
        return False

    async def __record__(self) -> None:
        """Record the change of state of the row at work, where that is not done yet."""

    def go(self, state: S | Target) -> None:
        """Choose the next state in a row whose decorator names several; the last call counts.

        state: one of the states, or ``END``, that ``to=`` of the decorator names.
        Raises ``CallerError`` for another state, outside of a row, and once the change of state is written.
        """
        row = self.__row
        if self.__is_recorded__():
            raise CallerError(f"{self.ref.address}: go({state!r}) comes after persist(), which wrote the next state")
        if row is None:
            raise CallerError(f"{self.ref.address}: go({state!r}) is for rows, not for enter and exit actions")
        if state not in row.targets:
            named = ", ".join(map(name_of, row.targets)) or "no state"
            raise CallerError(f"{self.ref.address}: {row.function.__qualname__} leads to {named}, not to {state!r}")
        self.__choice = state

    def become(self, *functions: Callable[..., object]) -> NoReturn:
        """Raise ``CallerError``: the table of a state machine says what it handles."""
        raise CallerError(
            f"{self.ref.address} is a StateMachine: declare a state instead of become() ({len(functions)} functions)"
        )

    # --- one message -------------------------------------------------------------------------------------------------

    def __handle(self, message: Message[object]) -> object:
        call = self.__begin(message)
        if call is None:
            return None
        try:
            reply = call(self, message)
        except Reject:
            self.__finish(stay=True)
            raise
        self.__finish()
        return reply

    async def __handle_async(self, message: Message[object]) -> object:
        call = self.__begin(message)
        if call is None:
            return None
        try:
            reply = call(self, message)
            if inspect.isawaitable(reply):
                reply = await reply
            if self.__records__:
                await self.__record__()
        except (Reject, asyncio.CancelledError):
            self.__finish(stay=not self.__is_recorded__())
            raise
        self.__finish()
        return reply

    def __alarm(self, alarm: _Alarm) -> None:
        for row in self.__due(alarm):
            row.function(self)
            self.__finish()

    async def __alarm_async(self, alarm: _Alarm) -> None:
        for row in self.__due(alarm):
            waits = row.function(self)
            if inspect.isawaitable(waits):
                await waits
            if self.__records__:
                await self.__record__()
            self.__finish()

    def __due(self, alarm: _Alarm) -> list[TableRow]:
        """Return the row of an alarm, or none when its timer has been cancelled or set again meanwhile."""
        effects = self.__running_machine().step(TimedOut(alarm.kind, alarm.number))
        rows = [effect.row for effect in effects if isinstance(effect, Run)]
        self.__row, self.__choice = rows[0] if rows else None, None
        return rows

    def __begin(self, message: Message[object]) -> Callable[..., object] | None:
        """Step the machine; returns the method for the message, None when it was postponed or is unhandled."""
        self.__row = self.__choice = None
        call: Callable[..., object] | None = None
        for effect in self.__running_machine().step(Arrived(type(message))):
            if isinstance(effect, Run):
                self.__row, call = effect.row, effect.row.function
            elif isinstance(effect, RunFallback):
                call = self.__fallback(message)
            elif isinstance(effect, PostponeMessage):
                self.stash(message)
            elif isinstance(effect, RejectMessage):
                raise Unavailable(
                    f"{self.ref.address} in state {name_of(self.state)} has {self.postponed_max} postponed messages, "
                    f"its limit: {type(message).__qualname__} was refused"
                )
            else:
                self.__carry_out(effect)
        return call

    def __finish(self, *, stay: bool = False) -> None:
        row, choice = self.__row, None if stay else self.__choice
        self.__row = self.__choice = None
        self.__step(Finished(None if stay else row, choice))

    def __fallback(self, message: Message[object]) -> Callable[..., object] | None:
        """Return the ``@handler`` for the message; without one it is a dead letter, and an asker gets ``Unhandled``."""
        for base in type(message).__mro__:
            if base in self.__everywhere__:
                return self.__everywhere__[base].function
        cell: Cell = self.__cell__
        rules = self.__table__.states[self.state]
        known = ", ".join(sorted(type_.__qualname__ for type_ in rules.rows)) or "nothing"
        name = type(message).__qualname__
        error = Unhandled(
            f"{self.ref.address} has no row for {name} in state {name_of(self.state)}; it has rows for: {known}"
        )
        in_loop(cell.system, _lose_unhandled, cell, message, error)
        self.__finish(stay=True)
        return None

    # --- effects -----------------------------------------------------------------------------------------------------

    def __running_machine(self) -> TransitionMachine:
        if self.__machine is None:
            raise CallerError(f"{self.ref.address} has no state yet: on_start must call super().on_start()")
        return self.__machine

    def __step(self, event: Event) -> None:
        for effect in self.__running_machine().step(event):
            self.__carry_out(effect)

    def __carry_out(self, effect: Effect) -> None:
        if isinstance(effect, SetState):
            self.state = cast("S", effect.state)
        elif isinstance(effect, RunAction):
            effect.row.function(self)
        elif isinstance(effect, SetTimer):
            kind, after_s = cast("Literal['state_timeout', 'event_timeout']", effect.row.kind), effect.row.after_s
            delay_s = after_s(self) if callable(after_s) else cast("float", after_s)
            self.timers.once(_KEYS[kind], delay_s, _Alarm(kind, effect.number))
        elif isinstance(effect, CancelTimer):
            self.timers.cancel(_KEYS[effect.kind])
        elif isinstance(effect, ReplayPostponed):
            self.unstash_all()
        else:
            self.stop()


def _lose_unhandled(cell: Cell, message: Message[object], error: Unhandled) -> None:
    item = detach_reply(cell, message, cell)
    cell.handled -= 1  # the end of this handler will count one message as handled
    if is_ask(item):
        item.refuse(error)
    cell.lose(item, "unhandled", error)


def _call(method: Callable[..., object]) -> Callable[[object, object], object]:
    return method


def _states_of(cls: type[StateMachine[S]]) -> Sequence[State]:
    if cls.states:
        return cls.states
    if isinstance(cls.initial, Enum):
        return list(type(cls.initial))
    raise InvalidHandler(f"{cls.__qualname__}.initial is {cls.initial!r}, a str: list all states in states = (...)")
