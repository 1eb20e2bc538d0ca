import asyncio

from tests.runtime.stage import Double, Hold, Note, Notes, Player, Story, cell_of, letters_of, staged, told
from trouper import ActorRef, Down, Mailbox, Node, handler
from trouper.runtime.kernel import signals
from trouper.runtime.kernel.lifecycle import REQUEST, STOP, SUPERVISION
from trouper.testing import settle


def suspend(ref: ActorRef) -> None:
    """Keep an actor from its messages, as introspection does."""
    cell_of(ref).suspended = True
    cell_of(ref).post(REQUEST, signals.refresh)


def resume(ref: ActorRef) -> None:
    """Undo `suspend`."""
    cell_of(ref).suspended = False
    cell_of(ref).post(REQUEST, signals.refresh)


@staged
async def test_a_suspended_actor_keeps_its_mail(node: Node) -> None:
    """Nothing is handled and nothing is lost until it is resumed; then all comes in order."""
    ref = await node.spawn(Player)
    suspend(ref)
    await settle()
    asked = ref.ask(Double(2), timeout_s=60.0)
    for n in range(3):
        ref.tell(Note(n))
    await asyncio.sleep(10.0)
    assert not asked.done()
    assert node.accounting().in_flight == 4
    resume(ref)
    assert await asked == 4
    assert await ref.ask(Notes()) == [0, 1, 2]


@staged
async def test_a_suspended_actor_still_handles_its_system_queue(node: Node) -> None:
    """It can be stopped, killed and watched; its own `Down`s wait as its messages do."""
    story, letters = Story(), letters_of(node)
    watcher, other = await node.spawn(Player, story), await node.spawn(Player)
    other.watch(watcher)
    suspend(watcher)
    await other.stop()
    watcher.tell(Note(1))
    await settle()
    assert story == ["start"]
    await watcher.stop()
    assert story == ["start", "stop", ("undelivered", Note(1), "stopped")]
    assert told(letters) == [(Note(1), "stopped")]


@staged
async def test_a_down_overtakes_messages_but_not_the_handler_at_work(node: Node) -> None:
    """It comes by the system queue: ahead of all user messages, one message at a time."""
    story, gate = Story(), asyncio.Event()
    watcher, other = await node.spawn(Player, story, gate), await node.spawn(Player)
    other.watch(watcher)
    for message in (Hold(0), Note(1), Note(2)):
        watcher.tell(message)
    await settle()
    await other.stop()
    await settle()
    gate.set()
    await settle()
    assert story == ["start", ("hold", 0), Down(other, "stopped"), 1, 2]


@staged
async def test_signals_run_by_priority_then_in_order(node: Node) -> None:
    """Stop before supervision before requests, whatever was posted first."""
    story, gate = Story(), asyncio.Event()
    ref = await node.spawn(Player, story, gate)
    ref.tell(Hold(0))
    await settle()
    for priority in (REQUEST, SUPERVISION, STOP, REQUEST):
        cell_of(ref).post(priority, lambda _, payload: story.append(payload), priority)
    gate.set()
    await settle()
    assert story[2:] == [STOP, SUPERVISION, REQUEST, REQUEST]


@staged
async def test_signals_are_never_dropped_by_a_full_mailbox(node: Node) -> None:
    """The system queue has no limit, and is not behind user messages."""

    class Tiny(Player):
        mailbox = Mailbox(high_water=1, limit=1)

    story, gate = Story(), asyncio.Event()
    watcher = await node.spawn(Tiny, story, gate)
    others = [await node.spawn(Player) for _ in range(50)]
    for other in others:
        other.watch(watcher)
    watcher.tell(Hold(0))
    await settle()
    watcher.tell(Note(1))
    for other in others:
        other.kill()
    gate.set()
    await settle()
    assert story == ["start", ("hold", 0), *[Down(other, "killed") for other in others], 1]


@staged
async def test_an_idle_cell_is_woken_by_a_signal_and_goes_back_to_sleep(node: Node) -> None:
    """Nothing looks at it before and after."""
    story, ref = Story(), await node.spawn(Player)
    cell = cell_of(ref)
    assert cell.mail is None
    cell.post(REQUEST, lambda _, payload: story.append(payload), "seen")
    await settle()
    assert story == ["seen"]
    assert (cell.mail, cell.slow_path, cell.signals) == (None, False, [])


@staged
async def test_a_signal_to_an_actor_that_has_ended_is_nothing(node: Node) -> None:
    """There is nobody left to act on it."""
    story, ref = Story(), await node.spawn(Player)
    await ref.stop()
    cell_of(ref).post(REQUEST, lambda _, payload: story.append(payload), "seen")
    await settle()
    assert story == []


@staged
async def test_a_change_of_behaviour_ends_a_run_of_plain_messages(node: Node) -> None:
    """The fast path is closed for the rest of the run, so that the next message meets the new behaviour."""

    class Turning(Player):
        @handler
        def double(self, msg: Double) -> int:
            self.become(self.other)
            return 2 * msg.n

        def other(self, msg: Double) -> int:
            return 3 * msg.n

    ref = await node.spawn(Turning)
    ref.tell(Note(0))
    asks = [ref.ask(Double(n)) for n in (1, 1, 1)]
    assert [await ask for ask in asks] == [2, 3, 3]
