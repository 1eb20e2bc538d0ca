"""The public names of at-least-once delivery: ``from trouper.delivery import Delivery, Deliver``.

The guide is ``docs/guides/delivery.md``.  ``import trouper`` does not load this module.
"""

from .actors.delivery.delivery_actor import Deliver, Delivery, DeliveryGivenUp, DurableDelivery, FindReceiver
from .actors.delivery.pending import DeliverySettings
from .actors.delivery.receipts import HandledDeliveries, Receipt, receipt_of

__all__ = [
    "Deliver",
    "Delivery",
    "DeliveryGivenUp",
    "DeliverySettings",
    "DurableDelivery",
    "FindReceiver",
    "HandledDeliveries",
    "Receipt",
    "receipt_of",
]
