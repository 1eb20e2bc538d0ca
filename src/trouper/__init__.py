"""Trouper: an actor runtime on asyncio.  Everything a program needs is imported from here.

The guide is ``docs/``; the kernel, ``trouper/runtime/kernel/``, is written to be read in an hour.
"""

from .runtime.accounting import Accounting as Accounting
from .runtime.actor import Actor as Actor
from .runtime.blame import LoopHeld as LoopHeld
from .runtime.deadletters import DeadLetters as DeadLetters
from .runtime.eventcodec import EventUnreadable as EventUnreadable
from .runtime.eventcodec import InvalidEvent as InvalidEvent
from .runtime.events import ActorCrashed as ActorCrashed
from .runtime.events import ActorEnded as ActorEnded
from .runtime.events import ActorRestarted as ActorRestarted
from .runtime.events import ActorStarted as ActorStarted
from .runtime.events import Events as Events
from .runtime.events import EventStream as EventStream
from .runtime.eventsourced import EventSourcedActor as EventSourcedActor
from .runtime.eventsourced import applies as applies
from .runtime.fsm.actor import StateMachine as StateMachine
from .runtime.fsm.rows import on as on
from .runtime.fsm.rows import on_enter as on_enter
from .runtime.fsm.rows import on_exit as on_exit
from .runtime.fsm.rows import on_quiet as on_quiet
from .runtime.fsm.rows import on_timeout as on_timeout
from .runtime.fsm.table import END as END
from .runtime.groups import GroupJoined as GroupJoined
from .runtime.groups import GroupLeft as GroupLeft
from .runtime.groups import GroupMembers as GroupMembers
from .runtime.groups import Groups as Groups
from .runtime.groups import Scope as Scope
from .runtime.handlers import handler as handler
from .runtime.introspection import ActorState as ActorState
from .runtime.introspection import ActorStats as ActorStats
from .runtime.introspection import ActorTree as ActorTree
from .runtime.introspection import Introspection as Introspection
from .runtime.introspection import MailboxPeek as MailboxPeek
from .runtime.journal.file import FileJournal as FileJournal
from .runtime.journal.memory import MemoryJournal as MemoryJournal
from .runtime.journal.port import InvalidStream as InvalidStream
from .runtime.journal.port import Journal as Journal
from .runtime.journal.port import JournalClosed as JournalClosed
from .runtime.journal.port import JournalCorrupt as JournalCorrupt
from .runtime.journal.port import JournalError as JournalError
from .runtime.journal.port import JournalFailed as JournalFailed
from .runtime.journal.port import JournalLocked as JournalLocked
from .runtime.journal.port import Record as Record
from .runtime.journal.port import RecordsGone as RecordsGone
from .runtime.journal.port import RecordTooLarge as RecordTooLarge
from .runtime.journal.port import Snapshot as Snapshot
from .runtime.journal.port import WrongSequence as WrongSequence
from .runtime.kernel.address import Address as Address
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
from .runtime.kernel.errors import NodeFailed as NodeFailed
from .runtime.kernel.errors import NodeUnreachable as NodeUnreachable
from .runtime.kernel.errors import Reject as Reject
from .runtime.kernel.errors import RestartsExceeded as RestartsExceeded
from .runtime.kernel.errors import StartFailed as StartFailed
from .runtime.kernel.errors import StashFull as StashFull
from .runtime.kernel.errors import TagTaken as TagTaken
from .runtime.kernel.errors import TrouperError as TrouperError
from .runtime.kernel.errors import Unhandled as Unhandled
from .runtime.kernel.errors import WireError as WireError
from .runtime.kernel.errors import WrongReply as WrongReply
from .runtime.kernel.mailbox import Mailbox as Mailbox
from .runtime.kernel.messages import Message as Message
from .runtime.kernel.ref import ActorRef as ActorRef
from .runtime.kernel.ref import DeadLetter as DeadLetter
from .runtime.kernel.ref import Down as Down
from .runtime.kernel.supervision import Backoff as Backoff
from .runtime.kernel.supervision import OneForAll as OneForAll
from .runtime.kernel.supervision import OneForOne as OneForOne
from .runtime.kernel.supervision import RestForOne as RestForOne
from .runtime.mailboxes import CoalescingQueue as CoalescingQueue
from .runtime.mailboxes import PriorityQueue as PriorityQueue
from .runtime.node import Node as Node
from .runtime.observing import Trace as Trace
from .runtime.observing import Traced as Traced
from .runtime.processes.settings import Processes as Processes
from .runtime.recorder import FlightRecorder as FlightRecorder
from .runtime.registry import Listing as Listing
from .runtime.registry import Registry as Registry
from .runtime.registry import ServiceKey as ServiceKey
from .runtime.remote.shipping import CodeShipping as CodeShipping
from .runtime.routers.group import GroupRouter as GroupRouter
from .runtime.routers.group import InGroup as InGroup
from .runtime.routers.pool import Pool as Pool
from .runtime.routers.pool import Resize as Resize
from .runtime.routers.router import Routees as Routees
from .runtime.routers.router import Unroutable as Unroutable
from .runtime.routers.routing import Broadcast as Broadcast
from .runtime.routers.routing import ConsistentHash as ConsistentHash
from .runtime.routers.routing import LeastMailbox as LeastMailbox
from .runtime.routers.routing import RandomChoice as RandomChoice
from .runtime.routers.routing import RoundRobin as RoundRobin
from .runtime.routers.routing import Routing as Routing
from .runtime.routers.routing import ScatterGatherFirst as ScatterGatherFirst
from .runtime.running import run as run
from .runtime.shutdown import Shutdown as Shutdown
from .runtime.supervisor import Child as Child
from .runtime.supervisor import ChildCounts as ChildCounts
from .runtime.supervisor import ChildInfo as ChildInfo
from .runtime.supervisor import ChildRefused as ChildRefused
from .runtime.supervisor import CountChildren as CountChildren
from .runtime.supervisor import DeleteChild as DeleteChild
from .runtime.supervisor import RestartChild as RestartChild
from .runtime.supervisor import StartChild as StartChild
from .runtime.supervisor import Supervisor as Supervisor
from .runtime.supervisor import SupervisorHandle as SupervisorHandle
from .runtime.supervisor import TerminateChild as TerminateChild
from .runtime.supervisor import WhichChildren as WhichChildren
from .runtime.wire.bulk import BulkSettings as BulkSettings

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
    "EventStream",
    "EventUnreadable",
    "Events",
    "FileJournal",
    "FlightRecorder",
    "GroupJoined",
    "GroupLeft",
    "GroupMembers",
    "GroupRouter",
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
    "LoopHeld",
    "Mailbox",
    "MailboxFull",
    "MailboxPeek",
    "MemoryJournal",
    "Message",
    "NameTaken",
    "Node",
    "NodeClosed",
    "NodeFailed",
    "NodeUnreachable",
    "OneForAll",
    "OneForOne",
    "Pool",
    "PriorityQueue",
    "Processes",
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
    "Scope",
    "ServiceKey",
    "Shutdown",
    "Snapshot",
    "StartChild",
    "StartFailed",
    "StashFull",
    "StateMachine",
    "Supervisor",
    "SupervisorHandle",
    "TagTaken",
    "TerminateChild",
    "Trace",
    "Traced",
    "TrouperError",
    "Unhandled",
    "Unroutable",
    "WhichChildren",
    "WireError",
    "WrongReply",
    "WrongSequence",
    "applies",
    "handler",
    "on",
    "on_enter",
    "on_exit",
    "on_quiet",
    "on_timeout",
    "run",
]  # fmt: skip
