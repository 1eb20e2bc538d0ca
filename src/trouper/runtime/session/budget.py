"""Budgets: what the peers of a node may cost it, by identity and all together (PURE).

Names of nodes are free, and one identity may have many; so no limit is one of a name.  Whatever a peer can make grow
on this node is taken from the account of its identity, and given back when it is released.

Laws of this file:
1. ``take`` lets no identity go above its share of a limit, and no take lets all together go above the limit.
2. What is refused changes nothing but the count of refusals.
3. The node holds the sum of what its accounts hold; an account that nothing refers to holds nothing, and is forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final, Literal, get_args
from weakref import WeakValueDictionary

import msgspec

from ..kernel.errors import InvalidOption, PeerOverLimit

Cost = Literal[
    "asks", "requests", "actors", "watches", "definitions", "assembly_bytes", "queued_items", "queued_bytes",
    "handshakes", "addresses", "dials", "threads",
]  # fmt: skip
"""What a peer can make grow; ``PeerLimits`` has one limit for each."""
COSTS: Final[tuple[Cost, ...]] = get_args(Cost)


class PeerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What all peers of a node together may cost it.

    identity_share: the part of each limit that one identity may take, above 0 and up to 1, where an operator has listed
        it by name.  The nodes that share the key of a cluster are one identity, which may take all; so are the
        processes of this user, and all peers without a key.
    asks_max: asks of peers that this node has not answered.
    requests_max: requests that ``async def`` request handlers work on.
    actors_max: actors that live here because a peer has spawned them.
    threads_max: those of them that have a thread of their own, ``executor="thread"``.
    watches_max: actors of this node that a peer watches, counted for each peer.
    definitions_max: message types and refs that peers have given a number in their sessions.
    assembly_bytes_max: bytes of large buffers that came in, incomplete or not yet taken by their message.
    queued_items_max: messages and replies that wait to be sent, because peers do not take them.
    queued_bytes_max: bytes of large buffers that wait to be sent.
    handshakes_max: handshakes that a peer has begun, and that are not complete; each has a connection of its own.
    addresses_max: addresses of nodes that peers have told with refs; the identity's oldest makes way for one more.
    dials_max: nodes that are dialled at one time because a peer has told their address.
    """

    identity_share: float = 0.5
    asks_max: int = 200_000
    requests_max: int = 10_000
    actors_max: int = 200_000
    threads_max: int = 1_000
    watches_max: int = 400_000
    definitions_max: int = 2_000_000
    assembly_bytes_max: int = 4_294_967_296
    queued_items_max: int = 1_000_000
    queued_bytes_max: int = 4_294_967_296
    handshakes_max: int = 200
    addresses_max: int = 10_000
    dials_max: int = 256

    def __post_init__(self) -> None:
        if not 0 < self.identity_share <= 1:
            raise InvalidOption(f"identity_share={self.identity_share} must be above 0 and at most 1")
        for cost in COSTS:
            if self.limit(cost) < 1:
                raise InvalidOption(f"{cost}_max={self.limit(cost)} must be 1 or more")

    def limit(self, cost: Cost) -> int:
        """Return the limit for all peers together."""
        limit: int = getattr(self, f"{cost}_max")
        return limit


class Account:
    """What the peers of one identity cost this node; ``Budget.account`` returns it.

    name: of the identity, for errors.  held: what was taken and not given back.
    """

    __slots__ = ("__weakref__", "_budget", "_limits", "held", "name")

    def __init__(self, budget: Budget, name: str, share: float) -> None:
        self._budget, self.name = budget, name
        self._limits = {cost: max(1, int(share * budget.limits.limit(cost))) for cost in COSTS}
        self.held: Counter[Cost] = Counter()

    def has_room(self, cost: Cost, amount: int = 1) -> bool:
        """Whether ``take`` would take so much."""
        held, budget = self.held[cost] + amount, self._budget
        return held <= self._limits[cost] and budget.held[cost] + amount <= budget.limits.limit(cost)

    def take(self, cost: Cost, amount: int = 1) -> None:
        """Take so much; raises ``PeerOverLimit`` when that is above a limit."""
        if not self.has_room(cost, amount):
            self._budget.refused[cost] += 1
            who, held, limit = self.name, self.held[cost], self._limits[cost]
            if held + amount <= limit:
                who, held, limit = "all peers together", self._budget.held[cost], self._budget.limits.limit(cost)
            raise PeerOverLimit(
                f"{amount} {cost} more are refused: {who} may have {limit}, and {held} are held; "
                f"wait until some are released, or raise {cost}_max of PeerLimits"
            )
        self.add(cost, amount)

    def add(self, cost: Cost, amount: int) -> None:
        """Count so much, above the limits too; below 0 it is given back."""
        self.held[cost] += amount
        self._budget.held[cost] += amount

    def move(self, cost: Cost, amount: int, to: Account) -> None:
        """Let another account hold what was taken here."""
        self.add(cost, -amount)
        to.add(cost, amount)

    def give_back(self, cost: Cost, amount: int = 1) -> None:
        """Give back what was taken."""
        self.add(cost, -amount)


class Budget:
    """The accounts of all identities.

    held: what all accounts together hold.  refused: how often a take was refused, by what it was for.
    """

    def __init__(self, limits: PeerLimits) -> None:
        self.limits = limits
        self.held: Counter[Cost] = Counter()
        self.refused: Counter[Cost] = Counter()
        self._accounts: WeakValueDictionary[str | None, Account] = WeakValueDictionary()

    def account(self, id: str | None, name: str, *, shared: bool) -> Account:  # noqa: A002  as that of ``Identity``
        """Return the account of an identity, which is kept as long as it is referred to.

        id: of the identity.  name: for errors.  shared: whether others have this identity too, so that it may take all.
        """
        account = self._accounts.get(id)
        if account is None:
            share = 1.0 if shared else self.limits.identity_share
            account = self._accounts[id] = Account(self, name, share)
        return account

    def usage(self) -> Mapping[str, Mapping[Cost, int]]:
        """Return what each identity holds, by name and by what it is for; what is 0 is left out."""
        accounts = sorted(self._accounts.values(), key=lambda account: account.name)
        return {each.name: {cost: n for cost, n in each.held.items() if n} for each in accounts}


class RateLimit:
    """Admits so many events in a period of so many seconds; the others are left out."""

    __slots__ = ("_count", "_period_s", "_seen", "_until")

    def __init__(self, count: int, period_s: float) -> None:
        self._count, self._period_s = count, period_s
        self._seen, self._until = 0, 0.0

    def is_over(self, now: float) -> bool:
        """Whether its period is over, so that a new limit does the same."""
        return now >= self._until

    def is_used_up(self, now: float) -> bool:
        """Whether ``admits`` would return False."""
        return self._seen >= self._count and now < self._until

    def admits(self, now: float) -> bool:
        """Count an event at ``now``, in seconds of the loop; False when there were too many in this period."""
        if now >= self._until:
            self._seen, self._until = 0, now + self._period_s
        self._seen += 1
        return self._seen <= self._count
