"""Hooks: what else happens to the messages of a node or of one actor, besides their handling.

``Hooks`` belong to one actor: observers of its handlers, and at most one admission hook.  ``Outgoing`` belongs to a
node: it puts the headers that follow into what handlers send, and shows everything that is sent to the instruments.

Law of this file: without hooks nothing is paid.  ``ActorRef.tell`` and the dispatcher's fast path test for none: a cell
with hooks has ``slow_path`` set, and while a node has an ``Outgoing`` at work, the ``high_water`` of its cells is 0, so
that ``tell`` takes the branches that it takes for a full mailbox.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, cast

from .ask import Envelope, Invocation, ToldWithHeaders, content, current_invocation, is_ask
from .errors import CallerError, InvalidOption
from .headers import NO_HEADERS, Headers, following
from .ref import ActorRef, Down

if TYPE_CHECKING:
    from .cell import Cell
    from .message import Message
    from .system import System

REASONS_MAX = 16
"""Reasons that one admission hook may have."""
REPORTS_MAX = 10
"""Failures of one admission hook that are reported."""
_REASON = re.compile(r"[a-z][a-z0-9_]{0,39}")

Admit = Callable[[ActorRef, "Message[object]", Headers], str | None]
"""An admission hook: called with the actor, a message for it and its headers; returns None to let it be handled, or
the reason why not.
"""


class Observer(Protocol):
    """Is called before and after the handler of each message of one actor.

    item: the mailbox item, see ``content`` and ``headers_of``.  error: what the handler raised.
    """

    def on_begin(self, cell: Cell, item: object) -> None: ...

    def on_end(self, cell: Cell, item: object, error: BaseException | None) -> None: ...


def headers_of(item: object) -> Headers:
    """Return the headers of a mailbox item, not to be changed; empty when it has none."""
    return MappingProxyType(item.headers) if isinstance(item, Envelope) and item.headers else NO_HEADERS


def request_with_headers(system: System, message: Message[object], headers: dict[str, bytes]) -> Invocation:
    """Return what a request to the node itself runs as, so that its headers can be read, and those that follow do."""
    system.outgoing.begin_to_follow(headers)
    invocation = Invocation(system.root, ToldWithHeaders(message, headers))
    invocation.finished = True  # nothing waits for it
    return invocation


# --- of one actor ----------------------------------------------------------------------------------------------------


class Admission:
    """The admission hook of one actor, and the reasons that it may give."""

    __slots__ = ("_admit", "_reports_left", "reasons")

    def __init__(self, admit: Admit, reasons: Collection[str]) -> None:
        self._admit, self._reports_left = admit, REPORTS_MAX
        self.reasons = frozenset({*reasons, "refused"})

    def refusal(self, cell: Cell, item: object) -> str | None:
        """Return why the hook refuses an item; ``refused`` when the hook itself fails; None when it does not refuse."""
        message = cast("Message[object]", content(item))
        try:
            reason = self._admit(cell.ref, message, headers_of(item))
        except Exception as error:  # noqa: BLE001  a hook that fails must not let a message pass that it might refuse
            self._report(cell, "failed", error)
            return "refused"
        if reason is None or reason in self.reasons:
            return reason
        self._report(cell, f"returned {reason!r:.100}, which is none of its reasons {sorted(self.reasons)}")
        return "refused"

    def _report(self, cell: Cell, what: str, error: BaseException | None = None) -> None:
        """Report the first failures; the dead letters tell of all of them."""
        if self._reports_left:
            self._reports_left -= 1
            cell.system.reporter.problem(f"the admission hook of {cell.address} {what}: the message is refused", error)


class Hooks:
    """The hooks of one actor; ``cell.hooks`` is None when it has none.  It is never changed, but replaced."""

    __slots__ = ("admission", "observers")

    def __init__(self, observers: tuple[Observer, ...] = (), admission: Admission | None = None) -> None:
        self.observers, self.admission = observers, admission

    def begin(self, cell: Cell, item: object) -> bool:
        """Called before an item is handled; returns False when it has been refused, and is a dead letter now."""
        if self.admission is not None and type(item) is not Down:
            reason = self.admission.refusal(cell, item)
            if reason is not None:
                cell.lose(item, reason)
                return False
        for observer in self.observers:
            observer.on_begin(cell, item)
        return True

    def end(self, cell: Cell, item: object, error: BaseException | None) -> None:
        """Called when the handler of an item has ended; ``error`` is what it raised."""
        for observer in self.observers:
            observer.on_end(cell, item, error)


def add_observer(cell: Cell, observer: Observer) -> None:
    """Call an observer for every message of an actor, from the next one on."""
    present = cell.hooks or Hooks()
    _set_hooks(cell, (*present.observers, observer), present.admission)


def remove_observer(cell: Cell, observer: Observer) -> None:
    """Undo ``add_observer``; without hooks the actor is on the fast path again."""
    if cell.hooks is not None:
        left = tuple(each for each in cell.hooks.observers if each is not observer)
        _set_hooks(cell, left, cell.hooks.admission)


def set_admission(ref: ActorRef, admit: Admit | None, *, reasons: Collection[str] = ()) -> None:
    """Have a function decide about each message of an actor, just before its handler would begin.

    admit: called with the ref of the actor, the message and its headers.  It returns None, and the message is handled;
        or one of ``reasons``, and the message becomes a dead letter of that reason, and an asker gets ``NotAdmitted``.
        A message that returns from the stash is decided about again.  An exception, and any other value, refuse the
        message for the reason ``refused`` and are reported.  It runs on the loop, for every message: it must be quick.
        None removes the hook.
    reasons: 1 to 16 words of ``a-z 0-9 _``.
    The hook stays over restarts, and replaces one that was set before.  ``Down`` notices do not pass through it.
    Raises ``InvalidOption`` for other reasons, ``CallerError`` for an actor of another node, and ``WrongThread`` in a
    thread other than the loop's.
    """
    cell = ref._cell  # noqa: SLF001  a ref is the kernel's own
    cell.system.check_thread("set_admission", cell)
    if not cell.is_local:
        raise CallerError(f"{cell.address} runs on another node: set its admission hook there")
    if admit is None:
        admission = None
    else:
        if not 1 <= len(reasons) <= REASONS_MAX or not all(_REASON.fullmatch(reason) for reason in reasons):
            raise InvalidOption(
                f"reasons={list(reasons)!r:.200} of the admission hook of {cell.address}: give 1 to {REASONS_MAX} "
                "words of a-z, 0-9 and _, up to 40 characters each"
            )
        admission = Admission(admit, reasons)
    _set_hooks(cell, cell.hooks.observers if cell.hooks is not None else (), admission)


def _set_hooks(cell: Cell, observers: tuple[Observer, ...], admission: Admission | None) -> None:
    cell.hooks = Hooks(observers, admission) if observers or admission is not None else None
    if not cell.gone:
        cell.refresh()


# --- of a node -------------------------------------------------------------------------------------------------------


class Outgoing:
    """What is done with each message that is sent on one node.

    follows: whether a message with a header that follows was ever sent here.
    at_work: whether ``pass_on`` must get every item that is sent.
    skip_next: set before an item is queued that nobody on this node sends now: it came from another node.
    """

    __slots__ = ("_on_change", "_on_send", "_system", "at_work", "follows", "skip_next")

    def __init__(self, system: System) -> None:
        self._system = system
        self._on_change: dict[Callable[[], None], None] = {}
        self._on_send: Callable[[Cell, object], None] | None = None
        self.follows = self.at_work = self.skip_next = False

    def begin_to_follow(self, headers: Headers) -> None:
        """Called with the headers of a message that is sent to an actor of this node."""
        if not self.follows and following(headers) is not None:
            self.follows = True
            self._update()

    def set_on_send(self, on_send: Callable[[Cell, object], None] | None) -> None:
        """Call a function with the target and the mailbox item of everything that is sent; None ends that."""
        self._on_send = on_send
        self._update()

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Call a function when ``at_work`` has changed, until ``unsubscribe``."""
        self._on_change[on_change] = None

    def unsubscribe(self, on_change: Callable[[], None]) -> None:
        """Undo ``subscribe``."""
        self._on_change.pop(on_change, None)

    def pass_on(self, cell: Cell, item: object) -> object:
        """Return the item to queue for ``cell`` in place of ``item``: with the headers that follow."""
        if self.skip_next:
            self.skip_next = False
            return item
        item = self.with_following(item)
        if self._on_send is not None:
            self._on_send(cell, item)
        return item

    def with_following(self, item: object) -> object:
        """Return an item with the headers that follow from the running handler, unless it has headers already."""
        if not self.follows or type(item) is Down or (isinstance(item, Envelope) and not is_ask(item)):
            return item  # a `Down` is the runtime's own; another envelope was given its headers when it was made
        if is_ask(item) and item.headers is not None:
            return item
        headers = self.following_here()
        if headers is None:
            return item
        if is_ask(item):
            item.headers = headers
            return item
        return ToldWithHeaders(cast("Message[object]", item), headers)

    def following_here(self) -> dict[str, bytes] | None:
        """Return the headers that go into what is sent here and now; None for none."""
        item = self._item()
        return None if item is None else following(item.headers)

    def invocation_in(self, cell: Cell) -> Invocation | None:
        """Return an invocation of ``cell`` that has ended, with the headers that follow from here; None for none.

        What is sent in its context gets them, though no handler is at work: in the start of an actor, and in its
        background.
        """
        item = self._item()
        headers = None if item is None else following(item.headers)
        if item is None or headers is None:
            return None
        invocation = Invocation(cell, ToldWithHeaders(item.message, headers))
        invocation.finished = True
        return invocation

    def _item(self) -> Envelope | None:
        """The item that the running handler handles, where it may have headers."""
        running = self._system.dispatcher.running
        invocation = current_invocation.get() if running is None else running.invocation
        item = None if invocation is None else invocation.item
        return item if isinstance(item, Envelope) else None

    def _update(self) -> None:
        """Have ``tell`` and ``ask`` take the branches that lead to ``pass_on``, or the short ones again."""
        at_work = self.follows or self._on_send is not None
        if at_work is self.at_work:
            return
        self.at_work = at_work
        self._system.dispatcher.allow_inline(allowed=not at_work)
        for cell in self._system.cells():
            cell.high_water = 0 if cell.busy else cell.default_high_water()  # a busy one gets its own when it is not
        for on_change in tuple(self._on_change):
            on_change()
