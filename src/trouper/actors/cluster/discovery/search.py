"""Carrying out what a ``Seeker`` decides: asking discoveries, keeping its time, dialling through whoever can.

It belongs to one loop, and to an owner who dials for it and tells it what became of the dials.  Nothing of it is called
back from inside of one of its methods: outcomes are told by ``happened``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from ....runtime.kernel.errors import TrouperError
from .port import Discovery, DiscoveryFailed
from .seeking import (
    Ask,
    Dial,
    Effect,
    Found,
    HangUp,
    Members,
    Reached,
    Say,
    Seeker,
    SeekingSettings,
    Stop,
    Tick,
    Unreached,
    WasOwn,
)


class Search:
    """Looks for other nodes until ``close``, by some discoveries.

    own: endpoints of this node.  chance: gives random numbers in [0, 1).  settings: None takes the defaults.
    dial, hang_up: begin and end to dial an endpoint; ``dial`` may raise a ``TrouperError``, which is an outcome.
    say: takes a level and a sentence for people.
    """

    def __init__(
        self,
        discoveries: Sequence[Discovery],
        own: Iterable[str],
        *,
        dial: Callable[[str], object],
        hang_up: Callable[[str], object],
        say: Callable[[Literal["info", "warning"], str], object],
        chance: Callable[[], float],
        settings: SeekingSettings | None = None,
    ) -> None:
        self._discoveries = {discovery.describe(): discovery for discovery in discoveries}
        self._seeker = Seeker(tuple(self._discoveries), own, chance, settings)
        self._dial, self._hang_up, self._say = dial, hang_up, say
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin the first round."""
        self._step(Tick())

    def happened(self, event: Reached | Unreached | WasOwn | Members) -> None:
        """Tell what became of a dial, or who the members are by now."""
        self._step(event)

    async def close(self) -> None:
        """Seek no more, and hang up what is being dialled; closing twice is fine."""
        self._step(Stop())
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _step(self, event: Tick | Found | Reached | Unreached | WasOwn | Members | Stop) -> None:
        for effect in self._seeker.step(event, self._loop.time()):
            self._carry_out(effect)
        if self._timer is not None:
            self._timer.cancel()
        wake_at = self._seeker.wake_at
        self._timer = self._loop.call_at(wake_at, self._step, Tick()) if wake_at < float("inf") else None

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Ask(source):
                earlier = self._tasks.get(source)
                if earlier is not None:
                    earlier.cancel()  # it did not answer in the round before
                self._tasks[source] = self._loop.create_task(self._ask(source), name=f"discovery: {source}")
            case Dial(endpoint):
                try:
                    self._dial(endpoint)
                except TrouperError as error:
                    self._loop.call_soon(self._step, Unreached(endpoint, str(error)))
            case HangUp(endpoint):
                self._hang_up(endpoint)
            case Say(level, text):
                self._say(level, text)

    async def _ask(self, source: str) -> None:
        try:
            found = Found(source, tuple(await self._discoveries[source].find()))
        except DiscoveryFailed as failure:
            found = Found(source, failure.endpoints, str(failure))
        except Exception as error:  # noqa: BLE001  a discovery of the user's may fail in any way, and the search goes on
            found = Found(source, (), f"{source}: {type(error).__name__}: {error}")
        self._step(found)
