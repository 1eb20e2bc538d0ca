"""Workers of programs that are started in unusual ways, and what else runs in or below a worker."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from bdb import BdbQuit
from pathlib import Path

import pytest

from tests.layout.sources import ROOT
from tests.runtime.workers.stage import GONE_S, QUICK, Clerk, Exit, Pid, Witness, folders, run
from trouper import Actor, Message, Node, NodeFailed, StartFailed, Workers, handler

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pidfd_open, which tells of an end, is Linux's own")
SCRIPT = """
import os, trouper
from trouper import Actor, Message, Node, handler

class Pid(Message[int]):
    pass

class Clerk(Actor):
    @handler
    def pid(self, msg: Pid) -> int:
        return os.getpid()

async def main():
    async with Node(workers=1) as node:
        clerk = await node.spawn(Clerk, place="worker-1")
        print("in a worker:", await clerk.ask(Pid()) != os.getpid())

if __name__ == "__main__":
    trouper.run(main)
"""
PACKAGE = {"pack/__init__.py": "", "pack/__main__.py": SCRIPT, "prog.py": SCRIPT}


@pytest.mark.parametrize(
    "arguments",
    [
        "-m pack",
        "-m cProfile -o stats prog.py",
        "-c import('runpy').run_path('prog.py',run_name='__main__')",
    ],
)
def test_the_actors_of_a_program_run_in_workers_however_it_is_started(arguments: str, tmp_path: Path) -> None:
    """As a package, and by a profiler or another program, which is `__main__` in its place."""
    for name, text in PACKAGE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    command = [sys.executable, *arguments.replace("import(", "__import__(").split()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    ended = subprocess.run(
        command,
        check=False,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
    assert "in a worker: True" in ended.stdout, ended.stderr


@pytest.mark.parametrize("way", ["stdin", "-c"])
def test_a_program_without_a_file_is_told_to_have_one(way: str) -> None:
    """A worker cannot import what was read from stdin or given by `-c`: one sentence says so, with the cure."""
    words = ["-"] if way == "stdin" else ["-c", SCRIPT]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    ended = subprocess.run(
        [sys.executable, *words],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        input=SCRIPT,
        timeout=120,
    )
    assert ended.returncode == 1
    assert "define it in a file and run `python FILE.py`" in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("isolated", [False, True])
def test_files_of_the_working_directory_are_not_imported_by_workers(isolated: bool, tmp_path: Path) -> None:
    """A file there that is called like a module of the standard library would run in each worker."""
    script, folder = tmp_path / "program" / "prog.py", tmp_path / "folder"
    script.parent.mkdir()
    folder.mkdir()
    script.write_text(f"import sys\nsys.path.append({str(ROOT / 'src')!r})\n{SCRIPT}")
    for name in ("signal", "enum", "types", "stat", "asyncio", "os", "socket", "trouper"):
        (folder / f"{name}.py").write_text("raise RuntimeError('a file of the working directory was imported')\n")
    command = [sys.executable, *(["-I"] if isolated else []), str(script)]
    ended = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=120)
    assert "in a worker: True" in ended.stdout, ended.stderr


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_a_program_whose_standard_streams_are_closed_runs_to_its_end(closed: str, tmp_path: Path) -> None:
    """As daemons are started: the numbers of the closed descriptors are not given to sockets, also in workers."""
    script, done = tmp_path / "prog.py", tmp_path / "done"
    script.write_text(f"{SCRIPT}    open({str(done)!r}, 'w').write('to the end')\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHON": sys.executable, "SCRIPT": str(script)}
    command = ["/bin/sh", "-c", f'exec "$PYTHON" "$SCRIPT" {closed}']
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as program:
        assert program.wait(120) == 0
    assert done.read_text() == "to the end"


def nap() -> None:
    """What a child process does."""
    threading.Event().wait(60)


class StartChildren(Message[list[int]]):
    """Start processes: by fork, by spawn, a program, and a program in a session of its own; the reply is their pids."""


class Starter(Actor):
    """Starts processes."""

    def __init__(self) -> None:
        self.programs: list[subprocess.Popen[bytes]] = []

    @handler
    def start(self, msg: StartChildren) -> list[int]:
        forked = multiprocessing.get_context("fork").Process(target=nap)
        spawned = multiprocessing.get_context("spawn").Process(target=nap)
        forked.start()
        spawned.start()
        self.programs = [subprocess.Popen(["sleep", "60"], start_new_session=new) for new in (False, True)]
        return [forked.pid or 0, spawned.pid or 0, *(program.pid for program in self.programs)]


PARENT = """
import asyncio, sys, trouper
from tests.runtime.workers.test_programs_with_workers import Starter, StartChildren
from trouper import Node

async def main():
    async with Node(workers=1) as node:
        starter = await node.spawn(Starter, place="worker-1")
        print("pids", *await starter.ask(StartChildren(), 60.0), flush=True)
        await asyncio.get_running_loop().create_future()

if __name__ == "__main__":
    trouper.run(main)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_actors_of_a_worker_have_started_ends_with_the_node(number: signal.Signals, tmp_path: Path) -> None:
    """Killed or ended in order; a process in a session of its own goes on, as was asked for."""
    script = tmp_path / "parent.py"
    script.write_text(textwrap.dedent(PARENT))
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment) as program:
        assert program.stdout is not None, "it is a pipe"
        pids = [int(each) for each in program.stdout.readline().split()[1:]]
        *below, detached = pids
        witness = Witness(below)
        program.send_signal(number)
        assert witness.wait_gone() == []
    os.kill(detached, 0)
    os.kill(detached, signal.SIGKILL)


def test_what_actors_of_a_worker_have_started_ends_with_the_worker() -> None:
    """A worker that is killed leaves no process behind on a node that goes on."""

    async def scene() -> None:
        async with Node(workers=QUICK) as node:
            starter = await node.spawn(Starter, place="worker-1")
            clerk = await node.spawn(Clerk, place="worker-1")
            *below, detached = await starter.ask(StartChildren(), 60.0)
            witness = Witness(below)
            clerk.tell(Exit(256))
            assert await asyncio.to_thread(witness.wait_gone) == []
            os.kill(detached, signal.SIGKILL)

    run(scene())


class Stop(Message[int]):
    """Stop in the debugger."""


class Debugged(Actor):
    """Calls ``breakpoint``."""

    @handler
    def stop_here(self, msg: Stop) -> int:
        breakpoint()  # noqa: T100  what is tested
        return 1


def test_breakpoint_in_a_worker_says_why_there_is_no_debugger() -> None:
    """One line for the asker and the log, and the worker goes on; another hook can be named by the environment."""

    async def scene() -> None:
        async with Node(workers=1) as node:
            debugged = await node.spawn(Debugged, place="worker-1")
            with pytest.raises(BdbQuit, match=r"breakpoint\(\) in a worker process, which has no terminal: run the"):
                await debugged.ask(Stop(), GONE_S)
            await node.workers.add(env={"PYTHONBREAKPOINT": "0"})
            silent = await node.spawn(Debugged, place="worker-2")
            assert await silent.ask(Stop(), GONE_S) == 1

    run(scene())


def test_a_node_whose_folder_of_sockets_was_removed_fails_with_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cleaner of temporary files has removed it: no worker can be started again, and the sentence says what to do."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    async def scene() -> None:
        async with Node(workers=1) as node:
            clerk = await node.spawn(Clerk, place="worker-1")
            await clerk.ask(Pid())
            (folder,) = folders(tmp_path)
            shutil.rmtree(folder)
            clerk.tell(Exit(256))
            await asyncio.get_running_loop().create_future()

    with pytest.raises(NodeFailed, match=r"the folder of its sockets, .*, was removed, as by a cleaner .* TMPDIR"):
        run(scene())


def test_restarts_that_fail_are_counted_whatever_they_take() -> None:
    """More than ``intensity`` of one worker in a row fail the node, also where each takes longer than ``period_s``."""

    async def scene() -> None:
        async with Node(workers=Workers(0, intensity=2, period_s=0.001)) as node:
            manager = node._worker_manager  # noqa: SLF001  a real worker would take minutes
            assert manager is not None
            for _ in range(2):
                manager.restart_failed("worker-1", StartFailed("it did not come up"))
                manager.restart_failed("worker-2", StartFailed("it did not come up"))
                await asyncio.sleep(0)
            manager.failed_restarts.pop("worker-1")
            manager.restart_failed("worker-1", StartFailed("it did not come up"))
            assert node.shutdown.reason is None
            manager.restart_failed("worker-2", StartFailed("it is broken"))
            await asyncio.get_running_loop().create_future()

    with pytest.raises(NodeFailed, match=r"worker-2 could not be started again, 3 times in a row: it is broken"):
        run(scene())
