"""Process groups over connected nodes: each node keeps the members of all, after Erlang/OTP's ``pg``.

Each node tells every connected node of its own members: all of them when the session begins, each change from then on.
A node speaks for its own actors alone.  What a lost node has told is dropped, and told anew when it is back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...actor.groups import GroupChange, GroupJoined, GroupLeft
from ...net.remote_cell import RemoteCell

if TYPE_CHECKING:
    from ...actor.groups import Groups
    from ...kernel.message import Message
    from ...net.network import Network
    from ...net.peer import Peer

MEMBERS_MAX = 500
"""Members in one message."""


class GroupSync:
    """Synchronises the groups of a node with those of its peers."""

    def __init__(self, network: Network, groups: Groups) -> None:
        self._network, self._groups = network, groups
        for type_ in (GroupJoined, GroupLeft):
            network.request_handlers.serve(type_, self._on_message, owner="groups")
        network.watch_peers(self._on_peer)
        groups.on_change.append(self._changed)

    def _on_peer(self, peer: Peer, up: bool) -> None:
        for name in self._groups.scopes():
            scope = self._groups.scope(name)
            if not up:
                scope.drop(peer.node)
                continue
            for group in scope.groups():
                members = tuple(scope.local_members(group))
                if members:
                    _tell(peer, GroupJoined(name, group, members))

    def _changed(self, change: GroupChange) -> None:
        for peer in self._network.peers.values():
            _tell(peer, change)

    def _on_message(self, message: Message[object], peer: Peer) -> None:
        assert isinstance(message, GroupJoined | GroupLeft), "it is registered for these two"
        for member in message.members:
            cell = member._cell  # noqa: SLF001  a ref is the runtime's own
            if not isinstance(cell, RemoteCell) or cell.node_id != peer.node_id:
                raise ValueError(f"{member.address} is not of node {peer.node}, which must not speak for it")
        self._groups.scope(message.scope).enter(peer.node, message)


def _tell(peer: Peer, change: GroupChange) -> None:
    for first in range(0, len(change.members), MEMBERS_MAX):
        members = change.members[first : first + MEMBERS_MAX]
        peer.control(type(change)(change.scope, change.group, members))
