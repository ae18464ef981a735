"""What is known of a volume's data: the restic snapshot that a recovery point names, and how the last attempt ended.

A `Record` is kept twice, as one value with one encoder: as JSON in an annotation of the source's PersistentVolumeClaim,
where the dispatcher of backups puts it, and as `volumes/<namespace>/<pvc>.yaml` in the recovery repository, where the
exporter brings it. A recovery uses what is in Git and nothing else.

The classes are msgspec's: what is written must be read again, by another version too. Keys that a newer version added
are ignored, those that it left out have their defaults.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

VERSION: Final = 1  # raised when a key changes its meaning or goes away


class State(StrEnum):
    """How a backup of one volume ended."""

    COMPLETE = "Complete"
    UNCHANGED = "Unchanged"  # complete, and nothing in it differs from the snapshot before
    PARTIAL = "Partial"  # there is a snapshot, and something is missing in it or changed while it was read
    EMPTY = "Empty"  # there is nothing in the volume, or suspiciously little where there was data before
    FAILED = "Failed"
    LOCKED = "Locked"  # the restic repository was locked all the time

    @property
    def whole(self) -> bool:
        """Whether the snapshot holds all that was in the volume."""
        return self in (State.COMPLETE, State.UNCHANGED)


class Snapshot(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A restic snapshot of one volume that holds all that was in it. Times are aware and in UTC.

    `state` is Complete, Unchanged, or Empty when somebody confirmed that there is nothing (more) to be expected.
    """

    id: str  # 64 hexadecimal digits, as restic gives them; never shortened
    tree: str  # the id of its root tree: equal trees are equal data
    manifest: str = ""  # the id of the snapshot that holds its manifest; "" when none was made
    host: str  # the source cluster's name
    state: State
    start: datetime  # when restic began to read: the data is as old as this
    end: datetime
    files: int
    bytes: int


class Attempt(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A backup that did not end with a whole snapshot."""

    state: State
    start: datetime
    end: datetime
    reason: str  # one word for machines, such as WrongPassword
    message: str  # a sentence for people, without secrets
    snapshot: str = ""  # Partial, Empty: the id of the snapshot that there is


class Record(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What a recovery point says of one volume.

    `snapshot` is the newest whole one, None before there was any. `attempt` is the newest attempt when that is newer
    and was not whole: a recovery point with one of these is not complete, whatever the snapshot says.
    """

    version: int = VERSION
    repository: str  # restic's id of the repository: snapshots of another one are not these
    snapshot: Snapshot | None = None
    attempt: Attempt | None = None

    @property
    def complete(self) -> bool:
        """Whether the newest attempt gave a whole snapshot."""
        return self.snapshot is not None and self.attempt is None
