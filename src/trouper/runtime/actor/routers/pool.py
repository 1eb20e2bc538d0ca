"""Pools: a router that spawns and supervises its routees, and can be resized while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVarTuple, cast

from ...kernel.bare_actor import BareActor
from ...kernel.errors import InvalidOption, NodeUnreachable, Reject
from ...kernel.mailbox import Mailbox
from ...kernel.message import Message
from ...kernel.options import check_count
from ...kernel.ref import ActorRef
from ...kernel.supervision import NO_OVERRIDES, Overrides, Restart, Strategy
from ..handlers import handler
from ..spawning import overrides_of, spawn_nowait, start_child
from .router import AnyRouting, Router
from .shares import assign
from .strategies import RoundRobin

if TYPE_CHECKING:
    from ...kernel.placement import Place

Ts = TypeVarTuple("Ts")
Places: TypeAlias = "Place | Iterable[str] | Callable[[Any], Iterable[str]]"  # Any: the Node, as in Place
"""One place, several names of nodes, or a function of the node that returns one or several."""
REBALANCE_S = 1.0
"""Seconds between two looks at the places of a pool."""


SIZE_MAX = 100_000
"""The most routees of a pool."""


class Resize(Message[int]):
    """Change the number of routees of a pool; the reply is that number.

    size: 0 to 100,000, else the ask fails with ``Reject``; a pool of size 0 refuses all messages.
    Messages for new routees wait until they have started.  Excess routees, the newest first, get no more messages,
    handle their queued ones, and stop.
    """

    size: int


class Rebalance(Message[None], local=True):
    """Have the routees of a pool follow a change of its places; the pool sends it to itself every ``REBALANCE_S``."""


class PoolRouter(Router):
    """The actor behind a ``Pool``; the arguments are those of ``Pool``."""

    def __init__(
        self,
        actor: Callable[..., object],
        args: tuple[object, ...],
        size: int,
        routing: AnyRouting,
        restart: Restart,
        place: Places | None = None,
        overrides: Overrides = NO_OVERRIDES,
    ) -> None:
        super().__init__(routing)
        self._actor, self._args, self._size = actor, args, size
        self._restart: Restart = restart
        self._place, self._overrides = place, overrides
        self._assigned: dict[str, str] = {}
        """Where each routee is to run, by its name; empty for a pool that has not several places."""
        self._missing: set[str] = set()
        """Routees that are to be spawned: they moved, or their place could not be reached."""

    async def on_start(self) -> None:
        """Spawn the routees; a routee that fails to start fails the start of the pool."""
        names = self._free_names(self._size)
        places = self._places()
        if places is not None:
            self._assigned = assign(names, places, {})
        if self._place is not None:
            self.timers.every("rebalance", REBALANCE_S, Rebalance())
        starting = [
            start_child(
                self.__cell__, self._actor, self._args, name, self._place_of(name), self._restart, 5.0, False,
                self._overrides,
            )
            for name in names
        ]  # fmt: skip
        for routee in starting:
            self.add(await routee)

    @handler
    def resize(self, message: Resize) -> int:
        """Spawn missing routees, or drain excess ones."""
        if not 0 <= message.size <= SIZE_MAX:
            raise Reject(f"{self.ref.address} cannot have {message.size} routees: size must be 0 to {SIZE_MAX:,}")
        now = self.current
        self._missing.update(self._free_names(message.size - len(now) - len(self._missing)))
        for routee in reversed(now[message.size :]):
            self._leave(routee)
        while len(self._missing) + len(self.current) > message.size:
            self._missing.remove(max(self._missing, key=int))
        self._follow_places()
        return message.size

    @handler
    def rebalance(self, message: Rebalance) -> None:  # noqa: ARG002  it has no fields
        """Move routees to the places that they have now."""
        self._follow_places()

    def _follow_places(self) -> None:
        """Assign the routees to the present places, move those whose place has changed, and spawn missing ones."""
        try:
            places = self._places()
        except Exception as error:  # noqa: BLE001  a function of the user's own must not end a pool that works
            self.__cell__.system.reporter.problem(f"the place of {self.ref.address} failed: nothing moves", error)
            places = None
        if places is not None:
            before, live = self._assigned, {routee.name: routee for routee in self.current}
            self._assigned = assign(sorted({*live, *self._missing}, key=int), places, before)
            for name, routee in live.items():
                # A routee that is not live has lost its place: its next start, which is due, asks for the new one.
                if self._assigned[name] != before.get(name) and routee._cell.phase == "live":  # noqa: SLF001  a ref is the runtime's own
                    self._leave(routee)
                    self._missing.add(name)
        taken = self.__cell__.children or {}
        for name in sorted(self._missing - taken.keys(), key=int):
            try:
                place = self._place_of(name)
                routee = spawn_nowait(
                    self.__cell__, self._actor, self._args, name, self._restart, place, self._overrides
                )
            except NodeUnreachable:
                continue  # it is tried again when the places are looked at next
            self.add(routee)
            self._missing.discard(name)

    def _leave(self, routee: ActorRef) -> None:
        """Let a routee handle what is queued for it, and stop."""
        self.remove(routee)
        routee.drain()

    def _places(self) -> list[str] | None:
        """Return the full names of the nodes to spread over; None for a pool that has one place, or a function of one.

        A function that gives none any more leaves the places as they are.
        """
        place, node = self._place, self.node
        if place is None or isinstance(place, str):
            return None
        found = place(node) if callable(place) else place
        if isinstance(found, str):
            return None
        places = list(dict.fromkeys(map(node.full_place, found)))
        if not places and not self._assigned:
            raise InvalidOption(f"{self.ref.address}: its place gives no node to run on")
        return places or list(dict.fromkeys(self._assigned.values()))

    def _place_of(self, name: str) -> Place | None:
        """Return the place of one routee: a function, since it may change while the routee runs."""
        if name in self._assigned:
            return lambda _: self._assigned.get(name, self.node.name)
        return cast("Place | None", self._place)

    def controls(self) -> tuple[Callable[..., object], ...]:
        """Return the handlers of messages for the router itself."""
        return (*super().controls(), self.resize, self.rebalance)

    def _free_names(self, wanted: int) -> list[str]:
        """Return the lowest unused numbers, so that a consistent hash gives a new routee the keys of a former one."""
        taken = {*(self.__cell__.children or {}), *self._missing}
        free = (str(number) for number in count(1) if str(number) not in taken)
        return [next(free) for _ in range(wanted)]


class Pool(partial[PoolRouter]):
    """A pool of equal actors, to be spawned: ``await node.spawn(Pool(Worker, "arg", size=4), name="workers")``.

    actor, args: of each routee, as for ``spawn``; keywords by ``functools.partial``.
    size: the number of routees, which are named ``1`` and up; 0 to 100,000, see ``Resize``.
    routing: the strategy; None is ``RoundRobin()``.
    restart: of each routee; a routee that ends for good is not replaced.
    supervision: the strategy for failures of routees; None is at most 3 restarts in 5 s in the whole pool, after which
        the pool fails and is restarted with all routees.
    place: where the routees run: one place, as for ``spawn``; or several, over which they are spread evenly: names of
        nodes, or a function that takes the node and returns them, such as ``lambda node: node.workers``.  The function
        is called every second: routees of a place that is none any more are started elsewhere, and a new place gets its
        share, from routees that first handle what is queued for them.  None is the pool's own node.
    mailbox, resume, executor: of each routee, as for ``spawn``.
    Raises ``InvalidOption`` for another size and for no place.
    """

    def __new__(
        cls,
        actor: Callable[[*Ts], BareActor] | Callable[..., object],
        *args: *Ts,
        size: int = 4,
        routing: AnyRouting | None = None,
        restart: Restart = "transient",
        supervision: Strategy | None = None,
        place: Places | None = None,
        mailbox: Mailbox | None = None,
        resume: tuple[type[Exception], ...] | None = None,
        executor: str | None = None,
    ) -> Self:
        """Return what ``spawn`` takes; nothing is spawned yet."""
        check_count("size", size, least=0, most=SIZE_MAX)
        if place is not None and not callable(place) and not place:
            raise InvalidOption(f"place={place!r} of a pool is empty: give it names of nodes, or None for this one")
        router = PoolRouter
        if supervision is not None:
            made = type(PoolRouter.__name__, (PoolRouter,), {"supervision": supervision})
            router = cast("type[PoolRouter]", made)
        overrides = overrides_of(mailbox, resume, executor)
        return super().__new__(cls, router, actor, args, size, routing or RoundRobin(), restart, place, overrides)
