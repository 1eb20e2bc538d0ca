"""``WorkerProcess``: the OS process of a worker, as its parent sees it.  It knows nothing about actors.

One pipe (a pair of sockets, inherited as the worker's stdin) connects the two: setup and stop requests go to the
worker; log records and reports come back.  The end of the pipe tells each side that the other process has ended, in any
way.  The worker's stdout and stderr are pipes of their own, shown line by line.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import TextIO, cast

from ..kernel import output
from ..kernel.errors import WireError
from ..kernel.forks import close_in_children
from .log_forwarding import log_record
from .output_lines import OutputLines
from .program import command, environment
from .protocol import (
    Alive,
    CheckAlive,
    ConnectPeers,
    FatalError,
    ForwardedRecord,
    Listening,
    Setup,
    Stop,
    Stopped,
    Unpacker,
    WorkerEnded,
    pack,
    read_from_worker,
)
from .settings import Workers

PROBES = 4
"""A process is held to hang when it has not answered so many probes, which are sent in equal parts of ``hang_s``."""
DRAIN_S = 0.2
"""Seconds to read the rest of the output of a process that has ended; its children may keep the pipes open."""
STDOUT, STDERR = 1, 2


class WorkerProcess(asyncio.SubprocessProtocol):
    """One process of a worker; ``start`` starts it.

    settings: limits and time-outs.  on_end: called when the process has ended, before waiters of ``ended``.
    listening: the endpoints of the worker's node, once it listens.
    ready: done when the worker reports that it is connected.  ended: done when the process has ended.
    stopping: whether it was asked to stop.
    generation: of the node in it; 0 until the parent is connected to that node.
    fatal_error: the error by which the worker said that it exits; empty without one.
    """

    def __init__(self, name: str, settings: Workers, on_end: Callable[[WorkerProcess], None]) -> None:
        self.name, self._settings, self._on_end = name, settings, on_end
        self._loop = asyncio.get_running_loop()
        self.listening: asyncio.Future[tuple[str, ...]] = self._loop.create_future()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._output_ended: asyncio.Future[None] = self._loop.create_future()
        self.pid = self.generation = 0
        self.fatal_error = ""
        self.stopping = False
        self._lines = {fd: OutputLines(settings.line_bytes_max, settings.lines_per_s_max) for fd in (STDOUT, STDERR)}
        self._open_streams = {"stdout", "stderr", "pipe"}
        self._transport: asyncio.SubprocessTransport | None = None
        self._pipe: asyncio.Transport | None = None
        self._killed = False
        self._unanswered = 0
        self._probe_timer: asyncio.TimerHandle | None = None

    async def start(self, setup: Setup) -> None:
        """Start the process and send it its setup; raises ``OSError`` when it cannot be started."""
        try:
            await self._launch()
        except BaseException:
            if self._transport is None and not self.ended.done():
                self.ended.set_result(None)  # it was not started
            self._close_pipe()
            raise
        self.tell(setup)

    async def _launch(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            pipe, _ = await self._loop.create_unix_connection(lambda: _Pipe(self), sock=ours)
        except BaseException:
            ours.close()
            theirs.close()
            raise
        self._pipe = pipe
        close_in_children(ours.fileno())
        try:
            await self._loop.subprocess_exec(
                lambda: self,
                *command(self._settings.python),
                env=environment(self._settings.env),
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        finally:
            theirs.close()

    # --- to the process ----------------------------------------------------------------------------------------------

    def request_stop(self, *, remove_folder: bool = False) -> None:
        """Ask the worker to stop in order; a second call changes nothing.  remove_folder: as in ``Stop``."""
        if not self.stopping:
            self.stopping = True
            self.tell(Stop(remove_folder))

    def tell(self, message: Setup | ConnectPeers | Stop | WorkerEnded | CheckAlive) -> None:
        """Send the worker a message; does nothing when the process has ended."""
        if self._pipe is not None and not self._pipe.is_closing():
            self._pipe.write(pack(message))

    def watch_for_hang(self) -> None:
        """From now on kill the process when it runs no Python code for ``hang_s``; probes are counted, not seconds.

        So a parent that was itself blocked or suspended kills no worker: it has sent no probes meanwhile.
        """
        limit_s = self._settings.hang_s
        if limit_s is None or self.ended.done():
            return
        if self._unanswered >= PROBES:
            self.on_pipe_broken(f"it was held to hang, since it did not answer for hang_s={limit_s:g} s")
            return
        self._unanswered += 1
        self.tell(CheckAlive())
        self._probe_timer = self._loop.call_later(limit_s / PROBES, self.watch_for_hang)

    async def stop(self) -> None:
        """Stop the worker by a request, by SIGTERM after ``stop_s``, by SIGKILL after ``terminate_s`` more."""
        self.request_stop()
        if not await self._ends_within(self._settings.stop_s):
            self._signal(signal.SIGTERM)
            if not await self._ends_within(self._settings.terminate_s):
                self.kill()
                await self._ends_within(None)
        await self.drained()

    async def _ends_within(self, limit_s: float | None) -> bool:
        await asyncio.wait((self.ended,), timeout=limit_s)
        return self.ended.done()

    def kill(self) -> None:
        """Kill the process, without waiting for its end."""
        if not self.ended.done():
            self._killed = True
            self._signal(signal.SIGKILL)

    def _kill_children(self) -> None:
        """Kill the processes that actors of the ended worker have started, but for those in sessions of their own."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # there are none

    async def drained(self) -> None:
        """Wait until the output of an ended process is shown, at most ``DRAIN_S``, and close the pipes."""
        await asyncio.wait((self._output_ended,), timeout=DRAIN_S)
        if self._transport is not None:
            self._transport.close()
        self._close_pipe()

    def _signal(self, number: signal.Signals) -> None:
        if self._transport is not None and not self.ended.done():
            try:
                self._transport.send_signal(number)
            except ProcessLookupError:
                pass  # it has just ended; process_exited follows

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            self._pipe.close()

    # --- from the process --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The process was started."""
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self.pid = self._transport.get_pid()
        if self._killed:
            self._signal(signal.SIGKILL)  # kill() was called while it was being started

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Show what the process has written to stdout or stderr."""
        self._print_lines(fd, self._lines[fd].feed(data, self._loop.time()))

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002  the protocol's arguments
        """Show the rest of stdout or stderr, which has ended."""
        self._print_lines(fd, self._lines[fd].end(self._loop.time()))
        self.on_stream_end("stdout" if fd == STDOUT else "stderr")

    def process_exited(self) -> None:
        """Kill what is left of the process group, and report that the process has ended."""
        if not self.ended.done():
            self._kill_children()
            self.ended.set_result(None)
            if self._probe_timer is not None:
                self._probe_timer.cancel()
            self._on_end(self)

    def on_message(self, body: bytes) -> None:
        """Handle a message from the worker; one that cannot be decoded kills the process."""
        try:
            message = read_from_worker(body)
        except WireError as error:
            self.on_pipe_broken(f"it sent a message that cannot be decoded: {error}")
            return
        if isinstance(message, ForwardedRecord):
            log_record(self.name, message)
        elif isinstance(message, Alive):
            self._unanswered = 0
        elif isinstance(message, Listening):
            if not self.listening.done():
                self.listening.set_result(message.endpoints)
        elif isinstance(message, FatalError):
            self.fatal_error = message.text
        elif isinstance(message, Stopped):
            self._close_pipe()
        elif not self.ready.done():
            self.ready.set_result(None)

    def on_pipe_broken(self, why: str) -> None:
        """Kill the process, whose pipe is unusable."""
        self.fatal_error = self.fatal_error or why
        self.kill()

    def on_stream_end(self, stream: str) -> None:
        """One of ``stdout``, ``stderr`` and ``pipe`` has ended."""
        self._open_streams.discard(stream)
        if not self._open_streams and not self._output_ended.done():
            self._output_ended.set_result(None)

    def _print_lines(self, fd: int, lines: list[str]) -> None:
        stream = cast("TextIO | None", sys.stdout if fd == STDOUT else sys.stderr)
        if lines and stream is not None:
            output.write(stream, "".join(f"[{self.name}] {line}\n" for line in lines))

    # --- description -------------------------------------------------------------------------------------------------

    def describe_end(self) -> str:
        """Return how the process ended, its fatal error and the last lines of its stderr, for error messages."""
        code = None if self._transport is None else self._transport.get_returncode()
        if code is None:
            how = "runs"
        elif code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
        else:
            how = f"ended by itself with exit code {code}"
        last = "\n".join(self._lines[STDERR].last)
        details = f": {self.fatal_error}" if self.fatal_error else ""
        details += f"; the last of its stderr:\n{last[-self._settings.line_bytes_max :]}" if last else ""
        return f"{self.name} (process {self.pid}) {how}{details}"


class _Pipe(asyncio.Protocol):
    """Reads the messages of one worker from its pipe."""

    def __init__(self, process: WorkerProcess) -> None:
        self._process = process
        self._unpacker = Unpacker()

    def data_received(self, data: bytes) -> None:
        """Pass on each message that is complete."""
        try:
            bodies = self._unpacker.feed(data)
        except WireError as error:
            self._process.on_pipe_broken(str(error))
            return
        for body in bodies:
            self._process.on_message(body)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  the protocol's argument
        """The pipe has ended, at the latest when the process did."""
        self._process.on_stream_end("pipe")
