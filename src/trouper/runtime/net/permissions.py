"""What a peer may do at a node: the check of a role, and which actors it may have refs to (PURE).

A message to an actor needs ``TO_ACTOR``, a control message what ``control.CONTROLS`` says, a request of an extension
the role that it is served with.  A message to the node that is neither of these is refused for every role.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..kernel.errors import NotPermitted
from ..session.identity import Allow, Identity, holders

if TYPE_CHECKING:
    from ..kernel.cell import Cell

TO_ACTOR: Final[tuple[Allow, ...]] = ("member", "operator")
"""The roles that may send messages to exported actors."""


def check(identity: Identity, node: str, what: str, allow: tuple[Allow, ...]) -> None:
    """Raise ``NotPermitted`` unless the identity has one of the roles.

    node: the name of this node.  what: names in the error what was sent.
    """
    if not identity.may(*allow):
        has = ", ".join(sorted(identity.roles)) or "no role"
        wanted = ", ".join(role for role in holders(*allow))
        raise NotPermitted(
            f"node {node} does not permit {identity} to send {what}: it takes the role {wanted}, and the peer has "
            f"{has}; roles are given in the file of the peer's key at {node}"
        )


def is_exported(cell: Cell) -> bool:
    """Whether peers may have a ref to an actor of this node: its class says so, or it is no actor of the runtime."""
    exported: bool | None = getattr(cell.spec.actor, "exported", None)
    return not is_of_runtime(cell) if exported is None else exported


def is_of_runtime(cell: Cell) -> bool:
    """Whether an actor is below ``/system``, or is one of the two at the top of the tree."""
    top = cell
    while top.parent is not None and top.parent.parent is not None:
        top = top.parent
    return top.name == "system" or cell.parent is None or cell.parent.parent is None
