"""Calls from a transport to whoever uses it: a failing callback is reported, and the transport goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")


def call_owner(
    loop: asyncio.AbstractEventLoop, callback: Callable[P, object], *args: P.args, **named: P.kwargs
) -> None:
    """Call back; an exception is a fault of the owner and goes to the loop's exception handler (law 5 of the port)."""
    try:
        callback(*args, **named)
    except Exception as error:  # noqa: BLE001  whatever the owner raises, the transport has to go on
        report(loop, callback, error)


def report(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], error: Exception) -> None:
    """Give the loop's exception handler what a callback has raised."""
    loop.call_exception_handler({"message": f"{callback!r}, called by a transport, failed", "exception": error})
