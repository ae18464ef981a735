"""The manifest of a snapshot where it is kept: in the repository, as a snapshot of its own beside that of the data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from drsyncer.snapshot import Snapshot, State
from volumes import commands, repository
from volumes.answers import BackupSummary, Listed
from volumes.failure import DONE, NoSnapshot, ResticError
from volumes.hearing import Message
from volumes.restic import Restic
from volumes.task import BackupTask

_WHOLE: Final = frozenset(state for state in State if state.whole)


class NoManifest(NoSnapshot):
    """The repository does not have the manifest of a snapshot."""


def store(task: BackupTask, restic: Restic, manifest: Path, *, snapshot: str, state: State) -> str:
    """Store the manifest of a snapshot; return the id of the snapshot that holds it. Raises `ResticError`."""
    with manifest.open("rb") as stream:
        outcome = restic.run(
            commands.backup_manifest(task, snapshot=snapshot, state=state),
            doing="store the manifest",
            stdin=stream,
            listener=_ignore,
        )
    if outcome.status != DONE or outcome.complaints_total:
        raise outcome.failed()
    id_ = outcome.counted(BackupSummary).snapshot_id
    if not id_:
        raise ResticError("restic: store the manifest: it ended without saying which snapshot it made")
    return id_


def has_hashes(listed: Listed | None) -> bool:
    """Whether the manifest that the repository lists so has the hashes of files."""
    return listed is not None and listed.tag(commands.CONTENT) != "metadata"


def calls_whole(manifest: Listed) -> bool:
    """Whether a manifest says that its backup got all that was in the volume."""
    return manifest.tag(commands.STATE) in _WHOLE


def holds_nothing(listed: Listed) -> bool:
    """Whether there is nothing in a snapshot but the placeholder: that of a volume which somebody knows to be empty."""
    return listed.paths == (f"/{commands.NOTHING}",)


def attested(listed: Iterable[Listed]) -> frozenset[str]:
    """Return the ids of the snapshots that their movers found whole, as their manifests say. Pure.

    `Empty` is also what looks as if it had lost its data, which is not whole. Only of nothing at all a snapshot is made
    when somebody has confirmed that there is to be nothing, and not before.
    """
    known = {one.id: one for one in listed}
    return frozenset(
        data.id
        for one in known.values()
        if (data := known.get(one.tag(commands.MANIFEST_OF))) and data.tag(commands.CLAIM) == one.tag(commands.CLAIM)
        if calls_whole(one) or (one.tag(commands.STATE) == State.EMPTY and holds_nothing(data))
    )


def fetch(restic: Restic, listed: Listed | None, snapshot: Snapshot, target: Path) -> Path:
    """Write the manifest of `snapshot`, which the repository lists as `listed`, to the file `target`; return that.

    Raises `NoManifest` when there is none, or it is another one's, and `ResticError`.
    """
    if listed is None or listed.id != snapshot.manifest or listed.tag(commands.MANIFEST_OF) != snapshot.id:
        raise NoManifest(f"the repository has no manifest {snapshot.manifest[:8]} of the snapshot {snapshot.id[:8]}")
    with target.open("wb") as stream:
        repository.read_manifest(restic, snapshot.manifest, stream, doing="read the manifest")
    return target


def _ignore(_message: Message) -> None:
    """Its summary is all that is wanted."""
