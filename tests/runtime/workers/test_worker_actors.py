"""Worker processes as supervised children, with real processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
import uvloop
from msgspec.structs import replace

from tests.runtime.workers.stage import (
    QUICK,
    Clerk,
    Descriptors,
    Exit,
    Heard,
    Hold,
    Myself,
    Observe,
    Pass,
    Pid,
    pid_once_changed,
    run,
)  # fmt: skip
from trouper import Node, NodeFailed
from trouper.runtime.net.peer import Peer


def test_actors_run_in_workers_which_reach_one_another() -> None:
    """Each place is a process of its own; a ref that is sent from one worker to another works there at once."""

    async def scene() -> None:
        async with Node(workers=QUICK) as node:
            assert node.workers.names == ("local.worker-1", "local.worker-2")
            one, two = [await node.spawn(Clerk, place=name) for name in node.workers]
            here = await node.spawn(Clerk)
            pids = [await each.ask(Pid()) for each in (one, two, here)]
            assert len(set(pids)) == 3
            assert await two.ask(Pass(await one.ask(Myself()))) == pids[0], "straight from worker to worker"
            assert await one.ask(Pass(await two.ask(Myself()))) == pids[1]
            assert await one.ask(Pass(two)) == pids[1], "by way of the stand-in"
            assert await two.ask(Pass(here)) == pids[2]
            chosen = await node.spawn(Clerk, place=lambda given: given.workers.names[-1])
            assert await chosen.ask(Pid()) == pids[1]

    run(scene())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_programs_of_a_worker_inherit_none_of_its_descriptors(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Neither the pipe by which the parent controls the worker nor copies that the loop of the parent has made."""

    async def scene() -> None:
        async with asyncio.timeout(60), Node(workers=QUICK) as node:
            placed = await node.spawn(Clerk, place="worker-1")
            listed = (await placed.ask(Descriptors())).split()
            # The shell may keep one of its own, which leads to what it runs.
            assert {"0", "1", "2"} <= set(listed) <= {"0", "1", "2", "10", "255"}

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scene())


@pytest.mark.parametrize("code", [256, 3, 0])
def test_a_worker_that_dies_is_started_again_with_its_actors(code: int, caplog: pytest.LogCaptureFixture) -> None:
    """Killed or ended by itself: its actors are back behind their refs, and watchers of the old ones get `Down`."""

    async def scene() -> None:
        async with Node(workers=QUICK) as node:
            placed = await node.spawn(Clerk, place="worker-1")
            before, peer = await placed.ask(Pid()), node.network.peer("local.worker-1")
            watchers = [await node.spawn(Clerk), await node.spawn(Clerk, place="worker-2")]
            inner = await placed.ask(Myself())
            for watcher in watchers:
                await watcher.ask(Observe(inner))
            placed.tell(Exit(code))
            await pid_once_changed(placed, before)
            assert isinstance(peer, Peer)
            assert peer.lost == f"its process {before} has ended"
            assert [await watcher.ask(Heard()) for watcher in watchers] == [["node_lost"], ["node_lost"]]
            assert await (await node.spawn(Clerk, place="worker-2")).ask(Pass(await placed.ask(Myself()))) != before

    run(scene())
    how = {256: "was killed by SIGKILL", 3: "ended by itself with exit code 3", 0: "ended by itself with exit code 0"}
    assert how[code] in caplog.text


def test_deaths_beyond_the_intensity_fail_the_node() -> None:
    """The error names the worker, how it ended, and its last lines of stderr."""

    async def scene() -> None:
        async with Node(workers=replace(QUICK, intensity=0), shutdown_s=1.0) as node:
            placed = await node.spawn(Clerk, place="worker-2")
            placed.tell(Exit(256))
            await asyncio.get_running_loop().create_future()

    with pytest.raises(NodeFailed, match=r"worker-2 \(process \d+\) was killed by SIGKILL"):
        run(scene())


def test_a_worker_is_stopped_though_a_handler_blocks_it() -> None:
    """The node is down within the time-outs that were set, not after the minute of the handler."""

    async def scene() -> float:
        async with Node(workers=QUICK) as node:
            placed = await node.spawn(Clerk, place="worker-1", shutdown_s=0.1)
            placed.tell(Hold("spin"))
            await (await node.spawn(Clerk, place="worker-2")).ask(Pid())
            began = time.monotonic()
        return time.monotonic() - began

    assert run(scene()) < 50


def test_a_parent_that_is_blocked_while_its_workers_start_finds_them_ready() -> None:
    """The start of a worker does not depend on a responsive loop in the parent."""

    async def scene() -> None:
        asyncio.get_running_loop().call_later(0.05, time.sleep, 1.0)
        async with Node(workers=QUICK, slow_handler_s=None) as node:
            assert set(node.network.peers) == set(node.workers)

    run(scene())
