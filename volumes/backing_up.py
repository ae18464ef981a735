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
from volumes import attesting, commands, mounted, repository
from volumes.answers import BackupSummary, Listed, utc
from volumes.describing import Described, describing
from volumes.failure import DONE, INCOMPLETE, Interrupted, RepositoryDamaged, ResticError
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


@dataclass(frozen=True, slots=True)
class Before:
    """What the repository has of the snapshot before: what restic compares with, and its manifest, as a file."""

    parent: str = ""
    manifest: Path | None = None
    warnings: tuple[str, ...] = ()


def back_up(task: BackupTask, restic: Restic, *, listener: Callable[[Message], None]) -> Result:
    """Back up the volume; return what became of it. `listener` gets restic's messages while it works.

    Raises `MoverError` when there is no snapshot afterwards, or none with a manifest; OSError when the volume or the
    folder for temporary files fails.
    """
    start = datetime.now(UTC)
    root = mounted.root_of(task.root)
    restic.version()
    id_ = repository.repository_id(restic, known=task.repository_id)
    if mounted.is_empty(root) and not _may_be_empty(task):
        return _refused(task, id_, start)
    before = _before(task, restic)
    scratch = restic.scratch / "manifest"
    scratch.mkdir()
    with describing(root, scratch=scratch, content=task.manifest == "full", previous=before.manifest) as description:
        outcome, is_empty = _run(task, restic, root, parent=before.parent, listener=listener)
        if is_empty and not _may_be_empty(task):
            return _refused(task, id_, start)
        if outcome.status not in (DONE, INCOMPLETE):
            raise outcome.failed()
        described = description.finish()
    summary = _summary(outcome, is_empty=is_empty)
    found = _made(restic, task, summary)
    verdict = judge(task, summary, tree=found.tree, is_empty=is_empty, outcome=outcome, described=described)
    # Also of what is not whole: who restores it for want of anything better learns what he has.
    manifest = attesting.store(task, restic, described.file, snapshot=found.id, state=verdict.state)
    names = names_of(outcome, described, root)
    warnings = (*before.warnings, *filter(None, (described.warning,)))
    for warning in warnings:
        _log.warning(warning)
    return Result(
        state=verdict.state,
        start=start,
        end=datetime.now(UTC),
        repository=id_,
        snapshot=_snapshot(found, summary, verdict.state, manifest=manifest),
        reason=verdict.reason,
        message=verdict.message,
        names=names,
        names_total=max(len(names), outcome.complaints_total, described.changed),
        files_new=summary.files_new,
        files_changed=summary.files_changed,
        bytes_added=summary.data_added,
        warnings=warnings,
    )


def judge(
    task: BackupTask,
    summary: BackupSummary,
    *,
    tree: str,
    is_empty: bool,
    outcome: Outcome,
    described: Described,
) -> Verdict:
    """Return what a snapshot is worth that restic has made. Pure.

    `tree`: its root tree. `is_empty`: there was nothing in the volume. `described`: its manifest.
    """
    if outcome.status == INCOMPLETE or outcome.complaints_total:
        names = [printable(complaint.item) for complaint in outcome.complaints]
        why = outcome.complaints[0].message if outcome.complaints else "restic does not say which"
        return Verdict(
            State.PARTIAL,
            Reason.UNREADABLE,
            f"{many(max(outcome.complaints_total, 1), 'path')} could not be read: {some(names) or 'unknown'} ({why})",
        )
    if not described.sure:
        return Verdict(
            State.PARTIAL,
            Reason.CHANGED,
            f"{many(described.changed, 'path')} changed while the backup ran, so nobody knows what the snapshot has of "
            f"{'it' if described.changed == 1 else 'them'}: {some([printable(name) for name in described.names])}",
        )
    if not task.confirmed and (loss := shrunk(task, summary)):
        return Verdict(
            State.EMPTY, Reason.SHRUNK, f"{loss}. The snapshot counts for nothing before that; {_way_on(task)}"
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


def names_of(outcome: Outcome, described: Described, root: Path) -> tuple[str, ...]:
    """Return the paths inside the volume that could not be read or changed meanwhile, each once.

    restic names them by their whole path, or relative to the root.
    """
    unread = [complaint.item.removeprefix(f"{root}/") for complaint in outcome.complaints]
    known = set(unread)
    # The manifest says behind each what is the matter with it.
    changed = [name for name in described.names if name.rpartition(" (")[0] not in known]
    return tuple(dict.fromkeys((*unread, *changed)))


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


def _way_on(task: BackupTask) -> str:
    volume = task.volume
    return f"if that is meant, confirm it: `dr-syncer volumes backup --confirm {volume.namespace}/{volume.name}`"


def _refused(task: BackupTask, id_: str, start: datetime) -> Result:
    before = f", and its last whole snapshot has {many(task.previous.files, 'file')}" if task.previous else ""
    return Result(
        state=State.EMPTY,
        start=start,
        end=datetime.now(UTC),
        repository=id_,
        reason=Reason.EMPTY,
        message=f"there is nothing in the volume{before}. No snapshot was made; {_way_on(task)}",
    )


def _before(task: BackupTask, restic: Restic) -> Before:
    """Return what there is of the snapshot before, if it is what it should be, and warnings if it is not."""
    previous = task.previous
    if previous is None:
        return Before()
    short = previous.id[:8]
    listed = {one.id: one for one in repository.snapshots(restic, *filter(None, (previous.id, previous.manifest)))}
    found = listed.get(previous.id)
    if found is None:
        return Before(warnings=(f"the snapshot before, {short}, is not in the repository any more: all is read anew",))
    if not repository.belongs(found, task.volume) or found.tree != previous.tree:
        return Before(warnings=(f"the snapshot before, {short}, is not what the record says: all is read anew",))
    if not previous.manifest or task.manifest != "full":
        return Before(found.id)
    try:
        file = attesting.fetch(restic, listed.get(previous.manifest), previous, restic.scratch / "previous.jsonl")
    except Interrupted:
        raise
    except (ResticError, attesting.NoManifest) as error:
        return Before(found.id, warnings=(f"all files are hashed anew: {error}",))
    return Before(found.id, file)


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


def _snapshot(found: Listed, summary: BackupSummary, state: State, *, manifest: str) -> Snapshot:
    return Snapshot(
        id=found.id,
        tree=found.tree,
        manifest=manifest,
        host=found.hostname,
        state=state,
        start=utc(summary.backup_start),
        end=utc(summary.backup_end),
        files=summary.total_files_processed,
        bytes=summary.total_bytes_processed,
    )
