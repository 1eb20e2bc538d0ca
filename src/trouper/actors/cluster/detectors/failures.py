"""The failures that a program can handle: of a member, of a session to a node, of a device (PURE).

A failure is reported once, when it is detected; what recovers and fails again is reported again.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Kind = Literal["node", "session", "device"]


class MemberFailed(msgspec.Struct, frozen=True, tag="node"):
    """A member is unreachable or down.

    node, generation: which process of which node.  suspicion: its level when it was reported, at most 1.0.
    reason: one sentence.
    """

    node: str
    generation: int
    suspicion: float
    reason: str


class SessionFailed(msgspec.Struct, frozen=True, tag="session"):
    """This node receives nothing over its session to another; other members may well reach that node.

    node: this node.  peer: the other one.  suspicion: phi of the silence.  reason: one sentence.
    """

    node: str
    peer: str
    suspicion: float
    reason: str


class DeviceFailed(msgspec.Struct, frozen=True, tag="device"):
    """A device of a node, such as a GPU, has failed; the node itself may be well.

    node: that has the device.  device: its name.  suspicion: 1.0.  reason: what the node has reported.
    """

    node: str
    device: str
    suspicion: float
    reason: str


Failure: TypeAlias = MemberFailed | SessionFailed | DeviceFailed


def kind_of(failure: Failure) -> Kind:
    """Return the kind by which handlers are registered for this failure."""
    match failure:
        case MemberFailed():
            return "node"
        case SessionFailed():
            return "session"
        case DeviceFailed():
            return "device"
