"""The cases of the table: each makes a network, does harm to it, and says what came of it.

Only virtual time and counts are measured, so that a seed gives the same figures on every machine.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from math import inf

from trouper.actors.cluster.membership import MembershipEvent, Suspected, SwimSettings, Unreachable

from .network import LINKS_MAX, Load, Network

SAME = 1.5
"""Rates that differ by no more than this factor count as constant."""


@dataclass
class Outcome:
    """What a case measured.

    figures: by their names.  bar: in words.  holds: whether it was met.  wall_s_max: how long the run itself may take.
    """

    case: str
    bar: str
    figures: dict[str, float | int] = field(default_factory=dict[str, float | int])
    holds: bool = False
    wall_s_max: float = inf


def quiet(seed: int, nodes: int = 1_000, seconds: float = 3_600.0, loss: float = 0.01) -> Outcome:
    """Nothing happens but loss: nobody may be declared unreachable."""
    network = Network(seed, SwimSettings.lan(), loss=loss)
    network.grow(nodes)
    seen = _count(network)
    network.run(seconds)
    figures = {"nodes": nodes, "seconds": seconds, "loss %": 100 * loss}
    figures |= {"suspicions": seen[Suspected], "false deaths": seen[Unreachable]}
    return Outcome("quiet", "0 false deaths", figures, seen[Unreachable] == 0)


def lossy(seed: int, nodes: int = 200, seconds: float = 3_600.0) -> Outcome:
    """One packet in ten is lost, and a ping by stream is what is left."""
    outcome = quiet(seed, nodes, seconds, 0.1)
    outcome.case = "lossy"
    return outcome


def crash(seed: int, nodes: int = 1_000, crashes: int = 200, *, resets: bool = False) -> Outcome:
    """Nodes crash, one by one; the time until the first suspicion, and until everybody left knows.

    resets: whether the links of a crashed process are reset, as its system does; otherwise it falls silent.
    """
    network = Network(seed, SwimSettings.lan(), loss=0.01)
    names = network.grow(nodes)
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    told: Counter[str] = Counter()
    at: dict[str, float] = {}

    def observe(now: float, _name: str, event: MembershipEvent) -> None:
        if isinstance(event, Suspected) and event.member.name in at:
            first.setdefault(event.member.name, now - at[event.member.name])
        elif isinstance(event, Unreachable) and event.member.name in at:
            last[event.member.name] = now - at[event.member.name]
            told[event.member.name] += 1

    network.observe = observe
    network.run(10)
    victims = random.Random(seed).sample(names, crashes)
    for victim in victims:
        at[victim] = network.now
        network.crash(victim)
        if resets:
            network.break_links(victim)
        network.run(network.now + 4.03)
    network.run(network.now + 60)
    left = [network.nodes[name] for name in names if name not in network.crashed]
    found = sum(all(not node.records()[victim].is_present for node in left) for victim in victims)
    figures: dict[str, float | int] = {"nodes": nodes, "crashes": crashes, "found %": 100 * found / crashes}
    figures |= {"suspected p50 s": percentile(first.values(), 50), "known p50 s": percentile(last.values(), 50)}
    figures |= {"known p99 s": percentile(last.values(), 99), "known most s": max(last.values())}
    holds = figures["suspected p50 s"] <= 4 and figures["known p99 s"] <= 18 and found == crashes
    name = "reset" if resets else "crash"
    return Outcome(name, "first suspicion p50 <= 4 s, known everywhere p99 <= 18 s, 100 % found", figures, holds)


def reset(seed: int, nodes: int = 1_000, crashes: int = 200) -> Outcome:
    """Processes crash, and their systems reset the links that stood."""
    return crash(seed, nodes, crashes, resets=True)


def pauses(seed: int, nodes: int = 100, seconds: float = 1_200.0) -> Outcome:
    """Every twentieth node stands still for 1 to 10 s, again and again; how many of the others are held to be dead.

    As in Lifeguard's experiment what stands still is sending and receiving, while timers go on: a node loses
    sight of all others.  Deaths are counted at healthy nodes and are of healthy nodes.  ``stopped`` is the same with
    the whole process standing still.
    """
    figures: dict[str, float | int] = {"nodes": nodes, "seconds": seconds}
    lifeguard = SwimSettings(leap_s=float("inf"))
    ways = {"plain SWIM": SwimSettings().plain(), "Lifeguard": lifeguard, "ours": SwimSettings()}
    for way, settings in ways.items():
        deaths, suspicions, paused_deaths = _pauses(seed, nodes, seconds, settings)
        figures |= {f"{way}: deaths of healthy": deaths, f"{way}: suspicions of healthy": suspicions}
        figures[f"{way}: deaths of paused"] = paused_deaths
        deaths, suspicions, _ = _pauses(seed, nodes, seconds, settings, stop=True)
        figures |= {f"{way}, stopped: deaths": deaths, f"{way}, stopped: suspicions": suspicions}
    before, after = figures["plain SWIM: deaths of healthy"], figures["ours: deaths of healthy"]
    return Outcome("pauses", "false deaths >= 20 times fewer than plain", figures, before > 0 and before >= 20 * after)


def _pauses(
    seed: int, nodes: int, seconds: float, settings: SwimSettings, *, stop: bool = False
) -> tuple[int, int, int]:
    network = Network(seed, settings, loss=0.01)
    names = network.grow(nodes)
    sick = frozenset(names[:: max(1, nodes // max(1, nodes // 20))])
    chance = random.Random(seed)
    deaths, suspicions, paused_deaths = 0, 0, 0

    def observe(_now: float, name: str, event: MembershipEvent) -> None:
        nonlocal deaths, suspicions, paused_deaths
        if name in sick or not isinstance(event, Unreachable | Suspected):
            return
        if event.member.name in sick:
            paused_deaths += isinstance(event, Unreachable)
        elif isinstance(event, Unreachable):
            deaths += 1
        else:
            suspicions += 1

    def pause(name: str) -> None:
        length_s = chance.uniform(1, 10)
        (network.pause if stop else network.block)(name, length_s)
        network.at(network.now + length_s + chance.expovariate(1.0), lambda: pause(name))

    for name in sorted(sick):
        network.at(10 + 10 * chance.random(), partial(pause, name))
    network.observe = observe
    network.run(seconds)
    return deaths, suspicions, paused_deaths


def spread(seed: int, nodes: int = 1_000, updates: int = 20) -> Outcome:
    """One node changes its metadata; rounds of gossip until the others know."""
    settings = SwimSettings.lan()
    network = Network(seed, settings, loss=0.01)
    names = network.grow(nodes)
    heard: list[float] = []
    network.observe = lambda now, _name, event: heard.append(now) if type(event).__name__ == "Updated" else None
    network.run(60)
    most: list[float] = []
    nearly: list[float] = []
    for number in range(updates):
        network.run(network.now + 30)
        heard.clear()
        began = network.now
        name = names[number]
        network.act(name, network.nodes[name].update(f"{number}".encode() * 20, began))
        network.run(began + 20)
        rounds = sorted((at - began) / settings.gossip_interval_s for at in heard)
        assert len(rounds) == nodes - 1, f"{len(rounds)} of {nodes - 1} have heard"
        nearly.append(rounds[int(0.99 * nodes) - 1])
        most.append(rounds[-1])
    figures = {"nodes": nodes, "updates": updates, "99 % rounds, worst": max(nearly), "all rounds, worst": max(most)}
    return Outcome("spread", "99 % in <= 8 rounds, all in <= 11", figures, max(nearly) <= 8 and max(most) <= 11)


def partition(seed: int, nodes: int = 1_000, seconds: float = 60.0) -> Outcome:
    """Two halves lose sight of each other for a minute; how long until everybody sees everybody again."""
    network = Network(seed, SwimSettings.lan(), loss=0.01)
    names = network.grow(nodes)
    network.run(10)
    network.partition(names[::2])
    network.run(10 + seconds)
    apart = sum(sum(member.is_present for member in node.members()) for node in network.nodes.values()) / nodes
    network.heal()
    healed = network.now
    while network.now < healed + 120 and not _is_one_view(network):
        network.run(network.now + 1)
    lost = sum(nodes - len(node.members()) for node in network.nodes.values())
    took = network.now - healed
    figures = {"nodes": nodes, "members seen before heal": apart, "one view after s": took, "members lost": lost}
    return Outcome("partition", "one view <= 60 s after the heal, none lost", figures, took <= 60 and lost == 0)


def load(seed: int, sizes: tuple[int, ...] = (10, 100, 1_000), seconds: float = 120.0) -> Outcome:
    """What an idle node sends, and how many links it needs, in small and large clusters.

    Idle: nothing changes, so that pings and digests are all that is sent.
    """
    figures: dict[str, float | int] = {}
    for nodes in sizes:
        network = Network(seed, SwimSettings.lan(), loss=0.01)
        network.grow(nodes)
        network.run(150)
        network.load = load = Load()
        network.run(150 + seconds)
        share = nodes * seconds
        figures |= {f"packets/s at {nodes}": load.packets / share, f"bytes/s at {nodes}": load.bytes / share}
        figures |= {f"handshakes/s at {nodes}": load.handshakes / share, f"links at {nodes}": load.links_most}
    constant = all(
        max(rates) <= SAME * min(rates)
        for rates in ([figures[f"{what}/s at {nodes}"] for nodes in sizes] for what in ("packets", "bytes"))
    )
    holds = constant and figures[f"links at {sizes[-1]}"] <= LINKS_MAX
    return Outcome("load", "packets and bytes within 1.5x for every N; <= 100 open links a node", figures, holds)


def join(seed: int, nodes: int = 1_000) -> Outcome:
    """Everybody starts at once and knows three seeds."""
    network = Network(seed, SwimSettings.lan(), loss=0.01)
    names = [f"node-{number:04}" for number in range(nodes)]
    for name in names:
        network.add(name, names[:3])
    for name in names:
        network.start(name)
    while network.now < 120 and not _is_one_view(network):
        network.run(network.now + 1)
    figures = {"nodes": nodes, "all see all after s": network.now}
    return Outcome("join", "all see all in <= 30 s", figures, network.now <= 30)


def minute(seed: int, nodes: int = 1_000) -> Outcome:
    """One virtual minute in which nothing happens but loss: the simulator has to be fast enough to be used."""
    network = Network(seed, SwimSettings.lan(), loss=0.01)
    network.grow(nodes)
    network.run(60)
    figures: dict[str, float | int] = {"nodes": nodes, "seconds": 60, "events": network.events}
    return Outcome("minute", "a wall time below 60 s", figures, holds=True, wall_s_max=60.0)


def percentile(values: Iterable[float], percent: int) -> float:
    """Return the value that so many percent are not above (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _count(network: Network) -> Counter[type[MembershipEvent]]:
    seen: Counter[type[MembershipEvent]] = Counter()

    def observe(_now: float, _name: str, event: MembershipEvent) -> None:
        seen[type(event)] += 1

    network.observe = observe
    return seen


def _is_one_view(network: Network) -> bool:
    nodes = len(network.nodes)
    return all(
        node.present == nodes and all(member.is_present for member in node.members()) for node in network.nodes.values()
    )


CASES: dict[str, Callable[[int], Outcome]] = {
    "quiet": quiet, "lossy": lossy, "crash": crash, "reset": reset, "pauses": pauses, "spread": spread,
    "partition": partition, "load": load, "join": join, "minute": minute,
}  # fmt: skip
QUICK: dict[str, Callable[[int], Outcome]] = {
    "quiet": lambda seed: quiet(seed, 50, 300),
    "lossy": lambda seed: lossy(seed, 30, 300),
    "crash": lambda seed: crash(seed, 60, 5),
    "reset": lambda seed: reset(seed, 60, 5),
    "pauses": lambda seed: pauses(seed, 40, 300),
    "spread": lambda seed: spread(seed, 60, 3),
    "partition": lambda seed: partition(seed, 20),
    "load": lambda seed: load(seed, (10, 40), 60),
    "join": lambda seed: join(seed, 40),
    "minute": lambda seed: minute(seed, 40),
}
