"""Opens the network of a node: connects the network, the actors and the services."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..kernel.errors import InvalidOption

if TYPE_CHECKING:
    from ..net.code_shipping import CodeShipping
    from ..net.network import MakeTransport
    from ..session.budget import PeerLimits
    from ..session.bulk_chunks import BulkSettings
    from .node_network import NodeNetwork
    from .node_services import NodeServices


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """The endpoints of a node, and what it allows its peers.

    listen: endpoints; peers connect back to the first.  join: endpoints of other nodes, dialled until they answer; and
        what an extension takes out of it, such as the discoveries of a cluster.
    parent: the name of the node that started this one as its worker; empty for none.
    allowed_modules: modules that may be imported because a peer spawns an actor of theirs here.
    keys: the folder that ``trouper keygen`` made, for tcp; None has no keys.  insecure: tcp may go without.
    shipping: the limits of code that travels by value; None neither sends nor takes code.
    bulk: how large buffers in messages are sent; None is ``BulkSettings()``.
    limits: what peers may cost the node; None is ``PeerLimits()``.
    sessions_max: sessions that a member of a cluster keeps open; None, outside of a cluster, keeps every session.
    advertise: the endpoint that peers are told instead of those where the node listens; empty for none.
    seed: of the tokens and the jitter of sessions; None takes unpredictable ones from the operating system.
    """

    listen: tuple[str, ...] = ()
    join: tuple[object, ...] = ()
    allowed_modules: Collection[str] = ()
    keys: Path | None = None
    insecure: bool = False
    bulk: BulkSettings | None = None
    limits: PeerLimits | None = None
    shipping: CodeShipping | None = None
    seed: int | None = None
    sessions_max: int | None = None
    advertise: str = ""
    parent: str = ""

    def __post_init__(self) -> None:
        if self.shipping is not None and self.insecure:
            raise InvalidOption("code_shipping and insecure=True: anybody could run code here; give it keys instead")
        if self.advertise and not self.listen:
            raise InvalidOption(f"advertise={self.advertise!r} needs listen: it tells how that endpoint is reached")
        if self.join and not self.listen:
            raise InvalidOption(f"join={self.join} needs listen: peers send to this node at an endpoint of its own")

    @property
    def dialled(self) -> tuple[str, ...]:
        """The endpoints in ``join``; raises ``InvalidOption`` for another entry, which no extension has taken."""
        for entry in self.join:
            if not isinstance(entry, str):
                raise InvalidOption(f"join={entry!r:.80} is no endpoint: a discovery is for a node with cluster=...")
        return tuple(entry for entry in self.join if isinstance(entry, str))


async def open_network(
    node: NodeServices, options: NetworkOptions, transports: Sequence[MakeTransport], generation: int
) -> NodeNetwork:
    """Start the network of a node and return it: it listens when this returns, and dials ``options.join`` from then on.

    Raises what a transport raises for an endpoint, with nothing left open.
    """
    from ..session.settings import SessionSettings  # noqa: PLC0415  loaded on first use
    from .node_network import NodeActors, NodeNetwork  # noqa: PLC0415  loaded on first use

    network = NodeNetwork(
        node.system,
        transports,
        listen=options.listen,
        join=options.dialled,
        generation=generation,
        local=NodeActors(node),
        allowed_modules=options.allowed_modules,
        bulk=options.bulk,
        limits=options.limits,
        settings=SessionSettings()
        if options.sessions_max is None
        else SessionSettings.for_monitored_peers(options.sessions_max),
        advertise=options.advertise,
        rng=None if options.seed is None else random.Random(f"{options.seed} {node.name} {generation}"),
    )
    network.shipping = options.shipping
    network.install_services(node, options.sessions_max)
    try:
        await network.start()
    except BaseException:
        await network.close()
        raise
    return network
