"""Erlang as a peer: compiles the ``.erl`` files beside this one and reads what the VM prints.

Two ways, both measured: on one core (``+S 1:1``, pinned as every other sample is), and as it comes, with a scheduler
a core and free to move.  The bars are held against one core: it is the hardware that a Python process uses, it is the
faster way in most of these workloads (they are ping-pong by nature), and it is the steadier one.

Between two nodes neither is pinned, and the first way is a scheduler for each node.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ...cold import milliseconds
from .. import Figures, Workloads

SOURCES = Path(__file__).parent
COMPILED_VARIABLE = "TROUPER_BENCHMARKS_ERLANG"  # where the parent has compiled the sources, to do it once a run
WORKERS_MAX = 4_000_000
NAMES = (
    "tell",
    "tell_gen_server",
    "ask",
    "ask_many",
    "ask_from_many",
    "spawn",
    "ring",
    "restart",
    "restart_logged",
    "fairness",
)
BETWEEN_NODES = ("node_tell", "node_tell_gen_server", "node_ask", "node_ask_many")


def compile_into(folder: str) -> None:
    """Compile the sources into a folder."""
    subprocess.run(["erlc", "-o", folder, *map(str, sorted(SOURCES.glob("*.erl")))], check=True)


def version() -> str:
    """Return the release and the flavour of the emulator, such as ``OTP 25, erts 13.1.5, jit``."""
    ask = '[io:format("~s ", [F]) || F <- [erlang:system_info(otp_release), erlang:system_info(version), '
    ask += "atom_to_list(erlang:system_info(emu_flavor))]], halt()."
    said = subprocess.run(["erl", "-noshell", "-eval", ask], check=True, stdout=subprocess.PIPE, text=True).stdout
    release, emulator, flavour = said.split()
    return f"OTP {release}, erts {emulator}, {flavour}"


def _run(name: str, flags: tuple[str, ...], free: bool, size: int) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        compiled = os.environ.get(COMPILED_VARIABLE)
        if compiled is None:
            compile_into(folder)
        command = ["erl", *flags, "+P", str(WORKERS_MAX), "-noshell", "-pa", compiled or folder]
        command += ["-run", "workloads", "main", name, str(size)]
        pinned = os.sched_getaffinity(0)
        if free:
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
        try:
            said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        finally:
            os.sched_setaffinity(0, pinned)
    return _figures(said)


def _run_nodes(name: str, flags: tuple[str, ...], size: int) -> Figures:
    """Run a work between two nodes on the loopback, with an ``epmd`` of our own, so that none is left behind."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
        free.close()
        compiled = os.environ.get(COMPILED_VARIABLE)
        if compiled is None:
            compile_into(folder)
        environment = {**os.environ, "ERL_EPMD_PORT": port, "ERL_EPMD_ADDRESS": "127.0.0.1"}
        far, near = f"far{port}@127.0.0.1", f"near{port}@127.0.0.1"
        command = ["erl", *flags, "-noshell", "-pa", compiled or folder, "-setcookie", port, "-start_epmd", "false"]
        helpers = [subprocess.Popen(["epmd", "-port", port, "-address", "127.0.0.1"], env=environment)]
        try:
            _wait_until_taken(int(port))
            helpers.append(subprocess.Popen([*command, "-name", far], env=environment))
            near_command = [*command, "-name", near, "-run", "workloads", "main", name, str(size), far]
            said = subprocess.run(near_command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
        finally:
            for helper in reversed(helpers):
                helper.terminate()
                helper.wait()
    return _figures(said)


def _wait_until_taken(port: int) -> None:
    """Wait for somebody to listen on a port."""
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(f"nobody listens on port {port}")


def _figures(said: str) -> Figures:
    return {key: float(value) for key, value in (line.split() for line in said.splitlines())}


def start(repeats: int) -> Figures:
    """How long the VM takes to start and end."""
    return {"value": milliseconds(["erl", "-noshell", "-eval", "halt()."], repeats)}


def _workloads(flags: tuple[str, ...], free: bool) -> dict[str, Callable[[int], Figures]]:
    workloads = {name: partial(_run, name, flags, free) for name in NAMES}
    return {**workloads, **{name: partial(_run_nodes, name, flags) for name in BETWEEN_NODES}}


ON_ONE_CORE: Workloads = {
    **_workloads(("+S", "1:1"), False),
    "memory": partial(_run, "spawn", ("+S", "1:1"), False),
    "start": start,
}
ON_ALL_CORES: Workloads = _workloads((), True)
