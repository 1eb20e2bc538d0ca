"""Pools: a router that spawns and supervises its routees, and can be resized while it runs."""

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
    """Change the number of routees of a pool; the reply is that number.

    size: 0 or more, else the ask fails with ``Reject``; a pool of size 0 refuses all messages.
    Messages for new routees wait until they have started.  Excess routees, the newest first, get no more messages,
    handle their queued ones, and stop.
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
        """Spawn the routees; a routee that fails to start fails the start of the pool."""
        starting = [
            spawn_awaited(self.__cell__, self._actor, self._args, name, self._restart, 5.0, significant=False)
            for name in self._free_names(self._size)
        ]
        for routee in starting:
            self.add(await routee)

    @handler
    def resize(self, message: Resize) -> int:
        """Spawn missing routees, or drain excess ones."""
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
        """Return the handlers of messages for the router itself."""
        return (*super().controls(), self.resize)

    def _free_names(self, wanted: int) -> list[str]:
        """Return the lowest unused numbers, so that a consistent hash gives a new routee the keys of a former one."""
        taken = self.__cell__.children or {}
        free = (str(number) for number in count(1) if str(number) not in taken)
        return [next(free) for _ in range(wanted)]


class Pool(partial[PoolRouter]):
    """A pool of equal actors, to be spawned: ``await node.spawn(Pool(Worker, "arg", size=4), name="workers")``.

    actor, args: of each routee, as for ``spawn``; keywords by ``functools.partial``.
    size: the number of routees, which are named ``1`` and up; 0 or more, see ``Resize``.
    routing: the strategy; None is ``RoundRobin()``.
    restart: of each routee; a routee that ends for good is not replaced.
    supervision: the strategy for failures of routees; None is at most 3 restarts in 5 s in the whole pool, after which
        the pool fails and is restarted with all routees.
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
        """Return what ``spawn`` takes; nothing is spawned yet."""
        if size < 0:
            raise InvalidOption(f"size={size} must be 0 or more routees")
        router = PoolRouter
        if supervision is not None:
            made = type(PoolRouter.__name__, (PoolRouter,), {"supervision": supervision})
            router = cast("type[PoolRouter]", made)
        return super().__new__(cls, router, actor, args, size, routing or RoundRobin(), restart)
