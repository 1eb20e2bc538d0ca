import asyncio

import pytest

from trouper import Actor, ActorStopped, CallerError, Down, Message, Node, Reject, WrongReply, handler
from trouper.testing import Probe, ProbeFailed, settle, virtual_time


class Number(Message[int]):
    n: int


class Word(Message):
    text: str


class Sleepy(Actor):
    def on_start(self) -> None:
        self.timers.once("end", 5.0, Word("end"))

    @handler
    def word(self, msg: Word) -> None:
        raise RuntimeError(msg.text)


@virtual_time
async def test_a_probe_returns_what_it_expects() -> None:
    """A message is expected by its type or by its value, in order of arrival, and comes back typed."""
    async with Node() as node:
        probe = Probe(node, "probe")
        probe.tell(probe.ref, Number(1))
        probe.ref.tell(Word("a"))
        got = await probe.expect(Number)
        assert got.n == 1
        assert await probe.expect(Word("a")) == Word("a")
        assert probe.received == (Number(1), Word("a"))


@virtual_time
async def test_a_probe_waits_for_what_it_expects() -> None:
    """An expectation waits until its time is over, by the loop's clock."""
    async with Node() as node:
        probe = Probe(node)
        loop = asyncio.get_running_loop()
        loop.call_later(10, probe.ref.tell, Number(1))
        begin = loop.time()
        assert (await probe.expect(Number, within_s=20)).n == 1
        assert loop.time() - begin == 10
        with pytest.raises(ProbeFailed, match=r"^<trouper://.*#4> expected Word within 3 s, but nothing came\n"):
            await probe.expect(Word)


@virtual_time
async def test_a_probe_tells_what_came_instead() -> None:
    """Another message than expected fails at once, and the failure shows both and the history."""
    async with Node() as node:
        probe = Probe(node, "probe")
        probe.ref.tell(Word("a"))
        probe.ref.tell(Number(2))
        with pytest.raises(ProbeFailed) as caught:
            await probe.expect(Number(1))
        await settle()
        assert str(caught.value).splitlines()[0].endswith("expected Number(n=1), but got Word(text='a')")
        with pytest.raises(ProbeFailed) as caught:
            await probe.expect(Number(1))
        assert str(caught.value) == (
            "<trouper://local/user/probe#4> expected Number(n=1), but got Number(n=2)\n"
            "received so far: 2\n  Word(text='a')\n  Number(n=2)"
        )


@virtual_time
async def test_failures_are_bounded() -> None:
    """However much a probe has got, a failure shows the end of it, and of each message a part."""
    async with Node() as node:
        probe = Probe(node)
        for number in range(100):
            probe.ref.tell(Word(f"{number}" * 100_000))
        await settle()
        with pytest.raises(ProbeFailed, match=r"received so far: 100, the last 20\n") as caught:
            await probe.expect(Number)
        assert len(str(caught.value)) < 10_000


@virtual_time
async def test_expectations_in_any_order() -> None:
    """Several messages may come in any order; an equal one is preferred to one of the type."""
    async with Node() as node:
        probe = Probe(node)
        for message in (Word("a"), Number(2), Number(1)):
            probe.ref.tell(message)
        assert await probe.expect_all(Number, Number(2), Word) == (Number(1), Number(2), Word("a"))
        probe.ref.tell(Word("b"))
        with pytest.raises(ProbeFailed, match=r"expected Number, Number\(n=2\), in any order, but got Word"):
            await probe.expect_all(Number, Number(2))
        probe.ref.tell(Number(3))
        with pytest.raises(ProbeFailed, match=r"expected Number\(n=2\) within 3 s, but nothing more came\n"):
            await probe.expect_all(Number, Number(2))


@virtual_time
async def test_expecting_nothing() -> None:
    """`expect_no` takes its whole time when nothing comes, and fails as soon as something does."""
    async with Node() as node:
        probe = Probe(node)
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await probe.expect_no(within_s=2)
        assert loop.time() - begin == 2
        loop.call_later(1, probe.ref.tell, Word("a"))
        with pytest.raises(ProbeFailed, match=r"expected no message within 2 s, but got Word\(text='a'\)\n"):
            await probe.expect_no(within_s=2)
        assert loop.time() - begin == 3


@virtual_time
async def test_ignored_messages_are_kept_but_not_expected() -> None:
    """Messages of an ignored type are in the history and nowhere else."""
    async with Node() as node:
        probe = Probe(node)
        probe.ignore(Word)
        probe.ref.tell(Word("noise"))
        probe.ref.tell(Number(1))
        await probe.expect(Number)
        await probe.expect_no()
        assert probe.received == (Word("noise"), Number(1))


@virtual_time
async def test_a_probe_sees_the_end_of_an_actor() -> None:
    """A watched actor's `Down` is expected apart from messages, with or without its reason."""
    async with Node() as node:
        probe = Probe(node)
        one, two = await node.spawn(Sleepy, restart="temporary"), await node.spawn(Sleepy)
        probe.watch(one)
        probe.watch(two)
        two.stop()
        down = await probe.expect_down(one, "failed", within_s=10)
        assert down.error == "RuntimeError: end"
        with pytest.raises(ProbeFailed, match=r"expected <.*> to end with reason 'killed', but it was Down\(ref=<"):
            await probe.expect_down(two, "killed")
        with pytest.raises(ProbeFailed, match=r"expected <.*> to end within 3 s, but it did not\n"):
            await probe.expect_down(two)
        await probe.expect_no()


@virtual_time
async def test_the_end_of_an_actor_is_expected_where_it_belongs() -> None:
    """An actor that is not watched, and a `Down` among messages, are errors of the test."""
    async with Node() as node:
        probe = Probe(node)
        with pytest.raises(CallerError, match=r"^expect_down\(<.*>\): it is not watched; call probe\.watch"):
            await probe.expect_down(probe.ref)
        with pytest.raises(CallerError, match=r"^a Down has no order with messages: use expect_down$"):
            await probe.expect(Down)


@virtual_time
async def test_a_probe_replies_to_the_last_ask() -> None:
    """An ask stays open until the test replies, whether the probe was idle or busy when it came."""
    async with Node() as node:
        probe = Probe(node)
        first, second = probe.ref.ask(Number(1)), probe.ref.ask(Number(2))
        await probe.expect(Number(1))
        probe.reply(10)
        assert await first == 10
        await probe.expect(Number(2))
        probe.refuse(Reject("no"))
        with pytest.raises(Reject, match=r"^no$"):
            await second
        assert node.accounting().missing == 0


@virtual_time
async def test_a_reply_has_to_fit() -> None:
    """A value that the message does not promise, a second reply and a reply to nothing are errors of the test."""
    async with Node() as node:
        probe = Probe(node, "probe")
        with pytest.raises(CallerError, match=r"has nothing to answer: nothing was expected yet$"):
            probe.reply(1)
        probe.ref.tell(Word("a"))
        await probe.expect(Word)
        with pytest.raises(CallerError, match=r"has nothing to answer: Word\(text='a'\) was told, not asked$"):
            probe.reply(1)
        ask = probe.ref.ask(Number(1))
        await probe.expect(Number)
        with pytest.raises(WrongReply, match=r"returned a str, but the reply to Number is int"):
            probe.reply("one")
        probe.reply(1)
        with pytest.raises(CallerError, match=r"has answered Number\(n=1\) already$"):
            probe.reply(1)
        assert await ask == 1


@virtual_time
async def test_a_probe_that_ends_refuses_what_it_owes() -> None:
    """An asker does not wait for its time-out when the probe has ended."""
    async with Node() as node:
        probe = Probe(node)
        ask = probe.ref.ask(Number(1))
        await probe.ref.stop()
        with pytest.raises(ActorStopped):
            await ask


@virtual_time
async def test_durations_are_asserted() -> None:
    """What is inside `within` takes at most and at least as long as it says."""
    async with Node() as node:
        probe = Probe(node)
        async with probe.within(10, least_s=5):
            await asyncio.sleep(5)
        with pytest.raises(ProbeFailed, match=r"expected it to take 5 s at least, but it took 1 s\n"):
            async with probe.within(10, least_s=5):
                await asyncio.sleep(1)
        with pytest.raises(ProbeFailed, match=r"expected an end within 10 s\n"):
            async with probe.within(10):
                await asyncio.sleep(11)
        with pytest.raises(TimeoutError, match=r"^mine$"):
            async with probe.within(10):
                raise TimeoutError("mine")
