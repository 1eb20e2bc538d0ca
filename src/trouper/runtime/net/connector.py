"""Connects on demand: a node without a session is dialled when data is to be sent to it.

A cluster knows more nodes than a node keeps sessions.  ``add_address`` says where a generation of a node listens: its
refs then work as if it were connected, and the first message opens the session.  ``send`` gives a packet to the node at
an endpoint, whether its name is known or not.  Data waits for a session for ``DIAL_S`` at most, and is limited.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from ..kernel.errors import MailboxFull, WireError

if TYPE_CHECKING:
    from ..kernel.address import NodeId
    from ..kernel.message import Message
    from ..session.budget import Account
    from ..session.session import Session
    from .peer import Peer, Stream

DIAL_S = 10.0
"""Seconds that a node may take to answer when it is dialled for data that waits."""
PACKET_S = 2.0
"""Seconds that an unreliable packet waits for a session; later it would mislead."""
PACKETS_MAX = 64
"""Packets that wait for one endpoint; the oldest are dropped."""
DIALS_MAX = 256
"""Endpoints that are dialled at one time; beyond it packets are dropped, and refs reach no node."""


Packet = tuple[float, "Message[object]", "Stream | None"]
"""Until when it waits, in seconds of the loop; the message; its stream, None for that of control messages."""


class DialingSender(Protocol):
    """The sender of a peer, which sends nothing until it has a session."""

    session: Session | None


class Dialer(Protocol):
    """What the connector needs of the network."""

    def dial(self, endpoint: str, /) -> None:
        """Dial an endpoint once."""
        ...

    def cancel_dial(self, endpoint: str, /) -> None:
        """Stop dialling an endpoint."""
        ...

    def make_peer(self, node_id: NodeId, session: Session | None, /) -> tuple[Peer, DialingSender]:
        """Make the local side of a node; ``session`` is None while it is being dialled."""
        ...

    def send_datagram(self, peer: Peer, message: Message[object], /) -> bool:
        """Send a message beside the stream of a session; False when it was dropped."""
        ...

    def peer_at(self, endpoint: str, /) -> Peer | None:
        """Return the connected node that listens at an endpoint; None for none."""
        ...


class _Waiting:
    """What waits for a session with one endpoint: packets with their time limits, and the peer with its own buffer."""

    __slots__ = ("account", "packets", "peer", "sender", "timer")

    def __init__(self, timer: asyncio.TimerHandle, account: Account | None) -> None:
        self.timer, self.account = timer, account
        self.packets: deque[Packet] = deque(maxlen=PACKETS_MAX)
        self.peer: Peer | None = None
        self.sender: DialingSender | None = None

    def end(self) -> None:
        """Take note that the endpoint is dialled no more for this."""
        self.timer.cancel()
        if self.account is not None:
            self.account.give_back("dials")


class Connector:
    """Knows the addresses of nodes, and dials those that data is to be sent to."""

    def __init__(self, network: Dialer, loop: asyncio.AbstractEventLoop) -> None:
        self._network, self._loop = network, loop
        self._addresses: dict[str, tuple[NodeId, tuple[str, ...]]] = {}
        self._hints: dict[NodeId, tuple[str, Account]] = {}
        self._hints_of: dict[Account, dict[NodeId, None]] = {}
        self._waiting: dict[str, _Waiting] = {}
        self.dropped = 0
        """Packets that were dropped because no session came in time, or too many waited."""

    # --- what is known -----------------------------------------------------------------------------------------------

    def add_address(self, node_id: NodeId, *endpoints: str) -> None:
        """Take note that a generation of a node listens at these endpoints; replaces what was known of the name.

        The first is dialled; the others are for nodes that this one tells of it.
        """
        self._addresses[node_id.name] = (node_id, endpoints)

    def add_hint(self, node_id: NodeId, endpoint: str, account: Account) -> None:
        """Take note that a peer says where a generation of a node listens, whose ref it has sent.

        It is used only where no address was added, and until a session with that generation is lost.

        account: of the peer's identity.  Where that has no room, its oldest address is forgotten; if it has none, this
            one is not kept.
        """
        self.forget_hint(node_id)
        told = self._hints_of.get(account)
        if told and not account.has_room("addresses"):
            self.forget_hint(next(iter(told)))
        if account.has_room("addresses"):
            account.take("addresses")
            self._hints[node_id] = endpoint, account
            self._hints_of.setdefault(account, {})[node_id] = None

    def forget(self, node_id: NodeId) -> None:
        """Forget the address of a generation of a node, which has ended or left the cluster."""
        if self._addresses.get(node_id.name, (None,))[0] == node_id:
            del self._addresses[node_id.name]
        self.forget_hint(node_id)

    def forget_hint(self, node_id: NodeId) -> None:
        """Forget what peers said of the address of a generation of a node."""
        if (hint := self._hints.pop(node_id, None)) is not None:
            _, account = hint
            account.give_back("addresses")
            told = self._hints_of[account]
            del told[node_id]
            if not told:
                del self._hints_of[account]

    def endpoints_of(self, node_id: NodeId) -> tuple[str, ...]:
        """Return where a generation of a node listens, the endpoint to dial first; empty when it is not known."""
        known, endpoints = self._addresses.get(node_id.name, (None, ()))
        if known == node_id:
            return endpoints
        return (self._hints[node_id][0],) if node_id in self._hints else ()

    # --- sending -----------------------------------------------------------------------------------------------------

    def find_generation(self, node_id: NodeId) -> Peer | None:
        """Return the peer of a node that is not connected, and dial it; None when its address is not known."""
        endpoints = self.endpoints_of(node_id)
        told_by = self._hints[node_id][1] if endpoints and node_id in self._hints else None
        waiting = self._wait(endpoints[0], told_by) if endpoints else None
        if waiting is None:
            return None
        if waiting.peer is None:
            waiting.peer, waiting.sender = self._network.make_peer(node_id, None)
        return waiting.peer if waiting.peer.node_id == node_id else None

    def find(self, node: str) -> Peer | None:
        """Return the peer of a node by its name, and dial it; None when its address is not known."""
        known = self._addresses.get(node)
        return None if known is None else self.find_generation(known[0])

    def send(
        self,
        endpoint: str,
        packet: Message[object],
        *,
        reliable: bool,
        stream: Stream | None = None,
        expires_s: float | None = None,
    ) -> None:
        """Send a packet to the node that listens at an endpoint, and dial it when it is not connected.

        reliable: False sends the packet to a connected node as a datagram, which waits for nothing and may be lost.
        stream: as for ``Peer.send``; None is that of control messages.
        expires_s: seconds that it waits for a session; None is ``DIAL_S``, or ``PACKET_S`` if it is not reliable.
        """
        peer = self._network.peer_at(endpoint)
        if peer is not None:
            self.send_to(peer, packet, reliable=reliable, stream=stream)
            return
        waiting = self._wait(endpoint)
        if waiting is None or len(waiting.packets) == PACKETS_MAX:
            self.dropped += 1
        if waiting is not None:
            limit_s = DIAL_S if reliable else PACKET_S
            until = self._loop.time() + (limit_s if expires_s is None else min(expires_s, DIAL_S))
            waiting.packets.append((until, packet, stream))

    def send_to(self, peer: Peer, packet: Message[object], *, reliable: bool, stream: Stream | None = None) -> None:
        """Send a packet to a connected node; the arguments are those of ``send``."""
        if not reliable:
            self.dropped += not self._network.send_datagram(peer, packet)
        elif stream is None:
            peer.control(packet)
        else:
            peer.send(packet, stream)

    # --- what comes of it --------------------------------------------------------------------------------------------

    def arrived(self, node_id: NodeId, session: Session, endpoints: tuple[str, ...]) -> Peer:
        """Return the peer of a node that has a session now, and send it what has waited for any of its endpoints."""
        peer: Peer | None = None
        packets: list[Packet] = []
        for endpoint in dict.fromkeys(endpoints):
            waiting = self._waiting.pop(endpoint, None)
            if waiting is None:
                continue
            waiting.end()
            packets += waiting.packets
            if waiting.peer is None or waiting.sender is None:
                continue
            if peer is None and waiting.peer.node_id == node_id:
                peer, waiting.sender.session = waiting.peer, session
                peer.in_reach = True
            else:
                waiting.peer.lose(f"another node listens at {endpoint}: {node_id.name}", [])
        if peer is None:
            peer, _ = self._network.make_peer(node_id, session)
        now = self._loop.time()
        for until, packet, stream in packets:
            if now > until:
                self.dropped += 1
                continue
            try:
                self.send_to(peer, packet, reliable=True, stream=stream)
            except (WireError, MailboxFull):  # what waited behind it goes all the same
                self.dropped += 1
        self._loop.call_soon(peer.flush)
        return peer

    def refused(self, endpoint: str, why: str) -> None:
        """Give up on an endpoint: the node there refused the session, for ``why``."""
        self._give_up(endpoint, f"refused: {why}")

    def close(self) -> None:
        """Give up on all endpoints, and forget all addresses."""
        for endpoint in list(self._waiting):
            self._give_up(endpoint, "this node closes")
        self._addresses.clear()
        for node_id in list(self._hints):
            self.forget_hint(node_id)

    def _wait(self, endpoint: str, told_by: Account | None = None) -> _Waiting | None:
        """Return what waits for an endpoint, and dial it if nothing has; None when too many are dialled.

        told_by: the account of the identity that has told its address; None for an address that was added.
        """
        waiting = self._waiting.get(endpoint)
        if waiting is None and len(self._waiting) < DIALS_MAX and (told_by is None or told_by.has_room("dials")):
            if told_by is not None:
                told_by.take("dials")
            why = f"it did not answer within {DIAL_S:g} s"
            timer = self._loop.call_later(DIAL_S, self._give_up, endpoint, why)
            waiting = self._waiting[endpoint] = _Waiting(timer, told_by)
            self._network.dial(endpoint)
        return waiting

    def _give_up(self, endpoint: str, why: str) -> None:
        waiting = self._waiting.pop(endpoint, None)
        if waiting is None:
            return
        waiting.end()
        self.dropped += len(waiting.packets)
        self._network.cancel_dial(endpoint)
        if waiting.peer is not None:
            waiting.peer.lose(why, [])
