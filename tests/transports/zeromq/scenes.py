"""What the tests of the ZeroMQ transport share: real loops of both kinds, keys, and what a test must leave behind."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

import uvloop

from tests.transports.laws import WAIT_S, Scene
from trouper.transports.keys import KeyPair, KeyRing

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
LOOPS: Mapping[str, LoopFactory] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
KEYS = KeyRing(KeyPair.make())
TCP = "tcp://127.0.0.1:0"


def play(scene: Scene, loop: str = "asyncio") -> None:
    """Run a scene on a real loop, within a time that only a fault needs."""

    async def bounded() -> None:
        async with asyncio.timeout(2 * WAIT_S):
            await scene()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until a condition holds of which nobody tells."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0)


def ipc_endpoint(folder: Path) -> str:
    """A new endpoint in a folder, which ``tmp_path`` has made private."""
    return f"ipc://{folder / secrets.token_hex(4)}"


def open_descriptors() -> set[str]:
    """The descriptors of this process, each with what it leads to."""
    found: set[str] = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  names are all that is asked for
        try:
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")  # noqa: PTH115  a path that leads nowhere
        except FileNotFoundError:
            continue  # that of the folder itself
    return found
