"""The registry of a node: actors by name, and actors that offer a service.

A name belongs to one actor; any number of actors may offer a service key.  Entries belong to the ref: they survive a
restart, and are removed before any actor handles the ``Down`` of an actor that has ended.  ``Node.find`` is something
else: it looks actors up by their path.  The sources are Erlang's ``register`` and Akka's Receptionist.

The registry is local to one node; ``node.network`` asks the registries of connected nodes.  A ref to an actor of
another node may be registered too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, overload

import msgspec

from ..kernel.address import Address, checked_name, parse_address
from ..kernel.confined import confine
from ..kernel.errors import ActorStopped, NameTaken
from ..kernel.message import Message
from ..kernel.ref import ActorRef, Down, deliver

if TYPE_CHECKING:
    from ..kernel.system import System


class ServiceKey(msgspec.Struct, frozen=True):
    """The key of a service that any number of actors may offer; equal keys are the same service."""

    name: str


class Listing(Message[None]):
    """The actors that offer a service: sent to a subscriber when it subscribes, then at each change.

    refs: all of them, in the order in which they registered.
    """

    key: ServiceKey
    refs: tuple[ActorRef, ...]


@dataclass(slots=True)
class _Entries:
    """The entries of one actor, so that removing them at its end needs no search."""

    names: set[str] = field(default_factory=set[str])
    keys: dict[ServiceKey, None] = field(
        default_factory=dict[ServiceKey, None]
    )  # ordered, so that a simulation replays exactly
    subscriptions: set[ServiceKey] = field(default_factory=set[ServiceKey])


@confine("_system")
class Registry:
    """Names and service keys of one node; use ``node.registry``."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._names: dict[str, ActorRef] = {}
        self._offers: dict[ServiceKey, dict[ActorRef, None]] = {}
        self._subscribers: dict[ServiceKey, dict[ActorRef, None]] = {}
        self._entries_of: dict[ActorRef, _Entries] = {}

    # --- names -------------------------------------------------------------------------------------------------------

    def register(self, name: str | ServiceKey, ref: ActorRef) -> None:
        """Register an actor under a name, or as one that offers a service; repeating it changes nothing.

        name: a name, or a ``ServiceKey``.  An actor may have many of both.
        Raises ``NameTaken`` when another living actor has the name, ``InvalidName`` for a name that is not allowed in
        an address, and ``ActorStopped`` for a name when the actor has ended.  For a key, an actor that has ended is
        ignored without an error, since it could as well have ended a moment later.
        """
        if isinstance(name, ServiceKey):
            self._offer(name, ref)
            return
        holder = self._names.get(checked_name(name))
        if holder is not None and holder != ref:
            raise NameTaken(f"the name {name!r} belongs to {holder.address}: unregister it first, or take another name")
        entries = self._entries_for(ref)
        if entries is None:
            raise ActorStopped(f"{ref.address} has ended, so it cannot be registered as {name!r}: spawn a new one")
        self._names[name] = ref
        entries.names.add(name)

    @overload
    def unregister(self, name: str) -> bool: ...
    @overload
    def unregister(self, name: ServiceKey, ref: ActorRef) -> bool: ...
    def unregister(self, name: str | ServiceKey, ref: ActorRef | None = None) -> bool:
        """Remove a name, or an actor from those that offer a service; returns False when it was not registered."""
        if isinstance(name, ServiceKey):
            return ref is not None and self._withdraw(name, ref)
        holder = self._names.pop(name, None)
        if holder is None:
            return False
        self._entries_of[holder].names.discard(name)
        self._unwatch_if_unused(holder)
        return True

    def whereis(self, name: str) -> ActorRef | None:
        """Return the actor with this name, or None when there is none."""
        return self._names.get(name)

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._names)

    # --- services ----------------------------------------------------------------------------------------------------

    def find(self, key: ServiceKey) -> list[ActorRef]:
        """Return the actors that offer a service, in the order in which they registered."""
        return list(self._offers.get(key, ()))

    def subscribe(self, key: ServiceKey, watcher: ActorRef) -> None:
        """Send ``watcher`` a ``Listing`` now and at each change, until it ends or unsubscribes."""
        entries = self._entries_for(watcher)
        if entries is not None:
            entries.subscriptions.add(key)
            self._subscribers.setdefault(key, {})[watcher] = None
            deliver(watcher, Listing(key, tuple(self.find(key))))

    def unsubscribe(self, key: ServiceKey, watcher: ActorRef) -> bool:
        """End a subscription; False when there was none.  A ``Listing`` that was sent before still arrives."""
        subscribers = self._subscribers.get(key, {})
        if watcher not in subscribers:
            return False
        _discard(self._subscribers, key, watcher)
        self._entries_of[watcher].subscriptions.discard(key)
        self._unwatch_if_unused(watcher)
        return True

    def _offer(self, key: ServiceKey, ref: ActorRef) -> None:
        entries = self._entries_for(ref)
        if entries is not None and key not in entries.keys:
            entries.keys[key] = None
            self._offers.setdefault(key, {})[ref] = None
            self._publish(key)

    def _withdraw(self, key: ServiceKey, ref: ActorRef) -> bool:
        entries = self._entries_of.get(ref)
        if entries is None or key not in entries.keys:
            return False
        del entries.keys[key]
        self._unwatch_if_unused(ref)
        _discard(self._offers, key, ref)
        self._publish(key)
        return True

    def _publish(self, key: ServiceKey) -> None:
        subscribers = self._subscribers.get(key)
        if subscribers:
            listing = Listing(key, tuple(self.find(key)))
            for subscriber in list(subscribers):
                deliver(subscriber, listing)

    # --- ends --------------------------------------------------------------------------------------------------------

    def on_down(self, down: Down) -> None:
        """Remove the entries of an actor that has ended; called before any actor handles its ``Down``."""
        entries = self._entries_of.pop(down.ref, None)
        if entries is None:
            return
        for name in entries.names:
            del self._names[name]
        for key in entries.subscriptions:
            _discard(self._subscribers, key, down.ref)
        for key in entries.keys:
            _discard(self._offers, key, down.ref)
        for key in entries.keys:
            self._publish(key)

    def _entries_for(self, ref: ActorRef) -> _Entries | None:
        """Return the entries of an actor, made at its first use; None when it has ended."""
        cell = ref._cell  # noqa: SLF001  a ref is the runtime's own
        if cell.gone:
            return None
        entries = self._entries_of.get(ref)
        if entries is None:
            entries = self._entries_of[ref] = _Entries()
            cell.add_watcher(self)
        return entries

    def _unwatch_if_unused(self, ref: ActorRef) -> None:
        entries = self._entries_of[ref]
        if not (entries.names or entries.keys or entries.subscriptions):
            del self._entries_of[ref]
            ref._cell.remove_watcher(self)  # noqa: SLF001  a ref is the runtime's own


def _discard(table: dict[ServiceKey, dict[ActorRef, None]], key: ServiceKey, ref: ActorRef) -> None:
    """Remove an actor from a table, and the key when no actor is left."""
    table[key].pop(ref, None)
    if not table[key]:
        del table[key]


def actor_at(system: System, place: str | Address) -> ActorRef | None:
    """Return the living actor at a path (``user/bank/ada``) or an address; None when there is none.

    place: a path finds the actor that has it now; an ``Address``, also as text, finds only the actor with this uid.
    Raises ``InvalidName`` for text that begins with ``trouper:`` and is no address.
    """
    wanted = parse_address(place) if isinstance(place, str) and place.startswith("trouper:") else place
    path = wanted.path if isinstance(wanted, Address) else wanted.strip("/")
    cell = system.root
    for name in path.split("/"):
        child = (cell.children or {}).get(name)
        if child is None:
            return None
        cell = child
    if isinstance(wanted, Address) and (wanted.node, wanted.uid) != (system.name, cell.uid):
        return None
    return cell.ref
