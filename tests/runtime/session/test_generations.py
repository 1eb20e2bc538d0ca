"""Generations of one name: none is later than another, and one that has made way for another stays over."""

import pytest

from tests.runtime.session.world import NodeRun, World
from trouper.runtime.session.generations import Generations
from trouper.runtime.session.sessions import KnownNode

DAY_S = 86_400.0
OVER = (
    "another node took the name b while this one did not answer a; start this one again, under another name if the "
    "other one is to stay"
)


def _dial(world: World, node_run: NodeRun, endpoint: str) -> None:
    world.carry_out(node_run, node_run.manager.connect(endpoint, world.now))


def _replaced(*, cut_off: bool) -> tuple[World, NodeRun, NodeRun]:
    """Node a has a session with the second b; the first b was cut off, and its process still runs."""
    world = World(1)
    a, old = world.start("a"), world.start("b", generation=2**64 - 1)
    _dial(world, a, "test://b")
    world.run(1)
    assert a.story == ["up b"]
    if cut_off:
        world.cut |= {("test://a", "test://b"), ("test://b", "test://a")}
    new = world.start("b", "test://b2", generation=1)
    _dial(world, new, "test://a")
    world.run(60)
    return world, old, new


@pytest.mark.parametrize("first", [1, 2**64 - 1])
def test_a_node_that_was_started_again_is_connected_whatever_its_number(first: int) -> None:
    """It comes back at the same endpoint: its session begins within a second, with a smaller or a larger number."""
    world = World(1)
    a = world.start("a")
    world.start("b", generation=first)
    _dial(world, a, "test://b")
    world.run(1)
    world.crash("b")
    b = world.start("b", generation=77)
    _dial(world, b, "test://a")
    world.run(1)
    assert a.story[-1] == b.story[-1].replace("a", "b") == "up b"
    session = a.manager.peer("b")
    assert session is not None
    assert session.peer is not None
    assert session.peer.generation == 77


def test_a_generation_that_made_way_for_another_is_refused_when_it_returns() -> None:
    """It was cut off while another node took its name; its session would lead to actors that are taken for dead."""
    world, old, new = _replaced(cut_off=True)
    assert new.story == ["up a"]
    world.cut.clear()
    _dial(world, old, "test://a")
    world.run(30)
    assert old.told("refused")[0] == f"refused test://a over: {OVER}"
    assert not old.told("up a")[1:]
    assert new.story == ["up a"], "the present holder of the name noticed nothing"


def test_it_is_refused_for_a_day_also_when_the_other_one_has_gone() -> None:
    """The end of a generation is final; after ``tombstone_s`` it is forgotten."""
    world, old, _ = _replaced(cut_off=True)
    world.crash("b")
    world.nodes["b"] = old
    world.cut.clear()
    world.run(120)
    _dial(world, old, "test://a")
    world.run(30)
    assert old.told("refused")[0] == f"refused test://a over: {OVER}"


def test_the_newcomer_is_refused_while_the_other_one_gives_signs_of_life() -> None:
    """Nothing is over then: the session goes on, and the generation that has the name keeps it."""
    world, old, new = _replaced(cut_off=False)
    text = "another b has a session already, and is alive at test://b"
    assert list(dict.fromkeys(new.told("refused"))) == [f"refused test://a name_taken: {text}"]
    assert old.story == ["up a"]
    assert world.nodes["a"].story == ["up b"]


def test_a_newcomer_is_refused_while_the_node_is_known_to_be_alive_by_other_means() -> None:
    """No session with the known node is open: it is not dialled, since its monitor knows that it is alive."""
    world = World(1)
    known: dict[str, KnownNode] = {"b": KnownNode(5, "test://b")}
    world.start("a", known_node=known.get)
    new = world.start("b", "test://b2", generation=6)
    _dial(world, new, "test://a")
    world.run(10)
    text = "another b is alive at test://b; take another name, or wait until it ends"
    assert list(dict.fromkeys(new.story)) == [f"refused test://a name_taken: {text}"]
    del known["b"]
    world.run(10)
    assert new.story[-1] == "up a", "its monitor holds the other one for dead"


@pytest.mark.parametrize(("generation", "endpoint"), [(5, "test://b2"), (6, "test://b")])
def test_the_known_node_itself_and_a_restart_of_it_are_taken_at_once(generation: int, endpoint: str) -> None:
    """Its own generation may have moved; only one process listens at an endpoint, so another generation there is it."""
    world = World(1)
    world.start("a", known_node={"b": KnownNode(5, "test://b")}.get)
    b = world.start("b", endpoint, generation=generation)
    _dial(world, b, "test://a")
    world.run(1)
    assert b.story == ["up a"]


def test_ends_are_remembered_for_a_day_and_within_a_bound() -> None:
    """The oldest end is forgotten first."""
    generations = Generations(tombstones_max=2)
    for number in range(1, 5):
        generations.begin("b", number, float(number))
    assert [generations.is_over("b", number, 10.0) for number in range(1, 5)] == [False, True, True, False]
    assert generations.is_over("b", 3, DAY_S)
    assert not generations.is_over("b", 3, DAY_S + 4)
    for number in range(100):
        generations.begin(f"n{number}", 1, 20.0)
    generations.begin("n0", 2, 21.0)
    assert not generations.is_over("n0", 1, 21.0), "which generation n0 had was forgotten"
    generations.begin("n99", 2, 22.0)
    assert generations.is_over("n99", 1, 22.0)


def test_the_numbers_of_generations_make_no_difference() -> None:
    """Of any two, the one that comes second ends the first; ``begin`` of one that is over changes nothing."""
    for first, second in ((1, 2), (2, 1), (2**64 - 1, 1), (1, 2**64 - 1)):
        generations = Generations()
        generations.begin("b", first, 0.0)
        generations.begin("b", second, 1.0)
        generations.begin("b", first, 2.0)
        assert generations.is_over("b", first, 3.0)
        assert not generations.is_over("b", second, 3.0)
