"""A mover's backup: one volume into one snapshot, and what may be said of it.

Only what restic read to its end, of a volume that still has its data, and that the repository really has afterwards, is
called whole. Everything else has another state, and the reason why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from drsyncer import log
from drsyncer.snapshot import Snapshot, State
from drsyncer.wording import many, printable, some
from volumes import commands, mounted, repository
from volumes.answers import BackupSummary, Listed, utc
from volumes.failure import DONE, INCOMPLETE, RepositoryDamaged, ResticError
from volumes.hearing import Message, Outcome
from volumes.restic import Restic
from volumes.result import Reason, Result
from volumes.task import BackupTask

_NOTHING = "snapshot is empty"  # restic's words
_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a backup is worth."""

    state: State
    reason: Reason = Reason.NONE
    message: str = ""


def back_up(task: BackupTask, restic: Restic, *, listener: Callable[[Message], None]) -> Result:
    """Back up the volume; return what became of it. `listener` gets restic's messages while it works.

    Raises `MoverError` when there is no snapshot afterwards.
    """
    start = datetime.now(UTC)
    root = mounted.root_of(task.root)
    restic.version()
    id_ = repository.repository_id(restic, known=task.repository_id)
    if mounted.is_empty(root) and not _may_be_empty(task):
        return _refused(task, id_, start)
    parent, warnings = _parent(task, restic)
    for warning in warnings:
        _log.warning(warning)

    outcome, is_empty = _run(task, restic, root, parent=parent.id if parent else "", listener=listener)
    if is_empty and not _may_be_empty(task):
        return _refused(task, id_, start)
    if outcome.status not in (DONE, INCOMPLETE):
        raise outcome.failed()
    summary = _summary(outcome, is_empty=is_empty)
    found = _made(restic, task, summary)
    verdict = judge(task, summary, tree=found.tree, is_empty=is_empty, outcome=outcome)
    names = names_of(outcome, root)
    return Result(
        state=verdict.state,
        start=start,
        end=datetime.now(UTC),
        repository=id_,
        snapshot=_snapshot(found, summary, verdict.state),
        reason=verdict.reason,
        message=verdict.message,
        names=names,
        names_total=outcome.complaints_total,
        files_new=summary.files_new,
        files_changed=summary.files_changed,
        bytes_added=summary.data_added,
        warnings=warnings,
    )


def judge(task: BackupTask, summary: BackupSummary, *, tree: str, is_empty: bool, outcome: Outcome) -> Verdict:
    """Return what a snapshot is worth that restic has made. Pure.

    `tree`: its root tree. `is_empty`: there was nothing in the volume when the backup began.
    """
    if outcome.status == INCOMPLETE or outcome.complaints_total:
        names = [printable(complaint.item) for complaint in outcome.complaints]
        why = outcome.complaints[0].message if outcome.complaints else "restic does not say which"
        return Verdict(
            State.PARTIAL,
            Reason.UNREADABLE,
            f"{many(max(outcome.complaints_total, 1), 'path')} could not be read: {some(names) or 'unknown'} ({why})",
        )
    if not task.confirmed and (loss := shrunk(task, summary)):
        return Verdict(
            State.EMPTY,
            Reason.SHRUNK,
            f"{loss}; confirm it if that is meant. The snapshot was made, but no recovery point names it.",
        )
    if is_empty:
        return Verdict(State.EMPTY)
    if task.previous is not None and tree == task.previous.tree:
        return Verdict(State.UNCHANGED)
    return Verdict(State.COMPLETE)


def shrunk(task: BackupTask, summary: BackupSummary) -> str:
    """Return how much less is in the volume than in its last whole snapshot, if that is suspicious; else "". Pure."""
    if task.previous is None:
        return ""
    for before, now, what in (
        (task.previous.files, summary.total_files_processed, "files"),
        (task.previous.bytes, summary.total_bytes_processed, "bytes"),
    ):
        if before and ((before - now) * 100 > task.shrink_percent * before or now == 0):
            return f"the volume has {now:,} {what}, and {before:,} in its last whole snapshot"
    return ""


def names_of(outcome: Outcome, root: Path) -> tuple[str, ...]:
    """Return the paths inside the volume that restic complained of, each once. restic names them in both ways."""
    names = (complaint.item.removeprefix(f"{root}/") for complaint in outcome.complaints)
    return tuple(dict.fromkeys(names))


def _run(
    task: BackupTask, restic: Restic, root: Path, *, parent: str, listener: Callable[[Message], None]
) -> tuple[Outcome, bool]:
    """Back up; return how it ended, and whether there was nothing that restic could save: sockets are nothing, too.

    Of nothing restic makes no snapshot. If that may be, it is given a placeholder.
    """
    outcome = restic.run(commands.backup(task, root=root, parent=parent), doing="back up", cwd=root, listener=listener)
    is_empty = outcome.status != DONE and not outcome.complaints_total and _NOTHING in " ".join(outcome.tail)
    if not is_empty or not _may_be_empty(task):
        return outcome, is_empty
    file = restic.scratch / commands.NOTHING
    file.write_bytes(b"The volume was empty.\n")  # without a byte restic complains again
    with file.open("rb") as placeholder:
        made = restic.run(commands.backup_nothing(task), doing="back up", stdin=placeholder, listener=listener)
    return made, True


def _may_be_empty(task: BackupTask) -> bool:
    """Whether somebody has confirmed, now or for the snapshot before, that nothing is to be expected."""
    return task.confirmed or (task.previous is not None and task.previous.state is State.EMPTY)


def _refused(task: BackupTask, id_: str, start: datetime) -> Result:
    before = f"; its last whole snapshot has {many(task.previous.files, 'file')}" if task.previous else ""
    return Result(
        state=State.EMPTY,
        start=start,
        end=datetime.now(UTC),
        repository=id_,
        reason=Reason.EMPTY,
        message=f"there is nothing in the volume{before}. No snapshot was made; confirm it if that is meant.",
    )


def _parent(task: BackupTask, restic: Restic) -> tuple[Listed | None, tuple[str, ...]]:
    """Return the snapshot to compare with, if it is there and what it should be, and a warning if it is not."""
    if task.previous is None:
        return None, ()
    short = task.previous.id[:8]
    found = repository.snapshot(restic, task.previous.id)
    if found is None:
        return None, (f"the snapshot before, {short}, is not in the repository any more: all is read anew",)
    if not repository.belongs(found, task.volume) or found.tree != task.previous.tree:
        return None, (f"the snapshot before, {short}, is not what the record says: all is read anew",)
    return found, ()


def _summary(outcome: Outcome, *, is_empty: bool) -> BackupSummary:
    summary = _converted(outcome.summary)
    if summary is None or not summary.snapshot_id:
        raise ResticError("restic: back up: it ended without saying which snapshot it made")
    if is_empty:  # but for the placeholder
        return msgspec.structs.replace(summary, total_files_processed=0, total_bytes_processed=0, files_new=0)
    return summary


def _converted(message: dict[str, Any] | None) -> BackupSummary | None:
    try:
        return None if message is None else msgspec.convert(message, BackupSummary)
    except msgspec.ValidationError as error:
        raise ResticError(f"restic: back up: its summary is not understood: {error}") from error


def _made(restic: Restic, task: BackupTask, summary: BackupSummary) -> Listed:
    """Return the new snapshot as the repository has it: only what can be found again is a backup."""
    found = repository.snapshot(restic, summary.snapshot_id)
    if found is None:
        raise RepositoryDamaged(f"restic: the snapshot {summary.snapshot_id[:8]} just made is not in the repository")
    repository.require_ours(found, task.volume)
    return found


def _snapshot(found: Listed, summary: BackupSummary, state: State) -> Snapshot:
    return Snapshot(
        id=found.id,
        tree=found.tree,
        host=found.hostname,
        state=state,
        start=utc(summary.backup_start),
        end=utc(summary.backup_end),
        files=summary.total_files_processed,
        bytes=summary.total_bytes_processed,
    )
