"""Trouper: an actor runtime on asyncio.  Everything a program needs is imported from here.

The guide is ``docs/``; the kernel, ``trouper/runtime/kernel/``, is written to be read in an hour.
"""

from .runtime.accounting import Accounting as Accounting
from .runtime.actor import Actor as Actor
from .runtime.handlers import handler as handler
from .runtime.kernel.address import Address as Address
from .runtime.kernel.errors import ActorError as ActorError
from .runtime.kernel.errors import ActorFailed as ActorFailed
from .runtime.kernel.errors import ActorStopped as ActorStopped
from .runtime.kernel.errors import AskTimeout as AskTimeout
from .runtime.kernel.errors import CallerError as CallerError
from .runtime.kernel.errors import DeadlockError as DeadlockError
from .runtime.kernel.errors import InternalError as InternalError
from .runtime.kernel.errors import InvalidHandler as InvalidHandler
from .runtime.kernel.errors import InvalidName as InvalidName
from .runtime.kernel.errors import InvalidOption as InvalidOption
from .runtime.kernel.errors import LinkedActorFailed as LinkedActorFailed
from .runtime.kernel.errors import MailboxFull as MailboxFull
from .runtime.kernel.errors import NameTaken as NameTaken
from .runtime.kernel.errors import NodeClosed as NodeClosed
from .runtime.kernel.errors import NodeFailed as NodeFailed
from .runtime.kernel.errors import Reject as Reject
from .runtime.kernel.errors import RestartsExceeded as RestartsExceeded
from .runtime.kernel.errors import StartFailed as StartFailed
from .runtime.kernel.errors import StashFull as StashFull
from .runtime.kernel.errors import TagTaken as TagTaken
from .runtime.kernel.errors import TrouperError as TrouperError
from .runtime.kernel.errors import Unhandled as Unhandled
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
from .runtime.running import run as run
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

__all__ = [
    "Accounting", "Actor", "ActorError", "ActorFailed", "ActorRef", "ActorStopped", "Address", "AskTimeout", "Backoff",
    "CallerError", "Child", "ChildCounts", "ChildInfo", "ChildRefused", "CoalescingQueue", "CountChildren",
    "DeadLetter", "DeadlockError", "DeleteChild", "Down", "InternalError", "InvalidHandler", "InvalidName",
    "InvalidOption", "LinkedActorFailed", "Mailbox", "MailboxFull", "Message", "NameTaken", "Node", "NodeClosed",
    "NodeFailed", "OneForAll", "OneForOne", "PriorityQueue", "Reject", "RestForOne", "RestartChild", "RestartsExceeded",
    "StartChild", "StartFailed", "StashFull", "Supervisor", "SupervisorHandle", "TagTaken", "TerminateChild",
    "TrouperError", "Unhandled", "WhichChildren", "WrongReply", "handler", "run",
]  # fmt: skip
