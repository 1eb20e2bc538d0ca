"""A cluster of real processes on this host, shown and changed by the command line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

from trouper.actors.cluster.admin_service import ListedMember, MemberPage
from trouper.actors.cluster.events import MemberInfo
from trouper.actors.cluster.metadata import Facts, Location, Metadata
from trouper.cli.admin_client import AdminFailed
from trouper.cli.cluster import ended_lines, row
from trouper.cli.commands import trouper


class Host:
    """A folder for the sockets and announcements of one user, and the nodes that were started there."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", "XDG_RUNTIME_DIR": str(folder)}

    def start(self, name: str, *options: str) -> subprocess.Popen[str]:
        """Start a node and wait until it listens."""
        command = [
            sys.executable,
            "-m",
            "trouper",
            "node",
            "run",
            "--name",
            name,
            "--listen",
            f"ipc://{name}",
            *options,
        ]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, env=self._environment, stdout=pipe, stderr=pipe, text=True)
        self._stack.callback(process.communicate)
        self._stack.callback(process.kill)
        assert process.stdout is not None
        assert process.stdout.readline() == f"node {name} listens at {self.endpoint(name)}\n"
        return process

    def endpoint(self, name: str) -> str:
        """Where a node of this name listens."""
        return f"ipc://{self.folder}/trouper/{name}"

    def says(self, *words: str) -> tuple[int, str]:
        """Run a command; its exit code, and all it prints, each run of blanks as one."""
        command = [sys.executable, "-m", "trouper", *words]
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, check=False, timeout=30
        )  # fmt: skip
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    def wait_for(self, members: str, *options: str) -> str:
        """Ask until the title of the table says so; the table."""
        table = ""
        for _ in range(40):
            code, table = self.says("cluster", "status", *options)
            if members in table:
                assert code == 0
                return table
        raise AssertionError(f"it never came to {members}: {table}")


@pytest.fixture
def host() -> Iterator[Host]:
    """A host whose path leaves room for the name of a socket."""
    folder = Path(tempfile.mkdtemp(prefix="t-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        yield Host(folder, stack)


SHOP = ("--cluster", "shop", "--join", "auto")


def test_nodes_find_each_other_are_listed_and_leave(host: Host) -> None:
    """The table shows the metadata of each node; a node that is told to leave ends in order, with exit code 0."""
    one = host.start("one", *SHOP, "--role", "web", "--label", "gpu=a100", "--nodes", "2..10")
    two = host.start("two", *SHOP)
    table = host.wait_for("cluster shop: 2 of 2 alive")
    assert f"│ one │ alive │ {host.endpoint('one')} │" in table
    assert "│ web │ gpu=a100 │" in table
    assert "│ 0.00 │" in table
    code, text = host.says("cluster", "status", "--json")
    shown = json.loads(text)
    names = [each["member"]["name"] for each in shown["members"]]
    assert (code, shown["cluster"], names) == (0, "shop", ["one", "two"])
    assert host.says("node", "list") == (0, f"shop {host.endpoint('one')} shop {host.endpoint('two')}")
    assert json.loads(host.says("node", "list", "--json")[1]) == {"shop": [host.endpoint("one"), host.endpoint("two")]}
    assert host.says("cluster", "leave", "two") == (0, "node two has left")
    assert two.wait(20) == 0
    assert "told to leave (asked by admin-" in two.communicate()[1]
    assert host.wait_for("1 of 1 alive", "--at", host.endpoint("one"))
    assert host.says("node", "leave") == (0, "node one has left")
    assert one.wait(20) == 0
    code, said = host.says("cluster", "status")
    assert (code, said[:46]) == (1, "Error: no node of a cluster is announced in " + str(host.folder)[:2])


def test_a_member_that_is_taken_down_ends_and_says_why(host: Host) -> None:
    """Its exit code is 1, so that a service manager starts it anew; the other members have one member less."""
    host.start("one", *SHOP)
    two = host.start("two", *SHOP)
    host.wait_for("2 of 2 alive")
    assert host.says("cluster", "down", "three") == (
        1,
        "Error: the cluster 'shop' has no member 'three'; it has: one, two",
    )
    code, said = host.says("node", "leave")
    assert code == 2
    assert said.endswith("Error: the cluster has several nodes: one, two; name one")
    assert host.says("cluster", "down", "two", "--at", host.endpoint("one")) == (0, "node two is taken down")
    assert two.wait(20) == 1
    assert "taken down by the cluster 'shop'" in two.communicate()[1]
    assert "one │ alive" in host.wait_for("1 of 1 alive")


def test_which_cluster_is_meant_has_to_be_clear(host: Host) -> None:
    """Of several clusters one has to be named; a wrong name, and a node in no cluster, are reported in one line."""
    shop = host.start("one", "--cluster", "shop")
    host.start("two", "--cluster", "bank")
    host.start("solo")
    code, said = host.says("cluster", "status")
    assert code == 2
    assert said.endswith("Error: several clusters run here: bank, shop; name one with --cluster")
    assert host.says("cluster", "status", "--cluster", "bank")[1].startswith("cluster bank: 1 of 1 alive")
    code, said = host.says("cluster", "status", "--cluster", "zoo")
    assert code == 1
    assert said.startswith("Error: no node of the cluster 'zoo' is announced in")
    assert said.endswith("there are: bank, shop")
    at = host.endpoint("one")
    assert host.says("cluster", "status", "--cluster", "bank", "--at", at) == (
        1,
        f"Error: {at} is in the cluster 'shop', not 'bank'",
    )
    assert host.says("cluster", "down", "one", "--at", host.endpoint("solo")) == (
        1,
        "Error: node solo is not in a cluster",
    )
    shop.send_signal(signal.SIGKILL)
    shop.wait()
    assert host.says("cluster", "status")[1].startswith("cluster bank"), "the announcement of a dead node is no node"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["node", "run", "--role", "web"], "--role is for a cluster: name it with --cluster NAME"),
        (["node", "run", "--join", "auto"], "--join auto is for a cluster: name it with --cluster NAME"),
        (["node", "run", "--cluster", "shop", "--listen", "ipc://x", "--label", "gpu"], "--label gpu: write KEY=VALUE"),
        (["node", "run", "--cluster", "shop", "--listen", "ipc://x", "--nodes", "3"], "--nodes 3: write MIN..MAX"),
        (["node", "run", "--cluster", "shop", "--listen", "ipc://x", "--nodes", "5..3"], "must be (least, most)"),
        (["node", "run", "--cluster", "shop"], "cluster='shop' needs listen"),
        (["node", "run", "--join", "what"], "join='what' is not understood"),
        (["cluster", "status", "--at", "what://x"], "'what://x' is not an endpoint"),
    ],
)
def test_what_is_called_wrongly_is_said_in_one_line(words: list[str], problem: str) -> None:
    """The exit code is 2, and there is no traceback."""
    done = CliRunner().invoke(trouper, words)
    assert done.exit_code == 2
    assert problem in done.output


def test_what_a_node_tells_of_itself_cannot_move_the_cursor() -> None:
    """Signs that a terminal would obey are shown as question marks."""
    metadata = Metadata(
        facts=Facts(cores=4), location=Location(zone="z", host="h"), roles=frozenset("ab"), labels={"k": "\x1b[2J"}
    )
    member = MemberInfo("n", "ipc:///x", 7, 7, "suspect", metadata)
    assert row(ListedMember(member, 0.5)) == ("n", "suspect", "ipc:///x", "7", "4", "a b", "k=?[2J", "z/h", "0.50")


def test_the_status_says_why_a_member_was_downed() -> None:
    """A node that has left has no reason; what a node tells cannot move the cursor."""
    left = MemberInfo("n2", "ipc://n2", 1, 1, "left", Metadata())
    downed = MemberInfo("n3", "ipc://n3", 2, 2, "down", Metadata(), "2 reachable\x1b[2J members against 1")
    assert ended_lines(MemberPage("shop", "n1", [], False, [left, downed])) == [
        "n2 has left",
        r"n3 is down: 2 reachable\x1b[2J members against 1",
    ]


def test_the_words_of_another_node_give_no_orders_to_the_terminal() -> None:
    """A refusal, whose text a peer has written, is one printable line."""
    failed = AdminFailed("tcp://10.0.0.1:1 refused the connection: go\x1b[2J\nnode b is taken down\u202e")
    assert failed.format_message().isprintable()
