"""The administration of a running cluster from the command line.

``announced_here`` reads the announcements of this user's nodes on this host.  ``AdminClient`` is a short-lived node
that is no member: it connects to one node of the cluster and sends it requests.
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
from ..node import Node
from ..runtime.kernel.errors import ActorError, CallerError, Unhandled, WireError
from ..runtime.kernel.untrusted import escaped
from ..transports.keys import KeyRing, KeysInvalid, default_folder

if TYPE_CHECKING:
    from ..runtime.kernel.message import Message
    from ..runtime.net.peer import Peer

R = TypeVar("R")
CONNECT_S = 5.0
"""Seconds within which a node has to answer when it is dialled."""
LEAVE_S = 15.0
"""Seconds within which a node has to leave and end."""
POLL_EVERY_S = 0.01


class AdminFailed(click.ClickException):
    """No node could be asked, or the one that was asked refused: one line says why, and the exit code is 1.

    The line may have the words of another node, and so is escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__(escaped(message))


async def announced_here() -> dict[str, tuple[str, ...]]:
    """Return the endpoints of this user's running nodes on this host, by the name of their cluster."""
    root = runtime_folder("any").parent
    found: dict[str, tuple[str, ...]] = {}
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        if not folder.is_dir():
            continue  # the folder contains the sockets of nodes, too
        try:
            if endpoints := await LocalDiscovery(folder).find():
                found[folder.name] = tuple(endpoints)
        except DiscoveryFailed as failed:
            click.echo(escaped(f"warning: {failed}"), err=True)
    return found


async def endpoints_of(cluster: str | None) -> tuple[str, ...]:
    """Return the endpoints of the nodes of a cluster of this user on this host.

    cluster: its name; None is the only cluster.
    Raises ``AdminFailed`` when no node is announced, ``click.UsageError`` when there are several clusters.
    """
    found = await announced_here()
    where = f"in {runtime_folder('any').parent}; --at ENDPOINT names a node elsewhere"
    if cluster is None and len(found) > 1:
        raise click.UsageError(f"several clusters run here: {', '.join(found)}; name one with --cluster")
    if not found:
        raise AdminFailed(f"no node of a cluster is announced {where}")
    if cluster is not None and cluster not in found:
        raise AdminFailed(f"no node of the cluster {cluster!r} is announced {where}; there are: {', '.join(found)}")
    return found[cluster] if cluster is not None else next(iter(found.values()))


class AdminClient:
    """A short-lived node that is no member, connected to the first of the endpoints that answers.

    endpoints: nodes of the cluster, tried in this order.  keys: the folder of keys for ``tcp://``; None is the default
    folder where that exists.  insecure: use ``tcp://`` without keys.
    Entering the block raises ``AdminFailed`` when no endpoint answers.
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
                name = self._name()
                self._node = Node(name, listen=listen, keys=self._keys, insecure=self._insecure)
                await self._node.__aenter__()
            except (CallerError, KeysInvalid, OSError) as error:
                self.tried.append(f"{endpoint}: {error}")
                continue
            try:
                self.peer = await self.connect(endpoint)
            except AdminFailed as failed:
                self.tried.append(str(failed))
                await self._node.__aexit__(None, None, None)
            else:
                return self
        raise AdminFailed("; ".join(self.tried))

    def _name(self) -> str:
        """Return a name for this node; where its keys were made for a node, the name begins with that of the node."""
        own = None if self._keys is None else KeyRing.load(self._keys).node_name
        return f"{own}.admin-{os.getpid()}" if own else f"admin-{os.getpid()}"

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._node.__aexit__(None, None, None)

    async def connect(self, endpoint: str) -> Peer:
        """Connect to the node at an endpoint; raises ``AdminFailed`` when it refuses or does not answer in time."""
        network = self._node.network
        deadline = self._node.system.loop.time() + CONNECT_S
        network.connect(endpoint)
        while (peer := network.peer_at(endpoint)) is None:
            if refused := network.refusals.get(endpoint):
                raise AdminFailed(f"{endpoint} refused the connection: {refused}")
            if self._node.system.loop.time() > deadline:
                raise AdminFailed(f"{endpoint} does not answer within {CONNECT_S:g} s")
            await asyncio.sleep(POLL_EVERY_S)
        return peer

    async def members(self) -> tuple[MemberPage, list[ListedMember]]:
        """Return the first page, which names the cluster and the node, and all members; raises ``AdminFailed``."""
        page = first = await self._ask(self.peer, ListMembers())
        listed = list(first.listed)
        while page.more:
            page = await self._ask(self.peer, ListMembers(listed[-1].member.name))
            listed += page.listed
        return first, listed

    async def down(self, name: str, reason: str) -> bool:
        """Take a member down.

        name: of the node.  reason: told to all members.  Returns False when no member has this name.
        Raises ``AdminFailed``.
        """
        return await self._ask(self.peer, DownMember(name, reason))

    async def leave(self, endpoint: str, reason: str) -> str:
        """Make the node at an endpoint leave its cluster and end; returns its name once it has ended.

        Raises ``AdminFailed``, also when it has not ended within ``LEAVE_S`` seconds.
        """
        peer = await self.connect(endpoint)
        name = await self._ask(peer, LeaveCluster(reason))
        deadline = self._node.system.loop.time() + LEAVE_S
        while peer.lost is None:
            if self._node.system.loop.time() > deadline:
                raise AdminFailed(f"node {name} is leaving, and has not ended within {LEAVE_S:g} s")
            await asyncio.sleep(POLL_EVERY_S)
        return name

    async def _ask(self, peer: Peer, request: Message[R]) -> R:
        try:
            return await peer.control_ref.ask(request)
        except (Unhandled, WireError):  # a node without a cluster has not loaded these messages
            raise AdminFailed(f"node {peer.node} is not in a cluster") from None
        except (ActorError, CallerError) as error:
            raise AdminFailed(f"node {peer.node} did not do it: {error}") from None


def _listen_endpoint(endpoint: str) -> str:
    """Return an endpoint of this process that the node at ``endpoint`` can connect back to; raises ``OSError``."""
    if not endpoint.startswith("tcp://"):
        return "ipc://*"
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port or 0), type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(address)  # sends nothing: the system only looks up the route, and so the own address on it
        own = str(probe.getsockname()[0])
    return f"tcp://[{own}]:0" if family == socket.AF_INET6 else f"tcp://{own}:0"
