"""Pools: a router that spawns its own routees, supervises them, and can be resized while it runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Self, TypeVarTuple, cast

from ...kernel.bare_actor import BareActor
from ...kernel.errors import InvalidOption, Reject
from ...kernel.message import Message
from ...kernel.supervision import Restart, Strategy
from ..handlers import handler
from ..spawning import spawn_awaited, spawn_nowait
from .router import AnyRouting, Router
from .strategies import RoundRobin

Ts = TypeVarTuple("Ts")


class Resize(Message[int]):
    """Give a pool another number of routees; the reply is that number.

    New ones are spawned, and their mail waits until they have started.  Those that are too many get no more messages,
    handle what they have, and stop, the newest first.  size: 0 or more; with 0 the pool refuses everything.
    """

    size: int


class PoolRouter(Router):
    """The actor behind a ``Pool``."""

    def __init__(
        self, actor: Callable[..., object], args: tuple[object, ...], size: int, routing: AnyRouting, restart: Restart
    ) -> None:
        super().__init__(routing)
        self._actor, self._args, self._size = actor, args, size
        self._restart: Restart = restart

    async def on_start(self) -> None:
        """Spawn the routees; the first that does not start is the pool's failure to start."""
        starting = [
            spawn_awaited(self.__cell__, self._actor, self._args, name, self._restart, 5.0, significant=False)
            for name in self._free_names(self._size)
        ]
        for routee in starting:
            self.add(await routee)

    @handler
    def resize(self, message: Resize) -> int:
        """Spawn what is missing, or let go what is too many."""
        if message.size < 0:
            raise Reject(f"{self.ref.address} cannot have {message.size} routees: size must be 0 or more")
        now = self.current
        for name in self._free_names(message.size - len(now)):
            self.add(spawn_nowait(self.__cell__, self._actor, self._args, name, self._restart))
        for routee in reversed(now[message.size :]):
            self.remove(routee)
            routee.drain()
        return message.size

    def controls(self) -> tuple[Callable[..., object], ...]:
        """Return the handlers of what is meant for the router itself."""
        return (*super().controls(), self.resize)

    def _free_names(self, wanted: int) -> list[str]:
        """Return the lowest numbers that no child has, so that a consistent hash finds a new routee in an old place."""
        taken = self.__cell__.children or {}
        free = (str(number) for number in count(1) if str(number) not in taken)
        return [next(free) for _ in range(wanted)]


class Pool(partial[PoolRouter]):
    """What to spawn for a pool: ``await node.spawn(Pool(Worker, "arg", size=4), name="workers")``.

    actor, args: what each routee is made of, as for ``spawn``; keywords by ``functools.partial``.
    size: routees, named ``1`` and up; 0 or more, see ``Resize``.
    routing: the strategy.
    restart: of each routee; one that ends for good leaves the rotation and is not replaced.
    supervision: the strategy for the routees' failures; None is 3 restarts in 5 s in the whole pool, then the pool
        itself fails and is restarted with all of them.
    Raises ``InvalidOption`` for a negative size.
    """

    def __new__(
        cls,
        actor: Callable[[*Ts], BareActor] | Callable[..., object],
        *args: *Ts,
        size: int = 4,
        routing: AnyRouting | None = None,
        restart: Restart = "transient",
        supervision: Strategy | None = None,
    ) -> Self:
        """Make the recipe; nothing is spawned yet."""
        if size < 0:
            raise InvalidOption(f"size={size} must be 0 or more routees")
        router = PoolRouter
        if supervision is not None:
            made = type(PoolRouter.__name__, (PoolRouter,), {"supervision": supervision})
            router = cast("type[PoolRouter]", made)
        return super().__new__(cls, router, actor, args, size, routing or RoundRobin(), restart)
