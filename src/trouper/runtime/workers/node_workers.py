"""``NodeWorkers``: the worker processes of a node, as ``node.workers``: their names, and changes of their number."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING

import msgspec

from ..kernel.errors import CallerError
from ..kernel.options import check_count
from ..node.services.worker_nodes import WORKER_NAME
from .settings import WORKERS_MAX, WorkerLimits

if TYPE_CHECKING:
    from ..node.node_base import NodeBase
    from .manager import WorkerManager


class NodeWorkers:
    """The worker processes of a node, as ``node.workers``; iterating gives their names.

    manager: None for a node that was started without ``workers``.
    begin: makes it for such a node while that runs.
    """

    def __init__(
        self, node: NodeBase, manager: WorkerManager | None, begin: Callable[[], Awaitable[WorkerManager]]
    ) -> None:
        self._node, self._manager, self._begin = node, manager, begin
        self._beginning = asyncio.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the workers, ``NODE.worker-1`` and so on; each is a place for ``spawn`` on every node."""
        return () if self._manager is None else self._manager.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self.names or self.full_name(name) in self.names)

    def full_name(self, name: str) -> str:
        """Return the full name of a worker whose name is relative: ``NODE.worker-1`` for ``worker-1``."""
        return f"{self._node.name}.{name}" if WORKER_NAME.fullmatch(name) else name

    def labels_of(self, name: str) -> dict[str, str]:
        """Return the labels of a worker, by its full or relative name; raises ``CallerError`` for none of this node."""
        self._check_known(name)
        assert self._manager is not None, "a worker is known"
        return dict(self._manager.settings_of(_relative(name)).labels)

    def labelled(self, **labels: str) -> tuple[str, ...]:
        """Return the names of the workers that have all of these labels."""
        manager = self._manager
        if manager is None:
            return ()
        return tuple(
            name for name in manager.names if labels.items() <= manager.settings_of(_relative(name)).labels.items()
        )

    async def add(
        self,
        number: int = 1,
        *,
        env: Mapping[str, str | None] | None = None,
        python: str | PathLike[str] | None = None,
        labels: Mapping[str, str] | None = None,
        limits: WorkerLimits | None = None,
        preload: Sequence[str] | None = None,
    ) -> tuple[str, ...]:
        """Start so many more workers, and return their names once all are connected; when one fails, none stays.

        env, python, labels, limits, preload: as in ``Workers``; None is what the node's ``Workers`` say.  ``env`` and
        ``labels`` are added to those.  A worker that dies is started again with the same.
        A node without a network gets one now, which it keeps.
        Raises ``StartFailed`` with the cause, and ``InvalidOption`` for a wrong value, for more than 128 workers, on a
        worker, on virtual time, and for a node that has started extensions without a network: ``workers=Workers(0)``
        starts none and lets them be added.
        """
        async with self._beginning:
            if self._manager is None:
                self._manager = await self._begin()
        manager = self._manager
        base = manager.settings
        settings = msgspec.structs.replace(
            base,
            count=0,
            env={**base.env, **(env or {})},
            python=base.python if python is None else os.fspath(python),
            labels={**base.labels, **(labels or {})},
            limits=limits or base.limits,
            preload=base.preload if preload is None else tuple(preload),
        )
        return await manager.add(number, settings)

    async def remove(self, *names: str) -> None:
        """Stop workers in order and wait until they have ended; what was placed on them is placed anew elsewhere.

        names: full or relative.  An actor placed by a fixed name waits for a worker of that name; one placed by a
        function or a pool goes where that says.  Raises ``CallerError`` for a name that is no worker of this node.
        """
        for name in names:
            self._check_known(name)
        if self._manager is not None:
            await self._manager.remove([_relative(name) for name in names])

    async def resize(self, number: int) -> tuple[str, ...]:
        """Start or stop workers until there are so many, the newest stop first; returns the names of all.

        Raises what ``add`` raises.
        """
        now = self.names
        check_count("number", number, least=0, most=WORKERS_MAX)
        if number > len(now):
            await self.add(number - len(now))
        elif number < len(now):
            await self.remove(*now[number:])
        return self.names

    def _check_known(self, name: str) -> None:
        if name not in self:
            raise CallerError(
                f"node {self._node.name} has no worker {name!r}; its workers: {', '.join(self.names) or 'none'}"
            )


def _relative(name: str) -> str:
    return name.rpartition(".")[2]
