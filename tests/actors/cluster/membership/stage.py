"""A stage for scenarios: commands in, published events out.

start NODE [with SEED ...] [as NAME] [generation N] [in CLUSTER]    make a node at endpoint NODE and let it begin
run SECONDS          crash NODE          leave NODE           down NODE by NODE      update NODE TEXT
pause NODE SECONDS   block NODE SECONDS  cut NODE ...         heal                   leap NODE SECONDS
load NODE LAG_S    lost NODE by NODE   views
forge NODE about NAME generation N incarnation N [STATUS]            a record that somebody made up, gossiped to NODE
accuse NODE about NAME incarnation N                           an accusation by somebody, gossiped to NODE
"""

from __future__ import annotations

from benchmarks.clustering.network import GENERATION, Network
from trouper.actors.cluster.membership import (
    Accusation,
    Member,
    Membership,
    MembershipEvent,
    ProcessHealth,
    Status,
    SwimSettings,
)
from trouper.actors.cluster.membership.packets import Gossip


class Stage:
    """Plays one scenario; ``told`` collects what was published."""

    def __init__(self, settings: SwimSettings | None = None, seed: int = 1) -> None:
        self.network = Network(seed, settings or SwimSettings())
        self.network.observe = self._observe
        self.told: list[str] = []

    def perform(self, line: str) -> None:
        """Carry out one command."""
        verb, *words = line.split()
        getattr(self, f"_{verb}")(*words)

    def _observe(self, now: float, name: str, event: MembershipEvent) -> None:
        self.told.append(f"{now:.3f} {name}: {described(event)}")

    def _node(self, name: str) -> Membership:
        return self.network.nodes[name]

    def _start(self, name: str, *words: str) -> None:
        options: dict[str, list[str]] = {"with": [], "as": [], "generation": [], "in": []}
        key = ""
        for word in words:
            if word in options:
                key = word
            else:
                options[key].append(word)
        self.network.add(
            name,
            options["with"],
            generation=GENERATION + int(next(iter(options["generation"]), "0")),
            called=next(iter(options["as"]), ""),
            cluster=next(iter(options["in"]), "sim"),
        )
        self.network.start(name)

    def _run(self, seconds: str) -> None:
        self.network.run(self.network.now + float(seconds))

    def _crash(self, name: str) -> None:
        self.network.crash(name)

    def _leave(self, name: str) -> None:
        self.network.act(name, self._node(name).leave(self.network.now))

    def _down(self, name: str, _by: str, other: str) -> None:
        self.network.act(other, self._node(other).down(name, f"{other} has decided so", self.network.now))

    def _update(self, name: str, text: str) -> None:
        self.network.act(name, self._node(name).update(text.encode(), self.network.now))

    def _pause(self, name: str, seconds: str) -> None:
        self.network.pause(name, float(seconds))

    def _block(self, name: str, seconds: str) -> None:
        self.network.block(name, float(seconds))

    def _cut(self, *names: str) -> None:
        self.network.partition(names)

    def _heal(self) -> None:
        self.network.heal()

    def _leap(self, name: str, seconds: str) -> None:
        """The node's clock is ahead for one event, and right again at the next."""
        self.network.act(name, self._node(name).tick(self.network.now + float(seconds)))

    def _load(self, name: str, lag_s: str) -> None:
        self.network.act(name, self._node(name).report_health(ProcessHealth(loop_lag_s=float(lag_s)), self.network.now))

    def _lost(self, name: str, _by: str, other: str) -> None:
        self.network.act(other, self._node(other).session_lost(name, self.network.now))

    def _views(self) -> None:
        for name, node in self.network.nodes.items():
            if name not in self.network.crashed and not node.is_over:
                held = ", ".join(sorted(_held(member) for member in node.records().values()))
                self.told.append(f"{self.network.now:.3f} {name} sees {held}")

    def _forge(
        self, target: str, _about: str, name: str, _generation: str, generation: str, _r: str, number: str, *s: str
    ) -> None:
        status = Status[s[0].upper()] if s else Status.ALIVE
        self._gossip(target, Member(name, name, GENERATION + int(generation), int(number), status))

    def _accuse(self, target: str, _about: str, name: str, _incarnation: str, number: str) -> None:
        self._gossip(target, Accusation(name, GENERATION, int(number), "mallory"))

    def _gossip(self, target: str, update: Member | Accusation) -> None:
        packet = Gossip("sim", "mallory", (update,))
        self.network.act(target, self._node(target).receive(packet, self.network.now))


def described(event: MembershipEvent) -> str:
    """One line for an event: its name, and what it holds; generations are counted from ``GENERATION``."""
    parts: list[str] = []
    for field in event.__struct_fields__:
        value = getattr(event, field)
        if isinstance(value, Member):
            parts.append(_held(value) if field == "member" else f"before {_held(value)}")
        elif field == "gap_s":
            parts.append(f"{value:.0f} s")
        else:
            parts.append(f"{field} {value}" if isinstance(value, int | float) else f"{value}")
    return f"{type(event).__name__} {', '.join(parts)}"


def _held(member: Member) -> str:
    generation = f" generation {member.generation - GENERATION}" if member.generation != GENERATION else ""
    incarnation = f" incarnation {member.incarnation}" if member.incarnation else ""
    at = f" at {member.endpoint}" if member.endpoint != member.name else ""
    return f"{member.name}{at}{generation}{incarnation} {member.status.name.lower()}"
