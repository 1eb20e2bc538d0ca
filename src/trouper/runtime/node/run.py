"""``trouper.run``: runs a program's main coroutine on the fastest available loop and ends it in order on a signal.

A worker process imports the script of its program to find the classes in it: there ``run`` ends the import.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

T = TypeVar("T")
_importing = False  # of the process: a worker imports its program once


class ImportEnds(BaseException):
    """Raised by ``run`` in a worker that imports the program's script; no handler of ``Exception`` takes it."""


@contextmanager
def importing_program() -> Generator[None]:
    """Within this block ``run`` raises ``ImportEnds``."""
    global _importing  # noqa: PLW0603  see above
    _importing = True
    try:
        yield
    finally:
        _importing = False


def run(main: Callable[[], Coroutine[object, object, T]]) -> T:
    """Run ``main()`` until it returns, and return what it returned.

    main: called once, in a new event loop: uvloop's where it is installed, else asyncio's.
    SIGINT and SIGTERM cancel ``main``, so that every ``async with Node()`` in it shuts down in order; then
    ``KeyboardInterrupt`` or ``SystemExit(143)`` is raised.  A second signal ends the program at once, also while a
    handler blocks the loop.  Raises what ``main`` raises, and ``RuntimeError`` where a loop is running already.
    In a worker process, which imports the script to find its classes, this call ends the import: what follows it in
    the script does not run there.
    """
    if _importing:
        raise ImportEnds
    if asyncio._get_running_loop() is not None:  # noqa: SLF001  the public function raises where there is none
        raise RuntimeError(
            "trouper.run() starts an event loop of its own: in a running event loop use `async with Node()`"
        )
    open_standard_descriptors()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_until_signal(main))


def open_standard_descriptors() -> None:
    """Open those of stdin, stdout and stderr that the program was started without, to the null device.

    Otherwise the next files and sockets get their numbers: uvloop ends the process then, and what a library writes to
    stderr goes into a socket.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the factory of uvloop's event loop; None, for asyncio's own, where uvloop is not installed."""
    if sys.platform == "win32":
        return None
    try:
        import uvloop  # noqa: PLC0415  optional, and slow to import
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _until_signal(main: Callable[[], Coroutine[object, object, T]]) -> T:
    """Run ``main`` and cancel it at the first signal.

    The signal handlers are Python's and not the loop's: the loop's would not run while an actor blocks the loop.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(main())
    seen: list[int] = []

    def on_signal(number: int, _: FrameType | None) -> None:
        seen.append(number)
        signal.signal(number, signal.SIG_DFL)  # the second signal has its default effect
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
