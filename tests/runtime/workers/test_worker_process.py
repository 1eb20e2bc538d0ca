"""One process of a worker, as its parent sees it; a test chooses what runs in it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine

import pytest

from tests.runtime.workers.stage import run
from trouper import WorkerLimits, Workers
from trouper.runtime.workers import program
from trouper.runtime.workers.protocol import Program, Setup
from trouper.runtime.workers.worker_process import DRAIN_S, WorkerProcess

SETUP = Setup(
    node="local.worker-1",
    listen=(),
    parent="local",
    parent_pid=0,
    parent_endpoint="",
    folder="",
    program=Program([], None, "", "", {}),
    ask_timeout_s=5.0,
    shutdown_s=2.0,
    threads=1,
    slow_handler_s=None,
    strict_wire=False,
    journal="memory",
    bulk=None,
    peer_limits=None,
    shipped_bytes_max=None,
    keys=None,
    insecure=False,
    preload=(),
    limits=WorkerLimits(),
)
READY = "import os, sys; os.read(0, 1); os.write(0, b'\\0\\0\\0\\x0c\\x81\\xa4type\\xa5Ready')\n"
"""Wait for the setup, then report that the worker is ready."""
PATIENCE = Workers(1, stop_s=0.1, terminate_s=0.1)


@pytest.fixture
def boot(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Set the program of the next process."""
    return lambda code: monkeypatch.setattr(program, "BOOT", code)


async def _started(settings: Workers = PATIENCE) -> tuple[WorkerProcess, list[WorkerProcess]]:
    ended: list[WorkerProcess] = []
    process = WorkerProcess("worker-1", settings, ended.append)
    await process.start(SETUP)
    return process, ended


def _play(scene: Callable[[], Coroutine[object, object, None]]) -> None:
    run(scene())


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("", "ended by itself with exit code 0"),
        ("raise SystemExit(7)", "ended by itself with exit code 7"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by SIGKILL"),
    ],
)
def test_an_end_is_reported_once_with_its_cause(code: str, how: str, boot: Callable[[str], None]) -> None:
    """``on_end`` is called before the tasks that wait for ``ended``."""
    boot(code)

    async def scene() -> None:
        process, ended = await _started()
        await process.ended
        assert ended == [process]
        await process.drained()
        assert process.describe_end() == f"worker-1 (process {process.pid}) {how}"
        process.kill()
        await process.stop()
        assert ended == [process]

    _play(scene)


def test_the_last_lines_of_stderr_are_in_the_report(
    boot: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """All output is shown, and the last lines are kept for the report."""
    boot("import sys; sys.stderr.write(''.join(f'line {n}\\n' for n in range(100)) + 'the end')")

    async def scene() -> None:
        process, _ = await _started()
        await process.ended
        await process.drained()
        assert process.describe_end().endswith("; the last of its stderr:\n" + "\n".join([*LAST, "the end"]))

    _play(scene)
    assert capsys.readouterr().err.splitlines() == [f"[worker-1] line {n}" for n in range(100)] + ["[worker-1] the end"]


LAST = [f"line {n}" for n in range(81, 100)]


def test_a_child_of_the_process_that_holds_its_output_is_not_waited_for(
    boot: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """The end is reported at once, and the rest of the output is waited for only for a moment."""
    boot("import os, time\nchild = os.fork()\nif child:\n    print(child)\nelse:\n    time.sleep(60)")

    async def scene() -> None:
        process, _ = await _started()
        await process.ended
        began = asyncio.get_running_loop().time()
        await process.drained()
        assert asyncio.get_running_loop().time() - began >= DRAIN_S * 0.9

    try:
        _play(scene)
    finally:
        os.kill(int(capsys.readouterr().out.split()[-1]), signal.SIGKILL)


@pytest.mark.parametrize(
    ("deaf", "number"), [("", signal.SIGTERM), ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", signal.SIGKILL)]
)
def test_a_worker_that_does_not_stop_is_ended(deaf: str, number: signal.Signals, boot: Callable[[str], None]) -> None:
    """A stop request comes first, then SIGTERM, then SIGKILL."""
    boot(f"import signal, time\n{deaf}\n{READY}time.sleep(60)")

    async def scene() -> None:
        process, _ = await _started()
        await process.ready
        await process.stop()
        assert process.describe_end().endswith(f"was killed by {number.name}")
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)

    _play(scene)


def test_a_process_that_is_killed_while_it_starts_ends(boot: Callable[[str], None]) -> None:
    """A kill that is requested before the process exists is carried out once it does."""
    boot("import time; time.sleep(60)")

    async def scene() -> None:
        process = WorkerProcess("worker-1", PATIENCE, lambda _: None)
        process.kill()
        await process.start(SETUP)
        await process.ended
        assert process.describe_end().endswith("was killed by SIGKILL")
        await process.drained()

    _play(scene)


SILENT = f"import signal, time\n{READY}time.sleep(60)"
ALIVE = """
import os
os.read(0, 1)
os.write(0, b'\\0\\0\\0\\x0c\\x81\\xa4type\\xa5Ready')
while os.read(0, 65536):
    os.write(0, b'\\0\\0\\0\\x0c\\x81\\xa4type\\xa5Alive')
"""


@pytest.mark.parametrize(("code", "dies"), [(SILENT, True), (ALIVE, False)])
def test_a_process_that_answers_no_probe_is_killed_with_the_reason(
    code: str, dies: bool, boot: Callable[[str], None]
) -> None:
    """One that answers is left alone, however long it runs."""
    boot(code)

    async def scene() -> None:
        process, _ = await _started(Workers(1, hang_s=0.4))
        await process.ready
        process.watch_for_hang()
        await asyncio.wait((process.ended,), timeout=30.0 if dies else 1.5)
        assert process.ended.done() == dies
        if dies:
            text = "was killed by SIGKILL: it was held to hang, since it did not answer for hang_s=0.4 s"
            assert process.describe_end().endswith(text)
        process.kill()
        await process.ended
        await process.drained()

    _play(scene)


def test_a_parent_that_was_blocked_does_not_take_its_worker_to_hang(boot: Callable[[str], None]) -> None:
    """Probes that were never sent are not missed."""
    boot(ALIVE)

    async def scene() -> None:
        process, _ = await _started(Workers(1, hang_s=0.2))
        await process.ready
        process.watch_for_hang()
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            pass  # blocks this loop for five times hang_s
        await asyncio.wait((process.ended,), timeout=0.5)
        assert not process.ended.done()
        process.kill()
        await process.ended
        await process.drained()

    _play(scene)
