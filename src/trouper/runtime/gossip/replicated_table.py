"""``ReplicatedTable``: a table whose rows each belong to the node that wrote them, with copies on all nodes.

Reads are local.  The rows of a node end with the node, or with the extension that has made the table there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Generic

import msgspec

from ..kernel.confined import confine
from ..kernel.errors import CallerError
from .messages import ROWS_PER_MESSAGE
from .versioned_table import Key, RowChanged, Value, VersionedTable

if TYPE_CHECKING:
    from ..kernel.system import System

Subscriber = Callable[[Sequence[RowChanged[Key, Value]]], None]
"""Called with the rows that one write, or one packet of another node, has changed."""


@confine("system")
class ReplicatedTable(Generic[Key, Value]):
    """One node's view of a table; ``NodeContext.table`` makes it.

    name: the same on all nodes.  copies: the rows with their versions; for the exchange between nodes.
    row_type, rows_type: the types of a pair of key and value, and of many.
    is_valid: returns whether an owner may have a row; called for rows of other nodes.  None for all rows.
    on_write: called after this node has written a row.
    """

    def __init__(
        self,
        name: str,
        row_type: Any,  # Any: a type, which is built from others when the program runs
        copies: VersionedTable[Key, Value],
        on_write: Callable[[], None],
        is_valid: Callable[[str, Key, Value | None], bool] | None = None,
    ) -> None:
        self.name, self.row_type, self.copies, self.is_valid = name, row_type, copies, is_valid
        self.rows_type: object = Annotated[tuple[row_type, ...], msgspec.Meta(max_length=ROWS_PER_MESSAGE)]
        self._on_write = on_write
        self._subscribers: dict[Subscriber[Key, Value], Subscriber[Key, Value]] = {}
        self.guard: Callable[[Subscriber[Key, Value]], Subscriber[Key, Value]] = lambda subscriber: subscriber
        """Makes of each subscriber what is called in its place."""
        self.system: System | None = None
        """The actors of the node; None in tests of a table alone."""
        self.is_open = True
        """Whether it can be written to; not after the extension that made it has ended."""

    # --- this node's rows --------------------------------------------------------------------------------------------

    @property
    def own(self) -> Mapping[Key, Value]:
        """The rows of this node, by key."""
        return self.copies.rows_of(self.copies.node)

    def put(self, key: Key, row: Value) -> None:
        """Write a row of this node; the other nodes get it soon.

        Raises ``RowFull`` at a limit of the table, ``CallerError`` for a row that cannot travel, and after the end of
        the extension that has made the table.
        """
        self._write(key, row)

    def remove(self, key: Key) -> bool:
        """Remove a row of this node; returns False when there is none."""
        return self._write(key, None)

    def clear(self) -> None:
        """Remove all rows of this node."""
        for key in list(self.own):
            self._write(key, None)

    def _write(self, key: Key, row: Value | None) -> bool:
        if not self.is_open:
            raise CallerError(f"the table {self.name!r} has ended with its extension: make it anew")
        try:
            change = self.copies.put(key, row)
        except TypeError as error:
            raise CallerError(f"a row of the table {self.name!r} cannot travel: {error}") from error
        if change is not None:
            self.changed((change,))
            self._on_write()
        return change is not None

    # --- reading -----------------------------------------------------------------------------------------------------

    def rows_of(self, owner: str) -> Mapping[Key, Value]:
        """Return the rows of a node, by key, as far as this one knows; do not change it.  owner: its name."""
        return self.copies.rows_of(owner)

    def rows(self) -> Iterator[tuple[str, Key, Value]]:
        """Return the rows of all nodes: the name of the owner, key, row."""
        return self.copies.items()

    def find(self, key: Key) -> dict[str, Value]:
        """Return the rows with a key, by the name of their owner."""
        found = ((owner, self.copies.rows_of(owner).get(key)) for owner in self.copies.owners())
        return {owner: row for owner, row in found if row is not None}

    # --- changes -----------------------------------------------------------------------------------------------------

    def subscribe(self, subscriber: Subscriber[Key, Value]) -> Callable[[], None]:
        """Call a function with the changes of rows: now with the present rows, then with each change, own ones too.

        Returns a function that ends that.  subscriber: called with a sequence of ``RowChanged``; its error fails the
        extension that has made the table.
        """
        guarded = self._subscribers[subscriber] = self.guard(subscriber)
        present = tuple(RowChanged(owner, key, None, row) for owner, key, row in self.rows())
        if present:
            guarded(present)

        def unsubscribe() -> None:
            self._subscribers.pop(subscriber, None)

        return unsubscribe

    def changed(self, changes: Sequence[RowChanged[Key, Value]]) -> None:
        """Call the subscribers; called by the runtime."""
        for guarded in list(self._subscribers.values()) if changes else ():
            guarded(changes)
