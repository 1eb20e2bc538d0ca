"""Signals to a real process: the node goes down in order, and the program ends as a program does."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, sys
import trouper
from trouper import Actor, Message, Node, handler

class Work(Message): pass

class Worker(Actor):
    def on_stop(self): print(self.ref.name, "stops", flush=True)
    @handler
    async def work(self, _: Work):
        print("ready", flush=True)
        await asyncio.sleep(WORK_S)
        print("work done", flush=True)

async def goodbye(): print("goodbye", flush=True)
async def closed(): print("closed", flush=True)

async def main():
    async with Node(shutdown_s=20) as node:
        node.shutdown.add("before_stop", "goodbye", goodbye)
        node.shutdown.add("after_stop", "closed", closed)
        await node.spawn(Worker, name="idle")
        busy = await node.spawn(Worker, name="busy", shutdown_s=15.0)
        busy.tell(Work())
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            print("block left", flush=True)

trouper.run(main)
"""


def run_and_signal(tmp_path: Path, work_s: float, *numbers: signal.Signals) -> tuple[int, list[str], str]:
    """Run the program until it says ready, send it the signals, and wait for its end."""
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent(PROGRAM).replace("WORK_S", str(work_s)))
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as it:
        assert it.stdout is not None, "it is a pipe"
        lines = [it.stdout.readline().strip()]
        it.send_signal(numbers[0])
        for number in numbers[1:]:
            lines.append(it.stdout.readline().strip())
            it.send_signal(number)
        out, err = it.communicate(timeout=30)
    return it.returncode, [*lines, *out.splitlines()], err


@pytest.mark.skipif(sys.platform == "win32", reason="signals as these do not exist there")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_a_signal_ends_a_real_program_in_order(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """The block ends, shutdown tasks run, a running handler may finish, actors stop newest first, files are closed."""
    returned, lines, errors = run_and_signal(tmp_path, 0.2, number)
    assert lines == [
        "ready", "block left", "goodbye", "work done", "busy stops", "idle stops", "closed"
    ], errors  # fmt: skip
    assert returned == code, errors


@pytest.mark.skipif(sys.platform == "win32", reason="signals as these do not exist there")
def test_a_second_signal_ends_the_program_at_once(tmp_path: Path) -> None:
    """A user who does not want to wait sends a second signal."""
    returned, lines, errors = run_and_signal(tmp_path, 60, signal.SIGTERM, signal.SIGTERM)
    assert (returned, lines) == (-signal.SIGTERM, ["ready", "block left", "goodbye"][: len(lines)]), errors
