"""One program in three placements: one loop, another process, or over TCP.  Only the node and the place change.

python 13_placements.py           everything in one loop
python 13_placements.py process   the counters in another process of this machine
python 13_placements.py tcp       the same over TCP, encrypted, with keys made for this run
"""

import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import trouper
from trouper import Actor, ActorRef, Message, Node, Reject, handler
from trouper.transports.keys import make_cluster_keys


class Count(Message[int]):
    """Count the words of a line; the reply is how many there have been in all."""

    line: str


class Partner(Message[int]):
    """Ask another actor to count a line, and reply with its result."""

    who: ActorRef
    line: str


class Counter(Actor):
    """Counts words.  It does not know where it is."""

    def __init__(self, start: int) -> None:
        self.words = start

    @handler
    def count(self, msg: Count) -> int:
        """Refuse an empty line."""
        if not msg.line:
            raise Reject("an empty line")
        self.words += len(msg.line.split())
        return self.words

    @handler
    async def partner(self, msg: Partner) -> int:
        """Ask by a ref, which came in a message."""
        return await msg.who.ask(Count(msg.line))


async def play(node: Node, place: str | None) -> None:
    """The program.  ``place`` is its only word about where things are."""
    here = await node.spawn(Counter, 0)
    there = await node.spawn(Counter, 100, name="ada", place=place)
    for line in ("to be or", "not to be"):
        there.tell(Count(line))
    print("ada has", await there.ask(Count("that is the question")))
    print("asked from there:", await there.ask(Partner(here, "whether tis nobler")))
    try:
        await there.ask(Count(""))
    except Reject as no:
        print("no:", no)
    await there.stop()
    print("ada:", await there.wait_stopped())


@contextmanager
def another_node(*options: str) -> Generator[str, None, None]:
    """Run ``trouper node`` in a process of its own; gives the endpoint where it listens."""
    command = [sys.executable, "-m", "trouper", "node", "run", "--name", "room", "--allow", "13_placements", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.terminate()


async def main() -> None:
    """Choose a placement, and run the program in it."""
    placement = sys.argv[1] if len(sys.argv) > 1 else "loop"
    with tempfile.TemporaryDirectory() as folder:
        if placement == "loop":
            async with Node("desk") as node:
                await play(node, None)
            return
        keys = None
        listen = [f"ipc://{folder}/room", f"ipc://{folder}/desk"]
        options: list[str] = []
        if placement == "tcp":
            keys, listen = f"{folder}/keys", ["tcp://127.0.0.1:0", "tcp://127.0.0.1:0"]
            make_cluster_keys(Path(keys))
            options = ["--keys", keys]
        with another_node("--listen", listen[0], *options) as endpoint:
            async with Node("desk", listen=listen[1], join=[endpoint], keys=keys) as node:
                await node.network.wait_for_peer("room")
                await play(node, "room")


if __name__ == "__main__":
    trouper.run(main)

# Output:
# | ada has 110
# | asked from there: 3
# | no: an empty line
# | ada: stopped
