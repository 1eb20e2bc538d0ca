"""``Actor``: the kernel's actor with timers, a stash, links, forwarding, ``become`` and ``pipe_to_self``.

Names of state and helpers here are mangled (``_Actor__timers``), so that attributes of a subclass do not collide with
them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, ClassVar, ParamSpec, TypeVar, TypeVarTuple, cast, overload

from ..kernel.ask import FromSelf, current_invocation, is_ask
from ..kernel.bare_actor import BareActor
from ..kernel.cell import Cell
from ..kernel.confined import confine
from ..kernel.errors import InvalidOption
from ..kernel.executor import table_off_loop
from ..kernel.handler_table import HandlerEntry
from ..kernel.headers import NO_HEADERS, Headers
from ..kernel.hooks import headers_of
from ..kernel.invocation import raisable
from ..kernel.lifecycle import fail
from ..kernel.mailbox import Mailbox
from ..kernel.message import Message
from ..kernel.ref import ActorRef
from ..kernel.supervision import Restart
from .forwarding import forward
from .handlers import handlers_of_class, handlers_of_functions
from .links import link, unlink
from .spawning import SpawnMixin, overrides_of, spawn_nowait
from .stash import Stash
from .timers import Timers

if TYPE_CHECKING:
    from ...node import Node
    from ..kernel.placement import Place

T = TypeVar("T")
P = ParamSpec("P")
Ts = TypeVarTuple("Ts")
BECOME_MAX = 1_000
"""Calls of ``become`` that may be outstanding, each undone by one ``unbecome``."""


@confine(
    "__cell__.system",
    "spawn_nowait", "link", "unlink", "become", "unbecome", "forward", "headers", "timers", "stash", "unstash_all",
    "pipe_to_self",
)  # fmt: skip
class Actor(BareActor, SpawnMixin):
    """User state plus handlers; one message is handled at a time, also across awaits.

    Subclass it, mark methods with ``@handler``, and spawn it: ``await node.spawn(Account, "ada")``.
    Do not call or share the instance: other actors hold its ``ActorRef`` and send messages.

    Class attributes, besides those of ``BareActor``: ``stash_limit``, the messages that the stash may hold.
    """

    stash_limit: ClassVar[int] = 10_000

    @classmethod
    def __collect_handlers__(cls) -> dict[type, HandlerEntry]:
        return handlers_of_class(cls)

    __timers: Timers | None = None
    __stash: Stash | None = None

    @property
    def headers(self) -> Headers:
        """The headers of the message being handled, not to be changed; empty when it has none, and outside of handlers.

        In ``on_start`` and in what ``pipe_to_self`` awaits: those that follow from the handler which called for it.
        """
        cell = self.__cell__
        running = cell.system.dispatcher.running is cell
        invocation = cell.invocation if running else current_invocation.get()
        return NO_HEADERS if invocation is None or invocation.cell is not cell else headers_of(invocation.item)

    @property
    def node(self) -> Node:
        """The node that this actor runs on."""
        return cast("Node", self.__cell__.system.host)

    def __spawn_parent__(self) -> Cell:
        return self.__cell__

    @overload
    def spawn_nowait(
        self,
        actor: Callable[[*Ts], BareActor],
        *args: *Ts,
        name: str | None = None,
        place: Place | None = None,
        restart: Restart = "transient",
        mailbox: Mailbox | None = None,
        resume: tuple[type[Exception], ...] | None = None,
        executor: str | None = None,
    ) -> ActorRef: ...
    @overload
    def spawn_nowait(
        self,
        actor: Callable[..., BareActor],
        *,
        name: str,
        place: Place | None = None,
        restart: Restart = "transient",
        mailbox: Mailbox | None = None,
        resume: tuple[type[Exception], ...] | None = None,
        executor: str | None = None,
        **keywords: object,
    ) -> ActorRef: ...
    @overload
    def spawn_nowait(self, actor: Callable[P, BareActor], *args: P.args, **keywords: P.kwargs) -> ActorRef: ...
    def spawn_nowait(  # type: ignore[misc]  # mypy does not see that `*args, **keywords` take those of any actor
        self,
        actor: Callable[..., BareActor],
        *args: object,
        name: str | None = None,
        place: Place | None = None,
        restart: Restart = "transient",
        mailbox: Mailbox | None = None,
        resume: tuple[type[Exception], ...] | None = None,
        executor: str | None = None,
        **keywords: object,
    ) -> ActorRef:
        """Start a child and return its ref at once; messages wait in its mailbox until it has started.

        actor, args, keywords, name, place, restart, mailbox, resume, executor: as for ``spawn``.  A failure to start
        goes to this actor's supervision strategy.
        Raises ``NameTaken``, ``InvalidName``, ``InvalidHandler``, ``InvalidOption``, ``NodeClosed``, and
        ``NodeUnreachable`` when ``place`` is not connected.
        """
        made = partial(actor, **keywords) if keywords else actor
        return spawn_nowait(self.__cell__, made, args, name, restart, place, overrides_of(mailbox, resume, executor))

    def link(self, ref: ActorRef) -> None:
        """Link this actor with ``ref``: when either ends abnormally, the other fails with ``LinkedActorFailed``.

        An actor that has ended abnormally before counts; one that was stopped does not.
        """
        link(self.__cell__, ref._cell)  # noqa: SLF001  a ref is the runtime's own

    def unlink(self, ref: ActorRef) -> None:
        """Undo ``link``; without a link to ``ref`` it does nothing."""
        unlink(self.__cell__, ref._cell)  # noqa: SLF001  a ref is the runtime's own

    def become(self, *functions: Callable[..., object]) -> None:
        """Handle messages with these functions only, until ``unbecome`` or a restart.

        functions: bound methods ``(message)``, functions ``(message)`` or ``(actor, message)``, annotated as handlers.
        Raises ``InvalidHandler`` for a function that is no handler, ``InvalidOption`` after ``BECOME_MAX`` calls.
        """
        cell = self.__cell__
        cell.become_stack = [] if cell.become_stack is None else cell.become_stack
        if len(cell.become_stack) >= BECOME_MAX:
            raise InvalidOption(f"{cell.address} called become() {BECOME_MAX} times: call unbecome() in between")
        handler_table = self.__make_handler_table__(handlers_of_functions(functions))
        if cell.spec.off_loop:
            handler_table = table_off_loop(handler_table)
        cell.become_stack.append(cell.handler_table)
        cell.change_handler_table(handler_table)

    def unbecome(self) -> None:
        """Undo the last ``become``; without one it does nothing."""
        if self.__cell__.become_stack:
            self.__cell__.change_handler_table(self.__cell__.become_stack.pop())

    def forward(self, ref: ActorRef, message: Message[object] | None = None) -> None:
        """Send the message being handled on to ``ref``; for an ask, ``ref`` then owes the reply.

        message: what to send instead; None sends an ask unchanged.  The return value of this handler is ignored.
        Raises ``CallerError`` for None when the message was told, since the runtime does not keep told messages.
        """
        forward(self.__cell__, ref._cell, message)  # noqa: SLF001  a ref is the runtime's own

    @property
    def timers(self) -> Timers:
        """The timers of this instance; they are cancelled when it ends."""
        if self.__timers is None:
            self.__timers = Timers(self.__cell__)
        return self.__timers

    def stash(self, message: Message[object]) -> None:
        """Put ``message``, which is being handled, aside until ``unstash_all`` or a restart.

        An ask that is stashed keeps its deadline.  Raises ``StashFull`` at ``stash_limit`` messages.
        """
        if self.__stash is None:
            self.__stash = Stash(self.__cell__, self.stash_limit)
        self.__stash.put(message)

    def unstash_all(self) -> None:
        """Put all stashed messages back into the mailbox, in order, ahead of what is queued there."""
        if self.__stash is not None:
            self.__stash.take_all()

    def pipe_to_self(
        self,
        awaitable: Awaitable[T],
        mapper: Callable[[T], Message[object]],
        on_error: Callable[[Exception], Message[object]] | None = None,
    ) -> None:
        """Await something in the background and send this actor the result as a message, which no full mailbox drops.

        awaitable: what to await; it is cancelled when this instance ends.  mapper: makes the message of the result.
        on_error: makes the message of an exception; None fails the actor with the exception.
        Raises ``ActorStopped`` when the actor has ended.
        """
        given: object = awaitable
        if is_ask(given):
            given.detach_asker()
        waiting = cast("Coroutine[object, object, T]", given) if isinstance(given, Coroutine) else None
        if waiting is not None and self.__cell__.gone:
            waiting.close()
        task = self.__cell__.run_in_background(self.__pipe(awaitable, mapper, on_error))
        if waiting is not None:
            task.add_done_callback(lambda _: waiting.close())  # a task cancelled before its first step never awaits it

    async def __pipe(
        self,
        awaitable: Awaitable[T],
        mapper: Callable[[T], Message[object]],
        on_error: Callable[[Exception], Message[object]] | None,
    ) -> None:
        task = asyncio.current_task()
        try:
            message = mapper(await awaitable)
        except BaseException as raised:
            if task is not None and task.cancelling():
                raise
            error = raisable(self.__cell__, raised)
            if on_error is None:
                if self.__cell__.actor is self and self.__cell__.phase == "live":
                    fail(self.__cell__, error, None)
                return
            message = on_error(error)
        outgoing = self.__cell__.system.outgoing
        self.__cell__.accept(FromSelf(message, outgoing.following_here() if outgoing.at_work else None))

    async def offload(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function in a thread of the node's pool and return its result; raises what it raises."""
        return await self.node.offload(function, *args, **kwargs)
