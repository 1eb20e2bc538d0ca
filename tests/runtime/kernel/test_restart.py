"""What is carried out when a child fails or leaves; `kernel/test_supervision.py` has what is decided."""

import asyncio

import pytest

from tests.runtime.stage import Double, Fail, Hold, Note, Notes, Player, Story, cell_of, letters_of, staged, told
from trouper import (
    Actor,
    ActorRef,
    Backoff,
    Down,
    Node,
    OneForAll,
    OneForOne,
    RestForOne,
    handler,
)
from trouper.runtime.kernel.supervision import AutoShutdown, ChildSpec, Restart, Strategy
from trouper.testing import settle


class Numbered(Player):
    """A child that tells its number at each start and stop, and may leave."""

    def __init__(self, story: Story, number: int) -> None:
        super().__init__(story)
        self.number = number

    def on_start(self) -> None:
        self.story.append(("start", self.number))

    def on_stop(self) -> None:
        self.story.append(("stop", self.number))

    @handler
    def double(self, msg: Double) -> int:
        self.stop()
        return 2 * msg.n


async def spawn_boss(
    node: Node, strategy: Strategy, restarts: tuple[Restart, ...], story: Story
) -> tuple[ActorRef, list[ActorRef]]:
    """A parent and its children."""
    kids: list[ActorRef] = []

    class Boss(Player):
        supervision = strategy

        def on_start(self) -> None:
            kids[:] = [
                self.spawn_nowait(Numbered, story, number, restart=restart) for number, restart in enumerate(restarts)
            ]

    return await node.spawn(Boss), kids


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (OneForOne(), [("stop", 1), ("start", 1)]),
        (OneForAll(), [*(("stop", number) for number in (2, 1, 0)), *(("start", number) for number in (0, 1, 2))]),
        (RestForOne(), [("stop", 2), ("stop", 1), ("start", 1), ("start", 2)]),
    ],
)
@staged
async def test_children_stop_newest_first_and_start_oldest_first(
    node: Node, strategy: Strategy, expected: Story
) -> None:
    """Those that the strategy names, and no others."""
    story = Story()
    _, kids = await spawn_boss(node, strategy, ("transient",) * 3, story)
    del story[:]
    kids[1].tell(Fail())
    await settle()
    assert story == expected


@staged
async def test_a_sibling_at_work_may_end_its_message(node: Node) -> None:
    """A restart of all waits for the handlers that are at work, within their shutdown time; then it cancels them."""
    story, letters = Story(), letters_of(node)
    _, kids = await spawn_boss(node, OneForAll(), ("transient",) * 2, story)
    kids[1].tell(Hold(1))
    kids[1].tell(Note(5))
    await settle()
    kids[0].tell(Fail())
    began = asyncio.get_running_loop().time()
    assert await kids[0].ask(Notes(), timeout_s=60.0) == []
    assert asyncio.get_running_loop().time() == began + 5.0
    await settle()
    assert told(letters) == [(Fail(), "failed"), (Hold(1), "cancelled")]
    assert story[-1] == 5


@staged
async def test_mail_of_siblings_survives_their_restart(node: Node) -> None:
    """What was queued for one that is restarted with the others is handled by its new instance."""
    story = Story()
    _, kids = await spawn_boss(node, OneForAll(backoff=Backoff(1.0, 1.0, 0.0)), ("transient",) * 2, story)
    kids[0].tell(Fail())
    await settle()
    kids[1].tell(Note(1))
    kids[0].tell(Note(2))
    await settle()
    assert 1 not in story
    await asyncio.sleep(2.0)
    assert {1, 2} <= {entry for entry in story if isinstance(entry, int)}


@pytest.mark.parametrize(
    ("restart", "fails", "back"),
    [
        ("permanent", True, True),
        ("permanent", False, True),
        ("transient", True, True),
        ("transient", False, False),
        ("temporary", True, False),
        ("temporary", False, False),
    ],
)
@staged
async def test_restart_types(node: Node, restart: Restart, fails: bool, back: bool) -> None:
    """Who comes back after a failure, and who after leaving by itself."""
    downs, story = Story(), Story()
    watcher = await node.spawn(Player, downs)
    _, kids = await spawn_boss(node, OneForOne(), (restart,), story)
    kids[0].watch(watcher)
    kids[0].tell(Fail() if fails else Double(1))
    await settle()
    assert cell_of(kids[0]).gone is not back
    if back:
        assert downs == ["start"]
    else:
        expected = Down(kids[0], "failed", "ValueError: boom") if fails else Down(kids[0], "stopped")
        assert downs == ["start", expected]


@staged
async def test_an_end_from_outside_is_final(node: Node) -> None:
    """`ref.stop()` and `ref.kill()` are OTP's terminate_child: not even a permanent child comes back."""
    story = Story()
    boss, kids = await spawn_boss(node, OneForAll(), ("permanent",) * 3, story)
    await kids[0].stop()
    await kids[1].kill()
    await settle()
    assert len(cell_of(boss).children or {}) == 1
    assert cell_of(kids[2]).restarts == 0


@staged
async def test_temporary_children_go_with_a_restart_of_all(node: Node) -> None:
    """They are stopped with the others and do not come back."""
    story = Story()
    _, kids = await spawn_boss(node, OneForAll(), ("transient", "temporary", "transient"), story)
    kids[0].tell(Fail())
    await settle()
    assert [cell_of(kid).phase for kid in kids] == ["live", "gone", "live"]


@staged
async def test_an_escalation_restarts_the_parent_with_new_children_and_a_clean_record(node: Node) -> None:
    """A supervisor that failed by its children starts anew, and counts anew."""
    story = Story()
    boss, kids = await spawn_boss(node, OneForOne(intensity=1), ("transient",), story)
    for expected in (0, 1):
        kids[0].tell(Fail())
        await settle()
        assert cell_of(boss).restarts == expected
    kids[0].tell(Fail())
    await settle()
    assert (cell_of(boss).restarts, cell_of(kids[0]).restarts) == (1, 1)


@pytest.mark.parametrize(
    ("auto_shutdown", "leavers", "ends"),
    [
        ("never", (0, 1), False),
        ("any_significant", (0,), True),
        ("any_significant", (2,), False),
        ("all_significant", (0,), False),
        ("all_significant", (0, 1), True),
    ],
)
@staged
async def test_significant_children_may_end_their_parent(
    node: Node,
    auto_shutdown: AutoShutdown,
    leavers: tuple[int, ...],
    ends: bool,
) -> None:
    """As `auto_shutdown` says; the end is an orderly one, of the other children too.  The third is not significant."""
    story, kids = Story(), list[ActorRef]()

    class Boss(Player):
        supervision = OneForOne(auto_shutdown=auto_shutdown)

        async def begin(self) -> None:
            for number in range(3):
                kids.append(await self.spawn(Numbered, story, number, significant=number < 2))

        @handler
        async def hold(self, msg: Hold) -> int:
            await self.begin()
            return msg.n

    boss = await node.spawn(Boss)
    await boss.ask(Hold(0))
    for leaver in leavers:
        await kids[leaver].ask(Double(1))
        await settle()
    assert cell_of(boss).gone is ends
    if ends:
        assert await boss.wait_stopped() == "stopped"
        assert all(cell_of(kid).gone for kid in kids)


@staged
async def test_a_parent_that_asks_its_failed_child_does_not_keep_it_from_restarting(node: Node) -> None:
    """Supervision goes on while the parent's own handler waits."""
    kids: list[ActorRef] = []

    class Boss(Actor):
        def on_start(self) -> None:
            kids.append(self.spawn_nowait(Player))

        @handler
        async def hold(self, msg: Hold) -> int:
            kids[0].tell(Fail())
            return await kids[0].ask(Double(msg.n))

    assert await (await node.spawn(Boss)).ask(Hold(4)) == 8


@staged
async def test_a_strategy_that_raises_fails_its_supervisor(node: Node) -> None:
    """A strategy of the user's own may be wrong; it is the supervisor's fault then."""

    class Broken(OneForOne):
        def affected(self, children: object, failed: str) -> tuple[str, ...]:
            raise LookupError(failed)

    story = Story()
    boss, kids = await spawn_boss(node, Broken(), ("transient",), story)
    first = kids[0]
    kids[0].tell(Fail())
    await settle()
    assert cell_of(first).gone
    assert (cell_of(boss).phase, cell_of(boss).restarts) == ("live", 1)


@pytest.mark.parametrize("end", ["stop", "kill"])
@staged
async def test_a_child_that_waits_out_its_backoff_can_be_ended(node: Node, end: str) -> None:
    """Nobody starts it then, and its mail is dead letters."""
    story, letters = Story(), letters_of(node)
    _, kids = await spawn_boss(node, OneForOne(backoff=Backoff(10.0, 10.0, 0.0)), ("transient",), story)
    kids[0].tell(Fail())
    kids[0].tell(Note(1))
    await asyncio.sleep(5.0)
    await getattr(kids[0], end)()
    await asyncio.sleep(20.0)
    assert story == [("start", 0), ("stop", 0)]
    assert [letter.message for letter in letters] == [Fail(), Note(1)]


def test_the_default_child_is_transient() -> None:
    """It comes back when it fails, and is gone when it leaves."""
    assert ChildSpec(Player).restart == "transient"
