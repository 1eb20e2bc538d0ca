"""The laws of the runtime (docs/laws.md) that concern one process: laws 11 to 13 and 15.

Each law has a test or more named for it, in the plainest scene there is; details are in the tests of the modules.
Law 14 (observed from outside) is proved with introspection.
"""

import ast
import asyncio
import inspect
import sys
from itertools import pairwise
from pathlib import Path
from typing import Protocol, cast

from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.stage import (
    Double,
    Fail,
    Hold,
    Note,
    Notes,
    Player,
    Story,
    play_on,
    staged,
)
from trouper import (
    Actor,
    ActorRef,
    Backoff,
    Mailbox,
    Message,
    Node,
    OneForOne,
    handler,
)
from trouper.testing import settle

# --- 11. Accounting --------------------------------------------------------------------------------------------------

moves = st.lists(
    st.tuples(
        st.sampled_from(["note", "double", "hold", "fail", "stash", "unstash", "gate", "cancel", "wait", "forward"]),
        st.integers(0, 2),
    ),
    max_size=30,
)


class Put(Message[int]):
    """Put this message aside."""


class TakeOut(Message[int]):
    """Take everything out of the stash."""


class PassOn(Message[int]):
    """Have somebody else answer."""

    to: ActorRef


class Juggler(Player):
    @handler
    def put(self, msg: Put) -> int:
        if len(self.noted) % 2:
            return 1
        self.stash(msg)
        return 0

    @handler
    def take_out(self, msg: TakeOut) -> int:
        self.noted.append(1)
        self.unstash_all()
        return 0

    @handler
    def pass_on(self, msg: PassOn) -> int:
        self.forward(msg.to, Double(1))
        return 0


@given(moves, st.sampled_from(["stop", "drain", "kill"]))
def test_law_11_every_message_is_accounted_for(happening: list[tuple[str, int]], end: str) -> None:
    """Whatever happens, at every moment: sent = handled + stashed + dead-lettered + in flight, which ends as 0."""

    async def scene(node: Node) -> None:
        gate = asyncio.Event()
        refs = [await node.spawn(Juggler, Story(), gate) for _ in range(3)]
        asks: list[asyncio.Future[int]] = []
        for what, index in happening:
            ref = refs[index]
            if what == "note":
                ref.tell(Note(index))
            elif what == "gate":
                gate.set()
            elif what == "cancel" and asks:
                asks[index % len(asks)].cancel()
            elif what == "wait":
                await asyncio.sleep(2.0)
            else:
                asked: dict[str, Message[int]] = {
                    "double": Double(1), "hold": Hold(1), "fail": Fail(), "stash": Put(), "unstash": TakeOut(),
                    "forward": PassOn(refs[index - 1]), "cancel": Double(1),
                }  # fmt: skip
                asks.append(ref.ask(asked[what]))
            assert node.accounting().missing == 0
        await settle()
        assert node.accounting().missing == 0
        for ref in refs:
            await getattr(ref, end)()
        await asyncio.gather(*asks, return_exceptions=True)

    play_on(Node(supervision=OneForOne(intensity=1_000)), scene)


# --- 12. Refs, not magic ---------------------------------------------------------------------------------------------


@staged
async def test_law_12_an_answer_for_later_goes_to_the_ref_in_the_message(node: Node) -> None:
    """There is no implicit sender: who wants to hear later says so in the message."""

    class Order(Message):
        number: int
        reply_to: ActorRef

    class Shop(Actor):
        @handler
        def order(self, msg: Order) -> None:
            msg.reply_to.tell(Note(msg.number))

    customer = await node.spawn(Player)
    (await node.spawn(Shop)).tell(Order(17, customer))
    await settle()
    assert await customer.ask(Notes()) == [17]


def test_law_12_a_handler_is_given_the_message_and_nothing_else() -> None:
    """Its signature is the method's own: self and one message."""
    assert list(inspect.signature(Player.double).parameters) == ["self", "msg"]


# --- 13. Time is a parameter -----------------------------------------------------------------------------------------


def test_law_13_an_hour_of_actors_takes_no_time() -> None:
    """Unmodified actors, their timers, deadlines, backoffs and sleeps, run on virtual time."""

    async def scene(node: Node) -> list[float]:
        times: list[float] = []

        class Clock(Actor):
            def on_start(self) -> None:
                self.timers.every("tick", 600.0, Note(1))

            @handler
            async def note(self, msg: Note) -> None:
                await asyncio.sleep(60.0)
                times.append(asyncio.get_running_loop().time())

        ref = await node.spawn(Clock)
        await asyncio.sleep(3_700.0)
        await ref.stop()
        return times

    first, second = play_on(Node(seed=1), scene), play_on(Node(seed=1), scene)
    assert first == second
    assert len(first) == 6
    assert all(later - earlier == 600.0 for earlier, later in pairwise(first))


def test_law_13_the_kernel_reads_no_clock_and_no_global_chance() -> None:
    """No file of the kernel mentions the time module, the date, or a function of the random module itself."""
    kernel = Path(inspect.getfile(cast("type", sys.modules["trouper.runtime.kernel.cell"].Cell))).parent
    for path in sorted(kernel.glob("*.py")):
        for found in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(found, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in found.names} | {getattr(found, "module", None)}
                assert not names & {"time", "datetime", "secrets", "uuid"}, path
            if isinstance(found, ast.Attribute) and ast.unparse(found.value) == "random":
                assert found.attr == "Random", path


# --- 15. Everything is limited ---------------------------------------------------------------------------------------


class Limit(Protocol):
    """A limit, as a number that a user can read."""

    def __gt__(self, other: int, /) -> bool: ...


def test_law_15_every_limit_has_a_name_and_a_value() -> None:
    """What can grow in one process stands here with its name; each is a positive number."""
    from trouper.runtime.kernel import address, dispatcher, invocation, lifecycle
    from trouper.runtime.observe import reports

    limits: list[Limit] = [
        Mailbox().high_water, Mailbox().limit, OneForOne().intensity or 0, OneForOne().period_s, Backoff().max_s,
        Actor.stash_limit, reports.REPORT_CHARS_MAX, reports.MESSAGE_CHARS_MAX, address.NAME_CHARS_MAX,
        dispatcher.RUN_LENGTH, dispatcher.TURN_S, dispatcher.TURN_RUNS_MAX, dispatcher.INLINE_ASKS_MAX,
        dispatcher.IDLE_QUEUES_MAX, invocation.BATCH, lifecycle.KILL_GRACE_S,
    ]  # fmt: skip
    assert all(limit > 0 for limit in limits)
