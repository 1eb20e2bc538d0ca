"""What an actor sends to itself is handled, whatever others send it; and a long mailbox is warned of."""

import asyncio
import logging

import pytest

from trouper import Actor, ActorRef, AskTimeout, CoalescingQueue, Mailbox, MailboxFull, Message, Node, handler
from trouper.runtime.kernel.mailbox import Policy
from trouper.testing import virtual_time

POLICIES: list[Policy] = ["drop_newest", "drop_oldest", "raise_full", "coalesce"]


class Flood(Message):
    pass


class Tick(Message):
    pass


class Piped(Message):
    pass


class Later(Message[str]):
    """Is put into the stash until the actor is told to take it."""

    by: str = ""


class Take(Message):
    """Take what is in the stash."""


class Taken(Message[list[str]]):
    """The reply is what was taken from the stash."""


class Busy(Actor):
    """Has a timer, a chain of ``pipe_to_self``, and a stash; each message of the flood takes a while."""

    def on_start(self) -> None:
        """Begin the timer and the chain."""
        self.ticks, self.piped, self.taken, self.taking = 0, 0, list[str](), False
        self.timers.every("tick", 0.01, Tick())
        self.again()

    def again(self) -> None:
        """Go on with the chain."""
        self.pipe_to_self(asyncio.sleep(0.01), lambda _: Piped())

    @handler
    async def flood(self, msg: Flood) -> None:
        await asyncio.sleep(0.002)

    @handler
    def tick(self, msg: Tick) -> None:
        self.ticks += 1

    @handler
    def pipe(self, msg: Piped) -> None:
        self.piped += 1
        self.again()

    @handler
    def later(self, msg: Later) -> str:
        if self.taking:
            self.taken.append(msg.by)
        else:
            self.stash(msg)
        return msg.by

    @handler
    def tell_taken(self, msg: Taken) -> list[str]:
        return self.taken

    @handler
    def take(self, msg: Take) -> None:
        self.taking = True
        self.unstash_all()


def _busy(policy: Policy) -> type[Busy]:
    queue = (lambda: CoalescingQueue(type)) if policy == "coalesce" else None

    class Small(Busy):
        mailbox = Mailbox(high_water=1, limit=5, when_full=policy, queue=queue)

    return Small


def _send(ref: ActorRef, message: Message[object]) -> None:
    try:
        ref.tell(message)
    except MailboxFull:
        pass


def _counts(node: Node, busy: ActorRef) -> tuple[int, int]:
    """Return how many ticks and how many results were handled."""
    fields = node.introspection.get_state(busy).fields
    return int(fields["ticks"]), int(fields["piped"])


@pytest.mark.parametrize("policy", POLICIES)
@virtual_time
async def test_no_policy_drops_what_an_actor_sends_itself(policy: Policy) -> None:
    """Through a flood the timer and the chain go on, and the stash comes back whole; only the flood has losses."""
    async with Node() as node:
        busy = await node.spawn(_busy(policy))
        asked = [busy.ask(Later(str(number)), 60.0) for number in range(4)]
        await asyncio.sleep(0.02)
        for _ in range(4):
            busy.tell(Later("told"))
        await asyncio.sleep(0.02)
        for round_ in range(100):
            for _ in range(10):
                _send(busy, Flood())
            if round_ == 50:
                _send(busy, Take())
            await asyncio.sleep(0.005)
        assert min(_counts(node, busy)) > 10
        assert node.dead_letters.counts.keys() <= {"mailbox_full", "coalesced"}
        assert {type(letter.message) for letter in node.dead_letters.recent} <= {Flood, Take}
        await asyncio.sleep(0.5)
        busy.tell(Take())
        await asyncio.sleep(1)
        assert await asyncio.gather(*asked) == ["0", "1", "2", "3"]
        assert await busy.ask(Taken(), 60.0) == ["0", "1", "2", "3", *["told"] * 4]
        before = _counts(node, busy)
        await asyncio.sleep(0.5)
        after = _counts(node, busy)
        assert min(after[0] - before[0], after[1] - before[1]) >= 40
        assert node.accounting().missing == 0


@virtual_time
async def test_a_mailbox_of_own_messages_alone_drops_the_newcomer() -> None:
    """With ``drop_oldest`` and nothing of others that waits, the message of the other is what is dropped."""

    class Stuck(Busy):
        mailbox = Mailbox(high_water=1, limit=2, when_full="drop_oldest")

        @handler
        async def flood(self, msg: Flood) -> None:
            await asyncio.sleep(1)

    async with Node() as node:
        stuck = await node.spawn(Stuck)
        for _ in range(2):
            stuck.tell(Later("own"))
        await asyncio.sleep(0.001)
        stuck.tell(Take())
        stuck.tell(Flood())
        await asyncio.sleep(0.1)
        with pytest.raises((MailboxFull, AskTimeout)):
            await stuck.ask(Later("other"), 0.5)
        await asyncio.sleep(2)
        assert node.introspection.get_state(stuck).fields["taken"] == str(["own", "own"])


class Idle(Actor):
    mailbox = Mailbox(high_water=10, limit=2_000)

    @handler
    async def flood(self, msg: Flood) -> None:
        await asyncio.sleep(10)


class Sender(Actor):
    @handler
    def take(self, msg: Take) -> None:
        idle = self.node.find("user/idle")
        assert idle is not None
        for _ in range(500):
            idle.tell(Flood())


@virtual_time
async def test_a_tenth_of_the_limit_is_warned_of_with_both_names(caplog: pytest.LogCaptureFixture) -> None:
    """Once a minute for each actor; the sender is an actor, or what is not one."""
    async with Node() as node:
        await node.spawn(Idle, name="idle")
        sender = await node.spawn(Sender, name="sender")
        with caplog.at_level(logging.WARNING):
            sender.tell(Take())
            await asyncio.sleep(1)
        (warning,) = caplog.messages
        assert warning.startswith("trouper://local/user/idle#")
        assert (
            " has 200 messages queued, a tenth of its limit of 2000; the last came from trouper://local/user/s"
            in warning
        )
        idle = await node.spawn(Idle, name="idle-2")
        for _ in range(300):
            idle.tell(Flood())
        assert "the last came from outside of the actors of this node: await tell()" in caplog.messages[1]
        assert len(caplog.messages) == 2


@virtual_time
async def test_a_small_mailbox_has_no_early_warning(caplog: pytest.LogCaptureFixture) -> None:
    """A limit below 1,000 is a choice: the first warning is that of a dropped message."""

    class Small(Idle):
        mailbox = Mailbox(high_water=10, limit=999)

    async with Node() as node:
        small = await node.spawn(Small)
        for _ in range(900):
            small.tell(Flood())
        assert caplog.messages == []
