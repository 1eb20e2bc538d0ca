"""Code of the user's that raises or never ends where the runtime calls it: it is contained, and ``kill`` works."""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import cast

import pytest

from trouper import (
    Actor,
    EventSourcedActor,
    Mailbox,
    MemoryJournal,
    Message,
    Node,
    PriorityQueue,
    StartFailed,
    applies,
    handler,
)
from trouper.testing import settle, virtual_time


class Job(Message[int]):
    n: int
    urgency: int | None = None


class Done(Message, tag="contained.done"):
    n: int


def _urgency(message: object) -> int:
    assert isinstance(message, Job)
    if message.urgency is None:
        raise ValueError("nobody said how urgent it is")
    return message.urgency


class Desk(Actor):
    mailbox = Mailbox(queue=lambda: PriorityQueue(_urgency))

    @handler
    async def job(self, msg: Job) -> int:
        await asyncio.sleep(0.01)
        return msg.n


@virtual_time
async def test_a_key_function_that_raises_loses_its_message_alone() -> None:
    """The others are handled, the next ask is answered, the books are even, and the actor can be killed."""
    async with Node() as node:
        desk = await node.spawn(Desk, name="desk")
        for n, urgency in enumerate([0, 5, 3, None, 1, 2]):
            desk.tell(Job(n, urgency))
        assert await desk.ask(Job(9, 0)) == 9
        await asyncio.sleep(1)
        books = node.accounting()
        assert (books.missing, books.in_flight, books.dead) == (0, 0, 1)
        desk.tell(Job(1, 1))
        await asyncio.wait_for(desk.kill(), 1)


class Unsure(Desk):
    """Its priorities cannot all be compared: None with none, and of pairs with an equal first part not the second."""

    mailbox = Mailbox(queue=lambda: PriorityQueue(_pair))


def _pair(message: object) -> int:
    assert isinstance(message, Job)
    pair = None if message.urgency is None else (0, message.urgency if message.n % 2 else str(message.urgency))
    return cast("int", pair)


@pytest.mark.parametrize("order", list(permutations([(0, None), (1, 2), (2, 5), (3, 1)])))
@virtual_time
async def test_priorities_that_cannot_be_compared_lose_their_messages_alone(
    order: tuple[tuple[int, int | None], ...],
) -> None:
    """A priority of None is refused in any order of arrival; each other message is handled, or a dead letter."""
    async with Node() as node:
        desk = await node.spawn(Unsure)
        for n, urgency in order:
            desk.tell(Job(n, urgency))
        await settle()
        await asyncio.sleep(1)
        books = node.accounting()
        assert (books.missing, books.in_flight) == (0, 0)
        assert books.dead in (1, 2, 3)  # None, and of the others those that were met by another kind
        assert await desk.ask(Job(7, 0)) == 7


class Broken(deque[object]):
    """A queue of the user's own that fails in what is ``fault``."""

    fault = ""

    def append(self, item: object, /) -> None:
        if self.fault == "append, half done":
            super().append(item)
        if self.fault.startswith("append,"):
            raise ValueError(self.fault)
        super().append(item)

    def appendleft(self, item: object, /) -> None:
        if self.fault == "appendleft":
            raise ValueError(self.fault)
        super().appendleft(item)

    def popleft(self) -> object:
        if self.fault == "popleft":
            raise TypeError(self.fault)
        if self.fault == "popleft, half done":
            super().popleft()
            raise TypeError(self.fault)
        if self.fault == "made up":
            return Job(99)
        if self.fault == "twice":
            return self[0]
        return super().popleft()

    def __len__(self) -> int:
        if self.fault == "len":
            raise TypeError(self.fault)
        return super().__len__()

    def __iter__(self) -> Iterator[object]:
        if self.fault == "iter":
            raise TypeError(self.fault)
        return iter([] if self.fault == "iter, empty" else list(super().__iter__()))


FAULTS = [
    "", "append, half done", "append, not done", "appendleft", "popleft", "popleft, half done", "made up", "twice",
    "len", "iter", "iter, empty", "not made",
]  # fmt: skip


def _broken() -> Broken:
    if Broken.fault == "not made":
        raise RuntimeError("no queue today")
    return Broken()


class Queued(Actor):
    """Handles jobs from a queue that may be broken."""

    mailbox = Mailbox(queue=_broken)

    @handler
    async def job(self, msg: Job) -> int:
        await asyncio.sleep(0.01)
        return msg.n


@pytest.mark.parametrize("end", ["stop", "drain", "kill"])
@pytest.mark.parametrize("fault", FAULTS)
@virtual_time
async def test_whatever_a_queue_does_its_actor_ends_and_each_message_is_counted(fault: str, end: str) -> None:
    """Of a queue that fails to give back its items, these are handled all the same; the actor can always be ended."""
    Broken.fault = fault
    async with Node() as node:
        ref = await node.spawn(Queued)
        for n in range(6):
            ref.tell(Job(n))
        await asyncio.sleep(0.025)
        await asyncio.wait_for({"stop": ref.stop, "drain": ref.drain, "kill": ref.kill}[end](), 1)
        books = node.accounting()
        assert (books.missing, books.in_flight) == (0, 0)
        handled = 0 if fault.startswith("append,") else {"drain": 6, "stop": 3, "kill": 2}[end]
        assert books.dead == 6 - handled
    Broken.fault = ""


class Account(EventSourcedActor):
    @handler
    async def job(self, msg: Job) -> int:
        await self.persist(Done(msg.n))
        return msg.n

    @applies
    def done(self, event: Done) -> None:
        if event.n < 0:
            raise ValueError("an event that cannot be")


class Strange(MemoryJournal):
    """A journal of the user's own: it raises anything, or does not answer."""

    mode = ""

    async def _do(self) -> None:
        if self.mode == "raise":
            raise ZeroDivisionError("a defect of the journal")
        if self.mode == "hang":
            await asyncio.Event().wait()

    async def claim(self, stream: str) -> int:
        await self._do()
        return await super().claim(stream)

    async def append(
        self, stream: str, records: Sequence[bytes], expected_sequence: int | None = None, *, epoch: int | None = None
    ) -> int:
        await self._do()
        return await super().append(stream, records, expected_sequence, epoch=epoch)


@virtual_time
async def test_a_journal_that_raises_fails_its_actor_alone() -> None:
    """In the start and in ``persist``; the actor recovers once the journal works again."""
    journal = Strange()
    async with Node(journal=journal) as node:
        journal.mode = "raise"
        with pytest.raises(StartFailed, match="a defect of the journal"):
            await node.spawn(Account, name="a")
        journal.mode = ""
        account = await node.spawn(Account, name="a")
        journal.mode = "raise"
        with pytest.raises(ZeroDivisionError):
            await account.ask(Job(1))
        journal.mode = ""
        await asyncio.sleep(10)
        assert await account.ask(Job(2)) == 2
        assert node.accounting().missing == 0


@virtual_time
async def test_an_actor_whose_journal_never_answers_can_be_killed() -> None:
    """In ``persist``, and in the start, which ends with its node."""
    journal = Strange()
    async with Node(journal=journal, shutdown_s=2.0) as node:
        account = await node.spawn(Account, name="a")
        journal.mode = "hang"
        account.tell(Job(1))
        await asyncio.sleep(0.1)
        await asyncio.wait_for(account.kill(), 1)
        starting = asyncio.ensure_future(node.spawn(Account, name="b"))
        await asyncio.sleep(0.1)
    with pytest.raises(Exception, match=r"."):
        await starting


@virtual_time
async def test_an_applies_method_that_raises_fails_its_actor() -> None:
    """Its event is in the journal, so that each next start fails, too, and says where."""
    journal = MemoryJournal()
    async with Node(journal=journal) as node:
        account = await node.spawn(Account, name="a")
        with pytest.raises(ValueError, match="an event that cannot be"):
            await account.ask(Job(-1))
        await account.kill()
    async with Node(journal=journal) as node:
        with pytest.raises(StartFailed, match="an event that cannot be"):
            await node.spawn(Account, name="a")
