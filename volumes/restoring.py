"""A mover's restore: the volume becomes what one snapshot says, or a path of it does.

Nothing of the volume is touched before it is certain that the snapshot is the one that the recovery point names: by its
whole id, of this volume, from this host, with this tree. Everything that restic could not restore is named. A restore
that was killed is simply run again: what is right already is left alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from drsyncer import log
from drsyncer.snapshot import State
from drsyncer.wording import many, printable, some
from volumes import commands, mounted, repository
from volumes.answers import Node, RestoreSummary
from volumes.failure import DONE, FAILED, MoverError, NoSnapshot, NoSuchPath, OtherSnapshot, ResticError, TargetFull
from volumes.hearing import Message, Outcome
from volumes.restic import Restic
from volumes.result import Reason, Result
from volumes.task import RestoreTask

SAFE_DELETE = (0, 20)
_log = log.get(__name__)


def restore(task: RestoreTask, restic: Restic, *, listener: Callable[[Message], None]) -> Result:
    """Restore the volume; return what became of it. `listener` gets restic's messages while it works.

    Raises `MoverError` when nothing, or nobody knows how much, was restored.
    """
    start = datetime.now(UTC)
    try:
        root = mounted.root_of(task.root)
        warnings = _warnings(restic.version())
        id_ = repository.repository_id(restic, known=task.repository_id)
        _require(task, restic)
        if not task.path:
            _require_space(task, restic, root)
    except MoverError as error:
        error.touched = False
        raise
    path, is_folder = _way(task, restic, root) if task.path else ("", True)
    for warning in warnings:
        _log.warning(warning)

    command = commands.restore(task.snapshot.id, target=root, path=path, delete=is_folder)
    outcome = restic.run(command, doing="restore", cwd=root, listener=listener)
    summary = _summary(outcome)
    if task.snapshot.state is State.EMPTY:
        (root / commands.NOTHING).unlink(missing_ok=True)
    state, reason, message = judge(outcome)
    names = tuple(dict.fromkeys(complaint.item.lstrip("/") for complaint in outcome.complaints))
    return Result(
        state=state,
        start=start,
        end=datetime.now(UTC),
        repository=id_,
        snapshot=task.snapshot,
        reason=reason,
        message=message,
        names=names,
        names_total=outcome.complaints_total,
        files_changed=summary.files_restored,
        bytes_added=summary.bytes_restored,
        warnings=warnings,
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


def judge(outcome: Outcome) -> tuple[State, Reason, str]:
    """Return what a restore is worth that restic has brought to its end: state, reason, message. Pure."""
    if outcome.status == DONE and not outcome.complaints_total:
        return State.COMPLETE, Reason.NONE, ""
    error = outcome.failed(writes_to_volume=True)
    names = [printable(complaint.item) for complaint in outcome.complaints]
    count = many(max(outcome.complaints_total, 1), "path")
    why = outcome.complaints[0].message if outcome.complaints else str(error)
    message = f"{count} could not be restored: {some(names) or 'unknown'} ({why})"
    return State.PARTIAL, error.reason, ". ".join(filter(None, (message, error.hint)))


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


def _require(task: RestoreTask, restic: Restic) -> None:
    """Raise `NoSnapshot` or `OtherSnapshot` unless the snapshot is the very one that the recovery point names."""
    short = task.snapshot.id[:8]
    found = repository.snapshot(restic, task.snapshot.id)
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


def _way(task: RestoreTask, restic: Restic, root: Path) -> tuple[str, bool]:
    """Return the path that is wanted and whether it is a folder, after making the folders that lead there."""
    parts = mounted.parts_of(task.path)
    path = "/".join(parts)
    entry = repository.entry(restic, task.snapshot.id, path)
    try:
        if entry is None:
            raise NoSuchPath(f"the snapshot has nothing at {path}", hint="Paths begin at the volume's root.")
        missing = mounted.missing_folders(root, parts[:-1])
    except NoSuchPath as error:
        error.touched = False
        raise
    for folder in missing:
        _make(root, folder, repository.entry(restic, task.snapshot.id, "/".join(folder)))
    return path, entry.type == "dir"


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
    try:
        return msgspec.convert(outcome.summary, RestoreSummary)
    except msgspec.ValidationError as error:
        raise ResticError(f"restic: restore: its summary is not understood: {error}") from error
