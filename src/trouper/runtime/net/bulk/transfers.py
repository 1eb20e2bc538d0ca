"""Messages with large buffers on their way to one node: cut into steps, so that nobody else waits for long.

A message goes out when all of its buffers have gone, by chunks in the bulk lane of the link or into shared memory.
What is for the same actor after it waits for it, so that messages of one pair stay in order; all else goes ahead.
Several messages take turns, a step each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from ...session.buffers import OutOfBandBuffer
from ...session.bulk_chunks import BulkSettings, Chunk, chunk_of
from ...session.codec import Item, OutOfBandPayload
from ..control import Control, EndActor, LendSegment, LinkedActorEnded
from .segments import SharedSegment

COPY_BYTES = 16_777_216
"""What one step copies into shared memory."""


class SegmentSource(Protocol):
    """Shared memory with the node; see ``SharedMemory``."""

    def allocate_for(self, size_bytes: int, /) -> SharedSegment | None:
        """Return a segment to fill; None when the buffer has to go over the link."""
        ...

    def cancel(self, owned: SharedSegment, /) -> None:
        """It was not lent after all."""
        ...


class ChunkPort(Protocol):
    """The link to the node, as far as chunks go."""

    def send_chunk(self, chunk: Chunk, /) -> bool:
        """Give it a chunk; False when it has no room."""
        ...

    @property
    def body_bytes_max(self) -> int:
        """Bytes of the largest body that the node takes."""
        ...


class Transfer:
    """One message, or reply, whose buffers go ahead of it."""

    __slots__ = ("item", "key", "left", "messages", "moved_bytes", "owned", "parcel")

    def __init__(self, item: Item, parcel: OutOfBandPayload, key: int) -> None:
        self.item, self.parcel, self.key = item, parcel, key
        self.left = deque(parcel.buffers)
        self.owned: SharedSegment | None = None
        self.moved_bytes = 0
        self.messages: list[Control] = []


class Transfers:
    """See the top of the file.

    lender: None for no shared memory.
    is_given_up: whether nobody wants an item any more.
    """

    def __init__(
        self,
        sender: ChunkPort,
        settings: BulkSettings,
        segments: SegmentSource | None,
        is_given_up: Callable[[Item], bool],
    ) -> None:
        self._sender, self._settings, self._segments, self._is_given_up = sender, settings, segments, is_given_up
        self._turns: deque[Transfer] = deque()
        self._held: dict[int, list[Item]] = {}
        self._last_number = 0

    def __bool__(self) -> bool:
        return bool(self._turns)

    @property
    def waiting_items(self) -> int:
        """Items that wait for another before them."""
        return sum(map(len, self._held.values()))

    def add(self, item: Item, parcel: OutOfBandPayload) -> None:
        """Begin to move the buffers of an item; what is for the same actor is to ``follow`` it."""
        to, correlation, *_ = item
        transfer = Transfer(item, parcel, to or -correlation)
        self._turns.append(transfer)
        self._held[transfer.key] = []

    def follow(self, item: Item) -> bool:
        """Hold an item back if one for the same actor is on its way; returns whether it did."""
        to, _, _, payload = item
        if isinstance(payload, LinkedActorEnded) or (isinstance(payload, EndActor) and payload.how == "drain"):
            to = payload.uid
        held = self._held.get(to) if to else None
        if held is None:
            return False
        held.append(item)
        return True

    def step(self) -> tuple[int, list[Control], list[Item]]:
        """Move a part of the buffers whose turn it is.

        Returns how many bytes were moved, 0 for no room; and when a message can go now, what is to be said before it,
        and the message with those that waited for it.
        """
        transfer = self._turns[0]
        if self._is_given_up(transfer.item):
            moved = 1
            self._stop(transfer)
        else:
            moved = self._move(transfer)
            if not moved:
                return 0, [], []
        self._turns.popleft()
        if transfer.left:
            self._turns.append(transfer)
            return moved, [], []
        return moved, transfer.messages, [transfer.item, *self._held.pop(transfer.key)]

    def close(self) -> list[Item]:
        """Move nothing any more; returns what was on its way, and what waited for it."""
        items: list[Item] = []
        for transfer in self._turns:
            self._stop(transfer)
            items += [transfer.item, *self._held.pop(transfer.key)]
        self._turns.clear()
        return items

    def _move(self, transfer: Transfer) -> int:
        out_of_band = transfer.left[0]
        if not out_of_band.number:
            self._last_number += 1
            out_of_band.number = self._last_number
            if self._segments is not None and len(out_of_band.view) >= self._settings.share_bytes_min:
                transfer.owned = self._segments.allocate_for(len(out_of_band.view))
        moved = (
            self._send(transfer, out_of_band)
            if transfer.owned is None
            else self._copy(transfer, transfer.owned, out_of_band)
        )
        transfer.moved_bytes += moved
        if transfer.moved_bytes == len(out_of_band.view):
            transfer.left.popleft()
            transfer.moved_bytes, transfer.owned = 0, None
        return moved

    def _send(self, transfer: Transfer, out_of_band: OutOfBandBuffer) -> int:
        chunk = chunk_of(out_of_band.number, out_of_band.view, transfer.moved_bytes, self._sender.body_bytes_max)
        return len(chunk[1]) if self._sender.send_chunk(chunk) else 0

    def _copy(self, transfer: Transfer, owned: SharedSegment, out_of_band: OutOfBandBuffer) -> int:
        begin = transfer.moved_bytes
        part = out_of_band.view[begin : begin + COPY_BYTES]
        owned.memory[begin : begin + len(part)] = part
        if begin + len(part) == len(out_of_band.view):
            transfer.messages.append(LendSegment(out_of_band.number, owned.segment, len(out_of_band.view)))
        return len(part)

    def _stop(self, transfer: Transfer) -> None:
        """Move nothing more of it."""
        if transfer.owned is not None and self._segments is not None:
            self._segments.cancel(transfer.owned)
        transfer.owned, transfer.moved_bytes = None, 0
        transfer.left.clear()
