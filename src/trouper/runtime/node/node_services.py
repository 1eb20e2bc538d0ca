"""``NodeServices``: the services of a node besides its actors, each created when it is first used."""

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
    from ..observe.instruments import Instruments
    from ..observe.introspection import Introspection
    from .services.tables import NodeTables


class NodeServices:
    """Base of ``Node``: its name, its system, and the services that it creates on demand.

    journal: where event-sourced actors keep their events; None creates a ``MemoryJournal`` when it is first used.
    """

    def __init__(self, name: str, journal: Journal | None) -> None:
        self.name = name
        self.reports = Reports()
        self._given_journal = journal
        self._system: System | None = None

    @property
    def system(self) -> System:
        """The kernel of the node.

        Raises ``NodeClosed`` before the node has started, ``WrongThread`` in a thread other than that of its loop.
        """
        if self._system is None:
            raise NodeClosed(
                f"node {self.name} has not started: use `async with Node() as node`, or `await node.start()`"
            )
        self._system.check_thread("the node")
        return self._system

    @cached_property
    def registry(self) -> Registry:
        """Names and service keys of the actors on this node."""
        from ..actor.registry import Registry  # noqa: PLC0415  loaded on first use

        return Registry(self.system)

    @cached_property
    def groups(self) -> Groups:
        """Groups that actors join and leave."""
        from ..actor.groups import Groups  # noqa: PLC0415  loaded on first use

        return Groups(self.system)

    @cached_property
    def tables(self) -> NodeTables:
        """The tables that this node replicates; internal, extensions use ``NodeContext.table``."""
        from .services.tables import NodeTables  # noqa: PLC0415  loaded on first use

        return NodeTables(self)

    @cached_property
    def events(self) -> Events:
        """The event stream of this node: what the runtime and programs publish, and who subscribes."""
        from ..observe.events import Events  # noqa: PLC0415  loaded on first use

        return Events(self.system, self.reports, self.dead_letters)

    @cached_property
    def introspection(self) -> Introspection:
        """Inspects actors from outside: statistics, state, suspend and resume, trace, the tree of actors."""
        from ..observe.introspection import Introspection  # noqa: PLC0415  loaded on first use

        return Introspection(self.system)

    @cached_property
    def instruments(self) -> Instruments:
        """Observers of every message of this node."""
        from ..observe.instruments import Instruments  # noqa: PLC0415  loaded on first use

        return Instruments(self.system, self.reports)

    @cached_property
    def recorder(self) -> FlightRecorder:
        """A bounded record of the latest crashes, dead letters and other notable events of this node."""
        return FlightRecorder(self.system, self.reports)

    @cached_property
    def dead_letters(self) -> DeadLetters:
        """The messages that no handler took: counted by reason, the latest kept, to be shown or sent again."""
        return DeadLetters(self.system, self.reports)

    @cached_property
    def journal(self) -> Journal:
        """Where the event-sourced actors here keep their events: the journal given, else a ``MemoryJournal``."""
        if self._given_journal is not None:
            return self._given_journal
        from ..journal.memory import MemoryJournal  # noqa: PLC0415  loaded on first use

        return MemoryJournal()

    @property
    def has_given_journal(self) -> bool:
        """Whether a journal was given to this node, which may be a ``MemoryJournal``."""
        return self._given_journal is not None

    def find(self, place: str | Address) -> ActorRef | None:
        """Return the running actor at a path such as ``user/bank/ada`` or at an address; None when there is none.

        place: a path finds the actor that has it now; an address, as a value or as text, finds that one actor only,
            and not a later one at the same path.
        Raises ``InvalidName`` for text that begins like an address and is not one.
        """
        from ..actor.registry import actor_at  # noqa: PLC0415  loaded on first use

        return actor_at(self.system, place)

    def accounting(self) -> Accounting:
        """Return how many messages were sent on this node and what became of them.

        ``missing`` is 0, or Trouper has a bug.
        """
        return account(self.system)
