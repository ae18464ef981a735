"""A mover's backup: one volume into one snapshot, and what may be said of it.

Only what restic read to its end, of a volume that still has its data, and that the repository really has afterwards, is
called whole. Everything else has another state, and the reason why.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from drsyncer import log
from drsyncer.snapshot import Snapshot, State
from drsyncer.wording import many, printable, some
from volumes import attesting, mounted
from volumes.answers import BackupSummary, utc
from volumes.describing import Described
from volumes.earlier import Earlier
from volumes.failure import INCOMPLETE
from volumes.hearing import Message, Outcome
from volumes.restic import Restic
from volumes.result import Reason, Result
from volumes.snapshotting import Before, Made, Making, look_before, may_be_empty
from volumes.task import BackupTask, Counts
from volumes.verdict import Verdict

_log = log.get(__name__)


def back_up(task: BackupTask, restic: Restic, *, listener: Callable[[Message], None]) -> Result:
    """Back up the volume; return what became of it. `listener` gets restic's messages while it works.

    Raises `MoverError` when there is no snapshot afterwards, or none with a manifest; OSError when the volume or the
    folder for temporary files fails.
    """
    start = datetime.now(UTC)
    root = mounted.root_of(task.root)
    if mounted.is_empty(root) and not may_be_empty(task):
        restic.version()
        return _refused(task, look_before(task, restic), start)
    with Making(task, restic, root, listener) as making:
        made = making.made()
        if made is None:
            return _refused(task, making.before, start)
        verdict = judge(made, task, making.before.earlier)
        snapshot = _snapshot(task, restic, making, made, verdict.state)
    names = names_of(made.outcome, made.described, root)
    for warning in made.warnings:
        _log.warning(warning)
    return Result(
        state=verdict.state,
        start=start,
        end=datetime.now(UTC),
        repository=making.before.repository,
        snapshot=snapshot,
        reason=verdict.reason,
        message=verdict.message,
        loss=verdict.loss,
        names=names,
        names_total=max(len(names), made.outcome.complaints_total, made.described.changed if made.described else 0),
        files_new=made.summary.files_new,
        files_changed=made.summary.files_changed,
        bytes_added=made.summary.data_added,
        warnings=made.warnings,
    )


def judge(made: Made, task: BackupTask, earlier: Earlier | None = None) -> Verdict:
    """Return what a snapshot is worth that restic has made. Pure.

    A loss is told whatever else is the matter. What could not be read may be all that is lacking, so that it is Partial
    then; what changed meanwhile explains no loss.
    """
    outcome, described = made.outcome, made.described
    loss = "" if task.confirmed else shrunk(task, made.summary, earlier)
    if outcome.status == INCOMPLETE or outcome.complaints_total:
        names = [printable(complaint.item) for complaint in outcome.complaints]
        why = outcome.complaints[0].message if outcome.complaints else "restic does not say which"
        return Verdict(
            State.PARTIAL,
            Reason.UNREADABLE,
            f"{many(max(outcome.complaints_total, 1), 'path')} could not be read: {some(names) or 'unknown'} ({why})"
            + (
                f". Without what could not be read, {loss}: nothing of it is forgotten before it is whole"
                if loss
                else ""
            ),
            loss=loss,
        )
    changed = ""
    if described is not None and not described.sure:
        changed = (
            f"{many(described.changed, 'path')} changed while the backup ran, so nobody knows what the snapshot has of "
            f"{'it' if described.changed == 1 else 'them'}: {some([printable(name) for name in described.names])}"
        )
    if loss:
        text = f"{loss}. The snapshot counts for nothing before that; {_way_on(task)}"
        return Verdict(State.EMPTY, Reason.SHRUNK, f"{text}. And {changed}" if changed else text, loss=loss)
    if changed:
        return Verdict(State.PARTIAL, Reason.CHANGED, changed)
    if made.is_empty:
        return Verdict(State.EMPTY)
    return Verdict(State.UNCHANGED if made.is_unchanged else State.COMPLETE)


def shrunk(task: BackupTask, summary: BackupSummary, earlier: Earlier | None = None) -> str:
    """Return how much less is in the volume than in its last whole snapshot, if that is suspicious; else "". Pure.

    Of a claim that has none, what is in the `earlier` one counts.
    """
    known, where = _known(task, earlier)
    if known is None:
        return ""
    for before, now, what in (
        (known.files, summary.total_files_processed, "files"),
        (known.bytes, summary.total_bytes_processed, "bytes"),
    ):
        if before and ((before - now) * 100 > task.shrink_percent * before or now == 0):
            return f"the volume has {now:,} {what}, and {before:,} in {where}"
    return ""


def _known(task: BackupTask, earlier: Earlier | None) -> tuple[Counts | Snapshot | None, str]:
    """Return what a volume is compared with, and how that is called."""
    if task.known is None and earlier is not None:
        return earlier.counts, str(earlier)
    return task.known, "its last whole snapshot"


def names_of(outcome: Outcome, described: Described | None, root: Path) -> tuple[str, ...]:
    """Return the paths inside the volume that could not be read or changed meanwhile, each once.

    restic names them by their whole path, or relative to the root.
    """
    unread = [complaint.item.removeprefix(f"{root}/") for complaint in outcome.complaints]
    known = set(unread)
    # The manifest says behind each what is the matter with it.
    listed = described.names if described is not None else ()
    changed = [name for name in listed if name.rpartition(" (")[0] not in known]
    return tuple(dict.fromkeys((*unread, *changed)))


def _way_on(task: BackupTask) -> str:
    claim = f"{task.volume.namespace}/{task.volume.name}"
    # What there was is known, and not of which repository: it was left behind.
    adopt = " --adopt" if task.counts is not None and not task.repository_id else ""
    return f"if that is meant, confirm it: `dr-syncer volumes backup --pvc {claim} --confirm {claim}{adopt}`"


def _refused(task: BackupTask, before: Before, start: datetime) -> Result:
    known, where = _known(task, before.earlier)
    had = f", and {where} has {many(known.files, 'file')}" if known else ""
    return Result(
        state=State.EMPTY,
        start=start,
        end=datetime.now(UTC),
        repository=before.repository,
        reason=Reason.EMPTY,
        message=f"there is nothing in the volume{had}. No snapshot was made; {_way_on(task)}",
    )


def _snapshot(task: BackupTask, restic: Restic, making: Making, made: Made, state: State) -> Snapshot:
    """Store the manifest, if there is one to be stored, and return what there is now."""
    summary, described = made.summary, made.described
    if described is None:
        assert task.previous is not None
        manifest = task.previous.manifest
    else:
        id_ = making.listed().id if made.is_same else summary.snapshot_id
        # Also of what is not whole: who restores it for want of anything better learns what he has.
        manifest = attesting.store(task, restic, described.file, snapshot=id_, state=state)
    listed = making.listed()
    return Snapshot(
        id=listed.id,
        tree=listed.tree,
        manifest=manifest,
        host=listed.hostname,
        state=state,
        start=utc(summary.backup_start),
        end=utc(summary.backup_end),
        files=summary.total_files_processed,
        bytes=summary.total_bytes_processed,
        folder=making.folder,
    )
