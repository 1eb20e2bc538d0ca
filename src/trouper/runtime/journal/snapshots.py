"""Snapshots of a stream as files: written to a temporary file, renamed, the newest kept, damaged ones skipped.

Everything here blocks and is for one thread at a time; ``file.py`` ensures both.  A snapshot is a file with one frame,
named by its sequence.  At every moment of a save, the newest snapshot before it can be loaded, or a newer one.
"""

from __future__ import annotations

from pathlib import PurePath

from ..kernel.journal import JournalCorrupt, Snapshot
from ..kernel.logs import get_log
from .record_frames import RecordFrame, RecordFrameReader, encode_frame
from .segments import TEMPORARY_SUFFIX, StreamFiles, check_kept, wrong_sequence

SNAPSHOT_SUFFIX = ".snapshot"

log = get_log("trouper.journal")


def save(files: StreamFiles, snapshot: Snapshot) -> int:
    """Write a snapshot, remove the oldest ones, and return the sequence of the oldest that is kept."""
    if snapshot.sequence > files.last_sequence:
        raise wrong_sequence(files.name, snapshot.sequence, files.last_sequence)
    files.sync()  # a snapshot must not be durable before its records
    disk, path = files.disk, _path_of(files, snapshot.sequence)
    disk.make_folder(files.folder)
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    if temporary.name in disk.names(files.folder):
        disk.remove(temporary)
    file = disk.open_append(temporary)
    try:
        file.append(encode_frame(RecordFrame(snapshot.sequence, 1, snapshot.payload)))
        file.fsync()
    finally:
        file.close()
    disk.rename(temporary, path)
    disk.fsync_folder(files.folder)
    kept = sequences(files)
    while len(kept) > files.limits.snapshots_kept:
        disk.remove(_path_of(files, kept.pop()))
    return kept[-1]


def truncate_after(files: StreamFiles, sequence: int) -> None:
    """Remove the records after a sequence; before that, durably, the snapshots that stand for any of them."""
    check_kept(files.name, sequence, files.firsts[0] if files.firsts else 1)
    later = [each for each in sequences(files) if each > sequence]
    for each in later:
        files.disk.remove(_path_of(files, each))
    if later:
        files.disk.fsync_folder(files.folder)
    files.truncate_after(sequence)


def load(files: StreamFiles) -> Snapshot | None:
    """Return the newest snapshot that is undamaged, or None; a damaged one is logged and skipped."""
    for sequence in sequences(files):
        path = _path_of(files, sequence)
        try:
            return _read(files, path, sequence)
        except JournalCorrupt as error:
            log.warning("stream %s: a damaged snapshot is skipped for an older one: %s", files.name, error)
    return None


def sequences(files: StreamFiles) -> list[int]:
    """Return the sequences of all snapshots, newest first."""
    names = files.disk.names(files.folder)
    return sorted(
        (int(name.removesuffix(SNAPSHOT_SUFFIX)) for name in names if name.endswith(SNAPSHOT_SUFFIX)), reverse=True
    )


def _read(files: StreamFiles, path: PurePath, sequence: int) -> Snapshot:
    reader = RecordFrameReader(str(path))
    data = files.disk.read(path, 0, files.disk.size_bytes(path))
    frames = list(reader.feed(data))
    reader.finish(torn_allowed=False)
    if [(frame.sequence, frame.count) for frame in frames] != [(sequence, 1)]:
        raise JournalCorrupt(f"{path} has {len(frames)} frames, expected one, of sequence {sequence}")
    return Snapshot(sequence, frames[0].payload)


def _path_of(files: StreamFiles, sequence: int) -> PurePath:
    return files.folder / f"{sequence:020d}{SNAPSHOT_SUFFIX}"
