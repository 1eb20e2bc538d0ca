"""Probes: an actor that a test controls.

A probe is a real actor: it can be told, asked and watched, and its ref can be sent; what it gets is kept for the
test, which is a plain coroutine.  It is not a mock: it answers nothing unless the test calls ``reply`` or ``refuse``.
It works on real time too, but on virtual time ``expect_no`` costs nothing and no wait is ever too short.

Laws of this file:
1. Messages are expected one by one, in the order in which they came: another one than expected fails at once.
2. ``Down`` is a signal, which has no order with messages: ``expect_down`` looks at nothing else.
3. Nothing is forgotten: ``received`` is all that ever came, and a failure shows its end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar, cast, overload

from ..node import Node
from ..runtime.actor.actor import Actor
from ..runtime.actor.forwarding import detach_reply
from ..runtime.actor.handlers import handler
from ..runtime.kernel.ask import Ask
from ..runtime.kernel.cell import Cell
from ..runtime.kernel.errors import CallerError
from ..runtime.kernel.message import Message
from ..runtime.kernel.ref import ActorRef, Down
from ..runtime.kernel.supervision import ChildSpec
from ..runtime.observe.reports import bounded_repr

M = TypeVar("M", bound=Message[object])
Anything = Message[object]
Kept = tuple[Message[object], Ask[object] | None]
"""A message, and the ask around it when it is owed a reply."""

WITHIN_S = 3.0
"""Seconds that an expectation waits where the test says nothing."""
SHOWN_MAX = 20
"""Messages of the history that a failure shows, the last ones."""


class ProbeFailed(AssertionError):
    """What a probe got, or did not get, is not what the test expected."""


class ProbeActor(Actor):
    """The actor of a probe: keeps what comes, and answers asks when the test does."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    @handler
    def keep(self, msg: Message[object]) -> object:
        """Keep a message; an ask is detached, so that it stays unanswered when this handler returns."""
        item = detach_reply(self.__cell__, msg, self.__cell__)
        self._probe.keep(msg, cast("Ask[object]", item) if isinstance(item, Ask) else None)
        return None

    def on_terminated(self, down: Down) -> None:
        """Keep a ``Down``."""
        self._probe.keep_down(down)

    def on_stop(self) -> None:
        """Refuse the asks that the test has not answered."""
        self._probe.close()


class Probe:
    """An actor on ``node`` for a test: send its ``probe.ref`` to others, and expect what comes.

    name: of the actor, under ``/user``; None makes one up.  It ends with the node, or by ``probe.ref.stop()``.
    All times are seconds of the loop.  Expectations raise ``ProbeFailed``, an ``AssertionError``.
    """

    def __init__(self, node: Node, name: str | None = None) -> None:
        self._all: list[Anything] = []
        self._next: deque[Kept] = deque()
        self._downs: deque[Down] = deque()
        self._watched: set[ActorRef] = set()
        self._ignored: tuple[type[Anything], ...] = ()
        self._last: Kept | None = None
        self._open: dict[Ask[object], None] = {}
        self._arrivals: list[asyncio.Future[None]] = []
        spec = ChildSpec(ProbeActor, restart="temporary")
        self.ref: ActorRef = node.system.spawn(node.system.user, spec, (self,), name).ref
        """The ref of its actor."""

    @property
    def received(self) -> tuple[Anything, ...]:
        """All messages that came, ``Down`` and ignored ones too, in order."""
        return tuple(self._all)

    # --- what the test does ------------------------------------------------------------------------------------------

    def tell(self, ref: ActorRef, message: Anything) -> Awaitable[None]:
        """Send a message, as ``ref.tell`` does."""
        return ref.tell(message)

    def watch(self, ref: ActorRef) -> None:
        """Get a ``Down`` when that actor ends; see ``expect_down``."""
        self._watched.add(ref)
        ref.watch(self.ref)

    def ignore(self, *types: type[Anything]) -> None:
        """Leave messages of these types out of all expectations from now on; ``received`` still shows them."""
        self._ignored += types

    def reply(self, value: object) -> None:
        """Answer the message that was expected last; raises ``WrongReply`` for a value that it does not promise."""
        self._ref_cell.check_reply(self._last_ask().message, value)
        self._answered().answer(value)

    def refuse(self, error: Exception) -> None:
        """Answer the message that was expected last with an error, which is raised at the asker."""
        self._answered().refuse(error)

    # --- what the test expects ---------------------------------------------------------------------------------------

    @overload
    async def expect(self, what: type[M], within_s: float = WITHIN_S) -> M: ...
    @overload
    async def expect(self, what: M, within_s: float = WITHIN_S) -> M: ...
    async def expect(self, what: type[M] | M, within_s: float = WITHIN_S) -> M:
        """Wait for the next message and return it; it must be of this type, or equal to this message."""
        _refuse_down(what)
        if not await self._arrived(lambda: bool(self._next), within_s):
            raise self._failure(f"expected {_shown(what)} within {within_s:g} s, but nothing came")
        self._last = message, _ = self._next.popleft()
        if not _fits(what, message):
            raise self._failure(f"expected {_shown(what)}, but got {bounded_repr(message)}")
        return cast("M", message)

    async def expect_all(self, *whats: type[Anything] | Anything, within_s: float = WITHIN_S) -> tuple[Anything, ...]:
        """Wait for as many messages as are named, in any order; returns them in the order in which they are named.

        A message is taken for an equal one first, then for the first type that fits.  ``reply`` answers the last one.
        """
        for what in whats:
            _refuse_down(what)
        found: dict[int, Anything] = {}
        while len(found) < len(whats):
            missing = [place for place in range(len(whats)) if place not in found]
            names = ", ".join(_shown(whats[place]) for place in missing)
            if not await self._arrived(lambda: bool(self._next), within_s):
                raise self._failure(f"expected {names} within {within_s:g} s, but nothing more came")
            self._last = message, _ = self._next.popleft()
            fits = [place for place in missing if _fits(whats[place], message)]
            if not fits:
                raise self._failure(f"expected {names}, in any order, but got {bounded_repr(message)}")
            found[min(fits, key=lambda place: isinstance(whats[place], type))] = message
        return tuple(found[place] for place in range(len(whats)))

    async def expect_no(self, within_s: float = 0.1) -> None:
        """Wait, and fail as soon as a message comes; one that is not expected yet counts."""
        if await self._arrived(lambda: bool(self._next), within_s):
            raise self._failure(f"expected no message within {within_s:g} s, but got {bounded_repr(self._next[0][0])}")

    async def expect_down(self, ref: ActorRef, reason: str | None = None, within_s: float = WITHIN_S) -> Down:
        """Wait for the end of an actor that is watched, and return its ``Down``; None takes any reason."""
        if ref not in self._watched:
            raise CallerError(f"expect_down({ref!r}): it is not watched; call probe.watch(ref) before it ends")
        if not await self._arrived(lambda: any(down.ref == ref for down in self._downs), within_s):
            raise self._failure(f"expected {ref!r} to end within {within_s:g} s, but it did not")
        down = next(down for down in self._downs if down.ref == ref)
        self._downs.remove(down)
        if reason is not None and down.reason != reason:
            raise self._failure(f"expected {ref!r} to end with reason {reason!r}, but it was {bounded_repr(down)}")
        return down

    @asynccontextmanager
    async def within(self, most_s: float, least_s: float = 0.0) -> AsyncGenerator[None, None]:
        """Assert that what is inside takes at most, and at least, so many seconds; after ``most_s`` it is cancelled."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        limit = asyncio.timeout(most_s)
        try:
            async with limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._failure(f"expected an end within {most_s:g} s") from None
        took_s = loop.time() - begin
        if took_s < least_s:
            raise self._failure(f"expected it to take {least_s:g} s at least, but it took {took_s:g} s")

    # --- what the actor calls -----------------------------------------------------------------------------------------

    def keep(self, message: Anything, ask: Ask[object] | None) -> None:
        """Take a message from the actor."""
        self._all.append(message)
        if ask is not None:
            self._open[ask] = None
        if not isinstance(message, self._ignored):
            self._next.append((message, ask))
            self._wake()

    def keep_down(self, down: Down) -> None:
        """Take a ``Down`` from the actor."""
        self._all.append(down)
        self._downs.append(down)
        self._wake()

    def close(self) -> None:
        """Refuse the asks that are unanswered: the actor ends."""
        for ask in self._open:
            if not ask.done():
                ask.refuse(self._ref_cell.loss(ask.message, "stopped"))

    # --- inside ------------------------------------------------------------------------------------------------------

    @property
    def _ref_cell(self) -> Cell:
        return self.ref._cell  # noqa: SLF001  the testing kit looks inside

    def _wake(self) -> None:
        arrivals, self._arrivals = self._arrivals, []
        for arrival in arrivals:
            if not arrival.done():
                arrival.set_result(None)

    async def _arrived(self, here: Callable[[], bool], within_s: float) -> bool:
        """Wait until something is here; False when it is not within the time."""
        try:
            async with asyncio.timeout(within_s):
                while not here():
                    arrival: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._arrivals.append(arrival)
                    await arrival
        except TimeoutError:
            return here()
        return True

    def _last_ask(self) -> Ask[object]:
        message, ask = self._last or (None, None)
        if ask is None:
            what = "nothing was expected yet" if message is None else f"{bounded_repr(message)} was told, not asked"
            raise CallerError(f"{self.ref!r} has nothing to answer: {what}")
        return ask

    def _answered(self) -> Ask[object]:
        ask = self._last_ask()
        if self._open.pop(ask, False) is False:
            raise CallerError(f"{self.ref!r} has answered {bounded_repr(ask.message)} already")
        return ask

    def _failure(self, text: str) -> ProbeFailed:
        shown = [f"  {bounded_repr(message)}" for message in self._all[-SHOWN_MAX:]]
        title = f"received so far: {len(self._all)}" + (f", the last {SHOWN_MAX}" if len(self._all) > SHOWN_MAX else "")
        return ProbeFailed("\n".join([f"{self.ref!r} {text}", title, *shown]))


def _fits(what: type[Anything] | Anything, message: Anything) -> bool:
    return isinstance(message, what) if isinstance(what, type) else message == what


def _shown(what: type[Anything] | Anything) -> str:
    return what.__qualname__ if isinstance(what, type) else bounded_repr(what)


def _refuse_down(what: object) -> None:
    if what is Down or isinstance(what, Down):
        raise CallerError("a Down has no order with messages: use expect_down")
