"""``python -m benchmarks.cluster_api``: what choosing a place costs by members, and what the end of an actor costs.

Both are curves: a choice may grow with the number of members, since it compares them, and with nothing else; the end of
a named actor may grow with nothing.  ``--placements`` choices are made for each size.  Times are processor time.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager

from trouper import Actor, ActorRef, Node
from trouper.actors.cluster import member_info
from trouper.actors.cluster.membership.machine import Membership
from trouper.actors.cluster.membership.records import Member
from trouper.actors.cluster.metadata import Facts, Location, make_metadata
from trouper.cluster import ClusterConfig, Policy, labels, least_loaded, spread

MEMBERS = (10, 100, 1_000)
NAMES = (1_000, 10_000, 50_000)
POLICIES = (least_loaded(), spread(by="zone"), labels(gpu="a100") | spread(by="zone") | least_loaded())


class Idle(Actor):
    """Has a name and does nothing."""


@contextmanager
def timed(result: list[float]) -> Generator[None]:
    """Add the seconds of processor time that the block takes to the result."""
    began = time.process_time()
    yield
    result.append(time.process_time() - began)


def fill(node: Node, count: int) -> None:
    """Let a node know this number of members that do not exist."""
    records: list[Member] = []
    for number in range(count - 1):
        metadata = make_metadata(
            Facts(host=f"host-{number}"),
            location=Location(region="eu", zone=f"z{number % 3}", rack=f"r{number % 30}"),
            labels={"gpu": "a100"} if number % 4 == 0 else {"disk": "ssd"},
        )
        payload = member_info.write(1, metadata, 1_024)
        records.append(Member(f"m{number:04}", f"inprocess://m{number:04}", 1, metadata=payload))
    machine = node.cluster.machine
    assert isinstance(machine, Membership), "the node is no worker"
    machine.acquaint(records, node.system.loop.time())
    node.cluster.changed()


def place(node: Node, policy: Policy, placements: int) -> float:
    """Return the seconds for one choice, each counted as an actor that was placed there."""
    took: list[float] = []
    with timed(took):
        for _ in range(placements):
            node.network.placed_actors[node.cluster.choose(policy)] += 1
    node.network.placed_actors.clear()
    return took[0] / placements


async def choices(placements: int) -> None:
    """Print a row for each number of members."""
    print(f"| members | {' | '.join(f'`{policy}`' for policy in POLICIES)} |")
    print(f"|---|{'---|' * len(POLICIES)}")
    for count in MEMBERS:
        config = ClusterConfig(name="bench", detect=False, split_brain=None)
        async with Node("me", listen=f"inprocess://bench-{count}", cluster=config) as node:
            fill(node, count)
            row = [place(node, policy, placements) for policy in POLICIES]
        print(f"| {count} | {' | '.join(f'{seconds * 1e6:.0f} µs' for seconds in row)} |", flush=True)


async def ends() -> None:
    """Print the seconds for the end of one actor, by the number of actors with a name each."""
    print("\n| named actors | the end of one |\n|---|---|")
    for count in NAMES:
        config = ClusterConfig(name="bench", detect=False, split_brain=None)
        async with Node("me", listen="inprocess://bench-ends", cluster=config) as node:
            tables = node.cluster.shared_state
            refs: list[ActorRef] = []
            for number in range(count):
                ref = await node.spawn(Idle)
                tables.watch_owner(ref, "the name", f"name-{number}")
                tables.tables.names.register(f"name-{number}", ref)
                refs.append(ref)
            took: list[float] = []
            with timed(took):
                await asyncio.gather(*(ref.stop() for ref in refs))
        print(f"| {count} | {took[0] / count * 1e6:.1f} µs |", flush=True)


async def main(placements: int) -> None:
    """Print both curves as tables."""
    await choices(placements)
    await ends()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--placements", type=int, default=10_000, help="choices for each size and policy")
    asyncio.run(main(parser.parse_args().placements))
