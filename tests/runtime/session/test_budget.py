"""What peers may cost a node: the accounts of identities and of the node, against a model."""

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trouper import InvalidOption, PeerLimits, PeerOverLimit
from trouper.runtime.session.budget import COSTS, Account, Budget, Cost

LIMITS = PeerLimits(asks_max=10, watches_max=7, actors_max=1, identity_share=0.5)
USED: tuple[Cost, ...] = ("asks", "watches", "actors")


class Accounts(RuleBasedStateMachine):
    """Three identities, of which one is shared, take and give back."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(LIMITS)
        self.accounts = {name: self.budget.account(name, name, shared=name == "all") for name in ("ada", "bob", "all")}
        self.held: dict[tuple[str, Cost], int] = {}

    def _limit(self, name: str, cost: Cost) -> int:
        return LIMITS.limit(cost) if name == "all" else max(1, LIMITS.limit(cost) // 2)

    @rule(name=st.sampled_from(["ada", "bob", "all"]), cost=st.sampled_from(USED), amount=st.integers(0, 12))
    def take(self, name: str, cost: Cost, amount: int) -> None:
        """It is taken exactly when the share and the whole have room."""
        held = self.held.get((name, cost), 0)
        everyone = sum(n for (_, each), n in self.held.items() if each == cost)
        fits = held + amount <= self._limit(name, cost) and everyone + amount <= LIMITS.limit(cost)
        assert self.accounts[name].has_room(cost, amount) == fits
        refused = self.budget.refused[cost]
        if fits:
            self.accounts[name].take(cost, amount)
            self.held[name, cost] = held + amount
        else:
            with pytest.raises(PeerOverLimit, match=rf"^{amount} {cost} more are refused: "):
                self.accounts[name].take(cost, amount)
        assert self.budget.refused[cost] == refused + (not fits)

    @rule(name=st.sampled_from(["ada", "bob", "all"]), cost=st.sampled_from(USED), data=st.data())
    def give_back(self, name: str, cost: Cost, data: st.DataObject) -> None:
        """Some of what is held."""
        held = self.held.get((name, cost), 0)
        amount = data.draw(st.integers(0, held))
        self.accounts[name].give_back(cost, amount)
        self.held[name, cost] = held - amount

    @invariant()
    def the_sums_agree(self) -> None:
        """The node holds what its accounts hold, and shows it."""
        wanted: dict[str, dict[Cost, int]] = {name: {} for name in self.accounts}
        for (name, cost), n in self.held.items():
            if n:
                wanted[name][cost] = n
        assert self.budget.usage() == wanted
        for cost in USED:
            assert self.budget.held[cost] == sum(each.get(cost, 0) for each in wanted.values()) <= LIMITS.limit(cost)


TestAccounts = Accounts.TestCase


def test_an_identity_has_one_account_as_long_as_it_is_referred_to() -> None:
    """Whatever names its nodes have; when nothing refers to it, it is forgotten."""
    budget = Budget(PeerLimits())
    account: Account | None = budget.account("key", "ada", shared=False)
    assert budget.account("key", "ada", shared=False) is account
    assert dict(budget.usage()) == {"ada": {}}
    account = None
    gc.collect()
    assert dict(budget.usage()) == {}


def test_what_is_moved_is_held_by_the_other_account() -> None:
    """The node holds as much as before."""
    budget = Budget(PeerLimits())
    ada, bob = budget.account("a", "ada", shared=False), budget.account("b", "bob", shared=False)
    ada.take("watches", 5)
    ada.move("watches", 5, bob)
    assert budget.usage() == {"ada": {}, "bob": {"watches": 5}}
    assert budget.held["watches"] == 5


@pytest.mark.parametrize("share", [0.0, -0.5, 1.1])
def test_a_share_is_a_part_of_the_whole(share: float) -> None:
    """The error shows the value."""
    with pytest.raises(InvalidOption, match=rf"identity_share={share} must be above 0 and at most 1"):
        PeerLimits(identity_share=share)


@given(st.sampled_from(COSTS))
def test_each_limit_is_one_at_least(cost: Cost) -> None:
    """The error names it."""
    with pytest.raises(InvalidOption, match=f"{cost}_max=0 must be 1 or more"):
        PeerLimits(**{f"{cost}_max": 0})
