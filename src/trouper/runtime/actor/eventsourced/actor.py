"""``EventSourcedActor``: an actor whose state is rebuilt from the events that it has written to a journal.

A handler decides, ``persist`` writes the decision as events, and an ``@applies`` method changes the state.  The same
method runs when the actor starts again, so state that only ``@applies`` methods change is rebuilt exactly.

Laws of this file:
1. An applied event is in the journal: a state is never ahead of its events.
2. Events are applied in the order of the journal, by the same methods live and in recovery.
3. No message is handled before the recovery has ended, and none during a ``persist``.
4. When ``persist`` fails, nothing is applied and the actor fails, even if the handler catches the error: only a
   recovery shows what is in the journal.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, Generic, cast, get_args, get_origin

import msgspec

from ...kernel.errors import CallerError, InvalidHandler, InvalidOption
from ...kernel.journal import Journal, Snapshot
from ...kernel.lifecycle import crash
from ...kernel.logs import get_log
from ...kernel.message import Message
from ..actor import Actor
from ..handlers import _hints, _message_types
from .codec import EventCodec, InvalidEvent

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    State = TypeVar("State", default=None)
else:
    from typing import TypeVar

    State = TypeVar("State")

Apply = Callable[[object, object], object]
F = TypeVar("F", bound=Callable[..., object])

RECOVERY_BATCH = 256
"""Records applied in a recovery before the loop is yielded to other actors."""
_MARK = "__trouper_applies__"

log = get_log("trouper")


def applies(function: F) -> F:
    """Mark a plain ``def`` method that applies the event its parameter is annotated with, live and in recovery.

    It changes ``self.state``, or returns the new state.  It runs again at every start, so it must depend on the state
    and the event alone (no message sent, no clock, no random number), and it must not raise: the event has happened.
    """
    setattr(function, _MARK, None)
    return function


class EventSourcedActor(Actor, Generic[State]):
    """An actor that writes its events to the node's journal and applies them again at each start.

    ``class Account(EventSourcedActor[Balance])`` has its state in ``self.state``; ``Balance`` is any type that msgspec
    can encode, and is called without arguments unless ``initial_state`` is overridden.  Without ``[State]`` there are
    no snapshots, and the ``@applies`` methods may change any attributes.

    Class attributes: ``snapshot_every``, events between two automatic snapshots, which shorten the recovery (None takes
    none); ``keep_events``, False truncates the journal to the events that its snapshots need.

    Handlers cannot be reentrant.  An override of ``on_start`` must ``await super().on_start()``, which is the recovery.
    """

    snapshot_every: ClassVar[int | None] = None
    keep_events: ClassVar[bool] = True
    __apply__: ClassVar[dict[type, Apply]] = {}
    __codec__: ClassVar[EventCodec]
    __node_journal__: ClassVar[bool] = True
    """Whether the events are kept in the node's journal; False for a class that overrides ``journal``."""
    __state__: ClassVar[object] = None

    state: State
    __stream: str | None = None
    __sequence = 0
    __since_snapshot = 0
    __persisting = False
    __saving = False

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        cls.__apply__ = _appliers(cls)
        cls.__node_journal__ = cls.journal is EventSourcedActor.journal
        cls.__codec__ = EventCodec(cls.__qualname__, cls.__apply__)
        cls.__state__ = _state_type(cls)
        for entry in cls.__handler_table__.entries.values():
            if entry.reentrant:
                name = entry.function.__qualname__
                raise InvalidHandler(f"{name} is reentrant: an event-sourced actor handles one message at a time")
        if cls.snapshot_every is not None and cls.snapshot_every < 1:
            raise InvalidOption(f"{cls.__qualname__}.snapshot_every={cls.snapshot_every} must be 1 or more, or None")
        if cls.__state__ is None and (cls.snapshot_every is not None or not cls.keep_events):
            raise InvalidHandler(f"{cls.__qualname__} wants snapshots of no state: write EventSourcedActor[YourState]")

    @property
    def persistence_id(self) -> str:
        """The name of this actor's stream in the journal: its path, unless overridden.

        Raises ``InvalidOption`` for a generated name, which another actor may get after a restart of the node.
        """
        path = self.ref.address.path
        if "$" in path:
            raise InvalidOption(
                f"{self.ref.address} has a generated name: spawn it with name=..., or override persistence_id"
            )
        return path

    @property
    def journal(self) -> Journal:
        """The journal that keeps the events: the node's."""
        return self.node.journal

    @property
    def last_sequence(self) -> int:
        """The sequence number of the last applied event; 0 before the first one."""
        return self.__sequence

    def initial_state(self) -> State:
        """Return the state before the first event."""
        made = None if self.__state__ is None else cast("Callable[[], object]", self.__state__)()
        return cast("State", made)

    async def on_start(self) -> None:
        """Recover: load the newest readable snapshot, then apply the events after it."""
        self.__stream = None
        stream, count = self.persistence_id, 0
        self.state, self.__sequence = self.initial_state(), 0
        await self.__recover_snapshot(stream)
        async for record in self.journal.read(stream, self.__sequence + 1):
            self.__apply(
                self.__codec__.decode(record.payload, f"{self.ref.address}: record {record.sequence} of {stream!r}")
            )
            self.__sequence = record.sequence
            count += 1
            if count % RECOVERY_BATCH == 0:
                await asyncio.sleep(0)
        self.__stream, self.__since_snapshot = stream, count
        self.__snapshot_if_due()

    async def persist(self, event: Message[object], *more: Message[object]) -> None:
        """Write events to the journal, all or none, then apply them in order.

        When it returns, the state includes them, and they are as durable as the journal's policy says.  It is not
        interrupted: when the asker gives up meanwhile, the events are still written and applied before the handler is
        cancelled.  Raises ``InvalidEvent`` with nothing written; an error of the journal is raised and fails the actor.
        Raises ``CallerError`` before the recovery and during another ``persist``.
        """
        if self.__stream is None:
            raise CallerError(f"{self.ref.address} has not recovered: on_start must `await super().on_start()` first")
        if self.__persisting:
            raise CallerError(f"{self.ref.address}: persist() was called during another one: await it first")
        events = (event, *more)
        payloads = [self.__codec__.encode(each) for each in events]
        self.__persisting = True
        try:
            last, given_up = await self.__append(self.__stream, payloads)
        finally:
            self.__persisting = False
        for sequence, each in enumerate(events, last - len(events) + 1):
            self.__apply(each)
            self.__sequence = sequence
        self.__since_snapshot += len(events)
        self.__snapshot_if_due()
        if given_up is not None:
            raise given_up

    async def save_snapshot(self) -> None:
        """Write a snapshot of the state now; an error of the journal is raised and does not fail the actor."""
        if self.__stream is None or self.__state__ is None:
            raise CallerError(
                f"{self.ref.address} cannot save a snapshot: it has not recovered, or is no EventSourcedActor[State]"
            )
        await self.__save(self.__stream, Snapshot(self.__sequence, self.__encoded_state()))

    async def __append(self, stream: str, payloads: list[bytes]) -> tuple[int, asyncio.CancelledError | None]:
        """Append; returns the last sequence number, and the cancellation of the handler that came meanwhile, if any.

        A cancelled handler still waits for the outcome, since the journal may have written the events.
        """
        append = asyncio.ensure_future(self.journal.append(stream, payloads, self.__sequence))
        given_up: asyncio.CancelledError | None = None
        while not append.done():
            try:
                await asyncio.wait((append,))
            except asyncio.CancelledError as error:
                if self.__cell__.phase == "gone":  # killed: the next recovery reads the outcome
                    append.add_done_callback(_forget)
                    raise
                given_up = error
        try:
            return append.result(), given_up
        except Exception as error:
            if self.__cell__.phase == "live":
                invocation = self.__cell__.invocation
                crash(self.__cell__, error, None if invocation is None else invocation.item)
            raise

    def __apply(self, event: Message[object]) -> None:
        changed = self.__apply__[type(event)](self, event)
        if changed is not None:
            self.state = cast("State", changed)

    # --- snapshots ---------------------------------------------------------------------------------------------------

    async def __recover_snapshot(self, stream: str) -> None:
        """Load the newest snapshot into the state; one that this version of the program cannot read is ignored."""
        if self.__state__ is None:
            return
        snapshot = await self.journal.load_snapshot(stream)
        if snapshot is None:
            self.__encoded_state()  # a state that cannot be encoded raises at the start, not at the first snapshot
            return
        try:
            self.state = cast(
                "State", msgspec.msgpack.decode(snapshot.payload, type=cast("type[object]", self.__state__))
            )
        except msgspec.DecodeError as error:
            log.warning(
                "%s: the snapshot of %r at %d cannot be read (%s); all events are applied instead",
                self.ref.address, stream, snapshot.sequence, error,
            )  # fmt: skip
            return
        self.__sequence = snapshot.sequence

    def __encoded_state(self) -> bytes:
        try:
            return msgspec.msgpack.encode(self.state)
        except TypeError as error:
            kind = type(self.state).__qualname__
            raise InvalidEvent(f"{self.ref.address}: a state of type {kind} cannot be encoded: {error}") from error

    def __snapshot_if_due(self) -> None:
        """Write a snapshot in the background once there are enough events; one at a time."""
        if self.snapshot_every is None or self.__since_snapshot < self.snapshot_every or self.__saving:
            return
        self.__saving = True
        snapshot = Snapshot(self.__sequence, self.__encoded_state())
        self.__since_snapshot = 0
        self.__cell__.run_in_background(self.__save_aside(cast("str", self.__stream), snapshot))

    async def __save_aside(self, stream: str, snapshot: Snapshot) -> None:
        """Write a snapshot; a failure is logged and does not fail the actor, since it only makes a recovery longer."""
        try:
            await self.__save(stream, snapshot)
        except Exception as error:  # noqa: BLE001  a user's journal may raise anything
            log.warning("%s: the snapshot at %d failed: %s", self.ref.address, snapshot.sequence, error)
        finally:
            self.__saving = False

    async def __save(self, stream: str, snapshot: Snapshot) -> None:
        oldest_kept = await self.journal.save_snapshot(stream, snapshot)
        if not self.keep_events:
            await self.journal.truncate(stream, oldest_kept)


def _forget(append: asyncio.Future[int]) -> None:
    """Retrieve the exception of an append that is not awaited any more, so that the loop does not log it."""
    if not append.cancelled():
        append.exception()


def _appliers(cls: type) -> dict[type, Apply]:
    """Return the ``@applies`` methods of a class and its bases by event type; raises ``InvalidHandler``."""
    methods: dict[str, Apply] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if hasattr(value, _MARK):
                methods[name] = value
            elif name in methods and callable(value):
                raise InvalidHandler(f"{cls.__qualname__}.{name} overrides an @applies method: mark it @applies too")
    found: dict[type, Apply] = {}
    for method in methods.values():
        for type_ in _event_types(method):
            other = found.setdefault(type_, method)
            if other is not method:
                raise InvalidHandler(
                    f"{cls.__qualname__} applies {type_.__qualname__} twice: in {other.__qualname__} and in "
                    f"{method.__qualname__}; remove one of them"
                )
    return found


def _event_types(method: Apply) -> Iterable[type]:
    """Read the annotation of a method once, where its class is defined: a subclass may lack the names in it."""
    known: list[type] | None = getattr(method, _MARK)
    if known is None:
        parameters = list(inspect.signature(method).parameters)
        if len(parameters) != 2 or inspect.iscoroutinefunction(method):
            raise InvalidHandler(f"{method.__qualname__} must be a plain `def` that takes one event after self")
        hints = _hints(method)
        if parameters[1] not in hints:
            raise InvalidHandler(
                f"{method.__qualname__}: annotate {parameters[1]!r} with the Message class of the event"
            )
        known = _message_types(method.__qualname__, hints[parameters[1]])
        setattr(method, _MARK, known)
    return known


def _state_type(cls: type) -> object:
    """Return the ``State`` of the class's own ``EventSourcedActor[State]`` base, else that of the parent class."""
    for base in vars(cls).get("__orig_bases__", ()):
        if get_origin(base) is EventSourcedActor:
            state: object = get_args(base)[0]
            return None if isinstance(state, TypeVar) or state is type(None) else state
    return getattr(cls, "__state__", None)
