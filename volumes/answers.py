"""What restic answers, as values. Keys that a newer restic adds are ignored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

EPOCH: Final = datetime.fromtimestamp(0, UTC)


class Summary(msgspec.Struct, frozen=True):
    """What restic counted while it made a snapshot; files are regular files, bytes their sizes."""

    backup_start: datetime = EPOCH
    backup_end: datetime = EPOCH
    files_new: int = 0
    files_changed: int = 0
    dirs_new: int = 0
    dirs_changed: int = 0
    data_added: int = 0
    total_files_processed: int = 0
    total_bytes_processed: int = 0


class BackupSummary(Summary, frozen=True):
    """The last line of a backup. `snapshot_id` is "" where nothing differed from the parent, so that none was made."""

    snapshot_id: str = ""


class Listed(msgspec.Struct, frozen=True):
    """One snapshot, as `snapshots --json` lists it."""

    id: str
    tree: str
    time: datetime
    hostname: str = ""
    tags: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    program_version: str = ""
    summary: Summary | None = None  # None: made by restic before 0.17

    def tag(self, prefix: str) -> str:
        """Return what follows `prefix` in the first tag that begins with it; "" without one."""
        return next((tag.removeprefix(prefix) for tag in self.tags if tag.startswith(prefix)), "")


class Configuration(msgspec.Struct, frozen=True):
    """`cat config`."""

    id: str
    version: int = 1


class RestoreSummary(msgspec.Struct, frozen=True):
    """The last line of a restore. What was there already counts as skipped."""

    total_files: int = 0
    files_restored: int = 0
    files_skipped: int = 0
    files_deleted: int = 0
    total_bytes: int = 0
    bytes_restored: int = 0
    bytes_skipped: int = 0


class Size(msgspec.Struct, frozen=True):
    """`stats`."""

    total_size: int = 0
    total_file_count: int = 0


class Node(msgspec.Struct, frozen=True):
    """One entry of a snapshot, as `ls --json` lists it."""

    struct_type: str = ""
    path: str = ""
    type: str = ""  # dir, file, symlink, …
    mode: int = 0  # as Go counts; the lowest nine bits are permissions
    uid: int = 0
    gid: int = 0


class Lock(msgspec.Struct, frozen=True):
    """`cat lock`: who locked the repository, and when the lock was last refreshed."""

    time: datetime
    hostname: str = ""
    username: str = ""
    pid: int = 0
    exclusive: bool = False


def utc(time: datetime) -> datetime:
    """Return `time` in UTC; restic writes the zone of the machine that it runs on."""
    return time.astimezone(UTC)
