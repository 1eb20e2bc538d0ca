"""``ClusterTables``: everything that the members of a cluster share, besides their groups.

The tables are ``names``, ``topics``, ``services``, ``devices`` (those that have failed), ``reach`` (which member cannot
reach which), ``statuses`` (which members count as up) and ``workers`` (the worker processes of members).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from ... import ActorRef
from ...lowlevel import ReplicatedTable, TableLimits, endpoint_problem, parent_of
from .metadata import are_labels
from .names import NAMES_LIMITS, STAMP_MAX, Claim, ClaimLost, NameTable
from .reachability import OBSERVERS_MAX, Reach, Reachability
from .replication_messages import WorkerRow
from .services import SERVICES_LIMITS, Offer, ServiceTable
from .topics import TOPICS_LIMITS, TopicTable

if TYPE_CHECKING:
    from ...lowlevel import NodeContext

UP = "up"
"""The status of a member that counts when a partition is resolved; the member sets it once all others know of it."""
TEXT_BYTES_MAX = 256
"""The longest name, topic or service, in bytes of UTF-8."""
FEW = TableLimits(rows_max=1_000, row_bytes_max=4_096)


class ClusterTables:
    """The tables of one node, which exchanges them.

    on_name_lost: called when an actor here has lost its name.
    """

    def __init__(self, ctx: NodeContext, on_name_lost: Callable[[ClaimLost[ActorRef]], None]) -> None:
        tables = ctx.node.tables
        self.node, self._members = tables.exchange.node, tables.exchange.members

        def add(
            name: str,
            row_type: Any,  # Any: a type that is built when the program runs
            limits: TableLimits = FEW,
            is_valid: Callable[[str, Any, Any], bool] | None = None,  # Any: as of the table
        ) -> ReplicatedTable[Any, Any]:  # Any: as above
            return tables.add(f"cluster.{name}", row_type, limits, is_valid or _has_short_key)

        self.names: NameTable[ActorRef] = NameTable(
            add("names", tuple[str, Claim[ActorRef] | None], NAMES_LIMITS, _is_claim), on_name_lost
        )
        self.topics: TopicTable[ActorRef] = TopicTable(add("topics", tuple[str, Literal[True] | None], TOPICS_LIMITS))
        self.services: ServiceTable[ActorRef] = ServiceTable(
            add("services", tuple[tuple[str, ActorRef], Offer | None], SERVICES_LIMITS, _is_offer)
        )
        self.devices: ReplicatedTable[str, str] = add("devices", tuple[str, str | None])
        self.reach: ReplicatedTable[str, Reach] = add(
            "reach", tuple[str, Reach | None], TableLimits(rows_max=10_000, row_bytes_max=512)
        )
        self.statuses: ReplicatedTable[str, int] = add("statuses", tuple[str, int | None], FEW, _is_status)
        self.workers: ReplicatedTable[str, WorkerRow] = add("workers", tuple[str, WorkerRow | None], FEW, _is_worker)

    def worker_generations(self, members: Iterable[str]) -> dict[str, int]:
        """Return the workers of these members, with the generations of the nodes in them."""
        return {worker: row.generation for name in members for worker, row in self.workers.rows_of(name).items()}

    def reachability(self) -> Reachability:
        """Return which member cannot reach which, as far as all members have reported."""
        rows = {owner: frozenset(self.reach.rows_of(owner)) for owner in self._members}
        return Reachability({owner: subjects for owner, subjects in rows.items() if subjects})

    def up_number(self, node: str) -> int | None:
        """Return the number with which a member came up, smaller for an older member; None while it is joining."""
        return self.statuses.rows_of(node).get(UP)

    def come_up(self, numbers: Iterable[int]) -> None:
        """Mark this node as up.  numbers: those of the members that are up already."""
        self.statuses.put(UP, min(1 + max(numbers, default=0), STAMP_MAX))

    def observe(self, unreachable: Iterable[str]) -> None:
        """Write the members that this node cannot reach; it can reach all others.

        A member that enough other nodes have reported already is not reported again.
        """
        lost, own = set(unreachable), set(self.reach.own)
        for name in sorted(own - lost):
            self.reach.remove(name)
        if not lost - own:
            return
        matrix = self.reachability()
        for name in sorted(lost - own):
            if len(matrix.observers(name) - {self.node}) < OBSERVERS_MAX:
                self.reach.put(name, "unreachable")


def _is_text(text: str) -> bool:
    return 0 < len(text.encode()) <= TEXT_BYTES_MAX


def _has_short_key(owner: str, key: str, value: object) -> bool:
    return _is_text(key)


def _is_claim(owner: str, key: str, claim: Claim[ActorRef] | None) -> bool:
    return _is_text(key) and (claim is None or claim.ref.address.node == owner)


def _is_offer(owner: str, key: tuple[str, ActorRef], offer: Offer | None) -> bool:
    return _is_text(key[0]) and key[1].address.node == owner


def _is_status(owner: str, key: str, number: int | None) -> bool:
    return key == UP and (number is None or 0 < number <= STAMP_MAX)


def _is_worker(owner: str, key: str, row: WorkerRow | None) -> bool:
    can_be = row is None or (are_labels(row.labels) and not any(map(endpoint_problem, row.endpoints)))
    return can_be and parent_of(key) == owner
