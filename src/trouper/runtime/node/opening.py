"""Joining: what a node does with ``listen`` and ``join``; it puts transports, network and actors together.

It is the one file of the runtime that knows which transport understands which endpoint, and imports it only then.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..kernel.errors import InvalidOption

if TYPE_CHECKING:
    from ..net.code_shipping import CodeShipping
    from ..net.network import MakeTransport
    from ..session.bulk_chunks import BulkSettings
    from .node import Node
    from .node_network import NodeNetwork


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """How a node is reached, and whom it dials.

    listen: endpoints, the first of which peers connect back to.  join: endpoints of other nodes, dialled for ever.
    allowed_modules: modules that may be imported because another node asks for an actor of theirs.
    keys: the folder that ``trouper keygen`` made, for tcp; None for none.  insecure: tcp may go without keys.
    shipping: how code may travel; None for not at all.
    bulk: what becomes of large buffers in messages; None is ``BulkSettings()``.
    links_max: links that are kept to the other members of a cluster; None outside of a cluster, where every link stays.
    seed: of the tokens and the jitter of links; None takes them from the operating system, since others can be guessed.
    """

    listen: tuple[str, ...] = ()
    join: tuple[str, ...] = ()
    allowed_modules: Collection[str] = ()
    keys: Path | None = None
    insecure: bool = False
    bulk: BulkSettings | None = None
    shipping: CodeShipping | None = None
    seed: int | None = None
    sessions_max: int | None = None

    def __post_init__(self) -> None:
        if self.shipping is not None and self.insecure:
            raise InvalidOption("code_shipping and insecure=True: anybody could run code here; give it keys instead")
        if self.join and not self.listen:
            raise InvalidOption(f"join={self.join} needs listen: peers send to this node at an endpoint of its own")


async def open_network(
    node: Node, options: NetworkOptions, transports: Sequence[MakeTransport], generation: int
) -> NodeNetwork:
    """Start the network of a node: it listens when this returns, and dials from then on."""
    from ..session.settings import SessionSettings  # noqa: PLC0415  a node without a network does not load it
    from .node_network import NodeActors, NodeNetwork  # noqa: PLC0415  a node without a network does not load it

    network = NodeNetwork(
        node.system,
        transports,
        listen=options.listen,
        join=options.join,
        generation=generation,
        local=NodeActors(node),
        allowed_modules=options.allowed_modules,
        bulk=options.bulk,
        settings=SessionSettings()
        if options.sessions_max is None
        else SessionSettings.for_monitored_peers(options.sessions_max),
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


def transports_for(options: NetworkOptions) -> list[MakeTransport]:
    """Return makers of the transports that these endpoints are for; raises ``InvalidOption`` for an unknown one."""
    return [_maker(family, options) for family in dict.fromkeys(map(_family, (*options.listen, *options.join)))]


def _family(endpoint: str) -> str:
    """Return which transport an endpoint is for; raises ``InvalidOption``."""
    scheme = endpoint.partition("://")[0]
    if scheme == "inprocess":
        return "inprocess"
    if scheme in ("ipc", "tcp"):
        return "zeromq"
    raise InvalidOption(
        f"no transport knows {endpoint}; known are: inprocess://NAME, ipc:///PATH, ipc://NAME, tcp://HOST:PORT"
    )


def _maker(family: str, options: NetworkOptions) -> MakeTransport:
    if family == "inprocess":
        from ...transports.inprocess import InProcessTransport  # noqa: PLC0415  only who uses it pays for it

        return InProcessTransport
    from ...transports.keys import KeyRing  # noqa: PLC0415  only who uses it pays for it
    from ...transports.zeromq import ZeroMQTransport  # noqa: PLC0415  only who uses it pays for it

    keys = None if options.keys is None else KeyRing.load(options.keys)
    return partial(ZeroMQTransport, keys=keys, insecure=options.insecure)
