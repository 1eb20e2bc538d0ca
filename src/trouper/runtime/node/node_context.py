"""``NodeContext``: what an extension can do on its node, and what ends with the extension."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakSet

import msgspec

from ..actor.spawning import SpawnMixin
from ..gossip.versioned_table import TableLimits
from ..kernel.ask import current_invocation
from ..kernel.clock import Alarm
from ..kernel.errors import AskTimeout, CallerError, InvalidOption, NodeUnreachable
from ..kernel.headers import NO_HEADERS, Headers, checked_headers
from ..kernel.hooks import headers_of, request_with_headers
from ..kernel.logs import get_log
from ..kernel.message import Message
from ..session.identity import OWN_PROCESS
from .extension_peers import PeerInfo, Peers, peer_info

if TYPE_CHECKING:
    from ..gossip.replicated_table import ReplicatedTable
    from ..kernel.address import NodeId
    from ..kernel.cell import Cell
    from ..kernel.journal import Journal
    from ..kernel.ref import ActorRef, Down
    from ..net.peer import Peer, Stream
    from ..net.request_handlers import RequestHandlers
    from ..observe.events import Events
    from ..observe.instruments import Instrument
    from ..session.identity import Allow
    from .extension import AnyExtension
    from .extension_run import ExtensionRun
    from .node_base import NodeBase
    from .shutdown import Shutdown, Work

M = TypeVar("M", bound="Message[Any]")  # Any: a message with whatever reply
R = TypeVar("R")
Row = TypeVar("Row", bound=msgspec.Struct)
E = TypeVar("E", bound="AnyExtension")


class ExtensionClock:
    """The time of the node, as ``ctx.clock``; it is virtual in a simulation."""

    def __init__(self, context: NodeContext) -> None:
        self._context = context

    def now(self) -> float:
        """Return the loop's time, in seconds; its zero means nothing."""
        return self._context.loop.time()

    def alarm(self, callback: Callable[[], object]) -> Alarm:
        """Make an alarm, for which ``alarm.set(at)`` sets when ``callback`` is called; it is off after the extension.

        callback: an error in it fails the extension.
        """
        alarm = Alarm(self._context.loop, self._context.guard(callback, "its alarm"))
        self._context.alarms.add(alarm)
        return alarm


class NodeContext(SpawnMixin):
    """What an extension can do on its node; given to ``Extension.start``.

    All that is made by it ends with the extension: actors, served requests, subscriptions, alarms, tasks.

    node: the node.  peers: the nodes that it is connected to.  clock: the loop's time, and alarms.  random: a source of
    random numbers that follows the node's seed.  log: a logger of the extension's own, ``trouper.NAME``.
    """

    def __init__(self, node: NodeBase, run: ExtensionRun, cell: Cell, handlers: RequestHandlers) -> None:
        self.node, self.name = node, run.extension.name
        self._run, self._cell, self._handlers = run, cell, handlers
        self.loop = node.system.loop
        self.network = node.network if node.has_network else None
        """The node's network; None on a node that does not listen."""
        self.peers, self.clock = Peers(self), ExtensionClock(self)
        self.random = random.Random(node.system.random())
        self.log = get_log(f"trouper.{self.name}")
        self.served: dict[type, Allow] = {}
        self._own_handlers: dict[type, Callable[[Any, PeerInfo], object]] = {}  # Any: the type of its key
        self._endings: dict[Callable[[], None], None] = {}
        self.alarms = WeakSet[Alarm]()
        """Those that the loop or the extension holds."""
        self._tasks: set[asyncio.Task[None]] = set()

    def __spawn_parent__(self) -> Cell:
        return self._cell

    # --- the node ----------------------------------------------------------------------------------------------------

    @property
    def node_id(self) -> NodeId:
        """The name and the generation of this node."""
        return self.node.system.node_id if self.network is None else self.network.node_id

    @property
    def parent_name(self) -> str:
        """The name of the node that started this one as its worker; empty for a node that no other one started."""
        return self.node.parent_name

    @property
    def endpoint(self) -> str:
        """Where peers reach this node; empty on a node that does not listen."""
        return "" if self.network is None else self.network.endpoint

    def is_own_endpoint(self, endpoint: str) -> bool:
        """Whether this is an endpoint of this node, as it was configured or as peers reach it."""
        return self.network is not None and self.network.is_own(endpoint)

    @property
    def placed_actors(self) -> Mapping[str, int]:
        """How many running actors this node has placed with ``spawn(place=)``, by the node where they run."""
        return {} if self.network is None else self.network.placed_actors

    @property
    def journal(self) -> Journal:
        """The node's journal; raises ``InvalidOption`` where a default would lose events, as ``node.journal``."""
        return self.node.journal

    @property
    def events(self) -> Events:
        """The event stream of the node."""
        return self.node.events

    @property
    def shutdown(self) -> Shutdown:
        """The phases of the node's shutdown; ``stop`` of an extension is called in the phase ``stop_extensions``."""
        return self.node.shutdown

    def at_shutdown(self, phase: str, name: str, work: Work) -> None:
        """Call a coroutine function in a phase of the node's shutdown that begins while the extension runs.

        phase, name, work, and what is raised: as for ``Shutdown.add``.
        """
        self.shutdown.add(phase, name, work)
        self.until_end(partial(self.shutdown.remove, phase, name))

    def report(self, problem: str, error: BaseException | None = None) -> None:
        """Log a problem that the extension has dealt with, with the traceback of ``error`` if there is one."""
        self.node.reports.problem(problem, error)

    def extension(self, kind: type[E]) -> E:
        """Return another extension of the node, such as one that this one requires; raises ``InvalidOption``."""
        return self.node[kind]

    @property
    def is_open(self) -> bool:
        """Whether the extension starts or runs; afterwards nothing more can be made by this context."""
        return self._run.context is self

    # --- requests ----------------------------------------------------------------------------------------------------

    def serve(self, type_: type[M], handler: Callable[[M, PeerInfo], object], *, allow: Allow = "member") -> None:
        """Handle the messages of a type that other nodes send to this one, until the extension ends.

        handler: plain or ``async def``; called with the message and the node that has sent it.  What it returns is the
            reply to an ask.  Its error goes to the asker, and is reported where none asked; it does not fail the
            extension, which a peer could bring down otherwise.  How many requests are handled at a time is one of the
            ``PeerLimits``.
        allow: the role that a peer needs.
        Raises ``CallerError`` when the type is served already, by this extension or another one, and ``InvalidOption``
        for a type that is no message and for an unknown role.
        """

        def handle(message: M, peer: Peer) -> object:
            return self._handle(handler, message, peer_info(peer))

        self._handlers.serve(type_, handle, owner=self.name, allow=allow)
        self.served[type_] = allow
        self._own_handlers[type_] = handler

    def serve_own(self, message: Message[Any]) -> object:  # Any: a message with whatever reply
        """Handle a message that this node sends to itself; returns the reply, or a coroutine that does."""
        return self._handle(self._own_handlers[type(message)], message, PeerInfo(self.node_id, OWN_PROCESS))

    def _handle(self, handler: Callable[[M, PeerInfo], object], message: M, peer: PeerInfo) -> object:
        reply = handler(message, peer)
        return self._tracked(cast("Coroutine[object, object, object]", reply)) if inspect.iscoroutine(reply) else reply

    async def _tracked(self, handling: Coroutine[object, object, object]) -> object:
        """Await a handler, and cancel it when the extension ends."""
        task = cast("asyncio.Task[None] | None", asyncio.current_task())
        assert task is not None, "a coroutine is awaited in a task"
        self._tasks.add(task)
        try:
            return await handling
        finally:
            self._tasks.discard(task)

    @property
    def headers(self) -> Headers:
        """The headers of the request that a handler of ``serve`` handles, not to be changed; empty outside of one."""
        invocation, root = current_invocation.get(), self.node.system.root
        return NO_HEADERS if invocation is None or invocation.cell is not root else headers_of(invocation.item)

    # --- sending -----------------------------------------------------------------------------------------------------

    def send(
        self,
        node_id: NodeId,
        message: Message[Any],  # Any: a message with whatever reply
        *,
        reliable: bool = True,
        stream: Stream = "control",
        expires_s: float | None = None,
    ) -> None:
        """Send a message to a node, for the extension there that serves its type; a node can send to itself.

        reliable: False sends the message as a datagram: it waits for nothing that was sent before, however much that
            is, may be lost, come twice or overtake others, and has no refs, no large buffers and no ``stream``.
        stream: ``control`` goes ahead of all that waits for the node, ``normal`` in order with messages to its actors,
            ``bulk`` when nothing else waits.
        expires_s: seconds that the message waits for a session with the node; None is 10 s, or 2 s if not reliable.
        Raises ``NodeUnreachable`` when the node is not connected and its address is not known, ``WireError`` for a
        message that cannot travel, and ``MailboxFull`` when too much waits for the node.
        """
        if node_id == self.node_id:
            self.loop.call_soon(self._send_to_self, message)
        elif self.network is None:
            raise NodeUnreachable(f"node {self.node_id.name} has no network: it cannot send to node {node_id.name}")
        else:
            self.network.send_to(node_id, message, reliable=reliable, stream=stream, expires_s=expires_s)

    def send_at(
        self,
        endpoint: str,
        message: Message[Any],  # Any: as above
        *,
        reliable: bool = True,
        stream: Stream = "control",
        expires_s: float | None = None,
    ) -> None:
        """Send a message to the node that listens at an endpoint, whichever it is, and dial it if need be.

        reliable, stream, expires_s, and what is raised: as for ``send``.
        """
        if self.network is None:
            raise NodeUnreachable(f"node {self.node_id.name} has no network: it cannot send to {endpoint}")
        self.network.connector.send(endpoint, message, reliable=reliable, stream=stream, expires_s=expires_s)

    async def ask(
        self,
        node_id: NodeId,
        message: Message[R],
        timeout_s: float | None = None,
        *,
        headers: Headers | None = None,
    ) -> R:
        """Send a message to a node as ``send`` does, and return the reply.

        timeout_s: seconds; None is the ``ask_timeout_s`` of the node.
        headers: which the handler reads as ``ctx.headers``, as those of ``ActorRef.with_headers``; None for none.
        Raises ``NodeUnreachable``, ``AskTimeout``, ``Unhandled`` where no extension serves the type, and what the
        handler raises.
        """
        if node_id == self.node_id:
            return await self._ask_self(
                message, self.node.system.ask_timeout_s if timeout_s is None else timeout_s, headers
            )
        peer = None if self.network is None else self.network.find_generation(node_id)
        if peer is None:
            raise NodeUnreachable(
                f"node {self.node_id.name} is not connected to node {node_id.name} of generation {node_id.generation}, "
                "and knows no address of it: wait for PeerUp"
            )
        ref = peer.control_ref if headers is None else peer.control_ref.with_headers(headers)
        return await ref.ask(message, timeout_s)

    async def _ask_self(self, message: Message[R], limit_s: float, headers: Headers | None) -> R:
        what = f"ask of extension {self.name} on node {self.node_id.name}"
        if not limit_s >= 0:
            raise InvalidOption(f"{what} with timeout_s={limit_s}: it must be 0 or more")
        limit = asyncio.timeout(limit_s)
        try:
            async with limit:
                context, own = contextvars.copy_context(), None
                if headers is not None:
                    own = request_with_headers(self.node.system, message, checked_headers(headers))
                context.run(current_invocation.set, own)
                reply = context.run(self._serve_own, message)
                if inspect.iscoroutine(reply):
                    reply = await asyncio.create_task(cast("Coroutine[object, object, object]", reply), context=context)
                return cast("R", reply)
        except TimeoutError:
            if not limit.expired():
                raise  # the handler's own
            raise AskTimeout(
                f"node {self.node_id.name} did not answer {type(message).__qualname__} within {limit_s:g} s; "
                "its handler may have run"
            ) from None

    def _send_to_self(self, message: Message[Any]) -> None:  # Any: a message with whatever reply
        try:
            reply = self._serve_own(message)
            if inspect.iscoroutine(reply):
                self.run_in_background(self._reported(message, reply))
        except Exception as error:  # noqa: BLE001  as of a message of a peer
            self._report(message, error)

    async def _reported(self, message: Message[Any], handling: Awaitable[object]) -> None:  # Any: as above
        try:
            await handling
        except Exception as error:  # noqa: BLE001  as of a message of a peer
            self._report(message, error)

    def _report(self, message: Message[Any], error: Exception) -> None:  # Any: as above
        self.node.reports.problem(f"{type(message).__qualname__} that node {self.name} sent to itself failed", error)

    def _serve_own(self, message: Message[Any]) -> object:  # Any: as above
        return self._run.manager.serve_own(message)

    # --- tables ------------------------------------------------------------------------------------------------------

    def table(self, name: str, row_type: type[Row], limits: TableLimits | None = None) -> ReplicatedTable[str, Row]:
        """Return a replicated table: each node writes rows of its own, and reads the rows of all.

        In a cluster the members have copies, else the connected nodes; on a node without a network the table has the
        rows of this node alone.  The rows of a node end with it, or with the extension there.

        name: of the table, the same on all nodes; begin it with that of the extension.  row_type: a ``msgspec.Struct``
        with ``frozen=True``.  limits: the same on all nodes; None is ``TableLimits()``.
        Raises ``InvalidOption`` for another type of rows and for a name that is none, and ``CallerError`` for a name
        that another table of this node has.
        """
        if not getattr(getattr(row_type, "__struct_config__", None), "frozen", False):
            raise InvalidOption(f"{self.name}: rows of {row_type!r:.80}: use a msgspec.Struct with frozen=True")
        tables = self.node.tables
        optional: Any = row_type | None  # Any: a type that is built when the program runs
        table: ReplicatedTable[str, Row] = tables.add(name, tuple[str, optional], limits or TableLimits())
        table.guard = lambda subscriber: self.guard(subscriber, f"a subscriber of its table {name}")
        self.until_end(partial(tables.remove, name))
        return table

    # --- what ends with the extension --------------------------------------------------------------------------------

    def run_in_background(self, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run a coroutine as a task, which is cancelled when the extension ends; an error in it fails the extension.

        It has a second to end; after that the extension is started again, or the node goes on with its shutdown.
        """
        task = self.node.system.background(self._run_guarded(coroutine))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: coroutine.close())  # a task cancelled before its first step never awaits it
        return task

    async def _run_guarded(self, coroutine: Coroutine[object, object, None]) -> None:
        try:
            await coroutine
        except Exception as error:  # noqa: BLE001  the extension fails by it
            if self.is_open:
                self._run.fail(error, "its background task")
            else:
                self.report(f"a background task of extension {self.name} failed after the extension had ended", error)

    def watch(self, ref: ActorRef, handle: Callable[[Down], None]) -> Callable[[], None]:
        """Call a function when an actor of this node ends, before any actor handles its ``Down``.

        handle and the result: as those of ``peers.subscribe``.
        Raises ``CallerError`` for an actor of another node, and for one that has ended.
        """
        cell = ref._cell  # noqa: SLF001  a ref is the runtime's own
        if cell.system is not self.node.system or ref.address.node != self.node_id.name:
            raise CallerError(
                f"{ref.address} is not an actor of node {self.node_id.name}: call this on the node where it runs"
            )
        if cell.gone:
            raise CallerError(f"{ref.address} has ended: this needs an actor that runs")
        watcher = _Watcher(self.guard(handle, f"its watch of {ref.address}"), self._endings)
        cell.add_watcher(watcher)
        watcher.ending = partial(cell.remove_watcher, watcher)
        return self.until_end(watcher.ending)

    def stop_user_actors(self) -> None:
        """Request the end of all actors under ``/user``, and have the workers started again, which ends theirs."""
        for cell in list((self.node.system.user.children or {}).values()):
            cell.request_stop()
        restart_workers = self.node.network.workers.restart_own
        if restart_workers is not None:
            restart_workers()

    def instrument(self, instrument: Instrument) -> Callable[[], None]:
        """Show every message of the node to an instrument until the extension ends.

        Returns a function that ends that earlier.  An error of the instrument is reported, and does not fail the
        extension.  Raises what ``node.instruments.add`` raises.
        """
        self.node.instruments.add(instrument)
        return self.until_end(partial(self._remove_instrument, instrument))

    def _remove_instrument(self, instrument: Instrument) -> None:
        self.node.instruments.remove(instrument)

    def guard(self, callback: Callable[..., object], what: str) -> Callable[..., None]:
        """Return a function that calls ``callback``, fails the extension by an error of it, and does nothing later.

        what: names the callback in the report.
        """

        def guarded(*args: object) -> None:
            if not self.is_open:
                return
            try:
                callback(*args)
            except Exception as error:  # noqa: BLE001  the extension fails by it, and not its caller
                self._run.fail(error, what)

        return guarded

    def until_end(self, ending: Callable[[], None]) -> Callable[[], None]:
        """Call a function when the extension ends, unless what is returned was called before; it calls it at once."""
        self._endings[ending] = None

        def end_now() -> None:
            if ending in self._endings:
                del self._endings[ending]
                ending()

        return end_now

    def close(self) -> set[asyncio.Task[None]]:
        """End all that was made by this context but the actors, the newest first; called by the runtime.

        Returns the tasks, which are cancelled and have not ended yet.
        """
        self._handlers.unserve(*self.served, owner=self.name)
        while self._endings:
            ending, _ = self._endings.popitem()
            try:
                ending()
            except Exception as error:  # noqa: BLE001  one that fails must not keep the others from ending
                self.node.reports.problem(f"extension {self.name}: {ending!r} failed at its end", error)
        for alarm in self.alarms:
            alarm.set(float("inf"))
        for task in self._tasks:
            task.cancel()
        return set(self._tasks)


class _Watcher:
    """Watches one actor for an extension."""

    def __init__(self, handle: Callable[[Down], None], endings: dict[Callable[[], None], None]) -> None:
        self._handle, self._endings = handle, endings
        self.ending: Callable[[], None] | None = None
        """What ends the watch when the extension ends; of no use once the actor has ended."""

    def on_down(self, down: Down) -> None:
        """Called by the cell, once."""
        if self.ending is not None:
            self._endings.pop(self.ending, None)
        self._handle(down)
