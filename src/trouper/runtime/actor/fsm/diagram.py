"""Diagrams of a state machine, made from its table (PURE)."""

from __future__ import annotations

from .table import TableRow, TransitionTable, name_of


def mermaid(table: TransitionTable) -> str:
    """Return a Mermaid ``stateDiagram-v2``, which many Markdown viewers render."""
    lines = ["stateDiagram-v2", f"    [*] --> {name_of(table.initial)}"]
    for state, rules in table.states.items():
        for row in table.rows_of(state):
            targets = [name_of(target) for target in row.targets] or [name_of(state)]
            lines += [
                f"    {name_of(state)} --> {'[*]' if target == 'END' else target}: {trigger_of(row)}"
                for target in targets
            ]
        if rules.postponed:
            lines.append(f"    note right of {name_of(state)}: postpones {_names(rules.postponed)}")
    return "\n".join(lines)


def text(table: TransitionTable) -> str:
    """Return the table for a terminal: each state with its rows and their targets."""
    lines: list[str] = []
    for state, rules in table.states.items():
        lines.append(f"{name_of(state)}{' (initial)' if state == table.initial else ''}")
        rows = [(trigger_of(row), _targets(row), row.function.__name__) for row in table.rows_of(state)]
        width = max((len(trigger) for trigger, _, _ in rows), default=0)
        reach = max((len(targets) for _, targets, _ in rows), default=0)
        lines += [f"  {trigger:<{width}}  {targets:<{reach}}  {name}" for trigger, targets, name in rows]
        if rules.postponed:
            lines.append(f"  {_names(rules.postponed)}: postponed")
    return "\n".join(lines)


def trigger_of(row: TableRow) -> str:
    """Return what triggers a row, as text."""
    if row.kind == "message":
        return " or ".join(type_.__name__ for type_ in row.messages)
    time = f"{row.after_s:g} s" if isinstance(row.after_s, (int, float)) else "a computed time"
    return f"after {time}" if row.kind == "state_timeout" else f"no message for {time}"


def _targets(row: TableRow) -> str:
    return "-> " + " or ".join(map(name_of, row.targets)) if row.targets else "stays"


def _names(types: frozenset[type]) -> str:
    return ", ".join(sorted(type_.__name__ for type_ in types))
