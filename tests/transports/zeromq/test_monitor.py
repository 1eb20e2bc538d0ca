import asyncio
from typing import Any, cast

import pytest
import zmq
from zmq.constants import Event

from tests.transports.zeromq.scenes import LOOPS, play, until
from trouper.runtime.session.transport import TransportLimits
from trouper.transports.zeromq.endpoints import read_endpoint
from trouper.transports.zeromq.monitor import Monitor, why
from trouper.transports.zeromq.sockets import Sockets


@pytest.mark.parametrize("loop", LOOPS)
def test_events_come_in_order_until_the_monitor_is_closed(loop: str) -> None:
    """What becomes of a connection is told from the loop; a failing listener is reported, and hears the next."""

    async def scene() -> None:
        problems: list[str] = []

        def note(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:  # Any: as the loop defines it
            problems.append(str(context["exception"]))

        asyncio.get_running_loop().set_exception_handler(note)
        sockets, heard = Sockets(TransportLimits(), None), list[Event]()

        def hear(event: Event, value: int) -> None:
            heard.append(event)
            if event == Event.CONNECTED:
                raise RuntimeError("too much")

        endpoint = read_endpoint("tcp://127.0.0.1:0", to_listen=True)
        pull = sockets.pull(endpoint)
        pull.bind(endpoint.address)
        push = sockets.push(endpoint)
        monitor = Monitor(sockets, push, Event.CONNECTED | Event.DISCONNECTED, hear)
        push.connect(cast("bytes", pull.get(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode())
        await until(lambda: heard == [Event.CONNECTED])
        pull.close()
        await until(lambda: heard == [Event.CONNECTED, Event.DISCONNECTED])
        assert problems == ["too much"]
        monitor.close()
        monitor.close()
        push.close()
        await sockets.close()

    play(scene, loop)


def test_a_failed_handshake_is_put_into_words() -> None:
    """As exactly as ZeroMQ knows."""
    assert why(Event.HANDSHAKE_FAILED_AUTH, 400) == "it does not let this key in"
    mismatch = int(zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
    assert why(Event.HANDSHAKE_FAILED_PROTOCOL, mismatch) == "it uses another kind of encryption, or none"
    assert why(Event.HANDSHAKE_FAILED_PROTOCOL, 0) == "it does not speak this protocol"
    assert why(Event.HANDSHAKE_FAILED_NO_DETAIL, 0) == "it hung up or was silent, as one does that has other keys"
