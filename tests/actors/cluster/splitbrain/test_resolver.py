"""The resolver, by transcripts of what it sees and does, and by laws."""

import os
from math import inf
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.cluster.splitbrain.table import strategy_of
from trouper.actors.cluster.splitbrain.resolver import (
    AcquireLease,
    DownMembers,
    DownSelf,
    Effect,
    Event,
    LeaseResult,
    NewView,
    ReleaseLease,
    SplitBrainResolver,
    SplitBrainSettings,
    TimePassed,
)
from trouper.actors.cluster.splitbrain.strategies import LeaseMajority
from trouper.actors.cluster.splitbrain.view import MemberPhase, PartitionMember, PartitionView
from trouper.runtime.kernel.errors import InvalidOption

FILE = Path(__file__).parents[3] / "data" / "cluster" / "resolver.txt"
UP_NUMBERS = {"A": 5, "B": 4, "C": 3, "D": 2, "E": 1, "F": 5, "G": 6}
CASES = FILE.read_text("utf-8").split("\n\ncase ")


def _view(text: str) -> PartitionView:
    members, pairs = [part.split() for part in [*text.split("|"), ""][:2]]
    people = [word.partition(":") for word in members]
    return PartitionView(
        tuple(
            msgspec.convert(
                {"name": name, "status": status or "up", "up_number": UP_NUMBERS.get(name, 9)}, type=PartitionMember
            )
            for name, _, status in people
        ),
        frozenset((pair[0], pair[2]) for pair in pairs),
    )


def _said(effect: Effect) -> str:
    match effect:
        case DownMembers():
            return f"down {' '.join(effect.names)}: {effect.reason}"
        case DownSelf():
            return f"down itself: {effect.reason}"
        case AcquireLease():
            return "acquire the lease"
        case ReleaseLease():
            return "release the lease"


def _event(words: str) -> Event:
    verb, _, rest = words.partition(" ")
    if verb == "view":
        return NewView(_view(rest))
    return LeaseResult(rest == "yes")


def _play(case: str) -> list[str]:
    """Run one case and return its lines with what was done."""
    lines = [line for line in case.splitlines() if not line.startswith(">")]
    _, node, strategy = (line.partition(" ")[2] for line in lines[:3])
    name, *given_words = node.split()
    given_settings = {"strategy": strategy_of(strategy), **dict(word.split("=") for word in given_words)}
    settings = msgspec.convert(given_settings, type=SplitBrainSettings, strict=False)
    resolver = SplitBrainResolver(name, settings, 0.0)
    played = lines[:3]
    for line in lines[3:]:
        time, _, words = line.partition(" ")
        if not time or time == "#":
            played.append(line)
            continue
        now = float(time)
        while resolver.wake_at < now or (not words and resolver.wake_at == now):
            at = resolver.wake_at
            played += [f"> {at:g} {_said(effect)}" for effect in resolver.step(TimePassed(), at)]
        played.append(line)
        if words:
            played += [f"> {now:g} {_said(effect)}" for effect in resolver.step(_event(words), now)]
    return played


def test_the_transcripts_hold() -> None:
    """Each case does what its lines with ">" say, at the times that they say."""
    played = [CASES[0]] + ["\n".join(_play(f"case {case}")).removeprefix("case ") for case in CASES[1:]]
    text = "\n\ncase ".join(played).rstrip("\n") + "\n"
    if os.environ.get("TROUPER_RECORD") == "1":
        FILE.write_text(text, "utf-8")
    assert text.splitlines() == FILE.read_text("utf-8").splitlines()
    assert "\n> " in text


PEOPLE = "ABCD"
STATUSES: tuple[MemberPhase | None, ...] = ("up", "up", "joining", "leaving", "exiting", "down", None)


@st.composite
def views(draw: st.DrawFn) -> PartitionView:
    """Any view of up to four members."""
    found: dict[str, MemberPhase | None] = {name: draw(st.sampled_from(STATUSES)) for name in PEOPLE}
    members = tuple(PartitionMember(name, status) for name, status in found.items() if status is not None)
    pairs = st.frozensets(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)), max_size=4)
    return PartitionView(members, draw(pairs))


EVENTS = st.one_of(views().map(NewView), st.booleans().map(LeaseResult), st.just(TimePassed()))


@given(
    st.sampled_from(["keep_majority", "keep_oldest", "static_quorum size=2", "lease_majority", "down_all"]),
    st.lists(st.tuples(EVENTS, st.floats(0, 5)), max_size=20),
)
def test_orders_keep_their_laws_whatever_comes(strategy: str, events: list[tuple[Event, float]]) -> None:
    """Down means silent but for giving back a late lease; one lease is asked for at a time; it comes to rest."""
    resolver = SplitBrainResolver("A", SplitBrainSettings(strategy_of(strategy), stable_after_s=2.0), 0.0)
    now, asked, is_down = 0.0, 0, False
    for event, pause_s in events:
        now += pause_s
        effects = resolver.step(event, now)
        for _ in range(20):
            if resolver.wake_at > now:
                break
            effects += resolver.step(TimePassed(), now)
        else:
            pytest.fail(f"it wants to be woken again and again at {now}")
        if isinstance(event, LeaseResult):
            asked = 0
        for effect in effects:
            assert not is_down or isinstance(effect, ReleaseLease), "it acts after it has gone down"
            is_down = is_down or isinstance(effect, DownSelf)
            asked += isinstance(effect, AcquireLease)
            assert not isinstance(effect, DownMembers) or ("A" not in effect.names and effect.names)
        assert asked <= 1 or now > 5.0
    assert not is_down or resolver.wake_at == inf


@given(st.lists(st.tuples(views(), st.floats(0, 1.9)), min_size=1, max_size=20))
def test_nothing_is_decided_before_its_time(views: list[tuple[PartitionView, float]]) -> None:
    """No order comes while less than stable_after_s has passed since somebody went out of reach."""
    resolver = SplitBrainResolver("A", SplitBrainSettings(stable_after_s=2.0), 0.0)
    now, changed_at, before = 0.0, 0.0, frozenset[str]()
    for view, pause_s in views:
        now += pause_s
        unreachable = view.unreachable - {"A"}
        if unreachable - before:
            changed_at = now
        before = unreachable
        effects = resolver.step(NewView(view), now)
        orders = [effect for effect in effects if isinstance(effect, DownMembers)]
        unstable = resolver.decision is not None and "has been changing" in resolver.decision.reason
        assert not orders or unstable or now - changed_at >= 2.0


def test_settings_out_of_range_are_refused() -> None:
    """Times before now are the caller's mistake, and the message names the setting."""
    with pytest.raises(InvalidOption, match="stable_after_s"):
        SplitBrainSettings(stable_after_s=-1.0)
    with pytest.raises(InvalidOption, match="lease_timeout_s"):
        SplitBrainSettings(lease_timeout_s=float("nan"))
    with pytest.raises(InvalidOption, match="minority_delay_s"):
        LeaseMajority(minority_delay_s=-2.0)
