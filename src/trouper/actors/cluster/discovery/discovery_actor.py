"""``DiscoveryActor``, the actor ``/system/cluster/discovery``: searches for other nodes, and announces this one.

It carries out what the pure ``DiscoveryLoop`` decides: it queries the discoveries of ``join=``, has the manager contact
the endpoints that they return, and reports the outcome of each dial.  While it lives this node is announced as
``ClusterConfig.announce`` says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from math import inf
from typing import TYPE_CHECKING, TypeAlias

from .... import Actor, handler
from ....lowlevel import PeerUp
from ..events import ClusterNotice
from ..messages import AlarmDue, ContactEndpoint, DialEnded, Discovered, JoinRefused, ViewChanged
from . import discovery_loop as pure
from .local import LocalAnnouncement, runtime_folder
from .multicast import MulticastAnnouncement
from .port import Discovery, DiscoveryFailed, DiscoveryInvalid, DiscoveryMissing

if TYPE_CHECKING:
    from ....lowlevel import PeerEvent, SessionRefused
    from ..api import Cluster
    from ..config import ClusterConfig

Announcement: TypeAlias = AbstractAsyncContextManager[object]
ITSELF = "itself"
"""The code of a refusal by this node: the endpoint is one of its own, under another name."""


class DiscoveryActor(Actor):
    """Runs the discovery loop of one node.  discoveries: the sources of endpoints, in their order."""

    def __init__(self, cluster: Cluster, discoveries: Sequence[Discovery]) -> None:
        self.cluster, self.ctx = cluster, cluster.ctx
        self._sources = _named(discoveries)
        self._announcements = AsyncExitStack()
        self._dialled: set[str] = set()

    async def on_start(self) -> None:
        """Announce this node, and begin the first round."""
        ctx = self.ctx
        self._alarm = ctx.clock.alarm(lambda: self.ref.tell(AlarmDue()))
        self._undo = (ctx.peers.subscribe(self._peer_changed), ctx.peers.on_refused(self._dial_refused))
        for announce in announcements(self.cluster.settings, ctx.node_id.name, ctx.endpoint):
            try:
                await self._announcements.enter_async_context(announce())
            except (DiscoveryFailed, DiscoveryInvalid, DiscoveryMissing) as error:
                self._publish(f"this node is not announced: {error}")
        self.machine = pure.DiscoveryLoop(list(self._sources), [ctx.endpoint], ctx.random.random)
        self._step(pure.Tick())

    async def on_stop(self) -> None:
        """End the search and the announcements."""
        self._alarm.set(inf)
        for undo in self._undo:
            undo()
        await self._announcements.aclose()

    # --- events ------------------------------------------------------------------------------------------------------

    @handler
    def alarm_due(self, msg: AlarmDue) -> None:
        """The loop's alarm has gone off."""
        self._step(pure.Tick())

    @handler
    def view_changed(self, msg: ViewChanged) -> None:
        """Members have come or gone."""
        others = [member for member in self.cluster.member_infos() if member.name != self.ctx.node_id.name]
        self._step(pure.MembersChanged(frozenset(member.endpoint for member in others if member.status == "alive")))
        self._report_reached()

    @handler
    def discovered(self, msg: Discovered) -> None:
        """A source has answered."""
        self._step(pure.Found(msg.source, msg.endpoints, msg.problem))

    @handler
    def dial_ended(self, msg: DialEnded) -> None:
        """The node at an endpoint has answered or refused the connection."""
        if msg.endpoint not in self._dialled:
            return
        if not msg.refused:
            peer = self.ctx.peers.at(msg.endpoint)
            if peer is not None:
                self._step(pure.Connected(msg.endpoint, peer.node_id.name))
            self._report_reached()
        elif msg.code == ITSELF:
            self._step(pure.IsOwnEndpoint(msg.endpoint))
        else:
            self._step(pure.Unreached(msg.endpoint, msg.text))

    @handler
    def join_refused(self, msg: JoinRefused) -> None:
        """A node that was dialled is connected, and does not take this node into its cluster."""
        for endpoint in sorted(self._dialled):
            peer = self.ctx.peers.at(endpoint)
            if peer is not None and peer.node_id.name == msg.node:
                self._step(pure.Unreached(endpoint, msg.text))

    def _peer_changed(self, event: PeerEvent) -> None:
        if isinstance(event, PeerUp):
            for endpoint in self._dialled:
                peer = self.ctx.peers.at(endpoint)
                if peer is not None and peer.node_id == event.node_id:
                    self.ref.tell(DialEnded(endpoint))

    def _dial_refused(self, event: SessionRefused) -> None:
        if event.endpoint in self._dialled:
            self.ref.tell(DialEnded(event.endpoint, refused=True, code=event.code, text=event.text))

    def _report_reached(self) -> None:
        """End the dials of endpoints at which a member answers, under whichever name the member was dialled."""
        for endpoint in sorted(self._dialled):
            peer = self.ctx.peers.at(endpoint)
            member = None if peer is None else self.cluster.member(peer.node_id.name)
            if member is not None and member.status == "alive" and endpoint in self._dialled:
                self._step(pure.Reached(endpoint))

    # --- effects -----------------------------------------------------------------------------------------------------

    def _step(self, event: pure.Event) -> None:
        for effect in self.machine.step(event, self.ctx.clock.now()):
            match effect:
                case pure.QuerySource(source):
                    self.pipe_to_self(self._query(source), lambda discovered: discovered)
                case pure.Dial(endpoint):
                    self.cluster.manager.tell(ContactEndpoint(endpoint))
                    if self.ctx.peers.at(endpoint) is not None:
                        self.ref.tell(DialEnded(endpoint))
                case pure.Notify(_, text):
                    self._publish(text)
                case pure.CancelDial():
                    pass  # the connector gives a dial up by itself
        self._dialled = set(self.machine.dialled)
        self._alarm.set(self.machine.wake_at)

    def _publish(self, text: str) -> None:
        self.ctx.events.publish(ClusterNotice("discovery", text))

    async def _query(self, source: str) -> Discovered:
        try:
            return Discovered(source, tuple(await self._sources[source].find()))
        except DiscoveryFailed as failed:
            return Discovered(source, failed.endpoints, str(failed))
        except DiscoveryMissing as missing:
            return Discovered(source, (), str(missing))
        except Exception as error:  # noqa: BLE001  what answers a discovery may answer anything
            return Discovered(source, (), f"{type(error).__qualname__}: {error}")


def _named(discoveries: Sequence[Discovery]) -> dict[str, Discovery]:
    """Return the discoveries by their descriptions; equal descriptions are numbered."""
    named: dict[str, Discovery] = {}
    for discovery in discoveries:
        name = described = discovery.describe()
        number = 1
        while name in named:
            number += 1
            name = f"{described} ({number})"
        named[name] = discovery
    return named


def announcements(config: ClusterConfig, node: str, endpoint: str) -> list[Callable[[], Announcement]]:
    """Return what announces a node, as its configuration says; nothing for an endpoint inside this process."""
    made: list[Callable[[], Announcement]] = []
    if not endpoint.startswith(("ipc://", "tcp://")):
        return made
    if "local" in config.announce:
        made.append(lambda: LocalAnnouncement(runtime_folder(config.name), node, [endpoint]))
    if "mdns" in config.announce:
        made.append(lambda: MulticastAnnouncement(config.name, node, endpoint))
    return made
