"""A rate limiter that the nodes of Trouper share: ``Node(extensions=[RateLimiter(Limits(rate_per_s=5.0))])``."""

from .rate_limiter import Acquire, RateLimiter
from .token_buckets import Limits

__all__ = ["Acquire", "Limits", "RateLimiter"]
