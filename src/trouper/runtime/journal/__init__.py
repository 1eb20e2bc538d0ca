"""The journal: append-only streams of records with snapshots, in memory or in files.

Order of reading: ``port``, ``memory``, ``framing``, ``disk``, ``segments``, ``snapshots``, ``file``, ``simulated``.
"""

from .disk import Disk as Disk
from .disk import RealDisk as RealDisk
from .file import FileJournal as FileJournal
from .memory import MemoryJournal as MemoryJournal
from .port import InvalidStream as InvalidStream
from .port import Journal as Journal
from .port import JournalClosed as JournalClosed
from .port import JournalCorrupt as JournalCorrupt
from .port import JournalError as JournalError
from .port import JournalFailed as JournalFailed
from .port import JournalLocked as JournalLocked
from .port import Record as Record
from .port import RecordsGone as RecordsGone
from .port import RecordTooLarge as RecordTooLarge
from .port import Snapshot as Snapshot
from .port import WrongSequence as WrongSequence
from .simulated import SimulatedCrash as SimulatedCrash
from .simulated import SimulatedDisk as SimulatedDisk
