"""The actor around the machine: replies, timers, postponed messages, and what goes wrong."""

import asyncio
from enum import Enum, auto
from typing import ClassVar, cast

import pytest

from trouper import (
    ActorStopped,
    AskTimeout,
    CallerError,
    InvalidOption,
    Message,
    Node,
    OneForOne,
    Reject,
    StartFailed,
    Unavailable,
    Unhandled,
    handler,
)
from trouper.runtime.actor.fsm import END, StateMachine, on, on_enter, on_event_timeout, on_exit, on_state_timeout
from trouper.testing import virtual_time


class Phase(Enum):
    LOCKED = auto()
    UNLOCKED = auto()
    BROKEN = auto()


class Coin(Message[int]):
    """The reply is how many coins there are."""

    value: int = 1


class Push(Message[bool]):
    """The reply is whether a person passed."""


class Repair(Message):
    """Makes it whole."""


class Scrap(Message):
    """Takes it away."""


class Story(Message[list[str]]):
    """The reply is what happened."""


class Turnstile(StateMachine[Phase]):
    initial = Phase.LOCKED
    postponed: ClassVar = {Phase.BROKEN: [Coin]}
    postponed_max = 3

    def __init__(self) -> None:
        self.coins = 0
        self.story: list[str] = []

    @on(Phase.LOCKED, to=Phase.UNLOCKED)
    def coin(self, msg: Coin) -> int:
        if msg.value <= 0:
            raise Reject("no coin")
        self.coins += msg.value
        return self.coins

    @on(Phase.UNLOCKED)
    async def gift(self, msg: Coin) -> int:
        await asyncio.sleep(0.1)
        self.coins += msg.value
        return self.coins

    @on(Phase.UNLOCKED, to=(Phase.LOCKED, Phase.BROKEN))
    def push(self, msg: Push) -> bool:
        self.go(Phase.BROKEN if self.coins > 100 else Phase.LOCKED)
        return True

    @on(Phase.BROKEN, to=Phase.LOCKED)
    def repair(self, msg: Repair) -> None:
        self.coins = 0

    @on(Phase.BROKEN, to=END)
    def scrap(self, msg: Scrap) -> None: ...

    @on_state_timeout(Phase.UNLOCKED, after_s=5.0, to=Phase.LOCKED)
    def too_slow(self) -> None:
        self.story.append("too slow")

    @on_event_timeout(Phase.LOCKED, after_s=lambda self: 60.0 + self.coins)
    def bored(self) -> None:
        self.story.append("bored")

    @on_enter(Phase.LOCKED, Phase.UNLOCKED, Phase.BROKEN)
    def entered(self) -> None:
        self.story.append(f"enter {self.state.name}")

    @on_exit(Phase.UNLOCKED, Phase.BROKEN)
    def left(self) -> None:
        self.story.append(f"exit {self.state.name}")

    @handler
    def tell_story(self, msg: Story) -> list[str]:
        return self.story


@virtual_time
async def test_rows_reply_and_change_the_state() -> None:
    """Each message meets the row of the state it finds; entries and exits come between."""
    async with Node() as node:
        gate = await node.spawn(Turnstile)
        assert [await gate.ask(Coin(2)), await gate.ask(Coin(3)), await gate.ask(Push())] == [2, 5, True]
        assert await gate.ask(Story()) == ["enter LOCKED", "enter UNLOCKED", "exit UNLOCKED", "enter LOCKED"]


@virtual_time
async def test_a_state_timeout_runs_from_the_entry_and_ends_with_the_state() -> None:
    """Messages in the state do not put it off, leaving the state cancels it, and it fires once."""
    async with Node() as node:
        gate = await node.spawn(Turnstile)
        await gate.ask(Coin())
        await asyncio.sleep(4)
        await gate.ask(Coin())
        await asyncio.sleep(1.1)
        assert (await gate.ask(Story()))[-3:] == ["too slow", "exit UNLOCKED", "enter LOCKED"]
        await gate.ask(Coin())
        await gate.ask(Push())
        story = await gate.ask(Story())
        await asyncio.sleep(30)
        assert await gate.ask(Story()) == story


@virtual_time
async def test_a_quiet_timeout_is_put_off_by_any_message() -> None:
    """It fires once nothing has come for its time, which may depend on the actor, and again after as long."""
    async with Node() as node:
        gate = await node.spawn(Turnstile)
        for _ in range(3):
            await asyncio.sleep(59)
            assert "bored" not in await gate.ask(Story())
        await asyncio.sleep(60.5)
        assert (await gate.ask(Story())).count("bored") == 1
        with pytest.raises(Reject):
            await gate.ask(Coin(-1))
        await asyncio.sleep(121)
        assert (await gate.ask(Story())).count("bored") == 3


@virtual_time
async def test_what_is_postponed_is_answered_after_the_change_and_before_newer_messages() -> None:
    """An ask may be postponed; above the limit it is rejected; its order is that of its arrival."""
    async with Node() as node:
        gate = await node.spawn(Turnstile)
        await gate.ask(Coin(101))
        await gate.ask(Push())
        coins = [gate.ask(Coin(value)) for value in (1, 2, 4, 8)]
        with pytest.raises(
            Unavailable, match=r"in state BROKEN has 3 postponed messages, its limit: Coin was refused$"
        ):
            await coins[3]
        assert node.accounting().stashed == 3
        gate.tell(Repair())
        assert await asyncio.gather(*coins[:3], gate.ask(Coin(16))) == [1, 3, 7, 23]
        assert node.accounting().missing == 0


@virtual_time
async def test_a_message_without_a_row_is_a_dead_letter_and_its_asker_hears_the_state() -> None:
    """The actor goes on; what is told is counted as unhandled too."""
    async with Node() as node:
        gate = await node.spawn(Turnstile)
        with pytest.raises(Unhandled, match=r"has no row for Push in state LOCKED; it has rows for: Coin$"):
            await gate.ask(Push())
        gate.tell(Repair())
        assert await gate.ask(Coin()) == 1
        assert node.system.dead_letters["unhandled"] == 2
        assert node.accounting().missing == 0


@virtual_time
async def test_the_end_stops_the_actor_after_its_exit_action() -> None:
    """Messages behind the one that ended it are dead letters."""
    async with Node() as node:
        gate = await node.spawn(Turnstile)
        await gate.ask(Coin(101))
        await gate.ask(Push())
        gate.tell(Scrap())
        late = gate.ask(Repair())
        assert await gate.wait_stopped() == "stopped"
        with pytest.raises(ActorStopped):
            await late
        assert node.accounting().missing == 0


@virtual_time
async def test_a_row_that_is_given_up_or_refuses_does_not_change_the_state() -> None:
    """A rejection, and an asker's time-out during an async row, leave the machine where it was."""

    class Slow(StateMachine[Phase]):
        initial = Phase.LOCKED

        @on(Phase.LOCKED, to=Phase.UNLOCKED)
        async def coin(self, msg: Coin) -> int:
            await asyncio.sleep(msg.value)
            return 1

        @on(Phase.UNLOCKED, to=Phase.BROKEN)
        async def push(self, msg: Push) -> bool:
            raise Reject("never")

        @on_state_timeout(Phase.BROKEN, after_s=1, to=Phase.BROKEN)
        async def rot(self) -> None:
            await asyncio.sleep(1)

        @handler
        def tell_story(self, msg: Story) -> list[str]:
            return [self.state.name]

    async with Node() as node:
        slow = await node.spawn(Slow)
        with pytest.raises(AskTimeout):
            await slow.ask(Coin(10), timeout_s=1)
        assert await slow.ask(Story()) == ["LOCKED"]
        await slow.ask(Coin(1))
        with pytest.raises(Reject, match="never"):
            await slow.ask(Push())
        assert await slow.ask(Story()) == ["UNLOCKED"]


@virtual_time
async def test_a_failure_restarts_the_machine_in_its_first_state() -> None:
    """Timers of the failed instance are gone, and what it had postponed is handled by the next one."""

    class Brittle(StateMachine[str]):
        initial = "calm"
        states = ("calm", "busy")
        postponed: ClassVar = {"busy": [Coin]}
        timeouts = 0

        @on("calm", to="busy")
        def push(self, msg: Push) -> bool:
            return True

        @on("calm")
        def coin(self, msg: Coin) -> int:
            return msg.value

        @on("busy")
        def scrap(self, msg: Scrap) -> None:
            raise ValueError("scrapped")

        @on_state_timeout("busy", after_s=5)
        async def tired(self) -> None:
            Brittle.timeouts += 1

    async with Node() as node:
        brittle = await node.spawn(Brittle)
        await brittle.ask(Push())
        coin = brittle.ask(Coin(7))
        brittle.tell(Scrap())
        assert await coin == 7
        await asyncio.sleep(10)
        assert Brittle.timeouts == 0
        await brittle.ask(Push())
        await asyncio.sleep(20)
        assert Brittle.timeouts == 1


@virtual_time
async def test_what_cannot_be_chosen_is_said() -> None:
    """``go`` to a state that the row does not name, ``go`` in an entry, ``become``, and a start without the machine."""

    class Wrong(StateMachine[Phase]):
        initial = Phase.LOCKED
        states = (Phase.LOCKED, Phase.UNLOCKED)

        @on(Phase.LOCKED, to=Phase.UNLOCKED)
        def coin(self, msg: Coin) -> int:
            self.go(Phase.BROKEN)
            return 1

        @on(Phase.LOCKED, to=Phase.UNLOCKED)
        def push(self, msg: Push) -> bool:
            return True

        @on(Phase.LOCKED)
        def repair(self, msg: Repair) -> None:
            self.become(self.coin)

        @on_enter(Phase.UNLOCKED)
        def entered(self) -> None:
            self.go(Phase.LOCKED)

    class Forgetful(Wrong):
        def on_start(self) -> None:
            """Enter no state."""

    async with Node(supervision=OneForOne(intensity=10)) as node:
        wrong, forgetful = await node.spawn(Wrong), await node.spawn(Forgetful)
        with pytest.raises(CallerError, match=r"Wrong\.coin leads to UNLOCKED, not to <Phase\.BROKEN: 3>$"):
            await wrong.ask(Coin())
        with pytest.raises(CallerError, match=r"go\(<Phase\.LOCKED: 1>\) is for rows, not for enter and exit"):
            await wrong.ask(Push())
        with pytest.raises(CallerError, match="is a StateMachine: declare a state instead of become"):
            await wrong.ask(Repair())
        with pytest.raises(CallerError, match=r"has no state yet: on_start must call super\(\)\.on_start\(\)$"):
            await forgetful.ask(Coin())


def test_a_limit_of_nothing_is_refused() -> None:
    """``postponed_max`` is 1 or more."""
    with pytest.raises(InvalidOption, match=r"Full\.postponed_max=0 must be 1 or more"):
        type("Full", (Turnstile,), {"postponed_max": 0})


class Restored(Turnstile):
    """Starts in the state that it is given, and has states that only such a start leads to."""

    def __init__(self, phase: Phase) -> None:
        super().__init__()
        self.phase = phase

    def first_state(self) -> Phase:
        return self.phase


@virtual_time
async def test_an_instance_can_start_in_another_state() -> None:
    """Its enter action runs; a restart asks again; a state that there is not is refused at the spawn."""
    async with Node() as node:
        turnstile = await node.spawn(Restored, Phase.UNLOCKED)
        assert await turnstile.ask(Push())
        with pytest.raises(StartFailed) as caught:
            await node.spawn(Restored, cast("Phase", "ajar"))
        assert "cannot start in the state 'ajar', which does not exist; the states are: LOCKED, UNLOCKED" in str(
            caught.value.__cause__
        )
