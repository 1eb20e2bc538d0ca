"""``Supervisor``: an actor that starts, restarts and stops a list of children in order.

It follows Erlang/OTP's ``supervisor`` (source of the rules: its module documentation, "supervisor" in stdlib).  The
kernel's pure ``SupervisorState`` decides about failures, as for the children of any actor; a supervisor adds the list
of specified children and their order.

Laws of this file:
1. Children start one after the other in the order of the list, and stop in the opposite order.
2. If a child cannot start, the children started before it are stopped, the newest first, and the supervisor's own start
   fails.
3. A terminated child keeps its place in the list until it is deleted, unless it is temporary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar, TypeVarTuple, cast, overload

import msgspec

from ..kernel.address import checked_name
from ..kernel.bare_actor import BareActor
from ..kernel.cell import Cell
from ..kernel.errors import InvalidOption, NameTaken, NodeClosed, Reject, StartFailed
from ..kernel.mailbox import Mailbox
from ..kernel.message import Message
from ..kernel.ref import ActorRef
from ..kernel.supervision import Restart, Strategy, SupervisorState
from .actor import Actor
from .handlers import handler
from .spawning import overrides_of, start_child

if TYPE_CHECKING:
    from ..kernel.placement import Place

Ts = TypeVarTuple("Ts")
M = TypeVar("M", bound="Message[object]")
A = TypeVar("A", bound=BareActor)
Refusal = Literal["not_found", "running", "already_running", "already_present", "not_allowed", "start_failed"]

WORKER_SHUTDOWN_S = 5.0
"""Seconds that a child which is no supervisor may take to stop, by default."""
MANAGE_TIMEOUT_S = 60.0
"""Seconds that a ``SupervisorHandle`` waits for its supervisor, which may start or stop a child meanwhile."""


class Child:
    """The specification of one child of a supervisor (OTP's child specification).

    actor: an ``Actor`` class (keywords by ``functools.partial``) or a function, as for ``spawn``; args: its arguments.
    name: unique under its supervisor; None is the name of the class or function in lower case.
    restart: ``permanent`` (the default here, as in OTP) restarts it whenever it ends by itself, ``transient`` when it
        fails, ``temporary`` never; a temporary child is removed from the list when it has ended.
    shutdown_s: seconds that it may take to stop before it is killed; None is no limit; ``default`` is no limit for a
        supervisor, whose children have limits of their own, and ``WORKER_SHUTDOWN_S`` for other actors.
    significant: True lets its end end the supervisor, see ``Strategy.auto_shutdown``.
    place, mailbox, resume, executor: as for ``spawn``.
    Raises ``InvalidName``, and ``InvalidOption`` for a permanent child that is significant.
    """

    __slots__ = ("actor", "args", "name", "overrides", "place", "restart", "shutdown_s", "significant")

    @overload
    def __init__(
        self,
        actor: Callable[[*Ts], BareActor],
        *args: *Ts,
        name: str | None = None,
        restart: Restart = "permanent",
        shutdown_s: float | Literal["default"] | None = "default",
        significant: bool = False,
        place: Place | None = None,
        mailbox: Mailbox | None = None,
        resume: tuple[type[Exception], ...] | None = None,
        executor: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        actor: Callable[[M], object],
        *,
        name: str | None = None,
        restart: Restart = "permanent",
        shutdown_s: float | Literal["default"] | None = "default",
        significant: bool = False,
        place: Place | None = None,
        mailbox: Mailbox | None = None,
        resume: tuple[type[Exception], ...] | None = None,
        executor: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        actor: Callable[[A, M], object],
        *,
        name: str | None = None,
        restart: Restart = "permanent",
        shutdown_s: float | Literal["default"] | None = "default",
        significant: bool = False,
        place: Place | None = None,
        mailbox: Mailbox | None = None,
        resume: tuple[type[Exception], ...] | None = None,
        executor: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        actor: Callable[..., object],
        *args: object,
        name: str | None = None,
        restart: Restart = "permanent",
        shutdown_s: float | Literal["default"] | None = "default",
        significant: bool = False,
        place: Place | None = None,
        mailbox: Mailbox | None = None,
        resume: tuple[type[Exception], ...] | None = None,
        executor: str | None = None,
    ) -> None:
        self.place, self.overrides = place, overrides_of(mailbox, resume, executor)
        self.actor = actor
        self.args: tuple[object, ...] = args
        made_of = _unwrap_partial(actor)
        self.name = checked_name(str(getattr(made_of, "__name__", "child")).lower() if name is None else name)
        self.restart: Restart = restart
        self.significant = significant
        if shutdown_s == "default":
            supervises = isinstance(made_of, type) and issubclass(made_of, Supervisor)
            self.shutdown_s: float | None = None if supervises else WORKER_SHUTDOWN_S
        else:
            self.shutdown_s = shutdown_s
        if significant and restart == "permanent":
            raise InvalidOption(
                f"child {self.name}: a permanent child is always restarted, so it cannot be significant"
            )

    def __repr__(self) -> str:
        return (
            f"<Child {self.name}: {getattr(_unwrap_partial(self.actor), '__qualname__', self.actor)}, {self.restart}>"
        )


class ChildRefused(Reject):
    """A supervisor refuses a request; its list and its children are unchanged.

    reason: ``not_found``; ``running`` (the child has to be terminated first); ``already_running`` and
    ``already_present`` (the name is in the list, with or without a living child); ``not_allowed`` (see the text);
    ``start_failed`` (the failure is the ``__cause__``).
    """

    def __init__(self, reason: Refusal, text: str) -> None:
        super().__init__(text)
        self.reason: Refusal = reason


class ChildInfo(msgspec.Struct, frozen=True):
    """One entry of a supervisor's list.

    ref: None when there is no living child of that name.  phase: ``starting``, ``live``, ``failed`` (it will be
    restarted), ``stopping``, or ``gone``.  restarts: how often it was restarted since the supervisor started it.
    """

    name: str
    ref: ActorRef | None
    phase: str
    kind: Literal["worker", "supervisor"]
    restart: Restart
    restarts: int = 0


class ChildCounts(msgspec.Struct, frozen=True):
    """specs: entries of the list; active: living children; supervisors, workers: entries of either kind."""

    specs: int
    active: int
    supervisors: int
    workers: int


class StartChild(Message[ActorRef], local=True):
    """Start a child and add it to the end of the list; the reply is its ref.

    Refused with ``ChildRefused`` when the name is in the list or the child cannot start; the list is unchanged then.
    """

    child: Child


class TerminateChild(Message[None]):
    """Stop a child without restarting it, and keep its place in the list; the reply comes when it has ended."""

    name: str


class RestartChild(Message[ActorRef]):
    """Start a child that was terminated or has ended, in its place in the list; the reply is its new ref."""

    name: str


class DeleteChild(Message[None]):
    """Remove a child that has ended from the list."""

    name: str


class WhichChildren(Message[tuple[ChildInfo, ...]]):
    """The reply is the list, in its order."""


class CountChildren(Message[ChildCounts]):
    """The reply is the number of children by kind."""


class Supervisor(Actor):
    """An actor that keeps a list of children running.  Use ``node.supervise``, or a ``Child``, or subclass it:

        class Bank(Supervisor):
            supervision = OneForAll(intensity=5, period_s=60)
            children = (Child(Vault), Child(Account, "ada", name="ada"))

    children: the initial list; without any, the class attribute.  strategy: None is the class attribute
    ``supervision``.  A restart of the supervisor returns to this list: children added later are gone.
    It handles ``StartChild``, ``TerminateChild``, ``RestartChild``, ``DeleteChild``, ``WhichChildren`` and
    ``CountChildren``; ``SupervisorHandle`` has a method for each.
    Raises ``InvalidOption`` for two children of one name, and for a significant child without ``auto_shutdown``.
    """

    children: ClassVar[Sequence[Child]] = ()

    def __init__(self, *children: Child, strategy: Strategy | None = None) -> None:
        self.__strategy = strategy or self.supervision
        self.__list: dict[str, Child] = {}
        for child in children or self.children:
            self.__check(child)
            if child.name in self.__list:
                raise InvalidOption(f"{self.ref.address}: two children have the name {child.name!r}: pass name=...")
            self.__list[child.name] = child

    async def on_start(self) -> None:
        """Start the children of the list.  An override must await ``super().on_start()``."""
        self.__cell__.supervisor_state = SupervisorState(self.__strategy)
        for child in self.__list.values():
            await self.__start(child)

    @handler
    async def start_child(self, message: StartChild) -> ActorRef:
        """Handle ``StartChild``."""
        child = message.child
        self.__forget_ended()
        if child.name in self.__list or child.name in self.__cells:
            alive = child.name in self.__cells
            raise ChildRefused(
                "already_running" if alive else "already_present",
                f"{self.ref.address} already has a child {child.name!r}, which {'runs' if alive else 'has ended'}",
            )
        try:
            self.__check(child)
        except InvalidOption as error:
            raise ChildRefused("not_allowed", str(error)) from error
        ref = await self.__start_or_refuse(child)
        self.__list[child.name] = child
        return ref

    @handler
    async def terminate_child(self, message: TerminateChild) -> None:
        """Handle ``TerminateChild``."""
        self.__find(message.name)
        cell = self.__cells.get(message.name)
        if cell is not None:
            await cell.ref.stop()
        self.__forget_ended()

    @handler
    async def restart_child(self, message: RestartChild) -> ActorRef:
        """Handle ``RestartChild``."""
        ref = await self.__start_or_refuse(self.__find_ended(message.name))
        self.__put_in_order()
        return ref

    @handler
    def delete_child(self, message: DeleteChild) -> None:
        """Handle ``DeleteChild``."""
        del self.__list[self.__find_ended(message.name).name]

    @handler
    def which_children(self, _: WhichChildren) -> tuple[ChildInfo, ...]:
        """Handle ``WhichChildren``."""
        self.__forget_ended()
        return tuple(self.__line(child) for child in self.__list.values())

    @handler
    def count_children(self, _: CountChildren) -> ChildCounts:
        """Handle ``CountChildren``."""
        self.__forget_ended()
        supervisors = sum(_kind(child) == "supervisor" for child in self.__list.values())
        active = sum(name in self.__cells for name in self.__list)
        return ChildCounts(len(self.__list), active, supervisors, len(self.__list) - supervisors)

    @property
    def __cells(self) -> dict[str, Cell]:
        return self.__cell__.children or {}

    def __check(self, child: Child) -> None:
        if child.significant and self.__strategy.auto_shutdown == "never":
            raise InvalidOption(
                f"{self.ref.address}: child {child.name!r} is significant, but the strategy's auto_shutdown is 'never'"
            )

    async def __start(self, child: Child) -> ActorRef:
        return await start_child(
            self.__cell__,
            child.actor,
            child.args,
            child.name,
            child.place,
            child.restart,
            child.shutdown_s,
            child.significant,
            child.overrides,
        )

    async def __start_or_refuse(self, child: Child) -> ActorRef:
        try:
            return await self.__start(child)
        except (StartFailed, NodeClosed, NameTaken) as error:
            raise ChildRefused("start_failed", str(error)) from error

    def __find(self, name: str) -> Child:
        self.__forget_ended()
        child = self.__list.get(name)
        if child is None:
            known = ", ".join(self.__list) or "none"
            raise ChildRefused("not_found", f"{self.ref.address} has no child {name!r}; its children: {known}")
        return child

    def __find_ended(self, name: str) -> Child:
        child = self.__find(name)
        if name in self.__cells:
            raise ChildRefused("running", f"{self.__cells[name].address} runs: terminate it first")
        return child

    def __forget_ended(self) -> None:
        """Remove temporary children that have ended from the list."""
        ended = [c.name for c in self.__list.values() if c.restart == "temporary" and c.name not in self.__cells]
        for name in ended:
            del self.__list[name]

    def __put_in_order(self) -> None:
        """Put the children back into the order of the list, on which rest_for_one and stopping depend."""
        cells = self.__cells
        ordered = {name: cells[name] for name in self.__list if name in cells}
        ordered.update(cells)
        cells.clear()
        cells.update(ordered)

    def __line(self, child: Child) -> ChildInfo:
        cell = self.__cells.get(child.name)
        if cell is None:
            return ChildInfo(child.name, None, "gone", _kind(child), child.restart)
        return ChildInfo(child.name, cell.ref, cell.phase, _kind(child), child.restart, cell.restarts)


class SupervisorHandle:
    """The messages to a supervisor as methods; it holds the ref and no other state.

    timeout_s: seconds to wait for the supervisor, which may be busy with another child.
    Every method raises ``ChildRefused`` when the supervisor refuses, and ``ActorStopped`` or ``AskTimeout`` as any ask.
    """

    __slots__ = ("ref", "timeout_s")

    def __init__(self, ref: ActorRef, timeout_s: float = MANAGE_TIMEOUT_S) -> None:
        self.ref = ref
        self.timeout_s = timeout_s

    async def start_child(self, child: Child) -> ActorRef:
        """Start a child and add it to the end of the list; returns its ref."""
        return await self.ref.ask(StartChild(child), self.timeout_s)

    async def terminate_child(self, name: str) -> None:
        """Stop a child and keep its place in the list; returns when it has ended."""
        await self.ref.ask(TerminateChild(name), self.timeout_s)

    async def restart_child(self, name: str) -> ActorRef:
        """Start a child that has ended, in its place in the list; returns its new ref."""
        return await self.ref.ask(RestartChild(name), self.timeout_s)

    async def delete_child(self, name: str) -> None:
        """Remove a child that has ended from the list."""
        await self.ref.ask(DeleteChild(name), self.timeout_s)

    async def which_children(self) -> tuple[ChildInfo, ...]:
        """Return the list, in its order."""
        return await self.ref.ask(WhichChildren(), self.timeout_s)

    async def count_children(self) -> ChildCounts:
        """Return the number of children by kind."""
        return await self.ref.ask(CountChildren(), self.timeout_s)


def _unwrap_partial(actor: object) -> object:
    """Return the class or function inside of a ``functools.partial``, or ``actor`` itself."""
    while isinstance(actor, partial):
        actor = cast("partial[object]", actor).func
    return actor


def _kind(child: Child) -> Literal["worker", "supervisor"]:
    actor = _unwrap_partial(child.actor)
    return "supervisor" if isinstance(actor, type) and issubclass(actor, Supervisor) else "worker"
