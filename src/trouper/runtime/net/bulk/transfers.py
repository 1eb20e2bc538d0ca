"""Messages with large buffers on their way to one node: moved in steps, so that other messages never wait for long.

A message goes out when all of its buffers have gone, by chunks in the bulk stream of the session or into shared memory.
Later messages for the same actor wait for it, so that messages of one pair stay in order; all others go ahead.
Several messages take turns, a step each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from ...session.buffers import OutOfBandBuffer
from ...session.bulk_chunks import BulkSettings, Chunk, chunk_of
from ...session.codec import Item, OutOfBandPayload
from ..control import EndActor, LendSegment, LinkedActorEnded
from .segments import SharedSegment

COPY_BYTES = 16_777_216
"""Bytes that one step copies into shared memory."""


class SegmentSource(Protocol):
    """Shared memory with the peer."""

    def allocate_for(self, size_bytes: int, /) -> SharedSegment | None:
        """Return a segment to fill; None when the buffer has to go over the session."""
        ...

    def cancel(self, owned: SharedSegment, /) -> None:
        """Release a segment that was allocated and not sent."""
        ...


class ChunkPort(Protocol):
    """The session with the peer, as far as chunks go."""

    def send_chunk(self, chunk: Chunk, /) -> bool:
        """Send a chunk; False when the session has no capacity now."""
        ...

    @property
    def body_bytes_max(self) -> int:
        """Bytes of the largest body that the peer takes."""
        ...


class Transfer:
    """One message, or reply, whose buffers go ahead of it."""

    __slots__ = ("item", "key", "left", "messages", "moved_bytes", "owned", "packed")

    def __init__(self, item: Item, packed: OutOfBandPayload, key: int) -> None:
        self.item, self.packed, self.key = item, packed, key
        self.left = deque(packed.buffers)
        self.owned: SharedSegment | None = None
        self.moved_bytes = 0
        self.messages: list[LendSegment] = []


class Transfers:
    """The messages whose buffers are on their way, and those that wait for them.

    segments: shared memory with the peer; None for none.
    is_given_up: whether the asker of an item has given up.
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
        self._waiting: dict[int, list[Item]] = {}
        self._last_number = 0

    def __bool__(self) -> bool:
        return bool(self._turns)

    @property
    def waiting_items(self) -> int:
        """Items that wait for another one before them."""
        return sum(map(len, self._waiting.values()))

    def add(self, item: Item, packed: OutOfBandPayload) -> None:
        """Begin to move the buffers of an item; later items for the same actor have to ``follow`` it."""
        to, correlation, *_ = item
        transfer = Transfer(item, packed, to or -correlation)
        self._turns.append(transfer)
        self._waiting[transfer.key] = []

    def follow(self, item: Item) -> bool:
        """Hold an item back if one for the same actor is on its way; returns whether it was held back."""
        to, _, _, payload = item
        if isinstance(payload, LinkedActorEnded) or (isinstance(payload, EndActor) and payload.how == "drain"):
            to = payload.uid
        waiting = self._waiting.get(to) if to else None
        if waiting is None:
            return False
        waiting.append(item)
        return True

    def step(self) -> tuple[int, list[LendSegment], list[Item]]:
        """Move a part of the buffers of the transfer whose turn it is.

        Returns how many bytes were moved, 0 for no capacity; and when a message can go now, the control messages that
        go before it, and the message with the items that waited for it.
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
        return moved, transfer.messages, [transfer.item, *self._waiting.pop(transfer.key)]

    def close(self) -> list[Item]:
        """Stop all transfers; returns their items, each with those that waited for it."""
        items: list[Item] = []
        for transfer in self._turns:
            self._stop(transfer)
            items += [transfer.item, *self._waiting.pop(transfer.key)]
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
        """Move nothing more of a transfer."""
        if transfer.owned is not None and self._segments is not None:
            self._segments.cancel(transfer.owned)
        transfer.owned, transfer.moved_bytes = None, 0
        transfer.left.clear()
