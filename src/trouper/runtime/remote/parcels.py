"""Large buffers between this node and one peer: what leaves a message, and what is put together for one.

``Bulk`` is what a node has for all of its peers, ``Parcels`` for one of them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ..kernel.errors import WireError
from ..kernel.messages import Message
from ..wire.buffers import extract
from ..wire.bulk import Assembly, BulkSettings
from ..wire.codec import Parcel
from .arena import Arena
from .control import Forget, Lend, Retire, Return, ShareAccept, ShareOffer
from .segments import Pool, host
from .sharing import Sharing

BulkControl: TypeAlias = ShareOffer | ShareAccept | Return | Retire | Lend | Forget
_PLAIN = (type(None), bool, int, float, str)
"""Values of these types, which most replies are, hold no buffer."""


class Bulk:
    """What a node has for large buffers: settings, and shared memory.

    token: returns a random number of 64 bits.  listen: where the node does; whoever comes by ``inprocess://`` or
    ``sim://`` is in this process already.
    """

    def __init__(self, settings: BulkSettings, token: Callable[[], int], listen: Sequence[str]) -> None:
        self.settings = settings
        may_share = settings.shared_bytes_max and any(place.startswith(("ipc://", "tcp://")) for place in listen)
        self.host = host() if may_share else ""
        self.pool = Pool(settings.shared_bytes_max, token)
        self.pool.retired = self._retired
        self.arena = Arena()
        self.sharings: set[Sharing] = set()

    def _retired(self, token: int) -> None:
        for sharing in self.sharings:
            sharing.retired(token)

    def close(self) -> None:
        """The node ends, and tells nobody any more."""
        self.sharings.clear()
        self.pool.close_all()


class Parcels:
    """See the top of the file.  say: tells the peer something."""

    def __init__(self, bulk: Bulk, say: Callable[[Message[object]], None], loop: asyncio.AbstractEventLoop) -> None:
        self._bulk, self._settings = bulk, bulk.settings
        self.sharing = Sharing(bulk.pool, bulk.host, os.getpid(), say, loop) if bulk.host else None
        if self.sharing is not None:
            bulk.sharings.add(self.sharing)
        self.assembly = Assembly(bulk.settings, bulk.arena.allocate)
        self.take_chunk, self.take = self.assembly.take_chunk, self.assembly.take

    def pack(self, value: object) -> Parcel | None:
        """Take the large buffers out of a message or a reply; None when it has none.

        Raises ``WireError`` for what may not travel.
        """
        if type(value) in _PLAIN:
            return None
        name, settings = type(value).__qualname__, self._settings
        try:
            payload, buffers = extract(value, settings.bulk_bytes_min)
        except TypeError as error:
            raise WireError(f"{name} cannot travel: {error}") from error
        if not buffers:
            return None
        parcel = Parcel(value, payload, buffers)
        if len(buffers) > settings.buffers_max:
            raise WireError(f"{name} has {len(buffers)} large buffers, buffers_max={settings.buffers_max}")
        if parcel.buffer_bytes > settings.bulk_bytes_max:
            raise WireError(
                f"{name} has {parcel.buffer_bytes} bytes in large buffers, bulk_bytes_max={settings.bulk_bytes_max}: "
                "send it in parts"
            )
        return parcel

    def hear(self, message: BulkControl) -> None:
        """Do what the peer says about buffers; raises ``WireError`` for what it may not say."""
        if isinstance(message, Forget):
            self.take(message.numbers)
        elif self.sharing is None:
            if not isinstance(message, ShareOffer):
                raise WireError(f"a {type(message).__qualname__} came, and no memory is shared")
        elif isinstance(message, Lend):
            self.assembly.put(message.number, self.sharing.borrow(message))
        else:
            self.sharing.take(message)

    def end(self) -> None:
        """The peer is lost."""
        self.assembly.clear()
        if self.sharing is not None:
            self._bulk.sharings.discard(self.sharing)
            self.sharing.end()
