import asyncio

import pytest

from tests.runtime.stage import (
    Double,
    Fail,
    Hold,
    Note,
    Notes,
    Player,
    Story,
    cell_of,
    letters_of,
    staged,
    told,
)
from trouper import (
    Actor,
    ActorRef,
    ActorStopped,
    Down,
    Node,
    OneForAll,
    StartFailed,
    WrongReply,
    handler,
)
from trouper.testing import settle


class Patient(Player):
    """Every hook is async and waits a second."""

    async def on_start(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  a hook may be either
        self.story.append("starts")
        await asyncio.sleep(1.0)
        self.story.append("started")

    async def on_stop(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  a hook may be either
        self.story.append("stops")
        await asyncio.sleep(1.0)
        self.story.append("stopped")


class Family(Player):
    """Has children as soon as it starts, as many as `kids` says; they tell their story where it tells its own."""

    kids = 3

    def on_start(self) -> None:
        super().on_start()
        self.born = [self.spawn_nowait(Kid, self.story, index, name=f"kid-{index}") for index in range(self.kids)]


class Kid(Player):
    def __init__(self, story: Story, index: int) -> None:
        super().__init__(story)
        self.index = index

    def on_start(self) -> None:
        self.story.append(("kid starts", self.index))

    def on_stop(self) -> None:
        self.story.append(("kid stops", self.index))


# --- starting --------------------------------------------------------------------------------------------------------


@staged
async def test_spawn_resolves_after_on_start(node: Node) -> None:
    """Whoever has the ref knows that the start has succeeded, and mail that came before it is handled after it."""
    story = Story()
    spawning = node.spawn(Patient, story, name="ada")
    (node.system.user.children or {})["ada"].ref.tell(Note(1))
    await settle()
    assert story == ["starts"]
    ref = await spawning
    await settle()
    assert story == ["starts", "started", 1]
    assert await ref.ask(Notes()) == [1]


@pytest.mark.parametrize("waits", [True, False])
@staged
async def test_a_start_that_fails_is_raised_at_the_spawner(node: Node, waits: bool) -> None:
    """The error has the cause; the name is free again by then, and mail that had come is dead letters."""

    class Plain(Actor):
        def on_start(self) -> None:
            raise ValueError("no luck")

    class Waiting(Actor):
        async def on_start(self) -> None:
            await asyncio.sleep(1.0)
            raise ValueError("no luck")

    with pytest.raises(StartFailed) as caught:
        await node.spawn(Waiting if waits else Plain, name="ada")
    assert str(caught.value).endswith(" did not start: ValueError: no luck")
    assert str(caught.value).startswith("trouper://local/user/ada#")
    assert isinstance(caught.value.__cause__, ValueError)
    assert await (await node.spawn(Player, name="ada")).ask(Double(1)) == 2


@staged
async def test_init_may_fail_as_a_start_may(node: Node) -> None:
    """An exception in `__init__`, wrong arguments among them, is a failed start."""

    class Picky(Actor):
        def __init__(self, owner: str) -> None:
            raise LookupError(owner)

    with pytest.raises(StartFailed) as caught:
        await node.spawn(Picky, "ada")
    assert isinstance(caught.value.__cause__, LookupError)
    with pytest.raises(StartFailed) as caught:
        await node.spawn(Picky)
    assert isinstance(caught.value.__cause__, TypeError)


@staged
async def test_mail_of_an_actor_that_did_not_start_is_dead_letters(node: Node) -> None:
    """Nobody waits for an answer that cannot come."""

    class Waiting(Actor):
        async def on_start(self) -> None:
            await asyncio.sleep(1.0)
            raise ValueError("no luck")

    letters = letters_of(node)
    spawning = node.spawn(Waiting, name="ada")
    ref = (node.system.user.children or {})["ada"].ref
    ref.tell(Note(1))
    asked = ref.ask(Double(1))
    with pytest.raises(StartFailed):
        await spawning
    with pytest.raises(ActorStopped):
        await asked
    assert told(letters) == [(Note(1), "stopped"), (Double(1), "stopped")]


@staged
async def test_children_of_a_start_that_fails_do_not_outlive_it(node: Node) -> None:
    """They are stopped, the newest first, before the spawner hears of it: there are no orphans."""
    story = Story()

    class Careless(Family):
        async def on_start(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  a hook may be either
            super().on_start()
            await asyncio.sleep(1.0)
            raise ValueError("no luck")

    with pytest.raises(StartFailed):
        await node.spawn(Careless, story)
    assert story[4:] == [("kid stops", 2), ("kid stops", 1), ("kid stops", 0)]
    assert [cell.name for cell in node.system.cells()] == ["", "user", "system"]


@staged
async def test_cancelling_a_spawn_kills_what_is_starting(node: Node) -> None:
    """The name is free at once: nobody will ever have the ref."""
    story = Story()
    spawning = asyncio.ensure_future(node.spawn(Patient, story, name="ada"))
    await settle()
    spawning.cancel()
    await settle()
    assert not node.system.user.children
    assert story == ["starts"]
    await node.spawn(Player, name="ada")


@pytest.mark.parametrize("steps", [0, 1, 2])
@staged
async def test_killing_an_actor_that_starts_fails_its_spawn(node: Node, steps: int) -> None:
    """The spawner hears of it at once, even if `on_start` had not taken its first step."""
    story = Story()
    spawning = asyncio.ensure_future(node.spawn(Patient, story, name="ada"))
    for _ in range(steps):
        await asyncio.sleep(0)
    if node.system.user.children:
        node.system.user.children["ada"].ref.kill()
        with pytest.raises(StartFailed):
            await asyncio.wait_for(spawning, 1.0)
    else:
        await (await spawning).kill()
    assert "stops" not in story


@staged
async def test_stopping_an_actor_that_starts_waits_for_its_start(node: Node) -> None:
    """The spawner gets its ref, and then the actor stops in order: what was begun is ended."""
    story = Story()
    spawning = node.spawn(Patient, story, name="ada")
    ref = (node.system.user.children or {})["ada"].ref
    ending = ref.stop()
    assert await spawning == ref
    await ending
    assert story == ["starts", "started", "stops", "stopped"]


@staged
async def test_an_on_start_that_never_ends_is_killed_with_its_node(node: Node) -> None:
    """Stopping gives it its shutdown time, 5 s; then it is killed and the spawner is told."""

    class Never(Actor):
        async def on_start(self) -> None:
            await asyncio.Event().wait()

    spawning = asyncio.ensure_future(node.spawn(Never, name="ada"))
    await settle()
    began = asyncio.get_running_loop().time()
    await (node.system.user.children or {})["ada"].ref.stop()
    assert asyncio.get_running_loop().time() == began + 5.0
    with pytest.raises(StartFailed):
        await spawning


# --- failing and restarting ------------------------------------------------------------------------------------------


@staged
async def test_a_restart_runs_the_hooks_in_order(node: Node) -> None:
    """The old instance gets `before_restart` with the error, whose default is `on_stop`; then the new one starts."""
    story = Story()

    class Told(Player):
        def before_restart(self, error: BaseException | None) -> None:
            self.story.append(repr(error))
            super().before_restart(error)

    ref = await node.spawn(Told, story)
    ref.tell(Fail("why"))
    await settle()
    assert story == ["start", "ValueError('why')", "stop", "start"]


@pytest.mark.parametrize("hook", ["on_stop", "before_restart"])
@staged
async def test_async_hooks_are_awaited_at_a_restart(node: Node, hook: str) -> None:
    """An async `before_restart` runs to its end, and so does an async `on_stop` that the default one calls."""
    story = Story()

    class Waiting(Patient):
        async def before_restart(self, error: BaseException | None) -> None:
            self.story.append(repr(error))
            await asyncio.sleep(1.0)
            self.story.append("before")

    ref = await node.spawn(Patient if hook == "on_stop" else Waiting, story)
    ref.tell(Fail("why"))
    ref.tell(Note(1))
    await asyncio.sleep(10.0)
    expected = ["stops", "stopped"] if hook == "on_stop" else ["ValueError('why')", "before"]
    assert story == ["starts", "started", *expected, "starts", "started", 1]


@staged
async def test_a_hook_that_fails_does_not_stop_a_restart(node: Node) -> None:
    """The failure is reported, and the new instance starts."""

    class Broken(Player):
        def before_restart(self, error: BaseException | None) -> None:
            raise LookupError("in the hook")

    ref = await node.spawn(Broken)
    ref.tell(Fail())
    assert await ref.ask(Double(1)) == 2


@staged
async def test_a_hook_that_never_ends_is_limited(node: Node) -> None:
    """`on_stop` has the shutdown time of its actor, at a restart as at an end."""

    class Endless(Player):
        async def on_stop(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  a hook may be either
            await asyncio.Event().wait()

    ref = await node.spawn(Endless, shutdown_s=2.0)
    began = asyncio.get_running_loop().time()
    ref.tell(Fail())
    assert await ref.ask(Double(1)) == 2
    assert asyncio.get_running_loop().time() == began + 2.0
    await ref.stop()
    assert asyncio.get_running_loop().time() == began + 4.0


@staged
async def test_a_hook_that_forgot_its_async_is_reported(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """A plain hook that returns a coroutine does not pass for one that has done its work."""

    async def work() -> None:
        raise AssertionError("never begun")

    class Forgetful(Player):
        def on_stop(self) -> None:
            return work()  # type: ignore[return-value]  # pyright: ignore[reportReturnType]  the mistake that is tested

    ref = await node.spawn(Forgetful, name="ada")
    await ref.stop()
    assert "make it `async def`" in caplog.text
    with pytest.raises(StartFailed) as caught:
        await node.spawn(type("Late", (Forgetful,), {"on_start": Forgetful.on_stop}))
    assert isinstance(caught.value.__cause__, WrongReply)


@staged
async def test_a_new_instance_that_does_not_start_is_another_failure(node: Node) -> None:
    """Each attempt counts; when they are too many, the actor ends and whoever waits hears of it."""
    story, attempts = Story(), list[int]()
    watcher = await node.spawn(Player, story)

    class OnceOnly(Player):
        def on_start(self) -> None:
            attempts.append(1)
            if len(attempts) > 1:
                raise ValueError("only once")

    class Boss(Actor):
        supervision = OneForAll(restarts=2)

        def on_start(self) -> None:
            self.kid = self.spawn_nowait(OnceOnly)

        @handler
        def fail(self, msg: Fail) -> int:
            self.kid.watch(watcher)
            self.kid.tell(msg)
            return 0

    boss = await node.spawn(Boss, restart="temporary")
    boss.tell(Fail())
    assert await boss.wait_stopped() == "failed"
    await settle()
    assert len(attempts) == 3
    assert len(story) == 2


@staged
async def test_children_are_stopped_before_a_restart_and_start_anew(node: Node) -> None:
    """Newest first; a restarted parent makes its children again."""
    story = Story()
    ref = await node.spawn(Family, story)
    del story[:]
    ref.tell(Fail())
    await settle()
    stops = [("kid stops", index) for index in (2, 1, 0)]
    starts = [("kid starts", index) for index in (0, 1, 2)]
    assert story == [*stops, "stop", "start", *starts]


@staged
async def test_children_may_be_kept_over_a_restart(node: Node) -> None:
    """With `keep_children` they live on, and their names are still taken."""
    story = Story()

    class Keeping(Family):
        keep_children = True

        def on_start(self) -> None:
            if not self._cell.children:
                super().on_start()

    ref = await node.spawn(Keeping, story)
    before = dict(cell_of(ref).children or {})
    ref.tell(Fail())
    assert await ref.ask(Double(1)) == 2
    assert cell_of(ref).children == before
    assert ("kid stops", 0) not in story


@staged
async def test_mail_waits_while_an_actor_restarts(node: Node) -> None:
    """Nothing that was queued is lost, and nothing is handled by an instance that has failed."""
    story = Story()
    ref = await node.spawn(Patient, story)
    for message in (Note(1), Fail(), Note(2), Note(3)):
        ref.tell(message)
    await asyncio.sleep(0.5)
    ref.tell(Note(4))
    await asyncio.sleep(10.0)
    assert [entry for entry in story if isinstance(entry, int)] == [1, 2, 3, 4]


# --- stopping --------------------------------------------------------------------------------------------------------


@staged
async def test_stop_waits_for_the_message_at_work(node: Node) -> None:
    """The handler ends in peace, what is queued becomes dead letters, then `on_stop` is called."""
    gate, story, letters = asyncio.Event(), Story(), letters_of(node)
    ref = await node.spawn(Player, story, gate)
    asked = ref.ask(Hold(1))
    ref.tell(Note(2))
    await settle()
    ending = ref.stop()
    await settle()
    gate.set()
    await ending
    assert await asked == 1
    assert told(letters) == [(Note(2), "stopped")]
    assert story == ["start", ("hold", 1), "stop", ("undelivered", Note(2), "stopped")]


@staged
async def test_stop_kills_after_the_shutdown_time(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """A handler that does not end is cancelled after 5 s by default, and a warning says what it was doing."""
    story, letters = Story(), letters_of(node)
    ref = await node.spawn(Player, story, name="ada")
    asked = ref.ask(Hold(1), timeout_s=60.0)
    await settle()
    began = asyncio.get_running_loop().time()
    await ref.stop()
    assert asyncio.get_running_loop().time() == began + 5.0
    assert story == ["start", ("hold", 1), ("cancelled", 1)]
    assert f"{ref.address} did not end within 5 s (live, 0 queued, at work on Hold): it is killed" in caplog.text
    with pytest.raises(ActorStopped):
        await asked
    assert told(letters) == [(Hold(1), "killed")]


@staged
async def test_kill_cancels_and_calls_no_hook(node: Node) -> None:
    """The handler gets `CancelledError`; `on_stop` is not called; what was queued is dead letters."""
    story, letters = Story(), letters_of(node)
    ref = await node.spawn(Player, story)
    asked = ref.ask(Hold(1))
    ref.tell(Note(2))
    await settle()
    await ref.kill()
    assert story == ["start", ("hold", 1), ("undelivered", Note(2), "killed"), ("cancelled", 1)]
    assert told(letters) == [(Hold(1), "killed"), (Note(2), "killed")]
    with pytest.raises(ActorStopped):
        await asked


@staged
async def test_kill_is_announced_although_a_handler_ignores_it(node: Node) -> None:
    """After a second of grace the end is announced, and what the handler still does changes nothing."""

    class Deaf(Actor):
        @handler
        async def hold(self, msg: Hold) -> int:
            for _ in range(3):
                try:
                    await asyncio.sleep(4.0)
                except asyncio.CancelledError:
                    continue
            return msg.n

    ref = await node.spawn(Deaf)
    ref.tell(Hold(1))
    await settle()
    began = asyncio.get_running_loop().time()
    await ref.kill()
    assert asyncio.get_running_loop().time() == began + 1.0
    await asyncio.sleep(30.0)


@staged
async def test_an_actor_may_kill_itself_from_a_plain_handler(node: Node) -> None:
    """The message counts as handled, and what follows is dead letters."""
    letters = letters_of(node)

    class Suicidal(Player):
        @handler
        def double(self, msg: Double) -> int:
            self.ref.kill()
            return 2 * msg.n

    one, two = await node.spawn(Suicidal), await node.spawn(Suicidal)
    assert await one.ask(Double(1)) == 2
    two.tell(Double(1))
    two.tell(Note(1))
    await asyncio.gather(one.wait_stopped(), two.wait_stopped())
    assert told(letters) == [(Note(1), "killed")]


@staged
async def test_an_actor_may_kill_itself_from_an_async_handler(node: Node) -> None:
    """It is cancelled at its next await: nothing of it goes on behind the runtime's back."""
    reached: list[str] = []

    class Suicidal(Actor):
        @handler
        async def hold(self, msg: Hold) -> int:
            self.ref.kill()
            reached.append("this line")
            await asyncio.sleep(1_000.0)
            reached.append("never this one")
            return 1

    ref = await node.spawn(Suicidal)
    with pytest.raises(ActorStopped):
        await ref.ask(Hold(1))
    assert await ref.wait_stopped() == "killed"
    await settle()
    assert reached == ["this line"]
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("asks", [True, False])
@staged
async def test_a_child_may_kill_its_parent_from_a_plain_handler(node: Node, asks: bool) -> None:
    """Its own message is accounted for although its cell is gone when the handler returns."""
    kids: list[ActorRef] = []

    class Assassin(Actor):
        def __init__(self, parent: ActorRef) -> None:
            self.parent = parent

        @handler
        def double(self, msg: Double) -> int:
            self.parent.kill()
            return 2 * msg.n

    class Parent(Actor):
        def on_start(self) -> None:
            kids.append(self.spawn_nowait(Assassin, self.ref))

    parent = await node.spawn(Parent)
    if asks:
        assert await kids[0].ask(Double(1)) == 2
    else:
        kids[0].tell(Double(1))
    await parent.wait_stopped()
    await settle()
    assert node.accounting().missing == 0


@staged
async def test_stopping_an_actor_that_is_about_to_restart_wins(node: Node) -> None:
    """A stop between the failure and the restart ends the actor in order, once; no new instance is started."""
    story = Story()
    ref = await node.spawn(Patient, story)
    with pytest.raises(ValueError, match="boom"):
        await ref.ask(Fail())
    await ref.stop()
    await asyncio.sleep(10.0)
    assert story == ["starts", "started", "stops", "stopped"]
    assert cell_of(ref).gone


@pytest.mark.parametrize("wait_s", [0.0, 0.5, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("end", ["stop", "kill", "drain"])
@staged
async def test_an_actor_can_be_ended_at_any_moment_of_a_restart(node: Node, end: str, wait_s: float) -> None:
    """While the old instance stops or the new one starts: it ends once, watchers hear once, nobody waits for ever."""
    downs, story, letters = Story(), Story(), letters_of(node)
    watcher = await node.spawn(Player, downs)
    ref = await node.spawn(Patient, story)
    ref.watch(watcher)
    ref.tell(Fail())
    ref.tell(Note(1))
    await settle()
    await asyncio.sleep(wait_s)
    await getattr(ref, end)()
    await asyncio.sleep(10.0)
    assert [entry for entry in downs if isinstance(entry, Down)] == [
        Down(ref, "killed" if end == "kill" else "stopped")
    ]
    handled = 1 in story
    assert (len(letters) == 1) is handled, "the note is handled or a dead letter"
    assert story.count("starts") <= 2


@staged
async def test_an_instance_that_failed_does_not_wait_for_its_handler_for_ever(node: Node) -> None:
    """A failure beside a waiting handler takes effect, at the latest after the shutdown time."""

    class Doomed(Player):
        @handler
        async def hold(self, msg: Hold) -> int:
            async def fails() -> int:
                raise ValueError("in the pipe")

            self.pipe_to_self(fails(), Note)
            await asyncio.Event().wait()
            return 0

    ref = await node.spawn(Doomed, restart="temporary")
    ref.tell(Hold(1))
    await settle()
    began = asyncio.get_running_loop().time()
    assert await ref.wait_stopped() == "failed"
    assert asyncio.get_running_loop().time() <= began + 5.0


@staged
async def test_a_tree_ends_children_first_and_newest_first(node: Node) -> None:
    """The order of the stops is the mirror of the order of the starts."""
    story = Story()
    ref = await node.spawn(Family, story)
    starts = list(story)
    del story[:]
    await ref.stop()
    assert starts == ["start", ("kid starts", 0), ("kid starts", 1), ("kid starts", 2)]
    assert story == [("kid stops", 2), ("kid stops", 1), ("kid stops", 0), "stop"]


@pytest.mark.parametrize("end", ["stop", "kill"])
@staged
async def test_a_deep_tree_ends_without_recursion(node: Node, end: str) -> None:
    """A chain of two thousand generations ends from the bottom up."""
    refs: list[ActorRef] = []

    class Nest(Actor):
        def on_start(self) -> None:
            refs.append(self.ref)

        @handler
        async def note(self, msg: Note) -> None:
            await self.spawn(Nest)

    top = await node.spawn(Nest)
    while len(refs) < 2_000:
        refs[-1].tell(Note(1))
        await settle()
    await getattr(top, end)()
    assert all(cell_of(ref).gone for ref in refs)


@staged
async def test_ten_thousand_children_end_together(node: Node) -> None:
    """A wide tree is no slower than its members; every one of them is gone and its name free."""

    class Crowd(Actor):
        def on_start(self) -> None:
            for index in range(10_000):
                self.spawn_nowait(Player, name=str(index))

    ref = await node.spawn(Crowd)
    kids = list((cell_of(ref).children or {}).values())
    assert len(kids) == 10_000
    await ref.stop()
    assert all(kid.gone for kid in kids)
    assert not cell_of(ref).children


# --- draining --------------------------------------------------------------------------------------------------------


@staged
async def test_drain_handles_what_is_queued_and_no_more(node: Node) -> None:
    """What is told after the call is a dead letter."""
    story, letters = Story(), letters_of(node)
    ref = await node.spawn(Player, story)
    for n in range(3):
        ref.tell(Note(n))
    ending = ref.drain()
    ref.tell(Note(3))
    await ending
    assert [entry for entry in story if isinstance(entry, int)] == [0, 1, 2]
    assert told(letters) == [(Note(3), "stopped")]


@staged
async def test_drain_of_a_busy_actor_lets_the_handler_end(node: Node) -> None:
    """Plain and async handlers alike: the one at work, then all that are queued."""
    gate, story = asyncio.Event(), Story()
    ref = await node.spawn(Player, story, gate)
    asks = [ref.ask(Hold(n)) for n in range(3)]
    ref.tell(Note(4))
    await settle()
    ending = ref.drain()
    await settle()
    assert story == ["start", ("hold", 0)]
    gate.set()
    await ending
    assert [await ask for ask in asks] == [0, 1, 2]
    assert story[-2:] == [4, "stop"]


@staged
async def test_drain_counts_what_comes_back_from_the_stash(node: Node) -> None:
    """Unstashed messages do not take the place of those that were queued."""
    story = Story()

    class Stasher(Player):
        opened = False

        @handler
        def note(self, msg: Note) -> None:
            if self.opened:
                self.story.append(msg.n)
            else:
                self.stash(msg)

        @handler
        def double(self, msg: Double) -> int:
            self.opened = True
            self.unstash_all()
            return msg.n

    ref = await node.spawn(Stasher, story)
    for message in (Note(1), Note(2), Double(0), Note(3), Note(4)):
        ref.tell(message)
    await ref.drain()
    assert story == ["start", 1, 2, 3, 4, "stop"]


@staged
async def test_a_failure_while_draining_does_not_stop_the_drain(node: Node) -> None:
    """The actor is restarted, handles the rest and ends."""
    story = Story()
    ref = await node.spawn(Player, story)
    for message in (Note(1), Fail(), Note(2)):
        ref.tell(message)
    await ref.drain()
    assert story == ["start", 1, "stop", "start", 2, "stop"]
