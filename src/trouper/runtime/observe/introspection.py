"""Introspection: reads and changes actors from outside.

It reads the runtime's counters, or uses the system queue, so it never waits behind user messages: it works on an actor
that is busy, suspended, or has a full mailbox.  It costs nothing when it is not used.  All results are frozen structs,
bounded in size, so that they can be sent to a console.

The verbs are those of Erlang's ``sys`` module (get_state, replace_state, suspend, resume), and some that a console
needs.  It is meant for tools: in a program, actors should be asked for their state with messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import islice

import msgspec

from ..kernel.ask import content, is_ask
from ..kernel.bare_actor import BareActor
from ..kernel.cell import Cell
from ..kernel.confined import confine
from ..kernel.errors import ActorFailed, ActorStopped, InvalidOption
from ..kernel.lifecycle import REQUEST, SUPERVISION, crash
from ..kernel.redaction import REDACTED, secret_names
from ..kernel.ref import ActorRef
from ..kernel.system import System
from .reports import bounded, bounded_repr
from .tracing import Trace

FIELDS_MAX = 100
"""Attributes in an ``ActorState``."""
FIELD_CHARS_MAX = 500
"""Characters of one attribute, or of one queued message."""
PEEKED_MAX = 1_000
"""Messages that one ``peek`` may return."""
TREE_MAX = 10_000
"""Actors in one ``ActorTree``."""
DEPTH_MAX = 50
"""Levels in one ``ActorTree``."""
_RUNTIME = f"{__name__.partition('.observe.')[0]}."


class ActorStats(msgspec.Struct, frozen=True):
    """The counters and the status of one actor.

    address, actor: its address and class.  phase: ``starting``, ``live``, ``failed`` (it will be restarted),
    ``stopping``, ``gone``.  queued: messages in the mailbox; stashed: messages in the stash.
    received, handled, restarts: since it was spawned.  uptime_s: seconds since the last start or restart.
    current_message, current_message_s: the message of a running async handler as text, and since how many seconds it
        runs; None when there is none.
    oldest: the first message in the mailbox, as text.  waiting_s: seconds that it has waited; None unless it is an ask.
    executor: where its handlers run.  executor_queued: calls of all actors that wait for a thread of it.
    """

    address: str
    actor: str
    phase: str
    suspended: bool
    queued: int
    stashed: int
    received: int
    handled: int
    restarts: int
    uptime_s: float
    children: int
    watchers: int
    current_message: str | None
    current_message_s: float | None
    oldest: str | None
    waiting_s: float | None
    executor: str
    executor_queued: int


class ActorState(msgspec.Struct, frozen=True):
    """The attributes of an actor as text.

    omitted: attributes beyond the limit.  handler_table: the names of the message types that it handles now.
    """

    address: str
    actor: str
    fields: dict[str, str]
    omitted: int
    handler_table: tuple[str, ...]


class QueuedMessage(msgspec.Struct, frozen=True):
    """One message in a mailbox.  asked: it is an ask."""

    message_type: str
    message: str
    asked: bool


class MailboxPeek(msgspec.Struct, frozen=True):
    """The first messages of a mailbox, in the order of handling.  queued: all messages in it."""

    address: str
    queued: int
    first: tuple[QueuedMessage, ...]


class ActorTree(msgspec.Struct, frozen=True):
    """One actor and its children, oldest first.  omitted: children beyond the limit."""

    name: str
    address: str
    actor: str
    phase: str
    suspended: bool
    restart: str
    restarts: int
    queued: int
    children: tuple[ActorTree, ...]
    omitted: int


def _executor_queued(cell: Cell) -> int:
    executors = cell.system.executors
    return 0 if not cell.spec.off_loop or cell.gone or executors is None else executors.of(cell).queued


@confine("_system")
class Introspection:
    """Introspection of the actors of one node, as ``node.introspection``; refs to actors of other nodes do not work."""

    def __init__(self, system: System) -> None:
        self._system = system

    # --- reading -----------------------------------------------------------------------------------------------------

    def stats(self, ref: ActorRef) -> ActorStats:
        """Return the counters and the status of an actor; one that has ended is ``gone`` and keeps its last counts."""
        cell, now = _cell(ref), self._system.loop.time()
        invocation, first = cell.invocation, next(iter(cell.mail or ()), None)
        current = invocation.item if invocation is not None else None
        return ActorStats(
            address=str(cell.address),
            actor=cell.spec.actor.__qualname__,
            phase=cell.phase,
            suspended=cell.suspended,
            queued=len(cell.mail or ()),
            stashed=sum(resource.retained for resource in cell.resources or ()),
            received=cell.received,
            handled=cell.handled,
            restarts=cell.restarts,
            uptime_s=now - cell.started_at,
            children=len(cell.children or ()),
            watchers=len(cell.watchers or ()),
            current_message=None if current is None else _text(content(current)),
            current_message_s=now - invocation.since if invocation is not None and current is not None else None,
            oldest=None if first is None else _text(content(first)),
            waiting_s=now - (first.deadline - first.timeout_s) if is_ask(first) else None,
            executor=cell.spec.executor,
            executor_queued=_executor_queued(cell),
        )

    def get_state(self, ref: ActorRef) -> ActorState:
        """Return the present attributes of an actor, also in the middle of an async handler.

        Raises ``ActorStopped`` when it has ended or is being restarted.
        """
        cell = _cell(ref)
        actor = _instance(cell)
        fields, hidden = _attributes(actor), secret_names(type(actor))
        shown = {
            name: REDACTED if name in hidden else _text(value) for name, value in islice(fields.items(), FIELDS_MAX)
        }
        handles = sorted(type_.__qualname__ for type_ in cell.handler_table.entries)
        omitted = len(fields) - len(shown)
        return ActorState(str(cell.address), cell.spec.actor.__qualname__, shown, omitted, tuple(handles[:FIELDS_MAX]))

    def peek(self, ref: ActorRef, count: int = 20) -> MailboxPeek:
        """Return the first ``count`` messages of the mailbox, without removing them.

        Raises ``InvalidOption`` for a count outside of 1 to ``PEEKED_MAX``.
        """
        if not 1 <= count <= PEEKED_MAX:
            raise InvalidOption(f"peek at {count} messages of {ref.address}: it must be 1 to {PEEKED_MAX}")
        cell = _cell(ref)
        items = islice(iter(cell.mail or ()), count)
        first = tuple(
            QueuedMessage(type(content(item)).__qualname__, _text(content(item)), is_ask(item)) for item in items
        )
        return MailboxPeek(str(cell.address), len(cell.mail or ()), first)

    def tree(self, path: str = "", *, actors_max: int = 1_000) -> ActorTree:
        """Return an actor and its descendants.

        path: as in an address, ``user/bank``; empty is the root.  actors_max: 1 to ``TREE_MAX``; actors beyond it are
        counted in ``omitted``.  Raises ``InvalidOption`` for an unknown actor, and ``actors_max`` out of range.
        """
        if not 1 <= actors_max <= TREE_MAX:
            raise InvalidOption(f"a tree of {actors_max} actors: it must be 1 to {TREE_MAX}")
        cell = self._system.root
        for name in path.strip("/").split("/") if path.strip("/") else ():
            below = (cell.children or {}).get(name)
            if below is None:
                raise InvalidOption(f"there is no actor {path!r}: {cell.address} has no child {name!r}")
            cell = below
        return _branch(cell, [actors_max - 1], DEPTH_MAX)

    def trace(self, ref: ActorRef, count: int = 100, to: ActorRef | None = None) -> Trace:
        """Trace the next ``count`` messages of an actor: how long each took and how it ended.

        to: an actor that is sent each ``Traced``; None makes the ``Trace`` an async iterator of them.
        Raises ``InvalidOption`` for a count out of range, and when ``to`` is the traced actor.
        """
        return Trace(_cell(ref), count, to)

    # --- acting ------------------------------------------------------------------------------------------------------

    def suspend(self, ref: ActorRef) -> None:
        """Suspend an actor after the message being handled, until ``resume``; further messages wait in its mailbox.

        It can be stopped, killed and introspected, and stays suspended over a restart.  Asks keep their deadlines.
        """
        cell = _cell(ref)
        cell.suspended = True
        cell.refresh()

    def resume(self, ref: ActorRef) -> None:
        """Resume a suspended actor."""
        cell = _cell(ref)
        cell.suspended = False
        cell.post(REQUEST, Cell.refresh)

    async def replace_state(self, ref: ActorRef, changes: Mapping[str, object]) -> ActorState:
        """Set attributes of an actor between two messages, and return the new state.

        changes: values by attribute name.  Raises ``InvalidOption`` for a name that is no attribute of it,
        ``ActorStopped`` when it has no instance or ends before.
        """
        cell = _cell(ref)
        _instance(cell)
        done: asyncio.Future[ActorState] = self._system.loop.create_future()

        def replace(_: Cell, __: object) -> None:
            if done.done():  # the caller was cancelled
                return
            try:
                actor = _instance(cell)
                unknown = [name for name in changes if name not in _attributes(actor)]
                if unknown:
                    known = ", ".join(_attributes(actor)) or "none"
                    raise InvalidOption(f"{cell.address} has no attribute {unknown[0]!r}; its attributes: {known}")
                for name, value in changes.items():
                    setattr(actor, name, value)
                done.set_result(self.get_state(ref))
            except Exception as error:  # noqa: BLE001  the error is the caller's, not the actor's
                done.set_exception(error)

        cell.post(REQUEST, replace)
        ended = cell.end_future()
        await asyncio.wait((done, ended), return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            done.cancel()
            raise ActorStopped(f"{cell.address} ended ({cell.reason}) before its state was replaced")
        return done.result()

    def crash(self, ref: ActorRef, error: Exception | None = None) -> None:
        """Fail an actor as if its handler had raised, to test supervision.

        error: the failure; None is an ``ActorFailed``.  A running handler is cancelled, its message is a dead letter.
        An actor that is not live (it starts, is being restarted, or has ended) is not changed.
        """
        cell = _cell(ref)
        failure = error or ActorFailed(f"{cell.address} was crashed by introspection")
        cell.post(SUPERVISION, _crash, failure)
        if cell.invocation is not None and cell.task is not None:
            cell.invocation.cancel("cancelled")


def _crash(cell: Cell, error: object) -> None:
    if cell.phase == "live" and isinstance(error, Exception):
        crash(cell, error, None)


def _cell(ref: ActorRef) -> Cell:
    return ref._cell  # noqa: SLF001  a ref is the runtime's own


def _instance(cell: Cell) -> BareActor:
    if cell.actor is None:
        raise ActorStopped(f"{cell.address} has no instance: it is {cell.describe()}")
    return cell.actor


def _attributes(actor: BareActor) -> dict[str, object]:
    """Return the attributes that the actor has set, without those of the runtime: ``__cell__`` and mangled names."""
    hidden = tuple(f"_{cls.__name__}__" for cls in type(actor).__mro__ if cls.__module__.startswith(_RUNTIME))
    slots = [name for cls in type(actor).__mro__ for name in getattr(cls, "__slots__", ())]
    found = {name: getattr(actor, name) for name in slots if hasattr(actor, name)}
    found.update(vars(actor) if hasattr(actor, "__dict__") else {})
    return {name: value for name, value in found.items() if not name.startswith(("__", *hidden))}


def _text(value: object) -> str:
    return bounded(bounded_repr(value), FIELD_CHARS_MAX)


def _branch(cell: Cell, left: list[int], depth: int) -> ActorTree:
    """Return the tree below a cell.  left: the actors that may still be added, in all."""
    children: list[ActorTree] = []
    for child in (cell.children or {}).values():
        if left[0] <= 0 or depth == 0:
            break
        left[0] -= 1
        children.append(_branch(child, left, depth - 1))
    return ActorTree(
        name=cell.name,
        address=str(cell.address),
        actor=cell.spec.actor.__qualname__,
        phase=cell.phase,
        suspended=cell.suspended,
        restart=cell.spec.restart,
        restarts=cell.restarts,
        queued=len(cell.mail or ()),
        children=tuple(children),
        omitted=len(cell.children or ()) - len(children),
    )
