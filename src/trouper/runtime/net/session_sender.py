"""The way to one peer: its link, once there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..session.frames import BULK, CONTROL, NORMAL

if TYPE_CHECKING:
    from ..session.bulk_chunks import Chunk
    from ..session.session import Session
    from .network import Network


class SessionSender:
    """See the top of the file; what an ``SendBuffer`` gives its bodies to.

    body_bytes_max: bytes of the largest body that the node takes; this node's own limit until the other one is known.
    """

    __slots__ = ("_body_bytes_max", "_network", "session")

    def __init__(self, network: Network, session: Session | None, body_bytes_max: int) -> None:
        self._network, self.session, self._body_bytes_max = network, session, body_bytes_max

    @property
    def is_open(self) -> bool:
        """Whether there is a link, and it is not about to end for being idle."""
        return self.session is not None and self.session.state in ("up", "broken")

    @property
    def is_quiet(self) -> bool:
        """Whether the peer is in reach, and has acknowledged all that it was sent."""
        return self.session is not None and self.session.state == "up" and not self.session.stream.has_unacknowledged

    def send(self, body: bytes, /, *, urgent: bool = False) -> bool:
        """Give it a body; False when it has no room."""
        return self.session is not None and self._network.send(self.session, (body,), CONTROL if urgent else NORMAL)

    def send_chunk(self, chunk: Chunk, /) -> bool:
        """Give it a part of a large buffer; False when it has no room."""
        return self.session is not None and self._network.send(self.session, chunk, BULK)

    @property
    def body_bytes_max(self) -> int:
        """Bytes of the largest body that the node takes."""
        return self._body_bytes_max if self.session is None else self.session.body_bytes_max
