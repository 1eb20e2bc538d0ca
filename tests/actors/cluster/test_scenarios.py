"""Each scenario is played twice: by the simulator, and by five processes on five hosts; both come out the same."""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import product
from pathlib import Path

import pytest

from tests.actors.cluster.scenarios import CONFIG, ENDED, FOLDER, NAMES, play
from tests.actors.cluster.stage import view
from tests.namespaces import Hosts, why_no_netem, why_not
from trouper.testing import Simulation, simulate
from trouper.transports.network_faults import Quality

SCENARIOS = sorted(FOLDER.glob("*.txt"))
SEEDS = NAMES[:2]
PORT = 7400
QUICK = "crash"
"""The scenario that is played on real hosts every time."""


class Simulated:
    """The stage of the simulator."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim

    async def partition(self, one: list[str], other: list[str]) -> None:
        """Let nothing through between these, either way."""
        self._sim.partition(one, other)

    async def cut_one_way(self, source: str, target: str) -> None:
        """Lose what one sends to the other."""
        self._sim.partition(source, target, one_way=True)

    async def worsen(self, name: str, delay_ms: float, loss_percent: float) -> None:
        """Delay what goes to and from a node, and lose a part of it."""
        self._sim.set_quality(Quality(delay_s=delay_ms / 1000, loss=loss_percent / 100), name)

    async def heal(self) -> None:
        """Take back all of that."""
        self._sim.repair()
        self._sim.set_quality(Quality())

    async def kill(self, name: str) -> None:
        """End a node; its host tells the others that its connections are closed."""
        self._sim.crash_node(name)

    async def start(self, name: str) -> None:
        """Start a node that has ended."""
        if self._sim.is_up(name):
            await self._sim.stop(name)
        await self._sim.restart(name)

    async def leave(self, name: str) -> None:
        """Have a node leave and end in order."""
        await self._sim.stop(name)

    def view(self, name: str) -> str:
        """What a node sees now."""
        if not self._sim.is_up(name) or self._sim[name].shutdown.reason is not None:
            return ENDED
        return view(self._sim[name])

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)


class Cabled:
    """The stage of real hosts: a process in each network namespace."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._views: dict[str, str] = {}
        self._reading: set[asyncio.Task[None]] = set()
        self._cuts: set[tuple[int, int]] = set()

    async def partition(self, one: list[str], other: list[str]) -> None:
        """Let nothing through between these, either way."""
        for a, b in product(one, other):
            await self.cut_one_way(a, b)
            await self.cut_one_way(b, a)

    async def cut_one_way(self, source: str, target: str) -> None:
        """Lose what one sends to the other."""
        cut = (NAMES.index(source), NAMES.index(target))
        self._hosts.cut_one_way(*cut)
        self._cuts.add(cut)

    async def worsen(self, name: str, delay_ms: float, loss_percent: float) -> None:
        """Delay what a node sends, and lose a part of it."""
        self._hosts.worsen(NAMES.index(name), delay_ms=delay_ms, loss_percent=loss_percent)

    async def heal(self) -> None:
        """Take back the cuts."""
        for cut in self._cuts:
            self._hosts.heal_one_way(*cut)
        self._cuts.clear()

    async def kill(self, name: str) -> None:
        """End a process."""
        self._processes[name].kill()
        await self._processes[name].wait()

    async def start(self, name: str) -> None:
        """Start the process of a node, and read what it prints."""
        ends = [f"tcp://{self._hosts.address(NAMES.index(each))}:{PORT}" for each in (name, *SEEDS)]
        program = ("-W", "ignore", "-m", "tests.actors.cluster.scenario_program")
        command = self._hosts.command(NAMES.index(name), sys.executable, *program, name, *ends)
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        self._processes[name], self._views[name] = process, ""
        task = asyncio.create_task(self._read(name, process))
        self._reading.add(task)

    async def _read(self, name: str, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self._views[name] = line.decode().strip()
        await process.wait()
        self._views[name] = ENDED

    async def leave(self, name: str) -> None:
        """Have a node leave and end in order."""
        self._processes[name].terminate()

    def view(self, name: str) -> str:
        """What a node has printed last."""
        return self._views[name]

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """End all that still runs."""
        for process in self._processes.values():
            if process.returncode is None:
                process.kill()
        await asyncio.gather(*self._reading)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenario_in_the_simulator(path: Path) -> None:
    """On virtual time, with whole nodes."""
    text = path.read_text()

    async def scene(sim: Simulation) -> None:
        await play(text, Simulated(sim))

    joins = [f"sim://{name}" for name in SEEDS]
    simulate(scene, nodes=5, joins={}, options=lambda _: {"cluster": CONFIG, "join": joins})


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenario_on_real_hosts(path: Path) -> None:
    """Over tcp, between network namespaces."""
    text = path.read_text()
    if "worsen" in text and (reason := why_no_netem()) is not None:
        pytest.skip(reason)
    # Real hosts take real time, and a machine that is busy with all other tests makes members seem slow: CI plays the
    # quick one there, and each scenario in the simulator, whose time no load can stretch.
    if path.stem != QUICK and not os.environ.get("TROUPER_SOAK"):
        pytest.skip("it takes half a minute of real time: `make soak` plays it, and the simulator always does")

    async def main() -> None:
        stage = Cabled(hosts)
        try:
            for name in NAMES:
                await stage.start(name)
            await play(text, stage)
        finally:
            await stage.close()

    with Hosts(len(NAMES)) as hosts:
        hosts.give_up_connections_after(3)
        asyncio.run(main())
