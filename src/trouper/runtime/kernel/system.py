"""The system: the actors of one loop, their root, and what all of them share.

``trouper.Node`` wraps it and is what users see.  The system spawns, and counts messages and dead letters; it has no
network and no files, and reads no clock but the loop's.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .address import NodeId, checked_name
from .ask import Ask, current_invocation
from .bare_actor import BareActor
from .cell import Cell
from .clock import Deadlines
from .confined import hold_lock
from .dispatcher import Dispatcher
from .errors import InvalidOption, NameTaken, NodeClosed, WrongThread
from .hooks import Outgoing
from .lifecycle import start
from .ref import ActorRef
from .restart import instance_ended
from .supervision import ChildSpec, OneForOne
from .thread_inbox import ThreadInbox, thread_name

if TYPE_CHECKING:
    from .ask import Invocation
    from .executor import Executors
    from .hooks import Hooks
    from .placement import Placement

T = TypeVar("T")
_IN_LOOP = "have that thread call it: asyncio.run_coroutine_threadsafe(coroutine, loop), or loop.call_soon_threadsafe"


class Reporter(Protocol):
    """Is told of failures; the kernel itself writes no log."""

    def problem(self, text: str, error: BaseException | None = None) -> None:
        """Report a failure that the runtime has handled."""

    def overload(self, cell: Cell, sender: Cell | None, queued: int) -> None:
        """Report that a tenth of its mailbox's limit waits for an actor; ``sender`` is None for one outside of it."""

    def crash(self, cell: Cell, error: BaseException, message: object) -> None:
        """Report that an actor failed while it handled ``message``; None when no handler was at work."""

    def letter(self, item: object, target: ActorRef, reason: str, error: BaseException | None, *, asked: bool) -> None:
        """Report a dead letter: a mailbox item; ``asked``: its asker was told."""

    def brief(self, error: BaseException) -> str:
        """Return one line for a failure, bounded in size."""
        ...

    def trace(self, error: BaseException) -> str:
        """The traceback of a failure, bounded in size."""
        ...


class Guardian(BareActor):
    """``/system`` and ``/user``: supervisors without handlers."""


class Root(Guardian):
    """The parent of the guardians; it restarts neither, since their actors would be lost."""

    supervision = OneForOne(intensity=0)


class System:
    """The runtime of one loop.

    name, generation: of the node.
    dispatcher: runs the actors; a simulation gives one of its own.
    seed: of the only source of random numbers in the kernel; None is drawn.
    ask_timeout_s: seconds; the time-out of an ask that names none.
    guardian: the class of ``/user``, with its strategy.
    make_ref, make_ask: the classes of its refs and asks; a subclass can check or copy each message and reply.
    reporter: is told of failures.
    escalated: called with the error when a failure has reached the root.
    """

    def __init__(
        self,
        name: str,
        dispatcher: Dispatcher,
        *,
        generation: int = 0,
        seed: int | None = None,
        ask_timeout_s: float = 5.0,
        guardian: type[BareActor] = Guardian,
        make_ref: Callable[[Cell], ActorRef] = ActorRef,
        make_ask: type[Ask[Any]] = Ask,  # Any: of whatever reply
        reporter: Reporter,
        escalated: Callable[[BaseException], None],
    ) -> None:
        self.name = checked_name(name)
        self.node_id = NodeId(name, generation)
        self.node_hash = self.node_id.stable_hash()
        self.loop = asyncio.get_running_loop()
        self.thread = hold_lock()
        """A lock that the thread that runs the loop holds for good."""
        self.dispatcher = dispatcher
        self.deadlines = Deadlines(self.loop)
        self.ask_timeout_s = ask_timeout_s
        self.make_ref, self.make_ask = make_ref, make_ask
        self.random: Callable[[], float] = random.Random(seed).random
        self.next_uid: Callable[[], int] = itertools.count(1).__next__
        self.reporter = reporter
        self.thread_inbox = ThreadInbox(name, self.loop, dispatcher.counter, reporter.problem)
        """What other threads hand over to the loop's."""
        self.instance_ended, self.escalated = instance_ended, escalated
        self.host: object = None
        """The node that this system belongs to, for ``Actor.node``."""
        self.placement: Callable[[], Placement] | None = None
        """Returns what starts actors on other nodes; None where nothing does."""
        self.executors: Executors | None = None
        """Where the handlers of actors with another executor than the loop run; None where nothing else is."""
        self.on_lifecycle: tuple[Callable[[Cell, str], None], ...] = ()
        """Called with the cell and ``started``, ``restarted`` or ``ended``."""
        self.late_replies = 0
        self.dead_letters: Counter[str] = Counter()
        self.closing = False
        self.hooks: Hooks | None = None
        """The hooks that a new actor has from its start."""
        self.outgoing = Outgoing(self)
        self.tasks: set[asyncio.Task[None]] = set()
        self.received_by_gone = self.handled_by_gone = 0
        self.root = Cell(self, None, "", ChildSpec(Root, shutdown_s=None), ())
        start(self.root, None)
        self.system = self.spawn(self.root, ChildSpec(Guardian, shutdown_s=None), (), "system")
        self.user = self.spawn(self.root, ChildSpec(guardian, shutdown_s=None), (), "user")

    def spawn(self, parent: Cell, spec: ChildSpec, args: tuple[object, ...], name: str | None) -> Cell:
        """Start a child; a failure of its start is left to the parent's supervision."""
        cell = self.make_child(parent, spec, args, name)
        start(cell, None)
        return cell

    def make_child(
        self, parent: Cell, spec: ChildSpec, args: tuple[object, ...], name: str | None, kind: type[Cell] = Cell
    ) -> Cell:
        """Make a cell, to be started by the caller.

        Raises ``NodeClosed``, ``InvalidName``, ``NameTaken``, ``InvalidOption`` for an executor that is not known, and
        ``WrongThread`` in a thread other than the loop's.
        """
        if not self.thread._is_owned():  # noqa: SLF001  see `HeldLock`
            self.check_thread("spawn")
        if self.closing or parent.phase in ("stopping", "gone"):
            state = "closing" if self.closing else parent.phase
            raise NodeClosed(f"{parent.address} takes no new actors: it is {state}")
        if parent.children is None:
            parent.children = {}
        if name is not None and checked_name(name) in parent.children:
            raise NameTaken(f"{parent.address} has a child {name!r}: choose another name, or stop that one first")
        if spec.off_loop:
            if self.executors is None:
                raise InvalidOption(f"executor={spec.executor!r}: node {self.name} has no executors")
            self.executors.check(spec.executor)
        cell = kind(self, parent, name, spec, args)
        parent.children[cell.name] = cell
        return cell

    def is_loop_thread(self) -> bool:
        """Return whether the current thread is the one that runs the loop."""
        if self.thread._is_owned():  # noqa: SLF001  see `HeldLock`
            return True
        if asyncio._get_running_loop() is not self.loop:  # noqa: SLF001  the public function raises where there is none
            return False
        self.thread = hold_lock()  # the loop is run by another thread than before
        return True

    def check_thread(self, call: str, target: Cell | None = None, *, instead: str = _IN_LOOP) -> None:
        """Raise ``WrongThread`` in any thread but the loop's.

        call, target: what was called, for the error.  instead: what to call in other threads.
        """
        if not self.is_loop_thread():
            of = f" of {target.address}" if target is not None else ""
            raise WrongThread(
                f"{call}{of} in thread {thread_name()}: node {self.name} belongs to the thread that runs its loop; "
                f"{instead}"
            )

    def enter(self, function: Callable[..., T], *args: object) -> T:
        """Call a function in the context of handlers."""
        dispatcher = self.dispatcher
        if dispatcher.entered:
            return function(*args)
        dispatcher.entered = True
        try:
            return dispatcher.context.run(function, *args)
        finally:
            dispatcher.entered = False

    def begin_task(
        self, coroutine: Coroutine[object, object, None], invocation: Invocation | None = None
    ) -> asyncio.Task[None]:
        """Start a task in a context of its own.  invocation: the handler that waits for it; None when none does."""
        context = self.dispatcher.context.copy()
        if invocation is not None:
            context.run(current_invocation.set, invocation)
        return asyncio.Task(
            coroutine, loop=self.loop, context=context
        )  # a task factory may start it before this returns

    def background(
        self, coroutine: Coroutine[object, object, None], invocation: Invocation | None = None
    ) -> asyncio.Task[None]:
        """Start a task that belongs to no actor's instance; it is cancelled when the node ends.

        invocation: whose headers it has; None for none.
        """
        task = self.begin_task(coroutine, invocation)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def dead_letter(
        self, item: object, target: ActorRef, reason: str, error: BaseException | None, *, asked: bool
    ) -> None:
        """Count and report a mailbox item that no handler took."""
        self.dead_letters[reason] += 1
        self.reporter.letter(item, target, reason, error, asked=asked)

    def count_gone(self, received: int, handled: int) -> None:
        """Add the counters of a cell that has ended, or of a message to one."""
        self.received_by_gone += received
        self.handled_by_gone += handled

    def cells(self) -> Iterator[Cell]:
        """Iterate over all living cells, parents before children."""
        front = [self.root]
        while front:
            cell = front.pop()
            yield cell
            front.extend((cell.children or {}).values())
