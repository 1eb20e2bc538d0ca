"""``FailureMonitor``: who is told when a node, a link or a device has failed, and how much each link is suspected.

A node fails by the verdict of the membership.  A link fails when it is lost, or when it is broken and silent for so
long that phi accrual gives it up; the node at its other end may be well.  A device fails when its node says so.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from .detectors.failures import Failure, Kind, MemberFailed, SessionFailed, kind_of
from .detectors.phi import PhiAccrual, PhiSettings
from .events import ClusterFailure, MemberDown, MemberEvent, MemberLeft, MemberReachable, MemberUnreachable

if TYPE_CHECKING:
    from ...node import Node
    from ...runtime.net.peer import Peer

Handle = Callable[[Failure], object]
HANDLERS_MAX = 1_000
"""Handlers of one node; more than that is a leak."""


class FailureMonitor:
    """See the top of the file.  interval_s: how often a peer is expected to say something, before that is known."""

    def __init__(self, node: Node, interval_s: float) -> None:
        self._node, self._settings = node, PhiSettings(first_interval_s=interval_s)
        self._handlers: dict[Kind, list[Handle]] = {"node": [], "link": [], "device": []}
        self._links: dict[str, PhiAccrual] = {}
        self._silent: set[str] = set()
        self._heard_at: dict[str, float] = {}
        self._dead: dict[str, int] = {}

    def on_failure(self, kind: Kind, handle: Handle) -> Callable[[], None]:
        """Have a function called with each failure of a kind; returns what undoes it.

        It is called in the node's loop and should be quick; what it raises is reported and harms nobody.
        """
        handlers = self._handlers[kind]
        if len(handlers) >= HANDLERS_MAX:
            raise ValueError(
                f"{HANDLERS_MAX} handlers for {kind} failures are the most: undo those that are not needed"
            )
        handlers.append(handle)

        def undo() -> None:
            if handle in handlers:
                handlers.remove(handle)

        return undo

    def failed(self, failure: Failure) -> None:
        """Tell of a failure."""
        self._node.events.publish(ClusterFailure(failure))
        for handle in list(self._handlers[kind_of(failure)]):
            try:
                handle(failure)
            except Exception as error:  # noqa: BLE001  one handler's fault must not keep the others from hearing of it
                self._node.system.reporter.problem(f"a handler of {kind_of(failure)} failures failed", error)

    # --- nodes -------------------------------------------------------------------------------------------------------

    def member(self, event: MemberEvent) -> None:
        """Something befell a member: tell once of each life that has failed."""
        member = event.member
        if member.name == self._node.name:
            return
        if isinstance(event, MemberReachable):
            self._dead.pop(member.name, None)
        elif isinstance(event, MemberUnreachable | MemberDown) and self._dead.get(member.name) != member.life:
            self._dead[member.name] = member.life
            reason = event.reason if isinstance(event, MemberDown) else "it did not refute that it is dead"
            self.failed(MemberFailed(member.name, member.generation, 1.0, reason))
        if isinstance(event, MemberDown | MemberLeft):
            self._links.pop(member.name, None)
            self._heard_at.pop(member.name, None)
            self._silent.discard(member.name)
            self._dead.pop(member.name, None)

    # --- links -------------------------------------------------------------------------------------------------------

    def heard(self, node: str, now: float) -> None:
        """Something came from a node."""
        link = self._links.get(node)
        if link is None:
            link = self._links[node] = PhiAccrual(self._settings)
        link.heartbeat(now)
        self._heard_at[node] = now
        self._silent.discard(node)

    @property
    def silent(self) -> frozenset[str]:
        """The nodes whose links have failed, and from which nothing has come since."""
        return frozenset(self._silent)

    def silence_s(self, node: str, now: float) -> float:
        """How long nothing has come from a node; inf when nothing ever did."""
        return now - self._heard_at.get(node, -inf)

    def suspicion(self, node: str, now: float) -> float:
        """Return phi of the silence of a node, see ``PhiAccrual``; 0.0 for one from which nothing has come yet."""
        link = self._links.get(node)
        return 0.0 if link is None else link.suspicion(now)

    def lost(self, peer: Peer, now: float) -> None:
        """A link is lost, for another reason than that nobody needed it."""
        self._say_silent(peer.node, now, peer.lost or "the link is lost")

    def look(self, peer: Peer, now: float) -> None:
        """A link is broken, and may be mended: it has failed once the silence is beyond all habit."""
        link = self._links.get(peer.node)
        if link is not None and not peer.in_reach and not link.is_available(now):
            self._say_silent(peer.node, now, "nothing has been heard for far longer than ever before")

    def _say_silent(self, node: str, now: float, reason: str) -> None:
        if node in self._links and node not in self._silent:
            self._silent.add(node)
            self.failed(SessionFailed(self._node.name, node, self.suspicion(node, now), reason))
