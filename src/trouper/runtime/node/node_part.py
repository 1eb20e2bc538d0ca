"""``NodePart``: the port of the features that start and end with a node: its worker processes, its cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .opening import NetworkOptions


class NodePart(Protocol):
    """A feature of a node, which the node starts and ends without knowing it."""

    @property
    def name(self) -> str:
        """A name that is unique among the parts of a node, for the reports of its shutdown."""
        ...

    def network_options(self, options: NetworkOptions) -> NetworkOptions:
        """Return the options with which the network opens; called before it does.

        Raises ``InvalidOption`` where the feature cannot be used.
        """
        ...

    async def start(self) -> None:
        """Start, once the network is open; an error of it ends the node."""

    async def end(self) -> None:
        """End, once all actors have ended."""

    def close(self) -> None:
        """Release files, as the last step of the shutdown; called also where ``start`` was not."""
