"""Strict wire: every message between actors of one node goes through the codec, as if they were on two nodes.

So what cannot travel fails in the first test that sends it, with the error that it would meet between nodes, and a
receiver holds a copy: what one actor does to a list of its own is not seen by another.  It is for tests, where
``trouper.testing.simulate`` turns it on; a node without it has the kernel's own refs and asks, and pays nothing.

What passes through: what is told, asked and forwarded, and replies.  What does not: the runtime's own signals, ``Down``
among them; what an actor sends itself by a timer; errors, which come as they are; and messages whose class says
``local=True``, which are refused between nodes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar, cast

from ..kernel.ask import Ask, is_ask
from ..kernel.errors import WireError
from ..kernel.message import Message
from ..kernel.ref import ActorRef
from ..session.codec import REPLY, RefDefinition, SessionCodec
from ..session.frames import HEADER_BYTES
from ..session.settings import SessionSettings

if TYPE_CHECKING:
    from ..kernel.cell import Cell

R = TypeVar("R")
BODY_BYTES_MAX = SessionSettings().frame_bytes_max - HEADER_BYTES
"""Bytes of the largest message, as between nodes with the usual settings."""
NO_LIMIT = 2**32
"""Where large buffers may be, which travel beside a message."""


class WireCopier:
    """The way through the codec: a message goes in, and its equal comes out."""

    def __init__(self) -> None:
        self._tables = SessionCodec(self._describe, self._ref_of)
        self._refs: list[ActorRef] = []

    def message(self, message: Message[R]) -> Message[R]:
        """Return the message as another node would see it; raises ``WireError`` naming the type and the field.

        What is no message comes back as it is: the receiver says so.
        """
        type_ = type(message)
        if not hasattr(type_, "__reply__") or type_.__local__:
            return message
        number = self._tables.number_of(type_)
        bytes_max = NO_LIMIT if number in self._tables.carriers else BODY_BYTES_MAX
        return cast("Message[R]", self._round_trip((1, 0, number, message), type_, type_.__qualname__, bytes_max))

    def reply(self, asked: Message[R], value: R) -> R:
        """Return a reply as another node would see it; raises ``WireError`` naming what was asked."""
        if type(asked).__local__:
            return value
        return cast("R", self._round_trip((0, 1, REPLY, value), type(asked), None, NO_LIMIT))

    def value(self, annotation: object, value: object, name: str) -> object:
        """Return any value as another node would read it by its annotation; raises ``WireError`` naming it."""
        try:
            return self._round_trip((0, 0, REPLY, value), annotation, name, NO_LIMIT)
        except WireError as error:
            raise WireError(f"{name} cannot travel: {error.__cause__ or error}") from None

    def _round_trip(
        self, item: tuple[int, int, int, object], type_: object, name: str | None, bytes_max: int
    ) -> object:
        tables = self._tables
        try:
            try:
                body = tables.encode([item], (), bytes_max)
            except WireError:
                tables.check(item[3])  # it names the field
                raise
            payload = tables.open(body).items[0][3]
            return (
                tables.read_reply(cast("type", type_), payload)
                if name is None
                else tables.read_as(type_, payload, name)
            )
        finally:
            if self._refs:
                self._refs = []
                tables.forget_refs()

    def _describe(self, ref: ActorRef) -> tuple[str, int, str, int]:
        self._refs.append(ref)
        return "", len(self._refs) - 1, "", 0

    def _ref_of(self, definition: RefDefinition) -> ActorRef:
        return self._refs[definition.generation]


class StrictRef(ActorRef):
    """A ref on a strict node."""

    __slots__ = ("copier",)

    def __init__(self, cell: Cell, copier: WireCopier) -> None:
        super().__init__(cell)
        self.copier = copier

    def tell(self, message: Message[object]) -> Awaitable[None]:
        """Send a copy; raises ``WireError`` here when it cannot travel, and then nothing was sent."""
        return super().tell(self.copier.message(message))

    def ask(self, message: Message[R], timeout_s: float | None = None) -> asyncio.Future[R]:
        """Send a copy and return a future of a copy of the reply; it raises ``WireError`` when one cannot travel."""
        answered: asyncio.Future[R] = self._cell.system.loop.create_future()
        try:
            future = super().ask(self.copier.message(message), timeout_s)
            if is_ask(future):
                return cast("asyncio.Future[R]", future)
            error = future.exception()
            if error is None:
                answered.set_result(self.copier.reply(message, future.result()))
            else:
                answered.set_exception(error)
        except WireError as error:
            answered.set_exception(error)
        return answered


class StrictAsk(Ask[R]):
    """An ask on a strict node."""

    __slots__ = ()

    def answer(self, reply: object) -> None:
        """End with a copy of the reply, or with the error that it cannot travel."""
        copier = copier_of(self.target.system.root.ref)
        assert copier is not None, "a strict node has strict refs from its root on"
        try:
            copy = copier.reply(self.message, cast("R", reply))
        except WireError as error:
            self.refuse(error)
        else:
            super().answer(copy)


def copier_of(ref: ActorRef) -> WireCopier | None:
    """Return what messages to this ref have to pass; None where they need not."""
    return ref.copier if isinstance(ref, StrictRef) else None
