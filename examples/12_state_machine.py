"""A state machine: a table says which message does what in which state; it is checked when the class is defined."""

from enum import Enum

import trouper
from trouper import END, Message, Node, StateMachine, on, on_enter, on_state_timeout


class Phase(Enum):
    """The states of the machine."""

    IDLE = "idle"
    BREWING = "brewing"
    READY = "ready"


class Coin(Message[str]):
    """Pay for a cup."""


class Take(Message[str]):
    """Take the cup, as soon as there is one."""


class SwitchOff(Message):
    """End."""


class CoffeeMachine(StateMachine[Phase]):
    """Who takes a cup too early waits: `Take` is postponed until the state changes."""

    initial = Phase.IDLE
    postponed = {Phase.BREWING: [Take], Phase.IDLE: [Take]}  # noqa: RUF012  a table, as `mailbox` is a setting

    @on(Phase.IDLE, to=Phase.BREWING)
    def pay(self, msg: Coin) -> str:
        """Begin."""
        return "brewing"

    @on(Phase.BREWING, Phase.READY)
    def pay_too_much(self, msg: Coin) -> str:
        """Stay."""
        return "one cup at a time: here is your coin"

    @on_enter(Phase.BREWING)
    def heat(self) -> None:
        """Run each time the state is entered."""
        print("(heating)")

    @on_state_timeout(Phase.BREWING, after_s=0.02, to=Phase.READY)
    def fill(self) -> None:
        """Run once the state has lasted so long."""
        print("(filling)")

    @on(Phase.READY, to=Phase.IDLE)
    def take(self, msg: Take) -> str:
        """Give the cup."""
        return "a cup of coffee"

    @on(Phase.IDLE, to=END)
    def switch_off(self, msg: SwitchOff) -> None:
        """Stop."""
        print("(off)")


async def main() -> None:
    """Buy a cup."""
    print(CoffeeMachine.diagram("text"))
    async with Node() as node:
        machine = await node.spawn(CoffeeMachine)
        cup = machine.ask(Take())  # too early: it waits
        print(await machine.ask(Coin()))
        print(await machine.ask(Coin()))
        print(await cup)
        machine.tell(SwitchOff())
        print("the machine has", await machine.wait_stopped())


trouper.run(main)

# Output:
# | IDLE (initial)
# |   Coin       -> BREWING  pay
# |   SwitchOff  -> END      switch_off
# |   Take: postponed
# | BREWING
# |   Coin          stays     pay_too_much
# |   after 0.02 s  -> READY  fill
# |   Take: postponed
# | READY
# |   Coin  stays    pay_too_much
# |   Take  -> IDLE  take
# | (heating)
# | brewing
# | one cup at a time: here is your coin
# | (filling)
# | a cup of coffee
# | (off)
# | the machine has stopped
