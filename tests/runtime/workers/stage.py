"""What the tests of workers share: an actor that misbehaves on request, and ways to see a process end."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import re
import select
import subprocess
import sys
import termios
import textwrap
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Literal, TypeVar

from tests.layout.sources import ROOT
from trouper import Actor, ActorRef, ActorStopped, Down, Message, Workers, handler
from trouper.runtime.workers.socket_folder import PREFIX

T = TypeVar("T")
QUICK = Workers(2, stop_s=0.5, terminate_s=0.5)
"""Two workers with short time-outs."""
GONE_S = 20.0
"""Seconds that a test waits for an event that takes moments, so that a busy machine does not fail it."""
Held = Literal["sleep", "spin", "native"]


class Pid(Message[int]):
    """The reply is the number of the process."""


class Descriptors(Message[str]):
    """The reply lists the descriptors of a program that this process starts without closing any."""


class Myself(Message[ActorRef]):
    """The reply is the actor's own ref on the node where it runs."""


class Write(Message[None]):
    """Write a line to stdout, and one to stderr."""

    text: str


class Log(Message[None]):
    """Log a warning, as the logger of this name."""

    logger: str
    text: str
    level: int = logging.WARNING


class Hold(Message[None]):
    """Block the loop for a minute: asleep, in Python code, or in C code that does not release the interpreter."""

    how: Held


class Exit(Message[None]):
    """End the process at once with this exit code; 256 is SIGKILL."""

    code: int


class Pass(Message[int]):
    """Ask another actor for the number of its process."""

    to: ActorRef


class Observe(Message[None]):
    """Watch an actor."""

    target: ActorRef


class Heard(Message[list[str]]):
    """The reply is the reasons of the `Down` signals that the actor got."""


class Clerk(Actor):
    """Handles all of these messages."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_terminated(self, down: Down) -> None:
        self.heard.append(down.reason)

    @handler
    def pid(self, msg: Pid) -> int:
        return os.getpid()

    @handler
    def descriptors(self, msg: Descriptors) -> str:
        command = ["/bin/sh", "-c", "ls /proc/$$/fd"]
        return subprocess.run(command, check=True, capture_output=True, text=True, close_fds=False).stdout

    @handler
    def myself(self, msg: Myself) -> ActorRef:
        return self.ref

    @handler
    def write(self, msg: Write) -> None:
        sys.stdout.write(f"{msg.text}\n")
        sys.stderr.write(f"{msg.text}\n")

    @handler
    def log(self, msg: Log) -> None:
        logging.getLogger(msg.logger).log(msg.level, msg.text)

    @handler
    def hold(self, msg: Hold) -> None:
        if msg.how == "sleep":
            threading.Event().wait(60)
        elif msg.how == "native":
            re.match(r"(a+)+$", "a" * 60 + "b")  # takes years, in C, with the interpreter's lock
        until = time.monotonic() + 60
        while time.monotonic() < until:
            pass

    @handler
    def exit(self, msg: Exit) -> None:
        if msg.code == 256:
            os.kill(os.getpid(), 9)
        os._exit(msg.code)

    @handler
    async def pass_on(self, msg: Pass) -> int:
        return await msg.to.ask(Pid())

    @handler
    def observe(self, msg: Observe) -> None:
        msg.target.watch(self.ref)

    @handler
    def downs(self, msg: Heard) -> list[str]:
        return self.heard


def run(scene: Coroutine[object, object, T], *, s_max: float = 60.0) -> T:
    """Run a scene on a real loop; one that hangs is cancelled."""

    async def limited() -> T:
        async with asyncio.timeout(s_max):
            return await scene

    return asyncio.run(limited())


async def pid_once_changed(ref: ActorRef, old: int) -> int:
    """Ask until another process answers: each ask waits for the actor to be placed anew, or fails with the old one."""
    while True:
        try:
            pid = await ref.ask(Pid(), timeout_s=GONE_S)
        except ActorStopped:
            continue
        if pid != old:
            return pid


class Witness:
    """Sees whether processes end that are not children of the test."""

    def __init__(self, pids: list[int]) -> None:
        self._open = {os.pidfd_open(pid): pid for pid in pids}

    def wait_gone(self) -> list[int]:
        """Wait until all have ended; returns those that have not within ``GONE_S``."""
        until = time.monotonic() + GONE_S
        while self._open and time.monotonic() < until:
            for ended in select.select(list(self._open), (), (), until - time.monotonic())[0]:
                del self._open[ended]
                os.close(ended)
        left = list(self._open.values())
        for pid in left:
            os.kill(pid, 9)
        return left


PROGRAM = """
import asyncio, os, sys
import trouper
from tests.runtime.workers.stage import Clerk, Hold, Pid
from trouper import Node
from trouper import Workers

async def main():
    async with Node(workers=Workers(2, stop_s=0.5, terminate_s=0.5)) as node:
        clerks = [await node.spawn(Clerk, place=name, shutdown_s=0.5) for name in node.workers]
        pids = [await clerk.ask(Pid()) for clerk in clerks]
        HOLD
        print("pids", *pids, flush=True)
        await asyncio.get_running_loop().create_future()

if __name__ == "__main__":
    trouper.run(main)
"""


def start_program(
    tmp_path: Path, held: Held | None, *, terminal: int | None = None
) -> tuple[subprocess.Popen[str], list[int]]:
    """Start a program with two workers in a process of its own; returns it, and the numbers of its workers.

    terminal: the descriptor of one; the program leads its session then, in the foreground.
    """
    hold = "" if held is None else f"clerks[0].tell(Hold({held!r})); await clerks[1].ask(Pid())"
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent(PROGRAM).replace("HOLD", hold))
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "XDG_RUNTIME_DIR": str(tmp_path)}
    program = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        stdin=terminal,
        start_new_session=terminal is not None,
        preexec_fn=None if terminal is None else _take_terminal,  # noqa: PLW1509  a test has no other threads then
    )
    assert program.stdout is not None, "it is a pipe"
    line = program.stdout.readline().split()
    if line[:1] != ["pids"]:
        raise AssertionError(f"the program did not start: {line} {program.communicate(timeout=GONE_S)}")
    return program, [int(each) for each in line[1:]]


def _take_terminal() -> None:
    """In the child, which leads a session of its own: make its stdin the terminal of the session."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def folders(base: Path) -> list[Path]:
    """Return the socket folders that are left below ``base``."""
    return list(base.glob(f"{PREFIX}*"))
