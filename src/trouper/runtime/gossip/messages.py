"""The messages by which nodes exchange replicated tables."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from ..kernel.message import Message

NAME_CHARS_MAX = 256
"""Characters of the name of a table or of a node."""
TABLES_MAX = 1_000
"""Tables in one message, and on one node."""
ENDED_MAX = 100
"""Tables that have ended on a node, of which it keeps telling others that its rows are gone; the latest ones."""
DELTAS_MAX = 1_000
"""Deltas of one table in one message."""
ROWS_PER_MESSAGE = 1_000
"""Changed rows in one message."""
MESSAGE_BYTES_MAX = 524_288
"""Bytes of rows in one message; it must fit into a frame."""
VERSION_MAX = 2**62
"""The highest version of an owner's rows that can be sent."""

_Name = Annotated[str, msgspec.Meta(max_length=NAME_CHARS_MAX)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=VERSION_MAX)]
Stamp: TypeAlias = tuple[int, int]
"""Generation of an owner and version of its rows; of one generation the higher version is newer."""
_Stamps: TypeAlias = dict[_Name, tuple[int, _Count]]


class DeltaOnWire(msgspec.Struct, array_like=True, frozen=True):
    """A ``versioned_table.Delta`` as it travels.

    changes: a list of pairs of a key and a value, of the types of the table, which the receiver knows by its name.
    """

    owner: _Name
    generation: int
    base: _Count
    version: _Count
    rows: _Count
    changes: msgspec.Raw


class TableDeltas(Message[None], tag="trouper.TableDeltas"):
    """Changes of tables, by the name of the table: of the sender's own rows, or of others' rows that it passes on."""

    deltas: Annotated[
        dict[_Name, Annotated[tuple[DeltaOnWire, ...], msgspec.Meta(max_length=DELTAS_MAX)]],
        msgspec.Meta(max_length=TABLES_MAX),
    ]


class TableChecksums(Message[None], tag="trouper.TableChecksums"):
    """A checksum of the stamps of each table, by its name; equal checksums are taken to mean equal copies.

    Outside of a cluster the version of the sender's own rows stands in place of a checksum.
    answer: whether the sender wants an answer even if nothing differs.
    ended: tables that have ended on the sender, by name, each with the version by which its rows there were gone.
    """

    checksums: Annotated[dict[_Name, int], msgspec.Meta(max_length=TABLES_MAX)]
    answer: bool = False
    ended: Annotated[dict[_Name, _Count], msgspec.Meta(max_length=TABLES_MAX)] = msgspec.field(
        default_factory=dict[str, int]
    )


class TableDigest(Message[None], tag="trouper.TableDigest"):
    """The stamps of the sender's copies, by table and owner: the receiver sends what the sender lacks.

    answer: whether the sender wants the receiver's digest too.
    unconfirmed: content digests of rows that the sender has not from the node that speaks for their owner, which is the
        receiver; it confirms them, or sends the rows.
    passed_on: owners whose rows the sender takes from the receiver though it does not speak for them; None for all.
    """

    stamps: Annotated[dict[_Name, _Stamps], msgspec.Meta(max_length=TABLES_MAX)]
    answer: bool
    unconfirmed: dict[_Name, dict[_Name, bytes]]
    passed_on: tuple[_Name, ...] | None
