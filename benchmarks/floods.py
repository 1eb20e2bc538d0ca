"""An honest node beside an attacker at full speed: what is left of its throughput, and whether it answers in time.

    python -m benchmarks.floods                     # all kinds, 5 rounds each
    python -m benchmarks.floods garbage --rounds 3

Three processes: the node that is attacked, which has a core of its own; an honest peer, which tells it messages as fast
as they are taken and asks it five times a second; and the attacker.  The last two share the other core.  In the
control the attacker computes and sends nothing, so that the ratio shows what the attack does to the node, and not that
the attacker takes half of a core from the honest peer.  Control and attack alternate.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import trouper
from trouper import Actor, ActorRef, Message, Node, TrouperError, handler
from trouper.transports.keys import make_cluster_keys

SECONDS: Final = 3.0
ROUNDS: Final = 5
OPEN_MAX: Final = 400
"""Connections that an attacker without a key keeps open."""
ASKS_MAX: Final = 256
"""Asks that an attacker with a key has under way."""
CHECK_EVERY_S: Final = 0.2
CHECK_S: Final = 2.0
"""A health check that is not answered in this time is missed."""
GREETING: Final = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)
HELLO: Final = b"\x04\xc8\x05HELLO\x01\x00" + bytes(72) + os.urandom(32) + bytes(7) + b"\x01" + os.urandom(80)
"""A command of CurveZMQ as a client sends it, whose box was sealed for another server."""
GARBAGE: Final = (b"GET / HTTP/1.1\r\n\r\n", os.urandom(200), GREETING + os.urandom(500), bytes(64))


class Count(Message[None]):
    """One more."""


class Total(Message[int]):
    """The reply is how many came."""


class Counter(Actor):
    """Counts."""

    def __init__(self) -> None:
        self.count = 0

    @handler
    def add(self, msg: Count) -> None:
        """Count it."""
        self.count += 1

    @handler
    def total(self, msg: Total) -> int:
        """Reply."""
        return self.count


class Gone(Actor):
    """An actor that ends, whose ref its peers keep."""

    @handler
    def end(self, msg: Count) -> None:
        """End."""
        self.stop()


@dataclass(frozen=True)
class Result:
    """Of one run: messages a second of the honest peer, its health checks and those that were missed."""

    per_s: float
    checks: int
    missed: int


# -- the attackers -----------------------------------------------------------------------------------------------------


def connections(endpoint: str, hold: int) -> Iterator[socket.socket]:
    """Open connections for ever, from eight addresses of this host; the oldest above ``hold`` are closed."""
    port, held, number = int(endpoint.rpartition(":")[2]), list[socket.socket](), 0
    while True:
        made, number = socket.socket(), number + 1
        held.append(made)
        try:
            made.settimeout(1.0)
            made.bind((f"127.0.0.{2 + number % 8}", 0))
            made.connect(("127.0.0.1", port))
        except OSError:
            pass
        else:
            yield made
        while len(held) > hold:
            held.pop(0).close()


async def half_open(endpoint: str, _: str) -> None:
    """Open connections, and say nothing."""
    for _each in connections(endpoint, OPEN_MAX):
        pass


async def garbage(endpoint: str, _: str) -> None:
    """Send what is no handshake, and hang up."""
    for number, made in enumerate(connections(endpoint, 20)):
        with contextlib.suppress(OSError):
            made.send(GARBAGE[number % len(GARBAGE)])


async def wrong_key(endpoint: str, _: str) -> None:
    """Begin handshakes that take the node a calculation each, and fail."""
    for made in connections(endpoint, 20):
        with contextlib.suppress(OSError):
            made.send(GREETING + HELLO)


async def unknown_actors(endpoint: str, keys: str) -> None:
    """Tell messages to an actor that has ended."""
    async with Node("attacker", listen="tcp://127.0.0.1:0", join=[endpoint], keys=keys) as node:
        gone = await found(node, "user/gone")
        while True:
            await gone.tell(Count())


async def control(endpoint: str, keys: str) -> None:
    """Ask the node for actors that it does not have, many times at once."""
    async with Node("attacker", listen="tcp://127.0.0.1:0", join=[endpoint], keys=keys) as node:
        await node.network.wait_for_peer("victim")

        async def ask() -> None:
            while True:
                with contextlib.suppress(TrouperError):
                    await node.network.whereis("victim", "user/nobody")

        await asyncio.gather(*(ask() for _ in range(ASKS_MAX)))


async def nothing(_: str, __: str) -> None:
    """Compute, as the control."""
    while True:
        sum(range(10_000))


FLOODS: Final[dict[str, Callable[[str, str], Coroutine[object, object, None]]]] = {
    "half_open": half_open,
    "garbage": garbage,
    "wrong_key": wrong_key,
    "unknown_actors": unknown_actors,
    "control": control,
}


# -- the node and the honest peer --------------------------------------------------------------------------------------


async def victim(keys: str) -> None:
    """Be attacked until standard input ends."""
    async with Node("victim", listen="tcp://127.0.0.1:0", keys=keys) as node:
        await node.spawn(Counter, name="counter")
        await node.spawn(Gone, name="gone", restart="temporary")
        print(node.network.endpoint, flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def honest(endpoint: str, keys: str, seconds: float) -> None:
    """Tell messages, and print the result; another node of this process asks, whose asks wait behind no messages."""
    async with (
        Node("honest", listen="tcp://127.0.0.1:0", join=[endpoint], keys=keys) as node,
        Node("monitor", listen="tcp://127.0.0.1:0", join=[endpoint], keys=keys) as monitor,
    ):
        counter, checked = [await found(each, "user/counter") for each in (node, monitor)]
        checks: list[bool] = []
        checking = asyncio.create_task(check(checked, checks))
        before, begun = await counter.ask(Total(), 30.0), time.perf_counter()
        while time.perf_counter() < begun + seconds:
            for _ in range(200):
                await counter.tell(Count())
        arrived = await counter.ask(Total(), 30.0) - before
        per_s = arrived / (time.perf_counter() - begun)
        checking.cancel()
        print(json.dumps([per_s, len(checks), checks.count(False)]), flush=True)


async def found(node: Node, path: str) -> ActorRef:
    """Return an actor of the attacked node."""
    await node.network.wait_for_peer("victim")
    ref = await node.network.whereis("victim", path)
    assert ref is not None
    return ref


async def check(counter: ActorRef, checks: list[bool]) -> None:
    """Ask again and again; a check is True when it was answered in time."""
    while True:
        await asyncio.sleep(CHECK_EVERY_S)
        try:
            await counter.ask(Total(), CHECK_S)
            checks.append(True)
        except TrouperError:
            checks.append(False)


# -- the rounds --------------------------------------------------------------------------------------------------------


def run(kind: str, keys: Path, seconds: float = SECONDS) -> Result:
    """Attack a new node, and return what its honest peer measured."""
    cores = sorted(os.sched_getaffinity(0))
    with contextlib.ExitStack() as stack:
        attacked = stack.enter_context(_process(cores[0], "victim", "", keys))
        assert attacked.stdin is not None
        assert attacked.stdout is not None
        stack.callback(attacked.stdin.close)
        endpoint = attacked.stdout.readline().strip()
        attacker = stack.enter_context(_process(cores[-1], kind, endpoint, keys))
        stack.callback(attacker.kill)
        with _process(cores[-1], "honest", endpoint, keys, seconds) as peer:
            text, _ = peer.communicate()
        assert attacked.poll() is None, "the attacked node has ended"
        assert attacker.poll() is None, f"the attacker {kind} has ended by itself"
        return Result(*json.loads(text))


def _process(core: int, role: str, endpoint: str, keys: Path, seconds: float = SECONDS) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.floods", "--role", role, "--endpoint", endpoint, "--keys", str(keys)]
    return subprocess.Popen(
        [*command, "--core", str(core), "--seconds", str(seconds)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def measure(kind: str, rounds: int, seconds: float = SECONDS) -> list[tuple[Result, Result]]:
    """Return pairs of control and attack."""
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys"
        make_cluster_keys(keys)
        return [(run("nothing", keys, seconds), run(kind, keys, seconds)) for _ in range(rounds)]


def show(kind: str, pairs: list[tuple[Result, Result]]) -> str:
    """Return one row of the table."""
    ratios = sorted(attacked.per_s / control.per_s for control, attacked in pairs)
    alone, beside = (median(result.per_s for result in results) for results in zip(*pairs, strict=True))
    checks, missed = (sum(getattr(attacked, name) for _, attacked in pairs) for name in ("checks", "missed"))
    ratio = f"**{median(ratios):.2f}** ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    return f"| {kind} | {alone:,.0f} | {beside:,.0f} | {ratio} | {missed} of {checks} |"


def main() -> None:
    """Measure, or be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(FLOODS))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--role", help=argparse.SUPPRESS)
    parser.add_argument("--endpoint", help=argparse.SUPPRESS)
    parser.add_argument("--keys", help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role is None:
        for kind in given.kinds or FLOODS:
            print(show(kind, measure(kind, given.rounds, given.seconds)), flush=True)
        return
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})
    if given.role == "victim":
        trouper.run(lambda: victim(given.keys))
    elif given.role == "honest":
        trouper.run(lambda: honest(given.endpoint, given.keys, given.seconds))
    else:
        flood = {**FLOODS, "nothing": nothing}[given.role]
        trouper.run(lambda: flood(given.endpoint, given.keys))


if __name__ == "__main__":
    main()
