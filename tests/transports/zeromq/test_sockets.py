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
        pull, push = sockets.pull(TCP), sockets.push(TCP)
        local, six = sockets.pull(IPC), sockets.push(TCP6)
        assert (pull.get(zmq.RCVHWM), push.get(zmq.SNDHWM), push.get(zmq.RCVHWM)) == (7, 7, 1)
        assert (pull.get(zmq.MAXMSGSIZE), push.get(zmq.MAXMSGSIZE)) == (5_064, 1_024)
        assert {made.get(zmq.TCP_KEEPALIVE) for made in (pull, push)} == {1}
        assert [made.get(zmq.MECHANISM) for made in (pull, push, local)] == [zmq.CURVE, zmq.CURVE, zmq.NULL]
        assert (pull.get(zmq.CURVE_SERVER), push.get(zmq.CURVE_SERVER)) == (1, 0)
        assert (six.get(zmq.IPV6), push.get(zmq.IPV6)) == (1, 0)
        for made in (pull, push, local, six):
            made.close()
        await sockets.close()

    play(scene)
