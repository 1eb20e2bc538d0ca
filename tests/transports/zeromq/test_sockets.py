import zmq

from tests.transports.zeromq.scenes import KEYS, play
from trouper.runtime.session.transport import TransportLimits
from trouper.transports.zeromq.endpoints import read_endpoint
from trouper.transports.zeromq.sockets import Sockets

TCP = read_endpoint("tcp://127.0.0.1:7400", to_listen=False)
TCP6 = read_endpoint("tcp://[::1]:7400", to_listen=False)
IPC = read_endpoint("ipc:///run/a", to_listen=False)


def test_sockets_are_set_up_as_the_limits_and_the_keys_say() -> None:
    """Queues and buffers are bounded; tcp is kept alive and, with keys, encrypted; ipc needs no keys."""

    async def scene() -> None:
        sockets = Sockets(TransportLimits(frame_bytes_max=5_000, queue_frames_max=7), KEYS)
        router, dealer = sockets.router(TCP), sockets.dealer(TCP)
        local, six = sockets.router(IPC), sockets.dealer(TCP6)
        assert (router.get(zmq.RCVHWM), dealer.get(zmq.SNDHWM), dealer.get(zmq.RCVHWM)) == (7, 7, 1)
        assert (router.get(zmq.MAXMSGSIZE), dealer.get(zmq.MAXMSGSIZE)) == (5_064, 1_024)
        assert {made.get(zmq.TCP_KEEPALIVE) for made in (router, dealer)} == {1}
        assert [made.get(zmq.MECHANISM) for made in (router, dealer, local)] == [zmq.CURVE, zmq.CURVE, zmq.NULL]
        assert (router.get(zmq.CURVE_SERVER), dealer.get(zmq.CURVE_SERVER)) == (1, 0)
        assert (six.get(zmq.IPV6), dealer.get(zmq.IPV6)) == (1, 0)
        for made in (router, dealer, local, six):
            made.close()
        await sockets.close()

    play(scene)
