"""The scout: the actor ``/system/cluster/discovery``, which looks for other nodes where ``join`` says how to find them.

It carries out what the pure ``DiscoveryLoop`` decides: asks the discoveries, and has the manager meet whoever they name.
While it lives this node is announced where others look for it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from math import inf
from typing import TYPE_CHECKING, TypeAlias

from ....runtime.actor.actor import Actor
from ....runtime.actor.handlers import handler
from ....runtime.kernel.alarm import Alarm
from ..events import ClusterNotice
from ..messages import AlarmDue, ContactEndpoint, Discovered, ViewChanged
from . import discovery_loop as pure
from .local import LocalAnnouncement, runtime_folder
from .multicast import MulticastAnnouncement
from .port import Discovery, DiscoveryFailed, DiscoveryInvalid, DiscoveryMissing

if TYPE_CHECKING:
    from ..api import Cluster
    from ..config import ClusterConfig

Announcement: TypeAlias = AbstractAsyncContextManager[object]


class DiscoveryActor(Actor):
    """See the top of the file."""

    def __init__(self, cluster: Cluster, discoveries: Sequence[Discovery]) -> None:
        self.cluster = cluster
        self._sources = {discovery.describe(): discovery for discovery in discoveries}
        self._announcements = AsyncExitStack()

    async def on_start(self) -> None:
        """Announce this node, and begin to look."""
        node = self.node
        self._loop = node.system.loop
        self._alarm = Alarm(self._loop, lambda: self.ref.tell(AlarmDue()))
        for announce in announcements(self.cluster.config, node.name, node.network.endpoint):
            try:
                await self._announcements.enter_async_context(announce())
            except (DiscoveryFailed, DiscoveryInvalid, DiscoveryMissing) as error:
                self._say(f"this node is not announced: {error}")
        chance = random.Random(node.system.random()).random
        self.machine = pure.DiscoveryLoop(list(self._sources), [node.network.endpoint], chance)
        self._step(pure.Tick())

    async def on_stop(self) -> None:
        """Look no more, and be found no more."""
        self._alarm.set(inf)
        await self._announcements.aclose()

    @handler
    def due(self, msg: AlarmDue) -> None:
        """The machine asked to be woken."""
        self._step(pure.Tick())

    @handler
    def view_changed(self, msg: ViewChanged) -> None:
        """Members came or went."""
        others = [member for member in self.cluster.members() if member.name != self.node.name]
        self._step(pure.MembersChanged(frozenset(member.endpoint for member in others if member.status == "alive")))

    @handler
    def discovered(self, msg: Discovered) -> None:
        """A source has answered."""
        self._step(pure.Found(msg.source, msg.endpoints, msg.problem))

    def _step(self, event: pure.Event) -> None:
        for effect in self.machine.step(event, self._loop.time()):
            match effect:
                case pure.QuerySource(source):
                    self.pipe_to_self(self._ask(source), lambda discovered: discovered)
                case pure.Dial(endpoint):
                    self.cluster.manager.tell(ContactEndpoint(endpoint))
                case pure.Notify(_, text):
                    self._say(text)
                case pure.CancelDial():
                    pass  # the packet that was to begin the link is given up by itself
        self._alarm.set(self.machine.wake_at)

    def _say(self, text: str) -> None:
        self.node.events.publish(ClusterNotice("seeking", text))

    async def _ask(self, source: str) -> Discovered:
        try:
            return Discovered(source, tuple(await self._sources[source].find()))
        except DiscoveryFailed as failed:
            return Discovered(source, failed.endpoints, str(failed))
        except DiscoveryMissing as missing:
            return Discovered(source, (), str(missing))


def announcements(config: ClusterConfig, node: str, endpoint: str) -> list[Callable[[], Announcement]]:
    """Return what announces a node where others look for it; nothing for endpoints that no other process can reach."""
    ways: list[Callable[[], Announcement]] = []
    if not endpoint.startswith(("ipc://", "tcp://")):
        return ways
    if "local" in config.announce:
        ways.append(lambda: LocalAnnouncement(runtime_folder(config.name), node, [endpoint]))
    if "mdns" in config.announce:
        ways.append(lambda: MulticastAnnouncement(config.name, node, endpoint))
    return ways
