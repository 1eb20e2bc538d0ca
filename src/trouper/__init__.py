"""Trouper: an actor runtime on asyncio.  Programs import its names from here.

The names of the cluster are in ``trouper.cluster``; the guides are in ``docs/``.
"""

from .node import Node as Node
from .runtime.actor.actor import Actor as Actor
from .runtime.actor.eventsourced.actor import EventSourcedActor as EventSourcedActor
from .runtime.actor.eventsourced.actor import applies as applies
from .runtime.actor.eventsourced.actor import upcasts as upcasts
from .runtime.actor.eventsourced.codec import EventUnreadable as EventUnreadable
from .runtime.actor.eventsourced.codec import InvalidEvent as InvalidEvent
from .runtime.actor.eventsourced.snapshot_codec import SnapshotUnreadable as SnapshotUnreadable
from .runtime.actor.eventsourced.state_machine import EventSourcedStateMachine as EventSourcedStateMachine
from .runtime.actor.eventsourced.state_machine import StateEntered as StateEntered
from .runtime.actor.fsm.decorators import on as on
from .runtime.actor.fsm.decorators import on_enter as on_enter
from .runtime.actor.fsm.decorators import on_event_timeout as on_event_timeout
from .runtime.actor.fsm.decorators import on_exit as on_exit
from .runtime.actor.fsm.decorators import on_state_timeout as on_state_timeout
from .runtime.actor.fsm.machine_actor import StateMachine as StateMachine
from .runtime.actor.fsm.table import END as END
from .runtime.actor.groups import GroupJoined as GroupJoined
from .runtime.actor.groups import GroupLeft as GroupLeft
from .runtime.actor.groups import GroupMembers as GroupMembers
from .runtime.actor.groups import Groups as Groups
from .runtime.actor.groups import GroupScope as GroupScope
from .runtime.actor.handlers import handler as handler
from .runtime.actor.queues import CoalescingQueue as CoalescingQueue
from .runtime.actor.queues import PriorityQueue as PriorityQueue
from .runtime.actor.registry import Listing as Listing
from .runtime.actor.registry import Registry as Registry
from .runtime.actor.registry import ServiceKey as ServiceKey
from .runtime.actor.routers.group_router import GroupRouter as GroupRouter
from .runtime.actor.routers.group_router import InGroup as InGroup
from .runtime.actor.routers.pool import Pool as Pool
from .runtime.actor.routers.pool import Resize as Resize
from .runtime.actor.routers.router import Routees as Routees
from .runtime.actor.routers.router import Unroutable as Unroutable
from .runtime.actor.routers.strategies import Broadcast as Broadcast
from .runtime.actor.routers.strategies import ConsistentHash as ConsistentHash
from .runtime.actor.routers.strategies import LeastMailbox as LeastMailbox
from .runtime.actor.routers.strategies import RandomChoice as RandomChoice
from .runtime.actor.routers.strategies import RoundRobin as RoundRobin
from .runtime.actor.routers.strategies import Routing as Routing
from .runtime.actor.routers.strategies import ScatterGatherFirst as ScatterGatherFirst
from .runtime.actor.supervisor import Child as Child
from .runtime.actor.supervisor import ChildCounts as ChildCounts
from .runtime.actor.supervisor import ChildInfo as ChildInfo
from .runtime.actor.supervisor import ChildRefused as ChildRefused
from .runtime.actor.supervisor import CountChildren as CountChildren
from .runtime.actor.supervisor import DeleteChild as DeleteChild
from .runtime.actor.supervisor import RestartChild as RestartChild
from .runtime.actor.supervisor import StartChild as StartChild
from .runtime.actor.supervisor import Supervisor as Supervisor
from .runtime.actor.supervisor import SupervisorHandle as SupervisorHandle
from .runtime.actor.supervisor import TerminateChild as TerminateChild
from .runtime.actor.supervisor import WhichChildren as WhichChildren
from .runtime.journal.file import FileJournal as FileJournal
from .runtime.journal.memory import MemoryJournal as MemoryJournal
from .runtime.kernel.address import Address as Address
from .runtime.kernel.blocking import BlockingRef as BlockingRef
from .runtime.kernel.errors import ActorError as ActorError
from .runtime.kernel.errors import ActorFailed as ActorFailed
from .runtime.kernel.errors import ActorStopped as ActorStopped
from .runtime.kernel.errors import AskTimeout as AskTimeout
from .runtime.kernel.errors import CallerError as CallerError
from .runtime.kernel.errors import DeadlockError as DeadlockError
from .runtime.kernel.errors import InternalError as InternalError
from .runtime.kernel.errors import InvalidHandler as InvalidHandler
from .runtime.kernel.errors import InvalidMessage as InvalidMessage
from .runtime.kernel.errors import InvalidName as InvalidName
from .runtime.kernel.errors import InvalidOption as InvalidOption
from .runtime.kernel.errors import LinkedActorFailed as LinkedActorFailed
from .runtime.kernel.errors import MailboxFull as MailboxFull
from .runtime.kernel.errors import NameTaken as NameTaken
from .runtime.kernel.errors import NodeClosed as NodeClosed
from .runtime.kernel.errors import NodeDowned as NodeDowned
from .runtime.kernel.errors import NodeFailed as NodeFailed
from .runtime.kernel.errors import NodeUnreachable as NodeUnreachable
from .runtime.kernel.errors import NotAdmitted as NotAdmitted
from .runtime.kernel.errors import NotPermitted as NotPermitted
from .runtime.kernel.errors import PeerOverLimit as PeerOverLimit
from .runtime.kernel.errors import Reject as Reject
from .runtime.kernel.errors import RestartsExceeded as RestartsExceeded
from .runtime.kernel.errors import StartFailed as StartFailed
from .runtime.kernel.errors import StashFull as StashFull
from .runtime.kernel.errors import TagTaken as TagTaken
from .runtime.kernel.errors import TrouperError as TrouperError
from .runtime.kernel.errors import Unavailable as Unavailable
from .runtime.kernel.errors import Unhandled as Unhandled
from .runtime.kernel.errors import WireError as WireError
from .runtime.kernel.errors import WrongReply as WrongReply
from .runtime.kernel.errors import WrongThread as WrongThread
from .runtime.kernel.journal import InvalidStream as InvalidStream
from .runtime.kernel.journal import Journal as Journal
from .runtime.kernel.journal import JournalClosed as JournalClosed
from .runtime.kernel.journal import JournalCorrupt as JournalCorrupt
from .runtime.kernel.journal import JournalError as JournalError
from .runtime.kernel.journal import JournalFailed as JournalFailed
from .runtime.kernel.journal import JournalLocked as JournalLocked
from .runtime.kernel.journal import Record as Record
from .runtime.kernel.journal import RecordsGone as RecordsGone
from .runtime.kernel.journal import RecordTooLarge as RecordTooLarge
from .runtime.kernel.journal import Snapshot as Snapshot
from .runtime.kernel.journal import StaleWriter as StaleWriter
from .runtime.kernel.journal import WrongSequence as WrongSequence
from .runtime.kernel.mailbox import Mailbox as Mailbox
from .runtime.kernel.message import Message as Message
from .runtime.kernel.redaction import Secret as Secret
from .runtime.kernel.ref import ActorRef as ActorRef
from .runtime.kernel.ref import DeadLetter as DeadLetter
from .runtime.kernel.ref import Down as Down
from .runtime.kernel.supervision import Backoff as Backoff
from .runtime.kernel.supervision import OneForAll as OneForAll
from .runtime.kernel.supervision import OneForOne as OneForOne
from .runtime.kernel.supervision import RestForOne as RestForOne
from .runtime.net.code_shipping import CodeShipping as CodeShipping
from .runtime.net.security_log import PeerRefused as PeerRefused
from .runtime.node.executors import ExecutorInfo as ExecutorInfo
from .runtime.node.executors import Threads as Threads
from .runtime.node.run import run as run
from .runtime.node.services.served_journal import ServedJournal as ServedJournal
from .runtime.node.shutdown import Shutdown as Shutdown
from .runtime.observe.accounting import Accounting as Accounting
from .runtime.observe.dead_letters import DeadLetters as DeadLetters
from .runtime.observe.events import ActorCrashed as ActorCrashed
from .runtime.observe.events import ActorEnded as ActorEnded
from .runtime.observe.events import ActorRestarted as ActorRestarted
from .runtime.observe.events import ActorStarted as ActorStarted
from .runtime.observe.events import Events as Events
from .runtime.observe.events import EventStream as EventStream
from .runtime.observe.introspection import ActorState as ActorState
from .runtime.observe.introspection import ActorStats as ActorStats
from .runtime.observe.introspection import ActorTree as ActorTree
from .runtime.observe.introspection import Introspection as Introspection
from .runtime.observe.introspection import MailboxPeek as MailboxPeek
from .runtime.observe.recorder import FlightRecorder as FlightRecorder
from .runtime.observe.tracing import Trace as Trace
from .runtime.observe.tracing import Traced as Traced
from .runtime.observe.watchdog import LoopBlocked as LoopBlocked
from .runtime.session.budget import PeerLimits as PeerLimits
from .runtime.session.bulk_chunks import BulkSettings as BulkSettings
from .runtime.workers.settings import WorkerLimits as WorkerLimits
from .runtime.workers.settings import Workers as Workers

__all__ = [
    "END",
    "Accounting",
    "Actor",
    "ActorCrashed",
    "ActorEnded",
    "ActorError",
    "ActorFailed",
    "ActorRef",
    "ActorRestarted",
    "ActorStarted",
    "ActorState",
    "ActorStats",
    "ActorStopped",
    "ActorTree",
    "Address",
    "AskTimeout",
    "Backoff",
    "BlockingRef",
    "Broadcast",
    "BulkSettings",
    "CallerError",
    "Child",
    "ChildCounts",
    "ChildInfo",
    "ChildRefused",
    "CoalescingQueue",
    "CodeShipping",
    "ConsistentHash",
    "CountChildren",
    "DeadLetter",
    "DeadLetters",
    "DeadlockError",
    "DeleteChild",
    "Down",
    "EventSourcedActor",
    "EventSourcedStateMachine",
    "EventStream",
    "EventUnreadable",
    "Events",
    "ExecutorInfo",
    "FileJournal",
    "FlightRecorder",
    "GroupJoined",
    "GroupLeft",
    "GroupMembers",
    "GroupRouter",
    "GroupScope",
    "Groups",
    "InGroup",
    "InternalError",
    "Introspection",
    "InvalidEvent",
    "InvalidHandler",
    "InvalidMessage",
    "InvalidName",
    "InvalidOption",
    "InvalidStream",
    "Journal",
    "JournalClosed",
    "JournalCorrupt",
    "JournalError",
    "JournalFailed",
    "JournalLocked",
    "LeastMailbox",
    "LinkedActorFailed",
    "Listing",
    "LoopBlocked",
    "Mailbox",
    "MailboxFull",
    "MailboxPeek",
    "MemoryJournal",
    "Message",
    "NameTaken",
    "Node",
    "NodeClosed",
    "NodeDowned",
    "NodeFailed",
    "NodeUnreachable",
    "NotAdmitted",
    "NotPermitted",
    "OneForAll",
    "OneForOne",
    "PeerLimits",
    "PeerOverLimit",
    "PeerRefused",
    "Pool",
    "PriorityQueue",
    "RandomChoice",
    "Record",
    "RecordTooLarge",
    "RecordsGone",
    "Registry",
    "Reject",
    "Resize",
    "RestForOne",
    "RestartChild",
    "RestartsExceeded",
    "RoundRobin",
    "Routees",
    "Routing",
    "ScatterGatherFirst",
    "Secret",
    "ServedJournal",
    "ServiceKey",
    "Shutdown",
    "Snapshot",
    "SnapshotUnreadable",
    "StaleWriter",
    "StartChild",
    "StartFailed",
    "StashFull",
    "StateEntered",
    "StateMachine",
    "Supervisor",
    "SupervisorHandle",
    "TagTaken",
    "TerminateChild",
    "Threads",
    "Trace",
    "Traced",
    "TrouperError",
    "Unavailable",
    "Unhandled",
    "Unroutable",
    "WhichChildren",
    "WireError",
    "WorkerLimits",
    "Workers",
    "WrongReply",
    "WrongSequence",
    "WrongThread",
    "applies",
    "handler",
    "on",
    "on_enter",
    "on_event_timeout",
    "on_exit",
    "on_state_timeout",
    "run",
    "upcasts",
]  # fmt: skip
