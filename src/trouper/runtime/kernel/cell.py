"""Cells: the runtime's private side of an actor, and how a message is queued.

``ActorRef.tell`` appends a message to ``mail``; an idle cell is queued at the dispatcher, whose fast path calls a plain
handler directly.  Three files belong to this one: ``invocation.py`` (``step``: asks, ``async def`` handlers, unknown
types), ``signals.py`` (``process_signals``: the system queue) and ``lifecycle.py`` (start, restart and end).

An actor is in one of five phases:

    starting --on_start succeeds--> live --the instance fails, or stops itself--> failed --restart--> starting
    any of these --stop--> stopping --children and on_stop are done--> gone        any phase --kill--> gone

Laws of this file:
1. ``mail`` is None exactly while the cell needs no run: it is idle, or gone.  Otherwise the cell is in the run queue,
   or at work (on the stack or in ``task``), or ``blocked`` until a signal comes.
2. ``slow_path`` is True whenever a plain message must not be handled by the fast path; ``table`` is then empty.
3. At most one handler is at work, reentrant ones not counted: ``task`` is not None while one is waiting.
4. ``received`` counts what was sent here.  Each message ends as handled or as a dead letter, or is still in flight.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeVar

from . import invocation as invoking
from . import lifecycle
from . import signals as signalling
from .address import Address, NodeId
from .ask import Ask, Envelope, Invocation, ToldWithHeaders, content, current_invocation, is_ask
from .errors import ActorFailed, ActorStopped, MailboxFull, NotAdmitted, Unhandled
from .handler_table import HandlerTable
from .lifecycle import SUPERVISION, Resource, Signal, Watcher
from .mailbox import CapacityWaiter, ContainedQueue, Mail, Throttle
from .ref import DONE, Down
from .signals import CLOSED

if TYPE_CHECKING:
    from .bare_actor import BareActor
    from .deadlock import Wait
    from .hooks import Hooks
    from .supervision import ChildSpec, SupervisorState
    from .system import System

R = TypeVar("R")


class Cell:
    """One actor as the runtime sees it.  All of it is private to the runtime.

    A field that is None until it is needed keeps an idle actor small.
    """

    __slots__ = (
        "actor", "args", "asks", "background_tasks", "become_stack", "begun", "blocked", "capacity_waiter", "children",
        "downs", "drain_left", "ended", "group_restart", "handled", "handler_table", "high_water", "hooks",
        "invocation", "mail", "name", "parent", "phase", "queued", "reason", "received",
        "reentrant_invocations", "ref", "resources", "restarts", "signals", "slow_path", "spec", "started_at",
        "supervisor_state", "suspended", "system", "table", "task", "thread", "throttle", "uid", "waited_for",
        "watchers", "watching",
    )  # fmt: skip
    is_local: ClassVar[bool] = True
    """Whether the handlers of the actor run here; False for a cell that stands for an actor of another node."""

    def __init__(
        self, system: System, parent: Cell | None, name: str | None, spec: ChildSpec, args: tuple[object, ...]
    ) -> None:
        self.system, self.parent, self.spec, self.args = system, parent, spec, args
        self.thread = system.thread  # here too, since `tell` asks it each time
        self.uid = system.next_uid()
        self.name = f"${self.uid}" if name is None else name
        self.ref = system.make_ref(self)
        self.handler_table: HandlerTable = spec.handler_table
        self.high_water = self.default_high_water()
        self.actor: BareActor | None = None
        self.table = CLOSED
        self.mail: Mail | None = None
        self.phase = "starting"
        self.slow_path = True
        self.blocked = self.suspended = self.queued = self.begun = False
        self.received = self.handled = 0
        self.started_at = 0.0
        self.throttle: Throttle | None = None
        self.restarts = 0
        self.reason = ""
        self.become_stack: list[HandlerTable] | None = None
        self.signals: list[tuple[int, int, Signal, object]] | None = None
        self.task: asyncio.Task[None] | None = None
        self.invocation: Invocation | None = None
        self.reentrant_invocations: dict[Invocation, None] | None = None
        self.asks: dict[Ask[object], None] | None = None
        self.waited_for: dict[Wait, None] | None = None
        self.children: dict[str, Cell] | None = None
        self.resources: list[Resource] | None = None
        self.background_tasks: set[asyncio.Task[None]] | None = None
        self.group_restart: asyncio.Task[None] | None = None
        self.watchers: dict[Watcher, None] | None = None
        self.watching: dict[Cell, None] | None = None
        self.downs: deque[Down] | None = None
        self.supervisor_state: SupervisorState | None = None
        self.hooks: Hooks | None = system.hooks
        self.drain_left: int | None = None
        self.capacity_waiter: CapacityWaiter | None = None
        self.ended: asyncio.Future[None] | None = None

    answer_inline = invoking.answer_inline
    step = invoking.step
    check_reply = invoking.check_reply
    fail_plain = invoking.fail_plain
    post = signalling.post
    process_signals = signalling.process_signals
    refresh = signalling.refresh
    reschedule = signalling.reschedule
    change_handler_table = signalling.change_handler_table
    request_stop = lifecycle.request_stop
    request_drain = lifecycle.request_drain
    request_kill = lifecycle.request_kill

    @property
    def gone(self) -> bool:
        """Whether the actor has ended for good."""
        return self.phase == "gone"

    @property
    def busy(self) -> bool:
        """Whether a handler or a lifecycle transition waits."""
        return self.task is not None

    @property
    def node_id(self) -> NodeId:
        """The node that the actor lives on; with ``uid`` it identifies the actor."""
        return self.system.node_id

    @property
    def node_hash(self) -> int:
        """``node_id.stable_hash()``, kept since each hash of a ref needs it."""
        return self.system.node_hash

    @property
    def address(self) -> Address:
        parts: list[str] = []
        cell = self
        while cell.parent is not None:
            parts.append(cell.name)
            cell = cell.parent
        return Address(self.system.name, "/".join(reversed(parts)), self.uid)

    def describe(self) -> str:
        """Return one clause on what the actor is doing, for error messages."""
        if self.suspended:
            return "suspended"
        at_work = f", at work on {type(content(self.invocation.item)).__qualname__}" if self.invocation else ""
        return f"{self.phase}, {len(self.mail or ())} queued{at_work}"

    # --- a message arrives -------------------------------------------------------------------------------------------

    def wake(self, item: object) -> Awaitable[None]:
        """Queue the first item of an idle cell; an item for one that is gone becomes a dead letter."""
        if self.phase == "gone":
            self.system.count_gone(1, 0)
            if self.system.outgoing.at_work:
                item = self.pass_on(item)
            self.lose(item, "killed" if self.reason == "killed" else "stopped")
            return DONE
        dispatcher = self.system.dispatcher
        if self.high_water:
            used = dispatcher.idle_queues
            mail: Mail = used.pop() if used else deque[object]()
            self.mail = mail
            mail.append(item)
        else:
            self.mail = self.open_mail()
            self.enqueue_slowly(item)
        self.queued = True
        dispatcher.queue.append(self)
        if not dispatcher.armed:
            dispatcher.arm()
        return DONE

    def accept(self, item: object) -> None:
        """Queue an item that was sent otherwise than by ``tell``: an ask, or a message that is forwarded."""
        self.received += 1
        if self.mail is None:
            self.wake(item)
        elif len(self.mail) >= self.high_water:
            self.enqueue_slowly(item)
        else:
            self.mail.append(item)

    def return_to_front(self, items: Sequence[object]) -> None:
        """Queue items that were counted and taken out before, in their order, ahead of all others."""
        if not items or self.gone:
            return
        mail = self.mail
        if mail is None:
            mail = self.mail = self.open_mail()
            self.system.dispatcher.schedule(self)
        for item in reversed(items):
            mail.appendleft(item)
        if self.drain_left is not None:
            self.drain_left += len(items)

    def requeue(self, item: object) -> None:
        """Requeue an item whose handler never began; a ``Down`` goes back to ``downs``, for ``unwatch`` to remove."""
        if isinstance(item, Down) and not self.gone:
            self.received -= 1
            self.downs = deque((item, *(self.downs or ())))
        else:
            if is_ask(item):
                item.handler = None
            self.return_to_front([item])

    def register_resource(self, resource: Resource) -> None:
        """Have a resource released when this instance of the actor ends."""
        self.must_live()
        if self.resources is None:
            self.resources = []
        self.resources.append(resource)

    def must_live(self) -> None:
        """Raise ``ActorStopped`` when a handler goes on after its actor's end, and would leave something behind."""
        if self.gone:
            raise ActorStopped(f"{self.address} has ended ({self.reason}): its handler must not begin anything more")

    def enqueue_slowly(self, item: object) -> Awaitable[None]:
        """Queue an item that ``tell`` must not queue itself: above the high-water mark, or where more is to be done."""
        if self.system.outgoing.at_work:
            item = self.pass_on(item)
        mail, box = self.mail, self.spec.mailbox
        assert mail is not None  # every caller has just seen or made it
        waits = self.task is not None and self.phase == "live" and not self.suspended
        if waits and self.admits_reentry(type(content(item))):
            self.step(item)
            return DONE
        try:
            if len(mail) < box.limit:
                mail.append(item)
            elif box.when_full == "raise_full" and (not isinstance(item, Envelope) or type(item) is ToldWithHeaders):
                self.received -= 1
                raise MailboxFull(f"{self.address} has {len(mail)} messages queued, its limit: await tell()")
            else:
                lost = box.apply_policy(mail, item)
                if lost is not None:
                    self.lose(lost, "coalesced" if box.when_full == "coalesce" and lost is not item else "mailbox_full")
        except MailboxFull:
            raise
        except Exception as error:  # noqa: BLE001  a user's queue may raise anything; the sender is not to blame
            self.system.reporter.problem(f"the queue of {self.address} failed", error)
            self.lose(item, "failed", error)
        if len(mail) < box.high_water:
            return DONE
        if len(mail) == box.warns_at:
            running = self.system.dispatcher.running or getattr(current_invocation.get(), "cell", None)
            self.system.reporter.overload(self, running, len(mail))
        if self.capacity_waiter is None:
            self.capacity_waiter = CapacityWaiter(self)
        return self.capacity_waiter

    def default_high_water(self) -> int:
        """Return the length from which on ``tell`` calls ``enqueue_slowly``.

        It is 0 for a queue of the user's own, and while every item that is sent passes through ``pass_on``.
        """
        box = self.spec.mailbox
        return box.high_water if box.queue is None and not self.system.outgoing.at_work else 0

    def pass_on(self, item: object) -> object:
        """Return what to queue in place of an item that is sent here: with the headers that follow."""
        return self.system.outgoing.pass_on(self, item)

    def open_to_reentry(self) -> None:
        """While a handler waits, have ``tell`` call ``enqueue_slowly``, which begins reentrant handlers at once."""
        if self.handler_table.reentrant:
            self.high_water = 0

    def open_mail(self) -> Mail:
        """Make a queue, or take an empty one that was used before."""
        box, used = self.spec.mailbox, self.system.dispatcher.idle_queues
        if box.queue is None:
            return used.pop() if used else deque[object]()
        problem, failed = self.system.reporter.problem, f"the queue of {self.address} failed"
        try:
            queue = box.open()
        except Exception as error:  # noqa: BLE001  a user's function may raise anything
            problem(f"{failed} to be made: its messages are handled in the order of arrival", error)
            queue = deque[object]()
        report = f"{failed}: what is queued is handled in the order of arrival"
        return ContainedQueue(queue, lambda error: problem(report, error))

    def lose(self, item: object, reason: str, error: BaseException | None = None, *, asked: bool | None = None) -> None:
        """Make a dead letter of an item, and refuse it if it is an ask.

        asked: whether an asker was told; None finds out from the item.
        """
        message = content(item)
        if isinstance(item, Envelope):
            item.on_lost()
        if is_ask(item) and item.take():
            item.refuse(self.loss(message, reason))
        self.system.dead_letter(item, self.ref, reason, error, asked=is_ask(item) if asked is None else asked)

    def loss(self, message: object, reason: str) -> Exception:
        """Return the error that the asker of a lost message gets."""
        name = type(message).__qualname__
        admission = None if self.hooks is None else self.hooks.admission
        if admission is not None and reason in admission.reasons:
            return NotAdmitted(f"{self.address} refused {name} before handling it: {reason}")
        if isinstance(message, type):
            return Unhandled(f"{self.address} was sent a class: send an instance, {message.__qualname__}(...)")
        if not hasattr(message, "__reply__"):
            return Unhandled(f"{self.address} was sent a {name}, which is no Message: define a class for it")
        if reason == "unhandled":
            handled = self.handler_table.entries
            known = ", ".join(sorted(type_.__qualname__ for type_ in handled)) or "nothing"
            this = type(message)
            if any((each.__module__, each.__qualname__) == (this.__module__, name) for each in handled):
                return Unhandled(
                    f"{self.address} handles another class named {this.__module__}.{name}: {name} was defined again "
                    "since, as by a notebook's cell; define the class of the actor again too, and spawn it anew"
                )
            return Unhandled(f"{self.address} has no handler for {name}; it handles: {known}")
        if reason in ("mailbox_full", "coalesced"):
            return MailboxFull(f"{self.address} was full: {name} was dropped ({reason})")
        if self.phase == "failed":
            return ActorFailed(f"{self.address} failed while it handled {name}")
        return ActorStopped(f"{self.address} ended ({self.reason or reason}) without handling {name}")

    @property
    def outstanding(self) -> int:
        """How many of the messages that were sent here are in flight or put aside: neither handled nor dead letters."""
        active = (self.invocation, *(self.reentrant_invocations or ()))
        retained = sum(resource.retained for resource in self.resources or ())
        return len(self.mail or ()) + sum(not each.finished for each in active if each) + retained

    # --- a handler at work -------------------------------------------------------------------------------------------

    def build(self) -> BareActor:
        """Make an instance; it has its cell before ``__init__`` runs, which may use ``self.ref``."""
        cls, keywords = self.spec.actor, self.spec.keywords or {}
        actor = cls.__new__(cls)
        actor.__cell__ = self
        init: Callable[..., None] = getattr(actor, "__init__")  # noqa: B009  each class has its own arguments
        init(*self.args, **keywords)
        return actor

    def abandon(self, ask: Ask[R]) -> None:
        """Cancel the handler that works on an ask whose asker has given up; a queued ask is lost later."""
        handler = ask.handler or self.invocation
        if handler is not None and handler.item is ask and handler.task is not None:
            handler.cancel("cancelled")

    def admits_reentry(self, type_: type) -> bool:
        """Return whether a message of this type is handled even while another handler is at work."""
        found = self.handler_table.find(type_)
        return found is not None and found.reentrant

    def run_in_background(self, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run a coroutine beside the handlers; it is cancelled when this instance of the actor ends."""
        if self.gone:
            coroutine.close()
        self.must_live()
        if self.background_tasks is None:
            self.background_tasks = set()
        outgoing = self.system.outgoing
        task = self.system.begin_task(coroutine, outgoing.invocation_in(self) if outgoing.follows else None)
        self.background_tasks.add(task)
        task.add_done_callback(self.background_tasks.discard)
        return task

    # --- watching ----------------------------------------------------------------------------------------------------

    def add_watcher(self, watcher: Watcher) -> None:
        """Call ``watcher.on_down`` once, when the actor ends; at once when it has ended already."""
        if self.gone:
            watcher.on_down(Down(self.ref, "no_such_actor"))
            return
        if self.watchers is None:
            self.watchers = {}
        self.watchers[watcher] = None
        if isinstance(watcher, Cell):
            watcher.watching = watcher.watching or {}
            watcher.watching[self] = None

    def remove_watcher(self, watcher: Watcher) -> None:
        """Undo ``add_watcher``, and remove a ``Down`` that the watcher has not handled yet."""
        if self.watchers is not None:
            self.watchers.pop(watcher, None)
            self.watchers = self.watchers or None  # an empty dict would outweigh an idle actor
        if isinstance(watcher, Cell):
            if watcher.watching is not None and not watcher.gone:
                watcher.watching.pop(self, None)
            if watcher.downs:
                watcher.downs = deque(down for down in watcher.downs if down.ref is not self.ref)

    def on_down(self, down: Down) -> None:
        """Queue a ``Down`` ahead of all messages; it waits while the actor restarts or is suspended."""
        if self.gone:
            return
        if self.watching is not None:
            self.watching.pop(down.ref._cell, None)  # noqa: SLF001  a ref is the kernel's own
        if self.downs is None:
            self.downs = deque()
        self.downs.append(down)
        self.post(SUPERVISION, signalling.refresh)

    def end_future(self) -> asyncio.Future[None]:
        """Return a future that is done once the actor has ended and its tasks have unwound."""
        if self.ended is None:
            self.ended = self.system.loop.create_future()
            if self.gone:
                self.ended.set_result(None)
        return self.ended
