"""``EventSourcedStateMachine``: a state machine whose state and data are rebuilt from its events.

Laws of this file:
1. A change of state is in the journal before it is made, in the same append as the events of its row where those are
   persisted once the row's next state is known.
2. A recovered machine is in the state, and has the data, that its events say; it enters that state as at any start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Generic, cast

import msgspec

from ...kernel.errors import CallerError
from ...kernel.message import Message
from ..fsm.machine_actor import S, StateMachine
from ..fsm.table import EndState, State, name_of
from .actor import EventSourcedActor, applies
from .codec import EventUnreadable

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Data = TypeVar("Data", default=None)
else:
    from typing import TypeVar

    Data = TypeVar("Data")


class StateEntered(Message[None], tag="trouper.fsm.StateEntered", local=True):
    """An event: the machine has gone to the state of this name."""

    state: str


class _Kept(msgspec.Struct):
    """What the events add up to: the name of the state, "" before the first change of it, and the data."""

    state: str
    data: object


class EventSourcedStateMachine(StateMachine[S], EventSourcedActor[Data], Generic[S, Data]):  # type: ignore[misc]  # `state` is that of the machine; the other base keeps its own in `data`
    """A ``StateMachine`` that writes its events and its changes of state to the node's journal.

    ``class Order(EventSourcedStateMachine[Phase, Basket])``: ``self.state`` is a ``Phase``, and ``self.data`` a
    ``Basket``, of any type that msgspec can encode, made without arguments unless ``initial_data`` is overridden; None
    where it is left out.  The ``@applies`` methods change ``self.data``, or return the new data.

    A row may ``await self.persist(...)``.  When the row leads to one state, or ``go`` was called before, the change of
    state is written with those events, all or none; otherwise it is written when the method has returned, before the
    reply.  A change of state that is written is made, even if the method raises ``Reject`` afterwards.  Time-outs run
    anew from each start.  ``END`` is not written: the stream stays as it is.

    Class attributes: those of both bases.  An override of ``on_start`` must ``await super().on_start()``.
    """

    __records__: ClassVar[bool] = True
    __data__: ClassVar[object] = type(None)

    data: Data
    __name: str = ""
    __recorded: str | None = None

    if not TYPE_CHECKING:  # as the default of ``Data`` is for type checkers alone

        def __class_getitem__(cls, given: object) -> object:
            return super().__class_getitem__(given if isinstance(given, tuple) else (given, type(None)))

    @classmethod
    def __state_type__(cls) -> object:
        inherited, data = cls.__state__, super().__state_type__()
        if data is inherited and data is not None:
            return inherited
        cls.__data__ = type(None) if data is None else data
        return msgspec.defstruct("Kept", [("state", str), ("data", cast("type", cls.__data__))])

    def initial_state(self) -> Data:
        """Return the state of the recovery before the first event: override ``initial_data`` instead."""
        return cast("Data", _Kept("", self.initial_data()))

    def initial_data(self) -> Data:
        """Return the data before the first event."""
        made = None if self.__data__ is type(None) else cast("type", self.__data__)()
        return cast("Data", made)

    def migrate_data(self, version: int, data: object) -> Data:
        """Return the data that a snapshot of another version, or of another type of the data, stands for.

        version, data: as for ``EventSourcedActor.migrate_state``; the state of the machine is kept.
        """
        raise CallerError(f"{type(self).__qualname__} has no migrate_data (snapshot of version {version}: {data!r})")

    def migrate_state(self, version: int, saved: object) -> Data:
        """Call ``migrate_data``, and keep the state of the machine: override that instead."""
        fields = cast("dict[str, object]", saved)
        return cast("Data", _Kept(str(fields["state"]), self.migrate_data(version, fields["data"])))

    async def on_start(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  the recovery waits for the journal
        """Recover, then enter the recovered state, or the first one.

        Raises ``EventUnreadable`` for a state that the class does not have.
        """
        self.__recorded = None
        await super(StateMachine, self).on_start()
        self.__start__(self.first_state() if not self.__name else self.__state_called(self.__name))

    def __state_called(self, name: str) -> State:
        states = self.__table__.states
        for state in states:
            if name_of(state) == name:
                return state
        raise EventUnreadable(
            f"{self.ref.address}: the stream {self.persistence_id!r} leads to the state {name!r}, which "
            f"{type(self).__qualname__} does not have; its states are: {', '.join(map(name_of, states))}. Keep the "
            "state, or write @upcasts('trouper.fsm.StateEntered'), which returns a StateEntered of another one"
        )

    async def persist(self, event: Message[object], *more: Message[object]) -> None:
        """Write events, and the change of state of the row at work if its next state is known; then apply them.

        Raises what ``EventSourcedActor.persist`` raises.
        """
        target = self.__to_record()
        if target is None:
            await super().persist(event, *more)
            return
        await self.__write(target, event, *more)

    async def __record__(self) -> None:
        """Write the change of state of the row at work, unless it is written already."""
        target = self.__to_record()
        if target is not None:
            await self.__write(target)

    async def __write(self, target: str, *events: Message[object]) -> None:
        """Write events, and that the machine goes to the state ``target``."""
        before, self.__recorded = self.__recorded, target
        try:
            await super().persist(*events, StateEntered(target))
        except BaseException:
            if self.__name != target:  # nothing is written
                self.__recorded = before
            raise

    def __to_record(self) -> str | None:
        """Return the name of the state that the row at work leads to and that is to be written."""
        target = self.__next_state__()
        if target is None or isinstance(target, EndState) or target == self.state:
            return None
        return None if self.__recorded == name_of(target) else name_of(target)

    def __is_recorded__(self) -> bool:
        return self.__recorded not in (None, name_of(cast("State", self.state)))

    @applies
    def __entered(self, event: StateEntered) -> None:
        self.__name = event.state

    def __kept_state__(self) -> object:
        return _Kept(self.__name, self.data)

    def __keep_state__(self, state: object) -> None:
        kept = cast("_Kept", state)
        self.__name, self.data = kept.state, cast("Data", kept.data)
