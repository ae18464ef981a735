"""What backups left on a PersistentVolumeClaim, on its way to `volumes/` in the recovery repository.

A record belongs to its claim: it is written when the claim is exported, and goes when the claim goes. A *mark* of a
claim (see `ledger`) stands for both of its files.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import msgspec

from drsyncer import own, snapshot
from drsyncer.manifest import Manifest, ObjectRef, metadata
from drsyncer.match import annotations_of
from drsyncer.recovery import layout, volumes
from drsyncer.recovery.git import TreeFile
from drsyncer.recovery.message import Fate, VolumeChange
from drsyncer.snapshot import Record
from drsyncer.wording import many, size


@dataclass(frozen=True, slots=True)
class RecordFile:
    """The file for a claim's record. `fault` is why there is none, "" else: then the old one stays."""

    path: str
    data: bytes = b""
    change: VolumeChange | None = None  # what it says, for the commit's message
    fault: str = ""


def record_of(manifest: Manifest, ref: ObjectRef) -> RecordFile | None:
    """Return the file for the record on an object as the API server gave it; None when it bears none of its own.

    One that was written for another claim came along with a copy: of this one's data nothing is known, so that what an
    earlier claim of its name has in Git is none either.
    """
    text = annotations_of(manifest).get(own.BACKUP_RESULT)
    if ref.type != layout.CLAIMS or text is None:
        return None
    path = layout.record_path(ref.namespace, ref.name)
    try:
        record = snapshot.decode_of(str(text), str(metadata(manifest).get("uid") or ""))
        if record is None:
            return None
        # By the claim as it is now: who writes the annotation has no backup to wait for.
        unwanted = annotations_of(manifest).get(own.BACKUP) == "false"
        record = msgspec.structs.replace(record, left_out=True if unwanted else None, claim=None)
        return RecordFile(path, volumes.emit(record, ref), change_of(ref, record))
    except ValueError as error:
        return RecordFile(path, fault=f"{ref}: its annotation {own.BACKUP_RESULT} {error}")


def change_of(ref: ObjectRef, record: Record) -> VolumeChange:
    """Return what a commit says of a claim's new record."""
    kept, attempt = record.snapshot, record.attempt
    end = "; no backup is due any more" if record.left_out else ""
    if attempt is None and kept is not None:
        said = f"{kept.state}, {many(kept.files, 'file')}, {size(kept.bytes)}{end}"
        return VolumeChange(Fate.BACKED_UP, ref.namespace, ref.name, said)
    assert attempt is not None, "a record has one of them"
    have = f"the newest whole snapshot is of {kept.start:%Y-%m-%dT%H:%M:%SZ}" if kept else "none is whole"
    said = f"{attempt.state} ({attempt.reason}); {have}{end}"
    return VolumeChange(Fate.NOT_BACKED_UP, ref.namespace, ref.name, said)


def gone_of(path: str) -> VolumeChange:
    """Return what a commit says when the record at `path` goes."""
    place = layout.record_place(path)
    assert place is not None
    return VolumeChange(Fate.GONE, place.namespace, place.ref.name if place.ref else place.stem)


def mark_of(own_mark: str, record: str) -> str:
    """Return the mark of an object whose own file has `own_mark`, and its record the blob id `record`, "" for none."""
    return f"{own_mark}|{record}" if record else own_mark


def record_in(mark: str) -> str:
    """Return the record's blob id in a claim's mark; "" for none."""
    return mark.partition("|")[2]


def marks_in(files: Mapping[str, TreeFile]) -> dict[str, str]:
    """Return the mark of every object among a commit's files."""
    return {
        path: mark_of(file.blob_id, blob_beside(files, path)) for path, file in files.items() if layout.place_of(path)
    }


def blob_beside(files: Mapping[str, TreeFile], path: str) -> str:
    """Return the blob id of the record that belongs to the claim at `path`; "" for none."""
    file = files.get(layout.record_beside(path))
    return file.blob_id if file is not None else ""


def without_claim(
    known: Collection[str],
    *,
    found: Collection[str],
    kept: Collection[str],
    deleted: Collection[str],
    certain: Callable[[str], bool],
) -> list[str]:
    """Return the records in `known`, the parent commit's paths, that go.

    `found` are the objects that were read now, `kept` all that stays whatever was read, `deleted` the objects that go;
    `certain` tells of a claim that is in none of them, and not in Git either, whether it would have been seen.
    """
    gone = []
    for path in sorted(known):
        claim = layout.claim_beside(path)
        if not claim or path in kept or claim in kept:
            continue
        if claim in deleted or claim in found or (claim not in known and certain(claim)):
            gone.append(path)
    return gone
