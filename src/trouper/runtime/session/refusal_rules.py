"""Why a node does not link with another, and how it tells it so (PURE)."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from . import frames
from .effects import Refuse
from .frames import Greeting, Refusal
from .handshake import LocalNode
from .settings import SessionSettings
from .transport import Source

Admit = Callable[[Greeting, Source], str | None]
"""Decides who may link: returns None for yes, or why not, in one sentence that the refused node is told."""


class RefusalRules:
    """Which greetings are refused, and the REFUSE frames, at most one for each endpoint in ``greet_first_s``."""

    def __init__(self, local: LocalNode, settings: SessionSettings, admit: Admit | None) -> None:
        self._local, self._settings, self._admit = local, settings, admit
        self._refused_at: dict[str, float] = {}

    def objection(self, greeting: Greeting, source: Source, *, closing: bool) -> tuple[str, str] | None:
        """Why not to link with this node, as code and text; None when there is no reason.

        closing: whether this node takes nobody any more.
        """
        local = self._local
        if greeting.node == local.node:
            if greeting.generation == local.generation:
                return "itself", f"{local.node} has dialled itself"
            return "name_taken", f"this node is called {local.node} too; give one of the two another name"
        if greeting.protocol_min > frames.PROTOCOL_MAX or greeting.protocol_max < frames.PROTOCOL_MIN:
            theirs = f"{greeting.node} speaks the protocol versions {greeting.protocol_min} to {greeting.protocol_max}"
            return (
                "protocol",
                f"{theirs}, {local.node} {frames.PROTOCOL_MIN} to {frames.PROTOCOL_MAX}: upgrade the older one",
            )
        if closing:
            return "closing", f"{local.node} is shutting down"
        reason = self._admit(greeting, source) if self._admit is not None else None
        return None if reason is None else ("not_admitted", reason)

    def refuse(self, greeting: Greeting, code: str, text: str, now: float) -> list[Refuse]:
        """Tell the node that it is not wanted, unless it was just told."""
        if now < self._refused_at.get(greeting.endpoint, -inf) + self._settings.greet_first_s:
            return []
        if len(self._refused_at) >= self._settings.peers_max:
            self._refused_at.clear()
        self._refused_at[greeting.endpoint] = now
        body = frames.encode_body(Refusal(self._local.node, code, text))
        return [Refuse(greeting.endpoint, frames.build(frames.REFUSE, greeting.token, 0, 0, 0, (body,)))]
