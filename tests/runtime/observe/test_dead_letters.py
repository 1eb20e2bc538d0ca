import asyncio
import logging
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.stage import Double, Fail, Hold, Note, Notes, Player, play_on, staged
from trouper import (
    Actor,
    ActorStopped,
    AskTimeout,
    DeadLetter,
    InvalidOption,
    Mailbox,
    Message,
    Node,
    Unhandled,
    WireError,
    handler,
)
from trouper.lowlevel import declare_header, set_admission
from trouper.runtime.observe.dead_letters import (
    ACTORS_MAX,
    REASONS,
    SILENCE_S,
    WARNED_REASONS,
    WARNINGS_MAX,
    WarningLimit,
    bytes_of,
)
from trouper.testing import Probe, settle


class Strange(Message):
    """A message that no actor here handles."""


class Overflowing(Actor):
    """Takes dead letters, one at a time at most."""

    mailbox = Mailbox(high_water=1, limit=1)

    def __init__(self, seen: list[DeadLetter]) -> None:
        self.seen = seen

    @handler
    def letter(self, msg: DeadLetter) -> None:
        self.seen.append(msg)


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("dead letter")]


# --- counted, kept, shown --------------------------------------------------------------------------------------------


@staged
async def test_letters_are_counted_by_reason_and_the_last_ones_kept(node: Node) -> None:
    """Each reason has its count; `recent` has the letters, oldest first, up to the limit."""
    node.dead_letters.configure(keep=2)
    player = await node.spawn(Player, restart="temporary")
    player.tell(Strange())
    player.tell(Fail())
    await settle()
    player.tell(Note(1))
    assert node.dead_letters.counts == {"unhandled": 1, "failed": 1, "stopped": 1}
    assert node.dead_letters.recent == [
        DeadLetter(Fail(), player, "failed", "ValueError: boom"),
        DeadLetter(Note(1), player, "stopped"),
    ]
    node.dead_letters.configure(keep=0)
    player.tell(Note(2))
    assert node.dead_letters.recent == []
    assert node.dead_letters.counts["stopped"] == 2


@staged
async def test_a_negative_limit_is_refused(node: Node) -> None:
    """Every limit is 0 or more."""
    message = "keep=-1, keep_bytes=16777216, warnings_max=10 and silence_s=300.0 must be 0 or more"
    with pytest.raises(InvalidOption, match=f"^{re.escape(message)}$"):
        node.dead_letters.configure(keep=-1)


@staged
async def test_subscribers_see_letters_from_then_on(node: Node) -> None:
    """An actor is told, a function is called, and neither after it has unsubscribed or ended."""
    probe, gone, called = Probe(node), Probe(node), list[DeadLetter]()
    player = await node.spawn(Player)
    await gone.ref.stop()
    for subscriber in (probe.ref, gone.ref, called.append):
        node.dead_letters.subscribe(subscriber)
    player.tell(Strange())
    letter = await probe.expect(DeadLetter)
    assert (letter.message, letter.target, letter.reason) == (Strange(), player, "unhandled")
    assert called == [letter]
    assert node.dead_letters.unsubscribe(called.append)
    assert not node.dead_letters.unsubscribe(called.append)
    player.tell(Strange())
    await probe.expect(letter)
    await probe.ref.stop()
    player.tell(Strange())
    await settle()
    assert called == [letter]
    assert node.dead_letters.counts == {"unhandled": 3}


@staged
async def test_a_subscriber_that_cannot_keep_up_makes_no_endless_chain(node: Node) -> None:
    """A letter that is itself lost is counted, and shown to no subscriber."""
    seen: list[DeadLetter] = []
    node.dead_letters.subscribe(await node.spawn(Overflowing, seen))
    player = await node.spawn(Player)
    await player.stop()
    for number in range(3):
        player.tell(Note(number))
    await settle()
    assert seen == [DeadLetter(Note(0), player, "stopped")]
    assert node.dead_letters.counts == {"stopped": 3, "mailbox_full": 2}


@staged
async def test_a_function_that_loses_messages_itself_is_not_called_with_them(node: Node) -> None:
    """Whatever a subscriber does, one lost message calls it once."""
    player, seen = await node.spawn(Player), list[DeadLetter]()
    await player.stop()

    def clumsy(letter: DeadLetter) -> None:
        seen.append(letter)
        player.tell(Note(2))

    node.dead_letters.subscribe(clumsy)
    player.tell(Note(1))
    assert seen == [DeadLetter(Note(1), player, "stopped")]
    assert node.dead_letters.counts == {"stopped": 2}


def test_a_function_that_raises_is_reported_and_not_felt(caplog: pytest.LogCaptureFixture) -> None:
    """The code that lost the message goes on, later subscribers see it, and the log has the traceback."""

    async def scene(node: Node) -> None:
        seen: list[DeadLetter] = []

        def broken(letter: DeadLetter) -> None:
            raise KeyError("gone")

        node.dead_letters.subscribe(broken)
        node.dead_letters.subscribe(seen.append)
        player = await node.spawn(Player)
        await player.stop()
        player.tell(Note(1))
        assert seen == [DeadLetter(Note(1), player, "stopped")]

    play_on(Node(), scene)
    reports = [record.getMessage() for record in caplog.records]
    assert len([text for text in reports if "called with a dead letter, failed" in text and "KeyError" in text]) == 1


# --- sent again ------------------------------------------------------------------------------------------------------


@staged
async def test_a_letter_is_replayed_to_its_target_or_to_another(node: Node) -> None:
    """It is a new send: it is counted, and handled like any other; a target that is gone makes a new letter."""
    player, other = await node.spawn(Player), await node.spawn(Player)
    await player.stop()
    player.tell(Note(1))
    (letter,) = node.dead_letters.recent
    before = node.accounting().sent
    await node.dead_letters.replay(letter, other)
    assert node.accounting().sent == before + 1
    assert await other.ask(Notes()) == [1]
    node.dead_letters.replay(letter)
    assert node.dead_letters.recent == [letter, letter]


@staged
async def test_a_letter_is_replayed_with_the_headers_of_its_message(node: Node) -> None:
    """A lost message keeps its headers, told or asked; a message without headers has none."""
    declare_header("replayed", follows=False)
    player, other = await node.spawn(Player), await node.spawn(Player)
    await player.stop()
    seen: list[dict[str, bytes]] = []
    set_admission(other, lambda _to, _message, headers: seen.append(dict(headers)), reasons=["refused"])
    headed = player.with_headers({"replayed": b"1"})
    headed.tell(Note(1))
    with pytest.raises(ActorStopped):
        await headed.ask(Notes())
    player.tell(Note(2))
    for letter in node.dead_letters.recent:
        node.dead_letters.replay(letter, other)
    await other.drain()
    assert seen == [{"replayed": b"1"}, {"replayed": b"1"}, {}]
    assert node.dead_letters.recent[-1].headers is None


@staged
async def test_the_message_of_an_ask_is_replayed_as_a_tell(node: Node) -> None:
    """Its asker has been answered already."""
    player = await node.spawn(Player)
    with pytest.raises(ValueError, match=r"^boom$"):
        await player.ask(Fail())
    (letter,) = node.dead_letters.recent
    assert (letter.message, letter.reason) == (Fail(), "failed")
    probe = Probe(node)
    node.dead_letters.replay(letter, probe.ref)
    await probe.expect(Fail())
    assert node.system.late_replies == 0


# --- warned of -------------------------------------------------------------------------------------------------------


def test_an_unhandled_message_is_warned_of_with_the_handlers_there_are(caplog: pytest.LogCaptureFixture) -> None:
    """The warning names the actor, the type, and what it does handle."""
    addresses: list[str] = []

    async def scene(node: Node) -> None:
        player = await node.spawn(Player)
        addresses.append(str(player.address))
        player.tell(Strange())

    play_on(Node(), scene)
    warning = (
        f"dead letter (unhandled): {addresses[0]} has no handler for Strange; "
        "it handles: Double, Down, Fail, Hold, Note, Notes"
    )
    assert _warnings(caplog) == [warning]


def test_what_an_asker_has_heard_of_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """An unhandled ask raises at the asker; it is counted, and not logged besides."""

    async def scene(node: Node) -> None:
        player = await node.spawn(Player)
        with pytest.raises(Unhandled):
            await player.ask(Strange())
        await player.stop()
        with pytest.raises(ActorStopped):
            await player.ask(Notes())
        assert node.dead_letters.counts == {"unhandled": 1, "stopped": 1}
        assert [letter.asked for letter in node.dead_letters.recent] == [True, True]

    play_on(Node(), scene)
    assert _warnings(caplog) == []


def test_what_nobody_has_to_be_told_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """A cancelled handler, an ask that expired in the queue, a failure that has its report: counted, not warned of."""

    async def scene(node: Node) -> None:
        player = await node.spawn(Player)
        asks = [player.ask(Hold(1), timeout_s=1), player.ask(Double(2), timeout_s=0.5)]
        for ask in asks:
            with pytest.raises(AskTimeout):
                await ask
        player.tell(Fail())
        await settle()
        assert node.dead_letters.counts == {"cancelled": 1, "expired": 1, "failed": 1}

    play_on(Node(), scene)
    assert _warnings(caplog) == []


def test_what_is_lost_by_the_shutdown_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """A program that ends with messages under way ends quietly."""

    async def scene(node: Node) -> None:
        player = await node.spawn(Player)
        player.tell(Hold())
        player.tell(Note(1))
        await settle()

    node = Node(shutdown_s=1)
    play_on(node, scene)
    assert node.dead_letters.counts.get("stopped", 0) + node.dead_letters.counts.get("killed", 0) == 2
    assert _warnings(caplog) == []


def test_a_flood_is_warned_of_ten_times_then_counted_for_five_minutes(caplog: pytest.LogCaptureFixture) -> None:
    """The last warning announces the silence, and the first one after it says how many were not logged."""
    caplog.set_level(logging.WARNING)

    async def scene(node: Node) -> None:
        player = await node.spawn(Player, name="ada")
        await player.stop()
        for number in range(WARNINGS_MAX + 5):
            player.tell(Note(number))
        await asyncio.sleep(SILENCE_S)
        player.tell(Note(0))

    play_on(Node(), scene)
    heads = [text.partition(":")[0] for text in _warnings(caplog)]
    assert heads == [
        *["dead letter (stopped)"] * (WARNINGS_MAX - 1),
        "dead letter (stopped; silence for 300 s)",
        "dead letter (stopped; 5 more since the last warning)",
    ]


@given(st.lists(st.floats(0, 40)), st.integers(0, 5), st.floats(0, 30))
def test_warnings_are_few_and_every_letter_is_counted(pauses: list[float], warnings_max: int, silence_s: float) -> None:
    """Within the time of a silence there are at most so many warnings, and they and the counts make all the letters."""
    limit, now = WarningLimit(warnings_max, silence_s), 0.0
    warned: list[float] = []
    omitted = silent = 0
    for pause in pauses:
        now += pause
        verdict = limit.step(now)
        if verdict.warn:
            warned.append(now)
            omitted += verdict.omitted
            silent = 0
        else:
            silent += 1
    assert len(warned) + omitted + silent == len(pauses)
    for start in warned:
        assert len([time for time in warned if start <= time < start + silence_s]) <= warnings_max
    assert warned[:1] == (pauses[:1] if warnings_max else [])


@staged
async def test_a_flood_at_one_actor_does_not_hide_the_loss_of_another(node: Node) -> None:
    """Warnings are limited for each reason and actor."""
    problems = _problems_of(node)
    loud, quiet = await node.spawn(Player, name="loud"), await node.spawn(Player, name="quiet")
    for player in (loud, quiet):
        await player.stop()
    for number in range(WARNINGS_MAX * 5):
        loud.tell(Note(number))
    quiet.tell(Note(0))
    assert len(problems) == WARNINGS_MAX + 1
    assert "/user/quiet" in problems[-1]


@staged
async def test_warnings_of_many_actors_are_bounded(node: Node) -> None:
    """A limit of its own for each of the first actors, one for all others, until the silence is over."""
    node.dead_letters.configure(warnings_max=2, silence_s=300.0)
    problems = _problems_of(node)
    players = [await node.spawn(Player) for _ in range(ACTORS_MAX + 50)]
    for player in players:
        await player.stop()
        for number in range(5):
            player.tell(Note(number))
    assert len(problems) == 2 * (ACTORS_MAX + 1)
    await asyncio.sleep(700.0)
    players[-1].tell(Note(0))
    assert len(problems) == 2 * (ACTORS_MAX + 1) + 1


@pytest.mark.parametrize("reason", sorted(REASONS))
@staged
async def test_losses_of_which_nobody_was_told_are_warned_of(node: Node, reason: str) -> None:
    """What one node cannot send, or another cannot read, or has lost, is logged too (law 11)."""
    problems = _problems_of(node)
    player = await node.spawn(Player, name="far")
    error = WireError("Note cannot travel: n") if reason in ("unsendable", "decode_error") else None
    node.system.dead_letter(Note(1), player, reason, error, asked=False)
    node.system.dead_letter(Note(1), player, reason, error, asked=True)
    node.system.count_gone(2, 0)
    assert len(problems) == (reason in WARNED_REASONS)
    if error is not None:
        expected = f"dead letter ({reason}): {player.address} does not get Note: WireError: Note cannot travel: n"
        assert problems == [expected]


def test_the_public_list_of_reasons_is_complete() -> None:
    """Each reason that the runtime gives is in ``REASONS``, in the class's documentation and in the guide."""
    given = re.compile(r"""\.(?:lose|dead_letter|_dead_letter)\(.*, (?:reason or )?"(\w+)"[,)]""")
    found = {reason for path in Path("src/trouper").rglob("*.py") for reason in given.findall(path.read_text())}
    assert found - REASONS == set()
    assert len(found) >= 5
    guide = Path("docs/guides/dead-letters.md").read_text()
    for reason in REASONS:
        assert f"``{reason}``" in (DeadLetter.__doc__ or ""), reason
        assert f"`{reason}`" in guide, reason


# --- bounded ---------------------------------------------------------------------------------------------------------


class Big(Message):
    """A message with a large field."""

    data: bytes


@staged
async def test_letters_are_kept_within_a_bound_in_bytes(node: Node) -> None:
    """Large messages push out older letters, and one larger than the bound is counted only."""
    node.dead_letters.configure(keep_bytes=10_000)
    player = await node.spawn(Player)
    await player.stop()
    for number in range(9):
        player.tell(Big(bytes(2_000 + number)))
    assert [len(letter.message.data) for letter in node.dead_letters.recent] == [2_005, 2_006, 2_007, 2_008]  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownArgumentType, reportUnknownMemberType]  all are Big
    assert node.dead_letters.kept_bytes <= 10_000
    player.tell(Big(bytes(20_000)))
    assert node.dead_letters.recent == []
    assert node.dead_letters.kept_bytes == 0
    assert node.dead_letters.counts == {"stopped": 10}


class _Array:
    """Has its memory outside of Python's objects, as arrays have."""

    nbytes = 5_000_000


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        (Big(bytes(1_000_000)), 1_000_000, 1_001_000),
        ([bytes(10_000)] * 1_000, 10_000_000, 10_100_000),
        (dict.fromkeys(range(5000), "x" * 1000), 5_000_000, 6_000_000),
        ([[_Array()], {"a": _Array()}, memoryview(bytes(1_000))], 10_001_000, 10_002_000),
        (tuple(range(1_000_000)), 8_000_000, 50_000_000),
        (Note(1), 30, 100),
    ],
)
def test_the_bytes_of_a_message_are_estimated(value: object, least: int, most: int) -> None:
    """Fields, containers and buffers count; a large container is sampled."""
    assert least <= bytes_of(value) <= most


def test_the_estimate_takes_bounded_time_for_a_message_that_contains_itself() -> None:
    """A cycle, and containers nested without end, are cut off."""
    cycle: list[object] = []
    cycle += [cycle, cycle]
    assert bytes_of(cycle) > 0


def _problems_of(node: Node) -> list[str]:
    """A list of the problems that the node reports from now on."""
    problems: list[str] = []
    patch = pytest.MonkeyPatch()

    def problem(text: str, _: BaseException | None = None) -> None:
        problems.append(text)

    patch.setattr(node.dead_letters, "_reports", SimpleNamespace(problem=problem))
    return problems
