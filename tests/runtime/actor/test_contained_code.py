"""Code of the user's that raises or never ends where the runtime calls it: it is contained, and ``kill`` works."""

import asyncio
from collections.abc import Sequence

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
from trouper.testing import virtual_time


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
