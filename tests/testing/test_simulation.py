import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest

from trouper import Actor, ActorRef, Down, Message, NodeFailed, OneForOne, handler
from trouper.runtime.kernel.cell import Cell
from trouper.testing import (
    Fault,
    Flood,
    Plan,
    Probe,
    Risks,
    Simulation,
    SimulationFailed,
    Stalled,
    StepsExceeded,
    simulate,
)

ROOT = Path(__file__).parents[2]


class Hello(Message[int]):
    n: int


class Greeter(Actor):
    """Passes greetings on to the next one, in its own time."""

    def __init__(self, others: list[ActorRef]) -> None:
        self.others = others
        self.heard = 0

    @handler
    async def hello(self, msg: Hello) -> int:
        self.heard += 1
        if msg.n:
            random.choice(self.others).tell(Hello(msg.n - 1))
            await asyncio.sleep(random.random())
        return self.heard


class Counter(Actor):
    """Counts, at once."""

    def __init__(self, story: list[int] | None = None) -> None:
        self.story = [] if story is None else story

    @handler
    def hello(self, msg: Hello) -> int:
        self.story.append(msg.n)
        return len(self.story)


async def crowd(sim: Simulation) -> None:
    """Greetings in a crowd, with chance in the program, in the order of actors, and in what goes wrong."""
    others: list[ActorRef] = []
    for _ in range(6):
        others.append(await sim.node.spawn(Greeter, others, restart="permanent"))
    for ref in others:
        ref.tell(Hello(8))
    await asyncio.sleep(sim.random.random() * 10)


def digest(seed: int) -> str:
    """The hash of what happens in a crowd."""
    plan = Risks().draw(random.Random(seed))
    return simulate(crowd, seed=seed, plan=plan, supervision=OneForOne(intensity=1_000)).digest


def test_a_seed_gives_the_same_run() -> None:
    """Two runs of one seed agree in every event, and other seeds give other runs."""
    digests = [digest(seed) for seed in range(40)]
    assert digests == [digest(seed) for seed in range(40)]
    assert len(set(digests)) == 40


@pytest.mark.parametrize("hash_seed", ["0", "12345"])
def test_a_seed_gives_the_same_run_in_another_process(hash_seed: str) -> None:
    """A fresh interpreter, where texts hash otherwise and everything lies elsewhere in memory, agrees too."""
    program = (
        "import importlib.util, sys; spec = importlib.util.spec_from_file_location('crowd', sys.argv[1]);"
        "made = importlib.util.module_from_spec(spec); sys.modules['crowd'] = made; spec.loader.exec_module(made);"
        "print(*(made.digest(seed) for seed in range(10)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, __file__],
        env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [digest(seed) for seed in range(10)]


def test_the_order_of_actors_is_drawn_but_not_the_order_of_messages() -> None:
    """Over the seeds, actors run in every order; what one sender tells one receiver always arrives in order."""
    orders: set[tuple[int, ...]] = set()

    async def scenario(sim: Simulation) -> None:
        story: list[int] = []
        counters = [await sim.node.spawn(Counter, story) for _ in range(3)]
        for n in range(2):
            for place, counter in enumerate(counters):
                counter.tell(Hello(place * 10 + n))
        await sim.settle()
        for place in range(3):
            assert [n for n in story if n // 10 == place] == [place * 10, place * 10 + 1]
        orders.add(tuple(story))

    for seed in range(3_000):
        simulate(scenario, seed=seed)
    assert len(orders) == 90  # of six messages, in three pairs that keep their order


def test_asks_are_answered_inline_or_queued_as_the_seed_says() -> None:
    """Of the two ways in which an idle actor may answer, simulations take both, so that no program relies on one."""
    endings: set[tuple[int, ...]] = set()

    async def scenario(sim: Simulation) -> None:
        story: list[int] = []
        counter = await sim.node.spawn(Counter, story)
        asks = [counter.ask(Hello(n)) for n in range(3)]
        endings.add(tuple(story))
        await asyncio.gather(*asks)

    for seed in range(100):
        simulate(scenario, seed=seed)
    assert endings == {(), (0,), (0, 1), (0, 1, 2)}


def test_the_programs_chance_is_given_back() -> None:
    """A simulation seeds the global `random` for its own time only."""
    random.seed(1)
    expected = random.random()
    random.seed(1)
    simulate(crowd, seed=3)
    assert random.random() == expected


def test_the_outcome_tells_what_was_done() -> None:
    """An outcome holds the seed, the time that passed, and books that balance."""

    async def scenario(sim: Simulation) -> None:
        counter = await sim.node.spawn(Counter)
        counter.tell(Hello(1))
        await asyncio.sleep(5)
        assert sim.now_s == 5

    outcome = simulate(scenario, seed=9)
    assert (outcome.seed, outcome.virtual_s, outcome.plan) == (9, 5, Plan())
    assert (outcome.accounting.sent, outcome.accounting.handled, outcome.accounting.missing) == (1, 1, 0)


# --- what goes wrong, by name ----------------------------------------------------------------------------------------


def test_crash_fails_an_actor() -> None:
    """A crashed actor is restarted by its supervisor, and has forgotten what it knew."""

    async def scenario(sim: Simulation) -> None:
        counter = await sim.node.spawn(Counter)
        assert [await counter.ask(Hello(0)), await counter.ask(Hello(0))] == [1, 2]
        sim.crash(counter)
        assert await counter.ask(Hello(0)) == 1

    simulate(scenario)


def test_kill_ends_an_actor() -> None:
    """A killed actor is gone."""

    async def scenario(sim: Simulation) -> None:
        probe = Probe(sim.node)
        counter = await sim.node.spawn(Counter)
        probe.watch(counter)
        sim.kill(counter)
        await probe.expect_down(counter, "killed")

    simulate(scenario)


def test_pause_holds_an_actor_until_it_is_resumed() -> None:
    """A paused actor takes mail and handles none of it."""

    async def scenario(sim: Simulation) -> None:
        story: list[int] = []
        counter = await sim.node.spawn(Counter, story)
        sim.pause(counter)
        counter.tell(Hello(1))
        await asyncio.sleep(100)
        assert story == []
        sim.resume(counter)
        await sim.settle()
        assert story == [1]

    simulate(scenario)


def test_slow_lets_an_actor_rest_after_each_message() -> None:
    """A slow actor handles its next message only after its rest, until it is quick again."""

    async def scenario(sim: Simulation) -> None:
        story: list[int] = []
        counter = await sim.node.spawn(Counter, story)
        sim.slow(counter, 10)
        for n in range(4):
            counter.tell(Hello(n))
        await asyncio.sleep(15)
        assert story == [0, 1]
        sim.slow(counter, 0)
        await asyncio.sleep(6)
        assert story == [0, 1, 2, 3]

    simulate(scenario)


def test_flood_fills_a_mailbox() -> None:
    """A flood comes in at once, of what the actor does not know or of what the test wants."""

    async def scenario(sim: Simulation) -> None:
        probe = Probe(sim.node)
        sim.flood(probe.ref, 2)
        sim.flood(probe.ref, 1, Hello(5))
        await sim.settle()
        assert probe.received == (Flood(0), Flood(1), Hello(5))

    simulate(scenario)


def test_leap_makes_timers_due_together() -> None:
    """After a leap, all that should have happened meanwhile happens at once."""

    async def scenario(sim: Simulation) -> None:
        sleeper = asyncio.create_task(asyncio.sleep(50))
        await sim.settle()
        sim.leap(60)
        await sleeper
        assert sim.now_s == 60

    simulate(scenario)


def test_a_plan_strikes_at_its_times_and_spares_who_is_spared() -> None:
    """The faults of a plan are carried out at their times, on actors, but not on probes and those that are spared."""

    async def scenario(sim: Simulation) -> None:
        probe = Probe(sim.node)
        spared, victim = await sim.node.spawn(Counter), await sim.node.spawn(Counter)
        sim.exclude(spared)
        for ref in (spared, victim):
            probe.watch(ref)
        await probe.expect_down(victim, "killed", within_s=3)
        assert sim.now_s == 2
        await asyncio.sleep(10)
        assert [message for message in probe.received if isinstance(message, Down)] == [Down(victim, "killed")]

    simulate(scenario, plan=Plan((Fault(2.0, "kill", 0.0), Fault(3.0, "kill", 0.99), Fault(4.0, "pause", 0.5))))


# --- the laws at the end ---------------------------------------------------------------------------------------------


def test_a_lost_message_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulation fails when the books do not balance, though the scenario noticed nothing."""
    accept = Cell.accept

    def forgetful(cell: Cell, item: object) -> None:
        accept(cell, item)
        cell.received += 1

    async def scenario(sim: Simulation) -> None:
        nobody: list[ActorRef] = []
        greeter = await sim.node.spawn(Greeter, nobody)
        await greeter.ask(Hello(0))

    simulate(scenario)
    monkeypatch.setattr(Cell, "accept", forgetful)
    with pytest.raises(SimulationFailed, match=r"^1 messages are unaccounted for: Accounting\(sent=2, handled=1,"):
        simulate(scenario)


def test_a_task_that_failed_unseen_is_found() -> None:
    """A task whose exception nobody has looked at fails the simulation."""

    async def fails() -> None:
        raise ZeroDivisionError

    async def scenario(sim: Simulation) -> None:
        task = asyncio.create_task(fails())
        await sim.settle()
        assert task.done()

    with pytest.raises(SimulationFailed, match=r"^Task-2 failed unseen: Traceback "):
        simulate(scenario)


def test_a_task_that_is_left_behind_is_found() -> None:
    """A task that still runs after the node has ended fails the simulation."""
    tasks: list[asyncio.Task[None]] = []

    async def scenario(_: Simulation) -> None:
        tasks.append(asyncio.create_task(asyncio.sleep(100), name="left"))

    with pytest.raises(SimulationFailed, match=r"name='left'.* still runs\n"):
        simulate(scenario)


def test_a_program_that_waits_for_ever_is_found() -> None:
    """A simulation of what can never go on fails at once, and says where."""

    async def scenario(_: Simulation) -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stalled, match=r"^everything waits and no timer is set"):
        simulate(scenario)


def test_an_actor_that_is_busy_for_ever_is_found() -> None:
    """Runs of actors are steps, so that one which always has mail comes to the limit."""

    class Busy(Actor):
        @handler
        def hello(self, msg: Hello) -> int:
            self.ref.tell(msg)
            return 0

    async def scenario(sim: Simulation) -> None:
        busy = await sim.node.spawn(Busy)
        busy.tell(Hello(1))
        await asyncio.sleep(1)

    with pytest.raises(StepsExceeded, match=r"^no end after \d+ steps, at 0 s of virtual time"):
        simulate(scenario, steps_max=5_000)


def test_a_failure_is_explained() -> None:
    """Whatever a scenario raises has a note with the seed, the plan, the time, and the end of the trace."""

    async def scenario(sim: Simulation) -> None:
        counter = await sim.node.spawn(Counter)
        counter.tell(Hello(1))
        await asyncio.sleep(2)
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no\n") as caught:
        simulate(scenario, seed=4, plan=Plan((Fault(9.0, "leap", for_s=1.0),)))
    note = caught.value.__notes__[0]
    assert note.startswith("simulated with seed 4 and [0] at 9 s leap for 1 s; at 2 s of virtual time, after ")
    assert "  1000.0 user/$4#4 Hello" in note.splitlines()


def test_an_escalated_failure_ends_the_simulation() -> None:
    """A failure that reaches the root is raised, as by any node."""

    async def scenario(sim: Simulation) -> None:
        counter = await sim.node.spawn(Counter)
        sim.crash(counter)
        await asyncio.sleep(1)

    with pytest.raises(NodeFailed):
        simulate(scenario, supervision=OneForOne(intensity=0))
