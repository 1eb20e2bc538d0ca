"""``DesiredPeers``: which endpoints a node wants to be linked with, and which node was found there (PURE)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class _DesiredPeer:
    node: str | None
    once: bool


class DesiredPeers:
    """An endpoint is wished for until it is dropped, or, ``once``, until a link to the node that is there is up.

    once: how many are for once.
    """

    def __init__(self) -> None:
        self._endpoints: dict[str, _DesiredPeer] = {}
        self.once = 0

    def __contains__(self, endpoint: str) -> bool:
        return endpoint in self._endpoints

    def __len__(self) -> int:
        return len(self._endpoints)

    def add(self, endpoint: str, *, once: bool) -> None:
        """Wish for an endpoint.  A wish for good is not changed by one for once."""
        known = self._endpoints.get(endpoint)
        if known is None:
            self._endpoints[endpoint] = _DesiredPeer(None, once)
            self.once += once
        elif known.once and not once:
            known.once = False
            self.once -= 1

    def found(self, endpoint: str, node: str) -> None:
        """This node is at the endpoint."""
        if endpoint in self._endpoints:
            self._endpoints[endpoint].node = node

    def drop(self, endpoint: str) -> str | None:
        """Wish for the endpoint no more; returns the node that was found there."""
        desired = self._endpoints.pop(endpoint, None)
        if desired is None:
            return None
        self.once -= desired.once
        return desired.node

    def drop_node(self, node: str) -> None:
        """Wish no more for the endpoints where this node was found."""
        for endpoint in self.endpoints(node):
            self.drop(endpoint)

    def endpoints(self, node: str) -> list[str]:
        """The endpoints where this node was found."""
        return [endpoint for endpoint, desired in self._endpoints.items() if desired.node == node]

    def wants_for_good(self, node: str) -> bool:
        """Whether the node was found at an endpoint that is wished for until it is dropped."""
        return any(desired.node == node and not desired.once for desired in self._endpoints.values())

    def is_up(self, node: str) -> None:
        """A link to the node is up: what was wished for once has come true."""
        for endpoint in self.endpoints(node):
            if self._endpoints[endpoint].once:
                self.drop(endpoint)

    def clear(self) -> None:
        """Wish for nothing."""
        self._endpoints.clear()
        self.once = 0
