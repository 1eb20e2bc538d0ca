"""``ExtensionRun``: the life of one extension on its node: start, failure, restart with back-off, stop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Literal

import msgspec

from ..actor.actor import Actor
from ..actor.spawning import spawn_awaited
from ..kernel.errors import ActorFailed, CallerError, NodeClosed, StartFailed
from ..kernel.lifecycle import crash
from ..kernel.message import Message
from ..kernel.supervision import Backoff
from .node_context import NodeContext

if TYPE_CHECKING:
    from ..kernel.cell import Cell
    from ..kernel.ref import Down
    from .extension import AnyExtension
    from .extension_manager import ExtensionManager

State = Literal["dormant", "starting", "running", "stopping", "failed", "stopped"]

BACKOFF = Backoff(first_s=0.1, max_s=5.0)
"""The delay before the second restart in a row, and the later ones; the first one is at once."""
STEADY_S = 60.0
"""Seconds that an extension must have run for its next failure to count as the first one."""
UNWIND_S = 1.0
"""Seconds that cancelled hooks and tasks may take to unwind before they are left behind."""


class ExtensionFailed(Message[None]):
    """An extension of this node has failed, and is started again after ``delay_s`` seconds; ``error`` is one line."""

    name: str
    error: str
    delay_s: float


class ExtensionInfo(msgspec.Struct, frozen=True):
    """What an extension does now.

    state: ``dormant`` (it starts when it is used), ``starting``, ``running``, ``stopping``, ``failed`` (it is started
    again after a delay) or ``stopped``.  restarts: how often it was started again after a failure.  error: its last
    failure, in one line; None before any.
    """

    name: str
    state: State
    restarts: int = 0
    error: str | None = None


class ExtensionActor(Actor):
    """The actor ``/system/NAME``, the parent of an extension's actors; it lives as long as the extension runs."""

    def __init__(self, run: ExtensionRun) -> None:
        self._run = run

    async def on_start(self) -> None:
        """Start the extension."""
        await self._run.call_start(self.__cell__)


class ExtensionRun:
    """One extension of one node.

    state, restarts, error: as those of ``ExtensionInfo``.  context: what its ``start`` was given; None while the
    extension neither starts nor runs.
    """

    def __init__(self, manager: ExtensionManager, extension: AnyExtension) -> None:
        self.manager, self.extension = manager, extension
        self.limit_s = None if extension.limit_s == inf else extension.limit_s
        """Seconds for each of its hooks; None is no limit."""
        self.state: State = "dormant"
        self.restarts = 0
        self.error: str | None = None
        self.context: NodeContext | None = None
        self._cell: Cell | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._attempt: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[str | None] | None = None
        self._hook: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._has_run = self._stops = False
        self._at_rest = asyncio.Event()
        self._at_rest.set()

    @property
    def info(self) -> ExtensionInfo:
        """What the extension does now."""
        return ExtensionInfo(self.extension.name, self.state, self.restarts, self.error)

    # --- what the manager and the context call -----------------------------------------------------------------------

    async def ready(self) -> None:
        """Begin, unless that was done, and wait until the extension runs; raises what ``Extension.ready`` raises."""
        system = self.manager.node.system
        if self._stops or system.closing:
            raise NodeClosed(f"node {system.name} shuts down: its extension {self.extension.name} starts no more")
        if self.state == "running":
            return
        if self._attempt is None:
            self._attempt = system.loop.create_future()
            self._keeper = system.background(self._keep())
        await asyncio.shield(self._attempt)

    def fail(self, error: BaseException, what: str) -> None:
        """Fail the extension by an error that ``what``, a part of its own code, has raised at the runtime."""
        node, cell = self.manager.node, self._cell
        node.reports.problem(f"extension {self.extension.name} of node {node.name} fails by {what}", error)
        if self.state == "starting":
            self._failure = self._failure or error
            if self._hook is not None:
                self._hook.cancel()
        elif self.state == "running" and cell is not None and cell.phase == "live":
            crash(cell, error, None)

    async def interrupt(self) -> None:
        """Stop the extension, if it runs, and start it again once what it requires runs; wait until it has stopped."""
        if self.state == "running" and self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        await self._at_rest.wait()

    async def stop(self) -> None:
        """Stop for good."""
        self._stops = True
        if self._keeper is None:
            self.state = "stopped"
            return
        if self.state in ("starting", "failed"):
            self._keeper.cancel()
        elif self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        await asyncio.wait([self._keeper])

    def on_down(self, down: Down) -> None:
        """Called when the extension's actor has ended."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(down.error or f"its actor was {down.reason}")

    # --- the life ----------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Start the extension, and start it again after each failure, until it is stopped."""
        node, failures = self.manager.node, 0
        loop = node.system.loop
        try:
            while True:
                began_at = loop.time()
                error = await self._live()
                if self._stops or node.system.closing:
                    return
                if error is None:  # what it requires has failed: it waits for that
                    continue
                if not self._has_run and (self.extension.essential or isinstance(error, CallerError)):
                    self._become_dormant()
                    return
                if self.extension.essential:
                    node.system.escalated(error)
                    return
                failures = 1 if loop.time() - began_at > STEADY_S else failures + 1
                delay_s = BACKOFF.delay_s(failures - 1, node.system.random()) if failures > 1 else 0.0
                self._report(error, delay_s)
                await asyncio.sleep(delay_s)
                self.restarts += 1
        finally:
            if self.state != "dormant":
                self.state = "stopped"
                self._attempt_ended(NodeClosed(f"extension {self.extension.name} of node {node.name} has stopped"))
                await self._close_context()

    async def _live(self) -> BaseException | None:
        """Run the extension once; returns its failure, or None when it was stopped or interrupted."""
        extension, system = self.extension, self.manager.node.system
        self.state, self._ended = "starting", system.loop.create_future()
        try:
            await self.manager.start_required(self)
            kind = type("ExtensionActor", (ExtensionActor,), {"supervision": extension.supervision})
            make = partial(kind, self)
            spawning = spawn_awaited(
                system.system, make, (), extension.name, "temporary", self.limit_s, significant=False
            )
            cell = (await spawning)._cell  # noqa: SLF001  a ref is the runtime's own
        except Exception as raised:  # noqa: BLE001  whatever a start raises is the extension's failure
            error = raised.__cause__ if isinstance(raised, StartFailed) and raised.__cause__ is not None else raised
            await self._close_context()
            self._attempt_ended(self._start_error(error))
            return error
        self._cell, self.state, self._has_run = cell, "running", True
        self._at_rest.clear()
        cell.add_watcher(self)
        self._attempt_ended(None)
        if self._failure is not None:  # of a callback between the end of `start` and now
            crash(cell, self._failure, None)
        try:
            failure = await self._ended
            self.state = "stopping"
            await self.manager.interrupt_dependents(self)
            await self._call_stop()
        finally:
            await self._close_context()
        if not cell.gone:
            cell.remove_watcher(self)
            cell.request_stop()
            await cell.ref.wait_stopped()
        return None if failure is None else ActorFailed(failure)

    async def call_start(self, cell: Cell) -> None:
        """Call ``start`` of the extension; raises what it raises, and ``TimeoutError`` after ``limit_s``."""
        self._cell, self._failure = cell, None
        self.context = context = NodeContext(self.manager.node, self, cell, self.manager.handlers)
        await self._limited(self.extension.start(context), "start")
        self.manager.forget_not_served(self)

    async def _call_stop(self) -> None:
        """Call ``stop`` of the extension; its failure is reported, and keeps nothing from ending."""
        try:
            await self._limited(self.extension.stop(), "stop")
        except Exception as error:  # noqa: BLE001  reported, and no reason to go on
            node = self.manager.node
            node.reports.problem(f"extension {self.extension.name} of node {node.name} failed in stop()", error)

    async def _limited(self, hook: Coroutine[object, object, None], name: str) -> None:
        """Await a hook of the extension for ``limit_s``; one that ignores its cancellation is left behind."""
        self._failure = None
        self._hook = task = self.manager.node.system.loop.create_task(hook, name=f"{self.extension.name}.{name}")
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # so that asyncio does not report it
        try:
            await asyncio.wait([task], timeout=self.limit_s)
            if not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=UNWIND_S)
                raise TimeoutError(f"{name}() did not end within {self.extension.limit_s:g} s, and was cancelled")
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            self._hook = None
        if self._failure is not None:
            raise self._failure
        if task.cancelled():
            raise ActorFailed(f"{name}() was cancelled by what it awaited")
        task.result()

    async def _close_context(self) -> None:
        """End all that the context has made; its tasks may take ``UNWIND_S`` to end."""
        context, self.context = self.context, None
        try:
            if context is not None:
                left = context.close()
                if not self._stops:
                    self.manager.serve_while_away(self, context.served)
                if left:
                    _, left = await asyncio.wait(left, timeout=UNWIND_S)
                if left:
                    self.manager.node.reports.problem(
                        f"extension {self.extension.name} of node {self.manager.node.name}: {len(left)} of its tasks "
                        f"did not end within {UNWIND_S:g} s of the cancellation, and are left behind"
                    )
        finally:
            self._at_rest.set()

    # --- what becomes of an attempt ----------------------------------------------------------------------------------

    def _attempt_ended(self, error: Exception | None) -> None:
        """Tell those that wait in ``ready``; after a failure the next ones wait for the next attempt."""
        attempt = self._attempt
        if attempt is None or attempt.done():
            return
        if error is None:
            attempt.set_result(None)
        else:
            attempt.set_exception(error)
            attempt.exception()  # it may well be that nobody waits
        self._attempt = self.manager.node.system.loop.create_future()

    def _start_error(self, error: BaseException) -> Exception:
        if isinstance(error, CallerError) or (self.extension.essential and isinstance(error, StartFailed)):
            return error
        node = self.manager.node
        failed = StartFailed(
            f"extension {self.extension.name} of node {node.name} did not start: {node.reports.brief(error)}"
        )
        failed.__cause__ = error
        return failed

    def _become_dormant(self) -> None:
        """Its settings are wrong, as the callers of ``ready`` were told: to try it again by itself is of no use."""
        self.state, self._keeper, self._attempt = "dormant", None, None

    def _report(self, error: BaseException, delay_s: float) -> None:
        node = self.manager.node
        self.state, self.error = "failed", node.reports.brief(error)
        again = f"it is started again in {delay_s:.3g} s" if delay_s else "it is started again"
        node.reports.problem(f"extension {self.extension.name} of node {node.name} failed, and {again}", error)
        node.events.publish(ExtensionFailed(self.extension.name, self.error, delay_s))
