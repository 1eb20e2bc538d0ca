"""What a peer needs of the node around it; the network is that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from ..kernel.cell import Cell
from ..kernel.messages import Message
from ..kernel.ref import ActorRef
from ..wire.codec import Tables
from .cell import Home
from .control import Spawn

if TYPE_CHECKING:
    from ..kernel.system import System
    from .directory import Directory
    from .parcels import Bulk
    from .peer import Peer

Serve = Callable[["Message[object]", "Peer"], object]
"""Called with what a peer has told this node itself, and that peer; what it returns is the reply if one is owed."""


class Surroundings(Protocol):
    """What a peer needs of the node around it."""

    @property
    def system(self) -> System:
        """The actors of this node."""
        ...

    @property
    def home(self) -> Home:
        """The name of this node, and which life of it this is."""
        ...

    @property
    def exports(self) -> dict[int, Cell]:
        """The actors of this node whose refs others may hold, by uid; nobody else can be reached from outside."""
        ...

    @property
    def serves(self) -> Mapping[type, Serve]:
        """What features of this node do for its peers, by the type of message that asks for it."""
        ...

    @property
    def directory(self) -> Directory:
        """The actors of other nodes that somebody here has a ref to."""
        ...

    @property
    def bulk(self) -> Bulk:
        """What this node has for large buffers."""
        ...

    def spawn_here(self, spawn: Spawn, tables: Tables, /) -> asyncio.Future[ActorRef]:
        """Start an actor that the peer asks for."""
        ...

    @property
    def find_here(self) -> Callable[[str], ActorRef | None]:
        """Finds an actor of this node by its registered name or its path."""
        ...
