"""The public names of at-least-once delivery: ``from trouper.delivery import Delivery, DeliverMessage``.

The guide is ``docs/guides/delivery.md``.  ``import trouper`` does not load this module.
"""

from .actors.delivery.delivery_actor import DeliverMessage, Delivery, DeliveryGivenUp, DurableDelivery, FindReceiver
from .actors.delivery.pending import DeliverySettings
from .actors.delivery.receipts import HandledDeliveries, Receipt, receipt_of

__all__ = [
    "DeliverMessage",
    "Delivery",
    "DeliveryGivenUp",
    "DeliverySettings",
    "DurableDelivery",
    "FindReceiver",
    "HandledDeliveries",
    "Receipt",
    "receipt_of",
]
