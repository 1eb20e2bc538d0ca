"""``node.workers``: workers that are added and removed while the node runs, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.runtime.stage import play_on
from tests.runtime.workers.stage import QUICK, Clerk, Myself, Pass, Pid, pid_once_changed, run
from trouper import Actor, CallerError, InvalidOption, Message, Node, StartFailed, WorkerLimits, Workers, handler
from trouper.cluster import NoNodeFits, labels
from trouper.lowlevel import Extension, NodeContext

NONE_YET = replace(QUICK, count=0)


class Facts(Message[tuple[str, str, int, list[int], bool]]):
    """The reply is an environment variable, the interpreter, the limit of open files, the cores, a module's presence.

    name: of the environment variable.
    """

    name: str


class Describe(Actor):
    """Describes the process that it runs in."""

    @handler
    def facts(self, msg: Facts) -> tuple[str, str, int, list[int], bool]:
        import resource

        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        cores = sorted(os.sched_getaffinity(0))
        return os.environ.get(msg.name, ""), sys.executable, files, cores, "wave" in sys.modules


def test_workers_are_added_and_removed_while_the_node_runs() -> None:
    """Numbers are reused from the lowest; old and new workers reach one another; names are full or relative."""

    async def scene() -> None:
        async with Node("shop", workers=NONE_YET) as node:
            assert len(node.workers) == 0
            assert await node.workers.add(2) == ("shop.worker-1", "shop.worker-2")
            one, two = [await node.spawn(Clerk, place=place) for place in ("worker-1", "shop.worker-2")]
            assert await node.workers.add() == ("shop.worker-3",)
            three = await node.spawn(Clerk, place="worker-3")
            pids = [await each.ask(Pid()) for each in (one, two, three)]
            assert len({*pids, os.getpid()}) == 4
            assert await one.ask(Pass(await three.ask(Myself()))) == pids[2]
            assert await three.ask(Pass(await two.ask(Myself()))) == pids[1]
            await node.workers.remove("worker-1")
            with pytest.raises(ProcessLookupError):
                os.kill(pids[0], 0)
            assert node.workers.names == ("shop.worker-2", "shop.worker-3")
            assert "worker-1" not in node.workers
            assert "worker-3" in node.workers
            assert "shop.worker-3" in node.workers
            assert await node.workers.resize(3) == ("shop.worker-1", "shop.worker-2", "shop.worker-3")
            assert await pid_once_changed(one, pids[0]) not in pids
            assert await node.workers.resize(1) == ("shop.worker-1",)
            assert list(node.workers) == list(node.network.peers) == ["shop.worker-1"]

    run(scene())


@pytest.mark.skipif(sys.platform != "linux", reason="cores are set on Linux only")
def test_an_added_worker_has_its_own_environment_labels_limits_and_modules() -> None:
    """Also when it is started again; what is not given is what ``Workers`` says."""
    base = replace(NONE_YET, env={"TILL": "base", "HOST_ONLY": None}, labels={"zone": "a"})
    core = min(os.sched_getaffinity(0))

    async def scene() -> None:
        async with Node(workers=base) as node:
            limits = WorkerLimits(open_files=200, cores=(core,))
            await node.workers.add(env={"TILL": "7"}, labels={"gpu": "a100"}, limits=limits, preload=["wave"])
            await node.workers.add()
            assert node.workers.labelled(gpu="a100") == ("local.worker-1",)
            assert node.workers.labelled(zone="a") == node.workers.names
            clerk = await node.spawn(Clerk, place="worker-1")
            pid = await clerk.ask(Pid())
            os.kill(pid, signal.SIGKILL)
            await pid_once_changed(clerk, pid)
            special, plain = [await node.spawn(Describe, place=name) for name in node.workers.names]
            assert await special.ask(Facts("TILL")) == ("7", sys.executable, 200, [core], True)
            environment, _, files, _, has_module = await plain.ask(Facts("TILL"))
            assert (environment, files != 200, has_module) == ("base", True, False)

    run(scene())


def test_a_worker_runs_the_interpreter_that_it_is_given(tmp_path: Path) -> None:
    """Such as that of another virtual environment, with packages of its own; the program's modules are found too."""
    venv.create(tmp_path, symlinks=True)
    (packages,) = tmp_path.glob("lib/python*/site-packages")
    (packages / "other.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = tmp_path / "bin" / "python"

    async def scene() -> None:
        async with Node(workers=NONE_YET) as node:
            await node.workers.add(python=python)
            describe = await node.spawn(Describe, place="worker-1")
            assert (await describe.ask(Facts("TILL")))[1] == str(python)

    run(scene())


def test_workers_that_cannot_be_added_are_an_error_and_leave_the_others() -> None:
    """One that fails to start takes those down that were added with it; a wrong number or name is refused."""

    async def scene() -> None:
        async with Node(workers=replace(QUICK, count=1)) as node:
            with pytest.raises(StartFailed, match="a worker cannot import no_such_module, named in preload"):
                await node.workers.add(2, preload=["no_such_module"])
            with pytest.raises(StartFailed, match=r"its limits .* cannot be set"):
                await node.workers.add(limits=WorkerLimits(cores=(4_000,)))
            with pytest.raises(InvalidOption, match="128 more workers: node local has 1, 128 are the most"):
                await node.workers.add(128)
            with pytest.raises(InvalidOption, match=r"^number=-1 must be 0 to 128$"):
                await node.workers.resize(-1)
            with pytest.raises(CallerError, match=r"has no worker 'worker-9'; its workers: local\.worker-1"):
                await node.workers.remove("worker-9")
            assert node.workers.names == ("local.worker-1",)
            assert await (await node.spawn(Clerk, place="worker-1")).ask(Pid()) != os.getpid()

    run(scene())


@pytest.mark.parametrize("listen", [(), "tcp://127.0.0.1:0"])
def test_a_node_that_was_started_without_workers_takes_some_later(listen: str) -> None:
    """With a network, and without one, which it gets then; two calls at once begin it once."""

    async def scene() -> None:
        async with Node("shop", listen=listen, insecure=bool(listen)) as node:
            await node.workers.resize(0)
            await node.workers.remove()
            added = await asyncio.gather(node.workers.add(), node.workers.add())
            assert sorted(added) == [("shop.worker-1",), ("shop.worker-2",)]
            one, two = [await node.spawn(Clerk, place=place) for place in ("worker-1", "worker-2")]
            pids = {await one.ask(Pid()), await two.ask(Pid()), os.getpid()}
            assert len(pids) == 3
            assert await one.ask(Pass(await two.ask(Myself()))) in pids
            assert {info.name for info in node.extensions} == {"workers", "deadlock"}
            assert await node.workers.resize(0) == ()

    run(scene())


class Quiet(Extension[None], name="quiet"):
    """An extension that does nothing."""

    async def start(self, ctx: NodeContext) -> None:
        """Do nothing."""


def test_a_node_that_cannot_take_workers_later_says_why() -> None:
    """Where extensions run without a network, and on virtual time; the node goes on, and ends in order."""

    async def scene() -> None:
        async with Node(extensions=[Quiet]) as node:
            for _ in range(2):
                with pytest.raises(
                    InvalidOption, match=r"the extensions quiet without a network: give it workers=Work"
                ):
                    await node.workers.add()
            assert len(node.workers) == 0
            assert not node.has_network

    run(scene())

    async def virtual(node: Node) -> None:
        with pytest.raises(InvalidOption, match="worker processes run in real time"):
            await node.workers.add()

    play_on(Node(), virtual)


def test_workers_are_candidates_for_placement_by_their_labels() -> None:
    """On a node that is in no cluster: the node and its workers; the error names each, and why it does not fit."""

    async def scene() -> None:
        async with Node("shop") as node:
            await node.workers.add(labels={"gpu": "a100", "zone": "a"})
            await node.workers.add(labels={"zone": "b"})
            assert node.workers.labels_of("worker-1") == {"gpu": "a100", "zone": "a"}
            here = os.getpid()
            on_gpu = await node.spawn(Clerk, place=labels(gpu="a100"))
            on_b = await node.spawn(Clerk, place=labels(zone="b"))
            pids = [await ref.ask(Pid()) for ref in (on_gpu, on_b)]
            assert len({*pids, here}) == 3
            again = [await node.spawn(Clerk, place=labels(zone=zone)) for zone in "ab"]
            assert [await ref.ask(Pid()) for ref in again] == pids
            with pytest.raises(NoNodeFits, match=r"no node fits labels\(gpu='h100'\): shop \(it has no label gpu\)"):
                await node.spawn(Clerk, place=labels(gpu="h100"))
            with pytest.raises(CallerError, match="has no worker 'worker-3'"):
                node.workers.labels_of("worker-3")

    run(scene())


class Adds(Actor):
    """Adds a worker to the node that it runs on."""

    @handler
    async def facts(self, msg: Facts) -> tuple[str, str, int, list[int], bool]:
        await self.node.workers.add()
        return "", "", 0, [], False


def test_a_worker_has_no_workers() -> None:
    """They are those of its node."""

    async def scene() -> None:
        async with Node(workers=replace(QUICK, count=1)) as node:
            with pytest.raises(InvalidOption, match="is a worker and has none itself: add them to local"):
                await (await node.spawn(Adds, place="worker-1")).ask(Facts(""))

    run(scene())


def test_a_worker_that_is_stopped_by_a_signal_is_replaced() -> None:
    """SIGSTOP ends no process and no session; the worker is killed after ``hang_s`` and started again."""

    async def scene() -> None:
        async with Node(workers=Workers(1, hang_s=0.5)) as node:
            clerk = await node.spawn(Clerk, place="worker-1")
            pid = await clerk.ask(Pid())
            os.kill(pid, signal.SIGSTOP)
            assert await pid_once_changed(clerk, pid) != pid

    run(scene())
