"""The laws of the ``Transport`` port as tests, for every transport.

A test class of a transport derives from ``TransportLaws`` and says how to make one; everything waits by events, so it
holds on virtual time and on a real loop.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence

import pytest

from trouper.runtime.session.transport import (
    Buffer,
    EndpointInvalid,
    EndpointTaken,
    FrameTooLarge,
    Source,
    Transport,
    TransportClosed,
    TransportLimits,
    Wire,
)

WAIT_S = 10.0
Scene = Callable[[], Coroutine[object, object, None]]


class Owner:
    """An owner that remembers what it was told."""

    def __init__(self) -> None:
        self.frames: list[tuple[bytes, ...]] = []
        self.sources: list[Source] = []
        self.ready: list[Wire] = []
        self.lost: list[tuple[Wire, str]] = []
        self.fails = 0
        self._changed: list[asyncio.Future[None]] = []

    def frame_received(self, parts: Sequence[Buffer], source: Source) -> None:
        """Remember the frame; raise as often as ``fails`` says."""
        self.frames.append(tuple(bytes(part) for part in parts))
        self.sources.append(source)
        self._change()
        if self.fails:
            self.fails -= 1
            raise RuntimeError("the owner cannot take this")

    def wire_ready(self, wire: Wire) -> None:
        """Remember the wire."""
        self.ready.append(wire)
        self._change()

    def wire_lost(self, wire: Wire, reason: str) -> None:
        """Remember the wire and the reason."""
        self.lost.append((wire, reason))
        self._change()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that was told makes the condition true."""
        async with asyncio.timeout(WAIT_S):
            while not condition():
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._changed.append(future)
                await future

    async def until_frames(self, count: int) -> list[tuple[bytes, ...]]:
        """Wait for so many frames, and return all that came."""
        await self.until(lambda: len(self.frames) >= count)
        return self.frames

    def _change(self) -> None:
        changed, self._changed = self._changed, []
        for future in changed:
            if not future.done():
                future.set_result(None)


class TransportLaws(ABC):
    """What holds for every transport; the laws are numbered in ``runtime/session/transport.py``."""

    bad_endpoints: Sequence[str] = ("", "nonsense", "gopher://a", "://")

    @abstractmethod
    def play(self, scene: Scene) -> None:
        """Run a scene in a loop that suits the transport."""

    @abstractmethod
    def make(self, owner: Owner, limits: TransportLimits | None = None) -> Transport:
        """Make a transport in the running loop; all of one scene can reach each other."""

    @abstractmethod
    def endpoint(self, name: str) -> str:
        """An endpoint for a name that no other test of this run uses."""

    def test_frames_arrive_whole_and_in_order(self) -> None:
        """Laws 1 and 2: every byte and every boundary, empty and large parts included, once and in order."""

        async def scene() -> None:
            a, b = Owner(), Owner()
            sender, receiver = self.make(a), self.make(b)
            wire = sender.connect(await receiver.listen(self.endpoint("order")))
            sent = [(b"1",), (b"", b"2"), (b"3", b"", bytes(100_000)), *((str(n).encode(),) for n in range(200))]
            for frame in sent:
                assert wire.send_nowait(frame)
            assert await b.until_frames(len(sent)) == sent
            assert len(set(b.sources)) == 1
            await sender.close()
            await receiver.close()

        self.play(scene)

    def test_any_kind_of_buffer_is_taken(self) -> None:
        """bytes, bytearray and memoryview travel alike."""

        async def scene() -> None:
            a, b = Owner(), Owner()
            sender, receiver = self.make(a), self.make(b)
            wire = sender.connect(await receiver.listen(self.endpoint("kinds")))
            assert wire.send_nowait([b"bytes", bytearray(b"bytearray"), memoryview(b"a view")[2:]])
            assert await b.until_frames(1) == [(b"bytes", b"bytearray", b"view")]
            await sender.close()
            await receiver.close()

        self.play(scene)

    def test_a_full_wire_says_no_and_then_says_when(self) -> None:
        """Law 3: a frame that was not taken never arrives, and one call tells of room."""

        async def scene() -> None:
            a, b = Owner(), Owner()
            sender, receiver = self.make(a, TransportLimits(queue_frames_max=3)), self.make(b)
            wire = sender.connect(await receiver.listen(self.endpoint("full")))
            taken = 0
            while taken < 100_000 and wire.send_nowait([str(taken).encode(), bytes(1_000)]):
                taken += 1
            assert 3 <= taken < 100_000
            assert a.ready == []
            await a.until(lambda: bool(a.ready))
            assert wire.send_nowait([b"last"])
            await b.until_frames(taken + 1)
            assert [frame[0] for frame in b.frames] == [*(str(n).encode() for n in range(taken)), b"last"]
            assert a.ready == [wire]
            await sender.close()
            await receiver.close()

        self.play(scene)

    def test_nothing_is_called_from_inside(self) -> None:
        """Law 5: the receiver hears of a frame after ``send_nowait`` has returned, and not after ``close``."""

        async def scene() -> None:
            a, b = Owner(), Owner()
            sender, receiver = self.make(a), self.make(b)
            wire = sender.connect(await receiver.listen(self.endpoint("inside")))
            assert wire.send_nowait([b"x"])
            assert b.frames == []
            await b.until_frames(1)
            assert wire.send_nowait([b"y"])
            await receiver.close()
            heard = len(b.frames)
            await sender.close()
            assert len(b.frames) == heard

        self.play(scene)

    def test_a_receiver_that_fails_hears_of_the_next_frame(self) -> None:
        """An exception in a callback goes to the loop's handler, and keeps no other frame back."""

        async def scene() -> None:
            problems: list[str] = []
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: problems.append(str(context.get("exception"))))
            a, b = Owner(), Owner()
            b.fails = 1
            sender, receiver = self.make(a), self.make(b)
            wire = sender.connect(await receiver.listen(self.endpoint("failing")))
            for body in (b"1", b"2"):
                assert wire.send_nowait([body])
            assert await b.until_frames(2) == [(b"1",), (b"2",)]
            assert problems == ["the owner cannot take this"]
            await sender.close()
            await receiver.close()

        self.play(scene)

    def test_a_frame_above_the_limit_is_refused_at_the_sender(self) -> None:
        """``FrameTooLarge`` names the size and the limit, and the wire goes on."""

        async def scene() -> None:
            a, b = Owner(), Owner()
            sender, receiver = self.make(a, TransportLimits(frame_bytes_max=10)), self.make(b)
            wire = sender.connect(await receiver.listen(self.endpoint("large")))
            with pytest.raises(FrameTooLarge, match=r"^a frame of 11 bytes to .*, at most 10 are allowed$"):
                wire.send_nowait([b"12345", b"678901"])
            assert wire.send_nowait([b"12345", b"67890"])
            assert await b.until_frames(1) == [(b"12345", b"67890")]
            await sender.close()
            await receiver.close()

        self.play(scene)

    def test_a_frame_above_the_receivers_limit_is_dropped(self) -> None:
        """The owner never sees it, whatever the sender allows itself."""

        async def scene() -> None:
            a, b = Owner(), Owner()
            sender, receiver = self.make(a), self.make(b, TransportLimits(frame_bytes_max=1_000))
            endpoint = await receiver.listen(self.endpoint("larger"))
            wire, other = sender.connect(endpoint), sender.connect(endpoint)
            assert wire.send_nowait([bytes(5_000)])
            assert other.send_nowait([b"small"])
            assert await b.until_frames(1) == [(b"small",)]
            await sender.close()
            await receiver.close()

        self.play(scene)

    def test_an_endpoint_that_is_none_is_refused(self) -> None:
        """Both ``listen`` and ``connect`` raise ``EndpointInvalid``, with the endpoint in the message."""

        async def scene() -> None:
            transport = self.make(Owner())
            for endpoint in self.bad_endpoints:
                with pytest.raises(EndpointInvalid, match=r"^.* is no endpoint of this transport: expected "):
                    transport.connect(endpoint)
                with pytest.raises(EndpointInvalid, match=r"^.* is no endpoint of this transport: expected "):
                    await transport.listen(endpoint)
            await transport.close()

        self.play(scene)

    def test_an_endpoint_has_one_listener(self) -> None:
        """The second to listen is told so; after the first has closed the endpoint is free."""

        async def scene() -> None:
            first, second, b = self.make(Owner()), self.make(owner := Owner()), Owner()
            endpoint = await first.listen(self.endpoint("taken"))
            with pytest.raises(EndpointTaken, match=r" is taken by another "):
                await second.listen(endpoint)
            await first.close()
            assert await second.listen(endpoint) == endpoint
            sender = self.make(b)
            assert sender.connect(endpoint).send_nowait([b"x"])
            assert await owner.until_frames(1) == [(b"x",)]
            await sender.close()
            await second.close()

        self.play(scene)

    def test_what_was_closed_takes_nothing_more(self) -> None:
        """A closed wire and a closed transport say so; closing twice is fine."""

        async def scene() -> None:
            transport = self.make(Owner())
            endpoint = self.endpoint("closed")
            wire = transport.connect(endpoint)
            wire.close()
            wire.close()
            with pytest.raises(TransportClosed, match=r"^the wire to .* is closed$"):
                wire.send_nowait([b"x"])
            await transport.close()
            await transport.close()
            with pytest.raises(TransportClosed, match=r"this transport is closed$"):
                transport.connect(endpoint)
            with pytest.raises(TransportClosed, match=r"this transport is closed$"):
                await transport.listen(endpoint)

        self.play(scene)

    def test_what_was_taken_before_a_close_still_arrives(self) -> None:
        """A wire lingers: a goodbye gets through although the wire is closed right behind it."""

        async def scene() -> None:
            a, b = Owner(), Owner()
            sender, receiver = self.make(a), self.make(b)
            wire = sender.connect(await receiver.listen(self.endpoint("linger")))
            assert wire.send_nowait([b"first"])
            await b.until_frames(1)
            assert wire.send_nowait([b"goodbye"])
            wire.close()
            await sender.close()
            assert await b.until_frames(2) == [(b"first",), (b"goodbye",)]
            await receiver.close()

        self.play(scene)
