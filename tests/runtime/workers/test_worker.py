"""Nothing is left of a program, however it ends; each test runs a real one with two real workers."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from tests.runtime.workers.stage import GONE_S, Held, Witness, folders, run, start_program
from tests.runtime.workers.test_worker_process import SETUP
from trouper import Actor, InvalidOption, Message, Node, handler
from trouper.runtime.node.node_base import NodeBase
from trouper.runtime.workers import worker
from trouper.runtime.workers.protocol import ConnectPeers, Stop, ToWorker, WorkerEnded, pack
from trouper.runtime.workers.worker import WorkerMain

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pidfd_open, which tells of an end, is Linux's own")


def _lose_parent(program: subprocess.Popen[str]) -> str:
    _, errors = program.communicate(timeout=GONE_S)
    return errors


@pytest.mark.parametrize("held", [None, "sleep", "spin"])
def test_a_parent_killed_by_sigkill_leaves_no_process_and_no_file(tmp_path: Path, held: Held | None) -> None:
    """The workers end at once, also one whose handler blocks the loop, asleep or in Python code."""
    program, pids = start_program(tmp_path, held)
    witness = Witness(pids)
    assert len(folders(tmp_path)) == 1
    program.kill()
    assert witness.wait_gone() == []
    assert folders(tmp_path) == []
    _lose_parent(program)


def test_a_worker_that_never_releases_the_interpreter_ends_with_its_parent(tmp_path: Path) -> None:
    """The operating system kills it, since no Python code of its own can run."""
    program, pids = start_program(tmp_path, "native")
    witness = Witness(pids)
    program.kill()
    assert witness.wait_gone() == []
    assert folders(tmp_path) == []
    _lose_parent(program)


@pytest.mark.parametrize("held", [None, "sleep", "native"])
def test_sigterm_to_the_parent_ends_all_in_order(tmp_path: Path, held: Held | None) -> None:
    """A worker that ignores the stop request gets SIGTERM, then SIGKILL; nothing is left."""
    program, pids = start_program(tmp_path, held)
    witness = Witness(pids)
    program.terminate()
    errors = _lose_parent(program)
    assert program.returncode == 128 + signal.SIGTERM, errors
    assert witness.wait_gone() == []
    assert folders(tmp_path) == []
    assert held or "Traceback" not in errors


def test_a_worker_that_gets_sigterm_stops_in_order(tmp_path: Path) -> None:
    """As when a service manager signals all processes of a service; its parent then starts it again, or ends."""
    program, pids = start_program(tmp_path, None)
    witness = Witness(pids)
    for pid in (*pids, program.pid):
        os.kill(pid, signal.SIGTERM)
    errors = _lose_parent(program)
    assert program.returncode == 128 + signal.SIGTERM, errors
    assert witness.wait_gone() == []
    assert folders(tmp_path) == []


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_in_a_terminal_ends_all(tmp_path: Path, times: int) -> None:
    """SIGINT goes to every process in the terminal's foreground; one ends in order, a second ends at once."""
    ours, theirs = pty.openpty()
    program, pids = start_program(tmp_path, None, terminal=theirs)
    os.close(theirs)
    witness = Witness(pids)
    for _ in range(times):
        os.write(ours, b"\x03")
    errors = _lose_parent(program)
    os.close(ours)
    assert program.returncode == -signal.SIGINT, errors
    assert witness.wait_gone() == []
    assert folders(tmp_path) == []
    said = [line for line in errors.splitlines() if line.startswith("[worker-")]
    assert not any("Interrupt" in line or "Traceback" in line for line in said), (
        "a worker leaves a Ctrl-C to its parent"
    )


class Interrupt(Message[str]):
    """Start a program, interrupt it by SIGINT, and reply with what it says."""


class Starter(Actor):
    """Starts programs."""

    @handler
    def interrupt(self, msg: Interrupt) -> str:
        code = "try:\n    print('up', flush=True); input()\nexcept KeyboardInterrupt:\n    print('cleaned up')"
        pipe = subprocess.PIPE
        with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) as program:
            assert program.stdout is not None, "it is a pipe"
            program.stdout.readline()
            program.send_signal(signal.SIGINT)
            return program.communicate(timeout=GONE_S)[0].strip()


def test_a_program_that_an_actor_of_a_worker_starts_can_be_interrupted() -> None:
    """The worker itself leaves SIGINT to its parent, and what it starts does not inherit that."""

    async def scene() -> None:
        async with Node(workers=1) as node:
            starter = await node.spawn(Starter, place="worker-1")
            assert await starter.ask(Interrupt(), 30.0) == "cleaned up"

    run(scene())


class _Main(WorkerMain):
    """Raises ``SystemExit`` in place of ending the process."""

    def exit_now(self) -> NoReturn:
        """Raise it."""
        raise SystemExit


@pytest.mark.parametrize("message", [WorkerEnded("a.worker-2", 1, "it was killed"), ConnectPeers((), 0.0), Stop()])
def test_a_message_after_the_end_of_a_workers_loop_leaves_the_end_of_the_pipe_seen(
    message: ToWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker may end, or a stop be asked for, just then; the worker still ends with its parent.

    It uses the main object of a worker, since only so the moment can be chosen.
    """

    def fail(*_: object, **__: object) -> NodeBase:
        raise InvalidOption("made to fail")

    def load_nothing(*_: object) -> None:
        pass

    monkeypatch.setattr(worker, "load_program", load_nothing)
    parent, pipe = socket.socketpair()
    main = _Main(pipe, fail)
    with pytest.raises(InvalidOption):
        asyncio.run(main.run_node(SETUP))
    parent.sendall(pack(message))
    parent.close()
    with pytest.raises(SystemExit):
        main.read_messages()  # in a worker, a thread does
    pipe.close()
