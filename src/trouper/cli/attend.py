"""Attending a cluster from the command line: find a node of it, link to it as one that is no member, and ask.

``here`` reads the announcements of this user's nodes on this host; ``Attending`` is the short-lived node.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import click

from ..actors.cluster.attending import Down, Leave, Members, Roll, Standing
from ..actors.cluster.discovery.local import LocalDiscovery, runtime_folder
from ..actors.cluster.discovery.port import DiscoveryFailed
from ..runtime.kernel.errors import ActorError, CallerError, Unhandled, WireError
from ..runtime.node import Node
from ..transports.keys import KeysInvalid, default_folder

if TYPE_CHECKING:
    from ..runtime.kernel.messages import Message
    from ..runtime.remote.peer import Peer

R = TypeVar("R")
LINK_S = 5.0
"""Seconds that a node may take to answer when it is dialled."""
GONE_S = 15.0
"""Seconds that a node may take to leave and end."""


class Unattended(click.ClickException):
    """Nobody could be asked, or who was asked did not do it: one line says why, and the exit code is 1."""


async def here() -> dict[str, tuple[str, ...]]:
    """Return the endpoints of this user's living nodes on this host, by the names of their clusters."""
    above = runtime_folder("any").parent
    found: dict[str, tuple[str, ...]] = {}
    for folder in sorted(above.iterdir()) if above.is_dir() else []:
        if not folder.is_dir():
            continue  # the sockets of nodes lie here too
        try:
            if endpoints := await LocalDiscovery(folder).find():
                found[folder.name] = tuple(endpoints)
        except DiscoveryFailed as failed:
            click.echo(f"warning: {failed}", err=True)
    return found


async def endpoints_of(cluster: str | None) -> tuple[str, ...]:
    """Return where nodes of a cluster of this user listen; None is the only one that there is.

    Raises ``Unattended`` when nobody is there, ``click.UsageError`` when a cluster has to be named.
    """
    found = await here()
    where = f"in {runtime_folder('any').parent}; --at ENDPOINT names a node elsewhere"
    if cluster is None and len(found) > 1:
        raise click.UsageError(f"several clusters run here: {', '.join(found)}; say which with --cluster")
    if not found:
        raise Unattended(f"no node of a cluster is announced {where}")
    if cluster is not None and cluster not in found:
        raise Unattended(f"no node of the cluster {cluster!r} is announced {where}; there are: {', '.join(found)}")
    return found[cluster] if cluster is not None else next(iter(found.values()))


class Attending:
    """A short-lived node that is no member, linked to the first of these endpoints that answers.

    Entering raises ``Unattended``.
    """

    def __init__(self, endpoints: Sequence[str], keys: Path | None, *, insecure: bool) -> None:
        self._endpoints = endpoints
        tcp = any(endpoint.startswith("tcp://") for endpoint in endpoints)
        if keys is None and tcp and not insecure and default_folder().is_dir():
            keys = default_folder()
        self._keys, self._insecure = keys, insecure
        self.tried: list[str] = []

    async def __aenter__(self) -> Self:
        for endpoint in self._endpoints:
            try:
                listen = _beside(endpoint)
                name = f"attendant-{os.getpid()}"
                self._node = Node(name, listen=listen, keys=self._keys, insecure=self._insecure)
                await self._node.__aenter__()
            except (CallerError, KeysInvalid, OSError) as error:
                self.tried.append(f"{endpoint}: {error}")
                continue
            try:
                self.peer = await self.link(endpoint)
            except Unattended as failed:
                self.tried.append(str(failed))
                await self._node.__aexit__(None, None, None)
            else:
                return self
        raise Unattended("; ".join(self.tried))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._node.__aexit__(None, None, None)

    async def link(self, endpoint: str) -> Peer:
        """Link to the node at an endpoint; raises ``Unattended``."""
        network = self._node.network
        deadline = self._node.system.loop.time() + LINK_S
        network.connect(endpoint)
        while (peer := network.peer_at(endpoint)) is None:
            if refused := network.refusals.get(endpoint):
                raise Unattended(f"{endpoint} refused the link: {refused}")
            if self._node.system.loop.time() > deadline:
                raise Unattended(f"{endpoint} does not answer within {LINK_S:g} s")
            await asyncio.sleep(0.01)
        return peer

    async def roll(self) -> tuple[Roll, list[Standing]]:
        """Return all members, and the first page of them, which says whose; raises ``Unattended``."""
        page = first = await self._ask(self.peer, Members())
        standings = list(first.standings)
        while page.more:
            page = await self._ask(self.peer, Members(standings[-1].member.name))
            standings += page.standings
        return first, standings

    async def down(self, name: str, reason: str) -> bool:
        """Have a member taken down; False when there is none of this name.  Raises ``Unattended``."""
        return await self._ask(self.peer, Down(name, reason))

    async def leave(self, endpoint: str, reason: str) -> str:
        """Have the node at an endpoint leave and end; returns its name once it has.  Raises ``Unattended``."""
        peer = await self.link(endpoint)
        name = await self._ask(peer, Leave(reason))
        deadline = self._node.system.loop.time() + GONE_S
        while peer.lost is None:
            if self._node.system.loop.time() > deadline:
                raise Unattended(f"node {name} leaves, and has not ended within {GONE_S:g} s")
            await asyncio.sleep(0.01)
        return name

    async def _ask(self, peer: Peer, question: Message[R]) -> R:
        try:
            return await peer.door.ask(question)
        except (Unhandled, WireError):  # without a cluster a node has not even loaded these messages
            raise Unattended(f"node {peer.node} takes part in no cluster") from None
        except (ActorError, CallerError) as error:
            raise Unattended(f"node {peer.node} did not do it: {error}") from None


def _beside(endpoint: str) -> str:
    """Return where this process listens, so that whoever listens at the endpoint reaches it; raises ``OSError``."""
    if not endpoint.startswith("tcp://"):
        return "ipc://*"
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port or 0), type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(address)  # nothing is sent: the system only looks up the way there
        own = str(probe.getsockname()[0])
    return f"tcp://[{own}]:0" if family == socket.AF_INET6 else f"tcp://{own}:0"
