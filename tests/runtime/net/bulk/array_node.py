"""A node in a process of its own, with an actor that keeps arrays.

``python -m tests.runtime.net.bulk.array_node NAME LISTEN JOIN`` ends when its standard input does.  ``hold`` keeps what
it gets, so that shared memory is in use when it is killed.
"""

import asyncio
import sys

import numpy as np
import numpy.typing as npt

import trouper
from trouper import Actor, ActorRef, Message, Node, handler


class Hold(Message[int]):
    """Keep this; the reply is the sum of it."""

    data: npt.NDArray[np.int64]


class Drop(Message[int]):
    """Let go of everything; the reply is how many there were."""


class Give(Message[npt.NDArray[np.int64]]):
    """The reply is an array of so many numbers."""

    count: int


class Feed(Message[int]):
    """Send an array of so many numbers to an actor; the reply is its reply."""

    target: ActorRef
    count: int


class Holder(Actor):
    """Keeps arrays."""

    def __init__(self) -> None:
        self.held: list[npt.NDArray[np.int64]] = []

    @handler
    def hold(self, msg: Hold) -> int:
        assert not msg.data.flags.writeable
        self.held.append(msg.data)
        return int(msg.data.sum())

    @handler
    def drop(self, msg: Drop) -> int:
        count = len(self.held)
        self.held.clear()
        return count

    @handler
    def give(self, msg: Give) -> npt.NDArray[np.int64]:
        return np.arange(msg.count)

    @handler
    async def feed(self, msg: Feed) -> int:
        return await msg.target.ask(Hold(np.ones(msg.count, np.int64)), timeout_s=30.0)


async def main(name: str, listen: str, join: str) -> None:
    """Be the node."""
    async with Node(name, listen=listen, join=[join], insecure=listen.startswith("tcp")) as node:
        await node.spawn(Holder, name="holder")
        sys.stdout.write(f"{node.network.endpoint}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    from tests.runtime.net.bulk import array_node

    trouper.run(lambda: array_node.main(*sys.argv[1:]))
