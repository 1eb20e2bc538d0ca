"""The workers of a node: settings that are refused, workers that cannot start, and nothing that is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.layout.sources import ROOT
from tests.runtime.node.test_opening import Account, Deposit
from tests.runtime.stage import play
from tests.runtime.workers.stage import GONE_S, QUICK, Clerk, Pid, folders, run
from trouper import (
    Actor,
    BulkSettings,
    FileJournal,
    InvalidOption,
    Node,
    StartFailed,
    Workers,
    handler,
)
from trouper.runtime.workers import program
from trouper.runtime.workers.protocol import CheckAlive, ConnectPeers, Program, Setup, Stop, WorkerEnded
from trouper.runtime.workers.settings import WORKERS_MAX
from trouper.runtime.workers.worker_process import WorkerProcess


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.mark.parametrize("count", [-1, WORKERS_MAX + 1, 10**9])
def test_a_count_out_of_range_is_refused(count: int) -> None:
    """The error names the value and the limit."""
    with pytest.raises(InvalidOption, match=f"workers={count} must be 0 to {WORKERS_MAX}"):
        Node(workers=count)


def test_workers_are_refused_on_virtual_time(tmp_path: Path) -> None:
    """Worker processes run in real time, so a test on virtual time with them could not be replayed."""

    async def scene() -> None:
        with pytest.raises(InvalidOption, match="this loop's time is virtual"):
            await Node(workers=2).__aenter__()

    play(scene)
    assert folders(tmp_path) == []


def test_a_node_without_workers_has_none() -> None:
    """A node without workers has none, and no network."""

    async def scene() -> None:
        async with Node() as node:
            assert (node.workers.names, len(node.workers)) == ((), 0)

    run(scene())


BOOTS = {
    "dies": ("import sys; sys.exit('no license')", "worker-[12] .* ended by itself with exit code 1.*no license"),
    "hangs": ("import sys; sys.stdin.read()", r"worker-[12] .* runs, but was not connected .* within start_s=0\.2"),
    "babbles": (
        "import os, time; os.write(0, b'\\xff' * 9); time.sleep(60)",
        "a message of 4294967295 bytes is too long",
    ),
    "lies": (
        "import os, time; os.write(0, bytes([0, 0, 0, 1, 7])); time.sleep(60)",
        "it sent a message that cannot be decoded",
    ),
}


@pytest.mark.parametrize("boot", BOOTS)
def test_workers_that_cannot_start_are_an_error_that_says_why(
    boot: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its text names the worker, how it ended and its last output; no process and no folder is left."""
    code, expected = BOOTS[boot]
    monkeypatch.setattr(program, "BOOT", code)

    async def scene() -> None:
        settings = replace(QUICK, start_s=0.2 if boot == "hangs" else 20.0)
        async with Node(workers=settings):
            pass

    with pytest.raises(StartFailed, match=f"(?s)node local could not start all of its workers: .*{expected}"):
        run(scene())
    assert folders(tmp_path) == []


def test_a_missing_interpreter_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of the operating system is in the text."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))

    async def scene() -> None:
        async with Node(workers=1):
            pass

    with pytest.raises(StartFailed, match=r"the process cannot be started: .*no-python"):
        run(scene())
    assert folders(tmp_path) == []


NODE = """
    async with Node(workers=2) as node:
        print("up", *node.workers)
"""
SCRIPTS = {
    "guarded": ("async def main():" + NODE + "if __name__ == '__main__': trouper.run(main)", 0, "up"),
    "unguarded": ("async def main():" + NODE + "trouper.run(main)", 0, "up local.worker-1 local.worker-2"),
    "more follows": ("async def main():" + NODE + "trouper.run(main)\nprint('after', 7 * 6)", 0, "after 42"),
    "asyncio": ("async def main():" + NODE + "asyncio.run(main())", 1, "must stand under `if __name__ =="),
    "raises": (
        "async def main():" + NODE + "if __name__ == '__main__': trouper.run(main)\nelse: 1 / 0",
        1,
        "ZeroDivisionError: division by zero",
    ),
    "exits": (
        "async def main():" + NODE + "if __name__ == '__main__': trouper.run(main)\nelse: raise SystemExit(3)",
        1,
        "SystemExit: 3",
    ),
}


@pytest.mark.parametrize("kind", SCRIPTS)
def test_a_worker_imports_the_script_and_does_not_run_it(kind: str, tmp_path: Path) -> None:
    """A script without the guard, or that fails when it is imported, is a clear error and starts nothing."""
    text, code, expected = SCRIPTS[kind]
    script = tmp_path / "script.py"
    script.write_text(f"import asyncio, trouper\nfrom trouper import Node\n{text}\n")
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=3 * GONE_S,
        env={"PYTHONPATH": str(ROOT / "src"), "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert (done.returncode, expected in done.stdout + done.stderr) == (code, True), done.stderr
    assert folders(tmp_path) == []


def test_a_script_with_the_name_of_a_module_is_refused(tmp_path: Path) -> None:
    """Its module would replace that one in the worker."""
    script = tmp_path / "asyncio_.py"
    script.write_text("")
    sys.modules["asyncio_"] = asyncio
    try:
        with pytest.raises(StartFailed, match="has the name of the module 'asyncio_': rename the script"):
            program.load_program(Program(list(sys.argv), str(script), "asyncio_", "", {}))
    finally:
        del sys.modules["asyncio_"]


def test_workers_take_over_what_their_node_was_given() -> None:
    """Code that no module defines, the limits of large buffers, and strict_wire."""

    class Local(Actor):
        """No module has it."""

        @handler
        def pid(self, msg: Pid) -> int:
            return os.getpid()

    async def main() -> None:
        settings = BulkSettings(bulk_bytes_min=1_000)
        async with Node(workers=1, code_shipping=True, bulk=settings, strict_wire=True) as node:
            local = await node.spawn(Local, place="worker-1")
            assert await local.ask(Pid(), 30.0) != os.getpid()
            manager = node._worker_manager  # noqa: SLF001  what it tells a worker is what is tested
            assert manager is not None
            setup = manager.setup("worker-1")
            assert (setup.bulk, setup.strict_wire, setup.shipped_bytes_max) == (settings, True, 524_288)

    asyncio.run(main())


def test_workers_are_told_of_the_end_of_one_whose_session_this_node_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise they would wait for a process that has ended until their time-out."""

    async def scene() -> None:
        told: list[object] = []
        async with Node(workers=QUICK) as node:
            pid = await (await node.spawn(Clerk, place="worker-1")).ask(Pid())
            generation = node.network.peers["local.worker-1"].node_id.generation
            manager = node._worker_manager  # noqa: SLF001  what it tells its workers is what is tested
            assert manager is not None
            workers = manager._worker_processes  # noqa: SLF001  see above
            monkeypatch.setattr(workers["worker-2"], "tell", told.append)
            ended = workers["worker-1"].ended
            node.network.end_session("local.worker-1", "for the test")
            os.kill(pid, signal.SIGKILL)
            await ended
            monkeypatch.undo()
            assert told == [WorkerEnded("local.worker-1", generation, f"its process {pid} has ended")]

    run(scene())


def test_a_worker_that_is_still_starting_is_not_told_of_the_addresses_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has no network yet; it gets all addresses once it is connected to its parent."""
    early: list[str] = []
    tell = WorkerProcess.tell

    def checked(process: WorkerProcess, message: Setup | ConnectPeers | Stop | WorkerEnded | CheckAlive) -> None:
        if isinstance(message, ConnectPeers) and not process.listening.done():
            early.append(process.name)
        tell(process, message)

    async def scene() -> None:
        async with Node(workers=3) as node:
            assert len(node.workers) == 3

    monkeypatch.setattr(WorkerProcess, "tell", checked)
    run(scene())
    assert early == []


def test_an_event_sourced_actor_on_a_worker_has_its_events_in_the_journal_of_the_node(tmp_path: Path) -> None:
    """In another worker, and in the next run, it recovers from the same files."""

    async def scene() -> None:
        async with Node(workers=Workers(2), journal=FileJournal(tmp_path)) as node:
            placed = await node.spawn(Account, name="ada", place="worker-1")
            assert await placed.ask(Deposit(7), 30.0) == 7
            await placed.stop()
            elsewhere = await node.spawn(Account, name="ada", place="worker-2")
            assert await elsewhere.ask(Deposit(1), 30.0) == 8
        async with Node(journal=FileJournal(tmp_path)) as node:
            assert await node.journal.streams() == ["user/ada"]
            assert await (await node.spawn(Account, name="ada")).ask(Deposit(2)) == 10

    run(scene())


def test_an_actor_has_its_acknowledged_events_after_its_worker_was_killed(tmp_path: Path) -> None:
    """The worker that is started in its place recovers the actor, by the same ref, from the journal of the node."""

    async def scene() -> None:
        async with Node(workers=Workers(1), journal=FileJournal(tmp_path)) as node:
            placed = await node.spawn(Account, name="ada", place="worker-1")
            assert await placed.ask(Deposit(7), 30.0) == 7
            clerk = await node.spawn(Clerk, place="worker-1")
            down = asyncio.create_task(
                node.network.wait_for_peer(node.workers.names[0], after=node.network.peer(node.workers.names[0]))
            )
            os.kill(await clerk.ask(Pid(), 30.0), signal.SIGKILL)
            await down
            assert await placed.ask(Deposit(1), 30.0) == 8

    run(scene())


@pytest.mark.parametrize("journal", [None, "memory"])
def test_workers_keep_events_in_memory_where_that_was_chosen(journal: str | None, tmp_path: Path) -> None:
    """A node without a journal, or ``Workers(journal="memory")``: nothing of it is in the files."""

    async def scene() -> None:
        workers = Workers(1) if journal is None else Workers(1, journal="memory")
        given = None if journal is None else FileJournal(tmp_path)
        async with Node(workers=workers, journal=given) as node:
            placed = await node.spawn(Account, name="ada", place="worker-1")
            assert await placed.ask(Deposit(7), 30.0) == 7
            assert await node.journal.streams() == []

    run(scene())
