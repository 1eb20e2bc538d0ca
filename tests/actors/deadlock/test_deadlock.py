"""Deadlock search against a model of several nodes: each refused ask was in a cycle, and no cycle lasts too long."""

import random
from collections.abc import Hashable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.actors.deadlock.deadlock_model import STEP_S, World, ring, run
from trouper.actors.deadlock import deadlock
from trouper.actors.deadlock.deadlock import (
    AGAIN_S,
    PROBE_AFTER_S,
    PROBES_KEPT_MAX,
    RING_MAX,
    STARTS_MAX,
    DeadlockCheck,
    DeadlockProbe,
    DeadlockSearch,
    RemoteEdge,
    SendToNode,
)

# --- properties ------------------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32),
    nodes=st.integers(2, 4),
    actors=st.integers(2, 12),
    busy=st.integers(0, 300),
    haste=st.integers(1, 4),
)
def test_what_is_refused_was_in_a_ring_and_no_ring_lasts(
    seed: int, nodes: int, actors: int, busy: int, haste: int
) -> None:
    """Whatever happens while probes are under way (`World.carry_out` holds that), and within two seconds (here)."""
    world = World(random.Random(seed), nodes, actors)
    for _ in range(busy):
        for _ in range(world.chance.randint(0, haste)):
            world.act()
        world.step()
    # Each refusal may leave or uncover another ring; a second is what one of them may take.
    for _ in range(4 * actors):
        left = world.rings_left()
        if not left:
            break
        before = len(world.refused)
        for _ in range(100):
            world.wind_down()
            world.step()
        assert len(world.refused) > before or not world.rings_left(), left
    assert not world.rings_left()


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), nodes=st.integers(2, 4), actors=st.integers(2, 12))
def test_nothing_is_refused_where_no_ring_can_be(seed: int, nodes: int, actors: int) -> None:
    """Actors that only ask those after them may wait for as long as they like."""
    world = World(random.Random(seed), nodes, actors)
    for _ in range(500):
        index = world.chance.randrange(actors)
        turn, dice = world.actors[index].turn, world.chance.random()
        if turn is None:
            world.begin(world.actors[index])
        elif dice < 0.2 and index + 1 < actors:
            world.ask(turn, world.actors[world.chance.randrange(index + 1, actors)])
        elif dice < 0.25 and not turn.waits:
            world.end(turn)
        world.step()
    assert not world.refused


def test_the_check_is_what_keeps_phantoms_from_being_refused() -> None:
    """Probes do come back though there was no cycle at any one moment: the check is needed."""
    guesses = 0
    for seed in range(20):
        world = World(random.Random(seed), 2 + seed % 3, 2 + seed, delay_steps=10)
        for _ in range(600):
            for _ in range(world.chance.randint(0, 3)):
                world.act()
            world.step()
        guesses += sum(not was for was in world.was_ring.values())
    assert guesses


# --- examples --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1), (0, 1, 2), (0, 1, 4, 3), (0, 1, 2, 3, 4, 5, 6, 7), (5, 1, 3)])
@pytest.mark.parametrize("seed", range(10))
def test_of_a_ring_the_youngest_ask_alone_is_refused(order: tuple[int, ...], seed: int) -> None:
    """Within a second, and also where the cycle passes a node twice, or goes through two actors of one node."""
    world = World(random.Random(seed), 4, 8, delay_steps=0)
    ring(world, *order)
    run(world, 1.0)
    named = [f"actor-{index}" for index in order]
    assert world.refused == [(named[-1], *named)]


@pytest.mark.parametrize("seed", range(20))
def test_asks_that_close_a_ring_together_cost_one_of_them(seed: int) -> None:
    """None of them is the youngest for certain, and each node has its own view of it."""
    world = World(random.Random(seed), 4, 4)
    for actor in world.actors:
        world.begin(actor)
    for actor, target in zip(world.actors, [*world.actors[1:], world.actors[0]], strict=True):
        assert actor.turn is not None
        world.ask(actor.turn, target)
    run(world, 1.5)
    assert len(world.refused) == 1


def test_a_ring_that_an_ask_within_a_node_closes_is_found() -> None:
    """However long the asks between the nodes have waited by then."""
    world = World(random.Random(1), 2, 4, delay_steps=0)
    first, second, third, _ = world.actors  # the first and the third are on one node
    for actor in (first, second, third):
        world.begin(actor)
    assert first.turn
    assert second.turn
    assert third.turn
    world.ask(first.turn, second)
    run(world, 0.1)
    world.ask(second.turn, third)
    run(world, 10.0)
    assert not world.refused
    world.ask(third.turn, first)
    run(world, 1.0)
    assert world.refused == [("actor-1", "actor-2", "actor-0", "actor-1")]


def test_quick_answers_and_asks_that_no_other_node_waits_for_cost_no_message() -> None:
    """A probe is sent only for an ask that has waited, in a handler that another node waits for."""
    world = World(random.Random(1), 2, 4)
    first, second, third, _ = world.actors
    world.begin(first)
    assert first.turn
    world.ask(first.turn, second)  # nobody asked the first
    run(world, 5.0)
    assert not world.sent
    world.begin(second)
    assert second.turn
    world.ask(second.turn, third)
    run(world, PROBE_AFTER_S - 5 * STEP_S)
    world.begin(third)
    assert third.turn
    world.end(third.turn)
    run(world, 5.0)
    assert not world.sent


class Pile:
    """A node where every ask of ``n2`` is at a handler of its own, which asks ``n2`` again."""

    def __init__(self) -> None:
        self.age_s = 1.0

    def unanswered(self, node: str, correlation: int, /) -> Hashable | None:
        return f"in {correlation}"

    def remote_edge(self, ask: Hashable, /) -> RemoteEdge | None:
        number = str(ask).partition("out ")[2]
        return ("n2", int(number)) if number else None

    def blocker(self, ask: Hashable, /) -> Hashable | None:
        return f"handler {str(ask).split()[1]}"

    def waits_of(self, handler: Hashable, /) -> Sequence[Hashable]:
        return [f"out {str(handler).split()[1]}"]

    def address(self, handler: Hashable, /) -> str:
        return str(handler)

    def waited_s(self, ask: Hashable, /) -> float:
        return self.age_s


def _probe(number: int, correlation: int = 1, steps: int = 1) -> DeadlockProbe:
    return DeadlockProbe("n3", 1, number, (("n1", correlation),) * steps, (0.5,) * steps, ("there",) * steps)


def test_at_one_look_so_many_probes_set_out_and_the_others_take_turns() -> None:
    """None of them is left out for ever."""
    machine = DeadlockSearch("n1", 1, Pile())
    entries = [f"in {number}" for number in range(3 * STARTS_MAX)]
    seen: set[RemoteEdge] = set()
    for look in range(4):
        wanted = machine.scan(entries, look * 0.25)
        assert len(wanted) <= STARTS_MAX
        seen.update(effect.message.remote_edges[0] for effect in wanted if isinstance(effect, SendToNode))
    assert len(seen) == 3 * STARTS_MAX


def test_an_ask_is_probed_again_and_not_too_often() -> None:
    """Looks that come sooner send nothing."""
    machine = DeadlockSearch("n1", 1, Pile())
    sent = [len(machine.scan(["in 1"], look * AGAIN_S / 4)) for look in range(9)]
    assert sent == [1, 0, 0, 0, 1, 0, 0, 0, 1]


def test_so_many_probes_are_remembered_and_forgotten_in_time() -> None:
    """What comes beyond that is dropped."""
    machine = DeadlockSearch("n1", 1, Pile())
    for number in range(PROBES_KEPT_MAX):
        assert machine.on_probe(_probe(number), "n2", 1.0)
    assert not machine.on_probe(_probe(PROBES_KEPT_MAX), "n2", 1.0)
    machine.scan([], 1.0 + deadlock.KEPT_S)
    assert not machine.kept
    assert machine.on_probe(_probe(0), "n2", 1.0 + deadlock.KEPT_S)


def test_a_probe_that_came_too_far_or_from_nowhere_is_dropped() -> None:
    """Nor does one go on that was sent under this node's name and is unknown here, or that is older than its way."""
    pile = Pile()
    machine = DeadlockSearch("n1", 1, pile)
    assert not machine.on_probe(DeadlockProbe("n3", 1, 1, (), (), ()), "n2", 1.0)
    assert not machine.on_probe(DeadlockProbe("n3", 1, 1, (("n1", 1),), (), ("a",)), "n2", 1.0)
    assert not machine.on_probe(_probe(2, steps=RING_MAX), "n2", 1.0)
    assert not machine.on_probe(DeadlockProbe("n1", 1, 3, (("n1", 1),), (0.5,), ("a",)), "n2", 1.0)
    assert machine.on_probe(_probe(4), "n2", 1.0)
    pile.age_s = 0.4
    assert not machine.on_probe(_probe(5), "n2", 1.0), "it has met an ask that is younger than its start"


def test_a_check_of_what_was_not_followed_is_dropped() -> None:
    """A check without its probe refuses no ask."""
    machine = DeadlockSearch("n1", 1, Pile())
    for check in (
        DeadlockCheck("n1", 1, 1, 1, ()),
        DeadlockCheck("n3", 1, 7, 1, ()),
        DeadlockCheck("n3", 1, 7, 1, (("n2", 1),)),
    ):
        assert not machine.on_check(check, "n2", 1.0)
    machine.scan(["in 1"], 1.0)
    assert not machine.on_check(DeadlockCheck("n1", 1, 1, 1, ()), "n2", 1.0)
    assert machine.on_probe(_probe(7), "n2", 1.0)
    assert machine.on_check(DeadlockCheck("n3", 1, 7, 1, (("n2", 1),)), "n2", 1.0)
    assert not machine.on_check(DeadlockCheck("n3", 1, 7, 2, (("n2", 1),)), "n2", 1.0)
