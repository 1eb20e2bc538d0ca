"""``Receipt`` and ``HandledDeliveries``: how a receiver knows a message that it has handled before (PURE).

A delivery gives each message a header with the id of the sender, a number, and the lowest number that is not settled.

Laws of this file:
1. A receipt that was added is in the table until its sender is forgotten.
2. The table has at most ``senders_max`` senders, and for each at most ``WINDOW_MAX`` numbers: those above the lowest
   number that may still come.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from ... import Reject, WireError
from ...lowlevel import declare_header, decode_untrusted
from .pending import WINDOW_MAX

DELIVERY_HEADER = declare_header("trouper.delivery", follows=False)

_Number = Annotated[int, msgspec.Meta(ge=1)]


class Receipt(msgspec.Struct, frozen=True):
    """Which message of which sender: what a receiver keeps of a message that it has handled.

    sender: the id of the sender.  number: of the message, from 1.  floor: all numbers below it are settled.
    """

    sender: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    number: _Number
    floor: _Number


_decoder = msgspec.msgpack.Decoder(Receipt)


def header_of(receipt: Receipt) -> dict[str, bytes]:
    """Return the header of a message that is delivered."""
    return {DELIVERY_HEADER: msgspec.msgpack.encode(receipt)}


def receipt_of(headers: Mapping[str, bytes]) -> Receipt | None:
    """Return the receipt of the message being handled; None for a message that no delivery has sent.

    headers: ``self.headers`` in a handler.  Raises ``Reject`` for a header that is not one of a delivery.
    """
    header = headers.get(DELIVERY_HEADER)
    if header is None:
        return None
    try:
        receipt = decode_untrusted(_decoder.decode, header, "the header of a delivery")
    except WireError as error:
        raise Reject(str(error)) from error
    if not receipt.floor <= receipt.number < receipt.floor + WINDOW_MAX:
        raise Reject(f"delivery {receipt.number} of sender {receipt.sender!r} is out of its window")
    return receipt


class _Handled(msgspec.Struct):
    """Of one sender: all numbers below ``floor`` are settled, and of the others ``above`` are handled."""

    floor: int = 1
    above: set[int] = msgspec.field(default_factory=set[int])


class HandledDeliveries(msgspec.Struct):
    """The deliveries that a receiver has handled; in the state of an event-sourced actor it is as durable as that.

    senders_max: senders that are remembered; beyond it the one is forgotten that was silent for longest, and a message
        that it repeats is handled again.
    """

    senders_max: int = 1_000
    senders: dict[str, _Handled] = msgspec.field(default_factory=dict[str, _Handled])

    def __contains__(self, receipt: Receipt | None) -> bool:
        """Whether a message was handled before; False for None."""
        known = None if receipt is None else self.senders.get(receipt.sender)
        return (
            known is not None
            and receipt is not None
            and (receipt.number < known.floor or receipt.number in known.above)
        )

    def add(self, receipt: Receipt | None) -> None:
        """Take note that a message is handled; does nothing for None."""
        if receipt is None:
            return
        known = self.senders.pop(receipt.sender, None) or _Handled()
        known.floor = max(known.floor, receipt.floor)
        known.above = {number for number in (*known.above, receipt.number) if number >= known.floor}
        while known.floor in known.above:
            known.above.discard(known.floor)
            known.floor += 1
        self.senders[receipt.sender] = known
        while len(self.senders) > self.senders_max:
            del self.senders[next(iter(self.senders))]
