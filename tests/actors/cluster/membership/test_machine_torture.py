"""Torture: whatever is done to a few nodes, in the end everybody who is there has the right view.

The seeds are a few dozen; ``TROUPER_SOAK=1`` runs a thousand, ``TROUPER_SEED=17`` that one alone.
"""

import os
import random
from collections.abc import Callable

import pytest

from benchmarks.clustering.network import GENERATION, Network
from trouper.actors.cluster.membership import Member, Membership, Status, SwimSettings

SEED = os.environ.get("TROUPER_SEED")
SEEDS = [int(SEED)] if SEED else range(1_000 if os.environ.get("TROUPER_SOAK") == "1" else 40)
ACTS = ("crash", "pause", "block", "cut", "heal", "leave", "rejoin", "update", "loss", "leap")
SETTLE_S = 150.0
"""After the last act: the longest suspicion, the longest pause between tries to reach the lost, and some rounds."""


class _Torture:
    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.network = Network(seed, SwimSettings.lan(), loss=0.02)
        self.names = [f"n{number}" for number in range(self.chance.randint(5, 10))]
        self.generation = dict.fromkeys(self.names, GENERATION)
        self.left: set[str] = set()
        for name in self.names:
            self._start(name)

    def _start(self, name: str) -> None:
        self.network.add(name, self.names[:3], generation=self.generation[name])
        self.network.start(name)

    def _up(self) -> list[str]:
        return [name for name in self.names if name not in self.network.crashed and name not in self.left]

    def act(self) -> str:
        """Do one thing to somebody; half of the nodes stay, and one seed, through which the others can come back."""
        network, chance, up = self.network, self.chance, self._up()
        name, verb = chance.choice(up), chance.choice(ACTS)
        gone = len(self.names) - len(up)
        if verb in ("crash", "leave") and gone < len(self.names) // 2 and name != self.names[0]:
            if verb == "crash":
                network.crash(name)
            else:
                network.act(name, network.nodes[name].leave(network.now))
                self.left.add(name)
        elif verb == "rejoin" and gone:
            name = chance.choice([name for name in self.names if name not in up])
            self.left.discard(name)
            self.generation[name] = self.chance.getrandbits(62)
            self._start(name)
        else:
            self._disturb(verb, name)
        return f"{network.now:.1f} {verb} {name}"

    def _disturb(self, verb: str, name: str) -> None:
        network, chance = self.network, self.chance
        node = network.nodes[name]
        disturbances: dict[str, Callable[[], None]] = {
            "pause": lambda: network.pause(name, chance.uniform(0.5, 15)),
            "block": lambda: network.block(name, chance.uniform(0.5, 15)),
            "cut": lambda: network.partition(chance.sample(self.names, len(self.names) // 2)),
            "heal": network.heal,
            "update": lambda: network.act(name, node.update(b"%d" % chance.randrange(100), network.now)),
            "loss": lambda: setattr(network, "loss", chance.choice([0.0, 0.02, 0.3])),
            "leap": lambda: self._leap(name, chance.choice([1, 60, 3600])),
        }
        disturbances.get(verb, lambda: None)()

    def _leap(self, name: str, ahead_s: float) -> None:
        """The clock leaps ahead, and a moment later it is set right."""
        node, now = self.network.nodes[name], self.network.now
        self.network.act(name, [*node.tick(now + ahead_s), *node.tick(now)])

    def settle(self) -> None:
        """Take all harm away and wait."""
        self.network.heal()
        self.network.loss = 0.0
        self.network.run(self.network.now + SETTLE_S)

    def problems(self) -> list[str]:
        """Who sees something else than there is."""
        up = self._up()
        records = {name: self.network.nodes[name].me for name in up}
        found: list[str] = []
        for name in up:
            found += _wrong(name, self.network.nodes[name], records)
        return found


def _wrong(name: str, node: Membership, records: dict[str, Member]) -> list[str]:
    held = node.records()
    problems = [f"{name} has ended"] if node.is_over else []
    for other, record in records.items():
        if held.get(other) != record:
            problems.append(f"{name} sees {held.get(other)} for {record}")
    return problems + [
        f"{name} sees {member}, who is not there"
        for other, member in held.items()
        if other not in records and member.status in (Status.ALIVE, Status.SUSPECT)
    ]


def tortured(seed: int) -> list[str]:
    """Do harm, take it away, and give what is wrong then; what was done comes after it."""
    torture = _Torture(seed)
    story = [f"TROUPER_SEED={seed}"]
    torture.network.run(5)
    for _ in range(torture.chance.randint(5, 25)):
        story.append(torture.act())
        torture.network.run(torture.network.now + torture.chance.choice([0.0, 0.3, 2.0, 10.0, 40.0]))
    torture.settle()
    problems = torture.problems()
    return [*problems, *story] if problems else []


@pytest.mark.parametrize("seed", SEEDS)
def test_after_all_harm_everybody_has_the_right_view(seed: int) -> None:
    """Crash, pause, partition, heal, leave, rejoin, update, loss, leaps of clocks: one right view each in the end."""
    assert tortured(seed) == []
