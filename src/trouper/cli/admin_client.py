"""Attending a cluster from the command line: find a node of it, link to it as one that is no member, and ask.

``announced_here`` reads the announcements of this user's nodes on this host; ``AdminClient`` is the short-lived node.
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

from ..actors.cluster.admin_service import DownMember, LeaveCluster, ListedMember, ListMembers, MemberPage
from ..actors.cluster.discovery.local import LocalDiscovery, runtime_folder
from ..actors.cluster.discovery.port import DiscoveryFailed
from ..runtime.kernel.errors import ActorError, CallerError, Unhandled, WireError
from ..runtime.node.node import Node
from ..transports.keys import KeysInvalid, default_folder

if TYPE_CHECKING:
    from ..runtime.kernel.message import Message
    from ..runtime.net.peer import Peer

R = TypeVar("R")
CONNECT_S = 5.0
"""Seconds that a node may take to answer when it is dialled."""
LEAVE_S = 15.0
"""Seconds that a node may take to leave and end."""


class AdminFailed(click.ClickException):
    """Nobody could be asked, or who was asked did not do it: one line says why, and the exit code is 1."""


async def announced_here() -> dict[str, tuple[str, ...]]:
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

    Raises ``AdminFailed`` when nobody is there, ``click.UsageError`` when a cluster has to be named.
    """
    found = await announced_here()
    where = f"in {runtime_folder('any').parent}; --at ENDPOINT names a node elsewhere"
    if cluster is None and len(found) > 1:
        raise click.UsageError(f"several clusters run here: {', '.join(found)}; say which with --cluster")
    if not found:
        raise AdminFailed(f"no node of a cluster is announced {where}")
    if cluster is not None and cluster not in found:
        raise AdminFailed(f"no node of the cluster {cluster!r} is announced {where}; there are: {', '.join(found)}")
    return found[cluster] if cluster is not None else next(iter(found.values()))


class AdminClient:
    """A short-lived node that is no member, linked to the first of these endpoints that answers.

    Entering raises ``AdminFailed``.
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
                listen = _listen_endpoint(endpoint)
                name = f"attendant-{os.getpid()}"
                self._node = Node(name, listen=listen, keys=self._keys, insecure=self._insecure)
                await self._node.__aenter__()
            except (CallerError, KeysInvalid, OSError) as error:
                self.tried.append(f"{endpoint}: {error}")
                continue
            try:
                self.peer = await self.link(endpoint)
            except AdminFailed as failed:
                self.tried.append(str(failed))
                await self._node.__aexit__(None, None, None)
            else:
                return self
        raise AdminFailed("; ".join(self.tried))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._node.__aexit__(None, None, None)

    async def link(self, endpoint: str) -> Peer:
        """Link to the node at an endpoint; raises ``AdminFailed``."""
        network = self._node.network
        deadline = self._node.system.loop.time() + CONNECT_S
        network.connect(endpoint)
        while (peer := network.peer_at(endpoint)) is None:
            if refused := network.refusals.get(endpoint):
                raise AdminFailed(f"{endpoint} refused the link: {refused}")
            if self._node.system.loop.time() > deadline:
                raise AdminFailed(f"{endpoint} does not answer within {CONNECT_S:g} s")
            await asyncio.sleep(0.01)
        return peer

    async def members(self) -> tuple[MemberPage, list[ListedMember]]:
        """Return all members, and the first page of them, which says whose; raises ``AdminFailed``."""
        page = first = await self._ask(self.peer, ListMembers())
        listed = list(first.listed)
        while page.more:
            page = await self._ask(self.peer, ListMembers(listed[-1].member.name))
            listed += page.listed
        return first, listed

    async def down(self, name: str, reason: str) -> bool:
        """Have a member taken down; False when there is none of this name.  Raises ``AdminFailed``."""
        return await self._ask(self.peer, DownMember(name, reason))

    async def leave(self, endpoint: str, reason: str) -> str:
        """Have the node at an endpoint leave and end; returns its name once it has.  Raises ``AdminFailed``."""
        peer = await self.link(endpoint)
        name = await self._ask(peer, LeaveCluster(reason))
        deadline = self._node.system.loop.time() + LEAVE_S
        while peer.lost is None:
            if self._node.system.loop.time() > deadline:
                raise AdminFailed(f"node {name} leaves, and has not ended within {LEAVE_S:g} s")
            await asyncio.sleep(0.01)
        return name

    async def _ask(self, peer: Peer, question: Message[R]) -> R:
        try:
            return await peer.control_ref.ask(question)
        except (Unhandled, WireError):  # without a cluster a node has not even loaded these messages
            raise AdminFailed(f"node {peer.node} takes part in no cluster") from None
        except (ActorError, CallerError) as error:
            raise AdminFailed(f"node {peer.node} did not do it: {error}") from None


def _listen_endpoint(endpoint: str) -> str:
    """Return where this process listens, so that whoever listens at the endpoint reaches it; raises ``OSError``."""
    if not endpoint.startswith("tcp://"):
        return "ipc://*"
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port or 0), type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(address)  # nothing is sent: the system only looks up the way there
        own = str(probe.getsockname()[0])
    return f"tcp://[{own}]:0" if family == socket.AF_INET6 else f"tcp://{own}:0"
