"""``EventSourcedActor``: an actor whose state is rebuilt from the events that it has written to a journal.

A handler decides, ``persist`` writes the decision as events, and an ``@applies`` method changes the state.  The same
method runs when the actor starts again, so state that only ``@applies`` methods change is rebuilt exactly.

Laws of this file:
1. An applied event is in the journal: a state is never ahead of its events.
2. Events are applied in the order of the journal, by the same methods live and in recovery.
3. No message is handled before the recovery has ended, and none during a ``persist``.
4. When ``persist`` fails, nothing is applied and the actor fails, even if the handler catches the error: only a
   recovery shows what is in the journal.
5. A snapshot stands for the events up to it only when the type of the state, ``state_version`` and the code that
   applies events are those that made it, or ``migrate_state`` has made the present state of it; otherwise the events
   are applied, and a warning says why.  No error of encoding or decoding a state fails the actor while it has events.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import FunctionType
from typing import TYPE_CHECKING, ClassVar, Generic, cast, get_args, get_origin

from ...kernel.cell import Cell
from ...kernel.errors import CallerError, InvalidHandler, InvalidOption
from ...kernel.journal import Journal, Record, RecordsGone, Snapshot
from ...kernel.lifecycle import crash
from ...kernel.logs import get_log
from ...kernel.message import Message
from ..actor import Actor
from ..handlers import _hints, _message_types
from .codec import EventCodec, InvalidEvent, Upcast
from .fingerprint import rules_of, shape_of
from .snapshot_codec import OpenedSnapshot, SnapshotUnreadable, StateCodec

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
_UPCASTS = "__trouper_upcasts__"

log = get_log("trouper")


def applies(function: F) -> F:
    """Mark a plain ``def`` method that applies the event its parameter is annotated with, live and in recovery.

    It changes ``self.state``, or returns the new state.  It runs again at every start, so it must depend on the state
    and the event alone (no message sent, no clock, no random number), and it must not raise: the event has happened.
    """
    setattr(function, _MARK, None)
    return function


def upcasts(tag: str) -> Callable[[F], F]:
    """Mark a plain ``def`` method that makes present events of each stored event with this tag, in a recovery.

    It is called with the event's fields as a dict, without the tag, and returns an event that the class applies, or a
    sequence of them, which may be empty.  It must depend on the fields alone.  When it raises, the recovery fails with
    ``EventUnreadable``.

    tag: of the old event.  While events with this tag are still written, they pass through it as well.
    """

    def mark(function: F) -> F:
        setattr(function, _UPCASTS, tag)
        return function

    return mark


class EventSourcedActor(Actor, Generic[State]):
    """An actor that writes its events to the node's journal and applies them again at each start.

    ``class Account(EventSourcedActor[Balance])`` has its state in ``self.state``; ``Balance`` is any type that msgspec
    can encode, and is called without arguments unless ``initial_state`` is overridden.  Without ``[State]`` there are
    no snapshots, and the ``@applies`` methods may change any attributes.

    Class attributes: ``snapshot_every``, events between two automatic snapshots, which shorten the recovery (None takes
    none); ``keep_events``, False truncates the journal to the events that its snapshots need; ``state_version``, to be
    raised when the same fields of the state mean something else, so that older snapshots are not used as they are.

    Handlers cannot be reentrant.  An override of ``on_start`` must ``await super().on_start()``, which is the recovery.
    """

    snapshot_every: ClassVar[int | None] = None
    keep_events: ClassVar[bool] = True
    state_version: ClassVar[int] = 1
    __apply__: ClassVar[dict[type, Apply]] = {}
    __codec__: ClassVar[EventCodec]
    __upcasters__: ClassVar[Mapping[str, str]] = {}
    """The names of the ``@upcasts`` methods by tag."""
    __state_codec__: ClassVar[StateCodec | None] = None
    """Made at the first recovery: the code of a class may name functions that are defined after it."""
    __node_journal__: ClassVar[bool] = True
    """Whether the events are kept in the node's journal; False for a class that overrides ``journal``."""
    __state__: ClassVar[object] = None

    state: State
    __stream: str | None = None
    __sequence = 0
    __epoch = 0
    __since_snapshot = 0
    __persisting = False
    __saving = False

    @classmethod
    def __state_type__(cls) -> object:
        """Return the type of what the events add up to; None for a class without one."""
        return _state_type(cls)

    def __kept_state__(self) -> object:
        """Return what the events add up to."""
        return self.state

    def __keep_state__(self, state: object) -> None:
        """Set what the events add up to."""
        self.state = cast("State", state)

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        if getattr(cls, "__records__", True) is False:
            raise InvalidHandler(
                f"{cls.__qualname__} is a StateMachine and an EventSourcedActor, whose states would be one attribute: "
                f"write `class {cls.__name__}(EventSourcedStateMachine[States, Data])`, which records both"
            )
        cls.__apply__ = _appliers(cls)
        cls.__node_journal__ = cls.journal is EventSourcedActor.journal
        cls.__codec__ = EventCodec(cls.__qualname__, cls.__apply__)
        cls.__upcasters__ = _upcasters(cls)
        cls.__state__ = cls.__state_type__()
        cls.__state_codec__ = None
        for entry in cls.__handler_table__.entries.values():
            if entry.reentrant:
                name = entry.function.__qualname__
                raise InvalidHandler(f"{name} is reentrant: an event-sourced actor handles one message at a time")
        if cls.snapshot_every is not None and cls.snapshot_every < 1:
            raise InvalidOption(f"{cls.__qualname__}.snapshot_every={cls.snapshot_every} must be 1 or more, or None")
        if cls.state_version < 1:
            raise InvalidOption(f"{cls.__qualname__}.state_version={cls.state_version} must be 1 or more")
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

    def migrate_state(self, version: int, saved: object) -> State:
        """Return the state that a snapshot of another version, or of another type of the state, stands for.

        Override it where the events before a snapshot are not kept, or are too many to apply again.  It is called in a
        recovery, before any event is applied.  An error that it raises is logged, and all events are applied instead.

        version: the ``state_version`` of the class that made the snapshot.  saved: its state, decoded without a type: a
            ``Struct`` or a dataclass is a dict, a set is a list.
        """
        raise CallerError(f"{type(self).__qualname__} has no migrate_state (snapshot of version {version}: {saved!r})")

    async def on_start(self) -> None:
        """Recover: take the newest snapshot that stands for the present state, then apply the events after it."""
        self.__stream = None
        if self.__node_journal__ and _is_of_peer(self.__cell__):
            check_journal(type(self), self.node.name, given=self.node.has_given_journal)
        stream = self.persistence_id
        self.__keep_state__(self.initial_state())
        self.__sequence = 0
        self.__epoch = await self.journal.claim(stream)
        unused = await self.__recover_snapshot(stream)
        try:
            count = await self.__apply_records(stream)
        except RecordsGone as gone:
            if unused is None:
                raise
            self.__recover_without_events(stream, unused, gone)
            count = await self.__apply_records(stream)
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
        """Write a snapshot of the state now; an error of the journal is raised and does not fail the actor.

        Raises ``InvalidEvent`` for a state that cannot be encoded.
        """
        codec = _state_codec(type(self))
        if self.__stream is None or codec is None:
            raise CallerError(
                f"{self.ref.address} cannot save a snapshot: it has not recovered, or is no EventSourcedActor[State]"
            )
        try:
            payload = codec.encode(self.__kept_state__())
        except Exception as error:
            kind = type(self.__kept_state__()).__qualname__
            raise InvalidEvent(f"{self.ref.address}: a state of type {kind} cannot be encoded: {error}") from error
        await self.__save(self.__stream, Snapshot(self.__sequence, payload))

    async def __append(self, stream: str, payloads: list[bytes]) -> tuple[int, asyncio.CancelledError | None]:
        """Append; returns the last sequence number, and the cancellation of the handler that came meanwhile, if any.

        A cancelled handler still waits for the outcome, since the journal may have written the events.
        """
        append = asyncio.ensure_future(self.journal.append(stream, payloads, self.__sequence, epoch=self.__epoch))
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

    async def __apply_records(self, stream: str) -> int:
        """Apply the events after ``last_sequence``, and return their number."""
        count = 0
        async for record in self.journal.read(stream, self.__sequence + 1):
            self.__apply_record(stream, record)
            count += 1
            if count % RECOVERY_BATCH == 0:
                await asyncio.sleep(0)
        return count

    def __apply_record(self, stream: str, record: Record) -> None:
        where = f"{self.ref.address}: record {record.sequence} of {stream!r}"
        upcasters: dict[str, Upcast] = {tag: getattr(self, name) for tag, name in self.__upcasters__.items()}
        for event in self.__codec__.decode(record.payload, where, upcasters):
            self.__apply(event)
        self.__sequence = record.sequence

    def __apply(self, event: Message[object]) -> None:
        changed = self.__apply__[type(event)](self, event)
        if changed is not None:
            self.__keep_state__(changed)

    # --- snapshots ---------------------------------------------------------------------------------------------------

    async def __recover_snapshot(self, stream: str) -> OpenedSnapshot | None:
        """Take the newest snapshot for the state; returns one that is not used, after a warning that says why."""
        codec = _state_codec(type(self))
        if codec is None:
            return None
        snapshot = await self.journal.load_snapshot(stream)
        if snapshot is None:
            if self.snapshot_every is not None:
                self.__encode_state(codec)  # warns of a state that cannot be encoded at the first start already
            return None
        opened = codec.open(snapshot.payload, snapshot.sequence)
        reason = opened.difference
        try:
            if not opened.difference and opened.same_rules:
                self.__keep_state__(opened.state())
                self.__sequence = snapshot.sequence
                return None
            if not opened.difference:
                reason = "the code that applies events has changed"
            elif opened.version is not None and type(self).migrate_state is not EventSourcedActor.migrate_state:
                self.__keep_state__(self.migrate_state(opened.version, opened.fields()))
                self.__sequence = snapshot.sequence
                return None
        except Exception as error:  # noqa: BLE001  a decoder or the user's migration may raise anything
            said = self.__cell__.system.reporter.brief(error)
            reason = f"{reason}, and migrate_state raised {said}" if reason else f"it cannot be decoded: {said}"
            self.__keep_state__(self.initial_state())
            opened = replace(opened, difference=reason)
        log.warning(
            "%s: the snapshot of %r at %d is not used: %s; all events are applied instead",
            self.ref.address, stream, snapshot.sequence, reason,
        )  # fmt: skip
        return opened

    def __recover_without_events(self, stream: str, unused: OpenedSnapshot, gone: RecordsGone) -> None:
        """Take a snapshot of the present type that older code made, since its events are gone; else fail, with advice.

        Raises ``SnapshotUnreadable``.
        """
        if not unused.difference:
            try:
                self.__keep_state__(unused.state())
                self.__sequence = unused.sequence
            except Exception as error:
                raise SnapshotUnreadable(
                    f"{self.ref.address}: the snapshot of {stream!r} at {unused.sequence} cannot be decoded ({error}), "
                    "and the events before it are gone; restore a copy of the stream"
                ) from error
            log.warning(
                "%s: the snapshot of %r at %d is used although other code made it, since the events before it are "
                "gone; raise state_version and write migrate_state if its state is not what it would be now",
                self.ref.address, stream, unused.sequence,
            )  # fmt: skip
            return
        raise SnapshotUnreadable(
            f"{self.ref.address}: the snapshot of {stream!r} at {unused.sequence} cannot be used "
            f"({unused.difference}), and the events before it are gone (keep_events=False): "
            f"write {type(self).__qualname__}.migrate_state"
        ) from gone

    def __encode_state(self, codec: StateCodec) -> bytes | None:
        """Encode the state; None, after a warning, when it cannot be: that only makes a recovery longer."""
        try:
            return codec.encode(self.__kept_state__())
        except Exception as error:  # noqa: BLE001  a number above 64 bits, a nesting too deep: each raises its own
            log.warning(
                "%s: the state at %d cannot be kept in a snapshot (%s); a recovery applies all events after the last",
                self.ref.address, self.__sequence, self.__cell__.system.reporter.brief(error),
            )  # fmt: skip
            return None

    def __snapshot_if_due(self) -> None:
        """Write a snapshot in the background once there are enough events; one at a time."""
        codec = _state_codec(type(self))
        if codec is None or self.snapshot_every is None:
            return
        if self.__since_snapshot < self.snapshot_every or self.__saving:
            return
        self.__since_snapshot = 0
        payload = self.__encode_state(codec)
        if payload is not None:
            self.__saving = True
            snapshot = Snapshot(self.__sequence, payload)
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


def _upcasters(cls: type) -> dict[str, str]:
    """Return the names of the ``@upcasts`` methods of a class and its bases by tag; raises ``InvalidHandler``."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base)):
        method: object = getattr(cls, name, None)
        tag: str | None = getattr(method, _UPCASTS, None)
        if tag is None or not callable(method):
            continue
        if inspect.iscoroutinefunction(method) or len(inspect.signature(method).parameters) != 2:
            raise InvalidHandler(
                f"{cls.__qualname__}.{name} must be a plain `def` that takes the fields of one event after self"
            )
        if tag in found:
            raise InvalidHandler(
                f"{cls.__qualname__} upcasts {tag!r} twice: in {found[tag]} and in {name}; remove one of them"
            )
        found[tag] = name
    return found


def _state_codec(cls: type[EventSourcedActor[State]]) -> StateCodec | None:
    """Return the codec of the state of a class; None for a class without ``[State]``."""
    if cls.__state__ is None or cls.__state_codec__ is not None:
        return cls.__state_codec__
    methods: list[object] = [*cls.__apply__.values(), cls.initial_state, getattr(cls, "initial_data", None)]
    methods += (getattr(cls, name) for name in cls.__upcasters__.values())
    functions = [method for method in methods if isinstance(method, FunctionType)]
    state = get_origin(cls.__state__) or cls.__state__
    classes = [each for each in (cls, state) if isinstance(each, type)]
    cls.__state_codec__ = StateCodec(
        cls.__state__, cls.state_version, shape_of(cls.__state__), rules_of(functions, classes)
    )
    return cls.__state_codec__


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
    """Return the ``State``, the last argument, of the class's own generic base, else that of the parent class."""
    for base in vars(cls).get("__orig_bases__", ()):
        origin = get_origin(base)
        if isinstance(origin, type) and issubclass(origin, EventSourcedActor):
            state: object = get_args(base)[-1]
            return None if isinstance(state, TypeVar) or state is type(None) else state
    return getattr(cls, "__state__", None)


def check_journal(kind: object, node: str, *, given: bool) -> None:
    """Refuse to start an event-sourced actor for a peer where no journal was given: its events would be lost.

    kind: its class.  node: the name of the node.  Raises ``InvalidOption``.
    """
    if not given:
        raise InvalidOption(
            f"{getattr(kind, '__qualname__', kind)} keeps its events in the journal of node {node}, which was given "
            "none, so they would be lost: give it Node(journal=FileJournal(...)), or Node(journal=MemoryJournal()) if "
            "that is meant"
        )


def _is_of_peer(cell: Cell) -> bool:
    """Whether a peer has spawned the actor, or one above it."""
    above: Cell | None = cell
    while above is not None and not above.spec.overrides.by_peer:
        above = above.parent
    return above is not None
