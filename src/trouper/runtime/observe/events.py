"""Events: typed publish and subscribe within one node.

An event is a ``Message`` without a reply.  It is sent to each subscriber of its type or a base of it, in the order in
which they subscribed.  Events are not kept for later subscribers.

The runtime publishes ``ActorStarted``, ``ActorCrashed``, ``ActorRestarted``, ``ActorEnded`` and ``DeadLetter`` here,
and builds each of them only if there is a subscriber for it.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, Self, TypeVar, cast

from ..kernel.confined import confine
from ..kernel.errors import InvalidOption
from ..kernel.message import Message
from ..kernel.ref import ActorRef, DeadLetter, Down, deliver

if TYPE_CHECKING:
    from ..kernel.cell import Cell
    from ..kernel.system import System
    from .dead_letters import DeadLetters
    from .reports import Reports

Event = Message[object]
E = TypeVar("E", bound=Message[object])

STREAM_LIMIT = 1_000
"""Events that may wait in a stream for its reader, by default."""


class ActorStarted(Message[None]):
    """An actor has started for the first time: its ``on_start`` has succeeded."""

    ref: ActorRef


class ActorCrashed(Message[None]):
    """An actor failed; its supervisor decides next.

    error: the failure in one line.  report: the logged text, with the traceback.  Both are bounded in size.
    """

    ref: ActorRef
    error: str
    report: str


class ActorRestarted(Message[None]):
    """An actor was restarted: its new instance handles messages."""

    ref: ActorRef


class ActorEnded(Message[None]):
    """An actor has ended for good.  reason: ``stopped``, ``killed`` or ``failed``."""

    ref: ActorRef
    reason: str


class _Buffer:
    """The events that wait for the reader of one stream."""

    __slots__ = ("changed", "closed", "events", "limit", "missed")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.events: deque[Event] = deque()
        self.missed = 0
        self.closed = False
        self.changed = asyncio.Event()

    def put(self, event: Event) -> None:
        if len(self.events) >= self.limit:
            self.events.popleft()
            self.missed += 1
        self.events.append(event)
        self.changed.set()

    def close(self) -> None:
        self.closed = True
        self.changed.set()


class EventStream(Generic[E]):
    """An async iterator of events, made by ``node.events.stream(Type)`` and subscribed from then on.

    At most ``limit`` events wait for the reader; a further one replaces the oldest, which ``missed`` counts.  The
    stream ends when the node shuts down or ``close`` is called.  A stream that is garbage-collected is unsubscribed
    soon after; use it as a context manager to unsubscribe at a certain point.
    """

    def __init__(self, buffer: _Buffer, close: Callable[[], object]) -> None:
        self._buffer, self._close = buffer, close

    @property
    def missed(self) -> int:
        """Events that were replaced before they were read."""
        return self._buffer.missed

    def close(self) -> None:
        """Unsubscribe; events that wait already can still be read."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        buffer = self._buffer
        while not buffer.events:
            if buffer.closed:
                raise StopAsyncIteration
            buffer.changed.clear()
            await buffer.changed.wait()
        return cast("E", buffer.events.popleft())


@confine("_system")
class Events:
    """The event stream of a node; use ``node.events``."""

    def __init__(self, system: System, reports: Reports, dead_letters: DeadLetters) -> None:
        self._system, self._reports, self._dead_letters = system, reports, dead_letters
        self._root = system.root.ref
        self._subscriptions: dict[ActorRef | _Buffer, dict[type[Event], None]] = {}
        self._routes: dict[type[Event], tuple[ActorRef | _Buffer, ...]] = {}
        """The subscribers of a type: found at its first event, cleared at each change of the subscriptions."""
        system.root.add_watcher(self)

    def subscribe(self, event: type[Event], ref: ActorRef) -> None:
        """Send an actor every event of a type and its subclasses, until it ends or unsubscribes.

        event: the type.  ref: the actor; it gets an event once, even when several of its subscriptions match.
        """
        cell = ref._cell  # noqa: SLF001  a ref is the runtime's own
        if not cell.gone:
            cell.add_watcher(self)
            self._enter(event, ref)

    def unsubscribe(self, ref: ActorRef, event: type[Event] | None = None) -> bool:
        """Undo ``subscribe`` for a type, or with None for all types; returns False when there was no subscription.

        Events that were sent before still arrive.
        """
        found = self._leave(ref, event)
        if ref not in self._subscriptions:
            ref._cell.remove_watcher(self)  # noqa: SLF001  a ref is the runtime's own
        return found

    def stream(self, event: type[E], limit: int = STREAM_LIMIT) -> EventStream[E]:
        """Return a subscribed stream: ``async for event in node.events.stream(ActorCrashed)``.

        event: the type.  limit: events that may wait for the reader, 1 or more; more replace the oldest, see
        ``EventStream``.  Raises ``InvalidOption`` for a limit below 1.
        """
        if limit < 1:
            raise InvalidOption(f"limit={limit} must be 1 or more events")
        buffer = _Buffer(limit)
        if self._root._cell.gone:  # noqa: SLF001  a ref is the runtime's own
            buffer.close()
        else:
            self._enter(event, buffer)
        stream: EventStream[E] = EventStream(buffer, lambda: self._close(buffer))
        weakref.finalize(stream, self._close_later, buffer).atexit = False
        return stream

    def publish(self, event: Event) -> None:
        """Send an event to the subscribers of its type or a base of it."""
        if not self._subscriptions:
            return
        route = self._routes.get(type(event))
        if route is None:
            route = self._routes[type(event)] = tuple(
                subscriber
                for subscriber, types in self._subscriptions.items()
                if any(issubclass(type(event), type_) for type_ in types)
            )
        for subscriber in route:
            if isinstance(subscriber, ActorRef):
                deliver(subscriber, event)
            else:
                subscriber.put(event)

    def on_down(self, down: Down) -> None:
        """Remove a subscriber that has ended; the end of the root actor ends all streams."""
        self._leave(down.ref, None)
        if down.ref == self._root:
            for buffer in [one for one in self._subscriptions if isinstance(one, _Buffer)]:
                self._close(buffer)

    def _enter(self, event: type[Event], subscriber: ActorRef | _Buffer) -> None:
        self._subscriptions.setdefault(subscriber, {})[event] = None
        self._changed()

    def _leave(self, subscriber: ActorRef | _Buffer, event: type[Event] | None) -> bool:
        types = self._subscriptions.get(subscriber, {})
        found = event in types or (event is None and bool(types))
        for type_ in list(types) if event is None else [event]:
            types.pop(type_, None)
        if found and not types:
            del self._subscriptions[subscriber]
        self._changed()
        return found

    def _close(self, buffer: _Buffer) -> None:
        buffer.close()
        self._leave(buffer, None)

    def _close_later(self, buffer: _Buffer) -> None:
        """Close in the loop: a finalizer runs in any thread, and in the middle of any function."""
        with suppress(RuntimeError):  # the loop is closed, and with it the node
            self._system.loop.call_soon_threadsafe(self._close, buffer)

    # --- what the runtime publishes ----------------------------------------------------------------------------------

    def _changed(self) -> None:
        """Subscribe to the runtime for exactly the events that have subscribers."""
        self._routes.clear()
        self._dead_letters.unsubscribe(self.publish)
        if self._is_wanted(DeadLetter):
            self._dead_letters.subscribe(self.publish)
        crashes = [listener for listener in self._reports.on_crash if listener != self._on_crash]
        self._reports.on_crash[:] = [*crashes, self._on_crash] if self._is_wanted(ActorCrashed) else crashes
        lives = tuple(listener for listener in self._system.on_lifecycle if listener != self._on_life)
        wanted = any(self._is_wanted(event) for event in (ActorStarted, ActorRestarted, ActorEnded))
        self._system.on_lifecycle = (*lives, self._on_life) if wanted else lives

    def _is_wanted(self, event: type[Event]) -> bool:
        return any(issubclass(event, type_) for types in self._subscriptions.values() for type_ in types)

    def _on_crash(self, cell: Cell, error: BaseException, report: str) -> None:
        self.publish(ActorCrashed(cell.ref, self._reports.brief(error), report))

    def _on_life(self, cell: Cell, change: str) -> None:
        if change == "started":
            self.publish(ActorStarted(cell.ref))
        elif change == "restarted":
            self.publish(ActorRestarted(cell.ref))
        else:
            self.publish(ActorEnded(cell.ref, cell.reason))
