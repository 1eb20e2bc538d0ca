"""``NodeServices``: what a node has besides actors, each made when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from ..kernel.address import Address
from ..kernel.errors import NodeClosed
from ..kernel.ref import ActorRef
from ..kernel.system import System
from ..observe.accounting import Accounting, account
from ..observe.dead_letters import DeadLetters
from ..observe.recorder import FlightRecorder
from ..observe.reports import Reports

if TYPE_CHECKING:
    from ..actor.groups import Groups
    from ..actor.registry import Registry
    from ..kernel.journal import Journal
    from ..observe.events import Events
    from ..observe.introspection import Introspection


class NodeServices:
    """The part of ``Node`` that looks after its furniture.  It is not made by itself."""

    def __init__(self, name: str, journal: Journal | None) -> None:
        self.name = name
        self.reports = Reports()
        self._given_journal = journal
        self._system: System | None = None

    @property
    def system(self) -> System:
        """The kernel's side of the node; raises ``NodeClosed`` before the node has started."""
        if self._system is None:
            raise NodeClosed(f"node {self.name} has not started: use `async with Node() as node`")
        return self._system

    @cached_property
    def registry(self) -> Registry:
        """Names and service keys of the actors on this node."""
        from ..actor.registry import Registry  # noqa: PLC0415  only who uses it pays for it

        return Registry()

    @cached_property
    def groups(self) -> Groups:
        """Groups of actors, which they join and leave."""
        from ..actor.groups import Groups  # noqa: PLC0415  only who uses it pays for it

        return Groups(self.system)

    @cached_property
    def events(self) -> Events:
        """What is published on this node, by the runtime and by programs."""
        from ..observe.events import Events  # noqa: PLC0415  only who uses it pays for it

        return Events(self.system, self.reports, self.dead_letters)

    @cached_property
    def introspection(self) -> Introspection:
        """Looking into actors from outside: stats, state, suspend, trace, the tree."""
        from ..observe.introspection import Introspection  # noqa: PLC0415  only who uses it pays for it

        return Introspection(self.system)

    @cached_property
    def recorder(self) -> FlightRecorder:
        """The last notable things that happened on this node."""
        return FlightRecorder(self.system, self.reports)

    @cached_property
    def dead_letters(self) -> DeadLetters:
        """The messages that no handler took: counted, kept, shown, sent again."""
        return DeadLetters(self.system, self.reports)

    @cached_property
    def journal(self) -> Journal:
        """Where the event-sourced actors of this node keep their events."""
        from ..journal.memory import MemoryJournal  # noqa: PLC0415  only who uses it pays for it

        return MemoryJournal() if self._given_journal is None else self._given_journal

    def find(self, place: str | Address) -> ActorRef | None:
        """Return the living actor at a path such as ``user/bank/ada`` or at an address; None when there is none.

        An address, as a value or as text, finds only the very actor that it is of; a path finds whoever is there now.
        Raises ``InvalidName`` for text that begins like an address and is none.
        """
        from ..actor.registry import actor_at  # noqa: PLC0415  only who uses it pays for it

        return actor_at(self.system, place)

    def accounting(self) -> Accounting:
        """What became of every message sent on this node; ``missing`` is 0 unless Trouper has a bug."""
        return account(self.system)
