"""Law 17: the handlers of an actor with an executor run in threads, and every other law holds for it all the same."""

import asyncio
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine

import pytest

from tests.runtime.node.test_threads import until
from tests.runtime.stage import Double, Fail, Note, Notes, Player, Story, cell_of, letters_of, play_on
from trouper import (
    Actor,
    ActorRef,
    ActorStopped,
    AskTimeout,
    Child,
    DeadlockError,
    Down,
    InvalidHandler,
    InvalidOption,
    Mailbox,
    Message,
    Node,
    OneForAll,
    Pool,
    StartFailed,
    StateMachine,
    Threads,
    Unhandled,
    WrongThread,
    handler,
    on,
)
from trouper.lowlevel import declare_header
from trouper.runtime.node.executors import ExecutorInfo

TRACE = declare_header("test-executors-trace", follows=True)


class Where(Message[int]):
    """The reply is the number of the thread that the handler ran in."""


class Wait(Message[int]):
    """The handler waits in its thread until ``gate`` is set; the reply is ``n``."""

    n: int = 0


class Break(Message[int]):
    """The handler raises ``ValueError``."""


class Fetch(Message[int]):
    """The handler asks the actor it was made with to double 4, with a time-out of ``limit_s``."""

    limit_s: float | None = None


class Gate:
    """What tests and the threads of their actors share."""

    def __init__(self) -> None:
        self.open, self.entered = threading.Event(), threading.Event()
        self.at_work, self.at_work_max = 0, 0
        self.story = Story()


class Pinned(Actor):
    """Runs in a thread of its own, and tells in which one each of its parts ran."""

    executor = "thread"

    def __init__(self, gate: Gate | None = None, other: ActorRef | None = None) -> None:
        self.gate, self.other = gate or Gate(), other
        self.thread = threading.get_ident()

    def on_start(self) -> None:
        self.gate.story.append(("start", threading.get_ident() == self.thread))

    def on_stop(self) -> None:
        self.gate.story.append(("stop", threading.get_ident() == self.thread))

    def on_terminated(self, down: Down) -> None:
        self.gate.story.append(("down", threading.get_ident() == self.thread))

    @handler
    def where(self, _: Where) -> int:
        assert threading.get_ident() == self.thread
        return self.thread

    @handler
    def wait(self, msg: Wait) -> int:
        self.gate.at_work += 1
        self.gate.at_work_max = max(self.gate.at_work, self.gate.at_work_max)
        self.gate.entered.set()
        self.gate.open.wait(30)
        self.gate.at_work -= 1
        return msg.n

    @handler
    def note(self, msg: Note) -> None:
        self.gate.story.append(msg.n)

    @handler
    def broken(self, _: Break) -> int:
        raise ValueError("on purpose")

    @handler
    def fetch(self, msg: Fetch) -> int:
        assert self.other is not None
        return self.other.blocking.ask(Double(4), msg.limit_s)


Scene = Callable[[Node], Coroutine[object, object, None]]


def on_threads(scene: Scene, **pools: Threads) -> None:
    """Run a scene in real time on a node with these pools; then nothing may be missing from its accounting."""

    async def main() -> None:
        async with Node(executors=pools) as node:
            await scene(node)
        assert node.accounting().missing == 0
        assert node.accounting().in_flight == 0

    asyncio.run(main())


async def entered(gate: Gate) -> None:
    """Wait until a handler is at work in its thread."""
    await until(gate.entered.is_set)
    gate.entered.clear()


# --- where code runs -------------------------------------------------------------------------------------------------


def test_law_17_an_actor_with_a_thread_of_its_own_runs_there_for_its_life() -> None:
    """Its construction, hooks and handlers do, over a restart too; another such actor has another thread."""

    async def scene(node: Node) -> None:
        gate = Gate()
        one, two = await node.spawn(Pinned, gate), await node.spawn(Pinned)
        first = await one.ask(Where())
        with pytest.raises(ValueError, match="on purpose"):
            await one.ask(Break())
        assert await one.ask(Where()) == first
        assert await two.ask(Where()) != first != threading.get_ident()
        await one.stop()
        assert gate.story == [("start", True), ("stop", True), ("start", True), ("stop", True)]
        assert node.introspection.stats(two).executor == "thread"
        assert node.executors == [ExecutorInfo("thread", threads=1, busy=0, queued=0, abandoned=0)]

    on_threads(scene)


def test_a_spawn_says_where_an_actor_runs_in_place_of_its_class() -> None:
    """``executor="loop"`` takes one back to the loop, the name of a pool puts one into it, also by keyword."""

    async def scene(node: Node) -> None:
        assert await (await node.spawn(Pinned, executor="loop")).ask(Where()) == threading.get_ident()
        ref = await node.spawn(Pinned, gate=Gate(), name="pinned", executor="gpu")
        stats = node.introspection.stats(ref)
        assert stats.executor == "gpu"
        assert node.executors[0] == ExecutorInfo("gpu", threads=1, busy=0, queued=0, abandoned=0)

    on_threads(scene, gpu=Threads(1))


def test_handlers_of_one_actor_run_one_at_a_time_and_in_order_in_whatever_thread_of_a_pool() -> None:
    """Four threads, twenty actors, two hundred messages each; every actor sees its messages in order."""

    class Counter(Pinned):
        executor = "pool"

        @handler
        def note(self, msg: Note) -> None:
            self.gate.at_work += 1
            assert self.gate.at_work == 1
            self.gate.story.append(msg.n)
            self.gate.at_work -= 1

        @handler
        def where(self, _: Where) -> int:
            return threading.get_ident()

    async def scene(node: Node) -> None:
        gates = [Gate() for _ in range(20)]
        refs = [await node.spawn(Counter, gate) for gate in gates]
        for n in range(200):
            for ref in refs:
                ref.tell(Note(n))
        threads = set(await asyncio.gather(*(ref.ask(Where()) for ref in refs)))
        assert len(threads) <= 4
        assert threading.get_ident() not in threads
        for gate in gates:
            assert gate.story == [("start", True), *range(200)] or gate.story[1:] == list(range(200))

    on_threads(scene, pool=Threads(4))


def test_the_queue_of_a_pool_is_shown() -> None:
    """Calls that wait for a thread are counted, for the pool and at each of its actors."""

    async def scene(node: Node) -> None:
        gates = [Gate() for _ in range(3)]
        refs = [await node.spawn(Pinned, gate, executor="one") for gate in gates]
        for ref in refs:
            ref.tell(Wait())
        await entered(gates[0])
        assert node.introspection.stats(refs[0]).executor_queued == 2
        assert node.executors[0] == ExecutorInfo("one", threads=1, busy=1, queued=2, abandoned=0)
        for gate in gates:
            gate.open.set()
        await asyncio.gather(*(ref.drain() for ref in refs))

    on_threads(scene, one=Threads(1))


# --- what handlers in threads do -------------------------------------------------------------------------------------


class Busy(Pinned):
    """Uses all that an actor has, from its thread."""

    def on_start(self) -> None:
        self.timers.once("first", 0.001, Note(1))
        self.child = self.spawn_nowait(Player, name="child")
        self.watch(self.child)

    @handler
    def note(self, msg: Note) -> None:
        if msg.n == 1:
            self.become(self.patient)
            self.child.blocking.stop()
        self.gate.story.append(msg.n)

    def patient(self, msg: Note) -> None:
        """Stash what comes before 9."""
        if msg.n == 9:
            self.unbecome()
            self.unstash_all()
            self.timers.cancel("first")
            self.stop()
        else:
            self.stash(msg)


def test_timers_stash_become_children_and_watches_work_in_a_thread() -> None:
    """The loop's thread does them while the handler waits; each has the effect that it has on the loop."""

    async def scene(node: Node) -> None:
        gate = Gate()
        ref = await node.spawn(Busy, gate, restart="temporary")
        await until(lambda: ("down", True) in gate.story or 1 in gate.story)
        for n in (5, 6, 9):
            ref.tell(Note(n))
        assert await ref.wait_stopped() == "stopped"
        assert gate.story[0] == 1
        assert ("stop", True) in gate.story

    on_threads(scene)


def test_stashed_messages_are_handled_first_when_a_thread_unstashes_them() -> None:
    """In the order in which they were stashed, ahead of what was queued meanwhile."""

    class Stashing(Pinned):
        ready = False

        @handler
        def note(self, msg: Note) -> None:
            if msg.n == 0:
                self.ready = True
                self.unstash_all()
            elif not self.ready:
                self.stash(msg)
            else:
                self.gate.story.append(msg.n)

    async def scene(node: Node) -> None:
        gate = Gate()
        ref = await node.spawn(Stashing, gate)
        for n in (1, 2, 0, 3):
            ref.tell(Note(n))
        await ref.ask(Where())
        assert gate.story == [("start", True), 1, 2, 3]

    on_threads(scene)


class Forwarding(Pinned):
    """Forwards what it is asked."""

    @handler
    def double(self, msg: Double) -> int:
        assert self.other is not None
        self.forward(self.other, msg)
        return 0


def test_an_ask_is_forwarded_from_a_thread_with_the_reply_it_is_owed() -> None:
    """The asker gets the reply of the last actor."""

    async def scene(node: Node) -> None:
        player = await node.spawn(Player)
        assert await (await node.spawn(Forwarding, None, player)).ask(Double(4)) == 8

    on_threads(scene)


class Relay(Pinned):
    """Tells the other actor, and shows the headers it was given."""

    @handler
    def note(self, msg: Note) -> None:
        self.gate.story.append(dict(self.headers))
        if self.other is not None:
            self.other.tell(msg)
            self.other.blocking.tell(msg)


def test_headers_follow_through_the_handlers_of_threads() -> None:
    """What follows is in the messages that the handler tells; a message without headers has none."""

    async def scene(node: Node) -> None:
        gate = Gate()
        last = await node.spawn(Relay, gate)
        first = await node.spawn(Relay, None, last)
        first.with_headers({TRACE: b"7"}).tell(Note(1))
        await first.drain()
        last.tell(Note(2))
        await last.drain()
        assert gate.story[1:4] == [{TRACE: b"7"}, {TRACE: b"7"}, {}]

    on_threads(scene)


def test_what_a_handler_tells_comes_before_what_its_asker_tells_next() -> None:
    """Its reply is behind what it told, on the way to the loop."""

    class Telling(Pinned):
        @handler
        def where(self, _: Where) -> int:
            assert self.other is not None
            for n in range(50):
                self.other.tell(Note(n))
            return 0

    async def scene(node: Node) -> None:
        player = await node.spawn(Player)
        ref = await node.spawn(Telling, None, player)
        await ref.ask(Where())
        player.tell(Note(50))
        assert await player.ask(Notes()) == list(range(51))

    on_threads(scene)


def test_a_blocking_ask_of_a_handler_has_its_deadline_and_closes_no_cycle() -> None:
    """It ends with the ask that the handler answers; an ask of itself is refused at once."""

    async def scene(node: Node) -> None:
        player = await node.spawn(Player)
        node.introspection.suspend(player)
        ref = await node.spawn(Pinned, None, player)
        with pytest.raises(AskTimeout):
            await ref.ask(Fetch(limit_s=20.0), timeout_s=0.05)
        node.introspection.resume(player)
        assert await ref.ask(Fetch()) == 8
        assert await ref.ask(Where())  # it was free again in less than 20 s

        class Narcissus(Pinned):
            @handler
            def fetch(self, msg: Fetch) -> int:
                return self.ref.blocking.ask(Double(1), 20.0)

            @handler
            def double(self, msg: Double) -> int:
                return msg.n

        with pytest.raises(DeadlockError):
            await (await node.spawn(Narcissus)).ask(Fetch())

    on_threads(scene)


def test_a_thread_that_a_handler_starts_is_a_foreign_thread() -> None:
    """Only the thread that the actor runs in may use its timers."""

    class Careless(Pinned):
        @handler
        def where(self, _: Where) -> int:
            errors: list[BaseException] = []

            def work() -> None:
                try:
                    self.timers.once("x", 1.0, Note(1))
                except WrongThread as error:
                    errors.append(error)

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            return len(errors)

    async def scene(node: Node) -> None:
        assert await (await node.spawn(Careless)).ask(Where()) == 1

    on_threads(scene)


class Gateway(StateMachine[str]):
    """A state machine in a thread."""

    executor = "thread"
    initial = "closed"
    states = ("closed", "open")

    @on("closed", to="open")
    def opened(self, msg: Note) -> None:
        """Open it."""

    @on("open")
    def where(self, msg: Where) -> int:
        return threading.get_ident()


def test_a_state_machine_runs_in_a_thread() -> None:
    """Its rows do; a message without a row is a dead letter, as on the loop."""

    async def scene(node: Node) -> None:
        ref = await node.spawn(Gateway)
        letters = letters_of(node)
        with pytest.raises(Unhandled):
            await ref.ask(Where())
        ref.tell(Note(1))
        assert await ref.ask(Where()) != threading.get_ident()
        assert [letter.reason for letter in letters] == ["unhandled"]

    on_threads(scene)


# --- failures and ends -----------------------------------------------------------------------------------------------


def test_an_exception_of_a_thread_is_its_actors() -> None:
    """An asker gets it, the actor restarts; what ``resume`` at the spawn lists keeps the instance."""

    async def scene(node: Node) -> None:
        gate = Gate()
        ref = await node.spawn(Pinned, gate, resume=(ValueError,))
        with pytest.raises(ValueError, match="on purpose"):
            await ref.ask(Break())
        assert node.introspection.stats(ref).restarts == 0
        assert gate.story == [("start", True)]

        class Never(Pinned):
            def on_start(self) -> None:
                raise ValueError("no start")

        with pytest.raises(StartFailed, match="no start"):
            await node.spawn(Never)

    on_threads(scene)


def test_a_handler_whose_asker_gave_up_is_waited_for_before_the_next_message() -> None:
    """A thread cannot be interrupted, so one at a time holds only if the actor waits for it."""

    async def scene(node: Node) -> None:
        gate = Gate()
        ref = await node.spawn(Pinned, gate, executor="pool")
        with pytest.raises(AskTimeout):
            await ref.ask(Wait(1), timeout_s=0.02)
        next_one = ref.ask(Wait(2))
        await asyncio.sleep(0.02)
        assert gate.at_work == 1
        gate.open.set()
        assert await next_one == 2
        assert gate.at_work_max == 1

    on_threads(scene, pool=Threads(4))


def test_a_killed_actor_is_gone_though_its_handler_never_ends() -> None:
    """Its thread is abandoned and counted; the pool starts another, and takes the old one back when it ends."""

    async def scene(node: Node) -> None:
        gate, letters = Gate(), letters_of(node)
        hanging = await node.spawn(Pinned, gate, executor="one")
        hanging.tell(Wait())
        await entered(gate)
        hanging.kill()
        assert await asyncio.wait_for(hanging.wait_stopped(), 5.0) == "killed"
        assert [letter.reason for letter in letters] == ["killed"]
        await until(lambda: node.executors[0].abandoned == 1)
        open_gate = Gate()
        open_gate.open.set()
        assert await (await node.spawn(Pinned, open_gate, executor="one")).ask(Wait(3)) == 3
        gate.open.set()
        await until(lambda: node.executors[0].abandoned == 0)
        assert node.executors[0].threads == 1

    on_threads(scene, one=Threads(1))


def test_an_abandoned_handler_can_begin_nothing_more() -> None:
    """Its timers, stash and children are refused: the actor it would act for has ended."""
    errors: list[str] = []

    class Late(Pinned):
        @handler
        def wait(self, msg: Wait) -> int:
            super().wait(msg)
            try:
                self.timers.once("x", 0.0, Note(1))
            except ActorStopped as error:
                errors.append(str(error))
            return 0

    async def scene(node: Node) -> None:
        gate = Gate()
        ref = await node.spawn(Late, gate)
        ref.tell(Wait())
        await entered(gate)
        await ref.kill()
        await until(lambda: node.executors[0].abandoned == 1)
        gate.open.set()
        await until(lambda: len(errors) == 1)
        assert "begin nothing" in errors[0]

    on_threads(scene)


def test_an_actor_that_fails_while_its_handler_hangs_restarts_in_another_thread() -> None:
    """After ``shutdown_s`` the handler is abandoned; the next instance has a thread that works."""

    async def scene(node: Node) -> None:
        gate = Gate()
        failing: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        class Piping(Pinned):
            @handler
            def note(self, msg: Note) -> None:
                self.pipe_to_self(failing, lambda _: Note(0))

        ref = await node.spawn(Piping, gate, shutdown_s=0.05)
        ref.tell(Note(1))
        first = await ref.ask(Where())
        ref.tell(Wait())
        await entered(gate)
        failing.set_exception(ValueError("elsewhere"))
        assert await ref.ask(Where()) != first
        assert node.introspection.stats(ref).restarts == 1
        assert node.executors[0].abandoned == 1
        gate.open.set()

    on_threads(scene)


def test_siblings_of_a_handler_that_hangs_restart_with_it() -> None:
    """A group restart waits for the handler for ``shutdown_s``, then abandons it."""

    async def scene(node: Node) -> None:
        gate = Gate()
        hanging = Child(Pinned, gate, name="hanging", shutdown_s=0.05)
        supervisor = await node.supervise(hanging, Child(Player, name="other"), strategy=OneForAll())
        one, two = [node.find(f"{supervisor.address.path}/{name}") for name in ("hanging", "other")]
        assert one is not None
        assert two is not None
        one.tell(Wait())
        await entered(gate)
        await asyncio.gather(two.ask(Fail()), return_exceptions=True)
        assert await one.ask(Where()) != threading.get_ident()
        assert node.introspection.stats(one).restarts == 1
        gate.open.set()

    on_threads(scene)


def test_an_on_stop_that_hangs_ends_its_actor_after_the_time_to_stop() -> None:
    """The end is reported, and the thread is left behind."""
    gate = Gate()

    class Clinging(Pinned):
        def on_stop(self) -> None:
            self.gate.open.wait(30)

    async def scene(node: Node) -> None:
        ref = await node.spawn(Clinging, gate, shutdown_s=0.05)
        await asyncio.wait_for(ref.ask(Where()), 5.0)
        ref.stop()
        assert await asyncio.wait_for(ref.wait_stopped(), 5.0) == "stopped"
        assert node.executors[0].abandoned == 1

    on_threads(scene)
    gate.open.set()


HANGING = """
import threading
import trouper
from trouper import Actor, Message, Node, handler

class Go(Message):
    pass

class Hanging(Actor):
    executor = "thread"

    @handler
    def go(self, _: Go) -> None:
        print("at work", flush=True)
        threading.Event().wait()

async def main() -> None:
    async with Node(shutdown_s=0.5) as node:
        ref = await node.spawn(Hanging, shutdown_s=0.1)
        ref.tell(Go())
        await node.offload(lambda: None)
    print("down", node.accounting().missing)

trouper.run(main)
"""


def test_a_node_and_a_program_end_though_a_handler_never_does() -> None:
    """The stop of the node does not wait for the thread, nor does the interpreter at its exit."""
    done = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.splitlines()[-1:], done.returncode) == (["down 0"], 0), done.stderr


def test_the_torture_of_actors_in_threads_loses_nothing() -> None:
    """Asks that time out, failures, kills and stops at random; every message is accounted for."""

    class Mixed(Pinned):
        @handler
        def wait(self, msg: Wait) -> int:
            threading.Event().wait(msg.n / 5_000)
            return msg.n

    async def scene(node: Node) -> None:
        rng = random.Random(7)
        refs: list[ActorRef] = []
        for round_ in range(300):
            if len(refs) < 6:
                refs.append(await node.spawn(Mixed, executor=rng.choice(["thread", "pool", "loop"])))
            ref = rng.choice(refs)
            fate = rng.random()
            if fate < 0.5:
                ref.tell(Wait(rng.randrange(5)))
            elif fate < 0.7:
                asyncio.gather(
                    ref.ask(Wait(rng.randrange(5)), timeout_s=rng.choice([0.0, 0.001, 5.0])), return_exceptions=True
                )
            elif fate < 0.8:
                asyncio.gather(ref.ask(Break()), return_exceptions=True)
            elif fate < 0.85:
                refs.remove(ref)
                rng.choice([ref.kill, ref.stop, ref.drain])()
            else:
                await asyncio.sleep(rng.random() / 500)
            assert node.accounting().missing == 0, round_
        await asyncio.gather(*(ref.stop() for ref in refs))

    on_threads(scene, pool=Threads(2))


# --- what is refused -------------------------------------------------------------------------------------------------


def test_async_handlers_and_hooks_are_refused_where_the_class_is_made() -> None:
    """With the cure; the same at a spawn that names an executor for a class that has none, and at ``become``."""
    with pytest.raises(InvalidHandler, match="is `async def`, but its actor runs in threads: make it `def`"):

        class _Waiting(Pinned):  # pyright: ignore[reportUnusedClass]  it cannot be made
            @handler
            async def note(self, msg: Note) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  the runtime has to refuse it
                pass

    with pytest.raises(InvalidHandler, match=r"on_stop is `async def`, but executor='thread'"):

        class _Stopping(Pinned):  # pyright: ignore[reportUnusedClass]  it cannot be made
            async def on_stop(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  the runtime has to refuse it
                pass

    class Plain(Actor):
        @handler
        async def where(self, _: Where) -> int:
            return 0

    async def later(msg: Note) -> None:
        pass

    class Becoming(Pinned):
        @handler
        def note(self, msg: Note) -> None:
            self.become(later)

    async def scene(node: Node) -> None:
        with pytest.raises(InvalidHandler, match="make it `def`"):
            await node.spawn(Plain, executor="thread")
        with pytest.raises(InvalidOption, match="passes messages on by the loop"):
            await node.spawn(Pool(Plain), executor="thread")
        ref, letters = await node.spawn(Becoming), letters_of(node)
        ref.tell(Note(1))
        await ref.drain()
        assert "make it `def`" in str(letters[0].error)

    on_threads(scene)


@pytest.mark.parametrize(
    ("executor", "cure"),
    [
        ("process", r"place='worker-1'"),
        ("gpu", r"node local has cpu, loop, thread; give it Node\(executors=\{'gpu': Threads\(4\)\}\)"),
        ("", "must be 'loop', 'thread', or the name"),
        (4, "must be 'loop', 'thread', or the name"),
    ],
)
def test_an_executor_that_is_none_is_refused_at_the_spawn(executor: str, cure: str) -> None:
    """With a sentence that has the cure; the name stays free."""

    async def scene(node: Node) -> None:
        with pytest.raises(InvalidOption, match=cure):
            await node.spawn(Pinned, name="pinned", executor=executor)
        assert await (await node.spawn(Pinned, name="pinned")).ask(Where()) != threading.get_ident()

    on_threads(scene, cpu=Threads(1))


@pytest.mark.parametrize("pools", [{"loop": Threads(1)}, {"": Threads(1)}, {3: Threads(1)}, {"gpu": 2}, "gpu"])
def test_pools_that_are_none_are_refused(pools: dict[str, Threads]) -> None:
    """A reserved name, a name that is no text, a number in place of a pool."""
    with pytest.raises(InvalidOption, match="executors="):
        Node(executors=pools)


# --- virtual time and costs ------------------------------------------------------------------------------------------


def test_on_virtual_time_the_loop_runs_what_threads_would() -> None:
    """So that a simulation is the same at each run; all of the actor's own means work."""

    async def scene(node: Node) -> None:
        gate = Gate()
        ref = await node.spawn(Pinned, gate)
        assert await ref.ask(Where()) == threading.get_ident()
        with pytest.raises(ValueError, match="on purpose"):
            await ref.ask(Break())
        assert await ref.ask(Where()) == threading.get_ident()
        await ref.stop()
        assert gate.story == [("start", True), ("stop", True), ("start", True), ("stop", True)]

    play_on(Node(), scene)


def test_an_actor_without_an_executor_has_the_handler_table_of_its_class() -> None:
    """Nothing is paid for executors by an actor that has none."""

    async def scene(node: Node) -> None:
        ref = await node.spawn(Player, mailbox=Mailbox(high_water=7))
        assert cell_of(ref).handler_table is Player.__handler_table__
        assert cell_of(ref).high_water == 7

    play_on(Node(), scene)
