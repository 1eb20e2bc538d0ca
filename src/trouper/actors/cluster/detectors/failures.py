"""What a handler of failures is told: a node, a link or a device has failed (PURE).

A failure is said once, when the detector first calls it one; a thing that comes back and fails again is said again.
Who registers handlers for which kind, and calls them, is the cluster's actor.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Kind = Literal["node", "link", "device"]


class MemberFailed(msgspec.Struct, frozen=True, tag="node"):
    """A member is out of reach for the membership.

    node, incarnation: which life of which member.  suspicion: its detector's level then.  reason: one sentence.
    """

    node: str
    generation: int
    suspicion: float
    reason: str


class SessionFailed(msgspec.Struct, frozen=True, tag="link"):
    """This node hears nothing on its link to another, which may be well in touch with others."""

    node: str
    peer: str
    suspicion: float
    reason: str


class DeviceFailed(msgspec.Struct, frozen=True, tag="device"):
    """A device of a node, such as a GPU, does not answer; the node itself may be well."""

    node: str
    device: str
    suspicion: float
    reason: str


Failure: TypeAlias = MemberFailed | SessionFailed | DeviceFailed


def kind_of(failure: Failure) -> Kind:
    """Return the kind that handlers register for."""
    match failure:
        case MemberFailed():
            return "node"
        case SessionFailed():
            return "link"
        case DeviceFailed():
            return "device"
