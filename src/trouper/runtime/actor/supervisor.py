"""``Supervisor``: an actor whose whole work is to start, restart and stop others in order.

It is the static tree of Erlang/OTP's ``supervisor`` (source of the rules: its module documentation, "supervisor" in
stdlib).  What becomes of a child that fails is not decided here but by the kernel's pure ``SupervisorState``, as for the
children of any actor; a supervisor adds the list of what there should be, and the order.

Laws of this file:
1. Children start one after the other in the order of the list, and stop in the opposite order.
2. If one of them cannot start, those started before it are stopped, the newest first, and the supervisor's own start
   fails: a tree stands whole or not at all.
3. A child that was terminated keeps its place in the list until it is deleted, unless it is temporary.
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
from ..kernel.message import Message
from ..kernel.ref import ActorRef
from ..kernel.supervision import Restart, Strategy, SupervisorState
from .actor import Actor
from .handlers import handler
from .spawner import start_child

if TYPE_CHECKING:
    from ..kernel.placement import Place

Ts = TypeVarTuple("Ts")
M = TypeVar("M", bound="Message[object]")
A = TypeVar("A", bound=BareActor)
Refusal = Literal["not_found", "running", "already_running", "already_present", "not_allowed", "start_failed"]

WORKER_SHUTDOWN_S = 5.0
"""Seconds that a child which is no supervisor may take to stop, unless its specification says otherwise."""
MANAGE_TIMEOUT_S = 60.0
"""Seconds that a handle waits for its supervisor: starting or stopping a child may take its time."""


class Child:
    """How a supervisor starts one child and keeps it: a specification, not the child itself.

    actor: an ``Actor`` class (keywords by ``functools.partial``) or a function, as for ``spawn``; args: its arguments.
    name: unique under its supervisor; None is the class's or function's own name in lower case.
    restart: ``permanent`` (the default here, as in OTP) restarts it whenever it ends by itself, ``transient`` when it
        fails, ``temporary`` never; a temporary child leaves the list when it has ended.
    shutdown_s: seconds that it may take to stop before it is killed; None waits for ever; ``usual`` is None for a
        supervisor, whose children have their own, and ``WORKER_SHUTDOWN_S`` for everyone else.
    significant: its end may end the supervisor, see ``Strategy.auto_shutdown``.
    place: the node it runs on, as for ``spawn``; None is the supervisor's own.
    Raises ``InvalidName`` and ``InvalidOption``.
    """

    __slots__ = ("actor", "args", "name", "place", "restart", "shutdown_s", "significant")

    @overload
    def __init__(
        self,
        actor: Callable[[*Ts], BareActor],
        *args: *Ts,
        name: str | None = None,
        restart: Restart = "permanent",
        shutdown_s: float | Literal["usual"] | None = "usual",
        significant: bool = False,
        place: Place | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        actor: Callable[[M], object],
        *,
        name: str | None = None,
        restart: Restart = "permanent",
        shutdown_s: float | Literal["usual"] | None = "usual",
        significant: bool = False,
        place: Place | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        actor: Callable[[A, M], object],
        *,
        name: str | None = None,
        restart: Restart = "permanent",
        shutdown_s: float | Literal["usual"] | None = "usual",
        significant: bool = False,
        place: Place | None = None,
    ) -> None: ...
    def __init__(
        self,
        actor: Callable[..., object],
        *args: object,
        name: str | None = None,
        restart: Restart = "permanent",
        shutdown_s: float | Literal["usual"] | None = "usual",
        significant: bool = False,
        place: Place | None = None,
    ) -> None:
        """See the class."""
        self.place = place
        self.actor = actor
        self.args: tuple[object, ...] = args
        made_of = _unwrap_partial(actor)
        self.name = checked_name(str(getattr(made_of, "__name__", "child")).lower() if name is None else name)
        self.restart: Restart = restart
        self.significant = significant
        if shutdown_s == "usual":
            supervises = isinstance(made_of, type) and issubclass(made_of, Supervisor)
            self.shutdown_s: float | None = None if supervises else WORKER_SHUTDOWN_S
        else:
            self.shutdown_s = shutdown_s
        if significant and restart == "permanent":
            raise InvalidOption(f"child {self.name}: a permanent child never ends by itself, so it is not significant")

    def __repr__(self) -> str:
        return (
            f"<Child {self.name}: {getattr(_unwrap_partial(self.actor), '__qualname__', self.actor)}, {self.restart}>"
        )


class ChildRefused(Reject):
    """A supervisor cannot do what was asked of it; it goes on as before.

    reason: ``not_found``; ``running``, it has to be terminated first; ``already_running`` and ``already_present``, the
    name is in the list, with or without a living child; ``not_allowed``; ``start_failed``, with its ``__cause__``.
    """

    def __init__(self, reason: Refusal, text: str) -> None:
        super().__init__(text)
        self.reason: Refusal = reason


class ChildInfo(msgspec.Struct, frozen=True):
    """One line of a supervisor's list.

    ref: None when there is no living child of that name.  phase: ``starting``, ``live``, ``failed`` (it will be
    restarted), ``stopping``, or ``gone``.  restarts: of this child since it was started by the supervisor.
    """

    name: str
    ref: ActorRef | None
    phase: str
    kind: Literal["worker", "supervisor"]
    restart: Restart
    restarts: int = 0


class ChildCounts(msgspec.Struct, frozen=True):
    """specs: lines in the list; active: living children; supervisors, workers: specs of either kind."""

    specs: int
    active: int
    supervisors: int
    workers: int


class StartChild(Message[ActorRef], local=True):
    """Add a child to the end of the list and start it; the reply is its ref.

    Refused when the name is in the list, and when the child cannot start, which leaves the list as it was.
    """

    child: Child


class TerminateChild(Message[None]):
    """Stop a child and keep its place in the list; the reply comes when it has ended.  It is not restarted."""

    name: str


class RestartChild(Message[ActorRef]):
    """Start a child again that was terminated or has ended, in its old place; the reply is its new ref."""

    name: str


class DeleteChild(Message[None]):
    """Take a child that does not run out of the list."""

    name: str


class WhichChildren(Message[tuple[ChildInfo, ...]]):
    """The list, oldest first."""


class CountChildren(Message[ChildCounts]):
    """How many there are."""


class Supervisor(Actor):
    """Keeps a list of children alive.  Use it through ``node.supervise``, as a ``Child``, or subclass it:

        class Bank(Supervisor):
            supervision = OneForAll(intensity=5, period_s=60)
            children = (Child(Vault), Child(Account, "ada", name="ada"))

    children: the list to begin with; none given takes the class attribute.  strategy: None takes the class attribute
    ``supervision``.  A supervisor that is restarted begins again with that list: what was added later is gone.
    It handles ``StartChild``, ``TerminateChild``, ``RestartChild``, ``DeleteChild``, ``WhichChildren`` and
    ``CountChildren``; ``SupervisorHandle`` says the same with methods.
    """

    children: ClassVar[Sequence[Child]] = ()

    def __init__(self, *children: Child, strategy: Strategy | None = None) -> None:
        self.__strategy = strategy or self.supervision
        self.__list: dict[str, Child] = {}
        for child in children or self.children:
            self.__check(child)
            if child.name in self.__list:
                raise InvalidOption(f"{self.ref.address}: two children are called {child.name!r}: name one of them")
            self.__list[child.name] = child

    async def on_start(self) -> None:
        """Start the list.  A subclass that needs more calls this one, usually first."""
        self.__cell__.supervisor_state = SupervisorState(self.__strategy)
        for child in self.__list.values():
            await self.__start(child)

    @handler
    async def start_child(self, message: StartChild) -> ActorRef:
        """See ``StartChild``."""
        child = message.child
        self.__forget_ended()
        if child.name in self.__list or child.name in self.__cells:
            alive = child.name in self.__cells
            raise ChildRefused(
                "already_running" if alive else "already_present",
                f"{self.ref.address} has a child {child.name!r} {'that runs' if alive else 'that has ended'} already",
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
        """See ``TerminateChild``."""
        self.__find(message.name)
        cell = self.__cells.get(message.name)
        if cell is not None:
            await cell.ref.stop()
        self.__forget_ended()

    @handler
    async def restart_child(self, message: RestartChild) -> ActorRef:
        """See ``RestartChild``."""
        ref = await self.__start_or_refuse(self.__find_ended(message.name))
        self.__put_in_order()
        return ref

    @handler
    def delete_child(self, message: DeleteChild) -> None:
        """See ``DeleteChild``."""
        del self.__list[self.__find_ended(message.name).name]

    @handler
    def which_children(self, _: WhichChildren) -> tuple[ChildInfo, ...]:
        """See ``WhichChildren``."""
        self.__forget_ended()
        return tuple(self.__line(child) for child in self.__list.values())

    @handler
    def count_children(self, _: CountChildren) -> ChildCounts:
        """See ``CountChildren``."""
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
                f"{self.ref.address}: child {child.name!r} is significant, but auto_shutdown is 'never': change one"
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
        """Take temporary children that have ended out of the list, as the rules want it."""
        ended = [c.name for c in self.__list.values() if c.restart == "temporary" and c.name not in self.__cells]
        for name in ended:
            del self.__list[name]

    def __put_in_order(self) -> None:
        """Give the children the order of the list again: it is the order of rest_for_one, and of stopping."""
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
    """The messages to a supervisor as methods.  It holds nothing but the ref, and may be made anew at any time.

    timeout_s: seconds to wait for the supervisor, which may be busy with another child.
    Every method raises ``ChildRefused`` for what cannot be done, ``ActorStopped`` and ``AskTimeout`` as any ask.
    """

    __slots__ = ("ref", "timeout_s")

    def __init__(self, ref: ActorRef, timeout_s: float = MANAGE_TIMEOUT_S) -> None:
        self.ref = ref
        self.timeout_s = timeout_s

    async def start_child(self, child: Child) -> ActorRef:
        """See ``StartChild``."""
        return await self.ref.ask(StartChild(child), self.timeout_s)

    async def terminate_child(self, name: str) -> None:
        """See ``TerminateChild``."""
        await self.ref.ask(TerminateChild(name), self.timeout_s)

    async def restart_child(self, name: str) -> ActorRef:
        """See ``RestartChild``."""
        return await self.ref.ask(RestartChild(name), self.timeout_s)

    async def delete_child(self, name: str) -> None:
        """See ``DeleteChild``."""
        await self.ref.ask(DeleteChild(name), self.timeout_s)

    async def which_children(self) -> tuple[ChildInfo, ...]:
        """See ``WhichChildren``."""
        return await self.ref.ask(WhichChildren(), self.timeout_s)

    async def count_children(self) -> ChildCounts:
        """See ``CountChildren``."""
        return await self.ref.ask(CountChildren(), self.timeout_s)


def _unwrap_partial(actor: object) -> object:
    """Return what a ``partial`` is of."""
    while isinstance(actor, partial):
        actor = cast("partial[object]", actor).func
    return actor


def _kind(child: Child) -> Literal["worker", "supervisor"]:
    actor = _unwrap_partial(child.actor)
    return "supervisor" if isinstance(actor, type) and issubclass(actor, Supervisor) else "worker"
