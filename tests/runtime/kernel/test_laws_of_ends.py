"""The laws of the runtime (docs/laws.md) that concern one process: laws 9 and 10.

Each law has a test or more named for it, in the plainest scene there is; details are in the tests of the modules.
"""

import asyncio
from itertools import pairwise

import pytest

from tests.runtime.stage import (
    Double,
    Fail,
    Hold,
    Note,
    Player,
    Story,
    cell_of,
    letters_of,
    play,
    play_on,
    staged,
)
from trouper import (
    Actor,
    ActorRef,
    Backoff,
    Node,
    NodeFailed,
    OneForAll,
    OneForOne,
    RestForOne,
    handler,
)
from trouper.testing import settle

# --- 9. Supervision --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "restarted"),
    [(OneForOne(), [False, True, False]), (OneForAll(), [True, True, True]), (RestForOne(), [False, True, True])],
)
@staged
async def test_law_09_the_strategies_of_otp(
    node: Node, strategy: OneForOne | OneForAll | RestForOne, restarted: list[bool]
) -> None:
    """The middle one of three children fails: who is restarted is what OTP says."""
    kids: list[ActorRef] = []

    class Boss(Actor):
        supervision = strategy

        def on_start(self) -> None:
            kids.extend(self.spawn_nowait(Player) for _ in range(3))

    await node.spawn(Boss)
    kids[1].tell(Fail())
    await settle()
    assert [cell_of(kid).restarts == 1 for kid in kids] == restarted
    assert [await kid.ask(Double(1)) for kid in kids] == [2, 2, 2]


def test_law_09_three_restarts_in_five_seconds_then_escalation(caplog: pytest.LogCaptureFixture) -> None:
    """The fourth failure within five seconds fails the supervisor; every one is logged with its traceback."""

    async def scene(node: Node) -> None:
        ref = await node.spawn(Player, name="ada")
        for _ in range(3):
            ref.tell(Fail("oops"))
            await asyncio.sleep(1.0)
        assert await ref.ask(Double(1)) == 2
        ref.tell(Fail("once too often"))
        await asyncio.sleep(60.0)

    with pytest.raises(NodeFailed):
        play_on(Node(supervision=OneForOne()), scene)
    crashes = [record.getMessage() for record in caplog.records if "/user/ada#" in record.getMessage()]
    assert sum("ValueError: oops" in crash and "Traceback" in crash for crash in crashes) >= 3
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_law_09_failures_far_apart_never_escalate() -> None:
    """The window slides: a failure every two seconds is never more than three in five seconds."""

    async def scene(node: Node) -> None:
        ref = await node.spawn(Player)
        for _ in range(50):
            ref.tell(Fail())
            await asyncio.sleep(2.0)
        assert await ref.ask(Double(1)) == 2

    play_on(Node(supervision=OneForOne()), scene)


@staged
async def test_law_09_a_backoff_waits_before_the_restart(node: Node) -> None:
    """Mail waits out the backoff, which doubles with each failure."""
    times: list[float] = []
    kids: list[ActorRef] = []

    class Timed(Player):
        def on_start(self) -> None:
            times.append(asyncio.get_running_loop().time())

    class Boss(Actor):
        supervision = OneForOne(intensity=10, period_s=100.0, backoff=Backoff(1.0, 60.0, jitter=0.0))

        def on_start(self) -> None:
            kids.append(self.spawn_nowait(Timed))

    await node.spawn(Boss)
    for _ in range(3):
        kids[0].tell(Fail())
    assert await kids[0].ask(Double(1), timeout_s=60.0) == 2
    assert [later - earlier for earlier, later in pairwise(times)] == [1.0, 2.0, 4.0]


@staged
async def test_law_09_a_crash_report_is_bounded(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """A message, an error and a traceback of any size make a short report."""
    ref = await node.spawn(Player)
    ref.tell(Fail("x" * 1_000_000))
    await settle()
    assert caplog.records
    assert max(len(record.getMessage()) for record in caplog.records) < 20_000


# --- 10. Stopping ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "handled", "dead"), [("stop", [("hold", 0)], 2), ("drain", [("hold", 0), 1, 2], 0), ("kill", [], 3)]
)
@staged
async def test_law_10_stop_drain_and_kill(node: Node, end: str, handled: list[object], dead: int) -> None:
    """After the current message; after the queued ones; at once."""

    class Slow(Player):
        @handler
        async def hold(self, msg: Hold) -> int:
            await asyncio.sleep(1.0)
            self.story.append(("hold", msg.n))
            return msg.n

    story, letters = Story(), letters_of(node)
    ref = await node.spawn(Slow, story)
    for message in (Hold(0), Note(1), Note(2)):
        ref.tell(message)
    await settle()
    await getattr(ref, end)()
    assert [entry for entry in story[1:] if entry != "stop" and "undelivered" not in str(entry)] == handled
    assert len(letters) == dead


@staged
async def test_law_10_children_first_newest_first(node: Node) -> None:
    """Grandchildren before children before their parent."""
    story = Story()

    class Named(Player):
        def __init__(self, name: str, kids: tuple[str, ...] = ()) -> None:
            super().__init__(story)
            self.name, self.kids = name, kids

        def on_start(self) -> None:
            for kid in self.kids:
                name = f"{self.name}.{kid}"
                self.spawn_nowait(Named, name, ("x", "y") if len(self.name) == 1 else ())

        def on_stop(self) -> None:
            self.story.append(self.name)

    await (await node.spawn(Named, "a", ("1", "2"))).stop()
    assert story == ["a.2", "a.1", "a"] or story == ["a.2.y", "a.2.x", "a.2", "a.1.y", "a.1.x", "a.1", "a"]


def test_law_10_a_node_leaves_nothing_behind() -> None:
    """Whatever its actors do, when the block is left they are gone, within one deadline."""

    class Deaf(Actor):
        @handler
        async def hold(self, msg: Hold) -> int:
            for _ in range(20):
                try:
                    await asyncio.sleep(1.0)
                except asyncio.CancelledError:
                    continue
            return msg.n

    async def main() -> float:
        async with Node(shutdown_s=8.0) as node:
            refs = [await node.spawn(Deaf, shutdown_s=None), await node.spawn(Player, shutdown_s=None)]
            for ref in refs:
                ref.tell(Hold(1))
            await settle()
            began = asyncio.get_running_loop().time()
        took_s = asyncio.get_running_loop().time() - began
        assert all(cell_of(ref).gone for ref in refs)
        await asyncio.sleep(60.0)
        return took_s

    assert 8.0 <= play(main) <= 9.0
