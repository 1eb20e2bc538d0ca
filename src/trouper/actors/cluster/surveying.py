"""``Surveyor``: asks the members for their load and round trips, and answers those who ask this node."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...runtime.kernel.messages import Message
from .facts import load_of
from .news import VitalsTold, VitalsWanted
from .vitals import Survey, Vitals, nearest

if TYPE_CHECKING:
    from ...runtime.remote.peer import Peer
    from .face import Cluster

UNKNOWN = Vitals()


class Surveyor:
    """See the top of the file; the face of a cluster has one."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._survey = cluster, Survey()
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    def of(self, member: str) -> Vitals:
        """Return what a member has said last, this node what it measures now; nothing while nobody has answered.

        A node that knew of its own load alone would put everything on itself.
        """
        if member == self._cluster.node.name:
            return self.own() if self._survey.told else UNKNOWN
        return self._survey.told.get(member, UNKNOWN)

    def own(self) -> Vitals:
        """Measure this node."""
        cluster = self._cluster
        load = load_of(cluster.metadata.facts.cores) if cluster.config.detect else None
        return Vitals(load, nearest(cluster.round_trips.smoothed_s()))

    def look(self) -> list[str]:
        """Ask those whose answers are old; returns whom."""
        cluster = self._cluster
        others = {member.name for member in cluster.members() if member.status == "alive"} - {cluster.node.name}
        asked = self._survey.ask(others, cluster.node.system.loop.time())
        for name in asked:
            cluster.send(name, VitalsWanted())
        return asked

    async def look_all(self, timeout_s: float) -> Mapping[str, Vitals]:
        """Ask those whose answers are old, and wait for them; returns what is known when that time is over."""
        loop = self._cluster.node.system.loop
        answers = {name: loop.create_future() for name in self.look()}
        for name, answer in answers.items():
            self._waiting.setdefault(name, []).append(answer)
        try:
            if answers:
                await asyncio.wait(answers.values(), timeout=timeout_s)
        finally:
            for name, answer in answers.items():
                if not answer.done():
                    self._waiting[name].remove(answer)
                    self._waiting = {name: left for name, left in self._waiting.items() if left}
        return {self._cluster.node.name: self.own(), **self._survey.told}

    # --- what the replicator hears -----------------------------------------------------------------------------------

    def asked(self, message: Message[object], peer: Peer) -> None:
        """Another member wants to know."""
        assert isinstance(message, VitalsWanted), "it is entered for this"
        self._cluster.send(peer.node, VitalsTold(self.own()))

    def told(self, message: Message[object], peer: Peer) -> None:
        """Another member has answered."""
        assert isinstance(message, VitalsTold), "it is entered for this"
        self._survey.hear(peer.node, message.vitals)
        for answer in self._waiting.pop(peer.node, ()):
            if not answer.done():
                answer.set_result(None)
