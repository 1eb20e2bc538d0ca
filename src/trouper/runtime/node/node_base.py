"""``NodeBase``: the runtime of actors in one event loop, without the features that build on it.

It creates the kernel's ``System`` and owns the node's thread pool, journal, network and extensions, and the shutdown
of all of them.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path, PurePath
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, Self, TypeVar

from ..actor.spawning import SpawnMixin, spawn_awaited
from ..actor.supervisor import Child, Supervisor
from ..kernel.address import random_generation
from ..kernel.ask import Ask
from ..kernel.cell import Cell
from ..kernel.dispatcher import Dispatcher
from ..kernel.errors import InvalidOption, NodeClosed, NodeFailed
from ..kernel.options import check_count, check_number
from ..kernel.ref import ActorRef
from ..kernel.supervision import Backoff, OneForOne, Strategy
from ..kernel.system import Guardian, System
from ..observe.reports import brief
from ..observe.tracing import is_virtual
from ..observe.watchdog import SLOW_HANDLER_S, LoopBlocked, LoopWatchdog
from .executors import THREADS_MAX, ExecutorInfo, NodeExecutors, Threads, checked_pools
from .extension_manager import ExtensionManager
from .node_services import NodeServices
from .opening import NetworkOptions, open_network
from .services.served_journal import JournalServer, ServedJournal
from .services.worker_nodes import WORKER_NAME
from .shutdown import AFTER_STOP, STOP_EXTENSIONS, Shutdown
from .transports import transports_for

if TYPE_CHECKING:
    from ..kernel.journal import Journal
    from ..kernel.placement import Placement
    from ..net.code_shipping import CodeShipping
    from ..net.network import MakeTransport
    from ..session.budget import PeerLimits
    from ..session.bulk_chunks import BulkSettings
    from .extension import AnyExtension
    from .extension_run import ExtensionInfo
    from .node_network import NodeNetwork

NODE_SUPERVISION = OneForOne(intensity=None, period_s=10.0, backoff=Backoff(0.1, 5.0, at_once=1))
"""For the actors spawned at the node: an actor is restarted at once, then with a back-off, and never fails the node."""
T = TypeVar("T")
E = TypeVar("E", bound="AnyExtension")
P = ParamSpec("P")


class NodeBase(NodeServices, SpawnMixin):
    """A node without the features that build on it; ``trouper.node.Node`` adds them.

    The arguments are those of ``Node``, which describes them.
    """

    _block_task: asyncio.Task[object] | None = None
    _block_cancelled = False
    _failure: BaseException | None = None

    def __init__(
        self,
        name: str | None = None,
        *,
        supervision: Strategy | None = None,
        ask_timeout_s: float = 5.0,
        shutdown_s: float | None = 10.0,
        threads: int = 8,
        journal: Journal | None = None,
        serve_journal: bool = False,
        slow_handler_s: float | None = SLOW_HANDLER_S,
        listen: str | Sequence[str] = (),
        advertise: str | None = None,
        join: Sequence[object] = (),
        allowed_modules: Collection[str] = (),
        keys: str | PathLike[str] | None = None,
        insecure: bool = False,
        bulk: BulkSettings | None = None,
        peer_limits: PeerLimits | None = None,
        strict_wire: bool = False,
        code_shipping: bool | CodeShipping = False,
        executors: Mapping[str, Threads] | None = None,
        seed: int | None = None,
        extensions: Sequence[AnyExtension | type[AnyExtension] | str] = (),
    ) -> None:
        _check(ask_timeout_s, shutdown_s, threads, slow_handler_s, name, join, journal, allowed_modules)
        super().__init__(name or "local", journal)
        self._serve_journal, self._supervision = serve_journal, supervision or NODE_SUPERVISION
        self._ask_timeout_s, self._threads, self._seed = ask_timeout_s, threads, seed
        self.reports.on_crash.append(self._on_crash)
        self.shutdown = Shutdown(lambda: self.system, shutdown_s, self._release_resources)
        self.shutdown.add(AFTER_STOP, "journal", self._close_journal)
        self.shutdown.add(AFTER_STOP, "network", self._close_network)
        self._network_options = NetworkOptions(
            listen=(listen,) if isinstance(listen, str) else tuple(listen),
            join=tuple(join),
            advertise=advertise or "",
            allowed_modules=allowed_modules,
            keys=None if keys is None else Path(keys),
            insecure=insecure,
            shipping=_shipping(code_shipping),
            bulk=bulk,
            limits=peer_limits,
            seed=seed,
        )
        self.parent_name = ""
        """The name of the node that started this one as its worker; empty for a node that no other one started."""
        self._extensions = ExtensionManager(self)
        for extension in extensions:
            self._extensions.add(extension)
        self.shutdown.add(STOP_EXTENSIONS, "extensions", self._extensions.stop)
        self._network: NodeNetwork | None = None
        self._slow_handler_s, self._strict_wire = slow_handler_s, strict_wire
        self.watchdog: LoopWatchdog | None = None
        """Reports handlers that block the loop; None when ``slow_handler_s`` is None, and on virtual time."""
        self._pool: ThreadPoolExecutor | None = None
        self.executor_pools = checked_pools(executors)
        """The pools of threads that the node was given, by their names."""

    async def __aenter__(self) -> Self:
        """Start the node in the running loop; raises what ``start`` raises."""
        return await self._start(block_task=asyncio.current_task())

    async def start(self) -> Self:
        """Start the node in the running loop, and return it; it runs until ``stop``, or until it fails.

        A failure of the node (an actor failed more often than its supervision allows) shuts it down at once, is logged,
        and is raised by ``stop``.  Raises ``NodeClosed`` when it was started before, ``NodeFailed`` when it fails while
        it starts, and the errors of its parts: ``StartFailed`` of a worker, ``EndpointTaken`` and other errors of a
        transport, ``JournalLocked``.
        """
        return await self._start(block_task=None)

    async def stop(self, reason: str = "stop() was called") -> None:
        """Shut the node down by the phases of ``shutdown``, within ``shutdown_s``, and wait until it is down.

        reason: for reports.
        Leaving the ``async with`` block does the same.  A second call waits for the first.  Raises ``NodeFailed`` when
        the node had failed, and ``CallerError`` in a handler of this node: call ``node.shutdown.begin(reason)`` there.
        """
        await self.shutdown.run(reason)
        if self._failure is not None:
            self._raise_failure(self._failure)

    async def _start(self, block_task: asyncio.Task[object] | None) -> Self:
        """Start; ``block_task`` runs the block that a failure of the node cancels, and is None without a block."""
        if self._system is not None:
            raise NodeClosed(f"node {self.name} was started before: make another Node")
        loop = asyncio.get_running_loop()
        make_ref, make_ask = _strict_factories() if self._strict_wire else (ActorRef, Ask)
        guardian = type("UserGuardian", (Guardian,), {"supervision": self._supervision})
        self._system = System(
            self.name,
            self._make_dispatcher(loop),
            generation=self._make_generation(),
            seed=self._seed,
            ask_timeout_s=self._ask_timeout_s,
            guardian=guardian,
            make_ref=make_ref,
            make_ask=make_ask,
            reporter=self.reports,
            escalated=self._escalated,
        )
        self._system.host = self
        self._system.placement = self._make_placement
        self._system.executors = NodeExecutors(self._system, self.executor_pools)
        _ = self.dead_letters, self.recorder  # both subscribe to reports when they are created
        self._block_task = asyncio.current_task()  # a failure during the start ends the start
        try:
            await self._open(loop)
        except BaseException as error:
            await self.shutdown.run("the node could not start")
            if self._failure is not None and isinstance(error, asyncio.CancelledError):
                self._uncancel_block()
                self._raise_failure(self._failure)
            raise
        self._block_task = block_task
        return self

    async def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Open the journal and the network, and start the extensions."""
        if self._given_journal is not None:
            await self._given_journal.open()
        options = self._extensions.network_options(replace(self._network_options, parent=self.parent_name))
        if options.listen:
            await self._open_network(options)
        await self._extensions.start()
        if self._slow_handler_s is not None and not is_virtual(loop):  # after the imports above, which block the loop
            self.watchdog = LoopWatchdog(self.system, self._slow_handler_s, self._on_loop_blocked)

    async def _open_network(self, options: NetworkOptions) -> None:
        transports = self._make_transports(options)
        self._network = await open_network(self, options, transports, self.system.node_id.generation)
        self._share_journal(self._network)

    async def _start_extension(self, extension: AnyExtension) -> None:
        """Start an extension that needs a network on a node that runs; a failure leaves nothing of it.

        Raises ``InvalidOption`` where other extensions run without a network, which would not serve it.
        """
        given = replace(self._network_options, parent=self.parent_name)
        if self._network is None and self.extensions:
            names = ", ".join(info.name for info in self.extensions)
            raise InvalidOption(
                f"node {self.name} has started the extensions {names} without a network: give it workers=Workers(0)"
            )
        options = extension.network_options(given)
        try:
            if self._network is None:
                await self._open_network(options)
                await self._extensions.start()  # none yet: it has them served by the network
            else:
                await self._network.listen(options.listen[len(given.listen) :])
                if not self._serve_journal:  # else it is served already
                    self._share_journal(self._network)
        except BaseException:
            extension.release()
            raise
        self._extensions.add(extension)
        await extension.ready()

    def _share_journal(self, network: NodeNetwork) -> None:
        """Serve the journal that was given to workers and peers; use the network where it is that of another node."""
        journal, workers = self._given_journal, self._journal_users()
        if journal is None:
            return
        if isinstance(journal, ServedJournal):
            journal.bind(lambda: self.network)
        if self._serve_journal or workers is not None:
            JournalServer(self.name, journal, self._journal_users, to_peers=self._serve_journal).serve(
                network.request_handlers
            )

    def _journal_users(self) -> Sequence[str] | None:
        """Return the names of the worker processes, which may use the journal; None when this node has none."""
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Shut down in order; raises ``NodeFailed`` when the node had failed.

        A ``KeyboardInterrupt`` or ``SystemExit`` that a handler raised is raised again here, as it was.
        """
        try:
            await self.shutdown.run(_shutdown_reason(error))
        except asyncio.CancelledError:
            if not self._block_cancelled or isinstance(error, asyncio.CancelledError):
                self.shutdown.kill_remaining()
                await self.shutdown.wait()
                raise
            await self.shutdown.wait()  # the node failed as the block ended: this was the cancellation of the block
        failure = self._failure
        self._uncancel_block()
        if failure is not None and isinstance(error, asyncio.CancelledError | None):
            self._raise_failure(failure)

    def _escalated(self, failure: BaseException) -> None:
        """A failure has reached the root: shut down now, and cancel the block, when there is one that still runs."""
        if self._failure is not None or self.shutdown.reason is not None:
            return
        self._failure = failure
        reason = str(failure) if isinstance(failure, NodeFailed) else f"{brief(failure)} was escalated to the root"
        self.reports.problem(f"node {self.name} shuts down: {reason}")
        self.shutdown.begin(reason)
        if self._block_task is not None and self._block_task.cancel("a failure was escalated to the root of the node"):
            self._block_cancelled = True

    def _uncancel_block(self) -> None:
        """Take back the cancellation of the block, which has ended by it."""
        if self._block_cancelled and self._block_task is not None:
            self._block_task.uncancel()
            self._block_cancelled = False

    def _raise_failure(self, failure: BaseException) -> NoReturn:
        if isinstance(failure, KeyboardInterrupt | SystemExit | NodeFailed):
            raise failure from None
        raise NodeFailed(f"node {self.name} was shut down: {brief(failure)} was escalated to its root") from failure

    def _make_dispatcher(self, loop: asyncio.AbstractEventLoop) -> Dispatcher:
        return Dispatcher(loop, time.perf_counter)

    def _make_transports(self, options: NetworkOptions) -> Sequence[MakeTransport]:
        return transports_for(options)

    def _make_placement(self) -> Placement:
        from ..net.placement import NetworkPlacement  # noqa: PLC0415  only spawn(place=...) needs it

        return NetworkPlacement(self, spawn_awaited)

    def _make_generation(self) -> int:
        return random_generation(random.SystemRandom().getrandbits)

    def _on_crash(self, cell: Cell, error: BaseException, text: str) -> None:  # noqa: ARG002  a listener to crashes
        """End the program when a handler raised ``KeyboardInterrupt`` or ``SystemExit``."""
        if isinstance(error, KeyboardInterrupt | SystemExit):
            self._escalated(error)

    def _on_loop_blocked(self, blocked: LoopBlocked) -> None:
        self.recorder.on_loop_blocked(blocked)
        self.events.publish(blocked)

    def supervise(
        self, *children: Child, strategy: Strategy | None = None, name: str | None = None
    ) -> Awaitable[ActorRef]:
        """Start a ``Supervisor`` under ``/user``; awaiting the result gives its ref, once all of its children run.

        children: started in this order.  strategy: how it restarts them; None is ``OneForOne()``.
        name: unique among the living children of ``/user``; None makes one up.
        When it fails itself it is restarted, with its first children; it ends when ``auto_shutdown`` says so.  Raises
        what ``spawn`` raises; when one child cannot start, none of them runs.
        """
        make = partial(Supervisor, *children, strategy=strategy)
        return spawn_awaited(self.system.user, make, (), name, "transient", None, significant=False)

    def full_place(self, place: str) -> str:
        """Return the name of the node that a place names: ``worker-1`` on a worker is the first of its parent's."""
        return f"{self.parent_name}.{place}" if self.parent_name and WORKER_NAME.fullmatch(place) else place

    def __spawn_parent__(self) -> Cell:
        return self.system.user

    def __getitem__(self, kind: type[E]) -> E:
        """Return the extension of this class; raises ``InvalidOption`` when the node has none."""
        return self._extensions.get(kind)

    def extensions_for_workers(self) -> tuple[tuple[str, bytes], ...]:
        """Return the extensions that the node's workers run too, each as the name of its class and its settings."""
        return self._extensions.for_workers()

    @property
    def extensions(self) -> list[ExtensionInfo]:
        """What each extension of the node does now, in the order of their starts."""
        return self._extensions.infos()

    @property
    def executors(self) -> list[ExecutorInfo]:
        """What each executor of the node does now: those of ``executors=``, and last the threads of single actors.

        Raises ``NodeClosed`` before the node has started.
        """
        executors = self.system.executors
        assert isinstance(executors, NodeExecutors), "the node has set it"
        return executors.infos()

    @property
    def network(self) -> NodeNetwork:
        """The network, with the nodes that this one is connected to.

        Raises ``NodeClosed`` on a node that does not listen.
        """
        if self._network is None:
            raise NodeClosed(f"node {self.name} has no network: give it listen=..., or start it first")
        return self._network

    @property
    def has_network(self) -> bool:
        """Whether this node can be connected to others."""
        return self._network is not None

    async def offload(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function in the node's thread pool of ``threads``, and return what it returns.

        Raises what the function raises; a ``StopIteration`` is raised as ``RuntimeError``, which a future can hold.
        """
        system = self.system
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix=f"trouper-{self.name}")
        call = partial(copy_context().run, partial(function, *args, **kwargs))
        try:
            return await system.loop.run_in_executor(self._pool, _call, call)
        finally:
            await system.thread_inbox.passed()  # what the function told comes before what its caller tells next

    async def _close_network(self) -> None:
        if self._network is not None:
            await self._network.close()

    async def _close_journal(self) -> None:
        if self._given_journal is not None:
            await self._given_journal.close()

    def _release_resources(self) -> None:
        """Release threads and files once the node is down."""
        self.system.thread_inbox.close()
        if self.watchdog is not None:
            self.watchdog.stop()
        self._extensions.release()
        if self._system is not None and self._system.executors is not None:
            self._system.executors.close()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _strict_factories() -> tuple[Callable[[Cell], ActorRef], type[Ask[Any]]]:  # Any: of whatever reply
    """Return the factories of refs and asks on a node with ``strict_wire``."""
    from ..session.copier import WireCopier  # noqa: PLC0415  loaded on first use
    from .strict_wire import StrictAsk, StrictRef  # noqa: PLC0415  loaded on first use

    return partial(StrictRef, copier=WireCopier()), StrictAsk


def _check(
    ask_timeout_s: object,
    shutdown_s: object,
    threads: object,
    slow_handler_s: object,
    name: object,
    join: object,
    journal: object,
    allowed_modules: object,
) -> None:
    """Raise ``InvalidOption``, also for what only fails later, or is something else, without a type checker."""
    if isinstance(join, str):
        raise InvalidOption(f"join={join!r} is text: write join=[{join!r}]")
    check_number("ask_timeout_s", ask_timeout_s, infinite="no deadline")
    check_number("shutdown_s", shutdown_s, none="no deadline", zero=True)
    check_number("slow_handler_s", slow_handler_s, none="no watch")
    check_count("threads", threads, most=THREADS_MAX)
    if name is not None and not isinstance(name, str):
        raise InvalidOption(f"the name {name!r} of a node must be text")
    if isinstance(journal, str | PurePath):
        raise InvalidOption(f"journal={journal!r} is a path: write journal=FileJournal({str(journal)!r})")
    if isinstance(allowed_modules, str):
        raise InvalidOption(f"allowed_modules={allowed_modules!r} is text: write allowed_modules=[{allowed_modules!r}]")


def _shipping(option: bool | CodeShipping) -> CodeShipping | None:
    if option is False:
        return None
    from ..net.code_shipping import CodeShipping  # noqa: PLC0415  loaded on first use

    return CodeShipping() if option is True else option


def _shutdown_reason(error: BaseException | None) -> str:
    """Return the reason of a shutdown that begins because the block has ended, by ``error`` or without one."""
    if isinstance(error, asyncio.CancelledError):
        return f"cancelled: {error.args[0]}" if error.args else "cancelled"
    return "the block was left" if error is None else f"the block was left by {brief(error)}"


def _call(function: Callable[[], T]) -> T:
    """Call in a thread; an error that a future cannot hold is wrapped."""
    try:
        return function()
    except StopIteration as stop:
        raise RuntimeError("the offloaded function raised StopIteration") from stop
