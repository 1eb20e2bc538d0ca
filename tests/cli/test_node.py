import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from trouper.cli.commands import trouper
from trouper.transports.keys import make_cluster_keys

APP = """
from trouper import Actor, Message, handler

class Double(Message[str]):
    n: int

class Doubler(Actor):
    @handler
    def double(self, msg: Double) -> str:
        return f"{2 * msg.n} by {self.node.name}"

async def ask(node):
    await node.network.wait_for_peer("one")
    ref = await node.spawn(Doubler, place="one")
    print(await ref.ask(Double(21)), flush=True)

def give(node):
    return Doubler

number = 5
"""


@contextmanager
def running(folder: Path, *arguments: str) -> Generator[subprocess.Popen[str], None, None]:
    """A `trouper node run` in a process of its own, which is killed at the end if it is still there."""
    command = [sys.executable, "-m", "trouper", "node", "run", *arguments]
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    """The next line that it prints."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def ended(process: subprocess.Popen[str], by: int) -> tuple[int, str]:
    """End it by a signal; its exit code, and what it complained of."""
    process.send_signal(by)
    return process.wait(20), process.communicate(timeout=20)[1]


def test_two_nodes_meet_over_tcp_with_keys(tmp_path: Path) -> None:
    """One offers room, the other's application spawns there; both end in order on a signal."""
    (tmp_path / "shop.py").write_text(APP)
    make_cluster_keys(tmp_path / "keys")
    keys = ("--keys", str(tmp_path / "keys"))
    first = running(tmp_path, "--name", "one", "--listen", "tcp://127.0.0.1:0", *keys, "--allow", "shop")
    with first as one:
        line = said(one)
        assert line.startswith("node one listens at tcp://127.0.0.1:")
        there = line.rpartition(" ")[2]
        second = running(tmp_path, "--listen", "tcp://127.0.0.1:0", "--join", there, *keys, "--app", "shop:ask")
        with second as two:
            assert said(two).startswith("node node-")
            assert said(two) == "42 by one"
            assert ended(two, signal.SIGTERM) == (143, "")
        assert ended(one, signal.SIGINT) == (130, "interrupted\n")


def test_an_application_may_give_an_actor_class(tmp_path: Path) -> None:
    """It is spawned; a node that listens nowhere says so."""
    (tmp_path / "shop.py").write_text(APP)
    with running(tmp_path, "--name", "solo", "--app", "shop:give") as solo:
        assert said(solo) == "node solo listens nowhere: no other node can reach it"
        assert ended(solo, signal.SIGTERM) == (143, "")


NOTEBOOK = """
import trouper
from trouper import Actor, Message, Node, handler

class Greet(Message[str]):
    who: str

class Greeter(Actor):
    @handler
    def greet(self, msg: Greet) -> str:
        return f"{greeting} {msg.who}, from {self.node.name}"

greeting = "hello"

async def main():
    async with Node("desk", listen="ipc://FOLDER/desk", join=["ipc://FOLDER/room"], code_shipping=True) as node:
        await node.network.wait_for_peer("room")
        greeter = await node.spawn(Greeter, place="room")
        print(await greeter.ask(Greet("ada")))

trouper.run(main)
"""


def test_a_notebook_spawns_on_a_node_that_takes_code(tmp_path: Path) -> None:
    """Classes of a `__main__` without a file, as of a notebook's cells, with the message and a global that they use."""
    tmp_path.chmod(0o700)
    with running(tmp_path, "--name", "room", "--listen", f"ipc://{tmp_path}/room", "--code-shipping") as room:
        said(room)
        program = NOTEBOOK.replace("FOLDER", str(tmp_path))
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30)
        assert (done.stdout, done.stderr) == ("hello ada, from room\n", "")
        assert ended(room, signal.SIGTERM) == (143, "")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--listen", "smoke://x"], "no transport knows 'smoke://x'"),
        (["--listen", "tcp://127.0.0.1:0"], "keys"),
        (["--join", "tcp://127.0.0.1:7"], "needs listen"),
        (["--insecure", "--code-shipping"], "anybody could run code here"),
        (["--name", "a b"], "a b"),
        (["--app", "nonsense"], "--app nonsense: write MODULE:FACTORY"),
        (["--app", "no_such_module:x"], "--app no_such_module:x: there is no module no_such_module in "),
        (["--app", "math:nothing"], "--app math:nothing: math has no function nothing"),
        (["--app", "math:pi"], "--app math:pi: math has no function pi"),
        (["--keys", "/no/such/folder"], "does not exist"),
    ],
)
def test_a_wrong_call_is_one_line_and_code_2(arguments: list[str], problem: str) -> None:
    """No traceback for what the user can mend."""
    result = CliRunner().invoke(trouper, ["node", "run", *arguments])
    assert result.exit_code == 2
    assert problem in result.output.splitlines()[-1]
    assert "Traceback" not in result.output
