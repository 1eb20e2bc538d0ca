"""The programs of ``test_namespaces``: ``counter HERE`` keeps what it is told, ``teller HERE THERE`` tells it.

Both print JSON, one object a line.  The teller tells a number each millisecond or so, and says so for every 500, until
its standard input says ``stop``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial

import trouper
from trouper import Actor, Message, Node, handler


class Number(Message[None]):
    """The next number."""

    n: int


class Report(Message[list[int]]):
    """The reply is how many numbers came, how many of them were not the one after the last, and the last."""


class Counter(Actor):
    """Keeps the books."""

    def __init__(self) -> None:
        self.count = self.wrong = self.last = 0

    @handler
    def number(self, msg: Number) -> None:
        self.count += 1
        self.wrong += msg.n != self.last + 1
        self.last = msg.n

    @handler
    def report(self, msg: Report) -> list[int]:
        return [self.count, self.wrong, self.last]


def _say(**facts: object) -> None:
    print(json.dumps(facts), flush=True)  # noqa: T201  a program's output


async def count(here: str) -> None:
    """Be told, until somebody ends this process."""
    async with Node("counter", listen=here, insecure=True) as node:
        await node.spawn(Counter, name="books")
        _say(ready=True)
        await asyncio.Event().wait()


async def tell(here: str, there: str) -> None:
    """Tell one number after the other, and print at last what the other side made of them."""
    async with Node("teller", listen=here, join=[there], insecure=True) as node:
        peer = await node.network.wait_for_peer("counter")
        books = await node.network.whereis("counter", "user/books")
        assert books is not None, "the counter is there before anybody is told so"
        _say(ready=True)
        stop = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        told = 0
        while not stop.done():
            told += 1
            await books.tell(Number(told))
            if told % 500 == 0:
                _say(told=told)
            await asyncio.sleep(0.001)
        arrived, wrong, last = await books.ask(Report(), 30.0)
        breaks = vars(node.network)["_manager"].peer("counter").breaks
        same = node.network.peers.get("counter") is peer
        _say(told=told, arrived=arrived, wrong=wrong, last=last, same=same, breaks=breaks)


def main() -> None:
    """Be one of the two."""
    role, here, *there = sys.argv[1:]
    trouper.run(partial(count, here) if role == "counter" else partial(tell, here, *there))


if __name__ == "__main__":
    main()
