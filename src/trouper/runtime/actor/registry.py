"""The registry: who is reachable under which name, and who offers which service.

A name belongs to one actor; a service key is offered by any number.  Both follow the ref, so they survive restarts, and
both are gone before anybody handles the ``Down`` of an actor that has ended.  It is not the tree of actors:
``Node.find`` looks an actor up by its path, whether it is registered or not.  The sources are Erlang's ``register`` and
Akka's Receptionist.

Everything here is local to one node; ``node.network`` asks the nodes that are linked to it.  Entries are refs and never
cells, so a ref to an actor of another node may be registered too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, overload

import msgspec

from ..kernel.address import Address, checked_name, parse_address
from ..kernel.delivery import deliver
from ..kernel.errors import ActorStopped, NameTaken
from ..kernel.message import Message
from ..kernel.ref import ActorRef, Down

if TYPE_CHECKING:
    from ..kernel.system import System


class ServiceKey(msgspec.Struct, frozen=True):
    """The name of a service that any number of actors may offer; equal keys are the same service."""

    name: str


class Listing(Message[None]):
    """Who offers a service: told to a subscriber once when it subscribes, then at each change.

    refs: all of them, in the order in which they registered.
    """

    key: ServiceKey
    refs: tuple[ActorRef, ...]


@dataclass(slots=True)
class _Entries:
    """What one actor has here, so that its end costs no search."""

    names: set[str] = field(default_factory=set[str])
    keys: dict[ServiceKey, None] = field(
        default_factory=dict[ServiceKey, None]
    )  # in order, so that a run can be replayed from its seed
    subscriptions: set[ServiceKey] = field(default_factory=set[ServiceKey])


class Registry:
    """Names and service keys of one node; use ``node.registry``."""

    def __init__(self) -> None:
        self._names: dict[str, ActorRef] = {}
        self._offers: dict[ServiceKey, dict[ActorRef, None]] = {}
        self._subscribers: dict[ServiceKey, dict[ActorRef, None]] = {}
        self._entries_of: dict[ActorRef, _Entries] = {}

    # --- names -------------------------------------------------------------------------------------------------------

    def register(self, name: str | ServiceKey, ref: ActorRef) -> None:
        """Give an actor a name, or enter it among those that offer a service; doing it again changes nothing.

        An actor may have many names and keys.  Raises ``NameTaken`` when another living actor has the name,
        ``InvalidName`` for a name that no address could carry, and ``ActorStopped`` when the actor has ended.
        An actor that has ended is not entered under a key, without an error: it could have ended a moment later.
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
        """Free a name, or take an actor from those that offer a service; False when it was not entered."""
        if isinstance(name, ServiceKey):
            return ref is not None and self._withdraw(name, ref)
        holder = self._names.pop(name, None)
        if holder is None:
            return False
        self._entries_of[holder].names.discard(name)
        self._unwatch_if_unused(holder)
        return True

    def whereis(self, name: str) -> ActorRef | None:
        """Return the actor with this name, or None."""
        return self._names.get(name)

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._names)

    # --- services ----------------------------------------------------------------------------------------------------

    def find(self, key: ServiceKey) -> list[ActorRef]:
        """Return all actors that offer a service, in the order in which they registered."""
        return list(self._offers.get(key, ()))

    def subscribe(self, key: ServiceKey, watcher: ActorRef) -> None:
        """Tell ``watcher`` a ``Listing`` now and at each change, until it ends or unsubscribes."""
        entries = self._entries_for(watcher)
        if entries is not None:
            entries.subscriptions.add(key)
            self._subscribers.setdefault(key, {})[watcher] = None
            deliver(watcher, Listing(key, tuple(self.find(key))))

    def unsubscribe(self, key: ServiceKey, watcher: ActorRef) -> bool:
        """Send no more listings; False when there was no subscription.  One that is under way still arrives."""
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
        """Forget an actor that has ended; called before its ``Down`` is handled anywhere."""
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
        """Return what an actor has here; None when it has ended."""
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
    """Take an actor out of a table, and the key too when nobody is left."""
    table[key].pop(ref, None)
    if not table[key]:
        del table[key]


def actor_at(system: System, place: str | Address) -> ActorRef | None:
    """Return the living actor at a path (``user/bank/ada``) or an address; None when there is none.

    An address, as a value or as text, finds only the very actor that it is of; a path finds whoever is there now.
    Raises ``InvalidName`` for text that begins like an address and is none.
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
