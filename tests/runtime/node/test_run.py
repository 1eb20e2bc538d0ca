"""`trouper.run` on real loops: what it returns and raises, and what signals do.  No test waits for time to pass."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence

import pytest

import trouper
from tests.runtime.stage import Double, Hold, Player, Story
from trouper import Actor, Node, Reject, handler, run

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")


def test_run_returns_what_main_returns() -> None:
    """The value of the coroutine, from a loop that is closed by then."""
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> int:
        loops.append(asyncio.get_running_loop())
        async with Node() as node:
            return await (await node.spawn(Player)).ask(Double(21))

    assert run(main) == 42
    assert loops[0].is_closed()


def test_run_raises_what_main_raises() -> None:
    """The error itself."""

    async def main() -> None:
        raise Reject("not today")

    with pytest.raises(Reject, match=r"^not today$"):
        run(main)


@posix
def test_run_uses_the_fastest_available_loop() -> None:
    """uvloop, where it is installed."""

    async def main() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert run(main).startswith("uvloop")


@posix
@pytest.mark.parametrize(
    ("number", "outcome", "code"), [(signal.SIGINT, KeyboardInterrupt, None), (signal.SIGTERM, SystemExit, 143)]
)
def test_a_signal_shuts_the_nodes_down_in_order(
    number: signal.Signals, outcome: type[BaseException], code: int | None
) -> None:
    """Actors are stopped and their hooks called; then the program ends as the signal's default would end it."""
    story = Story()

    async def main() -> None:
        async with Node() as node:
            await node.spawn(Player, story)
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()

    before = signal.getsignal(number)
    with pytest.raises(outcome) as caught:
        run(main)
    assert story == ["start", "stop"]
    assert getattr(caught.value, "code", None) == code
    assert signal.getsignal(number) == before


@posix
def test_main_may_end_by_itself_after_a_signal() -> None:
    """A program that catches its cancellation and returns has returned."""

    async def main() -> str:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "in order"
        return "never"

    assert run(main) == "in order"


def _program(*lines: str) -> subprocess.Popen[str]:
    """A program of its own, with actors, that says `ready` when the signals may come."""
    head = """
        import asyncio, sys, trouper
        from trouper import Actor, Message, Node, handler
        class Go(Message[int]):
            pass
        def ready() -> None:
            print("ready", flush=True)
    """
    code = textwrap.dedent(head) + "\n".join(lines)
    command: Sequence[str] = [sys.executable, "-c", code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _signal_when_ready(process: subprocess.Popen[str], *numbers: signal.Signals) -> tuple[int, str, str]:
    assert process.stdout is not None
    try:
        for number in numbers:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
        out, err = process.communicate(timeout=10)
    finally:
        process.kill()
        process.communicate()
    return process.returncode, out, err


@posix
def test_a_second_signal_ends_a_shutdown_that_hangs() -> None:
    """A user who does not want to wait presses Ctrl-C again."""
    process = _program(
        "class Slow(Actor):",
        "    async def on_stop(self) -> None:",
        "        ready()",
        "        await asyncio.Event().wait()",
        "async def main() -> None:",
        "    async with Node(shutdown_s=None) as node:",
        "        await node.spawn(Slow, shutdown_s=None)",
        "        ready()",
        "        await asyncio.Event().wait()",
        "trouper.run(main)",
    )
    code, _, _ = _signal_when_ready(process, signal.SIGINT, signal.SIGINT)
    assert code != 0


@posix
def test_ctrl_c_ends_a_program_whose_loop_is_blocked() -> None:
    """A handler in an endless loop blocks everything but the second signal."""
    process = _program(
        "class Endless(Actor):",
        "    @handler",
        "    def go(self, msg: Go) -> int:",
        "        ready()",
        "        asked = 0",
        "        while True:",
        "            asked += 1",
        "            if asked == 1_000_000:",
        "                ready()",
        "async def main() -> None:",
        "    async with Node() as node:",
        "        (await node.spawn(Endless)).tell(Go())",
        "        await asyncio.Event().wait()",
        "trouper.run(main)",
    )
    code, _, _ = _signal_when_ready(process, signal.SIGINT, signal.SIGINT)
    assert code != 0


def test_a_keyboard_interrupt_in_a_handler_ends_the_program_in_order() -> None:
    """It shuts the node down in order, hooks included, and is raised again."""
    story = Story()

    class Interrupted(Player):
        @handler
        def double(self, msg: Double) -> int:
            raise KeyboardInterrupt

    async def main() -> None:
        async with Node() as node:
            await node.spawn(Player, story)
            (await node.spawn(Interrupted)).tell(Double(1))
            await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        run(main)
    assert story == ["start", "stop"]


def test_an_exit_in_a_handler_ends_the_program_with_its_code() -> None:
    """`sys.exit(3)` ends the program with 3, in a handler too."""

    class Leaving(Actor):
        @handler
        async def hold(self, msg: Hold) -> int:
            sys.exit(msg.n)

    async def main() -> None:
        async with Node() as node:
            (await node.spawn(Leaving)).tell(Hold(3))
            await asyncio.Event().wait()

    with pytest.raises(SystemExit) as caught:
        run(main)
    assert caught.value.code == 3


def test_run_inside_a_loop_is_refused() -> None:
    """As `asyncio.run` does, without a warning about a coroutine."""

    async def inner() -> None:
        raise AssertionError("never begun")

    async def main() -> None:
        with pytest.raises(RuntimeError, match="running event loop"):
            trouper.run(inner)

    asyncio.run(main())
