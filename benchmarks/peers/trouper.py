"""Trouper as a peer: the workloads of ``trouper.cli.workloads``, on uvloop and on asyncio's loop, and cold starts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from functools import partial

import trouper
from trouper.cli.workloads import WORKLOADS

from ..cold import milliseconds, milliseconds_until_printed
from . import Figures, Workloads, on_asyncio
from .trouper_nodes import PLACED

FIRST_MESSAGE = """
import time
import trouper

class Hello(trouper.Message[int]):
    pass

async def greet(msg: Hello) -> int:
    return time.monotonic_ns()

async def main():
    async with trouper.Node() as node:
        print(await (await node.spawn(greet)).ask(Hello()))

trouper.run(main)
"""


def on_uvloop(work: Callable[[int], Coroutine[object, object, Figures]]) -> Callable[[int], Figures]:
    """Make a work that is a coroutine function into a plain one, run as users run theirs."""
    return lambda size: trouper.run(partial(work, size))


def start(repeats: int) -> Figures:
    """How long ``import trouper`` takes, Python's own start and end with it."""
    return {"value": milliseconds([sys.executable, "-c", "import trouper"], repeats)}


def first_message(repeats: int) -> Figures:
    """How long it takes from nothing until a first actor has handled its first message."""
    return {"value": milliseconds_until_printed([sys.executable, "-c", FIRST_MESSAGE], repeats)}


ON_UVLOOP: Workloads = {
    **{name: on_uvloop(work.run) for name, work in WORKLOADS.items()},
    "memory": on_uvloop(WORKLOADS["spawn"].run),
    # Only Erlang has two ways to do these; ours is the same beside both.
    "tell_gen_server": on_uvloop(WORKLOADS["tell"].run),
    "node_tell_gen_server": PLACED["node_tell"],
    "restart_logged": on_uvloop(WORKLOADS["restart"].run),
    "start": start,
    "first_message": first_message,
    **PLACED,
}
ON_ASYNCIO: Workloads = {name: on_asyncio(work.run) for name, work in WORKLOADS.items()}
