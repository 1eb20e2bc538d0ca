"""Identities and roles: as which a peer was authenticated, and what a role includes (PURE)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

from ..kernel.errors import InvalidOption

Role = Literal["member", "worker", "observer", "operator", "developer"]
"""What an identity may do: a ``member`` runs actors with this node, a ``worker`` is a process of a node, an
``observer`` reads, an ``operator`` also changes the state of actors and of the cluster, a ``developer`` may do
everything, which includes to run code of its own.
"""
Allow = Role | Literal["anyone"]
"""What a request takes: a role, or ``anyone`` who was admitted, with whatever roles."""
ROLES: Final[tuple[Role, ...]] = get_args(Role)
INCLUDES: Final[Mapping[Role, frozenset[Role]]] = {
    "member": frozenset({"member"}),
    "worker": frozenset({"worker", "member"}),
    "observer": frozenset({"observer"}),
    "operator": frozenset({"operator", "observer"}),
    "developer": frozenset(ROLES),
}
"""The roles whose rights each role has."""

SAME_PROCESS: Final = "this process"
"""The identity of a peer that runs in this process, as ``Source.identity``."""
SAME_USER: Final = "this user"
"""The identity of a process of the same user, which came over a socket that no other user can reach."""


@dataclass(frozen=True, slots=True)
class Identity:
    """As which a peer was authenticated.

    id: ``SAME_PROCESS``, ``SAME_USER``, or the public key that it has proved to own; None when it was not
        authenticated.
    name: under which an operator has listed the key; None for an identity that is not listed.
    roles: what it may do.
    """

    id: str | None = None
    name: str | None = None
    roles: frozenset[Role] = frozenset({"member"})

    def __str__(self) -> str:
        if self.name is not None:
            return self.name
        if self.id in (None, SAME_PROCESS, SAME_USER):
            return self.id or "a peer without a key"
        return f"the key {self.id[:8]}..."

    def may(self, *allow: Allow) -> bool:
        """Whether the identity has the rights of one of these roles."""
        return any(each == "anyone" or any(each in INCLUDES[role] for role in self.roles) for each in allow)


OWN_PROCESS: Final = Identity(SAME_PROCESS, None, frozenset({"developer"}))
"""The identity of all nodes of this process."""
OWN_USER: Final = Identity(SAME_USER, None, frozenset({"developer"}))
"""The identity of all processes of this user, each of which could read and change this one anyway."""


class Identities(Protocol):
    """What an operator has said about identities: names, roles, and which of them are revoked."""

    def identify(self, id: str) -> Identity:  # noqa: A002  the name of the field of ``Identity``
        """Return the name and the roles of a public key."""
        ...

    def may_be_called(self, id: str, node: str) -> str | None:  # noqa: A002  as above
        """Return why the owner of this key may not have this name of a node, in one clause; None if it may."""
        ...

    def revoke(self, identity: str) -> frozenset[str]:
        """Admit this identity no more, a listed name or a public key; returns its public keys.

        Raises ``InvalidOption`` for an identity that is not known.
        """
        ...

    def refresh(self) -> frozenset[str]:
        """Read again what the operator has changed; returns the keys whose sessions have to end."""
        ...


def trusted(id: str | None) -> Identity | None:  # noqa: A002  the name of the field of ``Identity``
    """Return the identity of a peer that no key is asked of; None for that of a key."""
    if id is None:
        return Identity()
    return {SAME_PROCESS: OWN_PROCESS, SAME_USER: OWN_USER}.get(id)


def read_roles(text: str) -> frozenset[Role]:
    """Return the roles of a text such as ``member, observer``; raises ``InvalidOption`` for an unknown one."""
    names = text.replace(",", " ").split()
    found: Iterable[Role] = [role for role in ROLES if role in names]
    unknown = sorted(set(names) - set(ROLES))
    if unknown or not names:
        raise InvalidOption(f"role = {text!r}: use one or more of {', '.join(ROLES)}, with commas between them")
    return frozenset(found)


def holders(*allow: Allow) -> tuple[Role, ...]:
    """Return the roles that have the rights of one of these, in the order of ``ROLES``."""
    return tuple(role for role in ROLES if Identity(roles=frozenset({role})).may(*allow))
