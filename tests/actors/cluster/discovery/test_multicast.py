import asyncio
import builtins
import socket
from uuid import uuid4

import pytest

from trouper.actors.cluster.discovery import multicast
from trouper.actors.cluster.discovery.multicast import (
    SERVICE,
    MulticastAnnouncement,
    MulticastDiscovery,
    announced_endpoints,
)
from trouper.actors.cluster.discovery.port import DiscoveryFailed, DiscoveryInvalid, DiscoveryMissing
from trouper.testing import virtual_time

LOOPBACK = ("127.0.0.1",)
TRIES_MAX = 10


def _looking(cluster: str) -> MulticastDiscovery:
    return MulticastDiscovery(cluster, interfaces=LOOPBACK)


def _announcing(cluster: str, node: str, port: int) -> MulticastAnnouncement:
    return MulticastAnnouncement(cluster, node, f"tcp://127.0.0.1:{port}", interfaces=LOOPBACK)


async def _until(cluster: str, expected: set[str]) -> set[str]:
    """What is found, in the end: a busy machine may answer later than one look lasts."""
    found = set[str]()
    for _ in range(TRIES_MAX):
        found = set(await _looking(cluster).find())
        if found == expected:
            break
    return found


def test_nodes_of_a_cluster_find_each_other_on_the_network() -> None:
    """Only those of the own cluster are found, and those that took their leave no more."""
    pytest.importorskip("zeroconf", reason="multicast DNS needs zeroconf")
    ours, theirs = f"prices-{uuid4()}", f"weather-{uuid4()}"  # other runs of this test are on the same network

    async def scene() -> None:
        async with _announcing(ours, "ada", 7400), _announcing(theirs, "ada", 7500):
            async with _announcing(ours, "a name. that/is none", 7401):
                both = {"tcp://127.0.0.1:7400", "tcp://127.0.0.1:7401"}
                assert await _until(ours, both) == both
                assert await _looking(f"nobody-{uuid4()}").find() == ()
            assert await _until(ours, {"tcp://127.0.0.1:7400"}) == {"tcp://127.0.0.1:7400"}

    try:
        asyncio.run(scene())
    except (DiscoveryFailed, OSError) as error:
        pytest.skip(f"this host has no multicast on its loopback: {error}")


@pytest.mark.parametrize(
    ("properties", "port", "expected"),
    [
        ({"v": "1", "cluster": "prices"}, 7400, ("tcp://10.0.0.5:7400",)),
        ({"v": "1", "cluster": "weather"}, 7400, ()),
        ({"v": "2", "cluster": "prices"}, 7400, ()),
        ({}, 7400, ()),
        ({"v": "1", "cluster": "prices"}, 0, ()),
    ],
)
def test_announcements_of_others_are_passed_over(
    properties: dict[str, str], port: int, expected: tuple[str, ...]
) -> None:
    """Any host may announce anything: another cluster or version, or a missing port, is not dialled."""
    pytest.importorskip("zeroconf", reason="multicast DNS needs zeroconf")
    from zeroconf.asyncio import AsyncServiceInfo

    addresses = [socket.inet_aton("10.0.0.5")]
    info = AsyncServiceInfo(SERVICE, f"a.{SERVICE}", port=port, addresses=addresses, properties=properties)
    assert announced_endpoints(info, "prices") == expected


@pytest.mark.parametrize(
    ("endpoint", "problem"),
    [
        ("tcp://ada.example.org:7400", "cannot be announced: listen on an address, not on a name$"),
        ("ipc://a", "is not an endpoint: expected one of tcp"),
        ("tcp://*:7400", "is an endpoint to listen on, not one to connect to"),
    ],
)
def test_what_others_could_not_dial_is_not_announced(endpoint: str, problem: str) -> None:
    """The record of an announcement holds an address."""
    with pytest.raises(DiscoveryInvalid, match=problem):
        MulticastAnnouncement("prices", "ada", endpoint)


def test_a_name_that_no_record_holds_is_refused() -> None:
    """The cluster's name is one string of a record."""
    for cluster in ("", "a" * 201):
        with pytest.raises(DiscoveryInvalid, match=r"must have 1 to 200 bytes to be announced$"):
            MulticastDiscovery(cluster)
    assert MulticastDiscovery("prices").describe() == "nodes of the cluster prices on the local network (multicast DNS)"


@virtual_time
async def test_a_host_without_multicast_is_a_failure() -> None:
    """The error of the operating system is told."""
    pytest.importorskip("zeroconf", reason="multicast DNS needs zeroconf")

    def none(**_: object) -> None:
        raise OSError("No such device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zeroconf.asyncio.AsyncZeroconf", none)
        with pytest.raises(DiscoveryFailed, match=r"^multicast DNS cannot be used on this host: No such device$"):
            await MulticastDiscovery("prices").find()


@virtual_time
async def test_without_the_package_the_extra_is_named() -> None:
    """A node that lacks zeroconf says how to get it."""
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name.partition(".")[0] == "zeroconf":
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  passed on as it came

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "__import__", without)
        with pytest.raises(DiscoveryMissing, match=r"pip install 'trouper\[mdns\]'$"):
            await MulticastDiscovery("prices").find()


def test_it_listens_longer_than_an_answer_takes() -> None:
    """RFC 6762, section 6: a responder may wait for 120 ms before it answers, and 500 ms with a truncated question."""
    assert multicast.LISTEN_S >= 3 * 0.5
