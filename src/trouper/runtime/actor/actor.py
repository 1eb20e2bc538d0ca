"""``Actor``: the kernel's actor with the furniture that every stage needs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, ClassVar, ParamSpec, TypeVar, TypeVarTuple, cast

from ..kernel.ask import is_ask
from ..kernel.bare_actor import BareActor
from ..kernel.cell import Cell
from ..kernel.delivery import deliver
from ..kernel.errors import InvalidOption
from ..kernel.handler_table import HandlerEntry
from ..kernel.invocation import raisable
from ..kernel.lifecycle import crash
from ..kernel.message import Message
from ..kernel.ref import ActorRef
from ..kernel.supervision import Restart
from .forwarding import forward
from .handlers import handlers_of_class, handlers_of_functions
from .links import link, unlink
from .spawner import Spawner
from .spawning import spawn_nowait
from .stash import Stash
from .timers import Timers

if TYPE_CHECKING:
    from ..node.node import Node

T = TypeVar("T")
P = ParamSpec("P")
Ts = TypeVarTuple("Ts")
BECOME_MAX = 1_000
"""How many behaviours an actor may have to go back to."""


class Actor(BareActor, Spawner):
    """User state plus handlers; one message at a time, also across awaits.

    Subclass it, mark methods with ``@handler``, and spawn it: ``await node.spawn(Account, "ada")``.
    It is not called directly and not shared: others hold its ``ActorRef`` and send messages.

    Class attributes, besides those of ``BareActor``: ``stash_limit``, how many messages it may put aside.
    """

    stash_limit: ClassVar[int] = 10_000

    @classmethod
    def __collect_handlers__(cls) -> dict[type, HandlerEntry]:
        return handlers_of_class(cls)

    __timers: Timers | None = None
    __stash: Stash | None = None

    @property
    def node(self) -> Node:
        """The node that this actor lives on."""
        return cast("Node", self.__cell__.system.host)

    def __spawn_parent__(self) -> Cell:
        return self.__cell__

    def spawn_nowait(
        self, actor: Callable[[*Ts], BareActor], *args: *Ts, name: str | None = None, restart: Restart = "transient"
    ) -> ActorRef:
        """Start a child without waiting: its mail waits instead, and a failure to start is supervised as any is."""
        return spawn_nowait(self.__cell__, actor, args, name, restart)

    def link(self, ref: ActorRef) -> None:
        """Share fate: when one of the two ends abnormally, the other one fails with ``LinkedActorFailed``."""
        link(self.__cell__, ref._cell)  # noqa: SLF001  a ref is the runtime's own

    def unlink(self, ref: ActorRef) -> None:
        """Undo ``link``."""
        unlink(self.__cell__, ref._cell)  # noqa: SLF001  a ref is the runtime's own

    def become(self, *functions: Callable[..., object]) -> None:
        """Handle messages with these functions only, until ``unbecome`` or a restart.

        Each is a bound method or a function, annotated as a handler is; raises ``InvalidHandler``.
        """
        cell = self.__cell__
        cell.become_stack = [] if cell.become_stack is None else cell.become_stack
        if len(cell.become_stack) >= BECOME_MAX:
            raise InvalidOption(f"{cell.address} became {BECOME_MAX} times: unbecome, or become() from one place")
        handler_table = self.__make_handler_table__(handlers_of_functions(functions))
        cell.become_stack.append(cell.handler_table)
        cell.change_handler_table(handler_table)

    def unbecome(self) -> None:
        """Go back to the behaviour before the last ``become``; without one it does nothing."""
        if self.__cell__.become_stack:
            self.__cell__.change_handler_table(self.__cell__.become_stack.pop())

    def forward(self, ref: ActorRef, message: Message[object] | None = None) -> None:
        """Pass the message being handled on to ``ref``, which then owes the reply if one is owed.

        message: what to send; None sends an ask on as it is, and raises ``CallerError`` for a message that was told,
        which the runtime does not keep.  What this handler returns is ignored.
        """
        forward(self.__cell__, ref._cell, message)  # noqa: SLF001  a ref is the runtime's own

    @property
    def timers(self) -> Timers:
        """The timers of this instance."""
        if self.__timers is None:
            self.__timers = Timers(self.__cell__)
        return self.__timers

    def stash(self, message: Message[object]) -> None:
        """Put the message being handled aside until ``unstash_all``; raises ``StashFull``."""
        if self.__stash is None:
            self.__stash = Stash(self.__cell__, self.stash_limit)
        self.__stash.put(message)

    def unstash_all(self) -> None:
        """Give all stashed messages back, in order, ahead of the mailbox."""
        if self.__stash is not None:
            self.__stash.take_all()

    def pipe_to_self(
        self,
        awaitable: Awaitable[T],
        mapper: Callable[[T], Message[object]],
        on_error: Callable[[Exception], Message[object]] | None = None,
    ) -> None:
        """Await something beside the handlers, and tell oneself what ``mapper`` makes of the result.

        on_error: makes a message of the exception; None fails the actor with it.  Cancelled when this instance ends.
        """
        given: object = awaitable
        if is_ask(given):
            given.let_go()
        waiting = cast("Coroutine[object, object, T]", given) if isinstance(given, Coroutine) else None
        if waiting is not None and self.__cell__.gone:
            waiting.close()
        task = self.__cell__.run_in_background(self.__pipe(awaitable, mapper, on_error))
        if waiting is not None:
            task.add_done_callback(lambda _: waiting.close())  # it may never have begun

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
                    crash(self.__cell__, error, None)
                return
            message = on_error(error)
        deliver(self.ref, message)

    async def offload(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function in a thread of the node, so that the loop goes on; raises what it raises."""
        return await self.node.offload(function, *args, **kwargs)
