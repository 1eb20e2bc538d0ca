import asyncio

import pytest

from tests.runtime.stage import (
    Double,
    Fail,
    Family,
    Note,
    Patient,
    Performer,
    Player,
    Story,
    cell_of,
    staged,
)
from trouper import (
    Actor,
    Node,
    OneForAll,
    StartFailed,
    WrongReply,
    handler,
)
from trouper.testing import settle


@staged
async def test_a_restart_runs_the_hooks_in_order(node: Node) -> None:
    """The old instance gets `before_restart` with the error, whose default is `on_stop`; then the new one starts."""
    story = Story()

    class Told(Player):
        def before_restart(self, error: BaseException | None) -> None:
            self.story.append(repr(error))
            super().before_restart(error)

    ref = await node.spawn(Told, story)
    ref.tell(Fail("why"))
    await settle()
    assert story == ["start", "ValueError('why')", "stop", "start"]


@pytest.mark.parametrize("hook", ["on_stop", "before_restart"])
@staged
async def test_async_hooks_are_awaited_at_a_restart(node: Node, hook: str) -> None:
    """An async `before_restart` runs to its end, and so does an async `on_stop` that the default one calls."""
    story = Story()

    class Waiting(Patient):
        async def before_restart(self, error: BaseException | None) -> None:
            self.story.append(repr(error))
            await asyncio.sleep(1.0)
            self.story.append("before")

    ref = await node.spawn(Patient if hook == "on_stop" else Waiting, story)
    ref.tell(Fail("why"))
    ref.tell(Note(1))
    await asyncio.sleep(10.0)
    expected = ["stops", "stopped"] if hook == "on_stop" else ["ValueError('why')", "before"]
    assert story == ["starts", "started", *expected, "starts", "started", 1]


@staged
async def test_a_hook_that_fails_does_not_stop_a_restart(node: Node) -> None:
    """The failure is reported, and the new instance starts."""

    class Broken(Player):
        def before_restart(self, error: BaseException | None) -> None:
            raise LookupError("in the hook")

    ref = await node.spawn(Broken)
    ref.tell(Fail())
    assert await ref.ask(Double(1)) == 2


@staged
async def test_a_hook_that_never_ends_is_limited(node: Node) -> None:
    """`on_stop` has the shutdown time of its actor, at a restart as at an end."""

    class Endless(Performer):
        async def on_stop(self) -> None:
            await asyncio.Event().wait()

    ref = await node.spawn(Endless, shutdown_s=2.0)
    began = asyncio.get_running_loop().time()
    ref.tell(Fail())
    assert await ref.ask(Double(1)) == 2
    assert asyncio.get_running_loop().time() == began + 2.0
    await ref.stop()
    assert asyncio.get_running_loop().time() == began + 4.0


@staged
async def test_a_hook_that_forgot_its_async_is_reported(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """A plain hook that returns a coroutine does not pass for one that has done its work."""

    async def work() -> None:
        raise AssertionError("never begun")

    class Forgetful(Player):
        def on_stop(self) -> None:
            return work()  # type: ignore[return-value]  # pyright: ignore[reportReturnType]  the mistake that is tested

    ref = await node.spawn(Forgetful, name="ada")
    await ref.stop()
    assert "make it `async def`" in caplog.text
    with pytest.raises(StartFailed) as caught:
        await node.spawn(type("Late", (Forgetful,), {"on_start": Forgetful.on_stop}))
    assert isinstance(caught.value.__cause__, WrongReply)


@staged
async def test_a_new_instance_that_does_not_start_is_another_failure(node: Node) -> None:
    """Each attempt counts; when they are too many, the actor ends and those that wait are told."""
    story, attempts = Story(), list[int]()
    watcher = await node.spawn(Player, story)

    class OnceOnly(Player):
        def on_start(self) -> None:
            attempts.append(1)
            if len(attempts) > 1:
                raise ValueError("only once")

    class Boss(Actor):
        supervision = OneForAll(intensity=2)

        def on_start(self) -> None:
            self.kid = self.spawn_nowait(OnceOnly)

        @handler
        def fail(self, msg: Fail) -> int:
            self.kid.watch(watcher)
            self.kid.tell(msg)
            return 0

    boss = await node.spawn(Boss, restart="temporary")
    boss.tell(Fail())
    assert await boss.wait_stopped() == "failed"
    await settle()
    assert len(attempts) == 3
    assert len(story) == 2


@staged
async def test_children_are_stopped_before_a_restart_and_start_anew(node: Node) -> None:
    """Newest first; a restarted parent makes its children again."""
    story = Story()
    ref = await node.spawn(Family, story)
    del story[:]
    ref.tell(Fail())
    await settle()
    stops = [("kid stops", index) for index in (2, 1, 0)]
    starts = [("kid starts", index) for index in (0, 1, 2)]
    assert story == [*stops, "stop", "start", *starts]


@staged
async def test_children_may_be_kept_over_a_restart(node: Node) -> None:
    """With `keep_children` they live on, and their names are still taken."""
    story = Story()

    class Keeping(Family):
        keep_children = True

        def on_start(self) -> None:
            if not self.__cell__.children:
                super().on_start()

    ref = await node.spawn(Keeping, story)
    before = dict(cell_of(ref).children or {})
    ref.tell(Fail())
    assert await ref.ask(Double(1)) == 2
    assert cell_of(ref).children == before
    assert ("kid stops", 0) not in story


@staged
async def test_mail_waits_while_an_actor_restarts(node: Node) -> None:
    """Nothing that was queued is lost, and nothing is handled by an instance that has failed."""
    story = Story()
    ref = await node.spawn(Patient, story)
    for message in (Note(1), Fail(), Note(2), Note(3)):
        ref.tell(message)
    await asyncio.sleep(0.5)
    ref.tell(Note(4))
    await asyncio.sleep(10.0)
    assert [entry for entry in story if isinstance(entry, int)] == [1, 2, 3, 4]
