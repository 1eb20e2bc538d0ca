"""``Node``: the runtime of actors in one event loop, with all of its features.

It is the only file that names every feature of a node; ``NodeBase`` knows none of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, cast

from .runtime.kernel.errors import InvalidOption, NodeClosed
from .runtime.node.node_base import NodeBase
from .runtime.observe.watchdog import SLOW_HANDLER_S
from .runtime.workers.settings import Workers

if TYPE_CHECKING:
    from .actors.cluster.api import Cluster
    from .actors.cluster.config import ClusterConfig
    from .actors.cluster.discovery.port import Discovery
    from .runtime.kernel.journal import Journal
    from .runtime.kernel.supervision import Strategy
    from .runtime.net.code_shipping import CodeShipping
    from .runtime.node.executors import Threads
    from .runtime.node.extension import AnyExtension
    from .runtime.session.budget import PeerLimits
    from .runtime.session.bulk_chunks import BulkSettings
    from .runtime.workers.manager import WorkerManager
    from .runtime.workers.node_workers import NodeWorkers


class Node(NodeBase):
    """A runtime for actors in the running event loop.

    Use it as ``async with Node() as node``; or, where begin and end are in different places, as in a notebook or a test
    fixture, by ``await node.start()`` and ``await node.stop()``.

    name: the node's name in the addresses of its actors; None is ``local``.
    supervision: the strategy for the actors spawned here.  None restarts each of them as often as it fails: at once,
        then after 0.1 s, doubled at each failure up to 5 s, until it has not failed for 10 s.  With a strategy of your
        own, such as ``OneForOne()``, the node fails when they fail more often than its ``intensity``: it shuts down,
        and the ``async with`` block is cancelled and raises ``NodeFailed``.
    ask_timeout_s: the deadline, in seconds, of an ask that names none.
    shutdown_s: seconds for the whole shutdown, after which what is left is killed; None has no deadline.
    threads: the size of the thread pool behind ``offload``; started on first use.
    journal: where event-sourced actors keep their events; None is a ``MemoryJournal``, created on first use.
    serve_journal: True lets peers use the journal of this node, by ``Node(journal=ServedJournal("NAME"))`` there.
        Workers of this node use it in any case, unless ``Workers(journal="memory")`` says otherwise.
    slow_handler_s: seconds for which a handler may block the loop before that is reported as ``LoopBlocked``; None does
        not watch the loop.  On virtual time the loop is not watched.
    listen: an endpoint, or several, at which other nodes reach this one; none makes a node without a network.  A node
        that listens needs a name that is unique among the nodes it will meet.
    advertise: the endpoint by which other nodes reach this one, where that differs from ``listen``, as behind NAT or a
        mapped port of a container; a host name in it is looked up once, at the start.  None tells them ``listen``.
    join: endpoints of other nodes, dialled until they answer, and again whenever the session is lost; with ``cluster``
        also sources of endpoints: texts such as ``dns://HOST:PORT``, and objects that implement ``Discovery``.
    keys: the folder that ``trouper keygen`` made; ``tcp://`` is encrypted and authenticated with it.  None has no keys.
    insecure: True lets ``tcp://`` go without keys, unencrypted and open to anybody; a warning is logged.
    allowed_modules: modules that may be imported because another node spawns an actor of theirs here; modules that are
        loaded already need not be named.
    bulk: how large buffers in messages are sent to and taken from other nodes; None is ``BulkSettings()``.
    peer_limits: what other nodes may cost this one, by identity and all together; None is ``PeerLimits()``.
    strict_wire: True copies every message between the node's own actors through the codec, as between two nodes, so
        that a test finds what cannot be sent.  ``trouper.testing.simulate`` turns it on.
    code_shipping: True sends actors that no module defines by value, to nodes with the same setting, and takes such
        actors from them: a node that may connect to this one can run any code here.  ``CodeShipping`` sets its limit.
    executors: pools of threads by name, as ``{"gpu": Threads(2)}``, for actors with ``executor="gpu"``; the workers of
        the node have pools of the same names and sizes.  ``loop`` and ``thread`` are there in any case.
    workers: how many worker processes to start, as nodes ``NAME.worker-1`` and so on that are connected to this node
        and to one another; 0 starts none, and ``node.workers`` adds some later.  ``Workers`` sets their limits and
        time-outs.
    cluster: the settings of the cluster that this node joins through one of the nodes at ``join``, or its name for the
        default settings; None joins none, and stays connected to those nodes only.
    seed: of the node's only source of random numbers; None takes one from the operating system.
    extensions: features of third parties: instances, or classes, or the names of installed ones for their default
        settings.  They start with the node, unless they are dormant until they are used.  ``node[RateLimiter]`` returns
        the instance.
    """

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
        join: Sequence[str | Discovery] = (),
        allowed_modules: Collection[str] = (),
        keys: str | PathLike[str] | None = None,
        insecure: bool = False,
        bulk: BulkSettings | None = None,
        peer_limits: PeerLimits | None = None,
        strict_wire: bool = False,
        code_shipping: bool | CodeShipping = False,
        executors: Mapping[str, Threads] | None = None,
        workers: int | Workers = 0,
        cluster: ClusterConfig | str | None = None,
        seed: int | None = None,
        extensions: Sequence[AnyExtension | type[AnyExtension] | str] = (),
    ) -> None:
        first: list[AnyExtension] = [] if cluster is None else [_cluster_of(cluster)]
        self._worker_manager: WorkerManager | None = None
        if isinstance(workers, Workers) or workers != 0:
            from .runtime.workers.manager import make_worker_manager  # noqa: PLC0415  loaded on first use

            self._worker_manager = make_worker_manager(self, workers, threads, slow_handler_s, strict_wire)
            first.append(self._worker_manager)
        super().__init__(
            name,
            supervision=supervision,
            ask_timeout_s=ask_timeout_s,
            shutdown_s=shutdown_s,
            threads=threads,
            journal=journal,
            serve_journal=serve_journal,
            slow_handler_s=slow_handler_s,
            listen=listen,
            advertise=advertise,
            join=join,
            allowed_modules=allowed_modules,
            keys=keys,
            insecure=insecure,
            bulk=bulk,
            peer_limits=peer_limits,
            strict_wire=strict_wire,
            code_shipping=code_shipping,
            executors=executors,
            seed=seed,
            extensions=(*first, *extensions),
        )
        if (listen or workers) and self._extensions.find("deadlock") is None:  # a worker has that of its parent
            self._detect_deadlocks()

    def _detect_deadlocks(self) -> None:
        from .actors.deadlock.deadlock_extension import DeadlockDetection  # noqa: PLC0415  loaded on first use

        self._extensions.add(DeadlockDetection)

    @property
    def cluster(self) -> Cluster:
        """The cluster that this node is in; raises ``NodeClosed`` when it is in none."""
        found = cast("Cluster | None", self._extensions.find("cluster"))
        if found is None or not found.has_started:
            raise NodeClosed(f"node {self.name} is in no cluster: give it cluster=..., or start it first")
        self.system.check_thread("node.cluster")
        return found

    @property
    def is_in_cluster(self) -> bool:
        """Whether this node was given a cluster and has started."""
        found = cast("Cluster | None", self._extensions.find("cluster"))
        return found is not None and found.has_started

    @cached_property
    def workers(self) -> NodeWorkers:
        """The worker processes of this node: their names, each a place for ``spawn``, and changes of their number."""
        from .runtime.workers.node_workers import NodeWorkers  # noqa: PLC0415  loaded on first use

        return NodeWorkers(self, self._worker_manager, self._begin_workers)

    async def _begin_workers(self) -> WorkerManager:
        """Have a node that runs, and was given no workers, take some from now on."""
        if self.parent_name:
            raise InvalidOption(f"node {self.name} is a worker and has none itself: add them to {self.parent_name}")
        from .runtime.workers.manager import make_worker_manager  # noqa: PLC0415  loaded on first use

        manager = make_worker_manager(self, 0, self._threads, self._slow_handler_s, self._strict_wire)
        self._worker_manager = manager
        had_network = self.has_network
        try:
            await self._start_extension(manager)
        except BaseException:
            self._worker_manager = None
            raise
        if not had_network:
            self._detect_deadlocks()
            await self._extensions.start()
        return manager

    def _journal_users(self) -> Sequence[str] | None:
        return None if self._worker_manager is None else self._worker_manager.names

    def full_place(self, place: str) -> str:
        """Return the name of the node that a place names: ``worker-1`` is the first worker of this node.

        On a worker it is the first worker of its parent.
        """
        manager = self._worker_manager
        return manager.full_name(place) if manager is not None and manager.has(place) else super().full_place(place)


def _cluster_of(settings: ClusterConfig | str) -> Cluster:
    from .actors.cluster.api import Cluster  # noqa: PLC0415  loaded on first use
    from .actors.cluster.config import ClusterConfig  # noqa: PLC0415  as above

    return Cluster(ClusterConfig(name=settings) if isinstance(settings, str) else settings)
