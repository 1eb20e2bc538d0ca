"""The ledger against a naive model that was written from the text of OTP's supervisor documentation alone.

"If more than MaxR restarts occur within MaxT seconds, the supervisor terminates all its children and then itself."
"temporary: never restarted (even when the supervisor's restart strategy is rest_for_one or one_for_all and a sibling's
death causes the temporary process to be terminated)."  "transient: restarted only if it terminates abnormally."
"any_significant: the supervisor shuts down whenever any significant child exits, that is, a transient significant child
terminates normally or a temporary significant child exits normally or abnormally."  "all_significant: when the last
active significant child exits."
"""

from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper import Backoff, InvalidOption, OneForAll, OneForOne, RestForOne
from trouper.runtime.kernel.bare_actor import BareActor
from trouper.runtime.kernel.supervision import (
    AutoShutdown,
    ChildEnded,
    ChildSpec,
    Restart,
    RestartPlan,
    Strategy,
    SupervisorState,
)

Kind = Literal["one_for_one", "one_for_all", "rest_for_one"]
MAKERS: dict[Kind, type[Strategy]] = {
    "one_for_one": OneForOne,
    "one_for_all": OneForAll,
    "rest_for_one": RestForOne,
}


@dataclass
class Otp:
    """A supervisor as OTP describes it: every restart is remembered for ever and counted anew each time."""

    kind: Kind
    intensity: int
    period_s: float
    auto_shutdown: AutoShutdown
    children: dict[str, Restart]
    significant: set[str]
    restarted_at: list[float] = field(default_factory=list[float])

    def exits(self, name: str, now: float, *, failed: bool) -> RestartPlan:
        """One child exits, by itself."""
        restart = self.children[name]
        if restart == "permanent" or (restart == "transient" and failed):
            return self._restarts(name, now)
        others = [child for child in self.significant if child != name and child in self.children]
        ends = name in self.significant and (
            self.auto_shutdown == "any_significant" or (self.auto_shutdown == "all_significant" and not others)
        )
        return RestartPlan(end=(name,), shut_down=ends)

    def _restarts(self, name: str, now: float) -> RestartPlan:
        self.restarted_at.append(now)
        if sum(now - at <= self.period_s for at in self.restarted_at) > self.intensity:
            return RestartPlan(end=(name,), escalate=True)
        names = list(self.children)
        after = names[names.index(name) :]
        affected = {"one_for_one": [name], "one_for_all": names, "rest_for_one": after}[self.kind]
        return RestartPlan(
            end=tuple(child for child in reversed(affected) if self.children[child] == "temporary"),
            restart=tuple(child for child in affected if self.children[child] != "temporary"),
        )


restarts: st.SearchStrategy[Restart] = st.sampled_from(["permanent", "transient", "temporary"])
# Quarters are exact in binary, so an event can stand exactly on the edge of the window.
quarters = st.integers(0, 24).map(lambda quarters: quarters / 4)


@st.composite
def supervisors(draw: st.DrawFn) -> Otp:
    """Any supervisor with up to five children; a permanent one is never significant, as OTP demands."""
    children = dict(zip("abcde", draw(st.lists(restarts, min_size=1, max_size=5)), strict=False))
    may_be = [name for name, restart in children.items() if restart != "permanent"]
    return Otp(
        kind=draw(st.sampled_from(sorted(MAKERS))),
        intensity=draw(st.integers(0, 3)),
        period_s=draw(quarters.filter(bool)),
        auto_shutdown=draw(st.sampled_from(["never", "any_significant", "all_significant"])),
        children=children,
        significant=set(draw(st.lists(st.sampled_from(may_be), max_size=3))) if may_be else set(),
    )


@given(supervisors(), st.lists(st.tuples(quarters, st.integers(0, 4), st.booleans()), max_size=20))
def test_the_ledger_decides_as_otp_does(otp: Otp, exits: list[tuple[float, int, bool]]) -> None:
    """Whatever fails or leaves, whenever, the plan is that of the model, until the supervisor itself ends."""
    strategy = MAKERS[otp.kind](intensity=otp.intensity, period_s=otp.period_s, auto_shutdown=otp.auto_shutdown)
    supervisor_state, now = SupervisorState(strategy), 0.0
    for pause_s, index, failed in exits:
        now += pause_s
        name = list(otp.children)[index % len(otp.children)]
        others = sum(child in otp.children for child in otp.significant - {name})
        event = ChildEnded(name, failed, otp.children, name in otp.significant, others)
        plan = supervisor_state.step(event, now)
        assert plan == otp.exits(name, now, failed=failed)
        for ended in plan.end:
            del otp.children[ended]
        if plan.escalate or plan.shut_down or not otp.children:
            return


@given(st.integers(0, 5), quarters.filter(bool), st.lists(quarters, max_size=40))
def test_the_ledger_never_allows_more_than_its_intensity(intensity: int, period_s: float, waits: list[float]) -> None:
    """In no window of `period_s` seconds, edges included, are there more than `intensity` restarts."""
    supervisor_state, now, admitted = (
        SupervisorState(OneForOne(intensity=intensity, period_s=period_s)),
        0.0,
        list[float](),
    )
    for wait_s in waits:
        now += wait_s
        plan = supervisor_state.step(ChildEnded("a", True, {"a": "permanent"}), now)
        if plan.escalate:
            break
        admitted.append(now)
    for last in admitted:
        assert sum(last - period_s <= at <= last for at in admitted) <= intensity


def test_a_failure_on_the_edge_of_the_window_counts() -> None:
    """A restart that is exactly `period_s` old still counts; a moment later it does not."""
    event = ChildEnded("a", True, {"a": "transient"})
    assert SupervisorState(OneForOne(1, 5.0)).step(event, 0.0) == RestartPlan(restart=("a",))
    on_the_edge, past_it = SupervisorState(OneForOne(1, 5.0)), SupervisorState(OneForOne(1, 5.0))
    on_the_edge.step(event, 0.0)
    past_it.step(event, 0.0)
    assert on_the_edge.step(event, 5.0) == RestartPlan(end=("a",), escalate=True)
    assert past_it.step(event, 5.000001) == RestartPlan(restart=("a",))


def test_a_child_that_shares_a_restart_does_not_end_its_supervisor() -> None:
    """A significant child that a sibling's failure takes down is no exit of its own: no automatic shutdown."""
    children: dict[str, Restart] = {"a": "permanent", "b": "temporary"}
    supervisor_state = SupervisorState(OneForAll(auto_shutdown="any_significant"))
    plan = supervisor_state.step(ChildEnded("a", True, children, significant=False, other_significant=1), 0.0)
    assert plan == RestartPlan(end=("b",), restart=("a",))


def test_the_same_event_gives_the_same_plan() -> None:
    """Time and chance are arguments, so two ledgers that saw the same decide the same."""
    event = ChildEnded("a", True, {"a": "permanent"}, chance=0.3)
    strategy = OneForOne(backoff=Backoff())
    assert SupervisorState(strategy).step(event, 7.0) == SupervisorState(strategy).step(event, 7.0)


@given(
    st.floats(0.001, 10),
    st.floats(1, 100),
    st.floats(0, 0.99),
    st.integers(1, 2_000),
    st.floats(0, 1, exclude_max=True),
)
def test_a_backoff_stays_within_its_jitter(
    first_s: float, factor: float, jitter: float, nth: int, chance: float
) -> None:
    """The wait doubles from `first_s` to `max_s`, give or take the jitter, for any number of failures."""
    max_s = first_s * factor
    delay_s = Backoff(first_s, max_s, jitter).delay_s(nth, chance)
    doubled = min(max_s, first_s * 2.0 ** min(nth - 1, 60))
    assert doubled * (1 - jitter) * 0.999 <= delay_s <= doubled * (1 + jitter) * 1.001


def test_a_backoff_doubles_up_to_its_limit() -> None:
    """In the middle of the jitter the waits are powers of two times the first one."""
    backoff = Backoff(first_s=0.5, max_s=3.0)
    assert [backoff.delay_s(nth, 0.5) for nth in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_the_ledger_waits_longer_with_each_failure_in_the_window() -> None:
    """The plan's delay grows while failures follow one another, and is short again after a quiet window."""
    supervisor_state = SupervisorState(OneForOne(intensity=10, period_s=60.0, backoff=Backoff(1.0, 30.0, jitter=0.0)))
    event = ChildEnded("a", True, {"a": "permanent"})
    assert [supervisor_state.step(event, now).delay_s for now in (0.0, 1.0, 2.0, 200.0)] == [1.0, 2.0, 4.0, 1.0]


@pytest.mark.parametrize(("first_s", "max_s", "jitter"), [(2.0, 1.0, 0.1), (1.0, 2.0, 1.0)])
def test_a_backoff_that_contradicts_itself_is_refused(first_s: float, max_s: float, jitter: float) -> None:
    """The error shows all three settings and the rule between them."""
    with pytest.raises(InvalidOption, match=r"^Backoff\(.*\): wants first_s <= max_s and jitter < 1$"):
        Backoff(first_s, max_s, jitter)


def test_the_abstract_strategy_is_refused_when_it_is_made() -> None:
    """`Strategy()` cannot decide anything, and says so before any child has failed."""
    with pytest.raises(InvalidOption, match=r"^Strategy is abstract: use OneForOne, OneForAll or RestForOne$"):
        Strategy()


def test_a_permanent_child_cannot_be_significant() -> None:
    """It never ends by itself, so nothing could follow from its end; OTP refuses it too."""
    with pytest.raises(InvalidOption) as caught:
        ChildSpec(BareActor, restart="permanent", significant=True)
    assert str(caught.value) == "BareActor: a permanent child never ends, so it cannot be significant"


def test_a_child_has_time_to_stop() -> None:
    """0 kills at once and None waits for ever; less than 0 is refused."""
    assert ChildSpec(BareActor, shutdown_s=0).shutdown_s == 0
    assert ChildSpec(BareActor, shutdown_s=None).shutdown_s is None
    with pytest.raises(InvalidOption) as caught:
        ChildSpec(BareActor, shutdown_s=-1.0)
    assert str(caught.value) == "BareActor: shutdown_s=-1.0 must be 0 or more, or None"


def test_the_defaults_are_those_of_the_design() -> None:
    """Three restarts in five seconds per supervisor, no backoff, transient children, five seconds to stop."""
    assert OneForOne() == OneForOne(intensity=3, period_s=5.0, backoff=None, auto_shutdown="never")
    assert ChildSpec(BareActor) == ChildSpec(BareActor, restart="transient", shutdown_s=5.0, significant=False)
