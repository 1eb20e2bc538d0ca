"""Two hosts, two processes and a real network between them, whose plug is pulled and put in again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.namespaces import NOWHERE, Hosts, why_no_netem, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
PORT = 7400


class Cabled:
    """Two hosts and what runs there: one process counts what the other tells it."""

    def __init__(self, hosts: Hosts, stack: ExitStack) -> None:
        self.hosts, self._stack = hosts, stack
        here, there = (f"tcp://{hosts.address(host)}:{PORT}" for host in (0, 1))
        self.counter = self._begin(1, "counter", there)
        _hear(self.counter, "ready")
        self.teller = self._begin(0, "teller", here, there)
        _hear(self.teller, "ready")

    def _begin(self, host: int, *words: str) -> subprocess.Popen[str]:
        program = ("-W", "ignore", "-m", "tests.transports.zeromq.hosts_program")
        command = self.hosts.command(host, sys.executable, *program, *words)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self._stack.enter_context(process)

    def told(self, least: int) -> int:
        """Wait until so many numbers were told."""
        return _hear(self.teller, "told", least)["told"]

    def end(self) -> dict[str, int]:
        """Tell no more, and hear what arrived."""
        assert self.teller.stdin is not None
        self.teller.stdin.write("stop\n")
        self.teller.stdin.flush()
        return _hear(self.teller, "arrived")


@pytest.fixture
def cabled() -> Iterator[Cabled]:
    """Two hosts whose TCP gives a connection up after a second or two; they end first, and all that runs there."""
    with ExitStack() as stack, Hosts(2) as hosts:
        hosts.give_up_connections_after(2)
        yield Cabled(hosts, stack)


def _hear(process: subprocess.Popen[str], word: str, least: int = 0) -> dict[str, int]:
    """Read what a program says until it says this word, with this number or a larger one."""
    assert process.stdout is not None
    for line in process.stdout:
        facts: dict[str, int] = json.loads(line) if line.startswith("{") else {}
        if facts.get(word, -1) >= least:
            return facts
    raise AssertionError(f"the program ended without saying {word}: exit status {process.wait(5)}")


def test_a_cut_cable_loses_nothing_within_an_incarnation(cabled: Cabled) -> None:
    """The plug is pulled until TCP gives up, and for a moment: all that was told arrives, once and in order."""
    cabled.hosts.cut(0)
    told = cabled.told(3_000)
    cabled.hosts.heal(0)
    told = cabled.told(told + 1_000)
    cabled.hosts.cut(1)
    told = cabled.told(told + 500)
    cabled.hosts.heal(1)
    facts = cabled.end()
    assert facts["breaks"] >= 1, "the first cut was long enough to break the connection"
    assert facts["arrived"] == facts["told"] == facts["last"] > told
    assert facts["wrong"] == 0
    assert facts["same"], "it was one session all the time"
    assert cabled.counter.poll() is None


def test_a_cut_one_way_loses_nothing_within_an_incarnation(cabled: Cabled) -> None:
    """First the bodies do not get through, then the acknowledgements do not."""
    cabled.hosts.cut_one_way(0, 1)
    told = cabled.told(1_000)
    cabled.hosts.heal_one_way(0, 1)
    cabled.hosts.cut_one_way(1, 0)
    told = cabled.told(told + 1_000)
    cabled.hosts.heal_one_way(1, 0)
    facts = cabled.end()
    assert facts["arrived"] == facts["told"] == facts["last"] > told
    assert (facts["wrong"], facts["same"]) == (0, True)


@pytest.mark.skipif(why_no_netem() is not None, reason=str(why_no_netem()))
def test_a_bad_network_loses_nothing(cabled: Cabled) -> None:
    """A tenth of the packets lost, and 20 ms more for each: slower, and complete."""
    cabled.hosts.worsen(0, delay_ms=20, loss_percent=10)
    cabled.told(1_000)
    facts = cabled.end()
    assert facts["arrived"] == facts["told"] == facts["last"]
    assert (facts["wrong"], facts["same"]) == (0, True)


def test_hosts_reach_each_other_and_faults_are_where_they_are_said_to_be() -> None:
    """Of three hosts a partition of two leaves the third alone; nothing is left of them afterwards."""
    with Hosts(3) as hosts:
        hosts.partition(0, 1)
        assert NOWHERE in hosts.run(0, "ip", "neigh")
        assert NOWHERE not in hosts.run(2, "ip", "neigh")
        hosts.heal_partition(0, 1)
        assert NOWHERE not in hosts.run(0, "ip", "neigh")
        sleeper = subprocess.Popen(hosts.command(2, "sleep", "600"))
        name = hosts.command(2)[3]
    assert sleeper.wait(5) < 0, "what ran there was killed"
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    assert name not in listed
