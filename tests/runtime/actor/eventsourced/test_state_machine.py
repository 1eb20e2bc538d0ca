"""A state machine whose state and data are recovered from its events."""

import asyncio
from enum import Enum, auto

import msgspec
import pytest

from trouper import (
    CallerError,
    EventSourcedActor,
    EventSourcedStateMachine,
    EventUnreadable,
    FileJournal,
    InvalidHandler,
    Journal,
    MemoryJournal,
    Message,
    Node,
    Reject,
    StartFailed,
    StateMachine,
    applies,
    handler,
    on,
    on_enter,
    on_state_timeout,
)
from trouper.runtime.journal import SimulatedDisk
from trouper.testing import virtual_time


class Phase(Enum):
    """The states of an order."""

    OPEN = auto()
    PAID = auto()
    SHIPPED = auto()
    CANCELLED = auto()


class Pay(Message[str]):
    cents: int
    fail: str = ""


class Ship(Message[str]):
    """Goes on without an event of its own."""


class Look(Message[tuple[str, int]]):
    """The reply is state and data."""


class Paid(Message, tag="order.paid"):
    cents: int


class Basket(msgspec.Struct):
    cents: int = 0


class Order(EventSourcedStateMachine[Phase, Basket]):
    initial = Phase.OPEN

    def __init__(self) -> None:
        self.entered: list[Phase] = []

    @on(Phase.OPEN, to=Phase.PAID)
    async def pay(self, msg: Pay) -> str:
        if msg.fail == "before":
            raise Reject("not now")
        await self.persist(Paid(msg.cents))
        if msg.fail == "after":
            raise Reject("too late")
        if msg.fail == "error":
            raise ValueError("a defect")
        if msg.fail == "slow":
            await asyncio.sleep(10)
        return f"{self.state.name} still"

    @on(Phase.PAID, to=(Phase.SHIPPED, Phase.CANCELLED))
    def ship(self, msg: Ship) -> str:
        self.go(Phase.SHIPPED)
        return "on its way"

    @on_state_timeout(Phase.SHIPPED, after_s=60.0, to=Phase.CANCELLED)
    def too_late(self) -> None:
        """It has been away for too long."""

    @on_enter(Phase.PAID, Phase.SHIPPED)
    def note(self) -> None:
        self.entered.append(self.state)

    @handler
    def look(self, msg: Look) -> tuple[str, int]:
        return self.state.name, self.data.cents

    @applies
    def paid(self, event: Paid) -> None:
        self.data.cents += event.cents


class OftenKept(Order):
    snapshot_every = 1
    keep_events = False


@pytest.mark.parametrize("order", [Order, OftenKept])
@virtual_time
async def test_state_and_data_are_recovered(order: type[Order]) -> None:
    """After each step a new node finds the machine where it was; its row's events and the change are one append."""
    journal = MemoryJournal()
    async with Node(journal=journal) as node:
        ref = await node.spawn(order, name="o")
        assert await ref.ask(Look()) == ("OPEN", 0)
        assert await ref.ask(Pay(70)) == "OPEN still"
        assert await ref.ask(Look()) == ("PAID", 70)
    assert await journal.last_sequence("user/o") == 2
    async with Node(journal=journal) as node:
        ref = await node.spawn(order, name="o")
        assert await ref.ask(Look()) == ("PAID", 70)
        assert await ref.ask(Ship()) == "on its way"
    async with Node(journal=journal) as node:
        ref = await node.spawn(order, name="o")
        assert await ref.ask(Look()) == ("SHIPPED", 70)
        await asyncio.sleep(61)
        assert await ref.ask(Look()) == ("CANCELLED", 70)
    async with Node(journal=journal) as node:
        assert await (await node.spawn(order, name="o")).ask(Look()) == ("CANCELLED", 70)


@pytest.mark.parametrize("fail", ["before", "after", "error", "slow"])
@virtual_time
async def test_what_is_written_is_made_and_what_is_not_is_not(fail: str) -> None:
    """A refusal before the event changes nothing; after it the change of state is made, here and in the journal."""
    journal = MemoryJournal()
    async with Node(journal=journal) as node:
        ref = await node.spawn(Order, name="o")
        with pytest.raises((Reject, ValueError, TimeoutError)):
            await ref.ask(Pay(70, fail), 1.0)
        expected = ("OPEN", 0) if fail == "before" else ("PAID", 70)
        assert await ref.ask(Look()) == expected
    async with Node(journal=journal) as node:
        assert await (await node.spawn(Order, name="o")).ask(Look()) == expected


@virtual_time
async def test_a_change_that_the_disk_refuses_is_not_made() -> None:
    """The machine fails, and recovers in the state before."""
    disk = SimulatedDisk()
    async with Node(journal=FileJournal("j", disk=disk)) as node:
        ref = await node.spawn(Order, name="o")
        assert await ref.ask(Pay(70)) == "OPEN still"

        def fault(operation: str, path: object) -> None:
            if operation == "append":
                raise OSError(28, f"no space left for {path}")

        disk.fault = fault
        with pytest.raises(Exception, match="no space left"):
            await ref.ask(Ship())
        disk.fault = None
        assert await ref.ask(Look()) == ("PAID", 70)
        assert await ref.ask(Ship()) == "on its way"


class Wrong(EventSourcedStateMachine[str]):
    """Has no data, and another set of states than ``Right``."""

    initial = "a"
    states = ("a", "b")

    @on("a", to=("b",))
    async def ship(self, msg: Ship) -> str:
        return "b"


class Chooses(EventSourcedStateMachine[str]):
    initial = "a"
    states = ("a", "b", "c")

    @on("a", to=("b", "c"))
    async def pay(self, msg: Pay) -> str:
        self.go("b")
        await self.persist(Paid(msg.cents))
        self.go("c")
        return "c"

    @applies
    def paid(self, event: Paid) -> None:
        """It has no data."""


async def _start(journal: Journal, machine: type[EventSourcedStateMachine[str]]) -> None:
    async with Node(journal=journal) as node:
        await node.spawn(machine, name="o")


@virtual_time
async def test_a_state_that_is_gone_from_the_class_is_an_error_with_the_cure() -> None:
    """It is not taken for another one."""
    journal = MemoryJournal()
    async with Node(journal=journal) as node:
        assert await (await node.spawn(Wrong, name="o")).ask(Ship()) == "b"

    class Fewer(EventSourcedStateMachine[str]):
        initial = "a"
        states = ("a",)

    with pytest.raises(StartFailed) as caught:
        await _start(journal, Fewer)
    assert isinstance(caught.value.__cause__, EventUnreadable)
    assert "leads to the state 'b', which" in str(caught.value.__cause__)
    assert "@upcasts('trouper.fsm.StateEntered')" in str(caught.value.__cause__)


@virtual_time
async def test_the_next_state_cannot_be_chosen_again_once_it_is_written() -> None:
    """The second ``go`` is an error, which fails the actor as any error does."""
    async with Node() as node:
        ref = await node.spawn(Chooses, name="o")
        with pytest.raises(CallerError, match=r"go\('c'\) comes after persist\(\), which wrote the next state"):
            await ref.ask(Pay(1))


def test_the_two_bases_are_not_mixed_by_hand() -> None:
    """Both would have ``state``: the error names the class to use."""
    with pytest.raises(InvalidHandler, match=r"write `class Mixed\(EventSourcedStateMachine\[States, Data\]\)`"):

        class Mixed(StateMachine[str], EventSourcedActor[Basket]):  # type: ignore[misc]  # pyright: ignore[reportIncompatibleVariableOverride, reportUnusedClass, reportIncompatibleMethodOverride]  it is wrong on purpose
            initial = "a"
            states = ("a",)
