"""What the replicators of the members say to each other: news of rows, and how far each copy is."""

from __future__ import annotations

import msgspec

from ...runtime.kernel.messages import Message
from ...runtime.kernel.ref import ActorRef
from .names import Claim
from .reachability import Reach
from .rows import Delta, Stamp
from .services import Offer
from .vitals import Vitals


class RowNews(Message[None], tag="trouper.RowNews"):
    """Changes of rows, or whole ones: of the sender's own row, or of others' when they were asked for.

    Each field is a table, see ``replicas``.  Who gives word of a node that is no member is not listened to.
    """

    names: tuple[Delta[str, Claim[ActorRef]], ...] = ()
    groups: tuple[Delta[tuple[str, str, ActorRef], int], ...] = ()
    topics: tuple[Delta[str, bool], ...] = ()
    services: tuple[Delta[tuple[str, ActorRef], Offer], ...] = ()
    devices: tuple[Delta[str, str], ...] = ()
    reach: tuple[Delta[str, Reach], ...] = ()
    marks: tuple[Delta[str, bool], ...] = ()


class RowSums(Message[None], tag="trouper.RowSums"):
    """A sum over the stamps of each table, by its name; equal sums are taken for equal copies.

    answer: whether the sender wants to hear something in any case.
    """

    sums: dict[str, int]
    answer: bool = False


class RowDigest(Message[None], tag="trouper.RowDigest"):
    """How far the sender's copies are, by table and owner: tell it what it lacks.

    answer: whether it wants the digest of the other side too.
    """

    stamps: dict[str, dict[str, Stamp]]
    answer: bool


class TopicNews(Message[None], tag="trouper.TopicNews"):
    """A message that was published, for the subscribers of this node.  tag: the type of the message."""

    topic: str
    tag: str
    payload: msgspec.Raw


class VitalsWanted(Message[None], tag="trouper.VitalsWanted"):
    """Tell me how you do."""


class VitalsTold(Message[None], tag="trouper.VitalsTold"):
    """How the sender does."""

    vitals: Vitals


class Heard(Message[None], local=True):
    """Another node's replicator has said something.  node: its name."""

    node: str
    said: RowNews | RowSums | RowDigest


class Flush(Message[None]):
    """This node's own rows have changed: tell the others; the reply comes when that is on its way."""


class SyncDue(Message[None]):
    """It is time to compare copies with somebody."""
