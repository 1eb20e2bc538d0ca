"""A discovery of a user keeps the laws of the port, whatever it does."""

import asyncio
from collections.abc import Sequence

import pytest

from trouper.actors.cluster.discovery.checked import CheckedDiscovery
from trouper.cluster import DiscoveryFailed, DiscoveryLimits, DiscoveryMissing
from trouper.testing import virtual_time


class Given:
    """Returns or raises what it was given."""

    def __init__(self, outcome: object, description: object = "the directory") -> None:
        self.outcome, self.description = outcome, description

    async def find(self) -> Sequence[str]:
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome  # type: ignore[return-value]  # pyright: ignore[reportReturnType]  wrong on purpose

    def describe(self) -> str:
        if isinstance(self.description, Exception):
            raise self.description
        return self.description  # type: ignore[return-value]  # pyright: ignore[reportReturnType]  wrong on purpose


class Hanging(Given):
    """Never answers."""

    async def find(self) -> Sequence[str]:
        await asyncio.get_running_loop().create_future()
        return ()


def checked(outcome: object, description: object = "the directory") -> CheckedDiscovery:
    """A checked discovery with this outcome."""
    return CheckedDiscovery(Given(outcome, description), DiscoveryLimits(endpoints_max=2))


@virtual_time
async def test_its_endpoints_are_read_and_bounded() -> None:
    """Each comes once, in its canonical form, and not more than the limit allows."""
    found = await checked(["tcp://[0:0::1]:1", "tcp://[::1]:1", "tcp://b:2", "tcp://c:3"]).find()
    assert found == ("tcp://[::1]:1", "tcp://b:2")
    assert await checked([]).find() == ()


@virtual_time
@pytest.mark.parametrize(
    ("outcome", "problem", "good"),
    [
        (["tcp://a:1", "nonsense", 5], "'nonsense' is not an endpoint: expected one of tcp, ipc, inprocess", 1),
        (["tcp://*:1"], "is an endpoint to listen on", 0),
        (list(range(50)), " and 45 more", 0),
        ("tcp://a:1", "expected a list of endpoints, got str", 0),
        (None, "expected a list of endpoints, got NoneType", 0),
        (KeyError("nodes"), "the directory: KeyError: 'nodes'", 0),
        (TimeoutError("read"), "the directory: TimeoutError: read", 0),
        (RecursionError("deep"), "the directory: RecursionError: deep", 0),
        (DiscoveryFailed("half", ["tcp://a:1"]), "half", 1),
    ],
)
async def test_what_it_does_wrong_is_a_failed_query(outcome: object, problem: str, good: int) -> None:
    """The error names the discovery and carries the good endpoints."""
    with pytest.raises(DiscoveryFailed) as caught:
        await checked(outcome).find()
    assert problem in str(caught.value)
    assert len(caught.value.endpoints) == good


@virtual_time
async def test_a_query_that_hangs_fails_in_time() -> None:
    """It ends within ``timeout_s``."""
    loop = asyncio.get_running_loop()
    before = loop.time()
    with pytest.raises(DiscoveryFailed, match=r"^the directory: no answer within 3 s$"):
        await CheckedDiscovery(Hanging(()), DiscoveryLimits(timeout_s=3)).find()
    assert loop.time() - before == pytest.approx(3.0)


@virtual_time
async def test_a_missing_package_stays_a_missing_package() -> None:
    """The user is told what to install."""
    with pytest.raises(DiscoveryMissing, match="pip install"):
        await checked(DiscoveryMissing("pip install 'x'")).find()


@pytest.mark.parametrize("description", [None, "", "two\nlines", ValueError("no")])
def test_a_bad_description_becomes_the_name_of_the_class(description: object) -> None:
    """It is shown in logs, so it is one line of text."""
    assert checked((), description).describe() == "the discovery Given"
    assert checked((), "x" * 500).describe() == "x" * 200
