"""``trouper.run``: run a program's main coroutine on the fastest loop there is, and end in order on a signal."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import TypeVar

T = TypeVar("T")


def run(main: Callable[[], Coroutine[object, object, T]]) -> T:
    """Run ``main()`` until it returns, and return what it returned.

    Uses uvloop where it is installed.  SIGINT and SIGTERM cancel ``main``, so that every ``async with Node()`` in it
    shuts down in order; then ``KeyboardInterrupt`` or ``SystemExit(143)`` is raised.  A second signal ends the program
    at once, also when a handler holds the loop.  Raises ``RuntimeError`` where a loop is running already.
    """
    if asyncio._get_running_loop() is not None:  # noqa: SLF001  the public way raises where there is none
        raise RuntimeError("trouper.run() begins a loop of its own: in a running event loop use `async with Node()`")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_until_signal(main))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the fastest loop there is; None is asyncio's own."""
    if sys.platform == "win32":
        return None
    try:
        import uvloop  # noqa: PLC0415  optional, and slow to import where it is not wanted
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _until_signal(main: Callable[[], Coroutine[object, object, T]]) -> T:
    """Run main, cancelled by the first signal.

    The handlers are Python's own and not the loop's, which a handler that holds the loop would keep from running.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(main())
    seen: list[int] = []

    def on_signal(number: int, _: FrameType | None) -> None:
        seen.append(number)
        signal.signal(number, signal.SIG_DFL)  # a second one does what it does to any program
        loop.call_soon_threadsafe(task.cancel, signal.Signals(number).name)

    in_main_thread = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if in_main_thread else ()
    before = [signal.signal(number, on_signal) for number in numbers]
    try:
        return await task
    except asyncio.CancelledError:
        if signal.SIGINT in seen:
            raise KeyboardInterrupt from None
        if signal.SIGTERM in seen:
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
