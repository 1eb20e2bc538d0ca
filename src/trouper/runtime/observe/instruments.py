"""Instruments: observers of every message of a node; they see, and never change anything.

They are for what wants to know of all messages, such as traces and metrics by message type; to follow one actor there
is ``tracing``.  Without an instrument nothing is paid.  With one, every message leaves the fast path, which costs a few
microseconds each.

Laws of this file:
1. An instrument that raises does no harm: the error is reported in moderation, and the message goes its way.
2. While an instrument is called, what it sends itself is not shown to ``on_send``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

from ..kernel.ask import content
from ..kernel.confined import confine
from ..kernel.errors import CallerError, InvalidOption
from ..kernel.headers import Headers
from ..kernel.hooks import Hooks, add_observer, headers_of, remove_observer
from ..kernel.message import Message
from ..kernel.ref import ActorRef
from .dead_letters import SILENCE_S, WARNINGS_MAX, WarningLimit

if TYPE_CHECKING:
    from ..kernel.cell import Cell
    from ..kernel.system import System
    from .reports import Reports

INSTRUMENTS_MAX = 16
"""Instruments that a node may have at a time."""


class Instrument:
    """Base of instruments: override what is of interest, and give an instance to ``node.instruments.add``.

    Each method runs on the loop, on the stack of the sender or of the dispatcher, so it must be quick and must not
    wait.  ``headers`` must not be changed.
    """

    def on_send(self, target: ActorRef, message: Message[object], headers: Headers) -> None:
        """Called when an actor or a program on this node sends a message: told, asked, forwarded, or by a timer.

        A message that comes from another node was sent there.  ``Down`` notices are sent by no one.
        """

    def on_receive(self, actor: ActorRef, message: Message[object], headers: Headers) -> None:
        """Called when the handler of a message is about to begin, on the node of the actor.

        Each call is followed by one of ``on_handled`` or ``on_failed``.  A message without a handler, or refused by an
        admission hook, is not received; a stashed message is received again after ``unstash_all``.
        """

    def on_handled(self, actor: ActorRef, message: Message[object], headers: Headers) -> None:
        """Called when the handler has returned."""

    def on_failed(self, actor: ActorRef, message: Message[object], headers: Headers, error: BaseException) -> None:
        """Called when the handler has raised ``error``: a failure, a ``Reject``, or ``asyncio.CancelledError``."""

    def on_restarted(self, actor: ActorRef, restarts: int) -> None:
        """Called when an actor runs again after a failure; ``restarts`` counts them."""


@confine("_system", "add", "remove")
@confine("_system", "add", "remove")
class Instruments:
    """The instruments of one node, as ``node.instruments``."""

    def __init__(self, system: System, reports: Reports) -> None:
        self._system, self._reports = system, reports
        self._limits: dict[Instrument, WarningLimit] = {}
        self._is_sending = False

    def add(self, instrument: Instrument) -> None:
        """Call an instrument for every message of the node from now on, until ``remove``.

        Raises ``InvalidOption`` for what is no ``Instrument``, and above 16 of them; ``CallerError`` for one that was
        added before.
        """
        if not isinstance(cast("object", instrument), Instrument):
            raise InvalidOption(f"{instrument!r:.200} is no Instrument: subclass trouper.lowlevel.Instrument")
        if instrument in self._limits:
            raise CallerError(f"{instrument!r:.200} is an instrument of node {self._system.name} already")
        if len(self._limits) >= INSTRUMENTS_MAX:
            raise InvalidOption(f"node {self._system.name} has {INSTRUMENTS_MAX} instruments: remove one of them first")
        if not self._limits:
            self._attach()
        self._limits[instrument] = WarningLimit(WARNINGS_MAX, SILENCE_S)

    def remove(self, instrument: Instrument) -> bool:
        """Undo ``add``; returns False when it was not added.  Without instruments nothing is paid any more."""
        if self._limits.pop(instrument, None) is None:
            return False
        if not self._limits:
            self._detach()
        return True

    def __iter__(self) -> Iterator[Instrument]:
        return iter(tuple(self._limits))

    def __len__(self) -> int:
        return len(self._limits)

    def _attach(self) -> None:
        system = self._system
        system.hooks = Hooks((self,))
        for cell in system.cells():
            add_observer(cell, self)
        system.outgoing.set_on_send(self._on_send)
        system.on_lifecycle += (self._on_lifecycle,)

    def _detach(self) -> None:
        system = self._system
        system.hooks = None
        for cell in system.cells():
            remove_observer(cell, self)
        system.outgoing.set_on_send(None)
        system.on_lifecycle = tuple(each for each in system.on_lifecycle if each != self._on_lifecycle)

    def _call(self, name: str, function: Callable[[Instrument], None]) -> None:
        """Call one method of all instruments."""
        for instrument in tuple(self._limits):
            try:
                function(instrument)
            except Exception as error:  # noqa: BLE001  the failure is the instrument's, not of the stack it runs on
                limit = self._limits.get(instrument)
                if limit is not None and limit.step(self._system.loop.time()).warn:
                    self._reports.problem(f"{name} of {instrument!r:.200} failed; it stays an instrument", error)

    def _on_send(self, cell: Cell, item: object) -> None:
        if self._is_sending:
            return
        self._is_sending = True
        try:
            message = cast("Message[object]", content(item))
            self._call("on_send", lambda each: each.on_send(cell.ref, message, headers_of(item)))
        finally:
            self._is_sending = False

    def on_begin(self, cell: Cell, item: object) -> None:
        """Called by a cell before a handler."""
        message = cast("Message[object]", content(item))
        self._call("on_receive", lambda each: each.on_receive(cell.ref, message, headers_of(item)))

    def on_end(self, cell: Cell, item: object, error: BaseException | None) -> None:
        """Called by a cell after a handler."""
        message, headers = cast("Message[object]", content(item)), headers_of(item)
        if error is None:
            self._call("on_handled", lambda each: each.on_handled(cell.ref, message, headers))
        else:
            self._call("on_failed", lambda each: each.on_failed(cell.ref, message, headers, error))

    def _on_lifecycle(self, cell: Cell, event: str) -> None:
        if event == "restarted":
            self._call("on_restarted", lambda each: each.on_restarted(cell.ref, cell.restarts))
