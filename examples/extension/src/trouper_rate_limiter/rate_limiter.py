"""``RateLimiter``: the extension.  The tokens of a key are kept by one node, which the others ask."""

from __future__ import annotations

import zlib

from trouper import Actor, ActorError, Message, Reject, handler
from trouper.lowlevel import Extension, NodeContext, NodeId, PeerInfo

from .token_buckets import Limits, TokenBuckets

KEY_CHARS_MAX = 200
"""Characters of a key; a peer could fill the memory with longer ones."""


class Acquire(Message[bool], tag="rate_limiter.Acquire"):
    """Take tokens of a key; the reply is whether there were enough."""

    key: str
    tokens: float = 1.0


class Buckets(Actor):
    """Keeps the buckets of one node."""

    def __init__(self, limits: Limits, clock: NodeContext) -> None:
        self._buckets, self._now = TokenBuckets(limits), clock.clock.now

    @handler
    def acquire(self, msg: Acquire) -> bool:
        """Take the tokens."""
        return self._buckets.take(msg.key, msg.tokens, self._now())


class RateLimiter(Extension[Limits], name="rate_limiter", starts_on={Acquire: "member"}):
    """Limits the rate of each key over all connected nodes.

    A key belongs to the node with the highest hash of key and node (rendezvous hashing), so that few keys move when a
    node comes or goes; the tokens of a key that has moved begin anew.  Kept in memory: a node that ends loses its own.
    """

    async def start(self, ctx: NodeContext) -> None:
        """Start the buckets, and let the other nodes take tokens of them."""
        self._buckets = await ctx.spawn(Buckets, self.settings, ctx, name="buckets")
        ctx.serve(Acquire, self._on_acquire)

    async def acquire(self, key: str, tokens: float = 1.0) -> bool:
        """Take tokens of a key; returns whether there were enough.

        While the node that keeps the key is out of reach, and until that shows, the tokens of this node's own count.
        Raises ``Reject`` for a key that is too long, or tokens that are not above 0.
        """
        await self.ready()
        ctx = self.context
        request = _checked(Acquire(key, tokens))
        try:
            return await ctx.ask(self._keeper(key), request)
        except ActorError:
            return await self._buckets.ask(request)

    def _keeper(self, key: str) -> NodeId:
        """Return the node that keeps the tokens of a key."""
        ctx = self.context
        nodes = [ctx.node_id, *(peer.node_id for peer in ctx.peers)]
        return max(nodes, key=lambda node_id: (zlib.crc32(f"{node_id.name}/{key}".encode()), node_id.name))

    async def _on_acquire(self, msg: Acquire, peer: PeerInfo) -> bool:
        return await self._buckets.ask(_checked(msg))


def _checked(request: Acquire) -> Acquire:
    if len(request.key) > KEY_CHARS_MAX or not request.tokens > 0:
        raise Reject(f"a key has {KEY_CHARS_MAX} characters at most, and tokens are above 0: {request!r:.300}")
    return request
