"""What a peer needs of the node around it; the network is that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from ..kernel.cell import Cell
from ..kernel.message import Message
from ..kernel.ref import ActorRef
from ..session.codec import SessionCodec
from .control import SpawnActor
from .remote_cell import NodeId

if TYPE_CHECKING:
    from ..kernel.system import System
    from .bulk.out_of_band import BulkResources
    from .directory import Directory
    from .peer import Peer

RequestHandler = Callable[["Message[object]", "Peer"], object]
"""Called with what a peer has told this node itself, and that peer; what it returns is the reply if one is owed."""


class PeerContext(Protocol):
    """What a peer needs of the node around it."""

    @property
    def system(self) -> System:
        """The actors of this node."""
        ...

    @property
    def node_id(self) -> NodeId:
        """The name of this node, and which life of it this is."""
        ...

    @property
    def exports(self) -> dict[int, Cell]:
        """The actors of this node whose refs others may hold, by uid; nobody else can be reached from outside."""
        ...

    @property
    def request_handlers(self) -> Mapping[type, RequestHandler]:
        """What features of this node do for its peers, by the type of message that asks for it."""
        ...

    @property
    def directory(self) -> Directory:
        """The actors of other nodes that somebody here has a ref to."""
        ...

    @property
    def bulk(self) -> BulkResources:
        """What this node has for large buffers."""
        ...

    def spawn_local(self, spawn: SpawnActor, tables: SessionCodec, /) -> asyncio.Future[ActorRef]:
        """Start an actor that the peer asks for."""
        ...

    @property
    def find_local(self) -> Callable[[str], ActorRef | None]:
        """Finds an actor of this node by its registered name or its path."""
        ...
