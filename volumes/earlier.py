"""What a claim without a record of anything whole is compared with: the newest whole snapshot of a claim of its name.

A claim that was deleted and made anew has no record, and mostly a workload that begins anew in it: its first backup
would be called complete, and replace the data of the one before wherever backups are followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from drsyncer.snapshot import State
from volumes import commands, repository
from volumes.answers import Listed, Summary, utc
from volumes.restic import Restic
from volumes.task import Counts, Volume

_NOTHING = (f"/{commands.NOTHING}",)


@dataclass(frozen=True, slots=True)
class Earlier:
    """A snapshot that a claim of this name has left, and how much there was in its volume."""

    id: str
    time: datetime
    counts: Counts

    def __str__(self) -> str:
        what = "the last whole snapshot of a claim of this name before"
        return f"{what} ({self.id[:8]} of {self.time:%Y-%m-%d %H:%M} UTC)"


def look_for(restic: Restic, volume: Volume) -> Earlier | None:
    """Return what the repository has of a claim of this name. Raises `ResticError`."""
    return newest_whole(repository.snapshots(restic, tags=[volume.tag], host=volume.host), volume)


def newest_whole(listed: Sequence[Listed], volume: Volume) -> Earlier | None:
    """Return the newest whole one among all the snapshots that are listed of a volume; None when there is none. Pure.

    Whether one is whole, its manifest says. Where none is said to be, one counts of which nothing is said: its backup
    was broken off between the two.
    """
    ends: dict[str, set[str]] = {}
    for one in listed:
        if state := one.tag(commands.STATE):
            ends.setdefault(one.tag(commands.MANIFEST_OF), set()).add(state)
    counted = [(one, one.summary) for one in listed if one.summary is not None and repository.belongs(one, volume)]
    whole = [(one, summary) for one, summary in counted if _is_whole(one, ends.get(one.id, set()))]
    unsaid = [(one, summary) for one, summary in counted if one.id not in ends]
    newest = max(whole or unsaid, key=lambda pair: pair[0].time, default=None)
    return _earlier(*newest) if newest is not None else None


def _is_whole(one: Listed, ends: set[str]) -> bool:
    """Whether a snapshot is whole whose backups ended so. Empty is one that was confirmed when there is nothing in it.

    Any other that is Empty is of a volume that shrank, and nobody has confirmed that.
    """
    return bool(ends & {State.COMPLETE, State.UNCHANGED}) or (State.EMPTY in ends and one.paths == _NOTHING)


def _earlier(one: Listed, summary: Summary) -> Earlier:
    if one.paths == _NOTHING:  # but for the placeholder
        return Earlier(one.id, utc(one.time), Counts(files=0, bytes=0))
    return Earlier(
        one.id, utc(one.time), Counts(files=summary.total_files_processed, bytes=summary.total_bytes_processed)
    )
