"""Calls from a transport to its owner: a callback that fails is reported, and the transport goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")


def call_owner(
    loop: asyncio.AbstractEventLoop, callback: Callable[P, object], *args: P.args, **named: P.kwargs
) -> None:
    """Call a callback of the owner; its exception goes to the loop's exception handler (law 5 of the port)."""
    try:
        callback(*args, **named)
    except Exception as error:  # noqa: BLE001  the owner may raise anything, and the transport has to go on
        report(loop, callback, error)


def report(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], error: Exception) -> None:
    """Give an exception of a callback to the loop's exception handler."""
    loop.call_exception_handler({"message": f"{callback!r}, called by a transport, failed", "exception": error})
