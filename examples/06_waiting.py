"""Three ways to wait: an async handler (the mailbox waits too), `pipe_to_self` (it does not), `offload` (a thread)."""

import asyncio
import time

import trouper
from trouper import Actor, Message, Node, handler


class Fetch(Message):
    """Get a page."""

    page: str


class Fetched(Message):
    """What `pipe_to_self` makes of a page."""

    page: str
    text: str


class FetchFailed(Message):
    """What `pipe_to_self` makes of an error."""

    page: str
    error: str


class Hash(Message[int]):
    """A computation that would hold the loop, and with it every other actor."""

    rounds: int


class Quit(Message):
    """Ends the reader once it has nothing left to wait for."""


async def download(page: str) -> str:
    """Stand in for the network."""
    await asyncio.sleep(0.03 if page == "slow" else 0.01)
    if page == "missing":
        raise LookupError(page)
    return f"<{page}>"


def slow_hash(rounds: int) -> int:
    """Stand in for anything that blocks: a computation, a driver without asyncio."""
    time.sleep(0.01)
    return rounds * 7


class Reader(Actor):
    """Fetches many pages at once, and handles messages while they are under way."""

    def __init__(self) -> None:
        self.waiting = 0

    @handler
    def fetch(self, msg: Fetch) -> None:
        """Begin, and return at once; the result comes as a message, so the state is only ever touched by a handler."""
        self.waiting += 1
        self.pipe_to_self(
            download(msg.page),
            lambda text: Fetched(msg.page, text),
            on_error=lambda error: FetchFailed(msg.page, repr(error)),
        )

    @handler
    def fetched(self, msg: Fetched | FetchFailed) -> None:
        """Handle both outcomes."""
        print(msg)
        self.waiting -= 1

    @handler
    async def hash(self, msg: Hash) -> int:
        """Wait for a thread.  This actor handles nothing else meanwhile; all others do."""
        return await self.offload(slow_hash, msg.rounds)

    @handler
    def quit(self, msg: Quit) -> None:
        """Look again a little later while pages are under way."""
        if self.waiting:
            self.timers.once("quit", 0.005, msg)
        else:
            self.stop()


async def main() -> None:
    """Fetch three pages at once."""
    async with Node() as node:
        reader = await node.spawn(Reader)
        for page in ("slow", "index", "missing"):
            reader.tell(Fetch(page))
        print("hashed to", await reader.ask(Hash(6)))
        reader.tell(Quit())
        await reader.wait_stopped()


trouper.run(main)

# Output:
# | hashed to 42
# | Fetched(page='index', text='<index>')
# | FetchFailed(page='missing', error="LookupError('missing')")
# | Fetched(page='slow', text='<slow>')
