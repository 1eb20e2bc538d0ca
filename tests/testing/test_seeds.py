import asyncio
import re

import pytest

from trouper import Actor, InvalidOption, Message, OneForOne, handler
from trouper.testing import Risks, Simulation, seeds


class Hello(Message[int]):
    pass


class Fragile(Actor):
    @handler
    def hello(self, msg: Hello) -> int:
        return 1


@seeds(25)
async def test_each_seed_is_a_run(sim: Simulation) -> None:
    """The decorator makes a plain test of a scenario, here of this one."""
    fragile = await sim.node.spawn(Fragile)
    assert await fragile.ask(Hello()) == 1


@pytest.mark.parametrize("number", [1, 2])
@seeds(2)
async def test_fixtures_and_parameters_are_passed_on(
    sim: Simulation, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a test takes besides the simulation comes from pytest."""
    assert (sim.seed >= 0, number in (1, 2), capsys.readouterr().out) == (True, True, "")


def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TROUPER_SEED", "TROUPER_SEEDS", "TROUPER_FAULTS", "TROUPER_SOAK"):
        monkeypatch.delenv(name, raising=False)


def _runs(monkeypatch: pytest.MonkeyPatch, **variables: str) -> list[tuple[int, int]]:
    """Run a scenario of ten seeds with these variables set; returns each run's seed and number of faults."""
    _forget(monkeypatch)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    seen: list[tuple[int, int]] = []

    @seeds(10, risks=Risks(faults_max=3))
    async def scenario(sim: Simulation) -> None:
        seen.append((sim.seed, len(sim.plan.faults)))

    scenario()
    return seen


def test_the_environment_says_which_seeds_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """One seed, a number of seeds, ten times as many, one seed with some of its faults: each has its variable."""
    assert [seed for seed, _ in _runs(monkeypatch)] == list(range(10))
    assert [seed for seed, _ in _runs(monkeypatch, TROUPER_SEEDS="3")] == [0, 1, 2]
    assert [seed for seed, _ in _runs(monkeypatch, TROUPER_SOAK="1")] == list(range(100))
    drawn = dict(_runs(monkeypatch))
    seed = next(seed for seed, count in drawn.items() if count == 3)
    assert _runs(monkeypatch, TROUPER_SEED=str(seed)) == [(seed, 3)]
    assert _runs(monkeypatch, TROUPER_SEED=str(seed), TROUPER_FAULTS="0,2") == [(seed, 2)]
    assert _runs(monkeypatch, TROUPER_SEED=str(seed), TROUPER_FAULTS="") == [(seed, 0)]


def test_a_bad_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that cannot be meant is named, with its value."""
    with pytest.raises(InvalidOption, match=r"^TROUPER_SEEDS='many' must be a number, 0 or more$"):
        _runs(monkeypatch, TROUPER_SEEDS="many")
    with pytest.raises(InvalidOption, match=r"^TROUPER_FAULTS=7: this seed draws \d faults, numbered from 0$"):
        _runs(monkeypatch, TROUPER_SEED="1", TROUPER_FAULTS="7")


def test_a_failing_seed_is_shrunk_and_told_how_to_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first failing seed is reported with the faults that it needs, and one command that runs just that."""
    _forget(monkeypatch)
    runs: list[tuple[int, tuple[str, ...]]] = []

    @seeds(200, risks=Risks(kinds=("crash", "kill", "pause"), faults_max=5), supervision=OneForOne(intensity=100))
    async def scenario(sim: Simulation) -> None:
        runs.append((sim.seed, tuple(fault.kind for fault in sim.plan.faults)))
        fragile = await sim.node.spawn(Fragile)
        await asyncio.sleep(20)
        assert fragile.name in (sim.node.system.user.children or {})

    with pytest.raises(AssertionError) as caught:
        scenario()
    seed, kinds = runs[-1]
    assert kinds == ("kill",)
    *_, verdict, replay = caught.value.__notes__
    assert re.fullmatch(rf"seed {seed} failed, after {seed} of 200 had passed; of its \d faults it needs 1", verdict)
    found = re.fullmatch(r'replay: TROUPER_SEED=(\d+)(?: TROUPER_FAULTS=(\d))? python -m pytest "(.*)"', replay)
    assert found is not None
    here = "tests/testing/test_seeds.py::test_a_failing_seed_is_shrunk_and_told_how_to_replay"
    assert (found[1], found[3]) == (str(seed), here)
    monkeypatch.setenv("TROUPER_SEED", found[1])
    if found[2] is not None:
        monkeypatch.setenv("TROUPER_FAULTS", found[2])
    with pytest.raises(AssertionError):
        scenario()
    assert runs[-1] == (seed, ("kill",))


def test_a_failure_that_does_not_come_again_is_said_to_be_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a seed fails and then passes, something besides the seed decides, and the failure says so."""
    _forget(monkeypatch)
    runs = 0

    @seeds(5)
    async def scenario(_: Simulation) -> None:
        nonlocal runs
        runs += 1
        assert runs != 3

    with pytest.raises(AssertionError) as caught:
        scenario()
    expected = r"seed 2 failed once and passed when it was run again: something besides the seed decides, such as .*"
    assert re.fullmatch(expected, caught.value.__notes__[-1])
