"""``python -m benchmarks.bulk``: a large numpy array to another process, and an acknowledgement (W7).

All contestants are set up at once and take turns, one message each; the median is printed.  The baseline copies the
array into shared memory that both processes have touched before, and signals the other through a pipe.  ``raw`` is
blocking pyzmq: the array as one buffer of a multipart message, without a copy on either side, and an empty message
back.  Contestants that are not installed are left out.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import mmap
import os
import random
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median
from subprocess import PIPE, Popen
from time import perf_counter
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zmq

import trouper
from trouper import Actor, Message, Node, handler
from trouper.runtime.net.spawn_request import spawn_request
from trouper.runtime.session.bulk_chunks import BulkSettings

Array = npt.NDArray[np.float64]
Send = Callable[[Array], Awaitable[None]]
WARM_UPS: Final = 3


class Take(Message[int]):
    """The reply is the bytes of the array."""

    data: np.ndarray[Any, np.dtype[np.float64]]  # Any: of any shape


class Taker(Actor):
    """Looks at the array, and lets it go."""

    @handler
    def take(self, msg: Take) -> int:
        """Acknowledge."""
        assert msg.data[0] == 1.0, "the array came as it was sent"
        return msg.data.nbytes


def child(kind: str, *arguments: str) -> Popen[bytes]:
    """Start the other process of a contestant."""
    command = [sys.executable, "-m", "benchmarks.bulk", "--serve", kind, *arguments]
    return Popen(command, stdin=PIPE, stdout=PIPE)


def end(process: Popen[bytes]) -> None:
    """End it."""
    process.terminate()
    process.communicate()


# -- the baseline ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def baseline(size_bytes: int) -> AsyncGenerator[Send]:
    """One copy, and two bytes through pipes."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        os.ftruncate(file.fileno(), size_bytes)
        memory = mmap.mmap(file.fileno(), size_bytes)
        target = np.frombuffer(memory, np.float64)
        process = child("baseline", file.name, str(size_bytes))

        async def send(array: Array) -> None:
            assert process.stdin is not None, "it was asked for"
            assert process.stdout is not None, "it was asked for"
            np.copyto(target, array)
            os.write(process.stdin.fileno(), b"x")
            os.read(process.stdout.fileno(), 1)

        yield send
        end(process)


def serve_baseline(name: str, size: str) -> None:
    """Look at the memory, and say so."""
    with Path(name).open("rb") as file:
        seen = np.frombuffer(mmap.mmap(file.fileno(), int(size), prot=mmap.PROT_READ), np.float64)
    while os.read(0, 1):
        assert seen[0] == 1.0, "the array came as it was sent"
        os.write(1, b"y")


# -- plain pyzmq -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def raw(endpoint: str) -> AsyncGenerator[Send]:
    """Blocking DEALER to ROUTER."""
    process = child("raw", endpoint)
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.connect(endpoint)

        async def send(array: Array) -> None:
            dealer.send_multipart([b"head", array.data], copy=False)
            dealer.recv()

        yield send
    end(process)


def serve_raw(endpoint: str) -> None:
    """Acknowledge each message."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.bind(endpoint)
        while True:
            sender, _, data = router.recv_multipart(copy=False)
            assert np.frombuffer(data.buffer, np.float64)[0] == 1.0, "the array came as it was sent"
            router.send_multipart([sender.bytes, b""])


# -- ours --------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def ours(here: str, there: str, shared_bytes_max: int) -> AsyncGenerator[Send]:
    """A node in this process and one in the other."""
    name = f"there{there.rpartition('/')[2]}".replace(":", "-")
    process = child("ours", name, there, here, str(shared_bytes_max))
    node = Node(f"here-{name}", listen=here, insecure=here.startswith("tcp"), bulk=_settings(shared_bytes_max))
    async with node:
        await node.network.wait_for_peer(name)
        taker = await node.network.spawn_at(name, spawn_request(Taker, (), None, 5.0))

        async def send(array: Array) -> None:
            await taker.ask(Take(array), timeout_s=60.0)

        yield send
        end(process)


async def serve_ours(name: str, listen: str, join: str, shared_bytes_max: str) -> None:
    """Be the other node, until standard input ends."""
    bulk = _settings(int(shared_bytes_max))
    allowed = ["benchmarks.bulk"]
    insecure = listen.startswith("tcp")
    async with Node(name, listen=listen, join=[join], insecure=insecure, bulk=bulk, allowed_modules=allowed):
        await asyncio.to_thread(sys.stdin.read)


def _settings(shared_bytes_max: int) -> BulkSettings:
    return BulkSettings(shared_bytes_max=shared_bytes_max)


# -- others ------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def xoscar() -> AsyncGenerator[Send]:
    """An actor of xoscar in a process of its pool."""
    from benchmarks.peers.xoscar_bulk import open_taker

    async with open_taker() as send:
        yield send


# -- the rounds --------------------------------------------------------------------------------------------------------


async def measure(rounds: int, size_bytes: int, folder: str) -> dict[str, list[float]]:
    """Seconds of each message, by contestant."""
    tcp = [f"tcp://127.0.0.1:{port}" for port in _free_ports(3)]
    contestants = {
        "baseline": baseline(size_bytes),
        "ours, shared memory": ours(f"ipc://{folder}/a", f"ipc://{folder}/b", 2**30),
        "ours, ipc": ours(f"ipc://{folder}/c", f"ipc://{folder}/d", 0),
        "raw, ipc": raw(f"ipc://{folder}/e"),
        "ours, tcp": ours(tcp[0], tcp[1], 0),
        "raw, tcp": raw(tcp[2]),
    }
    if importlib.util.find_spec("xoscar") is not None:
        contestants["xoscar"] = xoscar()
    array, chance = np.ones(size_bytes // 8), random.Random(0)
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    async with AsyncExitStack() as stack:
        sends = {name: await stack.enter_async_context(contestant) for name, contestant in contestants.items()}
        for number in range(-WARM_UPS, rounds):
            for name in chance.sample(list(sends), len(sends)):  # the first one finds the array in no cache
                send = sends[name]
                begun = perf_counter()
                await send(array)
                if number >= 0:
                    taken[name].append(perf_counter() - begun)
    return taken


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def show(taken: dict[str, list[float]], size_bytes: int) -> None:
    """Print a line for each contestant."""
    rate = {name: size_bytes / median(seconds) / 1e9 for name, seconds in taken.items()}
    beside = {"ours, ipc": "raw, ipc", "ours, tcp": "raw, tcp"}
    for name, seconds in taken.items():
        other = beside.get(name, "baseline")
        print(
            f"{name:22}{median(seconds) * 1e3:9.2f} ms{rate[name]:8.2f} GB/s"
            f"   best {min(seconds) * 1e3:8.2f} ms   {rate[name] / rate[other]:5.2f} x {other}"
        )


def main() -> None:
    """Read the arguments; be a child, or measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", nargs="+", help="be the other process of a contestant")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--mebibytes", type=int, default=64)
    options = parser.parse_args()
    if options.serve is None:
        size_bytes = options.mebibytes * 2**20
        with tempfile.TemporaryDirectory() as folder:
            show(trouper.run(partial(measure, options.rounds, size_bytes, folder)), size_bytes)
        return
    kind, *arguments = options.serve
    if kind == "ours":
        trouper.run(partial(serve_ours, *arguments))
    else:
        serves: dict[str, Callable[..., None]] = {"baseline": serve_baseline, "raw": serve_raw}
        serves[kind](*arguments)


if __name__ == "__main__":
    main()
