"""Process groups over nodes: each node writes the memberships of its own actors into the table ``groups``.

What other nodes write there is merged into ``node.groups``; it leaves with the node.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from ...gossip.versioned_table import RowChanged, RowFull, TableLimits
from ...kernel.ref import ActorRef

if TYPE_CHECKING:
    from ...actor.groups import GroupChange, Groups
    from ..node_services import NodeServices

Key: TypeAlias = tuple[str, str, ActorRef]
"""Scope, group and member."""
NAMES_BYTES_MAX = 256
"""Bytes of a scope and a group together, for a group that other nodes know."""
TIMES_MAX = 16
"""How often other nodes count a member that has joined a group several times."""
LIMITS = TableLimits(rows_max=100_000, row_bytes_max=1_024)


class SharedGroups:
    """Keeps ``node.groups`` in step with the table ``groups``."""

    def __init__(self, node: NodeServices, groups: Groups) -> None:
        self._node, self._groups = node, groups
        row_type = tuple[Key, int | None]
        self._table = node.tables.add("groups", row_type, LIMITS, _is_valid)
        self._table.subscribe(self._merged)
        groups.on_change.append(self._changed)

    def _changed(self, change: GroupChange) -> None:
        """Write a change of the memberships of this node's actors."""
        scope = self._groups.scope(change.scope)
        for member in dict.fromkeys(change.members):
            times = min(scope.times(change.group, member), TIMES_MAX)
            key = (change.scope, change.group, member)
            try:
                if times and not _is_valid(self._node.name, key, times):
                    raise RowFull(f"scope and group take 1 to {NAMES_BYTES_MAX} bytes together")
                self._table.put(key, times or None)
            except RowFull as error:
                self._node.reports.problem(f"group {change.group:.100} is known on node {self._node.name} only", error)

    def _merged(self, changes: Sequence[RowChanged[Key, int]]) -> None:
        """Copy changes of members on other nodes into ``node.groups``."""
        touched: dict[tuple[str, str, str], tuple[list[ActorRef], list[ActorRef]]] = {}
        for change in changes:
            if change.owner == self._node.name:
                continue
            scope, group, member = change.key
            joined, left = touched.setdefault((change.owner, scope, group), ([], []))
            more = (change.after or 0) - (change.before or 0)
            (joined if more > 0 else left).extend([member] * abs(more))
        for (owner, scope, group), (joined, left) in touched.items():
            self._groups.scope(scope).enter(owner, group, joined, left)


def _is_valid(owner: str, key: Key, times: int | None) -> bool:
    scope, group, member = key
    size = len(scope.encode()) + len(group.encode())
    return 0 < size <= NAMES_BYTES_MAX and member.address.node == owner and (times is None or 0 < times <= TIMES_MAX)
