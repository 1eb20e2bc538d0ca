"""The flight recorder, and the bounds of everything that is said about a crash."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.stage import Double, Fail, Note, Player, play_on, staged
from trouper import Actor, InvalidOption, Message, Node, NodeFailed, OneForOne, handler
from trouper.runtime.observe.recorder import PER_SECOND_MAX, EntryRing, RecorderEntry, RecorderHeader
from trouper.runtime.observe.tracing import Traced
from trouper.runtime.observe.watchdog import LoopBlocked
from trouper.testing import run_virtual, settle

MANY = 100_000


def kinds(node: Node) -> list[str]:
    """What happened, in order."""
    return [entry.kind for entry in node.recorder.entries()]


@staged
async def test_what_happens_is_kept_in_order(node: Node) -> None:
    """Crashes with their traceback, dead letters with their reason, restarts, ends and notes."""
    player = await node.spawn(Player, name="player")
    player.tell(Fail("oh"))
    await settle()
    node.recorder.note("the user pressed the button", player)
    await player.stop()
    assert kinds(node) == ["dead_letter", "crash", "restart", "note", "end"]
    letter, crash, restart, note, end = node.recorder.entries()
    assert letter.text == "Fail(why='oh'): failed, ValueError: oh"
    assert crash.text.startswith(f"{player.address} failed handling Fail(why='oh')\nTraceback (most recent call last):")
    assert (restart.text, end.text) == ("restart number 1", "stopped after 0 of 1 messages")
    assert note == RecorderEntry(4, node.system.loop.time(), "note", str(player.address), "the user pressed the button")
    assert node.recorder.entries("restart", "end") == (restart, end)


@staged
async def test_who_held_the_loop_is_kept(node: Node) -> None:
    """With its name, or without when there were many."""
    node.recorder.on_loop_blocked(LoopBlocked("trouper://a", "Etl.parse", "actors/etl.py:41", 0.18))
    node.recorder.on_loop_blocked(LoopBlocked(None, None, None, 0.25))
    assert [entry.text for entry in node.recorder.entries("loop_blocked")] == [
        "180 ms in Etl.parse (actors/etl.py:41)",
        "250 ms in many short handlers",
    ]


def test_an_escalation_is_kept_as_such() -> None:
    """A supervisor that fails for too many restarts is told apart from the crash that was the last straw."""

    async def main() -> list[str]:
        node = Node(supervision=OneForOne(intensity=0))
        with pytest.raises(NodeFailed):
            await _fail_once(node)
        return kinds(node)

    assert [kind for kind in run_virtual(main) if kind in ("crash", "escalation")][:2] == ["crash", "escalation"]


async def _fail_once(node: Node) -> None:
    async with node:
        player = await node.spawn(Player)
        player.tell(Fail())
        await settle()


# --- bounds ----------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.text(max_size=50)),
    st.integers(1, 10),
    st.integers(1, 200),
)
def test_a_ring_keeps_the_newest_within_its_bounds(texts: list[str], entries_max: int, bytes_max: int) -> None:
    """What is kept is always the end of what came, and as much of it as fits."""
    ring = EntryRing(entries_max, bytes_max)
    entries = [RecorderEntry(number, 0.0, "note", None, text) for number, text in enumerate(texts)]
    for entry in entries:
        ring.add(entry)
    kept = list(ring.entries)
    assert kept == entries[len(entries) - len(kept) :]
    assert ring.bytes == sum(len(entry.text.encode()) for entry in kept) <= bytes_max
    assert len(kept) <= entries_max
    if len(kept) < min(len(entries), entries_max):
        more = entries[len(entries) - len(kept) - 1 :]
        assert sum(len(entry.text.encode()) for entry in more) > bytes_max


@staged
async def test_a_flood_of_one_kind_is_counted_and_pushes_nothing_else_out(node: Node) -> None:
    """A hundred thousand dead letters cost little, and the crash before them can still be read."""
    player = await node.spawn(Player)
    player.tell(Fail("the cause"))
    await settle()
    node.introspection.suspend(player)
    for n in range(MANY):
        player.tell(Note(n))
    began = time.perf_counter()
    await player.stop()
    assert time.perf_counter() - began < 10
    assert len(node.recorder.entries("dead_letter")) == PER_SECOND_MAX
    assert node.recorder.missed["dead_letter"] == MANY + 1 - PER_SECOND_MAX
    assert len(node.recorder.entries("crash")) == 1
    assert sum(len(line) for line in node.recorder.lines()) < 100_000


class Blob(Message[None]):
    """Something large, and something small."""

    data: object
    name: str = "blob"


class Heavy(Actor):
    """Has a large field, and fails with it in hand."""

    def __init__(self) -> None:
        self.field = bytes(100_000_000)

    @handler
    def take(self, msg: Blob) -> None:
        raise ValueError(msg.name)


@pytest.mark.parametrize(
    "data",
    [bytes(100_000_000), "x" * 100_000_000, [bytes(1_000_000)] * 100, Blob(bytearray(100_000_000)), {1: "x" * 10**8}],
)
def test_a_crash_report_is_small_and_quick_whatever_it_is_about(data: object, caplog: pytest.LogCaptureFixture) -> None:
    """A 100 MB message, a 100 MB field, and 100,000 messages in the mailbox: under 10 kB, and the loop goes on."""
    caplog.set_level(logging.WARNING, "trouper")
    reports: list[str] = []

    async def scene(node: Node) -> None:
        node.reports.on_crash.append(lambda _cell, _error, text: reports.append(text))
        heavy = await node.spawn(Heavy, restart="temporary")
        heavy.tell(Blob(data))
        for _ in range(MANY - 1):
            heavy.tell(Blob(None))
        began = time.perf_counter()
        await heavy.wait_stopped()
        assert time.perf_counter() - began < 10

    play_on(Node(), scene)
    assert len(reports) == 1
    assert len(reports[0].encode()) < 10_000
    assert sum(len(record.message.encode()) for record in caplog.records) < 100_000


@staged
async def test_an_error_whose_text_is_huge_is_cut(node: Node) -> None:
    """Also when the error's own text is what is large."""
    reports: list[str] = []
    node.reports.on_crash.append(lambda _cell, _error, text: reports.append(text))
    player = await node.spawn(Player)
    player.tell(Fail("x" * 10_000_000))
    await settle()
    assert [len(report.encode()) < 12_000 for report in reports] == [True]


# --- single actors ---------------------------------------------------------------------------------------------------


@staged
async def test_the_last_messages_of_an_actor_are_kept_on_request(node: Node) -> None:
    """The newest few, also of an actor that has ended since; until they are forgotten."""
    player, other = await node.spawn(Player), await node.spawn(Player)
    node.recorder.record(player, 2)
    for n in range(5):
        player.tell(Note(n))
        other.tell(Note(n))
    await settle()
    await player.stop()
    assert [traced.message for traced in node.recorder.messages(player)] == ["Note(n=3)", "Note(n=4)"]
    assert node.recorder.messages(other) == ()
    node.recorder.forget(player)
    node.recorder.forget(other)
    assert node.recorder.messages(player) == ()
    with pytest.raises(InvalidOption, match=r"it must be 1 to 10,000$"):
        node.recorder.record(other, 0)


@staged
async def test_a_record_is_written_as_json_lines(node: Node, tmp_path: Path) -> None:
    """A header, the entries, the messages of recorded actors: each a line that is read back as what it was."""
    player = await node.spawn(Player, name="player")
    node.recorder.record(player)
    assert await player.ask(Double(4)) == 8
    player.tell(Fail("oh"))
    await settle()
    count = node.recorder.dump(tmp_path / "record.jsonl")
    lines = (tmp_path / "record.jsonl").read_bytes().splitlines()
    assert len(lines) == count == 6
    assert msgspec.json.decode(lines[0], type=RecorderHeader) == RecorderHeader("local", node.system.loop.time(), {})
    assert [msgspec.json.decode(line, type=RecorderEntry).kind for line in lines[1:4]] == [
        "dead_letter",
        "crash",
        "restart",
    ]
    traced = [msgspec.json.decode(line, type=Traced) for line in lines[4:]]
    assert [(each.message, each.outcome) for each in traced] == [
        ("Double(n=4)", "handled"),
        ("Fail(why='oh')", "failed"),
    ]
