"""Pictures show every row, where it leads, and what is postponed."""

from tests.runtime.actor.fsm.test_state_machine import Turnstile

MERMAID = """\
stateDiagram-v2
    [*] --> LOCKED
    LOCKED --> UNLOCKED: Coin
    LOCKED --> LOCKED: no message for a computed time
    UNLOCKED --> UNLOCKED: Coin
    UNLOCKED --> LOCKED: Push
    UNLOCKED --> BROKEN: Push
    UNLOCKED --> LOCKED: after 5 s
    BROKEN --> LOCKED: Repair
    BROKEN --> [*]: Scrap
    note right of BROKEN: postpones Coin"""

TEXT = """\
LOCKED (initial)
  Coin                            -> UNLOCKED  coin
  no message for a computed time  stays        bored
UNLOCKED
  Coin       stays                gift
  Push       -> LOCKED or BROKEN  push
  after 5 s  -> LOCKED            too_slow
BROKEN
  Repair  -> LOCKED  repair
  Scrap   -> END     scrap
  Coin: postponed"""


def test_a_mermaid_diagram() -> None:
    """The default form, for documents."""
    assert Turnstile.diagram() == MERMAID


def test_a_table_for_the_terminal() -> None:
    """The other form: each state with its rows, where each leads, and the method."""
    assert Turnstile.diagram("text") == TEXT
