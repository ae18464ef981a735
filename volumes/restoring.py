"""A mover's restore: the volume becomes what one snapshot says, or a path of it does.

Nothing of the volume is touched before it is certain that the snapshot is the one that the recovery point names: by its
whole id, of this volume, from this host, with this tree. Everything that restic could not restore is named. A restore
that was killed is simply run again: what is right already is left alone. None is whole before the disk has all of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from drsyncer import log
from drsyncer.snapshot import State
from drsyncer.wording import many, printable, some
from volumes import attesting, commands, mounted, repository
from volumes.answers import Listed, Node, RestoreSummary
from volumes.commands import MANIFEST_FILE
from volumes.comparing import Comparison, compare_folder
from volumes.failure import (
    DONE,
    FAILED,
    Interrupted,
    MoverError,
    NoSnapshot,
    NoSuchPath,
    OtherSnapshot,
    TargetFull,
)
from volumes.hearing import Message, Outcome
from volumes.manifest import ROOT, Damaged, Reader
from volumes.restic import Restic
from volumes.result import Reason, Result
from volumes.task import RestoreTask
from volumes.verdict import Verdict

SAFE_DELETE = (0, 20)
_log = log.get(__name__)


def restore(task: RestoreTask, restic: Restic, *, listener: Callable[[Message], None]) -> Result:
    """Restore the volume; return what became of it. `listener` gets restic's messages while it works.

    Raises `MoverError` when nothing, or nobody knows how much, was restored, and OSError when the volume fails.
    """
    start = datetime.now(UTC)
    with _untouched():
        root = mounted.root_of(task.root)
        if task.empty and (found := look(task)).state is not State.EMPTY:
            return found
        warnings = _warnings(restic.version())
        id_, listed = _require(task, restic)
        path, is_folder = _wanted(task, restic, root) if task.path else ("", True)
        if not path:
            _require_space(task, restic, root)
    for warning in warnings:
        _log.warning(warning)

    with mounted.settling(root) as settle:
        if path:
            _make_way(task, restic, root)
        verdict, summary = _restored(task, restic, root, listed, path=path, is_folder=is_folder, listener=listener)
        if verdict.state is State.COMPLETE:
            _log.info("waits until the disk has all of it")
            settle()
            verdict = _no_better_than_its_snapshot(task, verdict)
    return Result(
        state=verdict.state,
        start=start,
        end=datetime.now(UTC),
        repository=id_,
        snapshot=task.snapshot,
        reason=verdict.reason,
        message=verdict.message,
        names=verdict.names,
        names_total=verdict.names_total,
        files_changed=summary.files_restored,
        bytes_added=summary.bytes_restored,
        verified=verdict.verified,
        warnings=(*warnings, *verdict.warnings),
    )


def look(task: RestoreTask) -> Result:
    """Say whether a restore would write over something, or delete it: Empty when it would not. Nothing is written.

    Raises `MoverError` when that cannot be seen.
    """
    start = datetime.now(UTC)
    found = mounted.in_the_way(mounted.root_of(task.root), task.path)
    names = sorted(os.fsencode(name).decode("utf-8", "replace") for name in found)
    answer = Result(state=State.EMPTY, start=start, end=datetime.now(UTC), snapshot=task.snapshot, touched=False)
    if not names:
        return answer
    return msgspec.structs.replace(
        answer,
        state=State.FAILED,
        reason=Reason.NOT_EMPTY,
        message=f"{many(len(names), 'name')} in the way: {some([printable(name) for name in names])}",
        names=tuple(names),
        names_total=len(names),
    )


def judge(outcome: Outcome) -> Verdict:
    """Return what a restore is worth that restic has brought to its end. Pure."""
    if outcome.status == DONE and not outcome.complaints_total:
        return Verdict(State.COMPLETE)
    error = outcome.failed(writes_to_volume=True)
    items = [complaint.item.lstrip("/") for complaint in outcome.complaints]
    count = many(max(outcome.complaints_total, 1), "path")
    why = outcome.complaints[0].message if outcome.complaints else str(error)
    message = f"{count} could not be restored: {some([printable(item) for item in items]) or 'unknown'} ({why})"
    return Verdict(
        State.PARTIAL,
        error.reason,
        ". ".join(filter(None, (message, error.hint))),
        names=tuple(dict.fromkeys(items)),
        names_total=outcome.complaints_total,
    )


def told(comparison: Comparison, *, verified: str) -> Verdict:
    """Return what a comparison with the manifest means; `verified` says how thorough it was. Pure."""
    skipped = tuple(f"{many(count, 'path')} not compared: {why}" for why, count in sorted(comparison.skipped.items()))
    warnings = (*skipped, *comparison.notes)
    if comparison.equal:
        return Verdict(State.COMPLETE, verified=verified, warnings=warnings)
    return Verdict(
        State.PARTIAL,
        Reason.DIFFERS,
        f"{many(comparison.total, 'difference')} between what was restored and the manifest: "
        f"{some(comparison.differences)}",
        names=tuple(map(str, comparison.differences)),
        names_total=comparison.total,
        warnings=warnings,
    )


def _restored(
    task: RestoreTask,
    restic: Restic,
    root: Path,
    listed: Listed | None,
    *,
    path: str,
    is_folder: bool,
    listener: Callable[[Message], None],
) -> tuple[Verdict, RestoreSummary]:
    """Let restic restore, and compare; return what that means, and what restic counted."""
    # Without hashes in the manifest, those by which restic keeps the content are all there is, and as good.
    by_restic = task.verify == "all" and not attesting.has_hashes(listed)
    command = commands.restore(
        task.snapshot.id, target=root, path=path, delete=is_folder, verify=by_restic, thorough=task.thorough
    )
    with ThreadPoolExecutor(1, "manifest") as pool:
        fetching = pool.submit(_manifest, task, restic, listed) if task.snapshot.manifest else None
        outcome = restic.run(command, doing="restore", cwd=root, listener=listener)
        summary = _summary(outcome)
        if task.snapshot.state is State.EMPTY:
            (root / commands.NOTHING).unlink(missing_ok=True)
        verdict = judge(outcome)
        if verdict.state is State.COMPLETE:
            verdict = _compared(task, restic, root, fetching, by_restic=by_restic)
    return verdict, summary


def _no_better_than_its_snapshot(task: RestoreTask, verdict: Verdict) -> Verdict:
    """Return what a whole restore is worth: of a snapshot that is not whole, the volume is not either."""
    if task.snapshot.state is not State.PARTIAL:
        return verdict
    return replace(
        verdict,
        state=State.PARTIAL,
        reason=Reason.NOT_WHOLE,
        message="all that the snapshot has was restored, and the snapshot is not whole: what could not be read or was "
        "written to when it was made is missing or torn here, too",
    )


def _manifest(task: RestoreTask, restic: Restic, listed: Listed | None) -> Path:
    return attesting.fetch(restic, listed, task.snapshot, restic.scratch / MANIFEST_FILE)


def _compared(
    task: RestoreTask, restic: Restic, root: Path, fetching: Future[Path] | None, *, by_restic: bool
) -> Verdict:
    """Give the root its mode and owner back, compare what was restored with its manifest; return what that means.

    Of a single path, nothing else is compared, and the root stays as it is. `by_restic`: the content was.
    """
    if fetching is None:
        what = "nothing but the content" if by_restic else "nothing"
        return Verdict(State.COMPLETE, warnings=(f"the snapshot has no manifest, so {what} was compared",))
    try:
        file = fetching.result()
        with file.open("rb") as stream:
            reader = Reader(stream)
            folder = next(iter(reader))
            if not task.path:
                mounted.give_back(root, folder)
        if task.verify == "none":
            return Verdict(State.COMPLETE)
        verified = task.verify if reader.header.content or by_restic else "metadata"
        within = os.fsencode("/".join(mounted.parts_of(task.path))) if task.path else ROOT
        compared = compare_folder(
            file, root, content=task.verify == "all" and not by_restic, goes_on=restic.goes_on, within=within
        )
        return told(compared, verified=verified)
    except Interrupted:
        raise
    except (MoverError, Damaged, StopIteration, OSError) as error:
        if task.verify == "none":
            return Verdict(
                State.COMPLETE, warnings=(f"the volume's own folder may have another owner or mode: {error}",)
            )
        reason = error.reason if isinstance(error, MoverError) else Reason.DAMAGED
        return Verdict(
            State.PARTIAL, reason, f"everything was restored, and could not be compared with the manifest: {error}"
        )


@contextlib.contextmanager
def _untouched() -> Iterator[None]:
    """Mark errors that arise in here: the volume is as it was before."""
    try:
        yield
    except MoverError as error:
        error.touched = False
        raise


def _warnings(version: tuple[int, ...]) -> tuple[str, ...]:
    warnings = []
    if version < SAFE_DELETE:
        shown = ".".join(map(str, version))
        warnings.append(
            f"restic {shown} may delete files below a folder that it could not read from the repository; 0.20 does not"
        )
    if os.geteuid() != 0:
        warnings.append("this user is not root, so owners of files may not be what they were")
    return tuple(warnings)


def _require(task: RestoreTask, restic: Restic) -> tuple[str, Listed | None]:
    """Raise `NoSnapshot` or `OtherSnapshot` unless the snapshot is the very one that the recovery point names.

    Return the repository's id, and what it lists as the snapshot's manifest.
    """
    short = task.snapshot.id[:8]
    with ThreadPoolExecutor(1, "asking") as pool:  # each question takes restic half a second of a core, for the key
        asking = pool.submit(repository.repository_id, restic, known=task.repository_id)
        listed = repository.listed(restic, task.snapshot)
        id_ = asking.result()
    found = listed.get(task.snapshot.id)
    if found is None:
        raise NoSnapshot(
            f"restic: the repository has no snapshot {task.snapshot.id}",
            hint="It was forgotten, or belongs to another repository. Choose another recovery point.",
        )
    repository.require_ours(found, task.volume)
    if found.tree != task.snapshot.tree:
        raise OtherSnapshot(
            f"restic: snapshot {short} holds the tree {found.tree[:8]}, and the recovery point says "
            f"{task.snapshot.tree[:8]}",
            hint="Somebody rewrote it. Choose another recovery point.",
        )
    return id_, listed.get(task.snapshot.manifest)


def _wanted(task: RestoreTask, restic: Restic, root: Path) -> tuple[str, bool]:
    """Return the path that is wanted and whether it is a folder. Raises `NoSuchPath`."""
    parts = mounted.parts_of(task.path)
    path = "/".join(parts)
    entry = repository.entry(restic, task.snapshot.id, path)
    if entry is None:
        raise NoSuchPath(f"the snapshot has nothing at {path}", hint="Paths begin at the volume's root.")
    mounted.missing_folders(root, parts[:-1])
    return path, entry.type == "dir"


def _make_way(task: RestoreTask, restic: Restic, root: Path) -> None:
    """Make the folders that lead to the path."""
    for folder in mounted.missing_folders(root, mounted.parts_of(task.path)[:-1]):
        _make(root, folder, repository.entry(restic, task.snapshot.id, "/".join(folder)))


def _make(root: Path, parts: tuple[str, ...], entry: Node | None) -> None:
    """Make a folder as it was: restic would give those above what it restores to nobody but itself."""
    folder = root.joinpath(*parts)
    folder.mkdir()
    if entry is not None:
        if os.geteuid() == 0:
            os.chown(folder, entry.uid, entry.gid)
        folder.chmod(entry.mode & 0o777)


def _require_space(task: RestoreTask, restic: Restic, root: Path) -> None:
    """Raise `TargetFull` when the snapshot cannot fit, even if all that is there went first."""
    free = mounted.free(root)
    if task.snapshot.bytes <= free or repository.size(restic, task.snapshot.id) <= free:
        return
    least = repository.least_size(restic, task.snapshot.id)
    room = free + mounted.used(root)
    if least > room:
        raise TargetFull(
            f"the volume has room for {room:,} bytes, and the snapshot needs at least {least:,}",
            hint="Enlarge the volume that is restored to.",
        )


def _summary(outcome: Outcome) -> RestoreSummary:
    """Return what restic counted. Raises `ResticError` when it did not come to its end."""
    if outcome.status not in (DONE, FAILED) or outcome.summary is None:
        raise outcome.failed(writes_to_volume=True)
    return outcome.counted(RestoreSummary)
