"""Children that are forked by a node's process, as multiprocessing's `fork` does, have no part in its connections."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from trouper.runtime.kernel.forks import close_in_children  # of the process, and no part of the API

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

PROGRAM = """
import asyncio, os, socket, trouper
from trouper import Actor, Message, Node, handler

class Ping(Message[int]):
    pass

class Echo(Actor):
    @handler
    def ping(self, msg: Ping) -> int:
        return 7

def inet_sockets():
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as found:
                count += found.family in (socket.AF_INET, socket.AF_INET6)
        except OSError:
            pass
    return count

async def main():
    async with Node("a", listen="tcp://127.0.0.1:0", insecure=True) as a:
        join = a.network.endpoints
        async with Node("b", listen="tcp://127.0.0.1:0", join=join, insecure=True) as b:
            await b.network.wait_for_peer("a")
            await a.spawn(Echo, name="echo")
            echo = await b.network.whereis("a", "user/echo")
            await echo.ask(Ping())
            child = os.fork()
            if child == 0:
                os._exit(inet_sockets())
            in_child = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            print(inet_sockets() >= 6, in_child, await echo.ask(Ping()))

trouper.run(main)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc/self/fd")
def test_a_forked_child_holds_no_port_and_no_connection() -> None:
    """So the port is free, and peers see the end, when the process ends and its child does not; the node goes on."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM], check=False, capture_output=True, text=True, timeout=120)
    assert ended.stdout == "True 0 7\n", ended.stderr


def test_a_descriptor_is_closed_in_the_child_alone_and_only_for_what_it_was() -> None:
    """A number that is used for another file since is the child's too."""
    reader, writer = os.pipe()
    other, kept = os.pipe()
    close_in_children(writer)
    close_in_children(kept)
    os.dup2(writer, kept)  # another file under the number
    close_in_children(10**6)  # no descriptor: nothing happens
    child = os.fork()
    if child == 0:
        os.write(writer, b"from the child")
        os.write(kept, b"kept")
        os._exit(0)
    os.waitpid(child, 0)
    os.write(writer, b", the parent's")
    assert os.read(reader, 100) == b"kept, the parent's"
    for descriptor in (reader, writer, other, kept):
        os.close(descriptor)
