"""Law 9: actors spawned at the node restart with a back-off and never end it; ``resume`` keeps the instance."""

import asyncio
import itertools
import logging

import pytest

from tests.runtime.stage import Double, Fail, Note, Notes, Performer, Story, letters_of, play_on, staged
from trouper import Actor, Backoff, InvalidOption, Message, Node, NodeFailed, OneForOne, Reject, handler
from trouper.runtime.kernel.supervision import ChildEnded, SupervisorState


class Starting(Performer):
    """Notes the time of each start."""

    def on_start(self) -> None:
        self.story.append(asyncio.get_running_loop().time())


def pauses(story: Story) -> list[float]:
    """The seconds between the starts."""
    times = [time for time in story if isinstance(time, float)]
    return [after - before for before, after in itertools.pairwise(times)]


def test_law_09_an_actor_of_the_node_restarts_with_a_back_off_for_ever() -> None:
    """At once, then after 0.1 s, doubled at each failure up to 5 s (20 % more or less); the node goes on."""
    story = Story()

    class Doomed(Starting):
        def on_start(self) -> None:
            super().on_start()
            if len(story) > 1:
                raise ValueError("again")

    async def scene(node: Node) -> None:
        (await node.spawn(Doomed, story)).tell(Fail())
        await asyncio.sleep(600.0)

    play_on(Node(), scene)
    waited = pauses(story)
    assert waited[0] == 0.0
    for pause, wanted in zip(waited[1:], (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0), strict=False):
        assert 0.79 * wanted <= pause <= 1.21 * wanted
    assert len(waited) > 100


@staged
async def test_four_bad_requests_leave_a_server_that_answers(node: Node) -> None:
    """Each asker gets the exception of its request; the next request is answered (a web server's case)."""
    ref = await node.spawn(Performer)
    for _ in range(20):
        with pytest.raises(ValueError, match="boom"):
            await ref.ask(Fail(), timeout_s=60.0)
    assert await ref.ask(Double(2), timeout_s=60.0) == 4


@staged
async def test_the_failures_of_one_actor_do_not_delay_the_restart_of_another(node: Node) -> None:
    """Each is counted for itself."""
    story, bad, good = Story(), await node.spawn(Performer), Story()
    other = await node.spawn(Starting, good)
    for _ in range(6):
        bad.tell(Fail())
    await asyncio.sleep(1.0)
    other.tell(Fail())
    await asyncio.sleep(0.0)
    assert await other.ask(Double(1)) == 2
    assert len(good) == 2
    assert story == []
    await bad.kill()


@staged
async def test_an_actor_that_did_well_for_a_while_restarts_at_once_again(node: Node) -> None:
    """Its failures are forgotten ten seconds after the last one."""
    story = Story()
    ref = await node.spawn(Starting, story)
    for _ in range(5):
        ref.tell(Fail())
        await asyncio.sleep(10.1)
    began = asyncio.get_running_loop().time()
    assert await ref.ask(Double(1)) == 2
    assert asyncio.get_running_loop().time() == began
    assert max(pauses(story)) < 10.2


def test_law_09_a_supervision_of_the_users_own_may_end_the_node() -> None:
    """``Node(supervision=OneForOne())`` has OTP's limit: three restarts in five seconds."""

    async def scene(node: Node) -> None:
        ref = await node.spawn(Performer)
        for _ in range(4):
            ref.tell(Fail())
        await asyncio.sleep(60.0)

    with pytest.raises(NodeFailed):
        play_on(Node(supervision=OneForOne()), scene)


def test_a_strategy_without_an_intensity_forgets_the_children_that_are_calm() -> None:
    """Its memory is bounded by what failed within the period; read from its own field, since nothing else shows it."""
    state = SupervisorState(OneForOne(intensity=None, period_s=10.0, backoff=Backoff(1.0, 4.0, jitter=0.0, at_once=1)))
    for n in range(1_000):
        plan = state.step(ChildEnded(f"a{n}", failed=True, children={f"a{n}": "transient"}), now=n * 1.0)
        assert (plan.escalate, plan.delay_s) == (False, 0.0)
    assert len(state._failures_of) <= 11  # noqa: SLF001  as the docstring says
    delays = [
        state.step(ChildEnded("b", failed=True, children={"b": "transient"}), now=2_000.0 + n).delay_s for n in range(6)
    ]
    assert delays == [0.0, 1.0, 2.0, 4.0, 4.0, 4.0]


# --- resume ----------------------------------------------------------------------------------------------------------


class Later(Message[int]):
    """An async handler raises."""


class Piped(Message):
    """What is piped raises."""


class Resuming(Performer):
    resume = (LookupError, ValueError)

    def on_start(self) -> None:
        self.story.append("start")

    @handler
    async def later(self, _: Later) -> int:
        await asyncio.sleep(1.0)
        raise KeyError("later")

    @handler
    def piped(self, _: Piped) -> None:
        async def fail() -> int:
            raise IndexError("piped")

        self.pipe_to_self(fail(), Note)


@staged
async def test_law_09_an_error_listed_in_resume_keeps_the_instance(node: Node) -> None:
    """The asker gets the error and the message is a dead letter, as for a failure; state and instance stay."""
    story, letters = Story(), letters_of(node)
    ref = await node.spawn(Resuming, story)
    ref.tell(Note(1))
    with pytest.raises(ValueError, match="boom"):
        await ref.ask(Fail())
    with pytest.raises(KeyError, match="later"):
        await ref.ask(Later())
    ref.tell(Fail())
    ref.tell(Piped())
    await asyncio.sleep(1.0)
    assert await ref.ask(Notes()) == [1]
    assert story == ["start", 1]
    assert [(type(letter.message), letter.reason, letter.asked) for letter in letters] == [
        (Fail, "failed", True), (Later, "failed", True), (Fail, "failed", False),
    ]  # fmt: skip
    assert node.introspection.stats(ref).restarts == 0


@staged
async def test_an_error_that_is_not_listed_restarts_the_actor(node: Node) -> None:
    """Only the classes in ``resume``, and their subclasses, keep the instance."""

    class Narrow(Performer):
        resume = (KeyError,)

    ref = await node.spawn(Narrow)
    ref.tell(Note(1))
    ref.tell(Fail())
    assert await ref.ask(Notes()) == []


def test_what_resume_hides_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """With the traceback and the reason why the actor goes on."""

    async def scene(node: Node) -> None:
        (await node.spawn(Resuming)).tell(Fail())
        await asyncio.sleep(1.0)

    with caplog.at_level(logging.WARNING, "trouper"):
        play_on(Node(), scene)
    logged = [record.getMessage() for record in caplog.records if "goes on as its `resume` says" in record.getMessage()]
    assert len(logged) == 1
    assert "ValueError: boom" in logged[0]


@pytest.mark.parametrize("wrong", [ValueError, [ValueError], (int,), (KeyboardInterrupt,), ("ValueError",), None])
def test_a_resume_that_is_no_tuple_of_exceptions_is_refused(wrong: object) -> None:
    """When the class is made, with an example of what is right."""
    with pytest.raises(InvalidOption, match=r"as in \(ValueError,\)"):
        type("Wrong", (Actor,), {"resume": wrong})


@staged
async def test_a_reject_keeps_the_instance_without_resume(node: Node) -> None:
    """It is a business "no", and no failure."""

    class No(Message[int]):
        pass

    class Refusing(Performer):
        @handler
        def refuse(self, _: No) -> int:
            raise Reject("no")

    ref = await node.spawn(Refusing)
    ref.tell(Note(1))
    with pytest.raises(Reject):
        await ref.ask(No())
    assert await ref.ask(Notes()) == [1]
