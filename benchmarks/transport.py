"""``python -m benchmarks.transport``: frames between two processes, over our transport and over plain blocking pyzmq.

One way: from the first frame sent until the receiver has told that it has the last one.  Ping-pong: one frame there and
one back, the next one then; the median trip.  Ours and the plain one take turns; the best of the rounds is printed,
since whatever else runs on a machine only ever makes a round slower.

The plain one is the baseline: it does nothing but send and receive, in a loop of its own that may stand still.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final, NamedTuple

import uvloop
import zmq

from trouper.runtime.session.transport import Buffer, Source, TransportLimits, Wire
from trouper.transports.keys import KeyRing, make_cluster_keys
from trouper.transports.zeromq import ZeroMQTransport

WORKLOADS: Final = ((100, 100_000), (20_000, 10_000), (1_000_000, 500))
"""Bytes of a frame, and how many are sent one way."""
TRIPS: Final = 3_000
LIMITS: Final = TransportLimits(queue_bytes_max=64_000_000)
PING, COUNT = b"p", b"c"


class Sample(NamedTuple):
    """What one side achieved in one round: seconds a frame one way for each size, and seconds a trip."""

    one_way_s: tuple[float, ...]
    trip_s: float


# -- ours --------------------------------------------------------------------------------------------------------------


class Side:
    """An owner with one wire.  Without ``on_frame`` it echoes pings, and answers when a count of frames is complete."""

    def __init__(self) -> None:
        self.wire: Wire | None = None
        self.heard: asyncio.Future[None] | None = None
        self.room: asyncio.Future[None] | None = None
        self.awaited = 0

    def frame_received(self, parts: Sequence[Buffer], source: Source) -> None:
        """Count, echo or notice."""
        if self.awaited:
            self.awaited -= 1
            if self.awaited:
                return
        elif parts[0] == COUNT:
            self.awaited = int(bytes(parts[1]))
            return
        if self.heard is not None:
            self.heard.set_result(None)
        elif self.wire is not None:
            self.wire.send_nowait([PING])

    def wire_ready(self, wire: Wire) -> None:
        """There is room again."""
        if self.room is not None:
            self.room.set_result(None)

    def wire_lost(self, wire: Wire, reason: str) -> None:
        """The end."""

    async def answer(self) -> None:
        """Wait for one frame."""
        assert self.heard is not None, "it is set before anything is sent"
        await self.heard
        self.heard = None


async def ours(endpoints: tuple[str, str], keys: KeyRing | None) -> Sample:
    """Measure from this side; the peer runs ``serve_ours``."""
    side, loop = Side(), asyncio.get_running_loop()
    transport = ZeroMQTransport(side, LIMITS, keys)
    await transport.listen(endpoints[0])
    wire = transport.connect(endpoints[1])
    trips: list[float] = []
    for _ in range(TRIPS):
        begun = perf_counter()
        side.heard = loop.create_future()
        wire.send_nowait([PING])
        await side.answer()
        trips.append(perf_counter() - begun)
    one_way: list[float] = []
    for frame_bytes, count in WORKLOADS:
        begun, frame = perf_counter(), bytes(frame_bytes)
        side.heard = loop.create_future()
        wire.send_nowait([COUNT, str(count).encode()])
        for _ in range(count):
            while not wire.send_nowait([frame]):
                side.room = loop.create_future()
                await side.room
        await side.answer()
        one_way.append((perf_counter() - begun) / count)
    await transport.close()
    return Sample(tuple(one_way), median(trips))


async def serve_ours(endpoints: tuple[str, str], keys: KeyRing | None) -> None:
    """The other side, until standard input ends."""
    side = Side()
    transport = ZeroMQTransport(side, LIMITS, keys)
    await transport.listen(endpoints[1])
    side.wire = transport.connect(endpoints[0])
    await asyncio.to_thread(sys.stdin.read)
    await transport.close()


# -- plain pyzmq -------------------------------------------------------------------------------------------------------


def plain(endpoints: tuple[str, str], keys: KeyRing | None) -> Sample:
    """Measure from this side, one socket for both directions; the peer runs ``serve_plain``."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        if keys is not None:
            dealer.set(zmq.CURVE_SERVERKEY, keys.cluster.public.encode())
            dealer.set(zmq.CURVE_PUBLICKEY, keys.cluster.public.encode())
            dealer.set(zmq.CURVE_SECRETKEY, keys.cluster.secret.encode())
        dealer.connect(endpoints[1])
        trips: list[float] = []
        for _ in range(TRIPS):
            begun = perf_counter()
            dealer.send(PING)
            dealer.recv()
            trips.append(perf_counter() - begun)
        one_way: list[float] = []
        for frame_bytes, count in WORKLOADS:
            begun, frame = perf_counter(), bytes(frame_bytes)
            dealer.send_multipart([COUNT, str(count).encode()])
            for _ in range(count):
                dealer.send(frame, 0, frame_bytes < zmq.COPY_THRESHOLD)
            dealer.recv()
            one_way.append((perf_counter() - begun) / count)
        return Sample(tuple(one_way), median(trips))


def serve_plain(endpoints: tuple[str, str], keys: KeyRing | None) -> None:
    """The other side, until it is ended."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        if keys is not None:
            router.set(zmq.CURVE_SERVER, 1)
            router.set(zmq.CURVE_SECRETKEY, keys.cluster.secret.encode())
        router.bind(endpoints[1])
        while True:
            sender, first, *rest = router.recv_multipart()
            for _ in range(int(rest[0]) if first == COUNT else 0):
                router.recv()
                router.recv(copy=False)
            router.send_multipart([sender, PING])


# -- the rounds --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def peer(kind: str, endpoints: tuple[str, str], keys: Path | None) -> Generator[None]:
    """The other process."""
    command = [sys.executable, "-m", "benchmarks.transport", "--serve", kind, *endpoints]
    process = subprocess.Popen([*command, "--keys", str(keys)] if keys else command, stdin=subprocess.PIPE)
    try:
        yield
    finally:
        process.terminate()
        process.communicate()


def measure(scheme: str, rounds: int, folder: Path) -> dict[str, list[Sample]]:
    """Samples of both kinds, taken in turn."""
    keys_folder = folder / "keys" if scheme == "tcp" else None
    keys = KeyRing.load(keys_folder) if keys_folder else None
    samples: dict[str, list[Sample]] = {"ours": [], "plain": []}
    run: dict[str, Callable[[tuple[str, str]], Sample]] = {
        "ours": lambda endpoints: uvloop.run(ours(endpoints, keys)),
        "plain": lambda endpoints: plain(endpoints, keys),
    }
    for number in range(rounds):
        for kind, take in run.items():
            name = f"{scheme}{number}{kind}"
            endpoints = _free_ports() if scheme == "tcp" else (f"ipc://{folder}/{name}a", f"ipc://{folder}/{name}b")
            with peer(kind, endpoints, keys_folder):
                samples[kind].append(take(endpoints))
    return samples


def _free_ports() -> tuple[str, str]:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as first, context.socket(zmq.ROUTER) as second:
        ports = [each.bind_to_random_port("tcp://127.0.0.1") for each in (first, second)]
    return (f"tcp://127.0.0.1:{ports[0]}", f"tcp://127.0.0.1:{ports[1]}")


def show(scheme: str, samples: dict[str, list[Sample]]) -> None:
    """Print the best of each kind, and ours as a multiple of the plain one."""
    best = {kind: Sample(*_best(taken)) for kind, taken in samples.items()}
    for number, (frame_bytes, _) in enumerate(WORKLOADS):
        ours_s, plain_s = best["ours"].one_way_s[number], best["plain"].one_way_s[number]
        for kind, frame_s in (("ours", ours_s), ("plain", plain_s)):
            print(
                f"{scheme:9} {frame_bytes:>9,} B  {kind:5} {frame_s * 1e6:9.2f} us/frame {1 / frame_s:>10,.0f} frames/s"
            )
        print(f"{'':21}  ours/plain {ours_s / plain_s:.2f}")
    ours_s, plain_s = best["ours"].trip_s, best["plain"].trip_s
    print(f"{scheme:9} ping-pong   ours {ours_s * 1e6:.0f} us, plain {plain_s * 1e6:.0f} us: {ours_s / plain_s:.2f}")


def _best(taken: Sequence[Sample]) -> tuple[tuple[float, ...], float]:
    return tuple(map(min, zip(*(each.one_way_s for each in taken), strict=True))), min(each.trip_s for each in taken)


def main() -> None:
    """Read the command line and do as it says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transport", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="samples of each kind (3)")
    parser.add_argument("--serve", nargs=3, metavar=("KIND", "A", "B"), help="be the other process")
    parser.add_argument("--keys", type=Path, help="a folder of keys, for tcp")
    given = parser.parse_args()
    if given.serve:
        kind, *endpoints = given.serve
        keys = KeyRing.load(given.keys) if given.keys else None
        if kind == "plain":
            serve_plain(tuple(endpoints), keys)
        else:
            uvloop.run(serve_ours(tuple(endpoints), keys))
        return
    with tempfile.TemporaryDirectory() as folder:
        make_cluster_keys(Path(folder) / "keys")
        for scheme in ("ipc", "tcp"):
            show("ipc" if scheme == "ipc" else "tcp+CURVE", measure(scheme, given.rounds, Path(folder)))


if __name__ == "__main__":
    main()
