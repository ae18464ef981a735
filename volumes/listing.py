"""What there is of each volume and what is wrong with it, by what a recovery point says and what restic has. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from drsyncer.errors import ExitCode
from drsyncer.manifest import ObjectRef
from drsyncer.snapshot import Record, State
from drsyncer.wording import span
from volumes.points import Point, claim_text, moment, unconfirmed, why_not

_AHEAD: Final = 3600.0  # seconds by which the clocks of two machines may differ


@dataclass(frozen=True, slots=True)
class Stored:
    """What the restic repository says: its id, and the ids of all snapshots in it."""

    repository: str
    snapshots: Collection[str]


@dataclass(frozen=True, slots=True)
class Row:
    """One volume. `record` is None for a claim of whose data nothing is known.

    `age` are the seconds since restic began to read the newest whole snapshot, or the copy was made that it read: what
    would be lost now, the RPO. It is None where there is none, restic no longer has it, or a clock was wrong. `stored`
    is whether restic has it, None when nobody asked. `problems` are sentences; none is well. A volume that is left out
    of backups has none but that restic does not have what there is of it. `new` is a claim that no backup has tried
    yet, and that the source has not had for as long as a backup may take to come by. `unlisted`: restic has its
    snapshot, and not the list of its files.
    """

    claim: ObjectRef
    record: Record | None
    age: float | None
    stored: bool | None
    problems: tuple[str, ...]
    new: bool = False
    unlisted: bool = False

    @property
    def state(self) -> State | None:
        """How the newest attempt ended."""
        if self.record is None:
            return None
        if self.record.attempt is not None:
            return self.record.attempt.state
        return self.record.snapshot.state if self.record.snapshot is not None else None

    @property
    def left_out(self) -> bool:
        """Whether no backup is to be made of it any more."""
        return self.record is not None and bool(self.record.left_out)

    @property
    def ended(self) -> State | None:
        """The same, as it is to be judged: a volume that somebody knows to be empty has all that there is."""
        confirmed = self.state is State.EMPTY and self.record is not None and self.record.complete
        return State.COMPLETE if confirmed else self.state


@dataclass(frozen=True, slots=True)
class Listing:
    """All volumes of a recovery point. `faults` are files of it that are no records; `unasked` is why restic was not
    asked, "" when it was. `by` is what chose the recovery point, "" where that is the newest one."""

    point: Point
    max_age: float | None  # seconds; None: nobody said how old it may be
    rows: tuple[Row, ...]
    faults: Mapping[str, str]
    unasked: str = ""
    warnings: tuple[str, ...] = field(default=())
    by: str = ""

    @property
    def exit_code(self) -> ExitCode:
        """3 when something is wrong with a volume, else 0."""
        return ExitCode.PARTIAL if self.faults or any(row.problems for row in self.rows) else ExitCode.DONE

    def to_data(self) -> dict[str, Any]:
        """Return the result for `-o json`."""
        return {
            "cluster": self.point.source.cluster,
            "recoveryPoint": self.point.id,
            "chosenBy": self.by or "newest",
            "exportedAt": self.point.time.isoformat(),
            "complete": self.point.records.complete,
            "maxAgeSeconds": self.max_age,
            "resticAsked": not self.unasked,
            "volumes": [_data(row) for row in self.rows],
            "faults": dict(self.faults),
            "warnings": list(self.warnings),
        }


def listing(
    point: Point,
    *,
    wanted: Iterable[ObjectRef],
    stored: Stored | None,
    max_age: float | None,
    now: datetime,
    new: Collection[ObjectRef] = (),
    unasked: str = "",
    warnings: tuple[str, ...] = (),
) -> Listing:
    """Return what there is of each volume.

    `wanted` are claims without a record that should have one, `new` those of them that are younger than `max_age`.
    `stored` is None when restic was not asked, for the reason `unasked`.
    """
    rows = [_row(claim, record, stored, max_age=max_age, now=now) for claim, record in point.volumes.items()]
    rows += [Row(claim, None, None, None, ("was never backed up",), claim in new) for claim in wanted]
    return Listing(
        point, max_age, tuple(sorted(rows, key=lambda row: row.claim)), point.records.faults, unasked, warnings
    )


def as_known(found: Listing, before: Listing) -> Listing:
    """Return `found`, for which restic was not asked, with what it did not have when it was asked `before`.

    That holds for the snapshots that the recovery point named then: of all others nothing is known.
    """
    lacked = {row.claim: row for row in before.rows if row.stored is False or row.unlisted}

    def known(row: Row) -> Row:
        was, record = lacked.get(row.claim), row.record
        if was is None or was.record is None or record is None or record.snapshot is None:
            return row
        if (record.repository, record.snapshot) != (was.record.repository, was.record.snapshot):
            return row
        made, when = record.snapshot, "was not in the restic repository when that last answered"
        if was.unlisted:
            text = f"the list of its files, {made.manifest[:8]}, {when}"
            return replace(row, problems=(text, *row.problems), unlisted=True)
        return replace(row, age=None, stored=False, problems=(f"its snapshot {made.id[:8]} {when}", *row.problems))

    return replace(found, rows=tuple(map(known, found.rows)))


def _row(claim: ObjectRef, record: Record, stored: Stored | None, *, max_age: float | None, now: datetime) -> Row:
    snapshot = record.snapshot
    there: bool | None = None
    problem = ""
    if snapshot is not None and stored is not None:
        there, problem = _is_there(record, stored)
    since = (now - snapshot.start).total_seconds() if snapshot is not None and there is not False else None
    age = max(since, 0.0) if since is not None and since >= -_AHEAD else None
    # Of a volume that is left out nothing else is expected, and a restore brings what there is of it all the same.
    others = () if record.left_out else _shortcomings(record, age, max_age, ahead=since is not None and age is None)
    problems = ([problem] if problem else []) + list(others)
    return Row(claim, record, age, there, tuple(problems), unlisted=there is True and bool(problem))


def _shortcomings(record: Record, age: float | None, max_age: float | None, *, ahead: bool) -> Iterator[str]:
    """Yield what is wrong with a record by itself. `ahead`: its snapshot is of a time that is still to come."""
    if not record.complete:
        yield why_not(record)
    if why := unconfirmed(record):
        yield f"nothing of it is forgotten: {why}"
    if ahead and record.snapshot is not None:
        yield f"its snapshot is of {moment(record.snapshot.start)}, which is still to come: a clock was wrong"
    if age is not None and max_age is not None and age > max_age:
        yield f"its newest whole snapshot is {span(age)} old; volumes.maxAge is {span(max_age)}"


def _is_there(record: Record, stored: Stored) -> tuple[bool, str]:
    """Return whether restic has a record's snapshot, and what is wrong with that."""
    snapshot = record.snapshot
    assert snapshot is not None
    if record.repository != stored.repository:
        return False, (
            f"its snapshot is in the restic repository {record.repository[:8]}, and the configured one is "
            f"{stored.repository[:8]}"
        )
    if snapshot.id not in stored.snapshots:
        return False, f"its snapshot {snapshot.id[:8]} is not in the restic repository any more"
    if snapshot.manifest and snapshot.manifest not in stored.snapshots:
        return True, f"the list of its files, {snapshot.manifest[:8]}, is not in the restic repository any more"
    return True, ""


def _data(row: Row) -> dict[str, Any]:
    snapshot = row.record.snapshot if row.record is not None else None
    attempt = row.record.attempt if row.record is not None else None
    suspected = row.record.suspected if row.record is not None else None
    return {
        "claim": claim_text(row.claim),
        "state": str(row.state) if row.state is not None else None,
        "complete": row.record is not None and row.record.complete,
        "snapshot": snapshot.id if snapshot is not None else None,
        "snapshotState": str(snapshot.state) if snapshot is not None else None,
        "start": snapshot.start.isoformat() if snapshot is not None else None,
        "end": snapshot.end.isoformat() if snapshot is not None else None,
        "files": snapshot.files if snapshot is not None else None,
        "bytes": snapshot.bytes if snapshot is not None else None,
        "rpoSeconds": round(row.age, 3) if row.age is not None else None,
        "stored": row.stored,
        "leftOut": row.left_out,
        "lastAttempt": None
        if attempt is None
        else {
            "state": str(attempt.state),
            "start": attempt.start.isoformat(),
            "end": attempt.end.isoformat(),
            "reason": attempt.reason,
            "message": attempt.message,
            "snapshot": attempt.snapshot or None,
        },
        "suspicion": None
        if suspected is None
        else {
            "start": suspected.start.isoformat(),
            "end": suspected.end.isoformat(),
            "reason": suspected.reason,
            "message": suspected.message,
            "snapshot": suspected.snapshot or None,
        },
        "problems": list(row.problems),
    }
