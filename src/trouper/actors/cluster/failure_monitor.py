"""``FailureMonitor``: detects failures of members and sessions, and calls the handlers of all kinds of failures.

A member fails when the membership holds it to be unreachable or down.  A session fails when it is lost, or when it is
broken and silent for so long that the phi accrual detector gives it up; the other node may be well.  Failures of
devices are reported by their nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from ... import CallerError, InvalidOption
from .detectors.failures import Failure, Kind, MemberFailed, SessionFailed, kind_of
from .detectors.phi import PhiAccrual, PhiSettings
from .events import ClusterFailure, MemberDown, MemberEvent, MemberLeft, MemberReachable, MemberUnreachable

if TYPE_CHECKING:
    from ...lowlevel import NodeContext, PeerDown, PeerInfo

Handle = Callable[[Failure], object]
HANDLERS_MAX = 1_000
"""The most handlers of one kind on one node; more are taken for a leak."""


class FailureMonitor:
    """The failure monitor of one node.

    ctx: what the cluster can do on its node.
    interval_s: how often a packet of a member is expected before its intervals are known, in seconds.
    is_member: tells whether a node of this name is a member; nothing is remembered of nodes that are not.
    """

    def __init__(self, ctx: NodeContext, interval_s: float, is_member: Callable[[str], bool]) -> None:
        self.ctx, self._settings = ctx, PhiSettings(first_interval_s=interval_s)
        self._is_member = is_member
        self._handlers: dict[Kind, list[Handle]] = {"node": [], "session": [], "device": []}
        self._sessions: dict[str, PhiAccrual] = {}
        self._silent: set[str] = set()
        self._received_at: dict[str, float] = {}
        self._reported: dict[str, int] = {}  # the membership of each member whose failure was reported

    def on_failure(self, kind: Kind, handle: Handle) -> Callable[[], None]:
        """Call a function with each failure of a kind; return a function that removes it again.

        It is called in the node's event loop and should be quick; an exception that it raises is reported.
        Raises ``InvalidOption`` for a kind that there is not, and ``CallerError`` for more than ``HANDLERS_MAX``
        handlers of one kind.
        """
        if kind not in tuple(self._handlers):
            raise InvalidOption(
                f"handler of failures of the kind {kind!r:.80}: it must be one of {', '.join(self._handlers)}"
            )
        handlers = self._handlers[kind]
        if len(handlers) >= HANDLERS_MAX:
            raise CallerError(
                f"node {self.ctx.node_id.name} has {HANDLERS_MAX:,} handlers of {kind} failures, which are the most: "
                "remove those that are not needed"
            )
        handlers.append(handle)

        def undo() -> None:
            if handle in handlers:
                handlers.remove(handle)

        return undo

    def failed(self, failure: Failure) -> None:
        """Publish a failure, and call its handlers."""
        self.ctx.events.publish(ClusterFailure(failure))
        for handle in list(self._handlers[kind_of(failure)]):
            try:
                handle(failure)
            except Exception as error:  # noqa: BLE001  one handler's fault must not keep the others from being called
                self.ctx.report(f"a handler of {kind_of(failure)} failures failed", error)

    # --- members -----------------------------------------------------------------------------------------------------

    def member(self, event: MemberEvent) -> None:
        """Take in an event of the membership: report a member that has failed, once for each membership."""
        member = event.member
        if member.name == self.ctx.node_id.name:
            return
        if isinstance(event, MemberReachable):
            self._reported.pop(member.name, None)
        elif (
            isinstance(event, MemberUnreachable | MemberDown)
            and self._reported.get(member.name) != member.membership_id
        ):
            self._reported[member.name] = member.membership_id
            reason = event.reason if isinstance(event, MemberDown) else "it did not refute the suspicion in time"
            self.failed(MemberFailed(member.name, member.generation, 1.0, reason))
        if isinstance(event, MemberDown | MemberLeft):
            self._sessions.pop(member.name, None)
            self._received_at.pop(member.name, None)
            self._silent.discard(member.name)
            self._reported.pop(member.name, None)

    # --- sessions ----------------------------------------------------------------------------------------------------

    def heard(self, node: str, now: float) -> None:
        """Note that something was received from a node; nothing is noted of a node that is no member."""
        session = self._sessions.get(node)
        if session is None:
            if not self._is_member(node):
                return
            session = self._sessions[node] = PhiAccrual(self._settings)
        session.heartbeat(now)
        self._received_at[node] = now
        self._silent.discard(node)

    @property
    def watched(self) -> frozenset[str]:
        """The nodes whose sessions are watched; all of them are members."""
        return frozenset(self._sessions)

    @property
    def silent(self) -> frozenset[str]:
        """The nodes whose sessions have failed, and from which nothing was received since."""
        return frozenset(self._silent)

    def silence_s(self, node: str, now: float) -> float:
        """Return the seconds since something was received from a node; inf when nothing ever was."""
        return now - self._received_at.get(node, -inf)

    def suspicion(self, node: str, now: float) -> float:
        """Return phi of the silence of a node, as ``PhiAccrual`` has it; 0.0 when nothing was received yet."""
        session = self._sessions.get(node)
        return 0.0 if session is None else session.suspicion(now)

    def lost(self, peer: PeerDown, now: float) -> None:
        """Report a session that is lost, for another reason than that it was not used."""
        self._report_silent(peer.node_id.name, now, peer.reason)

    def look(self, peer: PeerInfo, now: float) -> None:
        """Report a session that is broken, once its silence is far longer than any interval so far."""
        session = self._sessions.get(peer.node_id.name)
        if session is not None and not peer.in_reach and not session.is_available(now):
            self._report_silent(peer.node_id.name, now, "nothing was received for far longer than usual")

    def _report_silent(self, node: str, now: float, reason: str) -> None:
        if node in self._sessions and node not in self._silent:
            self._silent.add(node)
            self.failed(SessionFailed(self.ctx.node_id.name, node, self.suspicion(node, now), reason))
