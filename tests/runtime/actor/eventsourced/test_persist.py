"""An event-sourced actor is, after any end, what its events add up to."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper import ActorRef, ActorStopped, AskTimeout, Message, Node, Reject, handler
from trouper.runtime.actor.eventsourced.actor import EventSourcedActor, applies
from trouper.runtime.journal import (
    FileJournal,
    Journal,
    JournalError,
    JournalFailed,
    MemoryJournal,
    Record,
    SimulatedDisk,
    StaleWriter,
)
from trouper.testing import run_virtual, virtual_time


class Deposited(Message, tag="test.deposited"):
    cents: int


class Withdrawn(Message, tag="test.withdrawn"):
    cents: int


class Deposit(Message[int]):
    cents: int
    fail_after: bool = False


class Transfer(Message[int]):
    """Withdraw and deposit in one step."""

    out: int
    back: int


class Balance(Message[int]):
    """The reply is the balance."""


class KeepNow(Message):
    """Keep a snapshot on demand."""


class Money(msgspec.Struct):
    cents: int = 0
    moves: int = 0


class Account(EventSourcedActor[Money]):
    snapshot_every = 4

    @handler
    async def deposit(self, msg: Deposit) -> int:
        if msg.cents <= 0:
            raise Reject("nothing to deposit")
        await self.persist(Deposited(msg.cents))
        if msg.fail_after:
            raise RuntimeError("between persist and reply")
        return self.state.cents

    @handler
    async def transfer(self, msg: Transfer) -> int:
        await self.persist(Withdrawn(msg.out), Deposited(msg.back))
        return self.state.cents

    @handler
    def balance(self, msg: Balance) -> int:
        return self.state.cents

    @handler
    async def keep_now(self, msg: KeepNow) -> None:
        await self.save_snapshot()

    @applies
    def deposited(self, event: Deposited) -> None:
        self.state.cents += event.cents
        self.state.moves += 1

    @applies
    def withdrawn(self, event: Withdrawn) -> Money:
        return Money(self.state.cents - event.cents, self.state.moves + 1)


class Thrifty(Account):
    snapshot_every = 3
    keep_events = False


class GatedJournal(MemoryJournal):
    """Appends wait at a gate, and fail with what is set; how many records were read is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.keeps_what_fails = False
        self.records_read = 0

    async def append(
        self,
        stream: str,
        records: Sequence[bytes],
        expected_sequence: int | None = None,
        *,
        epoch: int | None = None,
    ) -> int:
        """Append when the gate is open."""
        await self.gate.wait()
        if self.error is not None:
            if self.keeps_what_fails:
                await super().append(stream, records, expected_sequence, epoch=epoch)
            raise self.error
        return await super().append(stream, records, expected_sequence, epoch=epoch)

    async def read(self, stream: str, from_sequence: int = 0) -> AsyncIterator[Record]:
        """Count what is read."""
        async for record in super().read(stream, from_sequence):
            self.records_read += 1
            yield record


async def start_account(node: Node, kind: type[Account] = Account) -> ActorRef:
    """Start the account of ada."""
    return await node.spawn(kind, name="ada")


async def balance_in_a_new_node(journal: Journal, kind: type[Account] = Account) -> int:
    """Let another node recover the account of ada."""
    async with Node(journal=journal) as node:
        return await (await start_account(node, kind)).ask(Balance())


@virtual_time
async def test_the_state_survives_the_node() -> None:
    """Each node that is given the journal goes on where the one before it ended."""
    journal = MemoryJournal()
    for life in range(5):
        async with Node(journal=journal) as node:
            account = await start_account(node)
            assert await account.ask(Balance()) == life * 3
            assert await account.ask(Deposit(1)) == life * 3 + 1
            assert await account.ask(Transfer(5, 7)) == life * 3 + 3
    assert [record.sequence async for record in journal.read("user/ada")] == list(range(1, 16))


@given(
    steps=st.lists(
        st.one_of(
            st.builds(Deposit, cents=st.integers(-2, 50), fail_after=st.booleans()),
            st.builds(Transfer, out=st.integers(0, 9), back=st.integers(0, 9)),
            st.just(KeepNow()),
            st.sampled_from(["new node", "kill"]),
        ),
        max_size=25,
    ),
    kind=st.sampled_from([Account, Thrifty]),
    on_disk=st.booleans(),
)
def test_whatever_happens_the_state_is_the_sum_of_the_events(
    steps: list[Message[object] | str], kind: type[Account], on_disk: bool
) -> None:
    """Rejections, crashes after a persist, snapshots, kills and new nodes: the balance is a plain fold, always."""

    async def main() -> None:
        journal: Journal = FileJournal("j", disk=SimulatedDisk(), segment_bytes=200) if on_disk else MemoryJournal()
        expected, left = 0, list(steps)
        while True:
            async with Node(journal=journal) as node:
                account = await start_account(node, kind)
                assert await account.ask(Balance()) == expected
                while left and (step := left.pop(0)) != "new node":
                    if isinstance(step, str):
                        await account.kill()
                        account = await start_account(node, kind)
                    else:
                        await asyncio.gather(account.ask(step), return_exceptions=True)
                        expected += _effect(step)
                        await asyncio.sleep(
                            10
                        )  # the restarts of more than three failures in five seconds would escalate
                    assert await account.ask(Balance()) == expected
            if not left:
                return

    run_virtual(main)


def _effect(step: Message[object]) -> int:
    if isinstance(step, Deposit):
        return max(step.cents, 0)
    return step.back - step.out if isinstance(step, Transfer) else 0


@given(crash_at=st.integers(1, 60), seed=st.integers(0, 1 << 32), burst=st.integers(1, 4))
def test_every_reply_is_true_after_the_machine_has_crashed(crash_at: int, seed: int, burst: int) -> None:
    """What an asker was told before the crash is in the balance after it; what was being persisted may be."""

    async def main() -> None:
        disk = SimulatedDisk(crash_at=crash_at)
        told = asked = 0
        try:
            async with Node(journal=FileJournal("j", disk=disk, segment_bytes=100)) as node:
                account = await start_account(node)
                for _ in range(10):
                    asks = [account.ask(Deposit(1)) for _ in range(burst)]
                    asked += burst
                    replies = await asyncio.gather(*asks, return_exceptions=True)
                    told = max([told, *(reply for reply in replies if isinstance(reply, int))])
        except (Exception, asyncio.CancelledError):  # noqa: BLE001  the machine went down, and takes down what it will
            assert disk.down
        disk.crash(Random(seed))
        assert told <= await balance_in_a_new_node(FileJournal("j", disk=disk)) <= asked

    run_virtual(main)


@virtual_time
async def test_an_event_that_was_kept_is_there_though_its_handler_failed_later() -> None:
    """A crash between persist and reply fails the ask; the restarted actor has applied the event."""
    async with Node() as node:
        account = await start_account(node)
        with pytest.raises(RuntimeError, match="between persist and reply"):
            await account.ask(Deposit(5, fail_after=True))
        assert await account.ask(Balance()) == 5


@pytest.mark.parametrize("kept", [False, True])
@virtual_time
async def test_when_a_persist_fails_nothing_is_applied_and_the_actor_recovers(kept: bool) -> None:
    """The asker hears the journal's error; the restarted actor has what the journal has, whichever that is."""
    journal = GatedJournal()
    async with Node(journal=journal) as node:
        account = await start_account(node)
        await account.ask(Deposit(1))
        journal.error, journal.keeps_what_fails = JournalFailed("the disk is full"), kept
        with pytest.raises(JournalFailed, match=r"^the disk is full$"):
            await account.ask(Deposit(10))
        journal.error = None
        assert await account.ask(Balance()) == (11 if kept else 1)
        assert await account.ask(Deposit(100)) == (111 if kept else 101)
        assert node.accounting().missing == 0


@virtual_time
async def test_a_handler_that_catches_the_failure_of_a_persist_does_not_hide_it() -> None:
    """The actor is restarted all the same: only a recovery shows what is in the journal."""

    class Careless(Account):
        starts = 0

        async def on_start(self) -> None:
            await super().on_start()
            Careless.starts += 1

        @handler
        async def deposit(self, msg: Deposit) -> int:
            try:
                await self.persist(Deposited(msg.cents))
            except JournalError:
                return -1
            return self.state.cents

    journal = GatedJournal()
    async with Node(journal=journal) as node:
        account = await start_account(node, Careless)
        journal.error = JournalFailed("no")
        assert await account.ask(Deposit(1)) == -1
        journal.error = None
        assert await account.ask(Deposit(2)) == 2
        assert Careless.starts == 2


@virtual_time
async def test_no_message_is_handled_while_a_persist_is_under_way() -> None:
    """A question that is asked meanwhile is answered after the event was applied."""
    journal = GatedJournal()
    async with Node(journal=journal) as node:
        account = await start_account(node)
        journal.gate.clear()
        deposit, question = account.ask(Deposit(5)), account.ask(Balance())
        await asyncio.sleep(1)
        assert not question.done()
        journal.gate.set()
        assert (await deposit, await question) == (5, 5)


@virtual_time
async def test_an_asker_that_gives_up_during_a_persist_does_not_tear_state_and_journal_apart() -> None:
    """The event is kept and applied, then the handler is cancelled; the actor goes on without a restart."""
    journal = GatedJournal()
    async with Node(journal=journal) as node:
        account = await start_account(node)
        journal.gate.clear()
        with pytest.raises(AskTimeout):
            await account.ask(Deposit(5), timeout_s=1)
        journal.gate.set()
        assert await account.ask(Balance()) == 5
        assert await account.ask(Deposit(1)) == 6
        assert node.accounting().missing == 0
    assert await balance_in_a_new_node(journal) == 6


@virtual_time
async def test_an_actor_that_is_killed_during_a_persist_is_found_by_the_next_one_as_the_journal_says() -> None:
    """A kill does not wait for the journal; the event that arrives there later is in the next recovery."""
    journal = GatedJournal()
    async with Node(journal=journal) as node:
        account = await start_account(node)
        journal.gate.clear()
        deposit = account.ask(Deposit(5))
        await asyncio.sleep(0.1)
        await account.kill()
        with pytest.raises(ActorStopped, match="ended"):
            await deposit
        journal.gate.set()
        await asyncio.sleep(0.1)
        assert await (await start_account(node)).ask(Balance()) == 5


@virtual_time
async def test_two_actors_on_one_stream_find_out() -> None:
    """The earlier writer fails, with an error that says why, and has recovered what the other one wrote."""

    class Anywhere(Account):
        @property
        def persistence_id(self) -> str:
            return "shared"

    async with Node() as node:
        first, second = await node.spawn(Anywhere), await node.spawn(Anywhere)
        await second.ask(Deposit(1))
        with pytest.raises(
            StaleWriter, match=r"^stream 'shared' has been claimed by another writer, or its journal was"
        ):
            await first.ask(Deposit(10))
        assert await first.ask(Deposit(100)) == 101
        with pytest.raises(StaleWriter):
            await second.ask(Deposit(1))
