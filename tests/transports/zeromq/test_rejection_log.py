import asyncio

import pytest

from trouper.testing import virtual_time
from trouper.transports.zeromq.rejection_log import LINES_MAX, LOG_PAUSE_S, PLACES_MAX, RejectionLog, network_of


@virtual_time
async def test_a_flood_is_counted_and_logged_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    """Every one counts; after a pause the next line tells how many were left out; another place is its own."""
    rejections = RejectionLog()
    for _ in range(1_000):
        rejections.note("noise", "here", "noise from here")
    rejections.note("noise", "there", "noise from there")
    await asyncio.sleep(LOG_PAUSE_S)
    rejections.note("noise", "here", "noise from here again")
    rejections.note("other", "here", "something else")
    assert rejections.counts == {"noise": 1_002, "other": 1}
    assert caplog.messages == [
        "noise from here",
        "noise from there",
        "noise from here again (999 more of this kind were not logged)",
        "something else",
    ]


@virtual_time
async def test_places_are_not_remembered_without_end(caplog: pytest.LogCaptureFixture) -> None:
    """A peer that comes from ever new addresses is counted, and memory stays bounded."""
    rejections = RejectionLog()
    for number in range(3 * PLACES_MAX):
        rejections.note("noise", str(number), "noise")
        rejections.note("noise", str(number), "noise")
    assert rejections.counts == {"noise": 6 * PLACES_MAX}
    assert rejections.places <= PLACES_MAX
    assert len(caplog.messages) == LINES_MAX
    await asyncio.sleep(LOG_PAUSE_S)
    rejections.note("noise", "the last", "noise")
    assert caplog.messages[-1].startswith("noise (")
    assert caplog.messages[-1].endswith(" more of this kind were not logged)")


@virtual_time
async def test_what_may_be_fleeting_is_logged_when_it_comes_again_soon(caplog: pytest.LogCaptureFixture) -> None:
    """A peer that closes at this moment makes no line; one that fails again and again does."""
    rejections = RejectionLog()
    rejections.note("closed", "here", "gone", transient=True)
    rejections.note("closed", "there", "gone elsewhere", transient=True)
    await asyncio.sleep(LOG_PAUSE_S)
    rejections.note("closed", "here", "gone", transient=True)
    assert caplog.messages == []
    rejections.note("closed", "here", "gone twice", transient=True)
    assert caplog.messages == ["gone twice"]
    rejections.note("closed", "there", "gone for a reason")
    assert caplog.messages == ["gone twice", "gone for a reason"]
    assert rejections.counts == {"closed": 5}
    for number in range(3 * PLACES_MAX):
        rejections.note("closed", str(number), "gone", transient=True)
    assert caplog.messages == ["gone twice", "gone for a reason"]
    assert rejections.places <= 2 * PLACES_MAX


def test_a_host_of_many_ipv6_addresses_is_one_place() -> None:
    """Of IPv6 the network of 64 bits counts; an IPv4 address counts as itself, in whatever form; a text is kept."""
    addresses = {"2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:0:8000::"}
    assert {network_of(address) for address in addresses} == {"2001:db8::/64"}
    assert network_of("2001:db8:0:1::1") == "2001:db8:0:1::/64"
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert network_of("::ffff:10.0.0.5") == network_of("10.0.0.5") == "10.0.0.5"
    assert network_of("process 7 of user 0") == "process 7 of user 0"
