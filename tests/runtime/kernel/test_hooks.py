"""Admission hooks: a function decides about each message of an actor, just before its handler would begin."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.runtime.stage import Double, Fail, Hold, Note, Player, Story, cell_of, letters_of, staged, told
from trouper import Actor, ActorRef, CallerError, Down, InvalidOption, Message, Node, NotAdmitted, WrongThread, handler
from trouper.runtime.kernel.headers import Headers, declare_header
from trouper.runtime.kernel.hooks import set_admission
from trouper.runtime.observe.instruments import Instrument
from trouper.testing import settle

EPOCH = declare_header("test-epoch", follows=False)


class Fence:
    """Refuses messages without an epoch, and those of an older one than the newest that was handled."""

    def __init__(self) -> None:
        self.newest = 0

    def __call__(self, actor: ActorRef, message: Message[object], headers: Headers) -> str | None:
        if EPOCH not in headers:
            return "no_epoch"
        epoch = int.from_bytes(headers[EPOCH], "big")
        if epoch < self.newest:
            return "stale_epoch"
        self.newest = epoch
        return None


REASONS = ("no_epoch", "stale_epoch")


def epoch(number: int) -> dict[str, bytes]:
    """The header of an epoch."""
    return {EPOCH: bytes([number])}


@staged
async def test_a_refused_message_is_a_dead_letter_of_the_hooks_own_reason(node: Node) -> None:
    """Told: the letter; asked: the error too, which names the actor, the message and the reason."""
    letters = letters_of(node)
    ref = await node.spawn(Player)
    set_admission(ref, Fence(), reasons=REASONS)
    ref.with_headers(epoch(2)).tell(Note(1))
    ref.with_headers(epoch(1)).tell(Note(2))
    ref.tell(Note(3))
    assert await ref.with_headers(epoch(2)).ask(Double(4)) == 8
    with pytest.raises(NotAdmitted, match=r"refused Double before handling it: stale_epoch$"):
        await ref.with_headers(epoch(1)).ask(Double(5))
    with pytest.raises(NotAdmitted, match=r"user/\$\d+.* refused Hold before handling it: no_epoch$"):
        await ref.ask(Hold(6))
    assert told(letters) == [
        (Note(2), "stale_epoch"), (Note(3), "no_epoch"), (Double(5), "stale_epoch"), (Hold(6), "no_epoch")
    ]  # fmt: skip
    player = cell_of(ref).actor
    assert isinstance(player, Player)
    assert player.noted == [1]
    assert node.dead_letters.counts == {"stale_epoch": 2, "no_epoch": 2}


@staged
async def test_the_hook_stays_over_restarts_and_goes_when_it_is_removed(node: Node) -> None:
    """Removed, the actor is on the fast path again."""
    ref = await node.spawn(Player)
    set_admission(ref, Fence(), reasons=REASONS)
    ref.with_headers(epoch(1)).tell(Fail())
    await settle()
    with pytest.raises(NotAdmitted):
        await ref.ask(Double(1))
    set_admission(ref, None)
    assert await ref.ask(Double(1)) == 2
    assert cell_of(ref).hooks is None


@staged
async def test_every_message_of_a_run_of_async_handlers_passes_the_hook(node: Node) -> None:
    """One task serves several; each of them is decided about."""
    calls: list[object] = []

    def count(actor: ActorRef, message: Message[object], headers: Headers) -> str | None:
        calls.append(message)
        return "odd" if isinstance(message, Hold) and message.n % 2 else None

    ref = await node.spawn(Player)
    player = cell_of(ref).actor
    assert isinstance(player, Player)
    player.gate.set()
    set_admission(ref, count, reasons=("odd",))
    for n in range(6):
        ref.tell(Hold(n))
    await settle()
    assert calls == [Hold(n) for n in range(6)]
    assert player.story == ["start", ("hold", 0), ("hold", 2), ("hold", 4)]


@staged
async def test_a_stashed_message_is_decided_about_again(node: Node) -> None:
    """A message that was admitted, and became stale in the stash, is refused when it comes out."""
    handled = Story()

    class Slow(Actor):
        ready = False

        @handler
        def note(self, msg: Note) -> None:
            if not self.ready and msg.n < 10:
                self.stash(msg)
                return
            handled.append(msg.n)
            self.ready = True
            self.unstash_all()

    letters = letters_of(node)
    ref = await node.spawn(Slow)
    set_admission(ref, Fence(), reasons=REASONS)
    ref.with_headers(epoch(1)).tell(Note(1))
    ref.with_headers(epoch(2)).tell(Note(10))
    await settle()
    assert handled == [10]
    assert told(letters) == [(Note(1), "stale_epoch")]


@staged
async def test_a_hook_that_fails_refuses_and_is_reported_in_moderation(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """It must not let a message pass that it might have refused; a reason that it may not give counts alike."""

    def broken(actor: ActorRef, message: Message[object], headers: Headers) -> str | None:
        if isinstance(message, Double):
            return "whatever"
        raise RuntimeError("broken hook")

    letters = letters_of(node)
    ref = await node.spawn(Player)
    set_admission(ref, broken, reasons=("full_moon",))
    with pytest.raises(NotAdmitted, match="refused Double before handling it: refused"):
        await ref.ask(Double(1))
    for n in range(100):
        ref.tell(Note(n))
    await settle()
    assert {letter.reason for letter in letters} == {"refused"}
    reports = [text for text in caplog.messages if "the admission hook of" in text]
    assert len(reports) == 10
    assert "returned 'whatever', which is none of its reasons ['full_moon', 'refused']" in reports[0]
    assert "broken hook" in reports[1]


@staged
async def test_down_notices_do_not_pass_through_the_hook(node: Node) -> None:
    """They are the runtime's own, and never refused."""
    ref, other = await node.spawn(Player), await node.spawn(Player)
    set_admission(ref, lambda _actor, _message, _headers: "closed", reasons=("closed",))
    other.watch(ref)
    ref.watch(other)
    other.watch(ref)
    player = cell_of(ref).actor
    assert isinstance(player, Player)
    await other.stop()
    await settle()
    assert [type(entry) for entry in player.story] == [str, Down]


@pytest.mark.parametrize("reasons", [(), ("Not A Word",), ("x" * 41,), tuple(f"r{n}" for n in range(17))])
@staged
async def test_the_reasons_of_a_hook_are_few_words(node: Node, reasons: tuple[str, ...]) -> None:
    """Dead letters are counted by reason, so that there must not be any number of them."""
    ref = await node.spawn(Player)
    with pytest.raises(InvalidOption, match="give 1 to 16 words"):
        set_admission(ref, Fence(), reasons=reasons)


def test_an_actor_of_another_node_has_its_hook_there() -> None:
    """The hook belongs to the mailbox, which is not here."""
    from tests.runtime.net.stage import Clerk, paired

    @paired
    async def scene(a: Node, b: Node) -> None:
        ref = await a.spawn(Clerk, place="b")
        with pytest.raises(CallerError, match="runs on another node: set its admission hook there"):
            set_admission(ref, Fence(), reasons=REASONS)

    scene()


@staged
async def test_hooks_are_set_in_the_thread_of_the_loop(node: Node) -> None:
    """Elsewhere it is an error that touches nothing; a message with headers may be told from anywhere."""
    ref = await node.spawn(Player)

    def set_it() -> None:
        set_admission(ref, Fence(), reasons=REASONS)

    with ThreadPoolExecutor(1) as other_thread:
        with pytest.raises(WrongThread, match="set_admission of trouper://local/user/"):
            other_thread.submit(set_it).result()
        with pytest.raises(WrongThread, match="add"):
            other_thread.submit(node.instruments.add, Instrument()).result()
        other_thread.submit(ref.with_headers(epoch(1)).tell, Note(1)).result()
    await settle()
    player = cell_of(ref).actor
    assert isinstance(player, Player)
    assert player.noted == [1]
    assert cell_of(ref).hooks is None
    assert len(node.instruments) == 0
