"""What is in a restored volume: the marker on its claim in DR.

It is written *before* a mover may touch the volume, says `complete` only after a whole result, and stays as it is when
whoever writes it dies: so a volume that was half restored is known as one, by whoever looks. Its reader is here, on the
ground floor, because an import must not start a workload on such a volume either.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from drsyncer import manifest, own
from drsyncer.manifest import Manifest, metadata
from drsyncer.snapshot import Folder

VERSION: Final = 1  # raised when a key changes its meaning or goes away
FIELD_MANAGER: Final = "dr-syncer-restore"  # not the importer's: its apply must neither own nor remove the marker


class Progress(StrEnum):
    """How far a restore came."""

    IN_PROGRESS = "in-progress"
    COMPLETE = "complete"
    PARTIAL = "partial"  # it ended, and something is missing or different


class Marker(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What was, or is being, restored into the volume of one claim. Times are aware and in UTC.

    `claim` is the UID of the claim that it was written for: a copy on another one says nothing about that.
    """

    version: int = VERSION
    claim: str
    source: str  # namespace/name, as the source calls the claim
    host: str  # the source cluster's name
    repository: str  # restic's id of it
    snapshot: str
    tree: str
    folder: Folder | None = None  # the volume's own folder at the source, which is in no tree
    commit: str  # the recovery point
    run: str = ""  # of the restore: a UUID
    state: Progress
    started: datetime
    ended: datetime | None = None
    path: str = ""  # what was restored inside the volume; "": all of it
    partial: bool = False  # the snapshot itself is not whole: somebody wanted it all the same
    verified: str = ""  # how it is compared with the manifest before it counts as whole: none, metadata, all
    unlooked: bool = False  # there may be something else in the volume: nobody knows that its mover looked into it
    used: datetime | None = None  # when a pod was first seen on the volume since: what is in it may be something else
    reason: str = ""  # of a state that is not complete: one word for machines
    message: str = ""  # and a sentence for people, without secrets

    @property
    def half(self) -> bool:
        """Whether the volume must not be used as it is."""
        return self.state is not Progress.COMPLETE


class UnreadableMarker(ValueError):
    """There is a marker, and nobody can tell what it says."""


_decoder = msgspec.json.Decoder(Marker)


def encode(marker: Marker) -> str:
    """Return `marker` as the value of its annotation."""
    return msgspec.json.encode(marker).decode()


def marker_of(claim: Manifest) -> Marker | None:
    """Return the marker of a claim in DR, None when there is none for this very claim.

    Raises UnreadableMarker.
    """
    text = manifest.annotations(claim).get(own.RESTORED)
    if text is None:
        return None
    try:
        found = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, TypeError) as error:
        raise UnreadableMarker(f"its annotation {own.RESTORED} cannot be read: {error}") from None
    if found.version > VERSION:
        raise UnreadableMarker(f"its annotation {own.RESTORED} is of a newer version of DR-Syncer ({found.version})")
    return found if found.claim == metadata(claim).get("uid") else None


def half_restored(claim: Manifest) -> str:
    """Return why the volume of a claim in DR must not be used as it is; "" when nothing speaks against it.

    A claim without a marker was never restored: whether that is right is for others to say.
    """
    try:
        marker = marker_of(claim)
    except UnreadableMarker as error:
        return str(error)
    if marker is None or not marker.half:
        return ""
    what = f"{marker.path!r:.200} in it" if marker.path else "it"
    if marker.state is Progress.IN_PROGRESS:
        return (
            f"a restore of {what} from snapshot {marker.snapshot[:12]} began {marker.started:%Y-%m-%d %H:%M} UTC "
            "and did not end"
        )
    return (
        f"the restore of {what} from snapshot {marker.snapshot[:12]} was not whole: {marker.message or marker.reason}"
    )
