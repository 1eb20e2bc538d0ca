import re

import pytest

from tests.transports.laws import Owner
from trouper.runtime.kernel.errors import InvalidOption
from trouper.runtime.session.transport import Source, Transport, TransportLimits, TransportOwner, Wire
from trouper.testing import virtual_time
from trouper.transports.inprocess import InProcessTransport


@pytest.mark.parametrize("limits", ["frame_bytes_max=0", "queue_frames_max=0", "queue_bytes_max=-1", "linger_s=-0.5"])
def test_limits_out_of_range_are_refused(limits: str) -> None:
    """The error shows all limits and the range."""
    name, value = limits.split("=")
    message = r"^TransportLimits\(.*" + re.escape(limits) + r".*\): every limit must be 1 or more, and linger_s 0 or"
    with pytest.raises(InvalidOption, match=message):
        TransportLimits(**{name: float(value) if "." in value else int(value)})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  by name


def test_sources_can_be_keys_of_a_table() -> None:
    """Sources of one address and one identity are equal, all others are not."""
    assert len({Source("1"), Source("1"), Source("2"), Source("1", "key"), Source(identity="key")}) == 4


@virtual_time
async def test_a_transport_fits_the_port_by_its_shape() -> None:
    """Nothing has to be derived from: the type checkers see that a transport, a wire and an owner fit."""
    owner: TransportOwner = Owner()
    transport: Transport = InProcessTransport(owner)
    wire: Wire = transport.connect("inprocess://nobody")
    assert wire.endpoint == "inprocess://nobody"
    assert transport.schemes == {"inprocess"}
    await transport.close()
