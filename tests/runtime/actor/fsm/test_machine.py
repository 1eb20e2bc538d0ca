"""The machine against a naive interpreter of the same table."""

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper import InternalError
from trouper.runtime.actor.fsm.machine import (
    Arrived,
    CancelTimer,
    Effect,
    Event,
    Finished,
    PostponeMessage,
    RejectMessage,
    ReplayPostponed,
    Run,
    RunAction,
    RunFallback,
    SetState,
    SetTimer,
    Started,
    StopActor,
    TimedOut,
    TransitionMachine,
)
from trouper.runtime.actor.fsm.table import END, State, TableRow, TransitionTable

STATES = ("s0", "s1", "s2", "s3")
LETTERS = "abcd"
TYPES = {letter: type(letter, (), {}) for letter in LETTERS}
Action = str
"""What a state does with a letter: "stay", "postpone", "none", or the state to go to."""
Plan = dict[tuple[str, str], Action]
"""By state and letter; the letters "T" and "Q" stand for the state's time-outs, "none" for having none."""
PLANS = st.fixed_dictionaries({
    (state, letter): st.sampled_from(
        ["stay", "none", *STATES] if letter in "TQ" else ["stay", "postpone", "none", *STATES]
    )
    for state in STATES for letter in LETTERS + "TQ"
})  # fmt: skip
EVENTS = st.text(LETTERS + "TQ", max_size=40)


def _nothing() -> None:
    """Stands for a user's method."""


def reachable(plan: Plan) -> list[str]:
    """The states that a plan leads to."""
    reached = ["s0"]
    for state in reached:
        for letter in LETTERS + "TQ":
            if plan[state, letter] in STATES and plan[state, letter] not in reached:
                reached.append(plan[state, letter])
    return reached


def _table(plan: Plan) -> TransitionTable:
    """Make the table of a plan, of the states that can be reached; each has an enter and an exit action."""
    rows: list[TableRow] = []
    states = reachable(plan)
    for state in states:
        rows += [TableRow("enter", state, _nothing), TableRow("exit", state, _nothing)]
        for letter in LETTERS + "TQ":
            action = plan[state, letter]
            targets = (action,) if action in STATES else ()
            if action not in ("none", "postpone") and letter in LETTERS:
                rows.append(TableRow("message", state, _nothing, (TYPES[letter],), targets))
            elif action != "none" and letter in "TQ":
                rows.append(
                    TableRow("state_timeout" if letter == "T" else "event_timeout", state, _nothing, (), targets, 1.0)
                )
    postponed: dict[State, list[type]] = {
        state: [TYPES[letter] for letter in LETTERS if plan[state, letter] == "postpone"] for state in states
    }  # fmt: skip
    return TransitionTable("Planned", states, "s0", rows, postponed)


def reference(plan: Plan, events: str) -> list[str]:
    """Interpret a plan in the plainest way: a list of messages, a list of postponed ones, two flags for the timers."""
    log, state = ["enter s0"], "s0"
    queue, postponed = list(enumerate(events)), list[tuple[int, str]]()
    running = {"T": True, "Q": True}
    while queue:
        number, letter = queue.pop(0)
        action = plan[state, letter]
        if letter in "TQ" and (action == "none" or not running[letter]):
            continue
        running["Q"] = True
        if letter in "TQ":
            running[letter] = (
                letter == "Q" and action == "stay"
            )  # a quiet time begins anew with every event, its own too
        if action == "postpone":
            postponed.append((number, letter))
            continue
        log.append(f"{state} {letter}{number} {action}")
        if action in STATES:
            log += [f"exit {state}", f"enter {action}"]
            running = {"T": True, "Q": True}
            if action != state:
                queue, postponed = postponed + queue, []
            state = action
    return [*log, f"left {[number for number, _ in postponed]}"]


@dataclass
class Shell:
    """Carries effects out on lists, as the actor does on a mailbox, a stash and timers."""

    machine: TransitionMachine
    plan: Plan
    log: list[str] = field(default_factory=list[str])
    mail: deque[tuple[int, str]] = field(default_factory=deque[tuple[int, str]])
    stash: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    timers: dict[str, int] = field(default_factory=dict[str, int])

    def tell(self, event: Event, item: tuple[int, str] = (0, "")) -> None:
        """Let the machine take a step, and do what it says."""
        for effect in self.machine.step(event):
            self.carry_out(effect, item)

    def carry_out(self, effect: Effect, item: tuple[int, str]) -> None:
        """Do one thing."""
        number, letter = item
        match effect:
            case Run(row):
                self.log.append(f"{self.machine.state} {letter}{number} {self.plan[str(self.machine.state), letter]}")
                self.tell(Finished(row), item)
            case RunFallback():
                self.log.append(f"{self.machine.state} {letter}{number} none")
                self.tell(Finished(None), item)
            case PostponeMessage():
                self.stash.append(item)
            case RunAction(row):
                self.log.append(f"{row.kind} {row.state}")
            case SetTimer(row, timer_number):
                self.timers[row.kind] = timer_number
            case CancelTimer(kind):
                self.timers.pop(kind, None)
            case ReplayPostponed():
                self.mail.extendleft(reversed(self.stash))
                self.stash.clear()
            case SetState(state):
                assert state == self.machine.state
            case RejectMessage() | StopActor():
                raise AssertionError(effect)

    def play(self, events: str) -> list[str]:
        """Take all events, one after the other; an alarm whose timer is not set is one that came too late."""
        self.tell(Started("s0"))
        self.mail.extend(enumerate(events))
        while self.mail:
            item = self.mail.popleft()
            if item[1] in TYPES:
                self.tell(Arrived(TYPES[item[1]]), item)
            elif item[1] == "T":
                self.tell(TimedOut("state_timeout", self.timers.pop("state_timeout", 0)), item)
            else:
                self.tell(TimedOut("event_timeout", self.timers.pop("event_timeout", 0)), item)
        return [*self.log, f"left {[number for number, _ in self.stash]}"]


@given(PLANS, EVENTS)
def test_any_machine_does_what_the_naive_interpreter_does(plan: Plan, events: str) -> None:
    """Rows, exits, entries, time-outs and postponed messages come in the same order, for any table and any events."""
    assert Shell(TransitionMachine(_table(plan), 1_000), plan).play(events) == reference(plan, events)


@given(st.text("ab", max_size=30))
def test_what_is_postponed_keeps_its_order(events: str) -> None:
    """However often the state changes, messages of one letter are handled in the order of their arrival."""
    plan = dict.fromkeys(((state, letter) for state in STATES for letter in LETTERS + "TQ"), "none")
    plan |= {("s0", "a"): "postpone", ("s0", "b"): "s1", ("s1", "a"): "stay", ("s1", "b"): "s0"}
    log = Shell(TransitionMachine(_table(plan), 1_000), plan).play(events)
    handled = [int(line.split()[1][1:]) for line in log if " a" in line]
    assert handled == sorted(handled)


def test_an_alarm_of_a_timer_that_was_set_anew_counts_for_nothing() -> None:
    """A time-out that was under way when its state was left, or entered anew, is not taken for the new one."""
    rows = [
        TableRow("state_timeout", "s0", _nothing, (), ("s1",), 1.0),
        TableRow("message", "s0", _nothing, (TYPES["a"],), ("s0",)),
        TableRow("state_timeout", "s1", _nothing, (), ("s0",), 1.0),
    ]
    machine = TransitionMachine(TransitionTable("M", ["s0", "s1"], "s0", rows, {}), 10)
    assert machine.step(Started("s0")) == [SetState("s0"), SetTimer(rows[0], 1)]
    assert machine.step(Arrived(TYPES["a"])) == [Run(rows[1])]
    assert machine.step(Finished(rows[1]))[-1] == SetTimer(rows[0], 2)
    assert machine.step(TimedOut("state_timeout", 1)) == []
    assert machine.step(TimedOut("state_timeout", 2)) == [Run(rows[0])]
    assert machine.step(Finished(rows[0]))[-2:] == [SetTimer(rows[2], 3), ReplayPostponed()]


def test_more_than_may_be_postponed_is_refused() -> None:
    """At the limit a message is refused; after a change of state there is room again."""
    rows = [
        TableRow("message", "s0", _nothing, (TYPES["b"],), ("s1",)),
        TableRow("message", "s1", _nothing, (TYPES["b"],), ("s0",)),
    ]
    machine = TransitionMachine(TransitionTable("M", ["s0", "s1"], "s0", rows, {"s0": [TYPES["a"]]}), 2)
    machine.step(Started("s0"))
    assert [machine.step(Arrived(TYPES["a"])) for _ in "123"] == [
        [PostponeMessage()],
        [PostponeMessage()],
        [RejectMessage()],
    ]
    machine.step(Finished(rows[0]))
    machine.step(Finished(rows[1]))
    assert machine.step(Arrived(TYPES["a"])) == [PostponeMessage()]


def test_the_end_leaves_the_state_and_stops() -> None:
    """The exit action runs, the timers go, and the actor ends; nothing is entered."""
    leave = TableRow("exit", "s0", _nothing)
    row = TableRow("message", "s0", _nothing, (TYPES["a"],), ("s0", END))
    machine = TransitionMachine(TransitionTable("M", ["s0"], "s0", [leave, row], {}), 2)
    machine.step(Started("s0"))
    assert machine.step(Finished(row)) == [], "several targets and no choice: it stays"
    assert machine.step(Finished(row, END)) == [
        CancelTimer("state_timeout"),
        CancelTimer("event_timeout"),
        RunAction(leave),
        StopActor(),
    ]


def test_a_row_that_does_not_lead_there_cannot_go_there() -> None:
    """The shell checks what the user chooses; the machine checks the shell."""
    row = TableRow("message", "s0", _nothing, (TYPES["a"],), ())
    machine = TransitionMachine(TransitionTable("M", ["s0"], "s0", [row], {}), 2)
    with pytest.raises(InternalError, match=r"^M: a row that does not lead to 's1' went there$"):
        machine.step(Finished(row, "s1"))
