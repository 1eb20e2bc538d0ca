import asyncio

import pytest

from trouper.testing import virtual_time
from trouper.transports.zeromq.rejection_log import LOG_PAUSE_S, PLACES_MAX, RejectionLog


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
    assert len(caplog.messages) == 3 * PLACES_MAX


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
