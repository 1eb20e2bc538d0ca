"""Scenarios of five nodes, read from ``tests/data/cluster/scenarios``, and played by any class that has the verbs.

    partition n1,n2 | n3,n4,n5     nothing gets through between them
    cut n1 n2                      the same, between two
    oneway n1 > n2                 what the one sends to the other is lost
    worsen n2: 30 ms, 10 %         all that it sends takes longer, and a part of it is lost
    heal                           the network is as it was
    kill n3    start n3    leave n4
    expect n1,n2: n1 n2 !n3 within 15    each of these comes to this view in so many seconds; or to ``ended``
    keep all: n1 n2 n3 n4 n5 for 6       nobody of these is taken for lost meanwhile

A view is the members in the eyes of a node; ``!`` stands before who is unreachable.  A suspicion is no loss.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from trouper.actors.cluster.config import ClusterConfig, HealthCheck
from trouper.actors.cluster.splitbrain.resolver import SplitBrainSettings

FOLDER = Path(__file__).parents[2] / "data" / "cluster" / "scenarios"
NAMES = ("n1", "n2", "n3", "n4", "n5")
ENDED = "ended"
CONFIG = ClusterConfig(
    name="scenario",
    health_check=HealthCheck(interval_s=0.4, timeout_s=0.2, retries=3),
    split_brain=SplitBrainSettings(stable_after_s=6.0),
    announce=frozenset(),
    detect=False,
)
"""Short times, so that a scenario takes seconds for real.  A side is stable for longer than it takes to find that all
of the other one are gone: four probes, each of which takes up to four times longer while the node trusts itself less.
"""


class Stage(Protocol):
    """What a scenario is played on."""

    async def partition(self, one: list[str], other: list[str]) -> None:
        """Let nothing through between these, either way."""
        ...

    async def cut_one_way(self, source: str, target: str) -> None:
        """Lose what one sends to the other."""
        ...

    async def worsen(self, name: str, delay_ms: float, loss_percent: float) -> None:
        """Delay what a node sends, and lose a part of it."""
        ...

    async def heal(self) -> None:
        """Take back all of that."""
        ...

    async def kill(self, name: str) -> None:
        """End a node from one moment to the next."""
        ...

    async def start(self, name: str) -> None:
        """Start a node that has ended."""
        ...

    async def leave(self, name: str) -> None:
        """Have a node leave and end in order."""
        ...

    def view(self, name: str) -> str:
        """What a node sees now; ``ENDED`` when it has ended."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let so much time pass."""
        ...


async def play(text: str, stage: Stage) -> None:
    """Play all steps in order; fails with the step that did not come out, and what each node saw instead."""
    for line in text.splitlines():
        if line and not line.startswith("#"):
            await _step(line, stage)


async def _step(line: str, stage: Stage) -> None:
    verb, _, rest = line.partition(" ")
    if expected := re.fullmatch(r"(?:expect|keep) (\S+): (.+) (within|for) (\d+)", line):
        who, wanted, _, seconds = expected.groups()
        await (_expect if verb == "expect" else _keep)(line, stage, _names(who), wanted, float(seconds))
    elif verb == "partition":
        one, _, other = rest.partition(" | ")
        await stage.partition(_names(one), _names(other))
    elif verb == "cut":
        one, _, other = rest.partition(" ")
        await stage.partition([one], [other])
    elif verb == "oneway":
        source, _, target = rest.partition(" > ")
        await stage.cut_one_way(source, target)
    elif worse := re.fullmatch(r"worsen (\S+): (\d+) ms, (\d+) %", line):
        await stage.worsen(worse[1], float(worse[2]), float(worse[3]))
    elif verb == "heal":
        await stage.heal()
    else:
        await {"kill": stage.kill, "start": stage.start, "leave": stage.leave}[verb](rest)


async def _expect(line: str, stage: Stage, names: list[str], wanted: str, seconds: float) -> None:
    for _ in range(round(seconds / 0.1)):
        if all(_seen(stage, name) == wanted for name in names):
            return
        await stage.sleep(0.1)
    raise AssertionError(f"{line}: they see {_all(stage, names)}")


async def _keep(line: str, stage: Stage, names: list[str], wanted: str, seconds: float) -> None:
    for _ in range(round(seconds / 0.1)):
        assert all(_seen(stage, name) == wanted for name in names), f"{line}: they see {_all(stage, names)}"
        await stage.sleep(0.1)


def _seen(stage: Stage, name: str) -> str:
    return stage.view(name).replace("?", "")


def _all(stage: Stage, names: list[str]) -> str:
    return "; ".join(f"{name}: {stage.view(name)}" for name in names)


def _names(text: str) -> list[str]:
    return list(NAMES) if text == "all" else text.split(",")
