"""The rate limiter on simulated nodes: one rate for all of them, also while nodes crash."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from trouper_rate_limiter import Limits, RateLimiter
from trouper_rate_limiter.token_buckets import TokenBuckets

from trouper import Reject
from trouper.testing import Simulation, check_extension, simulate_extension

make = partial(RateLimiter, Limits(rate_per_s=1.0, burst=5.0))


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    """For each key by itself; what was refused took nothing."""
    buckets = TokenBuckets(Limits(rate_per_s=2.0, burst=3.0, keys_max=2))
    assert [buckets.take("ada", 1.0, 0.0) for _ in range(4)] == [True, True, True, False]
    assert buckets.take("ben", 3.0, 0.0)
    assert [buckets.take("ada", 1.0, at) for at in (0.4, 0.5, 0.9, 1.0)] == [False, True, False, True]


def test_keys_are_forgotten_when_their_buckets_are_full() -> None:
    """Beyond the limit of keys in use a new one is refused, until an old one is full again."""
    buckets = TokenBuckets(Limits(rate_per_s=1.0, burst=1.0, keys_max=2))
    assert [buckets.take(key, 1.0, 0.0) for key in ("a", "b", "c")] == [True, True, False]
    assert buckets.take("c", 1.0, 1.5)
    assert buckets.keys == 1


@pytest.mark.parametrize("limits", [{"rate_per_s": 0.0}, {"burst": -1.0}, {"keys_max": 0}])
def test_a_limit_of_nothing_is_refused(limits: dict[str, float]) -> None:
    """With its name and value."""
    with pytest.raises(ValueError, match="must be above 0"):
        Limits(**limits)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  one of them is an int


def test_nodes_share_one_rate() -> None:
    """Five tokens at once for a key, whichever nodes ask; then one a second."""

    async def scenario(simulation: Simulation) -> None:
        async def take(name: str) -> bool:
            return bool(await simulation.run_on(name, lambda node: node[RateLimiter].acquire("ada")))

        taken = await asyncio.gather(*(take(f"n{number % 3 + 1}") for number in range(12)))
        assert sum(taken) == 5
        await asyncio.sleep(2.5)
        assert [await take("n1"), await take("n2"), await take("n3")] == [True, True, False]

    simulate_extension(make, scenario)


def test_a_key_that_cannot_be_kept_is_refused() -> None:
    """Too long, or with tokens that are none; the extension goes on."""

    async def scenario(simulation: Simulation) -> None:
        for key, tokens in (("a" * 201, 1.0), ("ada", 0.0), ("ada", float("nan"))):
            with pytest.raises(Reject):
                await simulation.run_on("n1", lambda node, k=key, t=tokens: node[RateLimiter].acquire(k, t))  # type: ignore[misc]  # its arguments are bound here

    simulate_extension(make, scenario)


@pytest.mark.parametrize("seed", range(10))
def test_it_answers_while_nodes_crash_and_connections_break(seed: int) -> None:
    """Every request has an answer within a second or the time-out of an ask, and the rate holds within the burst."""
    answers: list[bool] = []

    async def scenario(simulation: Simulation) -> None:
        async def ask(name: str) -> None:
            for _ in range(20):
                await asyncio.sleep(0.5)
                if simulation.is_up(name):
                    answers.append(await simulation.run_on(name, lambda node: node[RateLimiter].acquire("ada")))

        simulation.crash_node("n3")
        await asyncio.gather(ask("n1"), ask("n2"))
        await simulation.restart("n3")
        await asyncio.sleep(5.0)

    simulate_extension(make, scenario, seed=seed)
    assert len(answers) == 40
    assert True in answers


def test_it_starts_again_after_a_failure_and_leaves_nothing_behind() -> None:
    """The kit's own check of the life of an extension."""
    check_extension(make)
