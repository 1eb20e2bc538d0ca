"""The reuse of node names, by a model: nodes of one name come, crash, return and are cut off, at several endpoints.

A node is (name, generation).  Whatever happens, once the network is whole again: at most one living node has the name,
all members show the same one, a waiting newcomer is admitted, and what was over stays over.  The numbers of the
generations make no difference.  ``TROUPER_SOAK=1`` runs five hundred seeds, ``TROUPER_SEED=17`` that one alone.
"""

import os
import random
from collections.abc import Callable

import pytest

from benchmarks.clustering.network import Network
from trouper.actors.cluster.membership import (
    AdmissionRefused,
    Departed,
    Downed,
    Joined,
    Member,
    MembershipEvent,
    Send,
    Status,
    SwimSettings,
)
from trouper.actors.cluster.membership.packets import Refusal, Sync
from trouper.actors.cluster.membership.view import GENERATION_MAX, MembershipView

SEED = os.environ.get("TROUPER_SEED")
SEEDS = [int(SEED)] if SEED else range(500 if os.environ.get("TROUPER_SOAK") == "1" else 30)
PLAIN = ("a", "b", "c", "d")
CONTESTED = ("x1", "x2", "x3")
"""Endpoints of nodes that are all called x."""
SETTLE_S = 240.0
"""After the last act: the longest suspicion, the longest pause between two tries to join, and some rounds."""
Event = tuple[float, str, str, str, str]
"""Time, node, kind of event, and name and endpoint of the member that it is about."""


class _Model:
    def __init__(self, seed: int, number: Callable[[int], int]) -> None:
        self.chance, self.number = random.Random(seed), number
        self.network = Network(seed, SwimSettings.lan())
        self.network.observe = self._observe
        self.events: list[Event] = []
        self.problems: list[str] = []
        self.over: dict[str, set[tuple[str, int]]] = {}
        for name in PLAIN:
            self._start(name)

    def _start(self, endpoint: str) -> None:
        generation = self.number(self.chance.getrandbits(64))
        self.over[endpoint] = set()
        seeds = [name for name in PLAIN if name != endpoint][:3] if endpoint not in PLAIN[:1] else []
        called = "x" if endpoint in CONTESTED else endpoint
        self.network.add(endpoint, seeds, generation=generation, called=called)
        self.network.start(endpoint)

    def _observe(self, now: float, node: str, event: MembershipEvent) -> None:
        member = getattr(event, "member", None)
        if isinstance(member, Member):
            self.events.append((round(now, 6), node, type(event).__name__, member.name, member.endpoint))
            if isinstance(event, Joined) and member.id in self.over[node]:
                self.problems.append(f"{now:.1f} {node} shows {member.name} at {member.endpoint} again, which was over")
            if isinstance(event, Downed | Departed) and any(
                record.id == member.id and record.is_over for record in self.network.nodes[node].all_records()
            ):  # and not only hidden by another generation of its name
                self.over[node].add(member.id)

    def running(self) -> list[str]:
        """Endpoints whose process runs and whose membership has not ended."""
        network = self.network
        return [name for name, node in network.nodes.items() if name not in network.crashed and not node.is_over]

    def act(self) -> str:
        """Do one thing."""
        network, chance, running = self.network, self.chance, self.running()
        verb = chance.choice(("start", "start", "crash", "cut", "heal", "leave", "down", "pause"))
        contested = [name for name in running if name in CONTESTED]
        target = ""
        if verb == "start" and (free := [name for name in CONTESTED if name not in running]):
            self._start(target := chance.choice(free))
        elif verb == "crash" and contested:
            network.crash(target := chance.choice(contested))
        elif verb == "leave" and contested:
            target = chance.choice(contested)
            network.act(target, network.nodes[target].leave(network.now))
        elif verb == "down" and "x" in network.nodes[target := chance.choice(PLAIN)].records():
            network.act(target, network.nodes[target].down("x", "the model says so", network.now))
        elif verb == "pause":
            network.pause(target := chance.choice(running), chance.uniform(0.5, 8.0))
        elif verb == "cut":
            everybody = [*PLAIN, *CONTESTED]
            network.partition(chance.sample(everybody, chance.randint(2, 5)))
        elif verb == "heal":
            network.heal()
        return f"{network.now:.1f} {verb} {target}"

    def settle(self) -> None:
        """Heal the network and wait."""
        self.network.heal()
        self.network.run(self.network.now + SETTLE_S)

    def check(self) -> list[str]:
        """Return what is wrong after all has settled."""
        nodes, running = self.network.nodes, self.running()
        living = [name for name in running if name in CONTESTED]
        joined = [name for name in living if nodes[name].is_joined]
        found = list(self.problems)
        if len(joined) > 1:
            found.append(f"several living nodes are members by one name: {joined}")
        if living and not joined:
            found.append(f"nobody was admitted of {living}")
        for name in running:
            if name in CONTESTED and name not in joined:
                continue
            shown = {m.name: (m.endpoint, m.generation) for m in nodes[name].members() if m.status is Status.ALIVE}
            wanted = {nodes[n].me.name: (n, nodes[n].me.generation) for n in (*PLAIN, *joined)}
            if shown != wanted:
                found.append(f"{name} shows {sorted(shown.items())}, there are {sorted(wanted.items())}")
        return found


def _played(seed: int, number: Callable[[int], int] = lambda generation: generation) -> tuple[list[str], list[Event]]:
    model = _Model(seed, number)
    story = [f"TROUPER_SEED={seed}"]
    model.network.run(5)
    for _ in range(model.chance.randint(4, 16)):
        story.append(model.act())
        model.network.run(model.network.now + model.chance.choice([0.0, 0.3, 2.0, 10.0, 40.0]))
    model.settle()
    problems = model.check()
    return ([*problems, *story] if problems else [], model.events)


@pytest.mark.parametrize("seed", SEEDS)
def test_in_the_end_at_most_one_living_node_has_a_name_and_all_show_the_same(seed: int) -> None:
    """Start, crash, leave, down, pause, partition and heal, with three endpoints that compete for one name."""
    assert _played(seed)[0] == []


@pytest.mark.parametrize("seed", SEEDS[:10])
def test_the_numbers_of_generations_make_no_difference(seed: int) -> None:
    """With every generation mirrored, the larger ones becoming the smaller ones, the same happens at the same times."""
    assert _played(seed)[1] == _played(seed, lambda generation: GENERATION_MAX - generation)[1]


def _nobody_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def stay(_view: MembershipView, _now: float) -> None: ...

    monkeypatch.setattr(MembershipView, "check_own_name", stay)


def _the_larger_number_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MembershipView._store  # noqa: SLF001  the fault is inside

    def compare(view: MembershipView, record: Member, now: float) -> None:
        store(view, record, now)
        living = [other for other in view.generations(record.name) if not other.is_over and other is not view.me]
        for other in sorted(living, key=lambda other: other.generation)[:-1]:
            view.end_generation(other, "its number is smaller", now)

    monkeypatch.setattr(MembershipView, "_store", compare)


@pytest.mark.parametrize("fault", [_nobody_gives_way, _the_larger_number_wins])
def test_a_broken_rule_is_found(fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fault makes one of the checks above fail within a few seeds."""
    fault(monkeypatch)
    mirror: Callable[[int], int] = lambda generation: GENERATION_MAX - generation  # noqa: E731  a short name for the mirror
    assert any(_played(seed)[0] or _played(seed)[1] != _played(seed, mirror)[1] for seed in range(40))


# -- one rule at a time ------------------------------------------------------------------------------------------------


def _cluster() -> Network:
    network = Network(1, SwimSettings.lan())
    for name in ("a", "b"):
        network.add(name, ["a"] if name != "a" else [])
        network.start(name)
    network.run(5)
    return network


def test_a_newcomer_with_the_name_of_a_living_member_is_refused_with_the_reason() -> None:
    """The reason names the endpoint that has the name; the member is probed at once and stays."""
    network = _cluster()
    refusals: list[AdmissionRefused] = []
    network.observe = lambda _now, _name, event: refusals.append(event) if isinstance(event, AdmissionRefused) else None
    network.add("b2", ["a"], generation=5, called="b")
    network.start("b2")
    network.run(network.now + 1)
    assert refusals[0] == AdmissionRefused(
        "a", "name", "'b' is in use by the node at b; take another name, or wait until it ends"
    )
    assert network.nodes["a"].records()["b"].endpoint == "b"


def test_a_restarted_node_is_admitted_at_once_and_its_earlier_generation_is_ended_with_the_reason() -> None:
    """The end of the earlier generation is published before the join of the later one."""
    network = _cluster()
    events: list[MembershipEvent] = []
    network.crash("b")
    network.add("b", ["a"], generation=5)
    network.observe = lambda _now, name, event: events.append(event) if name == "a" else None
    network.start("b")
    network.run(network.now + 1)
    assert [type(event) for event in events] == [Downed, Joined]
    assert isinstance(events[0], Downed)
    assert events[0].reason == "it has restarted: another generation joins from the same endpoint b"


def test_a_generation_that_was_taken_down_is_refused_and_not_revived_by_an_old_record() -> None:
    """Its tombstone answers both; it stays for ``tombstone_s``."""
    network = _cluster()
    node, old = network.nodes["a"], network.nodes["b"].me
    node.down("b", "it is broken", network.now)
    node.acquaint([old], network.now)
    assert node.records()["b"].status is Status.DOWN
    assert node.records()["b"].reason == "it is broken"
    joining = Sync("sim", "b", "b", old.generation, (old,), joining=True)
    answers = [e.packet for e in node.receive(joining, network.now) if isinstance(e, Send)]
    assert [packet.reason for packet in answers if isinstance(packet, Refusal)] == ["over"]
