"""The events that handlers of failures get."""

import msgspec
import pytest

from trouper.actors.cluster.detectors.failures import DeviceFailed, Failure, Kind, MemberFailed, SessionFailed, kind_of


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (MemberFailed("b", 3, 1.0, "no answer to 3 probes"), "node"),
        (SessionFailed("a", "b", 8.2, "silent for 5 s"), "session"),
        (DeviceFailed("a", "gpu-0", 1.0, "no answer"), "device"),
    ],
)
def test_a_failure_keeps_its_kind_on_the_way(failure: Failure, kind: Kind) -> None:
    """It is told apart by its kind, here and after JSON."""
    assert kind_of(failure) == kind
    assert (
        msgspec.json.decode(msgspec.json.encode(failure), type=MemberFailed | SessionFailed | DeviceFailed) == failure
    )
    assert msgspec.to_builtins(failure)["type"] == kind
