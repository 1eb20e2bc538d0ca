"""The journal: append-only streams of records with snapshots, in memory or in files.

Order of reading: ``kernel.journal`` (the port), ``memory``, ``record_frames``, ``disk``, ``segments``, ``snapshots``,
``file``, ``simulated``.
"""

from ..kernel.journal import InvalidStream as InvalidStream
from ..kernel.journal import Journal as Journal
from ..kernel.journal import JournalClosed as JournalClosed
from ..kernel.journal import JournalCorrupt as JournalCorrupt
from ..kernel.journal import JournalError as JournalError
from ..kernel.journal import JournalFailed as JournalFailed
from ..kernel.journal import JournalLocked as JournalLocked
from ..kernel.journal import Record as Record
from ..kernel.journal import RecordsGone as RecordsGone
from ..kernel.journal import RecordTooLarge as RecordTooLarge
from ..kernel.journal import Snapshot as Snapshot
from ..kernel.journal import StaleWriter as StaleWriter
from ..kernel.journal import WrongSequence as WrongSequence
from .disk import Disk as Disk
from .disk import RealDisk as RealDisk
from .file import FileJournal as FileJournal
from .memory import MemoryJournal as MemoryJournal
from .simulated import SimulatedDisk as SimulatedDisk
from .simulated import SimulatedPowerLoss as SimulatedPowerLoss
