"""What is known of a volume's data: the restic snapshot that a recovery point names, and how the last attempt ended.

A `Record` is kept twice, as one value with one encoder: as JSON in an annotation of the source's PersistentVolumeClaim,
where the dispatcher of backups puts it, and as `volumes/<namespace>/<pvc>.yaml` in the recovery repository, where the
exporter brings it. A recovery uses what is in Git and nothing else.

The classes are msgspec's: what is written must be read again, by another version too. Keys that a newer version added
are ignored, those that it left out have their defaults.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

VERSION: Final = 1  # raised when a key changes its meaning or goes away

_ID = re.compile(r"[0-9a-f]{64}")
_LONGEST_HOST: Final = 253  # characters


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


class Folder(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The volume's own folder: restic's trees have everything but that."""

    mode: int  # the twelve bits of permissions
    uid: int
    gid: int
    changed: int  # its ctime, in nanoseconds since 1970


class Snapshot(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A restic snapshot of one volume. Times are aware and in UTC.

    `state` is Complete, Unchanged, or Empty when somebody confirmed that there is nothing (more) to be expected.
    Partial is only what an attempt `made`. When nothing differs from the snapshot before, restic makes none: `id` is
    then that one's, and the times are those of the backup that found it so.
    """

    id: str  # 64 hexadecimal digits, as restic gives them; never shortened
    tree: str  # the id of its root tree: equal trees are equal data
    manifest: str = ""  # the id of the snapshot that holds its manifest; "" when none was made
    host: str  # the source cluster's name
    state: State
    start: datetime  # when restic began to read, or the copy was made that it read: the data is as old as this
    end: datetime
    files: int
    bytes: int
    folder: Folder | None = None  # None where it was not looked at


class Attempt(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A backup that did not end with a whole snapshot."""

    state: State
    start: datetime
    end: datetime
    reason: str  # one word for machines, such as WrongPassword
    message: str  # a sentence for people, without secrets
    snapshot: str = ""  # Partial, Empty: the id of the snapshot that there is
    made: Snapshot | None = None  # Partial: the same, for whoever wants it for want of anything better


class Suspicion(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """That a volume had lost its data, as far as a backup saw, and nobody has confirmed that this is meant."""

    start: datetime
    end: datetime
    reason: str  # Empty, Shrunk
    message: str
    snapshot: str = ""  # the id of what was made of it nevertheless


class Record(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What a recovery point says of one volume.

    `snapshot` is the newest whole one, None before there was any. `attempt` is the newest attempt when that is newer
    and was not whole: a recovery point with one of these is not complete, whatever the snapshot says. `suspicion`
    outlives the attempt that raised it, whatever the next ones end with, until one is whole: nothing of the volume may
    be forgotten before. `adopted` is the repository that backups are to go to since, while none there was whole: the
    snapshot is still in the one before. `left_out` is only in Git, by what the claim's annotation says then.
    `claim` is only in the annotation: the UID of the claim that it was written for. A copy on another one says nothing
    about that. None: by a program that wrote none.
    """

    version: int = VERSION
    repository: str  # restic's id of the repository: snapshots of another one are not these
    snapshot: Snapshot | None = None
    attempt: Attempt | None = None
    suspicion: Suspicion | None = None
    adopted: str | None = None
    left_out: bool | None = None  # no backup is to be made of it any more: what there is of it grows old, as is meant
    claim: str | None = None

    @property
    def suspected(self) -> Suspicion | None:
        """The suspicion. A record that was written before there were any has it in its attempt, if that is the one."""
        attempt = self.attempt
        if self.suspicion is not None or attempt is None or attempt.state is not State.EMPTY:
            return self.suspicion
        return Suspicion(
            start=attempt.start,
            end=attempt.end,
            reason=attempt.reason,
            message=attempt.message,
            snapshot=attempt.snapshot,
        )

    @property
    def complete(self) -> bool:
        """Whether the newest attempt gave a whole snapshot."""
        return self.snapshot is not None and self.attempt is None


def encode(record: Record) -> str:
    """Return `record` as the JSON of the annotation; the same record always gives the same text."""
    return msgspec.json.encode(record).decode()


def decode(text: str) -> Record:
    """Return the record that an annotation holds. Raises ValueError, with a clause that says why, for anything else."""
    try:
        # The version first: what a newer one means by the other keys, nobody here knows.
        _check_version(msgspec.json.decode(text, type=_Versioned).version)
        return checked(msgspec.json.decode(text, type=Record))
    except msgspec.DecodeError as error:
        raise ValueError(f"is no record of a backup: {error}") from None


def decode_of(text: str, claim: str) -> Record | None:
    """Return the record that an annotation of the claim with this UID holds, None when it was written for another one.

    Raises ValueError as `decode` does, and not for another claim's: whatever is wrong with that, it is not this one's.
    """
    return None if _is_anothers(text, claim) else decode(text)


def from_data(data: dict[str, object]) -> Record:
    """Return the record in plain data such as YAML gives it. Raises ValueError as `decode` does."""
    try:
        _check_version(msgspec.convert(data, _Versioned).version)
        return checked(msgspec.convert(data, Record))
    except msgspec.ValidationError as error:
        raise ValueError(f"is no record of a backup: {error}") from None


def checked(record: Record) -> Record:
    """Return `record` when it says something that can be relied on; raise ValueError, with a clause, when not."""
    snapshot, attempt, suspicion = record.snapshot, record.attempt, record.suspicion
    if snapshot is None and attempt is None:
        raise ValueError("is no record of a backup: it names neither a snapshot nor an attempt")
    made = attempt.made if attempt is not None else None
    if snapshot is not None:
        _check_snapshot(snapshot, record.repository)
        if not snapshot.state.whole and snapshot.state is not State.EMPTY:
            raise ValueError(f"is no record of a backup: its snapshot is {snapshot.state}, which is not whole")
    if made is not None:
        _check_snapshot(made, record.repository)
        if made.state is not State.PARTIAL:
            raise ValueError(f"is no record of a backup: its attempt made a snapshot that is {made.state}, not Partial")
    if attempt is not None and attempt.state.whole:
        raise ValueError(f"is no record of a backup: its attempt is {attempt.state}, which belongs to a snapshot")
    if suspicion is not None and attempt is None:
        raise ValueError("is no record of a backup: its newest attempt is whole, and yet the volume is suspicious")
    if any(part.snapshot and not _ID.fullmatch(part.snapshot) for part in (attempt, suspicion) if part is not None):
        raise ValueError("is no record of a backup: ids of restic have 64 hexadecimal digits")
    if record.adopted is not None and not _ID.fullmatch(record.adopted):
        raise ValueError("is no record of a backup: ids of restic have 64 hexadecimal digits")
    parts = (snapshot, attempt, made, suspicion)
    times = [time for part in parts if part is not None for time in (part.start, part.end)]
    if any(time.tzinfo is None for time in times):
        raise ValueError("is no record of a backup: its times are in no time zone")
    return record


def _check_snapshot(snapshot: Snapshot, repository: str) -> None:
    ids = [repository, snapshot.id, snapshot.tree, *([snapshot.manifest] if snapshot.manifest else [])]
    if not all(map(_ID.fullmatch, ids)):
        raise ValueError("is no record of a backup: ids of restic have 64 hexadecimal digits")
    if len(snapshot.host) > _LONGEST_HOST:
        raise ValueError(f"is no record of a backup: names of clusters have no more than {_LONGEST_HOST} characters")
    if min(snapshot.files, snapshot.bytes) < 0:
        raise ValueError("is no record of a backup: files and bytes are counts")


class _Versioned(msgspec.Struct, frozen=True):
    version: int = VERSION


class _Owned(_Versioned, frozen=True):
    claim: str | None = None


def _is_anothers(text: str, claim: str) -> bool:
    try:
        owned = msgspec.json.decode(text, type=_Owned)
    except ValueError:
        return False  # `decode` says what is the matter with it
    return owned.version <= VERSION and owned.claim not in (None, claim)


def _check_version(version: int) -> None:
    if version > VERSION:
        raise ValueError(f"is of version {version}, and this program knows versions up to {VERSION}")
