"""Law 17: a call from a thread other than the loop's is safe, or a clear error that touches nothing."""

import asyncio
import gc
import inspect
import threading
from collections.abc import Awaitable, Callable

import pytest

from tests.runtime.node.test_real_loops import NewLoop, every_loop, perform
from tests.runtime.stage import Double, Fail, Hold, Note, Notes, Performer, Story, cell_of, letters_of
from trouper import (
    Actor,
    ActorRef,
    ActorStopped,
    AskTimeout,
    DeadlockError,
    InvalidOption,
    Mailbox,
    MailboxFull,
    Message,
    Node,
    NodeClosed,
    Reject,
    WrongThread,
    handler,
)
from trouper.runtime.kernel import thread_inbox
from trouper.runtime.node.node_network import NodeNetwork


class Where(Message[int]):
    """The reply is the thread that the handler ran in."""


class Refuse(Message[int]):
    """The handler raises ``Reject``."""


class Offload(Message[list[object]]):
    """The handler offloads what the actor was made with, and replies with its result and the notes after that."""


class Local(Performer):
    """A performer that also tells of its thread, refuses, and offloads."""

    def __init__(self, work: Callable[[ActorRef], object] = lambda _: None) -> None:
        super().__init__()
        self.work = work

    @handler
    def where(self, _: Where) -> int:
        return threading.get_ident()

    @handler
    def refuse(self, _: Refuse) -> int:
        raise Reject("no")

    @handler
    async def offloading(self, _: Offload) -> list[object]:
        return [await self.offload(self.work, self.ref)]


def in_thread(scene: Callable[[Node, ActorRef], object], *, ask_timeout_s: float = 5.0) -> None:
    """Run a scene in a thread beside a node with one actor; then every message must be accounted for."""

    async def main() -> None:
        async with Node(ask_timeout_s=ask_timeout_s) as node:
            ref = await node.spawn(Local)
            await asyncio.to_thread(scene, node, ref)
        assert node.accounting().missing == 0
        assert node.accounting().in_flight == 0

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop go on until a thread has brought something about; fail after some seconds."""
    for _ in range(5_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not happen")


# --- tell ------------------------------------------------------------------------------------------------------------


@every_loop
def test_law_17_a_thread_tells_an_idle_loop(new_loop: NewLoop) -> None:
    """What a thread tells is handled in the loop's thread, in the thread's order, and wakes an idle loop."""

    async def scene(node: Node) -> None:
        ref, loop_thread = await node.spawn(Local), threading.get_ident()

        def work() -> tuple[list[int], int]:
            for n in range(5_000):
                ref.tell(Note(n))
            return ref.blocking.ask(Notes()), ref.blocking.ask(Where())

        assert await asyncio.to_thread(work) == (list(range(5_000)), loop_thread)

    perform(new_loop, scene)


def test_the_message_of_a_thread_to_an_ended_actor_is_a_dead_letter() -> None:
    """It is counted with its reason, as one from the loop's thread is."""

    async def main() -> None:
        async with Node() as node:
            ref = await node.spawn(Local)
            await ref.stop()
            letters = letters_of(node)
            await asyncio.to_thread(ref.tell, Note(1))
            await node.system.thread_inbox.passed()
            assert [(letter.message, letter.reason) for letter in letters] == [(Note(1), "stopped")]
            assert node.accounting().missing == 0

    asyncio.run(main())


class Refusing(Local):
    mailbox = Mailbox(high_water=1, limit=2, when_full="raise_full")


def test_a_mailbox_that_raises_makes_a_dead_letter_of_what_a_thread_told_and_raises_at_a_blocking_tell() -> None:
    """``tell`` has returned by then; ``ref.blocking.tell`` waits for the outcome and raises it."""

    async def main() -> None:
        async with Node() as node:
            ref = await node.spawn(Refusing)
            node.introspection.suspend(ref)
            letters = letters_of(node)

            def work() -> None:
                for n in range(3):
                    ref.tell(Note(n))
                with pytest.raises(MailboxFull, match="has 2 messages queued"):
                    ref.blocking.tell(Note(3))

            await asyncio.to_thread(work)
            assert [(letter.message, letter.reason) for letter in letters] == [(Note(2), "mailbox_full")]
            node.introspection.resume(ref)
            await ref.drain()
            assert node.accounting().missing == 0

    asyncio.run(main())


class Narrow(Local):
    mailbox = Mailbox(high_water=2, limit=10)


def test_a_thread_waits_for_capacity() -> None:
    """``ref.blocking.tell`` returns when the mailbox is below its high-water mark; its time-out leaves the message."""

    async def main() -> None:
        async with Node() as node:
            ref = await node.spawn(Narrow)
            node.introspection.suspend(ref)

            def fill() -> None:
                ref.blocking.tell(Note(0), timeout_s=5.0)
                ref.blocking.tell(Note(1))
                with pytest.raises(AskTimeout, match="Note"):
                    ref.blocking.tell(Note(2), timeout_s=0.0)

            await asyncio.to_thread(fill)
            waiting = asyncio.create_task(asyncio.to_thread(ref.blocking.tell, Note(3)))
            await until(lambda: node.introspection.stats(ref).queued == 4)
            assert not waiting.done()
            node.introspection.resume(ref)
            await waiting
            assert await ref.ask(Notes()) == [0, 1, 2, 3]

    asyncio.run(main())


def test_another_loop_waits_for_capacity_by_await_tell() -> None:
    """In another thread with a loop of its own, ``await ref.tell(message)`` waits there as it does at home."""

    async def main() -> None:
        async with Node() as node:
            ref = await node.spawn(Narrow)
            node.introspection.suspend(ref)

            async def elsewhere() -> None:
                for n in range(4):
                    await ref.tell(Note(n))

            waiting = asyncio.create_task(asyncio.to_thread(asyncio.run, elsewhere()))
            await until(lambda: node.introspection.stats(ref).queued == 3)
            node.introspection.resume(ref)
            await waiting
            assert await ref.ask(Notes()) == [0, 1, 2, 3]

    asyncio.run(main())


def test_another_loop_gives_up_its_wait_for_capacity() -> None:
    """The message was sent; the loop of the node has nothing to report when the capacity is there."""

    async def main() -> None:
        problems = list[object]()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        async with Node() as node:
            ref, other = await node.spawn(Narrow), await node.spawn(Local)
            node.introspection.suspend(ref)

            async def elsewhere() -> None:
                sent = [ref.tell(Note(n)) for n in range(4)]
                waiting = [asyncio.ensure_future(each) for each in sent[2:]]
                await asyncio.sleep(0)
                await asyncio.to_thread(other.blocking.ask, Notes())  # by then the node's loop waits for them
                for each in waiting:
                    each.cancel()
                await asyncio.wait(waiting)
                assert all(each.cancelled() for each in waiting)

            await asyncio.to_thread(asyncio.run, elsewhere())
            node.introspection.resume(ref)
            assert await ref.ask(Notes()) == [0, 1, 2, 3]
            await ref.drain()
        assert problems == []

    asyncio.run(main())


def test_calls_of_threads_that_wait_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the loop is blocked a thread gets ``MailboxFull`` at the limit, which sends nothing."""
    monkeypatch.setattr(thread_inbox, "CALLS_MAX", 10)

    async def main() -> None:
        async with Node(slow_handler_s=None) as node:
            ref, sent = await node.spawn(Local), Story()

            def work() -> None:
                for n in range(10):
                    ref.tell(Note(n))
                with pytest.raises(MailboxFull, match="10 calls of other threads wait"):
                    ref.tell(Note(10))
                sent.append("all")

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()  # the loop is blocked meanwhile
            assert sent == ["all"]
            await node.system.thread_inbox.passed()
            assert await ref.ask(Notes()) == list(range(10))

    asyncio.run(main())


class TellsAtItsEnd:
    """Tells from its finalizer."""

    def __init__(self, ref: ActorRef) -> None:
        self.ref = ref

    def __del__(self) -> None:
        self.ref.tell(Note(-1))


def test_a_finalizer_may_tell_in_the_midst_of_a_tell() -> None:
    """The collector runs in any thread and between any two instructions; no message is lost by that."""

    def scene(_: Node, ref: ActorRef) -> None:
        threshold = gc.get_threshold()
        gc.set_threshold(5)
        try:
            for n in range(500):
                left = [TellsAtItsEnd(ref)]
                left.append(left)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  a cycle, for the collector
                del left
                ref.tell(Note(n))
        finally:
            gc.set_threshold(*threshold)
        gc.collect()
        notes = ref.blocking.ask(Notes())
        assert [n for n in notes if n >= 0] == list(range(500))
        assert notes.count(-1) == 500

    in_thread(scene)


# --- ask -------------------------------------------------------------------------------------------------------------


def test_law_17_an_ask_in_another_thread_is_an_error_that_names_the_blocking_ask() -> None:
    """It touches nothing: no message is counted or handled."""

    def scene(node: Node, ref: ActorRef) -> None:
        before = cell_of(ref).received
        with pytest.raises(WrongThread, match=r"use ref\.blocking\.ask\(message\)"):
            ref.ask(Double(1))
        assert cell_of(ref).received == before

    in_thread(scene)


def test_law_17_the_blocking_calls_in_the_thread_of_the_loop_are_errors_that_name_the_other() -> None:
    """They would wait for the loop that they block."""

    async def main() -> None:
        async with Node() as node:
            ref = await node.spawn(Local)
            for call in (lambda: ref.blocking.ask(Double(1)), lambda: ref.blocking.tell(Note(1)), ref.blocking.stop):
                name = "ask|tell|stop"
                with pytest.raises(WrongThread, match=rf"use `await ref\.({name})\(\.\.\.\)` there"):
                    call()
            assert await ref.ask(Notes()) == []

    asyncio.run(main())


def test_a_blocking_ask_raises_what_an_ask_raises() -> None:
    """The handler's error, ``Reject``, the time-out, the end of the actor, an invalid time-out."""

    def scene(_: Node, ref: ActorRef) -> None:
        assert ref.blocking.ask(Double(4)) == 8
        with pytest.raises(ValueError, match="boom"):
            ref.blocking.ask(Fail())
        with pytest.raises(Reject, match="no"):
            ref.blocking.ask(Refuse())
        with pytest.raises(AskTimeout, match="did not answer Hold"):
            ref.blocking.ask(Hold(1), timeout_s=0.01)
        with pytest.raises(InvalidOption, match="timeout_s=-1"):
            ref.blocking.ask(Double(1), timeout_s=-1)
        with pytest.raises(InvalidOption, match="timeout_s=nan"):
            ref.blocking.ask(Double(1), timeout_s=float("nan"))
        assert ref.blocking.ask(Double(1), timeout_s=float("inf")) == 2
        assert ref.blocking.stop() == "stopped"
        with pytest.raises(ActorStopped, match="stopped"):
            ref.blocking.ask(Double(1))

    in_thread(scene)


def test_a_blocking_ask_ends_with_the_node() -> None:
    """An ask that is under way fails when the node shuts down, and every later call with ``NodeClosed``."""

    async def main() -> None:
        async with Node() as node:
            ref = await node.spawn(Performer)
            waiting = asyncio.create_task(asyncio.to_thread(ref.blocking.ask, Hold(1), 60.0))
            await until(lambda: bool(node.introspection.stats(ref).current_message))
            await ref.kill()
            with pytest.raises(ActorStopped):
                await waiting
        for call in (lambda: ref.blocking.ask(Double(1)), lambda: ref.tell(Note(1)), ref.blocking.stop):
            with pytest.raises(NodeClosed, match="has shut down"):
                await asyncio.to_thread(call)
        assert node.accounting().missing == 0

    asyncio.run(main())


def test_a_blocking_ask_ends_when_the_loop_has_ended_under_its_node() -> None:
    """A loop that was closed without ``node.stop()`` answers nothing: the thread gets an error, and is not stuck."""
    loop = asyncio.new_event_loop()
    node = loop.run_until_complete(Node(slow_handler_s=None).start())
    ref = loop.run_until_complete(_spawn(node))
    loop.close()
    errors = Story()

    def work() -> None:
        for call in (lambda: ref.tell(Note(1)), lambda: ref.blocking.ask(Double(1))):
            try:
                call()
            except NodeClosed as error:
                errors.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(errors) == 2


async def _spawn(node: Node) -> ActorRef:
    return await node.spawn(Local)


def test_a_loop_that_is_run_by_another_thread_takes_its_node_along() -> None:
    """The thread that runs the loop now is the loop's thread, though the node was started in another one."""
    loop = asyncio.new_event_loop()
    node = loop.run_until_complete(Node(slow_handler_s=None).start())
    ref = loop.run_until_complete(_spawn(node))
    got = Story()

    async def scene() -> None:
        ref.tell(Note(1))
        got.append(await ref.ask(Notes()))

    thread = threading.Thread(target=lambda: loop.run_until_complete(scene()))
    thread.start()
    thread.join()
    loop.run_until_complete(node.stop())
    loop.close()
    assert got == [[1]]


# --- work that a handler offloads ------------------------------------------------------------------------------------


def test_what_an_offloaded_function_tells_comes_before_what_its_handler_tells_next() -> None:
    """One sender, one receiver: their order holds across the change of threads (law 2)."""

    class Sender(Actor):
        def __init__(self, to: ActorRef) -> None:
            self.to = to

        @handler
        async def go(self, _: Offload) -> list[object]:
            await self.offload(lambda: [self.to.tell(Note(n)) for n in range(20_000)])
            self.to.tell(Note(20_000))
            return []

    async def main() -> None:
        async with Node(slow_handler_s=None) as node:
            ref = await node.spawn(Local)
            await (await node.spawn(Sender, ref)).ask(Offload(), timeout_s=30.0)
            assert await ref.ask(Notes(), timeout_s=30.0) == list(range(20_001))

    asyncio.run(main())


def ask_double(ref: ActorRef) -> int:
    """What a thread may do for a handler."""
    return ref.blocking.ask(Double(1))


def test_law_06_an_offloaded_function_that_asks_its_own_actor_gets_a_deadlock_error() -> None:
    """The handler waits for the function, and the function for the handler: named at once, not after the time-out."""

    async def main() -> None:
        async with Node() as node:
            ref = await node.spawn(Local, ask_double)
            with pytest.raises(DeadlockError):
                await ref.ask(Offload())

    asyncio.run(main())


def test_an_offloaded_function_has_the_deadline_of_its_handler() -> None:
    """Its asks end with the ask that the handler answers (law 5), however long their own time-out is."""
    ended = Story()

    async def main() -> None:
        async with Node() as node:
            slow = await node.spawn(Performer)

            def work(_: ActorRef) -> None:
                try:
                    slow.blocking.ask(Hold(1), timeout_s=60.0)
                except Exception as error:  # noqa: BLE001  whichever it is
                    ended.append(type(error))

            ref = await node.spawn(Local, work)
            with pytest.raises(AskTimeout):
                await ref.ask(Offload(), timeout_s=0.05)
            await until(lambda: bool(ended))
        assert ended[0] in (AskTimeout, ActorStopped)

    asyncio.run(main())


# --- every other call ------------------------------------------------------------------------------------------------


SERVICES = ("registry", "groups", "events", "introspection", "dead_letters", "recorder", "instruments")
"""Reading the attribute is safe, since each call of the service is checked."""
NETWORK_CALLS = (
    "connect", "disconnect", "peers", "peer", "wait_for_peer", "wait_for_change", "whereis", "close", "revoke",
)  # fmt: skip
"""The calls of a network that programs use; the transports and the runtime call the others."""
SAFE = {
    "ActorRef": {"tell", "blocking", "with_headers", "name", "address"},
    "Local": {"ref", "node", "offload", "spawn", "supervision", "mailbox", "keep_children", "resume", "stash_limit"},
    "Timers": {"retained"},
    "Instruments": {"on_begin", "on_end"},
    "Shutdown": {"add", "remove", "add_phase", "phases", "wait", "kill_remaining"},
    "Node": {"name", "reports", "shutdown", "watchdog", "has_network", "workers",
             "has_given_journal", "journal", "start", "cluster", "network", "extensions", "extensions_for_workers",
             "full_place", "is_in_cluster", *SERVICES},
}  # fmt: skip
"""What a thread may read, and calls that are tried below in another way: they return what must be awaited."""
HOOKS = {"on_start", "on_stop", "before_restart", "on_terminated", "on_undelivered"}
"""The runtime calls these."""


def public_calls(thing: object) -> list[str]:
    """The public methods and properties of an object, its own handlers left out."""
    safe, cls = SAFE.get(type(thing).__name__, set()), type(thing)
    if isinstance(thing, NodeNetwork):
        return list(NETWORK_CALLS)
    handlers: set[str] = {*vars(Local), *vars(Performer)} if isinstance(thing, Actor) else set()
    names = [name for name in dir(cls) if not name.startswith("_") and name not in safe | HOOKS | handlers]
    return [name for name in names if callable(getattr(cls, name)) or isinstance(getattr(cls, name), property)]


def arguments_for(function: object, ref: ActorRef) -> list[object]:
    """Some value for each required parameter: a ref, for want of a better one."""
    parameters = list(inspect.signature(function).parameters.values())[1:] if callable(function) else []
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [ref for each in parameters if each.default is each.empty and each.kind in by_position]


def test_law_17_every_public_call_in_another_thread_is_an_error_that_touches_nothing() -> None:
    """Of refs, actors, timers, nodes and the services of nodes: each raises ``WrongThread``, but for what is safe."""

    async def main() -> None:
        async with Node("one", listen="inprocess://one") as node:
            ref = await node.spawn(Local)
            actor = cell_of(ref).actor
            assert isinstance(actor, Local)
            things: list[object] = [
                ref, actor, actor.timers, node, node.registry, node.groups, node.events, node.introspection,
                node.dead_letters, node.recorder, node.instruments, node.shutdown, node.network,
            ]  # fmt: skip
            allowed = await asyncio.to_thread(lambda: [name for thing in things for name in refused_not(thing, ref)])
            assert not allowed, "\n".join(allowed)
            assert node.accounting().sent == 0
            assert list(cell_of(ref).children or ()) == []

    asyncio.run(main())


def refused_not(thing: object, ref: ActorRef) -> list[str]:
    """The calls of an object that do not raise ``WrongThread`` in this thread."""
    found: list[str] = []
    for name in public_calls(thing):
        try:
            value = inspect.getattr_static(type(thing), name)
            called: object = getattr(thing, name)
            if callable(called):
                called = called(*arguments_for(value, ref))
            if inspect.isawaitable(called):
                asyncio.run(_await(called))
        except WrongThread:
            continue
        except Exception as error:  # noqa: BLE001  it is shown
            found.append(f"{type(thing).__name__}.{name} raised {error!r}")
        else:
            found.append(f"{type(thing).__name__}.{name}")
    return found


async def _await(value: Awaitable[object]) -> object:
    return await value


def test_spawning_in_another_thread_is_an_error() -> None:
    """By a node and by an actor."""

    def scene(node: Node, ref: ActorRef) -> None:
        actor = cell_of(ref).actor
        assert isinstance(actor, Local)
        for spawn in (node.spawn, actor.spawn, actor.spawn_nowait):
            with pytest.raises(WrongThread):
                spawn(Local)

    in_thread(scene)
