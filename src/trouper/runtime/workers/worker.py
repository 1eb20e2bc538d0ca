"""The main program of a worker process: ``main``.

A worker ends with its parent.  A thread reads the pipe from the parent, also while a handler blocks the loop: when the
pipe ends, the parent has ended, and the thread exits the process at once.  Where a handler blocks the interpreter
itself, Linux kills the process some seconds after its parent.  The parent handles SIGINT and SIGHUP, which a terminal
sends to all processes of a program; a worker ignores them.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import shutil
import signal
import socket
import sys
import threading
from bdb import BdbQuit
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from types import FrameType
from typing import NoReturn, TypeAlias, cast

from ..journal.memory import MemoryJournal
from ..kernel.address import NodeId
from ..kernel.errors import NodeClosed, TrouperError
from ..net.code_shipping import CodeShipping
from ..node.extension_manager import extension_of_parent
from ..node.node_base import NodeBase
from ..node.run import loop_factory
from ..node.services.served_journal import ServedJournal
from ..observe.reports import brief
from .log_forwarding import ParentPipe, forward_logs
from .program import load_program
from .protocol import (
    Alive,
    CheckAlive,
    ConnectPeers,
    FatalError,
    Listening,
    Ready,
    Setup,
    Stop,
    Stopped,
    ToWorker,
    Unpacker,
    WorkerEnded,
    read_to_worker,
)
from .settings import WorkerLimits

PR_SET_PDEATHSIG = 1
READ_BYTES = 65_536
MakeNode: TypeAlias = Callable[..., NodeBase]


class ProgramModules(Collection[str]):
    """``allowed_modules`` of a worker: every module; iteration gives those that are loaded here.

    Only the parent and its other workers can connect, which run the same program: the sockets are in a folder that no
    other user can enter.  They spawn only actors of modules that they have loaded themselves.
    """

    def __contains__(self, module: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(sys.modules)

    def __len__(self) -> int:
        return len(sys.modules)


class WorkerMain:
    """The state of a worker process.

    pipe: to the parent.  parent: its writing end.  stopping: whether the worker was asked to stop, by any means.
    """

    def __init__(self, pipe: socket.socket, make_node: MakeNode) -> None:
        self.pipe, self.parent = pipe, ParentPipe(pipe)
        self._make_node = make_node
        self._unpacker = Unpacker()
        self.stopping = self._stop_requested = self._remove_folder = self._stopped = False
        self._pipe_ended = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[object] | None = None
        self._node: NodeBase | None = None
        self._folder = ""
        self._dialled: dict[str, str] = {}
        self._connecting: set[asyncio.Task[None]] = set()

    # --- the pipe ----------------------------------------------------------------------------------------------------

    def read_setup(self) -> Setup:
        """Return the first message; exits the process when the parent ends before it is sent."""
        bodies: list[bytes] = []
        while not bodies:
            data = self.pipe.recv(READ_BYTES)
            if not data:
                os._exit(1)
            bodies = self._unpacker.feed(data)
        setup = read_to_worker(bodies[0])
        assert isinstance(setup, Setup), "the parent sends Setup first"
        self._folder = setup.folder
        return setup

    def read_messages(self) -> None:
        """In a thread: handle messages until the pipe ends, then exit, unless the worker has stopped."""
        while True:
            try:
                data = self.pipe.recv(READ_BYTES)
            except OSError:
                data = b""
            if not data and self._stopped:
                self._pipe_ended.set()
                return
            if not data:
                self.exit_now()
            for body in self._unpacker.feed(data):
                self._on_message(read_to_worker(body))

    def _on_message(self, message: ToWorker) -> None:
        if isinstance(message, Stop):
            self._stop_requested, self._remove_folder = True, message.remove_folder
            self.request_stop()
        elif isinstance(message, CheckAlive):
            self.parent.send(Alive())
        elif isinstance(message, ConnectPeers):
            self._call_in_loop(self._on_connect_peers, message)
        elif isinstance(message, WorkerEnded):
            self._call_in_loop(self._on_worker_ended, message)

    def _call_in_loop(self, function: Callable[..., object], *args: object) -> None:
        """Have the loop call a function, from any thread; does nothing before the loop runs, and after its end."""
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(function, *args)

    def exit_now(self) -> NoReturn:
        """Exit because the parent has ended: remove the folder of the sockets first, and kill the process group."""
        shutil.rmtree(self._folder, ignore_errors=True)
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)  # this process too
        os._exit(1)

    def report_stopped(self) -> None:
        """Report that the node has shut down, then wait for the end of the pipe, when the parent asked for the stop."""
        self._stopped = self._stop_requested
        if self._stop_requested and self.parent.send(Stopped()):
            self._pipe_ended.wait()
        if self._remove_folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    # --- stopping ----------------------------------------------------------------------------------------------------

    def request_stop(self) -> None:
        """Stop the node in order; from any thread, and from a signal handler.  A second call changes nothing."""
        if self.stopping:
            return
        self.stopping = True
        if self._task is not None:
            self._call_in_loop(self._task.cancel, "asked to stop")

    def on_sigterm(self, number: int, _: FrameType | None) -> None:
        """Stop in order at the first SIGTERM; a second stop request ends the process by the signal's default."""
        if self.stopping:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.request_stop()

    # --- running -----------------------------------------------------------------------------------------------------

    async def run_node(self, setup: Setup) -> None:
        """Run the worker's node until it is asked to stop."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if self.stopping:
            return
        load_program(setup.program, setup.preload)
        node = self._node = self._make_node(
            setup.node,
            listen=setup.listen,
            join=[setup.parent_endpoint],
            allowed_modules=ProgramModules(),
            ask_timeout_s=setup.ask_timeout_s,
            shutdown_s=setup.shutdown_s,
            threads=setup.threads,
            slow_handler_s=setup.slow_handler_s,
            strict_wire=setup.strict_wire,
            keys=setup.keys,
            insecure=setup.insecure,
            bulk=setup.bulk,
            peer_limits=setup.peer_limits,
            journal=ServedJournal(setup.parent) if setup.journal == "node" else MemoryJournal(),
            code_shipping=False if setup.shipped_bytes_max is None else CodeShipping(setup.shipped_bytes_max),
            extensions=[extension_of_parent(*described) for described in setup.extensions],
            executors=setup.executors,
        )
        node.parent_name = setup.parent
        async with node:
            self.parent.send(Listening(node.network.endpoints))
            await node.network.wait_for_peer(setup.parent)
            await asyncio.get_running_loop().create_future()

    def _on_connect_peers(self, message: ConnectPeers) -> None:
        task = asyncio.ensure_future(self._connect_peers(message))
        self._connecting.add(task)  # the loop itself keeps no task
        task.add_done_callback(self._connecting.discard)

    async def _connect_peers(self, message: ConnectPeers) -> None:
        assert self._node is not None, "ConnectPeers comes after the connection to the parent"
        try:
            network = self._node.network
            for other in message.others:
                network.connector.add_address(NodeId(other.node, other.generation), *other.endpoints)
            if not message.limit_s:
                return  # the other one dials
            for other in message.others:
                network.connect(other.endpoints[0])
                self._dialled[other.node] = other.endpoints[0]
            async with asyncio.timeout(message.limit_s):
                for other in message.others:
                    await network.wait_for_peer(other.node)
        except NodeClosed:
            return  # the worker stops, and its parent waits for Stopped only
        except TimeoutError:
            pass
        self.parent.send(Ready())

    def _on_worker_ended(self, message: WorkerEnded) -> None:
        if self._node is None:
            return
        try:
            self._node.network.node_ended(NodeId(message.node, message.generation), message.detail)
            if message.node in self._dialled:  # its next generation dials this worker
                self._node.network.disconnect(self._dialled.pop(message.node))
        except NodeClosed:
            pass  # the node has not started, or has shut down


def main(make_node: MakeNode) -> None:
    """Run the worker, and exit with 0 when it was asked to stop, 1 after a failure.

    make_node: creates a node from the arguments of ``Node``.
    """
    worker = WorkerMain(_take_pipe(), make_node)
    os.setpgid(0, 0)  # the processes that actors start are of this group, and end with the worker
    setup = worker.read_setup()
    if not _exit_with_parent(setup.parent_pid):
        worker.exit_now()
    problem = apply_limits(setup.limits)
    if problem:
        worker.parent.send(FatalError(problem))
        raise SystemExit(1)
    signal.signal(signal.SIGTERM, worker.on_sigterm)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _leave_to_parent)  # unlike SIG_IGN, programs that actors start do not inherit it
    threading.Thread(target=worker.read_messages, name="trouper-parent", daemon=True).start()
    for stream in (sys.stdout, sys.stderr):
        cast("io.TextIOWrapper", stream).reconfigure(line_buffering=True)
    if not os.environ.get("PYTHONBREAKPOINT"):
        sys.breakpointhook = _no_terminal
    forward_logs(worker.parent, setup.program.levels)
    code = 0
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(worker.run_node(setup))
    except asyncio.CancelledError:
        code = int(not worker.stopping)
    except TrouperError as error:
        worker.parent.send(FatalError(brief(error)))
        code = 1
    finally:
        logging.shutdown()
    worker.report_stopped()
    _end_children()
    raise SystemExit(code)


def _leave_to_parent(number: int, frame: FrameType | None) -> None:
    """Do nothing: the parent handles the signal, which the terminal has sent to it too."""


def _end_children() -> None:
    """Send SIGTERM to the processes that actors have started; the parent kills those that are left.

    multiprocessing would wait for its own when this process exits.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGTERM)


def _no_terminal(*_: object, **__: object) -> NoReturn:
    """Take the place of ``breakpoint()``, and say why there is no debugger; ``PYTHONBREAKPOINT`` may name another."""
    raise BdbQuit(
        "breakpoint() in a worker process, which has no terminal: run the program with workers=0 to debug it, "
        "or name a debugger that listens on a port in the environment variable PYTHONBREAKPOINT"
    )


def apply_limits(limits: WorkerLimits) -> str:
    """Set the limits of this process; returns what the operating system refused, empty when it refused nothing."""
    import resource  # noqa: PLC0415  not on Windows, where workers are refused

    try:
        if limits.memory_bytes is not None:
            resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
        if limits.open_files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limits.open_files, limits.open_files))
        if limits.cores is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, limits.cores)
        os.nice(limits.nice)
    except (OSError, ValueError) as error:
        return f"its limits {limits} cannot be set: {error}"
    return ""


def _take_pipe() -> socket.socket:
    """Move the pipe away from stdin, which child processes would inherit."""
    pipe = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return pipe


def _exit_with_parent(parent_pid: int) -> bool:
    """Have Linux kill this process 5 s after its parent ends; other systems have only the pipe.

    The kernel sends SIGTRAP (signal 5) when the parent ends, and its handler is the C function ``alarm``: it is called
    with the number of the signal, so SIGALRM kills the process 5 s later.  No Python code runs for that, so it also
    ends a handler that never releases the interpreter; and the thread that reads the pipe has time to remove the
    folder.  Returns whether the parent still runs.
    """
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415  only a worker needs it

        library = ctypes.CDLL(None)
        library.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
        library.signal.restype = ctypes.c_void_p
        library.signal(signal.SIGTRAP, ctypes.cast(library.alarm, ctypes.c_void_p))
        library.prctl(PR_SET_PDEATHSIG, signal.SIGTRAP, 0, 0, 0)
    return os.getppid() == parent_pid
