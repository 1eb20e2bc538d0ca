"""Random tables as real actors, against the naive interpreter of ``test_machine.py``."""

from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.actor.fsm.test_machine import LETTERS, PLANS, STATES, Plan, reachable, reference
from trouper import Message, Node
from trouper.runtime.actor.fsm import StateMachine, on, on_enter, on_exit
from trouper.testing import run_virtual


class A(Message):
    n: int


class B(Message):
    n: int


class C(Message):
    n: int


class D(Message):
    n: int


LETTERED: dict[str, type[A | B | C | D]] = {"a": A, "b": B, "c": C, "d": D}


def _row(state: str, letter: str, action: str, log: list[str]) -> object:
    def row(self: StateMachine[str], msg: A) -> None:
        log.append(f"{self.state} {letter}{msg.n} {action}")

    row.__annotations__ = {"msg": LETTERED[letter], "return": None}
    return on(state, to=action if action in STATES else ())(row)


def _class_of(plan: Plan, log: list[str]) -> type[StateMachine[str]]:
    """Make the class that a plan describes; its methods write down what happens."""

    def enter(self: StateMachine[str]) -> None:
        log.append(f"enter {self.state}")

    def leave(self: StateMachine[str]) -> None:
        log.append(f"exit {self.state}")

    states = tuple(reachable(plan))
    namespace: dict[str, object] = {
        "__module__": __name__,
        "initial": "s0",
        "states": states,
        "postponed": {s: [LETTERED[one] for one in LETTERS if plan[s, one] == "postpone"] for s in states},
        "enter": on_enter(*states)(enter),
        "leave": on_exit(*states)(leave),
    }
    for state in states:
        for letter in LETTERS:
            if plan[state, letter] not in ("none", "postpone"):
                namespace[f"{state}_{letter}"] = _row(state, letter, plan[state, letter], log)
    return type("Planned", (StateMachine,), namespace)


@given(PLANS, st.text(LETTERS, max_size=40), st.booleans())
def test_any_machine_as_an_actor_does_what_the_naive_interpreter_does(plan: Plan, letters: str, slowly: bool) -> None:
    """The same rows, exits and entries in the same order, whether messages come all at once or one by one."""
    plan = {rules: "none" if rules[1] in "TQ" else action for rules, action in plan.items()}
    log: list[str] = []

    async def main() -> list[str]:
        async with Node() as node:
            actor = await node.spawn(_class_of(plan, log))
            for number, letter in enumerate(letters):
                sent = actor.tell(LETTERED[letter](number))
                if slowly:
                    await sent
            await actor.drain()
            accounting = node.accounting()
            assert accounting.missing == 0
            return [*log, f"left {accounting.dead}"]

    expected = reference(plan, letters)
    unhandled = sum(line.endswith(" none") for line in expected)
    left = expected[-1].count(",") + (expected[-1] != "left []")
    assert run_virtual(main) == [
        *(line for line in expected[:-1] if not line.endswith(" none")),
        f"left {left + unhandled}",
    ]
