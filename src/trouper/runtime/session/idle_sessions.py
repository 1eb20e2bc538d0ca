"""Links that are there only while they are used: which to end, and what the layer above owes (PURE).

A node that needs a peer dials it with ``SessionManager.connect(endpoint, once=True)``, and ends the link again by
``close_unused`` or ``close_idle``.  A link ends like this when both sides have set ``Session.held`` to False, neither has
dialled the other for good, and everything is acknowledged.  So the layer above sets ``held``, which begins as True:

* to False only while it has no use for the session: no ask is open in either direction, no actor here watches, links
  with or supervises one of the peer's, nor the other way round, and nothing waits to be sent;
* to True before it begins any of this, and before it hands the link a body that is to be answered.

From the question to its answer the link's state is ``closing``: it takes nothing, and what there is to say waits.  Then
comes ``CapacityAvailable``, and the session goes on, or ``PeerDown`` with the reason ``idle``, on both sides, and no body is lost.
After that refs to the peer stay good: it is the same incarnation, nobody is told ``node_lost``.  Whoever has something
to say dials once more, and what has waited goes to the session that comes up if the incarnation is the same, with the
definitions of the codec made anew; if it is another one, the peer is lost only then.
"""

from __future__ import annotations

from collections.abc import Iterable

from .session import Session
from .settings import SessionSettings


def closable(sessions: Iterable[Session], settings: SessionSettings, now: float) -> list[Session]:
    """The links that may go: those unused for ``idle_after_s``, and as many as there are above ``sessions_max``.

    The least recently used come first.  A link that is held, or has something unacknowledged, is never among them, so
    that there may be more than ``sessions_max`` links.
    """
    up = [session for session in sessions if session.state == "up"]
    surplus = 0 if settings.sessions_max is None else max(0, len(up) - settings.sessions_max)
    since = None if settings.idle_after_s is None else now - settings.idle_after_s
    if not surplus and since is None:
        return []
    free = sorted((session for session in up if session.can_close), key=lambda session: session.used_at)
    return [
        session for at, session in enumerate(free) if at < surplus or (since is not None and session.used_at <= since)
    ]
