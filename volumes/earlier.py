"""What a claim without a record of anything whole is compared with: the newest whole snapshot of a claim of its name.

A claim that was deleted and made anew has no record, and mostly a workload that begins anew in it: its first backup
would be called complete, and replace the data of the one before wherever backups are followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from volumes import commands, repository
from volumes.answers import Listed, Summary, utc
from volumes.attesting import attested, holds_nothing
from volumes.restic import Restic
from volumes.task import Counts, Volume


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
    whole, said = attested(listed), {one.tag(commands.MANIFEST_OF) for one in listed if one.tag(commands.STATE)}
    counted = [(one, one.summary) for one in listed if one.summary is not None and repository.belongs(one, volume)]
    known = [pair for pair in counted if pair[0].id in whole] or [pair for pair in counted if pair[0].id not in said]
    newest = max(known, key=lambda pair: pair[0].time, default=None)
    return _earlier(*newest) if newest is not None else None


def _earlier(one: Listed, summary: Summary) -> Earlier:
    if holds_nothing(one):  # but for the placeholder
        return Earlier(one.id, utc(one.time), Counts(files=0, bytes=0))
    return Earlier(
        one.id, utc(one.time), Counts(files=summary.total_files_processed, bytes=summary.total_bytes_processed)
    )
