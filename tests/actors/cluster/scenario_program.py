"""One node of a scenario for real: ``scenario_program NAME ENDPOINT SEED...`` prints its view whenever it has changed.

SIGTERM makes it leave.
"""

from __future__ import annotations

import asyncio
import sys

import trouper
from tests.actors.cluster.scenarios import CONFIG
from tests.actors.cluster.stage import view
from trouper import Node


async def _watch(node: Node) -> None:
    before = ""
    while True:
        now = view(node)
        if now != before:
            sys.stdout.write(f"{now}\n")
            sys.stdout.flush()
            before = now
        await node.cluster.wait_changed()


async def main() -> None:
    """Run the node until it is told to leave, or taken down."""
    name, listen, *seeds = sys.argv[1:]
    async with Node(name, listen=listen, join=seeds, cluster=CONFIG, insecure=True) as node:
        watching = asyncio.create_task(_watch(node))
        await node.shutdown.wait()
        watching.cancel()


if __name__ == "__main__":
    trouper.run(main)
