"""The wiring of a node: its transports, and the wires to other nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..kernel.errors import InvalidOption

if TYPE_CHECKING:
    from ..session.effects import Refuse, Transmit
    from ..session.transport import Transport, Wire


class TransportSet:
    """See the top of the file.  transports: the first that knows an endpoint's scheme is used."""

    def __init__(self, transports: Sequence[Transport]) -> None:
        self._transports = transports
        self._wires: dict[str, Wire] = {}

    def transport(self, endpoint: str) -> Transport:
        """Return the transport for an endpoint; raises ``InvalidOption`` when there is none."""
        scheme = endpoint.partition("://")[0]
        for transport in self._transports:
            if scheme in transport.schemes:
                return transport
        raise InvalidOption(f"the endpoint {endpoint!r}: no transport of this node knows {scheme}://")

    async def listen(self, endpoints: Sequence[str]) -> str:
        """Listen at endpoints; returns the first of them, as peers reach it."""
        reached = [await self.transport(endpoint).listen(endpoint) for endpoint in endpoints]
        return reached[0]

    async def close(self) -> None:
        """Close everything."""
        for transport in self._transports:
            await transport.close()

    def open(self, endpoint: str) -> None:
        """Connect a wire to an endpoint."""
        self._wires[endpoint] = self.transport(endpoint).connect(endpoint)

    def close_wire(self, endpoint: str) -> None:
        """Close the wire to an endpoint."""
        self._wires.pop(endpoint).close()

    def transmit(self, effect: Transmit) -> bool:
        """Give a frame to its wire; False when that is full and the frame has a number, by which it is sent again."""
        wire = self._wires.get(effect.endpoint)
        return wire is None or wire.send_nowait(effect.parts) or not effect.sequence

    def refuse(self, effect: Refuse) -> None:
        """Send one frame to an endpoint that no wire is kept to."""
        wire = self.transport(effect.endpoint).connect(effect.endpoint)
        wire.send_nowait(effect.parts)
        wire.close()
