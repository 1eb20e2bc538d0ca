import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.runtime.net.bulk.array_node import Drop, Feed, Give, Hold, Holder
from tests.runtime.net.stage import Add, Anything, Clerk, Numbers, paired, spawn_remote
from tests.runtime.net.test_network import simulated
from trouper import ActorRef, ActorStopped, Node, WireError
from trouper.runtime.net.bulk.segments import NAME, host
from trouper.runtime.session.bulk_chunks import BulkSettings
from trouper.transports.network_faults import Quality
from trouper.transports.simulated import SimulatedNetwork

ONE_MIB = 131_072
"""Numbers of 8 bytes."""
SHARES = pytest.mark.skipif(not host(), reason="this system has no memfd_create")


async def until(condition: Callable[[], bool], pause_s: float = 0.001) -> None:
    """Wait until this is so, since no event tells it; virtual time must not pass."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  see above
            await asyncio.sleep(pause_s)


@paired
async def test_large_buffers_travel_in_messages_and_replies(a: Node, b: Node) -> None:
    """Of many frames, of one, and such as stay in the payload; nothing is left on either side."""
    clerk, holder = await spawn_remote(a, "b", Clerk), await spawn_remote(a, "b", Holder)
    for size in (10, 70_000, 3_000_000):
        for value in (b"x" * size, bytearray(b"y" * size), memoryview(b"z" * size)):
            assert await clerk.ask(Anything(value)) == value
            assert await clerk.ask(Anything({"deep": [value, 1]})) == {"deep": [value, 1]}
        array = np.arange(size)
        assert await holder.ask(Hold(array)) == array.sum()
        assert np.array_equal(await holder.ask(Give(size)), array)
    for node, peer in ((a, "b"), (b, "a")):
        assert node.network.peer(peer).out_of_band.assembly.allocated_bytes == 0


@paired
async def test_a_small_message_does_not_overtake_a_large_one_of_its_pair(a: Node, b: Node) -> None:
    """To another actor it goes ahead."""
    holder, clerk = await spawn_remote(a, "b", Holder), await spawn_remote(a, "b", Clerk)
    large = holder.ask(Hold(np.ones(32 * ONE_MIB, np.int64)))
    behind, out_of_band = holder.ask(Drop()), clerk.ask(Add(1))
    assert await out_of_band == 1
    assert not large.done()
    assert (await large, await behind) == (32 * ONE_MIB, 1)


@paired
async def test_an_ask_that_is_given_up_leaves_no_buffers_behind(a: Node, b: Node) -> None:
    """Neither those that have gone, nor those that have not."""
    holder = await spawn_remote(a, "b", Holder)
    ask = asyncio.ensure_future(holder.ask(Hold(np.ones(32 * ONE_MIB, np.int64))))
    await until(lambda: b.network.peer("a").out_of_band.assembly.allocated_bytes > 0, 0.0)
    ask.cancel()
    assert await holder.ask(Drop()) == 0
    assert b.network.peer("a").out_of_band.assembly.allocated_bytes == 0
    assert a.dead_letters.counts["expired"] == 1


@paired
async def test_a_node_that_leaves_in_the_middle_leaves_dead_letters_and_no_buffers(a: Node, b: Node) -> None:
    """The ask hears of it, and what waited behind it is lost too."""
    holder = await spawn_remote(a, "b", Holder)
    asks = [holder.ask(Hold(np.ones(32 * ONE_MIB, np.int64))), holder.ask(Drop())]
    peer = a.network.peer("b")
    await until(lambda: b.network.peer("a").out_of_band.assembly.allocated_bytes > 0, 0.0)
    other = b.network.peer("a")
    b.network.end_session("a", "gone")
    a.network.end_session("b", "gone")
    for ask in asks:
        with pytest.raises(ActorStopped, match="node b is lost: gone"):
            await ask
    assert (other.out_of_band.assembly.allocated_bytes, peer.is_backpressured) == (0, False)


@paired
async def test_what_is_above_a_limit_is_refused_by_name(a: Node, b: Node) -> None:
    """Before anything of it has gone; others go on."""
    a.network.bulk.settings = b.network.bulk.settings
    clerk = await spawn_remote(a, "b", Clerk)
    peer = a.network.peer("b")
    peer.out_of_band._settings = BulkSettings(bulk_bytes_max=100_000, buffers_max=1)  # noqa: SLF001  as the node would be told
    for value, why in (
        (b"x" * 100_001, "Anything has 100001 bytes in large buffers, bulk_bytes_max=100000: send it in parts"),
        ([b"x" * 70_000] * 2, "Anything has 2 large buffers, buffers_max=1"),
        (np.array([object()]), "Anything cannot travel: an array of dtype object cannot travel: only of numbers"),
    ):
        with pytest.raises(WireError) as caught:
            await clerk.ask(Anything(value))
        assert str(caught.value).startswith(why)
    assert await clerk.ask(Add(1)) == 1
    assert await clerk.ask(Numbers()) == [1]


# --- real processes ---------------------------------------------------------------------------------------------------


class Other:
    """The other process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.holder: ActorRef

    def kill(self) -> None:
        """As the system does when memory runs out."""
        self.process.send_signal(signal.SIGKILL)


@asynccontextmanager
async def other_process(node: Node, listen: str) -> AsyncGenerator[Other]:
    """Start it, and find its actor."""
    command = ["-m", "tests.runtime.net.bulk.array_node", "other", listen, node.network.endpoint]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    other = Other(process)
    try:
        async with asyncio.timeout(20):
            await node.network.wait_for_peer("other")
            found = None
            while found is None:
                found = await node.network.whereis("other", "user/holder")
        other.holder = found
        yield other
    finally:
        if process.returncode is None and process.stdin is not None:
            process.stdin.close()
        await process.wait()


def traces(process: int) -> list[str]:
    """What stands in the folder of shared memory, and which segments a process has mapped or open."""
    found = os.listdir("/dev/shm")  # noqa: PTH208  names are enough
    maps = Path(f"/proc/{process}/maps").read_text("utf-8").splitlines()
    return [*(name for name in found if NAME in name), *(line for line in maps if f"memfd:{NAME}" in line)]


@SHARES
def test_processes_of_one_host_share_memory(tmp_path: Path) -> None:
    """Both ways, once they have found out that they can; what is dropped comes back and is used again."""

    async def scene() -> None:
        async with (
            Node("here", listen=f"ipc://{tmp_path}/a") as node,
            other_process(node, f"ipc://{tmp_path}/b") as other,
        ):
            own = await node.spawn(Holder)
            out_of_band = node.network.peer("other").out_of_band
            for _ in range(6):
                assert await other.holder.ask(Hold(np.ones(ONE_MIB, np.int64))) == ONE_MIB
                assert (await other.holder.ask(Give(ONE_MIB))).sum() == ONE_MIB * (ONE_MIB - 1) // 2
                assert await other.holder.ask(Feed(own, ONE_MIB)) == ONE_MIB
            assert out_of_band.shared_memory is not None
            assert out_of_band.shared_memory.accepted
            assert len(out_of_band.shared_memory._in_use) == 5  # noqa: SLF001  all but the first are held
            assert await other.holder.ask(Drop()) == 6
            lent = out_of_band.shared_memory._in_use  # noqa: SLF001  see above
            await until(lambda: not lent)
            assert traces(os.getpid())
        assert not [trace for trace in traces(os.getpid()) if "rw-s" in trace]

    asyncio.run(scene())


@SHARES
@pytest.mark.parametrize("holds_here", [False, True])
def test_a_process_that_is_killed_leaves_no_memory_behind(tmp_path: Path, holds_here: bool) -> None:
    """Neither the reader of a segment, nor its owner; what is mapped here can still be read."""

    async def scene() -> None:
        async with (
            Node("here", listen=f"ipc://{tmp_path}/a") as node,
            other_process(node, f"ipc://{tmp_path}/b") as other,
        ):
            kept: list[npt.NDArray[np.int64]] = []
            for _ in range(3):
                await other.holder.ask(Hold(np.ones(ONE_MIB, np.int64)))
                if holds_here:
                    kept.append(await other.holder.ask(Give(ONE_MIB)))
            other.kill()
            await other.process.wait()
            node.network.end_session("other", "it was killed")
            assert node.network.bulk.pool.allocated_bytes <= 1_048_576, "what is free may stay, what was lent does not"
            assert [int(array[-1]) for array in kept] == [ONE_MIB - 1] * len(kept)
            kept.clear()
        assert traces(os.getpid()) == []

    asyncio.run(scene())


KILLED = """
import asyncio, os, sys
from pathlib import Path
from tests.runtime.net.bulk.test_big_data import both
asyncio.run(both(Path(sys.argv[1])))
"""


async def both(folder: Path) -> None:
    """Share memory both ways with another process, say its number, and wait to be killed."""
    async with Node("here", listen=f"ipc://{folder}/a") as node, other_process(node, f"ipc://{folder}/b") as other:
        kept: list[npt.NDArray[np.int64]] = []
        for _ in range(3):
            await other.holder.ask(Hold(np.ones(8 * ONE_MIB, np.int64)))
            kept.append(await other.holder.ask(Give(8 * ONE_MIB)))
        sys.stdout.write(f"{other.process.pid}\n")
        sys.stdout.flush()
        await asyncio.sleep(60)


@SHARES
def test_two_processes_that_are_killed_leave_no_memory_behind(tmp_path: Path) -> None:
    """The system's own count of shared memory falls back, and no folder shows anything."""

    async def scene() -> None:
        before = set(os.listdir("/dev/shm"))  # noqa: PTH208  names are enough
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED, str(tmp_path), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        second = int(await process.stdout.readline())
        shared = [trace for trace in traces(second) if "rw-s" in trace]
        assert shared, "there was something to leave behind"
        for number in (process.pid, second):
            os.kill(number, signal.SIGKILL)
        await process.wait()
        await until(lambda: not [path for path in _descriptors() if f"memfd:{NAME}" in path])
        assert set(os.listdir("/dev/shm")) == before  # noqa: PTH208  names are enough

    asyncio.run(scene())


def _descriptors() -> list[str]:
    """Where the descriptors of all processes of this user lead to."""
    found: list[str] = []
    for place in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            found.append(os.readlink(place))  # noqa: PTH115  such names are no paths
        except OSError:
            continue
    return found


def test_buffers_travel_over_tcp() -> None:
    """In chunks, without shared memory where it is turned off."""

    async def scene() -> None:
        node = Node("here", listen="tcp://127.0.0.1:0", insecure=True, bulk=BulkSettings(shared_bytes_max=0))
        async with node, other_process(node, "tcp://127.0.0.1:0") as other:
            array = np.arange(3 * ONE_MIB)
            for _ in range(3):
                assert await other.holder.ask(Hold(array)) == array.sum()
                assert np.array_equal(await other.holder.ask(Give(3 * ONE_MIB)), array)
            assert node.network.peer("other").out_of_band.shared_memory is None

    asyncio.run(scene())


@pytest.mark.parametrize("seed", range(3))
def test_large_buffers_survive_a_bad_network(seed: int) -> None:
    """Loss, repetition, other orders and resets: each message arrives once, whole, in order with the small ones."""

    async def scene(a: Node, b: Node, between: SimulatedNetwork) -> None:
        clerk = await spawn_remote(a, "b", Clerk)
        between.faults.set_quality(Quality(delay_s=0.01, loss=0.05, duplication=0.1, reorder=0.1))
        asks = list[Awaitable[object]]()
        for n in range(6):
            asks += [clerk.ask(Anything(bytes([n]) * 3_000_000), timeout_s=600.0), clerk.ask(Add(n), timeout_s=600.0)]
            between.reset("a", "b")
            await asyncio.sleep(0.1)
        replies = await asyncio.gather(*asks)
        assert replies[::2] == [bytes([n]) * 3_000_000 for n in range(6)]
        assert replies[1::2] == [0, 1, 3, 6, 10, 15]
        for node, peer in ((a, "b"), (b, "a")):
            assert node.network.peer(peer).out_of_band.assembly.allocated_bytes == 0
        between.faults.set_quality(Quality())

    simulated(scene, seed)
