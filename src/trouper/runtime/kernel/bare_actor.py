"""Actors: user state plus handlers, one message at a time.

``BareActor`` is what the kernel itself needs; ``trouper.Actor`` adds timers, stash, links and pipes.
An actor class that cannot be used is refused when the class is made.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from typing import TYPE_CHECKING, ClassVar, cast

from .confined import confine
from .errors import CallerError, InvalidHandler, InvalidOption
from .executor import LOOP, check_executor, table_off_loop
from .handler_table import HandlerEntry, HandlerTable
from .lifecycle import STOP, stop_self
from .mailbox import Mailbox
from .ref import ActorRef, DeadLetter, Down
from .supervision import OneForOne, Strategy

if TYPE_CHECKING:
    from .cell import Cell

Hooked = Awaitable[None] | None


class _NotSpawned:
    """The ``__cell__`` of an instance that no node has spawned: reading it raises ``CallerError``."""

    def __get__(self, actor: object, kind: type) -> object:
        if actor is None:
            return self
        raise CallerError(f"this {kind.__qualname__} was called, not spawned: use `await node.spawn(...)`")


@confine("__cell__.system", "watch", "unwatch", "stop")
class BareActor:
    """Base of all actors.  Subclass ``trouper.Actor`` instead.

    Class attributes: ``supervision``, the strategy for this actor's children; ``mailbox``, the bounds and order of its
    queue; ``keep_children``, True keeps the children alive while this actor restarts; ``resume``, the errors after
    which it goes on with the same instance (the message is a dead letter, and an asker gets the error, all the same);
    ``executor``, where its handlers and hooks run: ``loop``, ``thread`` (a thread of its own for its life), or the name
    of a pool of ``Node(executors=...)``; ``exported``, False keeps other
    nodes from it: its ref cannot be sent to them, nor be found by them.  None, the default, is False for the actors of
    the runtime and its extensions, and True for all others.

    Every hook but ``on_undelivered`` may be a plain ``def`` or an ``async def``.  With another executor than the loop
    all hooks and handlers must be plain, and all but ``on_undelivered`` run in its threads, as ``__init__`` does.
    """

    supervision: ClassVar[Strategy] = OneForOne()
    mailbox: ClassVar[Mailbox] = Mailbox()
    keep_children: ClassVar[bool] = False
    resume: ClassVar[tuple[type[Exception], ...]] = ()
    executor: ClassVar[str] = LOOP
    exported: ClassVar[bool | None] = None
    __handler_table__: ClassVar[HandlerTable]
    __async_start__: ClassVar[bool] = False
    __async_hooks__: ClassVar[bool] = False
    __loop_only__: ClassVar[bool] = False
    """Whether the class needs the loop, so that it can have no other executor."""
    if TYPE_CHECKING:
        __cell__: Cell
    else:
        __cell__ = _NotSpawned()  # until the runtime sets that of the instance

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        check_resume(cls.__qualname__, cls.resume)
        if inspect.iscoroutinefunction(cls.__init__):
            raise InvalidHandler(
                f"{cls.__qualname__}.__init__ is `async def`, which Python does not await: make it a plain `def`, and "
                "await in `async def on_start(self)`"
            )
        cls.__handler_table__ = cls.__make_handler_table__(cls.__collect_handlers__())
        cls.__async_start__ = inspect.iscoroutinefunction(cls.on_start)
        cls.__async_hooks__ = any(
            inspect.iscoroutinefunction(hook) for hook in (cls.on_start, cls.on_stop, cls.before_restart)
        )
        check_executor(cls, cls.executor)
        if cls.executor != LOOP:
            table_off_loop(cls.__handler_table__)  # raises for an async handler

    @classmethod
    def __collect_handlers__(cls) -> dict[type, HandlerEntry]:
        """Return the handlers of the class; ``trouper.Actor`` finds them by their annotations."""
        return {}

    @classmethod
    def __make_handler_table__(cls, entries: dict[type, HandlerEntry]) -> HandlerTable:
        hook = cls.on_terminated
        watching = HandlerEntry(_call_on_terminated, hook, inspect.iscoroutinefunction(hook), reentrant=False)
        return HandlerTable({Down: watching, **entries})

    # --- hooks -------------------------------------------------------------------------------------------------------

    def on_start(self) -> Hooked:
        """Called before the first message, at every start and restart; the spawner waits for it."""

    def on_stop(self) -> Hooked:
        """Called after the last message, when the children have ended; not called after ``kill``."""

    def before_restart(self, error: BaseException | None) -> Hooked:  # noqa: ARG002  for classes that override it
        """Called on the failed instance before it is replaced; calls ``on_stop`` unless overridden.

        error: the failure of this actor, or of a sibling that is restarted with it; None when it stopped itself.
        """
        return self.on_stop()

    def on_terminated(self, down: Down) -> Hooked:
        """Called when a watched actor has ended, if there is no handler for ``Down``."""

    def on_undelivered(self, letter: DeadLetter) -> None:
        """Called while this actor ends, once for each message that it will never handle."""

    # --- what an actor can do ----------------------------------------------------------------------------------------

    @property
    def ref(self) -> ActorRef:
        """The ref to this actor, to be given to other actors."""
        return self.__cell__.ref

    def watch(self, ref: ActorRef) -> None:
        """Get one ``Down`` when that actor ends; at once when it has ended already."""
        ref.watch(self.ref)

    def unwatch(self, ref: ActorRef) -> None:
        """Undo ``watch``; a ``Down`` that has not been handled yet is removed."""
        ref.unwatch(self.ref)

    def stop(self) -> None:
        """Stop this actor after the current message.  A permanent actor is restarted, any other one ends for good."""
        self.__cell__.post(STOP, stop_self)

    def __repr__(self) -> str:
        spawned = "__cell__" in vars(self)
        return f"<{type(self).__qualname__} {self.__cell__.address if spawned else 'not spawned'}>"


def check_resume(name: str, resume: object) -> None:
    """Raise ``InvalidOption`` unless it is a tuple of classes of exceptions."""
    classes = cast("tuple[object, ...]", resume) if isinstance(resume, tuple) else (resume,)
    good = isinstance(resume, tuple) and all(isinstance(each, type) and issubclass(each, Exception) for each in classes)
    if not good:
        raise InvalidOption(f"{name}.resume is {resume!r:.200}: it must be a tuple of exceptions, as in (ValueError,)")


def _call_on_terminated(actor: object, down: object) -> object:
    return cast("BareActor", actor).on_terminated(cast("Down", down))


BareActor.__init_subclass__()
