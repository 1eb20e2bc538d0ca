"""Exchanges of several nodes and an unreliable network between them."""

from __future__ import annotations

import random
from functools import partial
from typing import Any, TypeAlias, cast

from trouper import Message
from trouper.runtime.gossip.messages import TableChecksums, TableDeltas, TableDigest
from trouper.runtime.gossip.replicated_table import ReplicatedTable
from trouper.runtime.gossip.table_exchange import ExchangeSettings, Sends, TableExchange
from trouper.runtime.gossip.versioned_table import Delta, TableLimits
from trouper.runtime.node.services.worker_nodes import parent_of

Table: TypeAlias = ReplicatedTable[str, int]


def decoded(message: TableDeltas) -> list[tuple[str, Delta[Any, Any]]]:
    """Return the deltas of a message that has not been encoded."""
    return [
        (name, Delta(each.owner, each.generation, each.base, each.version, cast("Any", each.changes), each.rows))
        for name, deltas in message.deltas.items()
        for each in deltas
    ]


class Nodes:
    """The exchanges by node, each with the tables "t" and "u", and the messages in transit.

    settings: of a cluster; None for nodes without one.  cut: pairs of nodes that cannot reach each other.
    """

    def __init__(self, names: str, settings: ExchangeSettings | None = None, seed: int = 0) -> None:
        self.now, self.cut = 0.0, set[frozenset[str]]()
        self.chance = random.Random(seed)
        self.at: dict[str, TableExchange] = {}
        self.transit: list[tuple[str, str, Message[None]]] = []
        self.sent: list[tuple[str, str, Message[None]]] = []
        members = dict.fromkeys(names.split(), 1)
        for name in members:
            one = self.at[name] = TableExchange(name, 1, self.chance.random, parent_of, partial(self._in_reach, name))
            one.settings = settings
            one.set_members(members)
            for table in "tu":
                self.add(name, table)

    def add(self, node: str, name: str, row_bytes_max: int = 4_096) -> Table:
        """Add a table to a node.  row_bytes_max: as in ``TableLimits``; a message has half a megabyte of such rows."""
        limits = TableLimits(rows_max=100, row_bytes_max=row_bytes_max)
        table: Table = self.at[node].add(name, tuple, limits, lambda: None)
        return table

    def table(self, node: str, name: str = "t") -> Table:
        """Return a table of a node."""
        return self.at[node].tables[name]

    def _in_reach(self, node: str, other: str) -> bool:
        return frozenset((node, other)) not in self.cut

    def cut_off(self, node: str, other: str) -> None:
        """Let these two nodes not reach each other, and no others."""
        self.cut = {frozenset((node, other))}

    def send(self, node: str, sends: Sends) -> None:
        """Put what a node sends into transit; between nodes that cannot reach each other it is lost."""
        for to, message in sends:
            self.sent.append((node, to, message))
            if to in self.at and self._in_reach(node, to):
                self.transit.append((node, to, message))

    def put(self, node: str, key: str, value: int | None, name: str = "t") -> None:
        """Write a row, and send it."""
        table = self.table(node, name)
        table.put(key, value) if value is not None else table.remove(key)
        self.send(node, self.at[node].flush())

    def deliver(self, place: int = 0) -> None:
        """Deliver one message in transit."""
        source, to, message = self.transit.pop(place % len(self.transit))
        one = self.at[to]
        match message:
            case TableDeltas():
                self.send(to, one.merge(source, decoded(message)))
            case TableChecksums():
                self.send(to, one.checksums_from(source, message))
            case TableDigest():
                self.send(to, one.digest_from(source, message, self.now))
            case _:
                raise AssertionError(message)
        self.send(to, one.heard(source))

    def settle(self) -> None:
        """Deliver until nothing is in transit."""
        for _ in range(10_000):
            if not self.transit:
                return
            self.deliver()
        raise AssertionError(f"{len(self.transit)} messages are still in transit: {self.transit[:5]}")

    def compare(self, rounds: int = 1) -> None:
        """Let every node compare its copies with another one, some times."""
        for _ in range(rounds):
            self.now += 2.0
            for name, one in self.at.items():
                self.send(name, one.compare())
                self.settle()

    def copies(self, owner: str, name: str = "t") -> dict[str, dict[str, int]]:
        """Return what each node has of the rows of an owner."""
        return {node: dict(self.table(node, name).rows_of(owner)) for node in self.at}
