"""``trouper.run``: run a program's main coroutine on the fastest loop there is, and end in order on a signal."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import TypeVar

T = TypeVar("T")


def run(main: Callable[[], Coroutine[object, object, T]]) -> T:
    """Run ``main()`` until it returns, and return what it returned.

    Uses uvloop where it is installed.  SIGINT and SIGTERM cancel ``main``, so that every ``async with Node()`` in it
    shuts down in order; then ``KeyboardInterrupt`` or ``SystemExit(143)`` is raised.  A second signal ends at once.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_until_signal(main))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    try:
        import uvloop  # noqa: PLC0415  optional, and slow to import where it is not wanted
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _until_signal(main: Callable[[], Coroutine[object, object, T]]) -> T:
    loop = asyncio.get_running_loop()
    task = loop.create_task(main())
    seen: list[signal.Signals] = []

    def on_signal(number: signal.Signals) -> None:
        seen.append(number)
        task.cancel(number.name)
        signal.signal(number, signal.SIG_DFL)  # a second one does what it does to any program

    numbers = (signal.SIGINT, signal.SIGTERM) if sys.platform != "win32" else ()
    for number in numbers:
        loop.add_signal_handler(number, on_signal, number)
    try:
        return await task
    except asyncio.CancelledError:
        if signal.SIGINT in seen:
            raise KeyboardInterrupt from None
        if signal.SIGTERM in seen:
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
