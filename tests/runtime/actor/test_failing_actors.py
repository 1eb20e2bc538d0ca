"""What bad actors get: hooks that raise, errors without a text, handlers that will not end."""

import asyncio

import pytest

from tests.runtime.stage import (
    Double,
    Fail,
    Hold,
    Note,
    Notes,
    Player,
    Story,
    cell_of,
    letters_of,
    staged,
    told,
)
from trouper import (
    Actor,
    ActorFailed,
    DeadLetter,
    Node,
    StartFailed,
    handler,
)
from trouper.testing import settle


class Odd(BaseException):
    """Neither an error nor a request to exit."""


class Unspeakable(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def named(error: BaseException) -> str:
    """What an error is called in the name of a test."""
    return type(error).__name__


# --- hooks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("x"), Odd("x"), asyncio.CancelledError(), Unspeakable()], ids=named)
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("end", ["stop", "leave", "restart"])
@staged
async def test_an_exception_in_on_stop_keeps_nothing_from_ending(
    node: Node,
    end: str,
    is_async: bool,
    error: BaseException,
) -> None:
    """Whatever it raises, the actor ends or restarts, the name is free, and the node goes on."""

    class Plain(Actor):
        def on_stop(self) -> None:
            raise error

        @handler
        def note(self, msg: Note) -> None:
            self.stop()

        @handler
        def fail(self, msg: Fail) -> int:
            raise ValueError(msg.why)

    class Async(Plain):
        async def on_stop(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  a hook may be either
            raise error

    ref = await node.spawn(Async if is_async else Plain, name="ada")
    other = await node.spawn(Player)
    if end == "restart":
        ref.tell(Fail())
        await settle()
        assert (cell_of(ref).phase, cell_of(ref).restarts) == ("live", 1)
    else:
        if end == "leave":
            ref.tell(Note(1))
        else:
            ref.stop()
        assert await ref.wait_stopped() == "stopped"
        await node.spawn(Player, name="ada")
    other.tell(Note(1))
    assert await other.ask(Notes()) == [1]


@pytest.mark.parametrize("error", [Odd("x"), asyncio.CancelledError(), SystemExit(3), Unspeakable()], ids=named)
@pytest.mark.parametrize("where", ["__init__", "on_start", "async on_start"])
@staged
async def test_whatever_a_start_raises_is_a_failed_start(node: Node, where: str, error: BaseException) -> None:
    """The spawner gets `StartFailed` with the cause, and no other actor is affected."""

    class InInit(Actor):
        def __init__(self) -> None:
            raise error

    class InHook(Actor):
        def on_start(self) -> None:
            raise error

    class InAsyncHook(Actor):
        async def on_start(self) -> None:
            await asyncio.sleep(1.0)
            raise error

    made = {"__init__": InInit, "on_start": InHook, "async on_start": InAsyncHook}[where]
    with pytest.raises(StartFailed) as caught:
        await node.spawn(made, name="ada")
    assert caught.value.__cause__ is error
    assert not node.system.user.children
    await node.spawn(Player, name="ada")


@staged
async def test_on_undelivered_may_raise_or_send(node: Node) -> None:
    """What it raises is reported; what it tells to its own dead actor is a dead letter, and the hook is done."""
    letters = letters_of(node)

    class Careless(Player):
        def on_undelivered(self, letter: DeadLetter) -> None:
            self.ref.tell(Note(99))
            raise Odd("x")

    ref = await node.spawn(Careless)
    ref.tell(Hold(0))
    await settle()
    ref.tell(Note(1))
    await ref.kill()
    assert sorted(map(str, told(letters))) == sorted(
        map(str, [(Hold(0), "killed"), (Note(1), "killed"), (Note(99), "killed")])
    )


@staged
async def test_a_hook_that_spawns_as_its_actor_ends(node: Node) -> None:
    """A stopping actor takes no children; nothing is left behind."""
    errors: list[str] = []

    class Late(Player):
        def on_stop(self) -> None:
            try:
                self.spawn_nowait(Player)
            except Exception as error:  # noqa: BLE001  whatever it is, it is written down
                errors.append(type(error).__name__)

    ref = await node.spawn(Late)
    await ref.stop()
    assert errors == ["NodeClosed"]
    assert not cell_of(ref).children


# --- errors ----------------------------------------------------------------------------------------------------------


@staged
async def test_an_error_that_cannot_be_shown(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """It fails its actor and reaches the asker as any other; the report says that there is no text."""
    letters, story = letters_of(node), Story()

    class Bad(Player):
        @handler
        def double(self, msg: Double) -> int:
            raise Unspeakable

    watcher, ref = await node.spawn(Player, story), await node.spawn(Bad, restart="temporary")
    ref.watch(watcher)
    with pytest.raises(Unspeakable):
        await ref.ask(Double(1))
    await settle()
    assert await ref.wait_stopped() == "failed"
    assert [letter.reason for letter in letters] == ["failed"]
    assert "Unspeakable" in str(letters[0].error)
    assert "Unspeakable" in caplog.text
    assert len(story) == 2


@pytest.mark.parametrize("is_async", [False, True])
@staged
async def test_an_odd_error_in_an_ask_is_wrapped(node: Node, is_async: bool) -> None:
    """What would end the asker instead of failing it arrives as `ActorFailed`, with the cause."""

    class Bad(Player):
        @handler
        def double(self, msg: Double) -> int:
            raise Odd(msg.n)

        @handler
        async def hold(self, msg: Hold) -> int:
            raise Odd(msg.n)

    ref = await node.spawn(Bad)
    with pytest.raises(ActorFailed) as caught:
        await ref.ask(Hold(1) if is_async else Double(1))
    assert isinstance(caught.value.__cause__, Odd)
    assert await ref.ask(Notes()) == []


@staged
async def test_an_error_of_a_million_letters_is_cut_where_it_is_shown(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """The asker gets it whole; reports, dead letters and downs get its beginning."""
    letters, story = letters_of(node), Story()
    watcher, ref = await node.spawn(Player, story), await node.spawn(Player, restart="temporary")
    ref.watch(watcher)
    with pytest.raises(ValueError, match=r"^x+$") as caught:
        await ref.ask(Fail("x" * 1_000_000))
    assert len(str(caught.value)) == 1_000_000
    await settle()
    assert len(str(letters[0].error)) < 2_000
    assert len(str(story[1])) < 3_000
    assert max(len(record.getMessage()) for record in caplog.records) < 20_000


# --- handlers that will not end --------------------------------------------------------------------------------------


@staged
async def test_a_handler_that_catches_its_cancellation_and_goes_on(node: Node) -> None:
    """The handler ends when it likes, its late reply is dropped, and then comes the next message."""
    seen: list[str] = []

    class Stubborn(Player):
        @handler
        async def hold(self, msg: Hold) -> int:
            try:
                await asyncio.sleep(100.0)
            except asyncio.CancelledError:
                seen.append("caught")
            await asyncio.sleep(10.0)
            seen.append("went on")
            return msg.n

    ref = await node.spawn(Stubborn)
    ask = ref.ask(Hold(1))
    await settle()
    ask.cancel()
    began = asyncio.get_running_loop().time()
    assert await ref.ask(Double(1), timeout_s=60.0) == 2
    assert seen == ["caught", "went on"]
    assert asyncio.get_running_loop().time() == began + 10.0


@staged
async def test_reentrant_handlers_fail_their_actor_once(node: Node) -> None:
    """When one of many at work fails, the others are cancelled with their instance, and every asker hears at once."""
    letters = letters_of(node)

    class Open(Player):
        @handler(reentrant=True)
        async def hold(self, msg: Hold) -> int:
            await self.gate.wait()
            raise ValueError(msg.n)

    gate = asyncio.Event()
    ref = await node.spawn(Open, Story(), gate)
    asks = [ref.ask(Hold(n)) for n in range(5)]
    await settle()
    gate.set()
    outcomes = await asyncio.gather(*asks, return_exceptions=True)
    assert all(isinstance(outcome, Exception) for outcome in outcomes)
    await settle()
    assert cell_of(ref).restarts == 1
    assert len(letters) == 5
    assert await ref.ask(Double(1)) == 2


@staged
async def test_reentrant_handlers_end_in_peace_when_their_actor_drains(node: Node) -> None:
    """They are messages at work, like any other."""

    class Open(Player):
        @handler(reentrant=True)
        async def hold(self, msg: Hold) -> int:
            await asyncio.sleep(1.0)
            return msg.n

    ref = await node.spawn(Open)
    asks = [ref.ask(Hold(n)) for n in range(3)]
    await settle()
    await ref.drain()
    assert [await ask for ask in asks] == [0, 1, 2]


@staged
async def test_what_a_killed_handler_begins_comes_to_nothing(node: Node) -> None:
    """In its `finally` it may try to set timers, stash, pipe or spawn: none of it stays behind."""
    errors: list[str] = []

    class Undead(Player):
        @handler
        async def hold(self, msg: Hold) -> int:
            async def work() -> int:
                return 1

            try:
                await asyncio.Event().wait()
            finally:
                for act in (
                    lambda: self.timers.every("key", 1.0, Note(1)),
                    lambda: self.stash(msg),
                    lambda: self.pipe_to_self(work(), Note),
                    lambda: self.spawn_nowait(Player),
                ):
                    try:
                        act()
                    except Exception as error:  # noqa: BLE001  whatever it is, it is written down
                        errors.append(type(error).__name__)
            return msg.n

    ref = await node.spawn(Undead)
    ref.tell(Hold(1))
    await settle()
    await ref.kill()
    await asyncio.sleep(100.0)
    assert errors == ["ActorStopped", "ActorStopped", "ActorStopped", "NodeClosed"]
    assert node.system.dead_letters == {"killed": 1}
