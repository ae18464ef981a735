"""A mover's backup: one volume into one snapshot, and what may be said of it.

Only what restic read to its end, of a volume that still has its data, and that the repository really has afterwards, is
called whole. Everything else has another state, and the reason why.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

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
from volumes.verdict import Verdict

_NOTHING = "snapshot is empty"  # restic's words
_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Before:
    """What the repository has of the snapshot before: `parent` is what restic compares with.

    `manifest` is how its manifest is listed, None when there is none to be had.
    """

    parent: str = ""
    manifest: Listed | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """What restic made of the volume, and the manifest that was made meanwhile, in a file."""

    outcome: Outcome
    summary: BackupSummary
    listed: Listed
    described: Described
    is_empty: bool
    warnings: tuple[str, ...]


def back_up(task: BackupTask, restic: Restic, *, listener: Callable[[Message], None]) -> Result:
    """Back up the volume; return what became of it. `listener` gets restic's messages while it works.

    Raises `MoverError` when there is no snapshot afterwards, or none with a manifest; OSError when the volume or the
    folder for temporary files fails.
    """
    start = datetime.now(UTC)
    root = mounted.root_of(task.root)
    restic.version()
    # Each question costs restic half a second of one core, for the key: two at a time where none needs the other.
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(_before, task, restic)
        id_ = repository.repository_id(restic, known=task.repository_id)
        before = asking.result()
    if mounted.is_empty(root) and not _may_be_empty(task):
        return _refused(task, id_, start)
    made = _make(task, restic, root, before, listener=listener)
    if made is None:
        return _refused(task, id_, start)
    summary, described = made.summary, made.described
    verdict = judge(made, task)
    # Also of what is not whole: who restores it for want of anything better learns what he has.
    manifest = attesting.store(task, restic, described.file, snapshot=made.listed.id, state=verdict.state)
    names = names_of(made.outcome, described, root)
    for warning in made.warnings:
        _log.warning(warning)
    return Result(
        state=verdict.state,
        start=start,
        end=datetime.now(UTC),
        repository=id_,
        snapshot=_snapshot(made, verdict.state, manifest=manifest),
        reason=verdict.reason,
        message=verdict.message,
        names=names,
        names_total=max(len(names), made.outcome.complaints_total, described.changed),
        files_new=summary.files_new,
        files_changed=summary.files_changed,
        bytes_added=summary.data_added,
        warnings=made.warnings,
    )


def judge(made: Made, task: BackupTask) -> Verdict:
    """Return what a snapshot is worth that restic has made. Pure."""
    outcome, described = made.outcome, made.described
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
    if not task.confirmed and (loss := shrunk(task, made.summary)):
        return Verdict(
            State.EMPTY, Reason.SHRUNK, f"{loss}. The snapshot counts for nothing before that; {_way_on(task)}"
        )
    if made.is_empty:
        return Verdict(State.EMPTY)
    if _is_same(made.listed, task):
        return Verdict(State.UNCHANGED)
    return Verdict(State.COMPLETE)


def _is_same(made: Listed, task: BackupTask) -> bool:
    """Whether the snapshot has the very data, owners, modes and times of the one before."""
    return task.previous is not None and made.tree == task.previous.tree


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


def _make(
    task: BackupTask, restic: Restic, root: Path, before: Before, *, listener: Callable[[Message], None]
) -> Made | None:
    """Let restic back up while the volume is described. None: there was nothing, and nobody confirmed that."""
    scratch = restic.scratch / "manifest"
    scratch.mkdir()
    since = None
    if before.manifest is not None and task.previous is not None:
        since = int(task.previous.start.timestamp() * 1_000_000_000)
    content = task.manifest == "full"
    with (
        describing(root, scratch=scratch, content=content, since=since, goes_on=restic.goes_on) as description,
        ThreadPoolExecutor(1) as pool,
    ):
        fetching = pool.submit(_manifest_before, task, restic, before)

        def both(message: Message) -> None:
            if isinstance(done := message.get("bytes_done"), int):
                description.reached(done)
            listener(message)

        outcome, is_empty = _run(task, restic, root, parent=before.parent, listener=both)
        if is_empty and not _may_be_empty(task):
            return None
        if outcome.status not in (DONE, INCOMPLETE):
            raise outcome.failed()
        summary = _summary(outcome, is_empty=is_empty)
        looking = pool.submit(_listed, restic, task, summary)
        previous, warning = fetching.result()
        described = None
        is_quiet = outcome.status == DONE and summary.is_quiet
        if previous and is_quiet and _is_same(looking.result(), task):
            described = description.unchanged(previous)
        described = described or description.finish(previous)
        listed = looking.result()
    warnings = (*before.warnings, *filter(None, (warning, described.warning)))
    return Made(outcome, summary, listed, described, is_empty, warnings)


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
    if previous.manifest not in listed:
        return Before(found.id, warnings=("the manifest before is not in the repository any more: all is hashed anew",))
    return Before(found.id, listed[previous.manifest])


def _manifest_before(task: BackupTask, restic: Restic, before: Before) -> tuple[Path | None, str]:
    """Return the manifest of the snapshot before, as a file, or a warning: without it, files are hashed anew."""
    if before.manifest is None or task.previous is None:
        return None, ""
    try:
        return attesting.fetch(restic, before.manifest, task.previous, restic.scratch / "previous.jsonl"), ""
    except Interrupted:
        raise
    except (ResticError, attesting.NoManifest) as error:
        return None, f"all files are hashed anew: {error}"


def _summary(outcome: Outcome, *, is_empty: bool) -> BackupSummary:
    summary = outcome.counted(BackupSummary)
    if not summary.snapshot_id:
        raise ResticError("restic: back up: it ended without saying which snapshot it made")
    if is_empty:  # but for the placeholder
        return msgspec.structs.replace(summary, total_files_processed=0, total_bytes_processed=0, files_new=0)
    return summary


def _listed(restic: Restic, task: BackupTask, summary: BackupSummary) -> Listed:
    """Return the new snapshot as the repository has it: only what can be found again is a backup."""
    found = repository.snapshot(restic, summary.snapshot_id)
    if found is None:
        raise RepositoryDamaged(f"restic: the snapshot {summary.snapshot_id[:8]} just made is not in the repository")
    repository.require_ours(found, task.volume)
    return found


def _snapshot(made: Made, state: State, *, manifest: str) -> Snapshot:
    summary = made.summary
    return Snapshot(
        id=made.listed.id,
        tree=made.listed.tree,
        manifest=manifest,
        host=made.listed.hostname,
        state=state,
        start=utc(summary.backup_start),
        end=utc(summary.backup_end),
        files=summary.total_files_processed,
        bytes=summary.total_bytes_processed,
    )
