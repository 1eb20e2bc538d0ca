import asyncio
from functools import partial
from pathlib import Path

import pytest

from tests.transports.laws import Owner
from tests.transports.zeromq.scenes import KEYS, TCP, ipc_endpoint, play, until
from trouper.transports.zeromq import ZeroMQTransport


def _has_counted(receiver: ZeroMQTransport, failures: int) -> bool:
    return receiver.rejections.counts["handshake_failed"] == failures


@pytest.mark.parametrize("kind", ["ipc", "tcp"])
def test_who_comes_and_goes_in_order_is_not_noted(kind: str, tmp_path: Path) -> None:
    """Connections that end after their handshake are no failures, however many come and go at once."""

    async def scene() -> None:
        b = Owner()
        receiver = ZeroMQTransport(b, keys=KEYS)
        endpoint = await receiver.listen(TCP if kind == "tcp" else ipc_endpoint(tmp_path))
        for round_ in range(3):
            sender = ZeroMQTransport(Owner(), keys=KEYS)
            for _ in range(10):
                sender.connect(endpoint).send_nowait([b"x"])
            await b.until_frames(10 * (round_ + 1))
            await sender.close()
        await receiver.close()
        assert receiver.rejections.counts == {}

    play(scene)


def test_a_visitor_without_a_word_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One that only looks whether somebody listens is counted, and said with its address."""

    async def scene() -> None:
        receiver = ZeroMQTransport(Owner(), keys=KEYS)
        endpoint = await receiver.listen(TCP)
        local = await receiver.listen(ipc_endpoint(tmp_path))
        reader, writer = await asyncio.open_connection("127.0.0.1", int(endpoint.rpartition(":")[2]))
        port = writer.get_extra_info("sockname")[1]
        await reader.readexactly(10)
        writer.close()
        await writer.wait_closed()
        await until(lambda: receiver.rejections.counts["handshake_failed"] == 1)
        for visits in (1, 2):  # one alone may be a process of ours that ends at this moment
            reader, writer = await asyncio.open_unix_connection(local.removeprefix("ipc://"))
            await reader.readexactly(10)
            writer.close()
            await writer.wait_closed()
            await until(partial(_has_counted, receiver, 1 + visits))
            assert len(caplog.messages) == visits
        await receiver.close()
        first, second = caplog.messages
        why = "it hung up or was silent, as one does that has other keys"
        assert first == f"127.0.0.1:{port} did not get through its handshake with {endpoint}: {why}"
        assert second.startswith("process ")
        assert second.endswith(f" did not get through its handshake with {local}: {why}")

    play(scene)
